-- view: mesh_service_authentication
-- question: By what are the callers of each service known, and how are the connections protected?
-- row: one service on one UTC day, in one cluster, with one TLS version; all numbers can be added up
-- cost: 19 columns of every request and connection of the dates asked for; event_date goes through to the files, clusters and names choose among what is counted
-- column: service  -- service, else workload, host, address
-- column: service_namespace  -- its namespace, where known
-- column: counted_at  -- callee, or caller for services without records of their own on that day
-- column: calls  -- requests and connections
-- column: denied  -- of them, those that were denied
-- column: by_certificate  -- those whose caller is known by a certificate that verified, and by nothing better
-- column: by_token  -- those whose caller is known by a token that was accepted
-- column: claimed_only  -- those whose caller is named by nothing but its own word
-- column: by_nobody  -- those that name no caller, or only an address
-- column: mutual_tls  -- those on a connection whose peer was authenticated by certificate
-- column: no_mutual_tls  -- those on a connection whose peer was not
-- column: mutual_tls_not_said  -- those whose record does not say
--
-- One side is counted, as in mesh_service_edges. tls_version NULL means that the record names none:
-- with Istio's default format none does. What a caller's record says of TLS is about the caller's
-- own upstream connection.
WITH calls AS (
    SELECT
        event_date,
        k8s_cluster,
        COALESCE(dst_service, dst_workload, http_host, dst_ip, '(unknown)') AS service,
        COALESCE(dst_namespace, CASE WHEN reporter = 'destination' THEN k8s_namespace END) AS service_namespace,
        tls_version,
        CASE WHEN reporter IN ('source', 'gateway') THEN 'caller' ELSE 'callee' END AS counted_at,
        COUNT(*) AS calls,
        SUM(CASE WHEN decision = 'deny' THEN 1 ELSE 0 END) AS denied,
        SUM(CASE
            WHEN principal_source IN ('unverified', 'header', 'jwt', 'acl_token') THEN 0
            WHEN principal_source = 'mtls' OR (mtls AND src_identity IS NOT NULL) THEN 1
            ELSE 0
        END) AS by_certificate,
        SUM(CASE WHEN principal_source IN ('jwt', 'acl_token') THEN 1 ELSE 0 END) AS by_token,
        SUM(CASE WHEN principal_source IN ('unverified', 'header') THEN 1 ELSE 0 END) AS claimed_only,
        SUM(CASE
            WHEN principal_source IS NOT NULL THEN 0
            WHEN mtls AND src_identity IS NOT NULL THEN 0
            ELSE 1
        END) AS by_nobody,
        SUM(CASE WHEN mtls THEN 1 ELSE 0 END) AS mutual_tls,
        SUM(CASE WHEN NOT mtls THEN 1 ELSE 0 END) AS no_mutual_tls,
        SUM(CASE WHEN mtls IS NULL THEN 1 ELSE 0 END) AS mutual_tls_not_said,
        MAX(CASE WHEN reporter = 'destination' THEN 1 ELSE 0 END) AS from_destination
    FROM mesh_events
    WHERE event_kind IN ('http_request', 'tcp_connection')
    GROUP BY 1, 2, 3, 4, 5, 6
),
sided AS (
    SELECT *, MAX(from_destination) OVER (PARTITION BY event_date, service) AS callee_logged
    FROM calls
)
SELECT * EXCLUDE (from_destination, callee_logged)
FROM sided
WHERE counted_at = 'callee' OR callee_logged = 0

-- question: Between which services does TLS fail, since when, and which certificates have ended?
-- name: certificate_failures
-- param: since timestamp = NULL  -- first moment, inclusive; NULL is the beginning
-- param: until timestamp = NULL  -- last moment, exclusive; NULL is the end
-- param: limit_rows integer = 50  -- most rows returned
-- cost: the partitions between since and until: 20 columns of the files with failures, which statistics on tls_failure find, and twice 7 columns of every callee's record, to name addresses
--
-- A line of the client's proxy names the service it could not reach; a line of the server's listener
-- (extended format only) names the peer that knocked, and, where the peer showed a certificate, its
-- end and fingerprint. The two may describe the same handshake: do not add them up.
-- An address gets the name that the callees' records of the same period give it, if they give it
-- exactly one; else it is counted under (not named).
-- ended is yes where a certificate shown had ended when the handshake failed, or the peer said so.
-- A peer whose certificate did not verify is a claim, not an identity.
WITH failures AS (
    SELECT
        CASE
            WHEN tls_failure_side = 'upstream' THEN 'client'
            WHEN tls_failure_side = 'downstream' THEN 'server'
            WHEN reporter IN ('source', 'gateway') THEN 'client'
            WHEN reporter = 'destination' THEN 'server'
            ELSE '(not said)'
        END AS seen_by,
        COALESCE(src_identity, principal, src_workload, src_service) AS caller,
        src_ip,
        COALESCE(dst_service, dst_workload) AS service,
        COALESCE(dst_identity, http_host) AS other_service_name,
        dst_ip,
        tls_failure_reason,
        tls_failure_detail,
        peer_cert_not_after,
        peer_cert_sha256,
        k8s_cluster,
        event_time
    FROM mesh_events
    WHERE tls_failure
        AND ($since IS NULL OR event_time >= $since)
        AND ($since IS NULL OR event_date >= CAST($since AS DATE))
        AND ($until IS NULL OR event_time < $until)
        AND ($until IS NULL OR event_date <= CAST($until AS DATE))
),
caller_names AS (
    SELECT src_ip AS address, MIN(src_identity) AS name
    FROM mesh_events
    WHERE reporter = 'destination'
        AND NOT tls_failure
        AND src_identity IS NOT NULL
        AND x_forwarded_for IS NULL
        AND ($since IS NULL OR event_time >= $since)
        AND ($since IS NULL OR event_date >= CAST($since AS DATE))
        AND ($until IS NULL OR event_time < $until)
        AND ($until IS NULL OR event_date <= CAST($until AS DATE))
    GROUP BY src_ip
    HAVING MIN(src_identity) = MAX(src_identity)
),
service_names AS (
    SELECT dst_ip AS address, MIN(dst_service) AS name
    FROM mesh_events
    WHERE reporter = 'destination'
        AND NOT tls_failure
        AND dst_service IS NOT NULL
        AND ($since IS NULL OR event_time >= $since)
        AND ($since IS NULL OR event_date >= CAST($since AS DATE))
        AND ($until IS NULL OR event_time < $until)
        AND ($until IS NULL OR event_date <= CAST($until AS DATE))
    GROUP BY dst_ip
    HAVING MIN(dst_service) = MAX(dst_service)
)
SELECT
    f.seen_by,
    COALESCE(f.caller, c.name, '(not named)') AS caller,
    COALESCE(f.service, s.name, f.other_service_name, '(not named)') AS service,
    COALESCE(f.tls_failure_reason, '(not said)') AS reason,
    COUNT(*) AS failures,
    COUNT(DISTINCT f.src_ip) AS caller_addresses,
    MIN(f.src_ip) AS one_caller_address,
    MIN(f.event_time) AS first_seen,
    MAX(f.event_time) AS last_seen,
    CASE
        WHEN MAX(CASE WHEN f.tls_failure_reason = 'cert_expired' OR f.peer_cert_not_after <= f.event_time THEN 1 ELSE 0 END) = 1
            THEN 'yes'
        WHEN COUNT(f.peer_cert_not_after) > 0 THEN 'no'
        ELSE 'not shown'
    END AS ended,
    MIN(f.peer_cert_not_after) AS first_certificate_end,
    MAX(f.peer_cert_not_after) AS last_certificate_end,
    COUNT(DISTINCT f.peer_cert_sha256) AS certificates,
    COUNT(DISTINCT f.k8s_cluster) AS clusters,
    MIN(f.k8s_cluster) AS one_cluster,
    MIN(f.tls_failure_detail) AS one_detail
FROM failures AS f
LEFT JOIN caller_names AS c ON c.address = f.src_ip
LEFT JOIN service_names AS s ON s.address = f.dst_ip
GROUP BY 1, 2, 3, 4
ORDER BY failures DESC, first_seen, caller, service, reason, seen_by
LIMIT $limit_rows

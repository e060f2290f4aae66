-- question: Which callers reached a service for the first time?
-- name: new_edges
-- param: since timestamp = NULL  -- edges not seen before this moment are new; NULL is one hour after the archive's first event
-- param: until timestamp = NULL  -- last moment, exclusive; NULL is the end
-- param: who text = 'workload'  -- whose edges: of workloads, or of principals, so that each user and token has edges of its own
-- values: who: workload, principal
-- param: baseline_days integer = 30  -- how many days before since are looked at; what is older is not known
-- param: limit_rows integer = 50  -- most rows returned
-- cost: the partitions from baseline_days before since to until, 17 columns; nothing else prunes, since the past is what makes an edge new
--
-- An edge is a workload identity (else principal, workload, address) and a service. The identity of
-- the workload comes before the user's, or every user's first visit would be an edge; with who
-- principal the user comes first, and these visits are what is asked for. With Istio's
-- default format callers are addresses, and a restarted pod is a new one; requests with a
-- forwarded-for header, whose address is that of some customer, are taken as one caller.
-- Edges come from the callee's records where it has any, else from the caller's: each names the
-- caller in its own way. Attempts that were denied count; failed handshakes do not, since nobody
-- was identified. identified says claimed where nothing but the caller's word
-- names it: a certificate that did not verify, a header.
WITH seen AS (
    SELECT
        COALESCE(CASE WHEN $who = 'principal' THEN principal END, src_identity, principal, src_workload,
            CASE WHEN x_forwarded_for IS NOT NULL THEN '(forwarded for others)' ELSE src_ip END) AS caller,
        COALESCE(dst_service, dst_workload, http_host, dst_ip) AS service,
        CASE WHEN reporter IN ('source', 'gateway') THEN 1 ELSE 0 END AS caller_side,
        MAX(CASE WHEN reporter = 'destination' THEN 1 ELSE 0 END) AS from_destination,
        MIN(event_time) AS first_seen,
        MAX(event_time) AS last_seen,
        COUNT(*) AS events,
        SUM(CASE WHEN decision = 'deny' THEN 1 ELSE 0 END) AS denied,
        SUM(CASE WHEN principal_source IN ('unverified', 'header') THEN 1 ELSE 0 END) AS claimed_only,
        SUM(CASE WHEN COALESCE(src_identity, principal, src_workload) IS NULL THEN 1 ELSE 0 END) AS unnamed,
        COUNT(DISTINCT src_ip) AS addresses,
        MIN(k8s_cluster) AS one_cluster
    FROM mesh_events
    WHERE NOT tls_failure
        AND event_kind IN ('http_request', 'tcp_connection')
        AND ($since IS NULL OR event_date >= CAST($since AS DATE) - $baseline_days)
        AND ($until IS NULL OR event_time < $until)
        AND ($until IS NULL OR event_date <= CAST($until AS DATE))
    GROUP BY 1, 2, 3
),
sided AS (
    SELECT *, MAX(from_destination) OVER (PARTITION BY service) AS callee_logged
    FROM seen
),
beginning AS (
    SELECT COALESCE($since, MIN(event_time) + INTERVAL '1 hour') AS since
    FROM mesh_events
    WHERE $since IS NULL
)
SELECT
    caller,
    service,
    first_seen,
    last_seen,
    events,
    denied,
    CASE
        WHEN claimed_only = events THEN 'claimed'
        WHEN claimed_only > 0 THEN 'partly claimed'
        WHEN unnamed > 0 THEN 'address only'
        ELSE 'yes'
    END AS identified,
    addresses,
    one_cluster
FROM sided
CROSS JOIN beginning
WHERE caller IS NOT NULL
    AND service IS NOT NULL
    AND (caller_side = 0 OR callee_logged = 0)
    AND first_seen >= beginning.since
ORDER BY first_seen, caller, service
LIMIT $limit_rows

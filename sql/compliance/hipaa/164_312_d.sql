-- question: Is who calls a service verified to be the one claimed?
-- name: hipaa_164_312_d
-- control: HIPAA Security Rule, 45 CFR 164.312(d)
-- param: since timestamp = NULL  -- first day of the period; NULL is the beginning
-- param: until timestamp = NULL  -- last day of the period, inclusive; NULL is the end
-- param: namespace text = NULL  -- only services of this namespace
-- param: limit_rows integer = 1000  -- most rows returned
-- cost: the partitions between since and until, 19 columns of every request and connection
--
-- It shows for each service how many calls came from a caller verified by an accepted token or
-- certificate, and how many from one that only said who it is, or did not.
-- It does not show how a person proved who they are before a token was issued, nor access past the
-- mesh. With Istio's default format no certificate is in the record.
SELECT
    service,
    service_namespace,
    COALESCE(k8s_cluster, '(not named)') AS cluster,
    counted_at,
    SUM(calls) AS calls,
    SUM(by_token) AS by_token,
    SUM(by_certificate) AS by_certificate,
    SUM(claimed_only) AS claimed_only,
    SUM(by_nobody) AS by_nobody,
    ROUND(100 * CAST(SUM(by_token) + SUM(by_certificate) AS DOUBLE) / CAST(SUM(calls) AS DOUBLE), 2) AS authenticated_percent,
    SUM(denied) AS denied
FROM mesh_service_authentication
WHERE ($since IS NULL OR event_date >= CAST($since AS DATE))
    AND ($until IS NULL OR event_date <= CAST($until AS DATE))
    AND ($namespace IS NULL OR service_namespace = $namespace)
GROUP BY 1, 2, 3, 4
ORDER BY authenticated_percent, calls DESC, service, service_namespace, cluster, counted_at
LIMIT $limit_rows

-- question: Are the callers of each service authenticated?
-- name: soc2_cc6_1
-- control: SOC 2, CC6.1 (Trust Services Criteria 2017, points of focus revised 2022)
-- param: since timestamp = NULL  -- first day of the period; NULL is the beginning
-- param: until timestamp = NULL  -- last day of the period, inclusive; NULL is the end
-- param: namespace text = NULL  -- only services of this namespace
-- param: limit_rows integer = 1000  -- most rows returned
-- cost: the partitions between since and until, 19 columns of every request and connection
--
-- It shows for each service how many of its calls came from a caller known by an accepted token or
-- a verified certificate, by its own word only, or by nothing but an address. Those least
-- authenticated come first.
-- It does not show that who was authenticated ought to have access (access_by_principal is the list
-- to review), nor access past the mesh. With Istio's default format no certificate is in the
-- record, and by_nobody says nothing about the service.
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

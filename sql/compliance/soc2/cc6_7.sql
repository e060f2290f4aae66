-- question: Is data protected in transit between services?
-- name: soc2_cc6_7
-- control: SOC 2, CC6.7 (Trust Services Criteria 2017, points of focus revised 2022)
-- param: since timestamp = NULL  -- first day of the period; NULL is the beginning
-- param: until timestamp = NULL  -- last day of the period, inclusive; NULL is the end
-- param: namespace text = NULL  -- only services of this namespace
-- param: limit_rows integer = 1000  -- most rows returned
-- cost: the partitions between since and until, 19 columns of every request and connection
--
-- It shows for each service and TLS version how many calls came over connections whose peer was
-- authenticated by certificate, and how many did not. Those least protected come first.
-- It does not show data that leaves by other ways than calls, nor TLS that ends before the mesh, at
-- a load balancer. Where the record does not say (Istio's default format), it is counted as not
-- said, not as unprotected.
SELECT
    service,
    service_namespace,
    COALESCE(k8s_cluster, '(not named)') AS cluster,
    COALESCE(tls_version, '(not said)') AS tls_version,
    counted_at,
    SUM(calls) AS calls,
    SUM(mutual_tls) AS mutual_tls,
    SUM(no_mutual_tls) AS no_mutual_tls,
    SUM(mutual_tls_not_said) AS not_said,
    ROUND(100 * CAST(SUM(mutual_tls) AS DOUBLE) / CAST(SUM(calls) AS DOUBLE), 2) AS mutual_tls_percent
FROM mesh_service_authentication
WHERE ($since IS NULL OR event_date >= CAST($since AS DATE))
    AND ($until IS NULL OR event_date <= CAST($until AS DATE))
    AND ($namespace IS NULL OR service_namespace = $namespace)
GROUP BY 1, 2, 3, 4, 5
ORDER BY mutual_tls_percent, calls DESC, service, service_namespace, cluster, tls_version, counted_at
LIMIT $limit_rows

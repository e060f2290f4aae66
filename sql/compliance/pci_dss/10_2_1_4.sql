-- question: Which attempts at access were refused?
-- name: pci_dss_10_2_1_4
-- control: PCI DSS 4.0.1, 10.2.1.4
-- param: since timestamp = NULL  -- first moment of the period, inclusive; NULL is the beginning
-- param: until timestamp = NULL  -- last moment of the period, exclusive; NULL is the end
-- param: limit_rows integer = 1000  -- most rows returned
-- cost: the partitions between since and until, 20 columns of the files with denials, which statistics on decision find
--
-- It shows the attempts that the mesh or a control plane refused, by caller, service and what
-- refused them: policies, tokens, certificates, rate limits, role bindings, admission, ACLs,
-- guardrails.
-- It does not show attempts that the application itself refused: to the mesh a 403 of the service
-- is an answer, and counts as let through. Handshakes that failed before anybody was named are in
-- the question tls_failures_by_reason.
SELECT
    caller,
    identified,
    service,
    decided_by,
    policy,
    COUNT(*) AS attempts,
    COUNT(DISTINCT url_path) AS paths,
    MIN(url_path) AS one_path,
    COUNT(DISTINCT src_ip) AS addresses,
    MIN(src_ip) AS one_address,
    COUNT(DISTINCT k8s_cluster) AS clusters,
    MIN(event_time) AS first_attempt,
    MAX(event_time) AS last_attempt
FROM mesh_denials
WHERE ($since IS NULL OR event_time >= $since)
    AND ($since IS NULL OR event_date >= CAST($since AS DATE))
    AND ($until IS NULL OR event_time < $until)
    AND ($until IS NULL OR event_date <= CAST($until AS DATE))
GROUP BY caller, identified, service, decided_by, policy
ORDER BY attempts DESC, caller, identified, service, decided_by, policy
LIMIT $limit_rows

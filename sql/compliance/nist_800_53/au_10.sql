-- question: By what is the one who acted bound to each action?
-- name: nist_800_53_au_10
-- control: NIST SP 800-53 Rev. 5, AU-10
-- param: since timestamp = NULL  -- first day of the period; NULL is the beginning
-- param: until timestamp = NULL  -- last day of the period, inclusive; NULL is the end
-- param: limit_rows integer = 1000  -- most rows returned
-- cost: the partitions between since and until, 25 columns of every event
--
-- It shows for each source how many records bind the action to a caller by a certificate that
-- verified, by a token that was accepted, or by the authentication of a control plane or gateway;
-- how many have the caller's own word only, and how many name nobody. `meshledger prove event` then
-- proves of one record that the archive received it and has not changed it since.
-- It does not show that a person did it who does not want to have done it: keys can be shared or
-- stolen, and a proxy that was taken over writes what it likes. The proof is of what was received.
SELECT
    COALESCE(k8s_cluster, '(not named)') AS cluster,
    source_format,
    COALESCE(reporter, '(not said)') AS reporter,
    SUM(events) AS records,
    SUM(by_certificate) AS by_certificate,
    SUM(by_token) AS by_token,
    SUM(by_control_plane) AS by_control_plane,
    SUM(claimed_only) AS claimed_only,
    SUM(by_nobody) AS by_nobody,
    ROUND(100 * CAST(SUM(by_certificate + by_token + by_control_plane) AS DOUBLE) / CAST(SUM(events) AS DOUBLE), 2)
        AS bound_percent
FROM mesh_capture
WHERE ($since IS NULL OR event_date >= CAST($since AS DATE))
    AND ($until IS NULL OR event_date <= CAST($until AS DATE))
GROUP BY 1, 2, 3
ORDER BY cluster, source_format, reporter
LIMIT $limit_rows

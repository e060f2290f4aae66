-- question: Do the records hold the further details that FedRAMP asks for?
-- name: fedramp_au_3_1
-- control: FedRAMP Rev. 5 baselines, AU-3(1)
-- param: since timestamp = NULL  -- first moment of the period, inclusive; NULL is the beginning
-- param: until timestamp = NULL  -- last moment of the period, exclusive; NULL is the end
-- param: limit_rows integer = 1000  -- most rows returned
-- cost: the partitions between since and until, 19 columns of every event
--
-- It shows for each source and kind of event what share of the records holds: duration; bytes
-- received and sent; a reason or message that helps to diagnose; the characteristics of the object
-- acted upon; the person behind an account that several share; and the full text of a privileged
-- command, where there is one.
-- It does not show the text of commands typed in a shell: no source of this archive has it. The
-- person behind a shared account is known only where a control plane logs who acted as whom.
-- FedRAMP is replacing these assignments by its consolidated rules of 2026: check which apply to
-- you.
SELECT
    COALESCE(k8s_cluster, '(not named)') AS cluster,
    source_format,
    event_kind,
    COUNT(*) AS records,
    ROUND(100 * AVG(CASE WHEN duration_us IS NOT NULL THEN 1.0 ELSE 0.0 END), 2) AS duration_percent,
    ROUND(100 * AVG(CASE WHEN request_bytes IS NOT NULL AND response_bytes IS NOT NULL THEN 1.0 ELSE 0.0 END), 2)
        AS bytes_percent,
    ROUND(100 * AVG(CASE WHEN COALESCE(decision_reason, tls_failure_detail) IS NOT NULL THEN 1.0 ELSE 0.0 END), 2)
        AS message_percent,
    ROUND(100 * AVG(CASE WHEN COALESCE(url_path, resource_name, statement, dst_service, dst_workload, dst_ip) IS NOT NULL
        THEN 1.0 ELSE 0.0 END), 2) AS object_percent,
    SUM(CASE WHEN impersonated_user IS NOT NULL AND user_name IS NOT NULL THEN 1 ELSE 0 END) AS person_behind_account,
    SUM(CASE WHEN statement IS NOT NULL THEN 1 ELSE 0 END) AS full_text_of_command
FROM mesh_events
WHERE ($since IS NULL OR event_time >= $since)
    AND ($since IS NULL OR event_date >= CAST($since AS DATE))
    AND ($until IS NULL OR event_time < $until)
    AND ($until IS NULL OR event_date <= CAST($until AS DATE))
GROUP BY 1, 2, 3
ORDER BY cluster, source_format, event_kind
LIMIT $limit_rows

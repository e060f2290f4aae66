-- question: Who read, or changed the capture of, audit logs?
-- name: pci_dss_10_2_1_3
-- control: PCI DSS 4.0.1, 10.2.1.3
-- param: since timestamp = NULL  -- first moment of the period, inclusive; NULL is the beginning
-- param: until timestamp = NULL  -- last moment of the period, exclusive; NULL is the end
-- param: limit_rows integer = 1000  -- most rows returned
-- cost: the partitions between since and until, 22 columns of the files with calls to a control plane; resource_type has statistics
--
-- It shows requests to read the logs of pods and nodes, from which this archive is fed, and changes
-- of what switches them (Istio's telemetries and mesh configuration, Envoy filters, Consul's proxy
-- defaults): who, what, from where, and whether it was allowed.
-- It does not show who read this archive. Reading its bucket is in the data events of the object
-- store's own trail, and questions to `serve` or the query function are in their logs: hand those
-- in beside this report.
SELECT
    event_time,
    CASE WHEN resource_type IN ('pods/log', 'nodes/log', 'nodes/proxy') THEN 'read' ELSE 'capture changed' END AS access,
    COALESCE(CASE WHEN impersonated_user IS NOT NULL THEN user_name END, principal, user_name, '(unknown)') AS who,
    impersonated_user AS acted_as,
    COALESCE(change_op, http_method) AS verb,
    resource_type,
    resource_namespace,
    resource_name,
    decision,
    change_applied,
    src_ip,
    user_agent,
    k8s_cluster AS cluster,
    request_id,
    segment,
    segment_row
FROM mesh_events
WHERE event_kind IN ('api_call', 'policy_change')
    AND (resource_type IN ('pods/log', 'nodes/log', 'nodes/proxy')
        OR (event_kind = 'policy_change' AND (severity_id = 4 OR resource_type = 'envoyfilters')))
    AND ($since IS NULL OR event_time >= $since)
    AND ($since IS NULL OR event_date >= CAST($since AS DATE))
    AND ($until IS NULL OR event_time < $until)
    AND ($until IS NULL OR event_date <= CAST($until AS DATE))
ORDER BY event_time, segment, segment_row
LIMIT $limit_rows

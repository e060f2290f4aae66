-- question: When was capture of audit logs switched, and when did each source begin and end?
-- name: pci_dss_10_2_1_6
-- control: PCI DSS 4.0.1, 10.2.1.6
-- param: since timestamp = NULL  -- first moment of the period, inclusive; NULL is the beginning
-- param: until timestamp = NULL  -- last moment of the period, exclusive; NULL is the end
-- param: limit_rows integer = 1000  -- most rows returned
-- cost: the partitions between since and until: 15 columns of the files with policy changes, and 25 of every event for the sources
--
-- It shows, in order of time, changes of what switches capture (Istio's telemetries, mesh
-- configuration and Envoy filters, Consul's proxy defaults) with who made them, and the first and
-- last event of each source in the period: cluster, format and side.
-- It does not show pauses in between (pci_dss_10_7_2 does), nor a collector that was stopped by
-- other means than these objects. A source that ends is not an offence by itself: compare the
-- changes.
WITH happenings AS (
    SELECT
        event_time AS at_time,
        'capture changed' AS what,
        COALESCE(CASE WHEN impersonated_user IS NOT NULL THEN user_name END, principal, user_name, '(unknown)') AS who,
        COALESCE(change_op, 'change') || ' ' || COALESCE(resource_type, '(unknown)') || ' '
            || COALESCE(resource_namespace || '/', '') || COALESCE(resource_name, '(all)')
            || CASE WHEN change_applied THEN '' ELSE ', without effect' END AS detail,
        k8s_cluster,
        source_format
    FROM mesh_events
    WHERE event_kind = 'policy_change'
        AND (severity_id = 4 OR resource_type = 'envoyfilters')
        AND ($since IS NULL OR event_time >= $since)
        AND ($since IS NULL OR event_date >= CAST($since AS DATE))
        AND ($until IS NULL OR event_time < $until)
        AND ($until IS NULL OR event_date <= CAST($until AS DATE))
    UNION ALL
    SELECT MIN(first_event), 'source begins', NULL, COALESCE(reporter, '(not said)'), k8s_cluster, source_format
    FROM mesh_capture
    WHERE ($since IS NULL OR event_date >= CAST($since AS DATE))
        AND ($until IS NULL OR event_date <= CAST($until AS DATE))
    GROUP BY k8s_cluster, source_format, reporter
    UNION ALL
    SELECT MAX(last_event), 'source ends', NULL, COALESCE(reporter, '(not said)'), k8s_cluster, source_format
    FROM mesh_capture
    WHERE ($since IS NULL OR event_date >= CAST($since AS DATE))
        AND ($until IS NULL OR event_date <= CAST($until AS DATE))
    GROUP BY k8s_cluster, source_format, reporter
)
SELECT at_time, what, who, detail, k8s_cluster AS cluster, source_format
FROM happenings
ORDER BY at_time, what, detail, who, k8s_cluster, source_format
LIMIT $limit_rows

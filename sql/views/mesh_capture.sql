-- view: mesh_capture
-- question: What did each source deliver on each day, how late, and how complete were its records?
-- row: one source on one UTC day: cluster, format, side and transport
-- cost: 25 columns of every event of the dates asked for; event_date, k8s_cluster, mesh, source_format and reporter go through to the files
-- column: events  -- records understood, copies included
-- column: with_type  -- of them, those that say what kind of event it was
-- column: with_own_time  -- those whose time is the record's own, not a shipper's or our own
-- column: with_place  -- those that say where: cluster, or the callee's name or address
-- column: with_origin  -- those that say from where: the caller's address, workload or identity
-- column: with_outcome  -- those that say how it was decided or ended
-- column: with_target  -- those that name what was asked for: path, object, statement, service or port
-- column: by_certificate  -- those whose caller is known by a certificate that verified
-- column: by_token  -- those whose caller is known by a token that was accepted: a JWT, a token of Consul
-- column: by_control_plane  -- those whose caller a control plane or gateway authenticated itself
-- column: claimed_only  -- those whose caller is named by nothing but its own word
-- column: by_nobody  -- those that name no caller, an anonymous one, or only an address
-- column: not_fully_parsed  -- those of which something was not understood, or ambiguous
-- column: first_event  -- earliest event_time
-- column: last_event  -- latest event_time
-- column: first_received  -- earliest ingest_time
-- column: last_received  -- latest ingest_time
-- column: lag_seconds_avg  -- mean of ingest_time minus event_time
-- column: lag_seconds_max  -- the longest; of a long connection, its duration is in it
-- column: ahead_seconds_max  -- how far an event's clock was ahead of ours at most; NULL if none was
--
-- It counts what arrived. A source that never sent anything has no row; what was not understood is
-- in mesh_quarantine; what a shipper dropped nobody here knows. To prove that what is here was not
-- changed, use `meshledger verify`.
WITH known AS (
    SELECT
        *,
        CASE
            WHEN principal_type = 'anonymous' OR principal = 'anonymous' THEN 'nothing'
            WHEN principal_source IN ('unverified', 'header') THEN 'claim'
            WHEN principal_source IN ('jwt', 'acl_token') THEN 'token'
            WHEN principal_source IN ('k8s_user', 'session') THEN 'control plane'
            WHEN principal_source = 'mtls' OR (mtls AND src_identity IS NOT NULL) THEN 'certificate'
            ELSE 'nothing'
        END AS known_by
    FROM mesh_events
)
SELECT
    event_date,
    k8s_cluster,
    mesh,
    source_format,
    reporter,
    transport,
    COUNT(*) AS events,
    SUM(CASE WHEN event_kind NOT IN ('log', 'unknown') THEN 1 ELSE 0 END) AS with_type,
    SUM(CASE WHEN event_time_source = 'payload' THEN 1 ELSE 0 END) AS with_own_time,
    SUM(CASE WHEN COALESCE(k8s_cluster, dst_cluster, dst_service, dst_workload, dst_ip) IS NOT NULL
        THEN 1 ELSE 0 END) AS with_place,
    SUM(CASE WHEN COALESCE(src_ip, src_identity, src_workload) IS NOT NULL THEN 1 ELSE 0 END) AS with_origin,
    SUM(CASE WHEN decision <> 'unknown' THEN 1 ELSE 0 END) AS with_outcome,
    SUM(CASE
        WHEN COALESCE(url_path, resource_type, statement, dst_service, dst_workload) IS NOT NULL THEN 1
        WHEN dst_port IS NOT NULL THEN 1
        ELSE 0
    END) AS with_target,
    SUM(CASE WHEN known_by = 'certificate' THEN 1 ELSE 0 END) AS by_certificate,
    SUM(CASE WHEN known_by = 'token' THEN 1 ELSE 0 END) AS by_token,
    SUM(CASE WHEN known_by = 'control plane' THEN 1 ELSE 0 END) AS by_control_plane,
    SUM(CASE WHEN known_by = 'claim' THEN 1 ELSE 0 END) AS claimed_only,
    SUM(CASE WHEN known_by = 'nothing' THEN 1 ELSE 0 END) AS by_nobody,
    SUM(CASE WHEN parse_status <> 'ok' THEN 1 ELSE 0 END) AS not_fully_parsed,
    MIN(event_time) AS first_event,
    MAX(event_time) AS last_event,
    MIN(ingest_time) AS first_received,
    MAX(ingest_time) AS last_received,
    ROUND(AVG(CAST(date_part('epoch', ingest_time) - date_part('epoch', event_time) AS DOUBLE)), 3) AS lag_seconds_avg,
    ROUND(MAX(CAST(date_part('epoch', ingest_time) - date_part('epoch', event_time) AS DOUBLE)), 3) AS lag_seconds_max,
    ROUND(MAX(CASE WHEN event_time > ingest_time
        THEN CAST(date_part('epoch', event_time) - date_part('epoch', ingest_time) AS DOUBLE) END), 3) AS ahead_seconds_max
FROM known
GROUP BY 1, 2, 3, 4, 5, 6

-- view: mesh_tls_failures
-- question: Which TLS handshakes failed, between whom, and why?
-- row: one record of a failed handshake, of the client's side or the server's
-- cost: the columns asked for, of files with failures: tls_failure has statistics, and so have the dates, tls_failure_reason and the names of both ends
-- column: seen_by  -- client or server: whose proxy wrote the record
-- column: reason  -- the normalised cause; (not said) where the record has none
-- column: caller  -- the client: workload identity, else principal, workload, service, address
-- column: identified  -- yes; claimed, where the peer's certificate did not verify; address only
-- column: service  -- the server: service, else workload, identity, host, address
-- column: certificate_ended  -- whether the certificate shown had ended then; NULL if none was shown
--
-- Do not add up what client and server saw: both may tell of one handshake. With Istio's default
-- format the client's record is the only one, apart from plain text that no filter chain took.
-- One record of the client's proxy is one request, which may have tried several handshakes.
SELECT
    event_time,
    event_date,
    CASE
        WHEN tls_failure_side = 'upstream' THEN 'client'
        WHEN tls_failure_side = 'downstream' THEN 'server'
        WHEN reporter IN ('source', 'gateway') THEN 'client'
        WHEN reporter = 'destination' THEN 'server'
        ELSE '(not said)'
    END AS seen_by,
    COALESCE(tls_failure_reason, '(not said)') AS reason,
    tls_failure_reason,
    tls_failure_detail,
    decision,
    COALESCE(src_identity, principal, src_workload, src_service, src_ip, '(unknown)') AS caller,
    CASE
        WHEN principal_source IN ('unverified', 'header') THEN 'claimed'
        WHEN COALESCE(src_identity, principal, src_workload, src_service) IS NULL THEN 'address only'
        ELSE 'yes'
    END AS identified,
    principal,
    src_identity,
    src_namespace,
    src_ip,
    COALESCE(dst_service, dst_workload, dst_identity, http_host, dst_ip, '(not named)') AS service,
    dst_service,
    dst_workload,
    dst_identity,
    dst_namespace,
    dst_ip,
    dst_port,
    tls_version,
    tls_sni,
    peer_cert_sha256,
    peer_cert_serial,
    peer_cert_not_after,
    peer_cert_not_after <= event_time AS certificate_ended,
    event_kind,
    k8s_cluster,
    k8s_namespace,
    reporter,
    mesh,
    source_format,
    request_id,
    trace_id,
    segment,
    segment_row
FROM mesh_events
WHERE tls_failure

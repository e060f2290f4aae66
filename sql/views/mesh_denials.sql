-- view: mesh_denials
-- question: Who was denied what, and by which policy?
-- row: one denial, as the proxy or control plane that decided it wrote it
-- cost: the columns asked for, of files with denials: decision has statistics, and so have the dates and most of what names somebody or something here
-- column: decided_by  -- what decided: rbac, jwt, ext_authz, rate_limit, mtls, csrf, k8s_rbac, k8s_admission, k8s_authn, acl, guardrail, review, app
-- column: policy  -- namespace/name of the policy that denied; where none did, the reason in parentheses
-- column: caller  -- who asked: principal, else workload identity, workload, address
-- column: identified  -- yes; claimed, where nothing but the caller's word names it; address only
-- column: service  -- what was asked: service, else workload, identity, host; an API for requests to a control plane
-- column: service_namespace  -- its namespace; of a request to a control plane that of the object
--
-- Every side counts: only the proxy that decided logs a denial. Its peer logs the same request as
-- allowed, with the status it was handed (403), so nothing is here twice, except copies that a
-- sender sent again.
-- A rate limit, a token check or a TLS refusal may carry the rule that had allowed the request
-- before: that rule stands in policy_rule as recorded, and is not shown as the policy.
SELECT
    event_time,
    event_date,
    COALESCE(decision_source, '(not said)') AS decided_by,
    CASE
        WHEN decision_source IN ('rate_limit', 'jwt', 'csrf', 'mtls', 'proxy')
            THEN '(' || COALESCE(decision_reason, 'no rule named') || ')'
        WHEN policy_name IS NOT NULL AND COALESCE(policy_namespace, '') <> ''
            THEN policy_namespace || '/' || policy_name
        WHEN policy_name IS NULL AND policy_rule IS NULL AND reporter = 'control_plane'
            THEN '(' || COALESCE(decision_source, 'no rule named') || ')'
        ELSE COALESCE(policy_name, policy_rule, '(' || COALESCE(decision_reason, 'no rule named') || ')')
    END AS policy,
    decision_reason,
    policy_rule,
    policy_kind,
    policy_namespace,
    policy_name,
    COALESCE(principal, src_identity, src_workload, src_ip, '(unknown)') AS caller,
    CASE
        WHEN principal_source IN ('unverified', 'header') THEN 'claimed'
        WHEN COALESCE(principal, src_identity, src_workload) IS NULL THEN 'address only'
        ELSE 'yes'
    END AS identified,
    principal,
    principal_type,
    user_name,
    impersonated_user,
    src_identity,
    src_namespace,
    src_workload,
    src_ip,
    COALESCE(dst_service, dst_workload, dst_identity, http_host,
        CASE WHEN reporter = 'control_plane' THEN mesh || ' API' END, '(not named)') AS service,
    COALESCE(dst_namespace, resource_namespace,
        CASE WHEN reporter = 'destination' THEN k8s_namespace END) AS service_namespace,
    dst_service,
    dst_namespace,
    dst_workload,
    event_kind,
    http_method,
    http_host,
    url_path,
    http_status,
    grpc_status,
    change_op,
    resource_type,
    resource_namespace,
    resource_name,
    k8s_cluster,
    reporter,
    mesh,
    source_format,
    request_id,
    trace_id,
    segment,
    segment_row
FROM mesh_events
WHERE decision = 'deny'

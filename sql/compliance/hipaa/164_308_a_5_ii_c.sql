-- question: Which attempts to authenticate failed?
-- name: hipaa_164_308_a_5_ii_c
-- control: HIPAA Security Rule, 45 CFR 164.308(a)(5)(ii)(C)
-- param: since timestamp = NULL  -- first moment of the period, inclusive; NULL is the beginning
-- param: until timestamp = NULL  -- last moment of the period, exclusive; NULL is the end
-- param: limit_rows integer = 1000  -- most rows returned
-- cost: the partitions between since and until: about 20 columns of the files with denials or TLS failures, which statistics find
--
-- It shows failed authentication by caller: tokens that were refused, credentials that a control
-- plane did not accept, plain text where a certificate is demanded, and certificates that did not
-- verify, with how often, when first and last, and one reason.
-- It does not show people logging in to an application or an identity provider, whose own log has
-- them. A caller that failed is named by what it claimed or by its address. Both sides of one
-- handshake may be counted.
WITH failures AS (
    SELECT
        COALESCE(principal, src_identity, src_workload, src_ip, '(unknown)') AS caller,
        CASE
            WHEN principal_source IN ('unverified', 'header') THEN 'claimed'
            WHEN COALESCE(principal, src_identity, src_workload) IS NULL THEN 'address only'
            ELSE 'yes'
        END AS identified,
        COALESCE(dst_service, dst_workload, dst_identity, http_host,
            CASE WHEN reporter = 'control_plane' THEN mesh || ' API' END, dst_ip, '(not named)') AS service,
        CASE
            WHEN tls_failure OR decision_source = 'mtls' THEN 'certificate'
            WHEN decision_source = 'jwt' THEN 'token'
            ELSE 'control plane'
        END AS authentication,
        COALESCE(tls_failure_reason, decision_reason, '(not said)') AS reason,
        src_ip,
        event_time
    FROM mesh_events
    WHERE ((decision = 'deny' AND decision_source IN ('jwt', 'mtls', 'k8s_authn')) OR tls_failure)
        AND ($since IS NULL OR event_time >= $since)
        AND ($since IS NULL OR event_date >= CAST($since AS DATE))
        AND ($until IS NULL OR event_time < $until)
        AND ($until IS NULL OR event_date <= CAST($until AS DATE))
)
SELECT
    caller,
    identified,
    service,
    authentication,
    COUNT(*) AS failures,
    COUNT(DISTINCT reason) AS reasons,
    MIN(reason) AS one_reason,
    COUNT(DISTINCT src_ip) AS addresses,
    MIN(event_time) AS first_failure,
    MAX(event_time) AS last_failure
FROM failures
GROUP BY caller, identified, service, authentication
ORDER BY failures DESC, caller, identified, service, authentication
LIMIT $limit_rows

-- question: Which system-level objects were created or deleted?
-- name: pci_dss_10_2_1_7
-- control: PCI DSS 4.0.1, 10.2.1.7
-- param: since timestamp = NULL  -- first moment of the period, inclusive; NULL is the beginning
-- param: until timestamp = NULL  -- last moment of the period, exclusive; NULL is the end
-- param: type text = NULL  -- only objects of this type, plural as in namespaces
-- param: limit_rows integer = 1000  -- most rows returned
-- cost: the partitions between since and until, 19 columns of the files with calls to a control plane; http_method and resource_type have statistics
--
-- It shows who created or deleted objects of the cluster and the mesh: namespaces, nodes,
-- workloads, services, resource definitions, webhooks, volumes, and every policy object. Objects
-- that come and go by the thousand (pods, leases, events, reviews) are left out, and so are calls
-- of the machine accounts of Kubernetes itself.
-- It does not show objects of the operating system or of a database, nor what a controller creates
-- because of an object that is here.
SELECT
    event_time,
    COALESCE(CASE WHEN impersonated_user IS NOT NULL THEN user_name END, principal, user_name, '(unknown)') AS who,
    impersonated_user AS acted_as,
    CASE WHEN http_method = 'POST' THEN 'create' ELSE 'delete' END AS verb,
    resource_group,
    resource_type,
    resource_namespace,
    resource_name,
    decision,
    http_status,
    src_ip,
    k8s_cluster AS cluster,
    request_id,
    segment,
    segment_row
FROM mesh_events
WHERE event_kind IN ('api_call', 'policy_change')
    AND http_method IN ('POST', 'DELETE')
    AND strpos(resource_type, '/') = 0
    AND resource_type NOT IN ('pods', 'events', 'leases', 'endpoints', 'endpointslices', 'tokenreviews',
        'subjectaccessreviews', 'selfsubjectaccessreviews', 'selfsubjectrulesreviews', 'selfsubjectreviews')
    AND COALESCE(principal_type, '') <> 'machine'
    AND ($type IS NULL OR resource_type = $type)
    AND ($since IS NULL OR event_time >= $since)
    AND ($since IS NULL OR event_date >= CAST($since AS DATE))
    AND ($until IS NULL OR event_time < $until)
    AND ($until IS NULL OR event_date <= CAST($until AS DATE))
ORDER BY event_time, segment, segment_row
LIMIT $limit_rows

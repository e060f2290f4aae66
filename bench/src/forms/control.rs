//! What control planes write: Consul's audit log and that of Kubernetes.

use std::fmt::Write as _;

use super::call::Call;
use super::mesh;

/// People and machines that change things, with what they are in.
const USERS: [(&str, &str); 8] = [
    ("alice@example.com", "[\"platform\",\"system:authenticated\"]"),
    ("bob@example.com", "[\"dev\",\"system:authenticated\"]"),
    ("carol@example.com", "[\"security\",\"system:authenticated\"]"),
    (
        "system:serviceaccount:argocd:argocd-application-controller",
        "[\"system:serviceaccounts\",\"system:serviceaccounts:argocd\",\"system:authenticated\"]",
    ),
    (
        "system:serviceaccount:istio-system:istiod",
        "[\"system:serviceaccounts\",\"system:serviceaccounts:istio-system\",\"system:authenticated\"]",
    ),
    ("system:kube-controller-manager", "[\"system:authenticated\"]"),
    (
        "system:serviceaccount:kube-system:generic-garbage-collector",
        "[\"system:serviceaccounts\",\"system:serviceaccounts:kube-system\",\"system:authenticated\"]",
    ),
    (
        "system:node:ip-10-0-3-17.eu-central-1.compute.internal",
        "[\"system:nodes\",\"system:authenticated\"]",
    ),
];

const AGENTS: [&str; 4] = [
    "kubectl/v1.34.1 (linux/amd64) kubernetes/93248f9",
    "argocd-application-controller/v0.0.0 (linux/amd64) kubernetes/$Format",
    "pilot-discovery/1.27.0",
    "kube-controller-manager/v1.34.1 (linux/amd64) kubernetes/93248f9/system:serviceaccount:kube-system",
];

/// Group, version, resource: what Kubernetes is asked about. The last three are mesh policies,
/// which audit policies of a mesh keep with their content.
const RESOURCES: [(&str, &str, &str); 8] = [
    ("", "v1", "pods"),
    ("", "v1", "configmaps"),
    ("coordination.k8s.io", "v1", "leases"),
    ("apps", "v1", "deployments"),
    ("discovery.k8s.io", "v1", "endpointslices"),
    ("security.istio.io", "v1", "authorizationpolicies"),
    ("security.istio.io", "v1", "peerauthentications"),
    ("networking.istio.io", "v1", "virtualservices"),
];

/// One event of the Kubernetes audit log: 970 bytes at level Metadata and 1,400 to 1,760 with
/// objects in the cases written by the documentation, of the same keys.
pub(super) fn k8s_audit(out: &mut String, call: &Call<'_>) {
    let kind = usize::try_from(call.below(8)).unwrap_or(0);
    // Policies are changed far less often than everything else is asked for.
    let kind = if call.below(10) == 0 { kind } else { kind % 5 };
    let (group, version, resource) = RESOURCES[kind];
    let is_policy = kind > 4;
    let verb = if is_policy {
        call.one(&["update", "patch", "create"])
    } else {
        call.one(&["get", "list", "watch", "update", "patch", "get", "update", "get"])
    };
    let (user, groups) = call.one(&USERS);
    let name = call.raw("node");
    let namespace = call.raw("authority").split('.').nth(1).unwrap_or("default");
    let api =
        if group.is_empty() { "/api/v1".to_owned() } else { format!("/apis/{group}/{version}") };
    let is_named = !matches!(verb, "list" | "watch" | "create");
    let (slash, named) = if is_named { ("/", name) } else { ("", "") };
    let is_denied = call.below(50) == 0;
    let level = if is_policy && !is_denied { "RequestResponse" } else { "Metadata" };
    let _ = write!(
        out,
        "{{\"kind\":\"Event\",\"apiVersion\":\"audit.k8s.io/v1\",\"level\":\"{level}\",\"auditID\":\"{}\",\
         \"stage\":\"ResponseComplete\",\"requestURI\":\"{api}/namespaces/{namespace}/{resource}{slash}{named}{}\",\
         \"verb\":\"{verb}\",\"user\":{{\"username\":\"{user}\",\"uid\":\"{}\",\"groups\":{groups}}},\
         \"sourceIPs\":[\"{}\"],\"userAgent\":\"{}\",\"objectRef\":{{\"resource\":\"{resource}\",\
         \"namespace\":\"{namespace}\"",
        call.raw("request_id"),
        if verb == "watch" {
            "?allowWatchBookmarks=true&timeoutSeconds=417&watch=true"
        } else {
            ""
        },
        Call::new(user, 0).uuid(),
        call.raw("downstream_remote_address").split(':').next().unwrap_or_default(),
        call.one(&AGENTS),
    );
    if is_named || verb == "create" {
        let _ = write!(out, ",\"name\":\"{name}\"");
    }
    if !group.is_empty() {
        let _ = write!(out, ",\"apiGroup\":\"{group}\"");
    }
    let _ = write!(out, ",\"apiVersion\":\"{version}\"}},");
    k8s_outcome(out, call, (verb, is_denied));
    if level == "RequestResponse" {
        let object = (group, version, resource, name, namespace);
        k8s_objects(out, call, object);
    }
    k8s_end(out, call, (user, is_denied));
}

fn k8s_outcome(out: &mut String, call: &Call<'_>, (verb, is_denied): (&str, bool)) {
    if is_denied {
        let message = format!("{} is forbidden", call.raw("node"));
        let _ = write!(
            out,
            "\"responseStatus\":{{\"metadata\":{{}},\"status\":\"Failure\",\"message\":\"{message}\",\
             \"reason\":\"Forbidden\",\"code\":403}},"
        );
    } else {
        let code = if verb == "create" { 201 } else { 200 };
        let _ = write!(out, "\"responseStatus\":{{\"metadata\":{{}},\"code\":{code}}},");
    }
}

/// The object as it was sent and as it is now.
fn k8s_objects(
    out: &mut String,
    call: &Call<'_>,
    (group, version, resource, name, namespace): (&str, &str, &str, &str, &str),
) {
    let kind = match resource {
        "authorizationpolicies" => "AuthorizationPolicy",
        "peerauthentications" => "PeerAuthentication",
        _ => "VirtualService",
    };
    let spec = format!(
        "\"spec\":{{\"selector\":{{\"matchLabels\":{{\"app\":\"{name}\"}}}},\"action\":\"{}\",\
         \"rules\":[{{\"to\":[{{\"operation\":{{\"paths\":[\"{}\"]}}}}]}}]}}",
        call.one(&["ALLOW", "DENY"]),
        call.raw("path_nq"),
    );
    let head = format!(
        "\"apiVersion\":\"{group}/{version}\",\"kind\":\"{kind}\",\"metadata\":{{\"name\":\"{name}\",\"namespace\":\"{namespace}\""
    );
    let _ = write!(out, "\"requestObject\":{{{head}}},{spec}}},");
    let _ = write!(
        out,
        "\"responseObject\":{{{head},\"uid\":\"{}\",\"resourceVersion\":\"{}\",\"generation\":{},\
         \"creationTimestamp\":\"2026-07-01T08:00:00Z\"}},{spec}}},",
        Call::new(name, 1).uuid(),
        call.below(90_000_000),
        call.below(40),
    );
}

fn k8s_end(out: &mut String, call: &Call<'_>, (user, is_denied): (&str, bool)) {
    let (decision, reason) = if is_denied {
        ("forbid", String::new())
    } else {
        let name = user.rsplit(':').next().unwrap_or(user);
        let role = name.split('@').next().unwrap_or(name);
        let reason = format!(
            "RBAC: allowed by ClusterRoleBinding \\\"{role}\\\" of ClusterRole \\\"{role}\\\" to User \\\"{user}\\\""
        );
        ("allow", reason)
    };
    let time = call.time(3);
    let later = Call::later(&time, call.number("duration"));
    let _ = write!(
        out,
        "\"requestReceivedTimestamp\":\"{time}Z\",\"stageTimestamp\":\"{later}Z\",\"annotations\":{{\
         \"authorization.k8s.io/decision\":\"{decision}\",\"authorization.k8s.io/reason\":\"{reason}\"}}}}"
    );
}

/// The same in a container runtime's log.
pub(super) fn cri_k8s_audit(out: &mut String, call: &Call<'_>) {
    out.push_str(&mesh::cri_prefix(call));
    k8s_audit(out, call);
}

/// Tokens of Consul: accessor and description.
const TOKENS: [(&str, &str); 4] = [
    ("08f05787-3609-8001-65b4-922e5d52e84c", "platform-admin"),
    ("3e1f0f4d-70a4-4a9b-9a44-0d9b8f1c2a77", "terraform"),
    (
        "9a7c11d0-55d2-4f0e-8f0a-6a1b7c4d2e90",
        "token created via login: {\\\"component\\\":\\\"connect-injector\\\"}",
    ),
    ("00000000-0000-0000-0000-000000000002", "Anonymous Token"),
];

/// One event of Consul's audit log: 550 to 600 bytes in its documentation and in the cases
/// written by it. Each request leaves two, one without a response when it begins.
pub(super) fn consul_audit(out: &mut String, call: &Call<'_>) {
    let (accessor, description) = call.one(&TOKENS);
    let name = call.raw("node").split('-').next().unwrap_or_default();
    let (method, endpoint) = match call.below(12) {
        0 => ("PUT", format!("/v1/connect/intentions/exact?source={name}&destination=db")),
        1 => ("PUT", "/v1/config".to_owned()),
        2 => ("GET", format!("/v1/kv/app/{name}?raw")),
        3 => ("PUT", format!("/v1/acl/token/{}", call.uuid())),
        4 => ("GET", "/v1/acl/policies".to_owned()),
        5 => ("PUT", "/v1/agent/service/register".to_owned()),
        _ => (
            "GET",
            format!(
                "/v1/health/service/{name}?index={}&passing=1&wait=300000ms",
                call.below(9_000_000)
            ),
        ),
    };
    let time = call.time(3);
    let _ = write!(
        out,
        "{{\"created_at\":\"{time}+01:00\",\"event_type\":\"audit\",\"payload\":{{\"id\":\"{}\",\"version\":\"1\",\
         \"type\":\"HTTPEvent\",\"timestamp\":\"{time}+01:00\",\"auth\":{{\"accessor_id\":\"{accessor}\",\
         \"description\":\"{description}\",\"create_time\":\"2026-07-01T11:01:51.652566+02:00\"}},\
         \"request\":{{\"operation\":\"{method}\",\"endpoint\":\"{endpoint}\",\"remote_addr\":\"{}\",\
         \"user_agent\":\"{}\",\"host\":\"127.0.0.1:8500\"}},",
        call.uuid(),
        call.caller(),
        call.one(&["consul/1.22.0", "Go-http-client/1.1", "consul-k8s/1.8.0"]),
    );
    match call.below(40) {
        0..20 => out.push_str("\"stage\":\"OperationStart\"}}"),
        20 => {
            let _ = write!(
                out,
                "\"response\":{{\"status\":\"403\",\"error\":\"Permission denied: token with AccessorID '{accessor}' lacks permission 'service:read' on \\\"{name}\\\"\"}},\"stage\":\"OperationComplete\"}}}}"
            );
        }
        _ => out.push_str("\"response\":{\"status\":\"200\"},\"stage\":\"OperationComplete\"}}"),
    }
}

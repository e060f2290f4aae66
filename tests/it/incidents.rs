//! An archive in which everything happened that a question asks about: two days of generated
//! traffic with its hidden incidents, every fixture that has no source of its own, the audit log of
//! both clusters' control planes around the incidents, a service that writes nothing, and copies.

use std::fs;

use common::date::rfc3339;
use meshledger_tests::cli::ml;
use meshledger_tests::laptop::Laptop;
use meshledger_tests::paths::fixture;
use meshledger_tests::records;
use serde_json::{Value, json};
use traffic::{Config, Format, Incident, IncidentKind};

const SEED: u64 = 7;
const EVENTS: u64 = 16_000;
const SECOND: i64 = 1_000_000;
const CLUSTERS: [&str; 2] = ["prod-eu-1", "prod-us-1"];
/// Folders of `tests/data` whose cases are archived, rejects included.
const CASES: [&str; 8] =
    ["consul", "envoy_text", "hoop", "kubernetes", "linkerd", "otlp", "shippers", "ztunnel"];

/// The archive, sealed.
pub(crate) struct Incidents {
    pub(crate) laptop: Laptop,
    /// When the policy mistake of the traffic begins, and when it is over; microseconds.
    pub(crate) mistake: (i64, i64),
    /// A request that the mistake denied.
    pub(crate) request: String,
}

/// One request to the Kubernetes API, as its audit log has it.
pub(crate) struct Audit<'a> {
    pub(crate) id: u32,
    pub(crate) at_micros: i64,
    pub(crate) user: &'a str,
    pub(crate) groups: &'a [&'a str],
    pub(crate) acting_as: Option<&'a str>,
    pub(crate) verb: &'a str,
    /// `group/version`, or the version alone.
    pub(crate) api: &'a str,
    /// The resource, with `/subresource` if there is one.
    pub(crate) resource: &'a str,
    pub(crate) namespace: Option<&'a str>,
    pub(crate) name: &'a str,
    pub(crate) query: &'a str,
    pub(crate) code: u32,
    /// Role binding that allowed it, as the annotation has it.
    pub(crate) binding: &'a str,
    pub(crate) annotations: &'a [(&'a str, &'a str)],
    pub(crate) message: Option<&'a str>,
    pub(crate) sent: Value,
    pub(crate) answered: Value,
}

pub(crate) const ADMIN_BINDING: &str =
    "ClusterRoleBinding \"admins\" of ClusterRole \"cluster-admin\" to Group \"platform\"";
pub(crate) const EDIT_BINDING: &str =
    "RoleBinding \"editors/shop\" of Role \"edit\" to Group \"developers\"";

impl Default for Audit<'_> {
    fn default() -> Self {
        Self {
            id: 0,
            at_micros: 0,
            user: "alice@example.com",
            groups: &["platform", "system:authenticated"],
            acting_as: None,
            verb: "get",
            api: "v1",
            resource: "pods",
            namespace: Some("shop"),
            name: "cart-0",
            query: "",
            code: 200,
            binding: EDIT_BINDING,
            annotations: &[],
            message: None,
            sent: Value::Null,
            answered: Value::Null,
        }
    }
}

impl Audit<'_> {
    /// The event of its last stage.
    pub(crate) fn event(&self) -> Value {
        let (group, version) = self.api.split_once('/').unwrap_or(("", self.api));
        let (resource, subresource) = self.resource.split_once('/').unwrap_or((self.resource, ""));
        let root = if group.is_empty() { "/api".to_owned() } else { format!("/apis/{group}") };
        let within = self.namespace.map_or(String::new(), |name| format!("/namespaces/{name}"));
        let below = if subresource.is_empty() { String::new() } else { format!("/{subresource}") };
        let uri = format!("{root}/{version}{within}/{resource}/{}{below}{}", self.name, self.query);
        let mut annotations = json!({});
        if self.code != 401 {
            let allowed = self.code != 403 || self.message.is_some();
            annotations["authorization.k8s.io/decision"] =
                json!(if allowed { "allow" } else { "forbid" });
            if allowed {
                let reason = format!("RBAC: allowed by {}", self.binding);
                annotations["authorization.k8s.io/reason"] = json!(reason);
            }
        }
        for (key, value) in self.annotations {
            annotations[*key] = json!(value);
        }
        let mut event = json!({
            "kind": "Event",
            "apiVersion": "audit.k8s.io/v1",
            "level": if self.sent.is_null() { "Metadata" } else { "RequestResponse" },
            "auditID": format!("b0000000-0000-4000-8000-{:012}", self.id),
            "stage": "ResponseComplete",
            "requestURI": uri,
            "verb": self.verb,
            "user": {"username": self.user, "groups": self.groups},
            "sourceIPs": ["203.0.113.9"],
            "userAgent": "kubectl/v1.34.1",
            "objectRef": {"resource": resource, "name": self.name, "apiVersion": version},
            "responseStatus": {"metadata": {}, "code": self.code},
            "requestReceivedTimestamp": rfc3339(self.at_micros, 6),
            "stageTimestamp": rfc3339(self.at_micros + 4_000, 6),
            "annotations": annotations,
        });
        let optional = [
            ("namespace", self.namespace),
            ("apiGroup", Some(group).filter(|text| !text.is_empty())),
            ("subresource", Some(subresource).filter(|text| !text.is_empty())),
        ];
        for (key, value) in optional {
            if let Some(value) = value {
                event["objectRef"][key] = json!(value);
            }
        }
        if let Some(user) = self.acting_as {
            event["impersonatedUser"] = json!({"username": user});
        }
        if let Some(message) = self.message {
            event["responseStatus"]["message"] = json!(message);
        }
        for (key, value) in [("requestObject", &self.sent), ("responseObject", &self.answered)] {
            if !value.is_null() {
                event[key] = value.clone();
            }
        }
        event
    }
}

/// A policy of Istio as its control plane keeps it.
pub(crate) fn authorization_policy(namespace: &str, name: &str, action: &str) -> Value {
    json!({
        "apiVersion": "security.istio.io/v1",
        "kind": "AuthorizationPolicy",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"action": action},
    })
}

/// A change of an AuthorizationPolicy, content and all.
pub(crate) fn policy_change(
    id: u32,
    at_micros: i64,
    verb: &'static str,
    policy: &(&'static str, &'static str, &'static str),
) -> Value {
    let (namespace, name, action) = *policy;
    let object = authorization_policy(namespace, name, action);
    Audit {
        id,
        at_micros,
        verb,
        api: "security.istio.io/v1",
        resource: "authorizationpolicies",
        namespace: Some(namespace),
        name,
        code: if verb == "create" { 201 } else { 200 },
        sent: object.clone(),
        answered: object,
        ..Audit::default()
    }
    .event()
}

/// One line an event.
pub(crate) fn lines(events: &[Value]) -> String {
    events.iter().map(|event| format!("{event}\n")).collect()
}

impl Incidents {
    pub(crate) fn new() -> Self {
        let config = Config {
            seed: SEED,
            events: EVENTS,
            days: 2,
            format: Format::Mixed,
            ..Config::default()
        };
        let hidden = traffic::incidents(&config);
        let incident = |kind| hidden.iter().find(|incident| incident.kind == kind).unwrap();
        let (mistake, theft) =
            (incident(IncidentKind::PolicyMistake), incident(IncidentKind::StolenIdentity));
        let laptop = Laptop::new();
        generate(&laptop);
        for (number, cluster) in CLUSTERS.iter().enumerate() {
            let first_id = 1_000 * u32::try_from(number + 1).unwrap();
            let log = lines(&audit_log(first_id, mistake, theft));
            ingest(&laptop, cluster, &format!("audit-{cluster}.jsonl"), log.clone());
            // The webhook got no answer, and sent its last events once more.
            let again: Vec<&str> = log.lines().rev().take(9).collect();
            ingest(&laptop, cluster, &format!("again-{cluster}.jsonl"), again.join("\n"));
        }
        let legacy: String = (0..6)
            .map(|number| {
                let at = format!("2026-11-03T08:15:{:02}.125Z", number * 7);
                let record = records::at(&format!("legacy-{number}"), &at);
                record
                    .replace("inbound|9080||", "outbound|8080||legacy.shop.svc.cluster.local")
                    .replace("outbound_.9080_._.reviews", "outbound_.8080_._.legacy")
                    + "\n"
            })
            .collect();
        ingest(&laptop, CLUSTERS[0], "legacy.jsonl", legacy);
        ingest(&laptop, CLUSTERS[0], "rising.jsonl", rising());
        fixtures(&laptop);
        let _ = laptop.seal();
        Self {
            laptop,
            mistake: (mistake.start_micros, mistake.end_micros),
            request: mistake.request_ids.first().unwrap().clone(),
        }
    }
}

/// Denials and errors of which there were a few before there were many.
fn rising() -> String {
    let mut text = String::new();
    for (minute, count) in [(0, 2), (20, 6)] {
        for number in 0..count {
            let at = format!("2026-11-03T20:{minute:02}:{number:02}.500Z");
            let record = records::at(&format!("rising-{minute}-{number}"), &at);
            let denied = record
                .replace(
                    "via_upstream",
                    "rbac_access_denied_matched_policy[ns[shop]-policy[rising]-rule[0]]",
                )
                .replace("\"response_code\":200", "\"response_code\":403");
            let failed = record
                .replace(
                    "via_upstream",
                    "upstream_reset_before_response_started{connection_failure}",
                )
                .replace("\"response_code\":200", "\"response_code\":503");
            text.push_str(&format!("{denied}\n{failed}\n"));
        }
    }
    text
}

/// Ingests the generated traffic, and a part of it once more.
fn generate(laptop: &Laptop) {
    let out = laptop.path("traffic");
    let (seed, events) = (SEED.to_string(), EVENTS.to_string());
    let args = ["--seed", &seed, "--events", &events, "--days", "2", "--format", "mixed"];
    let _ = ml(["generate", "--out"]).args([&out]).args(args).run().expect(0);
    for cluster in CLUSTERS {
        let text = fs::read_to_string(out.join(format!("{cluster}.jsonl"))).unwrap();
        // A shipper that lost its place sends 40 lines again.
        let again: String =
            text.lines().skip(1_000).take(40).map(|line| format!("{line}\n")).collect();
        ingest(laptop, cluster, &format!("{cluster}.jsonl"), text);
        ingest(laptop, cluster, &format!("{cluster}-again.jsonl"), again);
    }
}

/// Ingests the records of the captured files and of the cases.
fn fixtures(laptop: &Laptop) {
    for name in ["captured-extended", "captured2-default", "captured2-full"] {
        let bytes = fs::read(fixture(&format!("envoy/{name}.jsonl"))).unwrap();
        ingest(laptop, "lab", &format!("{name}.jsonl"), bytes);
    }
    for folder in CASES {
        let cases = fs::read_to_string(fixture(&format!("{folder}/cases.jsonl"))).unwrap();
        let case = |line: &str| serde_json::from_str::<Value>(line).unwrap();
        let records = cases.lines().map(case).filter(|case| case["source"] == "auto");
        let one_line = |case: Value| {
            case["record"]
                .as_str()
                .filter(|text| !text.contains('\n'))
                .map(|text| format!("{text}\n"))
        };
        let text: String = records.filter_map(one_line).collect();
        ingest(laptop, "lab", &format!("{folder}.log"), text);
    }
}

fn ingest(laptop: &Laptop, cluster: &str, name: &str, bytes: impl AsRef<[u8]>) {
    let file = laptop.write(name, bytes);
    let summary = laptop
        .command("ingest")
        .args(["--json", "--cluster", cluster])
        .args([file])
        .run()
        .expect(0)
        .json();
    assert!(summary["events"].as_u64().unwrap() > 0, "{name}: {summary}");
}

/// What people and programs asked of a control plane.
fn audit_log(first_id: u32, mistake: &Incident, theft: &Incident) -> Vec<Value> {
    let day = 1_793_577_600 * SECOND; // 2026-11-02
    let (begins, ends) = (mistake.start_micros, mistake.end_micros);
    let allow = ("shop", "frontend-allow", "ALLOW");
    let deny = ("shop", "frontend-allow", "DENY");
    let mut events = vec![
        policy_change(first_id, day + 3_600 * SECOND, "create", &allow),
        policy_change(first_id + 1, begins - 20 * SECOND, "update", &deny),
        policy_change(first_id + 2, ends + 5 * SECOND, "update", &allow),
        policy_change(
            first_id + 3,
            theft.start_micros - 30 * SECOND,
            "create",
            &("users", "strict", "ALLOW"),
        ),
        policy_change(
            first_id + 4,
            theft.start_micros - 10 * SECOND,
            "create",
            &("istio-system", "default", "ALLOW"),
        ),
    ];
    // One cluster's people work on the first day, the other's on the second.
    let hours = if first_id < 2_000 { 9 } else { 36 };
    let more = privileged(first_id + 100, day + hours * 3_600 * SECOND);
    events.extend(more.iter().map(Audit::event));
    events
}

/// Every kind of privilege, and what else of a control plane is asked for in reports.
pub(crate) fn privileged(first_id: u32, from_micros: i64) -> Vec<Audit<'static>> {
    let mut all = privileges();
    all.extend(other_calls());
    for (place, event) in (0u32..).zip(&mut all) {
        event.id = first_id + place;
        event.at_micros = from_micros + i64::from(place) * 61 * SECOND;
    }
    all
}

fn audit(verb: &'static str, resource: &'static str, name: &'static str) -> Audit<'static> {
    Audit { verb, resource, name, ..Audit::default() }
}

fn privileges() -> Vec<Audit<'static>> {
    const RBAC: &str = "rbac.authorization.k8s.io/v1";
    vec![
        Audit {
            query: "?command=sh&stdin=true&tty=true",
            code: 101,
            ..audit("create", "pods/exec", "cart-0")
        },
        Audit {
            user: "bob",
            groups: &["developers"],
            code: 403,
            ..audit("create", "pods/exec", "cart-0")
        },
        Audit { code: 101, ..audit("create", "pods/attach", "cart-0") },
        audit("patch", "pods/ephemeralcontainers", "cart-0"),
        Audit { code: 101, ..audit("create", "pods/portforward", "cart-0") },
        audit("get", "nodes/proxy", "node-1"),
        audit("get", "secrets", "db-password"),
        Audit { user: "system:serviceaccount:ci:deployer", ..audit("list", "secrets", "") },
        audit("update", "secrets", "db-password"),
        Audit { api: RBAC, code: 201, ..audit("create", "rolebindings", "bob-admin") },
        Audit { api: RBAC, namespace: None, ..audit("delete", "clusterroles", "old") },
        Audit { code: 201, ..audit("create", "serviceaccounts/token", "deployer") },
        Audit { code: 201, ..audit("create", "serviceaccounts", "robot") },
        audit("delete", "serviceaccounts", "robot"),
        Audit {
            api: "certificates.k8s.io/v1",
            namespace: None,
            ..audit("update", "certificatesigningrequests/approval", "csr-7")
        },
        Audit {
            api: "admissionregistration.k8s.io/v1",
            namespace: None,
            ..audit("patch", "mutatingwebhookconfigurations", "istio-sidecar-injector")
        },
        Audit {
            acting_as: Some("system:serviceaccount:shop:cart"),
            ..audit("get", "configmaps", "cart")
        },
        Audit { binding: ADMIN_BINDING, ..audit("get", "configmaps", "cart") },
        Audit { user: "carol", groups: &["system:masters"], ..audit("list", "nodes", "") },
    ]
}

fn other_calls() -> Vec<Audit<'static>> {
    vec![
        audit("get", "pods/log", "cart-0"),
        Audit {
            user: "bob",
            groups: &["developers"],
            code: 403,
            ..audit("get", "pods/log", "payments-0")
        },
        Audit {
            api: "telemetry.istio.io/v1",
            namespace: Some("istio-system"),
            ..audit("delete", "telemetries", "mesh-default")
        },
        Audit {
            api: "networking.istio.io/v1alpha3",
            namespace: Some("istio-system"),
            ..audit("patch", "envoyfilters", "listener-log")
        },
        Audit { namespace: None, code: 201, ..audit("create", "namespaces", "staging") },
        Audit { api: "apps/v1", ..audit("delete", "deployments", "cart") },
        Audit { user: "mallory", groups: &[], code: 401, ..audit("list", "pods", "") },
        Audit {
            api: "apps/v1",
            code: 403,
            message: Some("admission webhook \"policy.example.com\" denied the request: no root"),
            ..audit("create", "deployments", "evil")
        },
        Audit {
            code: 201,
            annotations: &[(
                "pod-security.kubernetes.io/audit-violations",
                "would violate PodSecurity \"restricted:latest\": runAsNonRoot != true",
            )],
            ..audit("create", "pods", "debug")
        },
    ]
}

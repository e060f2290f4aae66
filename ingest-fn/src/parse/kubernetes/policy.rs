//! Which resources are mesh policy, and which of them can silence the mesh.
//! Source: the CRD manifests of Istio, Linkerd and Consul, as collected in the format reference.

use std::borrow::Cow;

use super::call::{Call, Resource};
use super::walk;

/// Groups whose every resource is policy.
const GROUPS: [&str; 15] = [
    "security.istio.io",
    "networking.istio.io",
    "extensions.istio.io",
    "telemetry.istio.io",
    "install.istio.io",
    "sailoperator.io",
    "policy.linkerd.io",
    "linkerd.io",
    "workload.linkerd.io",
    "multicluster.linkerd.io",
    "consul.hashicorp.com",
    "auth.consul.hashicorp.com",
    "gateway.networking.k8s.io",
    "rbac.authorization.k8s.io",
    "cert-manager.io",
];

/// Namespace of Istio's control plane.
const ISTIO_SYSTEM: &[u8] = b"istio-system";

/// Whether a changing call is about mesh policy.
pub(super) fn is_policy(call: &Call<'_>) -> bool {
    let resource = &call.resource;
    let group = resource.group.as_deref().unwrap_or_default();
    GROUPS.iter().any(|known| known.as_bytes() == group)
        || is_policy_by_name(resource)
        || is_membership(call)
}

fn is_policy_by_name(resource: &Resource<'_>) -> bool {
    let group = resource.group.as_deref().unwrap_or_default();
    let kind = resource.resource.as_deref().unwrap_or_default();
    let name = resource.name.as_deref().unwrap_or_default();
    match (group, kind) {
        (b"networking.k8s.io", b"networkpolicies" | b"ingresses") => true,
        (
            b"admissionregistration.k8s.io",
            b"mutatingwebhookconfigurations" | b"validatingwebhookconfigurations",
        ) => true,
        (b"apiextensions.k8s.io", b"customresourcedefinitions") => GROUPS.iter().any(|known| {
            name.strip_suffix(known.as_bytes()).is_some_and(|plural| plural.ends_with(b"."))
        }),
        (b"", b"configmaps") => {
            resource.namespace.as_deref() == Some(ISTIO_SYSTEM)
                && matches!(name, b"istio" | b"istio-ca-root-cert")
        }
        (b"", b"secrets") => {
            matches!(name, b"cacerts" | b"istio-ca-secret" | b"linkerd-identity-issuer")
        }
        _ => false,
    }
}

/// Whether a change of this resource can switch access logging off.
pub(super) fn switches_logging(resource: &Resource<'_>) -> bool {
    match resource.group.as_deref().unwrap_or_default() {
        b"install.istio.io" | b"sailoperator.io" => true,
        b"telemetry.istio.io" => resource.is("telemetry.istio.io", "telemetries"),
        b"consul.hashicorp.com" => resource.is("consul.hashicorp.com", "proxydefaults"),
        b"" => {
            resource.is("", "configmaps")
                && resource.namespace.as_deref() == Some(ISTIO_SYSTEM)
                && resource.name.as_deref() == Some(b"istio")
        }
        _ => false,
    }
}

/// Whether a call sets, changes or removes the mark by which namespaces and workloads join the
/// mesh. A pod's creation only follows its template.
fn is_membership(call: &Call<'_>) -> bool {
    let resource = &call.resource;
    let changes_pod = matches!(call.verb.as_deref(), Some(b"update" | b"patch"));
    let joins = resource.is("", "namespaces")
        || resource.is("apps", "deployments")
        || (resource.is("", "pods") && changes_pod);
    joins
        && [&call.request, &call.response].into_iter().flatten().any(|object| {
            carries(object.text, At::Root) || walk::elements(object.text).any(patches)
        })
}

/// Whether a label or annotation belongs to a mesh.
fn is_mesh_key(key: &[u8]) -> bool {
    matches!(
        key,
        b"istio-injection"
            | b"istio.io/rev"
            | b"istio.io/dataplane-mode"
            | b"linkerd.io/inject"
            | b"sidecar.istio.io/inject"
    ) || key.starts_with(b"config.linkerd.io/")
}

/// Places in an object on the way to its labels, and its template's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    Root,
    Spec,
    Template,
    Metadata,
    Labels,
}

impl At {
    fn step(self, key: &[u8]) -> Option<Self> {
        match (self, key) {
            (Self::Root | Self::Template, b"metadata") => Some(Self::Metadata),
            (Self::Root, b"spec") => Some(Self::Spec),
            (Self::Spec, b"template") => Some(Self::Template),
            (Self::Metadata, b"labels" | b"annotations") => Some(Self::Labels),
            _ => None,
        }
    }
}

/// Whether an object that stands `at` has a key of a mesh among its labels or annotations.
fn carries(value: &[u8], at: At) -> bool {
    walk::members(value).any(|(key, value)| {
        walk::string(key).is_some_and(|key| match at {
            At::Labels => is_mesh_key(&key),
            _ => at.step(&key).is_some_and(|next| carries(value, next)),
        })
    })
}

/// Whether one operation of a JSON patch touches such a key.
fn patches(operation: &[u8]) -> bool {
    let (mut op, mut path, mut from, mut value) = (None, None, None, &b""[..]);
    for (key, member) in walk::members(operation) {
        match walk::string(key).as_deref() {
            Some(b"op") => op = walk::string(member),
            Some(b"path") => path = walk::string(member),
            Some(b"from") => from = walk::string(member),
            Some(b"value") => value = member,
            _ => {}
        }
    }
    // A move takes the key away from where it was.
    let moved = op.as_deref() == Some(b"move");
    path.is_some_and(|path| touches(&path, value))
        || (moved && from.is_some_and(|from| touches(&from, b"")))
}

/// Whether a JSON pointer leads to such a key, or the value placed there carries one.
fn touches(pointer: &[u8], value: &[u8]) -> bool {
    let mut at = At::Root;
    let steps = pointer.strip_prefix(b"/").map(|rest| rest.split(|&byte| byte == b'/'));
    for step in steps.into_iter().flatten() {
        let key = unescaped(step);
        if at == At::Labels {
            return is_mesh_key(&key);
        }
        let Some(next) = at.step(&key) else { return false };
        at = next;
    }
    carries(value, at)
}

/// A step of a JSON pointer: `~1` is `/`, `~0` is `~`.
fn unescaped(step: &[u8]) -> Cow<'_, [u8]> {
    if memchr::memchr(b'~', step).is_none() {
        return Cow::Borrowed(step);
    }
    let mut out = Vec::with_capacity(step.len());
    let mut bytes = step.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        match (byte, bytes.peek()) {
            (b'~', Some(b'1')) => out.push(b'/'),
            (b'~', Some(b'0')) => out.push(b'~'),
            _ => {
                out.push(byte);
                continue;
            }
        }
        bytes.next();
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mesh_keys_are_found_where_they_count() {
        for (object, expected) in [
            (r#"{"metadata":{"labels":{"istio-injection":"enabled"}}}"#, true),
            (r#"{"metadata":{"annotations":{"config.linkerd.io/x":null}}}"#, true),
            (r#"{"spec":{"template":{"metadata":{"labels":{"istio.io/rev":"a"}}}}}"#, true),
            (r#"{"spec":{"metadata":{"labels":{"istio.io/rev":"a"}}}}"#, false),
            (r#"{"metadata":{"istio.io/rev":"a"}}"#, false),
            (r#"{"metadata":{"labels":"istio.io/rev"}}"#, false),
            (r#"{"metadata":{"labels":{"\u0069stio.io/rev":"a"}}}"#, true),
        ] {
            assert_eq!(carries(object.as_bytes(), At::Root), expected, "{object}");
        }
    }

    #[test]
    fn json_patches_touch_keys_by_path_or_value() {
        for (operation, expected) in [
            (r#"{"op":"remove","path":"/metadata/labels/istio.io~1rev"}"#, true),
            (r#"{"op":"add","path":"/metadata/labels","value":{"istio.io/rev":"x"}}"#, true),
            (r#"{"op":"add","path":"/metadata","value":{"labels":{"istio.io/rev":"x"}}}"#, true),
            (
                r#"{"op":"add","path":"/spec/template/metadata/annotations/config.linkerd.io~1a"}"#,
                true,
            ),
            (
                r#"{"op":"move","from":"/metadata/labels/istio-injection","path":"/metadata/labels/x"}"#,
                true,
            ),
            (
                r#"{"op":"copy","from":"/metadata/labels/istio-injection","path":"/metadata/labels/x"}"#,
                false,
            ),
            (r#"{"op":"test","path":"/metadata/name","value":"istio.io/rev"}"#, false),
            (r#"{"op":"remove","path":"/metadata/labels/note~0istio"}"#, false),
            (r#"{"op":"remove","path":"metadata/labels/istio-injection"}"#, false),
            (r#"7"#, false),
        ] {
            assert_eq!(patches(operation.as_bytes()), expected, "{operation}");
        }
    }
}

//! What each function gives, beside slow judges of the same.

use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::prelude::SessionContext;

use super::*;

fn session() -> SessionContext {
    let mut state = SessionStateBuilder::new_with_default_features().build();
    register(&mut state).unwrap();
    SessionContext::new_with_state(state)
}

/// The values of the one column that a query answers.
fn column(session: &SessionContext, sql: &str) -> Result<Vec<String>> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let batches = runtime.block_on(async { session.sql(sql).await?.collect().await })?;
    let options = FormatOptions::default().with_null("NULL");
    let mut values = Vec::new();
    for batch in batches {
        let formatter = ArrayFormatter::try_new(batch.column(0), &options)?;
        values.extend((0..batch.num_rows()).map(|row| formatter.value(row).to_string()));
    }
    Ok(values)
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// A function of one text, of constants and of a column; each way must give the same.
#[track_caller]
fn check(function: &str, cases: &[(&str, &str)]) {
    let session = session();
    for (input, expected) in cases {
        let sql = format!("SELECT {function}({})", quoted(input));
        assert_eq!(column(&session, &sql).unwrap(), [*expected], "{sql}");
    }
    let rows = |(i, (input, _)): (usize, &(&str, &str))| format!("({i}, {})", quoted(input));
    let rows: Vec<String> = cases.iter().enumerate().map(rows).collect();
    let sql = format!(
        "SELECT {function}(x) FROM (VALUES {}, (100000, NULL)) AS t(i, x) ORDER BY i",
        rows.join(", ")
    );
    let expected: Vec<&str> = cases.iter().map(|(_, expected)| *expected).chain(["NULL"]).collect();
    assert_eq!(column(&session, &sql).unwrap(), expected, "{function} of a column");
    let null = format!("SELECT {function}(NULL)");
    assert_eq!(column(&session, &null).unwrap(), ["NULL"], "{null}");
}

/// One expression.
#[track_caller]
fn gives(cases: &[(&str, &str)]) {
    let session = session();
    for (expression, expected) in cases {
        let sql = format!("SELECT {expression}");
        assert_eq!(column(&session, &sql).unwrap(), [*expected], "{sql}");
    }
}

/// Random numbers that follow from a seed: SplitMix64.
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end
    }

    fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[usize::try_from(self.below(all.len() as u64)).unwrap()]
    }
}

const SPIFFE: &str = "spiffe://prod.example/ns/shop/sa/web";

#[test]
fn a_spiffe_id_has_a_trust_domain() {
    let long = format!("spiffe://{}/x", "d".repeat(256));
    let longest = format!("spiffe://{}/x", "d".repeat(255));
    check(
        "spiffe_trust_domain",
        &[
            (SPIFFE, "prod.example"),
            ("spiffe://prod.example", "prod.example"),
            ("spiffe://10.0.0.1/web", "10.0.0.1"),
            ("spiffe://my_trust-domain/web", "my_trust-domain"),
            (&longest, &"d".repeat(255)),
            (&long, "NULL"),
            ("spiffe:///web", "NULL"),
            ("spiffe://", "NULL"),
            ("", "NULL"),
            ("prod.example/web", "NULL"),
            ("https://prod.example/web", "NULL"),
            ("SPIFFE://prod.example/web", "NULL"),
            ("spiffe://Prod.example/web", "NULL"),
            ("spiffe://user@prod.example/web", "NULL"),
            ("spiffe://prod.example:443/web", "NULL"),
            ("spiffe://prod.example?q=1", "NULL"),
            ("spiffe://prod%2eexample/web", "NULL"),
            ("spiffe://pröd.example/web", "NULL"),
            (" spiffe://prod.example/web", "NULL"),
        ],
    );
}

#[test]
fn a_spiffe_id_has_a_path_of_whole_segments() {
    let longest = format!("spiffe://d/{}", "p".repeat(2048 - 11));
    let long = format!("{longest}p");
    check(
        "spiffe_path",
        &[
            (SPIFFE, "/ns/shop/sa/web"),
            ("spiffe://prod.example", ""),
            ("spiffe://prod.example/Web_1.2-x", "/Web_1.2-x"),
            (&longest, &longest[10..]),
            (&long, "NULL"),
            ("spiffe://prod.example/", "NULL"),
            ("spiffe://prod.example/web/", "NULL"),
            ("spiffe://prod.example//web", "NULL"),
            ("spiffe://prod.example/../web", "NULL"),
            ("spiffe://prod.example/./web", "NULL"),
            ("spiffe://prod.example/.../web", "/.../web"),
            ("spiffe://prod.example/web#a", "NULL"),
            ("spiffe://prod.example/web?a", "NULL"),
            ("spiffe://prod.example/w%20b", "NULL"),
            ("spiffe://prod.example/wéb", "NULL"),
        ],
    );
}

#[test]
fn keys_of_a_spiffe_path_have_values() {
    const CONSUL: &str = "spiffe://1234.consul/ns/default/dc/dc1/svc/web";
    const PARTITION: &str = "spiffe://1234.consul/ap/team/ns/default/dc/dc1/svc/web";
    check(
        "spiffe_namespace",
        &[
            (SPIFFE, "shop"),
            (CONSUL, "default"),
            (PARTITION, "default"),
            ("spiffe://d/ns/a/ns/b", "a"),
            ("spiffe://d/sa/ns", "NULL"),
            ("spiffe://d/ns", "NULL"),
            ("spiffe://d/ns/shop/sa", "NULL"),
            ("spiffe://d/web", "NULL"),
            ("spiffe://d", "NULL"),
        ],
    );
    check(
        "spiffe_service_account",
        &[(SPIFFE, "web"), (CONSUL, "NULL"), ("spiffe://d/x/sa", "NULL")],
    );
    check("spiffe_service", &[(CONSUL, "web"), (PARTITION, "web"), (SPIFFE, "NULL")]);
}

#[test]
fn a_service_account_is_known_in_three_forms() {
    let cases = [
        ("system:serviceaccount:shop:web", "shop", "web"),
        ("system:serviceaccount:kube-system:node-controller", "kube-system", "node-controller"),
        (SPIFFE, "shop", "web"),
        ("web.shop.serviceaccount.identity.linkerd.cluster.local", "shop", "web"),
        ("web.v2.shop.serviceaccount.identity.linkerd.cluster.local", "shop", "web.v2"),
        ("system:serviceaccount:shop", "NULL", "NULL"),
        ("system:serviceaccount::web", "NULL", "NULL"),
        ("system:serviceaccount:shop:", "NULL", "NULL"),
        ("system:serviceaccount:shop:web:x", "NULL", "NULL"),
        ("system:serviceaccount:sh.op:web", "NULL", "NULL"),
        ("system:serviceaccounts:shop", "NULL", "NULL"),
        ("system:node:worker-1", "NULL", "NULL"),
        ("alice@example.com", "NULL", "NULL"),
        ("spiffe://d/ns/shop/sa/web/x", "NULL", "NULL"),
        ("spiffe://d/ns/shop/dc/dc1/svc/web", "NULL", "NULL"),
        ("web.serviceaccount.identity.linkerd.cluster.local", "NULL", "NULL"),
        ("web.shop.serviceaccount.identity.", "NULL", "NULL"),
        ("web.shop.svc.cluster.local", "NULL", "NULL"),
        ("", "NULL", "NULL"),
    ];
    check("k8s_service_account_namespace", &cases.map(|(text, namespace, _)| (text, namespace)));
    check("k8s_service_account_name", &cases.map(|(text, _, name)| (text, name)));
}

#[test]
fn an_email_address_has_two_parts() {
    let cases = [
        ("Alice.B+x@Example.COM", "Alice.B+x", "example.com"),
        ("a@b", "a", "b"),
        ("@example.com", "NULL", "NULL"),
        ("alice@", "NULL", "NULL"),
        ("alice", "NULL", "NULL"),
        ("", "NULL", "NULL"),
        ("a@b@c", "NULL", "NULL"),
        ("Alice <alice@example.com>", "NULL", "NULL"),
        ("al ice@example.com", "NULL", "NULL"),
        ("\"a\"@example.com", "NULL", "NULL"),
    ];
    check("email_local_part", &cases.map(|(text, local, _)| (text, local)));
    check("email_domain", &cases.map(|(text, _, domain)| (text, domain)));
}

#[test]
fn ids_are_taken_out_of_paths() {
    check(
        "path_template",
        &[
            ("/orders/8812/items", "/orders/{}/items"),
            ("/orders/8812/items?page=2#top", "/orders/{}/items"),
            ("/orders#8812", "/orders"),
            ("/", "/"),
            ("", ""),
            ("*", "*"),
            ("?x=1", ""),
            ("//a//7//", "//a//{}//"),
            ("8812", "{}"),
            ("/v1/users/me", "/v1/users/me"),
            ("/v1.2/a", "/v1.2/a"),
            ("/1.2.3/a", "/{}/a"),
            ("/-5/x", "/{}/x"),
            ("/a/2026-11-02/b", "/a/{}/b"),
            ("/a/2026-11-02T10:00:00Z/b", "/a/{}/b"),
            ("/a/T1/b", "/a/T1/b"),
            ("/a/10.0.0.1/b", "/a/{}/b"),
            ("/a/-/b", "/a/-/b"),
            ("/u/123e4567-e89b-12d3-a456-426614174000", "/u/{}"),
            ("/u/123E4567-E89B-12D3-A456-426614174000/x", "/u/{}/x"),
            ("/commit/9fceb02d", "/commit/{}"),
            ("/words/deadbeef/x", "/words/deadbeef/x"),
            ("/words/facade/x", "/words/facade/x"),
            ("/id/deadbeefcafebabe", "/id/{}"),
            ("/id/0x1f00aa77", "/id/{}"),
            ("/id/507f1f77bcf86cd799439011", "/id/{}"),
            ("/id/01ARZ3NDEKTSV4RRFFQ69G5FAV", "/id/{}"),
            ("/t/eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJl", "/t/{}"),
            ("/shop.v1.CheckoutService/PlaceOrder", "/shop.v1.CheckoutService/PlaceOrder"),
            ("/apis/security.istio.io/v1beta1", "/apis/security.istio.io/v1beta1"),
            ("/products/cast-iron-pan-4871", "/products/{}"),
            ("/frontend-v2-canary/us-east-1/x", "/frontend-v2-canary/us-east-1/x"),
            ("/getUserProfileSettingsV2/x", "/getUserProfileSettingsV2/x"),
            ("/files/8812.json", "/files/{}.json"),
            ("/orders/8812:cancel", "/orders/{}:cancel"),
            ("/users/alice@example.com/keys", "/users/{}/keys"),
            ("/@scope/package", "/@scope/package"),
            ("/caf%C3%A9/8812", "/caf%C3%A9/{}"),
            ("/straße/8812/ü", "/straße/{}/ü"),
        ],
    );
}

#[test]
fn a_path_of_many_segments_is_cut_and_a_template_is_its_own_template() {
    let session = session();
    let template = |path: &str| {
        let sql = format!("SELECT path_template({})", quoted(path));
        column(&session, &sql).unwrap().remove(0)
    };
    assert_eq!(template(&"/7".repeat(63)), "/{}".repeat(63));
    assert_eq!(template(&"/7".repeat(64)), format!("{}/...", "/{}".repeat(63)));
    assert_eq!(template(&"/7".repeat(100_000)), format!("{}/...", "/{}".repeat(63)));
    let pieces = [
        "/",
        "7",
        "a",
        "x1",
        "-",
        ".",
        "2026-11-02",
        "T",
        "?",
        "@",
        ":",
        "f00dcafe",
        "é",
        "v1",
        "0123456789abcdef",
        "{}",
        "...",
        "%2F",
        "json",
    ];
    let mut chance = Chance(6);
    for _ in 0..500 {
        let path: String = (0..chance.below(12)).map(|_| chance.one_of(&pieces)).collect();
        let once = template(&path);
        assert_eq!(template(&once), once, "{path:?}");
        assert!(once.len() <= 2 * path.len() + 4, "{path:?} became {once:?}");
    }
}

#[test]
fn networks_contain_addresses() {
    let session = session();
    let contains = |cidr: &str, address: &str| {
        let sql = format!("SELECT cidr_contains({}, {})", quoted(cidr), quoted(address));
        column(&session, &sql).unwrap().remove(0)
    };
    for (cidr, address, expected) in [
        ("10.0.0.0/8", "10.255.255.255", "true"),
        ("10.0.0.0/8", "11.0.0.0", "false"),
        ("10.1.2.3/8", "10.9.9.9", "true"),
        ("0.0.0.0/0", "255.255.255.255", "true"),
        ("10.0.0.1/32", "10.0.0.1", "true"),
        ("10.0.0.1", "10.0.0.1", "true"),
        ("10.0.0.1", "10.0.0.2", "false"),
        ("2001:db8::/32", "2001:db8:ffff::1", "true"),
        ("2001:db8::/32", "2001:db9::", "false"),
        ("::/0", "2001:db8::1", "true"),
        ("::1", "::1", "true"),
        ("fe80::/10", "FEBF::1", "true"),
        // One family in the other's clothes.
        ("10.0.0.0/8", "::ffff:10.1.2.3", "true"),
        ("10.0.0.0/8", "::ffff:a01:203", "true"),
        ("::ffff:10.0.0.0/104", "10.1.2.3", "true"),
        ("::ffff:0:0/96", "192.0.2.1", "true"),
        ("::ffff:10.0.0.0/104", "11.1.2.3", "false"),
        ("::/0", "10.0.0.1", "false"),
        ("::/0", "::ffff:10.0.0.1", "false"),
        ("0.0.0.0/0", "2001:db8::1", "false"),
        ("10.0.0.0/33", "10.0.0.1", "NULL"),
        ("2001:db8::/129", "2001:db8::1", "NULL"),
        ("10.0.0.0/+8", "10.0.0.1", "NULL"),
        ("10.0.0.0/ 8", "10.0.0.1", "NULL"),
        ("10.0.0.0/", "10.0.0.1", "NULL"),
        ("10.0.0.0/8/8", "10.0.0.1", "NULL"),
        ("10.0.0/8", "10.0.0.1", "NULL"),
        ("", "10.0.0.1", "NULL"),
        ("10.0.0.0/8", "10.0.0.1:80", "NULL"),
        ("10.0.0.0/8", "010.0.0.1", "NULL"),
        ("10.0.0.0/8", "somewhere", "NULL"),
        ("10.0.0.0/8", "", "NULL"),
        ("fe80::/10", "fe80::1%eth0", "NULL"),
    ] {
        assert_eq!(contains(cidr, address), expected, "{cidr} {address}");
    }
    gives(&[
        ("cidr_contains(NULL, '10.0.0.1')", "NULL"),
        ("cidr_contains('10.0.0.0/8', NULL)", "NULL"),
    ]);
}

/// The bits of an address as a text of zeros and ones.
fn bits(address: std::net::IpAddr) -> String {
    match address {
        std::net::IpAddr::V4(address) => {
            address.octets().iter().map(|byte| format!("{byte:08b}")).collect()
        }
        std::net::IpAddr::V6(address) => {
            address.octets().iter().map(|byte| format!("{byte:08b}")).collect()
        }
    }
}

#[test]
fn networks_are_prefixes_of_bits() {
    let session = session();
    let mut chance = Chance(32);
    let (mut rows, mut expected) = (Vec::new(), Vec::new());
    for i in 0..2_000 {
        // Few different bytes, so that addresses share prefixes.
        let mut byte = || chance.one_of(&[0u8, 1, 127, 128, 254, 255]);
        let (network, address): (std::net::IpAddr, std::net::IpAddr) = if i % 2 == 0 {
            (
                std::array::from_fn::<u8, 4, _>(|_| byte()).into(),
                [byte(), byte(), byte(), byte()].into(),
            )
        } else {
            (
                std::array::from_fn::<u8, 16, _>(|_| byte()).into(),
                std::array::from_fn::<u8, 16, _>(|_| byte()).into(),
            )
        };
        let width = bits(network).len();
        let prefix = usize::try_from(chance.below(width as u64 + 1)).unwrap();
        rows.push(format!("({i}, '{network}/{prefix}', '{address}')"));
        expected.push((bits(network)[..prefix] == bits(address)[..prefix]).to_string());
    }
    assert!(expected.iter().filter(|is| *is == "true").count() > 100);
    let sql = format!(
        "SELECT cidr_contains(n, a) FROM (VALUES {}) AS t(i, n, a) ORDER BY i",
        rows.join(", ")
    );
    assert_eq!(column(&session, &sql).unwrap(), expected);
}

#[test]
fn addresses_have_a_family_and_may_be_private() {
    check(
        "ip_family",
        &[
            ("10.0.0.1", "4"),
            ("2001:db8::1", "6"),
            ("::ffff:10.0.0.1", "4"),
            ("::10.0.0.1", "6"),
            ("10.0.0.0/8", "NULL"),
            ("x", "NULL"),
        ],
    );
    check(
        "ip_is_private",
        &[
            ("10.0.0.1", "true"),
            ("172.15.255.255", "false"),
            ("172.16.0.0", "true"),
            ("172.31.255.255", "true"),
            ("172.32.0.0", "false"),
            ("192.168.1.1", "true"),
            ("::ffff:192.168.1.1", "true"),
            ("fd00::1", "true"),
            ("fe80::1", "false"),
            ("127.0.0.1", "false"),
            ("169.254.169.254", "false"),
            ("203.0.113.9", "false"),
            ("?", "NULL"),
        ],
    );
}

#[test]
fn decisions_and_severities_have_names() {
    check(
        "is_denied",
        &[
            ("deny", "true"),
            ("allow", "false"),
            ("error", "false"),
            ("DENY", "false"),
            ("", "false"),
        ],
    );
    gives(&[
        ("would_be_denied('allow', 'deny')", "true"),
        ("would_be_denied('error', 'deny')", "true"),
        ("would_be_denied('deny', 'deny')", "false"),
        ("would_be_denied('allow', 'allow')", "false"),
        ("would_be_denied('allow', NULL)", "false"),
        ("would_be_denied(NULL, 'deny')", "NULL"),
        ("would_be_denied(NULL, NULL)", "false"),
        ("http_status_class(100)", "1xx"),
        ("http_status_class(204)", "2xx"),
        ("http_status_class(308)", "3xx"),
        ("http_status_class(404)", "4xx"),
        ("http_status_class(599)", "5xx"),
        ("http_status_class(600)", "NULL"),
        ("http_status_class(0)", "NULL"),
        ("http_status_class(-200)", "NULL"),
        ("http_status_class(NULL)", "NULL"),
        ("grpc_status_name(0)", "OK"),
        ("grpc_status_name(7)", "PERMISSION_DENIED"),
        ("grpc_status_name(16)", "UNAUTHENTICATED"),
        ("grpc_status_name(17)", "NULL"),
        ("grpc_status_name(-1)", "NULL"),
        ("severity_name(1)", "Informational"),
        ("severity_name(99)", "Other"),
        ("severity_name(7)", "NULL"),
        ("otel_severity_number(1)", "9"),
        ("otel_severity_number(3)", "17"),
        ("otel_severity_number(0)", "0"),
        ("otel_severity_number(50)", "NULL"),
        ("otel_severity_number(NULL)", "NULL"),
    ]);
}

#[test]
fn what_stands_for_a_comparison_is_planned_as_one() {
    let session = session();
    let plan = |condition: &str| {
        let sql = format!(
            "EXPLAIN SELECT 1 FROM (SELECT arrow_cast(column1, 'Utf8View') AS decision, \
             arrow_cast(column2, 'Utf8View') AS shadow FROM (VALUES ('allow', 'deny'), ('x', 'y'))) \
             WHERE {condition}"
        );
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let batches = runtime.block_on(async { session.sql(&sql).await?.collect().await });
        arrow::util::pretty::pretty_format_batches(&batches.unwrap()).unwrap().to_string()
    };
    for (condition, expected) in [
        ("is_denied(decision)", "column1 = Utf8(\"deny\")"),
        ("NOT is_denied(decision)", "column1 != Utf8(\"deny\")"),
        ("would_be_denied(decision, shadow)", "IS NOT DISTINCT FROM"),
    ] {
        let plan = plan(condition);
        assert!(plan.contains(expected) && !plan.contains("denied("), "{plan}");
    }
}

#[test]
fn a_reference_to_a_proof_is_segment_and_row() {
    let segment = "60bbe41e8d9779d7b1a80133cb9fcf3f";
    gives(&[
        (&format!("proof_ref('{segment}', 17)"), &format!("{segment}/17")),
        (&format!("proof_ref('{segment}', 0)"), &format!("{segment}/0")),
        (&format!("proof_ref('{segment}', -1)"), "NULL"),
        (&format!("proof_ref('{segment}', NULL)"), "NULL"),
        ("proof_ref('60bb', 1)", "NULL"),
        ("proof_ref(NULL, 1)", "NULL"),
        (&format!("proof_ref('{}', 1)", segment.to_uppercase()), "NULL"),
    ]);
}

#[test]
fn values_are_found_in_json_as_they_stand() {
    let json = r#"'{"a": {"b.c": [10, {"d": "x"}, null]}, "n": 1.50, "big": 12345678901234567890, "e": 1e3, "t": true, "s": "q\"\u00e9", "z": null, "a ": 1, "dup": 1, "dup": 2, "d\u0075p2": 3}'"#;
    let cases = [
        ("json_get_text({}, 'a', 'b.c', '1', 'd')", "x"),
        ("json_get_text({}, 'a', 'b.c', 1, 'd')", "x"),
        ("json_get_text({}, 'a', 'b.c', 3)", "NULL"),
        ("json_get_text({}, 'a', 'b.c', -1)", "NULL"),
        ("json_get_text({}, 'a', 'b', 'c')", "NULL"),
        ("json_get_text({}, 'n', 'x')", "NULL"),
        ("json_get_text({}, 'n')", "1.50"),
        ("json_get_text({}, 'big')", "12345678901234567890"),
        ("json_get_text({}, 't')", "true"),
        ("json_get_text({}, 's')", "q\"é"),
        ("json_get_text({}, 'z')", "NULL"),
        ("json_get_text({}, 'missing')", "NULL"),
        ("json_get_text({}, NULL)", "NULL"),
        ("json_get_text({}, 'dup')", "2"),
        ("json_get_text({}, 'dup2')", "3"),
        ("json_get_text({}, 'a', 'b.c')", r#"[10, {"d": "x"}, null]"#),
        ("json_get_json({}, 's')", r#""q\"\u00e9""#),
        ("json_get_json({}, 'z')", "null"),
        ("json_get_json({}, 'a', 'b.c', 1)", r#"{"d": "x"}"#),
        ("json_get_int({}, 'a', 'b.c', 0)", "10"),
        ("json_get_int({}, 'n')", "NULL"),
        ("json_get_int({}, 'e')", "NULL"),
        ("json_get_int({}, 'big')", "NULL"),
        ("json_get_float({}, 'n')", "1.5"),
        ("json_get_float({}, 'e')", "1000.0"),
        ("json_get_float({}, 's')", "NULL"),
        ("json_get_bool({}, 't')", "true"),
        ("json_get_bool({}, 'n')", "NULL"),
        ("json_exists({}, 'z')", "true"),
        ("json_exists({}, 'a', 'b.c', 2)", "true"),
        ("json_exists({}, 'a', 'b.c', 3)", "false"),
        ("json_exists({}, 'n', 'x')", "false"),
        ("json_type({})", "object"),
        ("json_type({}, 'a', 'b.c')", "array"),
        ("json_type({}, 's')", "string"),
        ("json_type({}, 'n')", "number"),
        ("json_type({}, 't')", "boolean"),
        ("json_type({}, 'z')", "null"),
        ("json_type({}, 'missing')", "NULL"),
        ("json_length({})", "11"),
        ("json_length({}, 'a', 'b.c')", "3"),
        ("json_length({}, 'n')", "NULL"),
        ("json_keys({})", "[a, n, big, e, t, s, z, a , dup, dup, dup2]"),
        ("json_keys({}, 'a')", "[b.c]"),
        ("json_keys({}, 'a', 'b.c')", "NULL"),
        ("{} ->> 'n'", "1.50"),
        ("{} -> 'a' -> 'b.c' ->> 0", "10"),
        ("{} -> 'a' -> 'b.c' -> 1 ->> 'd'", "x"),
    ];
    let session = session();
    for (expression, expected) in cases {
        let sql = format!("SELECT {}", expression.replace("{}", json));
        assert_eq!(column(&session, &sql).unwrap(), [expected], "{expression}");
        let sql = expression.replace("{}", "x");
        let sql =
            format!("SELECT {sql} FROM (VALUES (1, {json}), (2, NULL)) AS t(i, x) ORDER BY i");
        assert_eq!(column(&session, &sql).unwrap(), [expected, "NULL"], "{expression} of a column");
    }
}

#[test]
fn what_is_no_json_is_null_however_deep_or_broken() {
    let session = session();
    let deep = 1_000_000;
    for (json, expected) in [
        (String::new(), "NULL"),
        ("{".to_owned(), "NULL"),
        ("{\"a\":1,}".to_owned(), "NULL"),
        ("{\"a\":1} x".to_owned(), "NULL"),
        ("{\"a\":01}".to_owned(), "NULL"),
        ("{a:1}".to_owned(), "NULL"),
        ("{\"b\":\"\u{1}\"}".to_owned(), "NULL"),
        ("\u{feff}{\"a\":1}".to_owned(), "NULL"),
        ("[".repeat(deep), "NULL"),
        (format!("{}{}", "[".repeat(deep), "]".repeat(deep)), "false"),
        (format!("{{\"b\":{}1{}}}", "[".repeat(deep), "]".repeat(deep)), "false"),
        (" \t\r\n{\"a\" : 1 } ".to_owned(), "true"),
    ] {
        let shown: String = json.chars().take(30).collect();
        let sql = format!("SELECT json_exists({}, 'a')", quoted(&json));
        assert_eq!(column(&session, &sql).unwrap(), [expected], "{shown}");
    }
    gives(&[
        (r#"json_get_text('{"a": "\ud800"}', 'a')"#, "NULL"),
        (r#"json_get_json('{"a": "\ud800"}', 'a')"#, r#""\ud800""#),
        (r#"json_get_float('{"a": 1e999}', 'a')"#, "NULL"),
        ("json_get_text('\"x\"')", "x"),
        ("json_get_int(' 7 ')", "7"),
    ]);
    assert!(column(&session, "SELECT json_get_text()").is_err());
}

/// A random JSON text, with keys that repeat and white space here and there.
fn random_json(chance: &mut Chance, depth: u64) -> String {
    let space = chance.one_of(&["", " ", "\n"]);
    let kind = match depth {
        JSON_DEPTH => 6 + chance.below(2),
        0 => chance.below(6),
        _ => match chance.below(12) {
            scalar @ 0..=5 => scalar,
            other => 6 + other % 2,
        },
    };
    let value = match kind {
        0 => "null".to_owned(),
        1 => "true".to_owned(),
        2 => chance.one_of(&["0", "-1", "42", "9007199254740993"]).to_owned(),
        3 => chance.one_of(&["1.25", "-0.5", "2e2"]).to_owned(),
        4 => "\"\"".to_owned(),
        5 => chance.one_of(&[r#""x""#, r#""\u00e9\n""#, r#""{\"a\":1}""#, r#""0""#]).to_owned(),
        6 => {
            let elements: Vec<String> =
                (0..chance.below(5)).map(|_| random_json(chance, depth - 1)).collect();
            format!("[{}]", elements.join(","))
        }
        _ => {
            let field = |chance: &mut Chance| {
                let key = chance.one_of(&["a", "b", "a.b", "0", "\\u0061"]);
                format!("\"{key}\":{}", random_json(chance, depth - 1))
            };
            let fields: Vec<String> = (0..chance.below(6)).map(|_| field(chance)).collect();
            format!("{{{}}}", fields.join(","))
        }
    };
    format!("{space}{value}{space}")
}

/// How deep a random JSON text is at most; the outermost value is an object or an array.
const JSON_DEPTH: u64 = 4;

#[test]
fn steps_lead_where_a_tree_has_them() {
    let session = session();
    let mut chance = Chance(18);
    let (mut rows, mut texts, mut types) = (Vec::new(), Vec::new(), Vec::new());
    for i in 0..4_000 {
        let json = random_json(&mut chance, JSON_DEPTH);
        let steps = [(); 2].map(|()| chance.one_of(&["a", "a", "a", "b", "0", "0", "a.b", "1"]));
        let tree: serde_json::Value = serde_json::from_str(&json).unwrap();
        let step = |value: &serde_json::Value, step: &str| match value {
            serde_json::Value::Array(elements) => {
                step.parse::<usize>().ok().and_then(|index| elements.get(index)).cloned()
            }
            value => value.get(step).cloned(),
        };
        let found = step(&tree, steps[0]).and_then(|value| step(&value, steps[1]));
        // Text compared as values: white space is as it stands, and numbers keep theirs.
        texts.push(match &found {
            None | Some(serde_json::Value::Null) => "NULL".to_owned(),
            Some(serde_json::Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
        });
        types.push(match &found {
            None => "NULL",
            Some(serde_json::Value::Null) => "null",
            Some(serde_json::Value::Bool(_)) => "boolean",
            Some(serde_json::Value::Number(_)) => "number",
            Some(serde_json::Value::String(_)) => "string",
            Some(serde_json::Value::Array(_)) => "array",
            Some(serde_json::Value::Object(_)) => "object",
        });
        rows.push(format!("({i}, {}, '{}', '{}')", quoted(&json), steps[0], steps[1]));
    }
    for kind in ["NULL", "null", "boolean", "number", "string", "array", "object"] {
        assert!(types.iter().filter(|is| **is == kind).count() >= 5, "few of {kind}");
    }
    let from = format!("FROM (VALUES {}) AS t(i, j, a, b) ORDER BY i", rows.join(", "));
    assert_eq!(column(&session, &format!("SELECT json_type(j, a, b) {from}")).unwrap(), types);
    let found = column(&session, &format!("SELECT json_get_text(j, a, b) {from}")).unwrap();
    for ((found, expected), kind) in found.iter().zip(&texts).zip(&types) {
        if matches!(*kind, "array" | "object" | "number") {
            let value = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
            assert_eq!(value(found), value(expected));
        } else {
            assert_eq!(found, expected);
        }
    }
}

#[test]
fn arrows_bind_tighter_than_comparisons() {
    let j = r#"'{"a": "x", "b": {"c": "5"}, "d": "x"}'"#;
    let cases = [
        ("J ->> 'a' = 'x'", "true"),
        ("'x' = J ->> 'a'", "true"),
        ("J ->> 'a' = J ->> 'd'", "true"),
        ("J -> 'b' ->> 'c' = '5'", "true"),
        ("J ->> 'a' <> 'y' AND J ->> 'a' < 'y'", "true"),
        ("J ->> 'a' LIKE 'x%'", "true"),
        ("J ->> 'a' NOT ILIKE 'Y%'", "true"),
        ("J ->> 'a' IN ('y', 'x')", "true"),
        ("J ->> 'a' NOT IN ('y', 'x')", "false"),
        ("J ->> 'a' BETWEEN 'w' AND 'y'", "true"),
        ("J ->> 'z' IS NULL", "true"),
        ("J ->> 'a' IS NOT NULL", "true"),
        ("J ->> 'a' IS DISTINCT FROM 'x'", "false"),
        ("J ->> 'a' ~ '^x$'", "true"),
        ("NOT J ->> 'a' = 'x'", "false"),
        ("(J -> 'b' ->> 'c')::int = 5", "true"),
    ];
    let session = session();
    let sql = format!("SELECT 1 FROM (VALUES ({j})) AS t(j) WHERE j ->> 'a' IN (SELECT 'x')");
    assert_eq!(column(&session, &sql).unwrap(), ["1"], "{sql}");
    for (expression, expected) in cases {
        let sql = format!("SELECT {} FROM (VALUES ({j})) AS t(j)", expression.replace('J', "j"));
        assert_eq!(column(&session, &sql).unwrap(), [expected], "{sql}");
    }
    for wrong in ["true ->> 'a'", "'{}' ->> true", "'{}' ->> 1.5", "'x' LIKE '{}' ->> 'a'"] {
        let error = column(&session, &format!("SELECT {wrong}")).unwrap_err().to_string();
        assert!(error.contains("put parentheses"), "{wrong}: {error}");
    }
}

#[test]
fn functions_are_listed_with_what_they_do() {
    let session = SessionContext::new_with_state({
        let config = datafusion::prelude::SessionConfig::new().with_information_schema(true);
        let mut state =
            SessionStateBuilder::new_with_default_features().with_config(config).build();
        register(&mut state).unwrap();
        state
    });
    for definition in definitions() {
        let from = "FROM information_schema.routines WHERE routine_name";
        let sql = format!("SELECT description {from} = '{}'", definition.name);
        assert_eq!(column(&session, &sql).unwrap(), [definition.says], "{}", definition.name);
        assert!(definition.says.len() > 10, "{}", definition.name);
    }
    let listed = column(&session, "SHOW FUNCTIONS").unwrap();
    for definition in definitions() {
        assert!(listed.iter().any(|name| name == definition.name), "{}", definition.name);
    }
}

#[test]
fn no_function_takes_the_name_of_one_of_the_engine() {
    let state = SessionStateBuilder::new_with_default_features().build();
    for definition in definitions() {
        assert!(!state.scalar_functions().contains_key(definition.name), "{}", definition.name);
        assert!(!state.aggregate_functions().contains_key(definition.name), "{}", definition.name);
    }
}

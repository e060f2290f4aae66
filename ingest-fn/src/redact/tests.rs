use std::time::Instant;

use serde_json::Value;

use super::*;

fn redacted(record: &str) -> String {
    let (text, counts) = Redactor::new(&Rules::default()).redact(record.as_bytes());
    assert_eq!(matches!(text, Cow::Owned(_)), counts.total() > 0);
    String::from_utf8(text.into_owned()).unwrap()
}

/// Checks records against what they become; `*rule*` stands for a marker.
fn check(cases: &[(&str, &str)]) {
    let mut wrong = String::new();
    for (record, expected) in cases {
        let mut expected = (*expected).to_owned();
        for kind in Kind::ALL {
            let marker = String::from_utf8(kind.marker().to_vec()).unwrap();
            expected = expected.replace(&format!("*{}*", kind.as_str()), &marker);
        }
        let found = redacted(record);
        if found != expected {
            wrong += &format!("\n  record {record}\nexpected {expected}\n   found {found}\n");
        }
        let again = redacted(&found);
        if again != found {
            wrong += &format!("\n  record {record}\n   found {found}\n   again {again}\n");
        }
        if serde_json::from_str::<Value>(record).is_ok() {
            assert!(serde_json::from_str::<Value>(&found).is_ok(), "{found}");
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

fn unchanged(records: &[&str]) {
    check(&records.iter().map(|record| (*record, *record)).collect::<Vec<_>>());
}

const JWT: &str = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhbGljZSJ9.c2lnbmF0dXJl";

#[test]
fn parameters() {
    check(&[
        (r#"{"path":"/a?token=abc&x=1"}"#, r#"{"path":"/a?token=*parameter*&x=1"}"#),
        (r#"{"path":"/a?x=1&Api-Key=abc"}"#, r#"{"path":"/a?x=1&Api-Key=*parameter*"}"#),
        (r#"{"path":"/a?access_token=a,b;c)d"}"#, r#"{"path":"/a?access_token=*parameter*"}"#),
        (
            r#"{"uri":"/a?x=1\u0026sig=a%2Bb\u0026y=2"}"#,
            r#"{"uri":"/a?x=1\u0026sig=*parameter*\u0026y=2"}"#,
        ),
        (r#"{"path":"/a?access%5Ftoken=abc#f"}"#, r#"{"path":"/a?access%5Ftoken=*parameter*#f"}"#),
        (
            r#"{"path":"/a?to=https%3A%2F%2Fb%3Fx%3D1%26token%3Dab%2Bc%26y%3D2&z=3"}"#,
            r#"{"path":"/a?to=https%3A%2F%2Fb%3Fx%3D1%26token%3D*parameter*%26y%3D2&z=3"}"#,
        ),
        (
            r#"{"path":"/a?b=c%253Ftoken%253Dabc%2526y"}"#,
            r#"{"path":"/a?b=c%253Ftoken%253D*parameter*%2526y"}"#,
        ),
        (
            "/b?X-Amz-Credential=AKIA%2F2026&X-Amz-Date=1&X-Amz-Signature=0f&X-Amz-Security-Token=F",
            "/b?X-Amz-Credential=*parameter*&X-Amz-Date=1&X-Amz-Signature=*parameter*&X-Amz-Security-Token=*parameter*",
        ),
        (
            r#"[2026-11-02T10:15:30.123Z] "GET /a?password=x HTTP/1.1" 200 - "-""#,
            r#"[2026-11-02T10:15:30.123Z] "GET /a?password=*parameter* HTTP/1.1" 200 - "-""#,
        ),
        (r#"level=info password="a \"b\" c" x=1"#, r#"level=info password="*parameter*" x=1"#),
        (
            r#"level=info passwd=abc, client_secret=d;e"#,
            "level=info passwd=*parameter*, client_secret=*parameter*;e",
        ),
        (
            r#"{"log":"level=info pwd=\"a\\\"b\" x=1\n"}"#,
            r#"{"log":"level=info pwd=\"*parameter*\" x=1\n"}"#,
        ),
        (
            r#"{"log":"{\"path\":\"/a?token=abc\",\"x\":1}\n"}"#,
            r#"{"log":"{\"path\":\"/a?token=*parameter*\",\"x\":1}\n"}"#,
        ),
        (r#"{"a":"token=ab\\cd\/ef\u00e4 x"}"#, r#"{"a":"token=*parameter* x"}"#),
        ("UPDATE u SET password = 'it', n=1", "UPDATE u SET password = '*parameter*', n=1"),
        (
            r#"{"path":"/cb?code=abc%2F1&state=xyz"}"#,
            r#"{"path":"/cb?code=*parameter*&state=xyz"}"#,
        ),
        (
            r#"{"path":"/cb?state=xyz&code=abc&b=c"}"#,
            r#"{"path":"/cb?state=xyz&code=*parameter*&b=c"}"#,
        ),
        (
            r#"{"path":"/m?key=AIzaSyA1234567890abcdefghijklmno&q=x"}"#,
            r#"{"path":"/m?key=*parameter*&q=x"}"#,
        ),
    ]);
    unchanged(&[
        r#"{"path":"/a?token=","authority":"b"}"#,
        r#"{"log":"{\"path\":\"/a?token=\",\"b\":1}"}"#,
        r#"{"path":"/a?x=1&tokens=4&max_tokens=5&page_token=CAE&session_id=7&monkey=x"}"#,
        r#"{"path":"/cb?code=abc","b":"state=1"}"#,
        r#"{"path":"/m?key=color&k=0b3e7a1c-0000-4000-8000-000000000001"}"#,
        r#"{"path":"/m?key=0b3e7a1c-0000-4000-8000-000000000001"}"#,
    ]);
}

#[test]
fn fields() {
    check(&[
        (r#"{"authorization":"a \"b\" c","x":1}"#, r#"{"authorization":"*field*","x":1}"#),
        (r#"{"Proxy-Authorization" : "Basic abc" }"#, r#"{"Proxy-Authorization" : "*field*" }"#),
        (
            r#"{"cookie":"a=b; c=d","set-cookie":["e=f","g=h; Secure"]}"#,
            r#"{"cookie":"*field*","set-cookie":["*field*","*field*"]}"#,
        ),
        (
            r#"{"X-Api-Key":"k","x-vault-token":"v","x_consul_token":"c"}"#,
            r#"{"X-Api-Key":"*field*","x-vault-token":"*field*","x_consul_token":"*field*"}"#,
        ),
        (
            r#"{"http.request.header.authorization":"x\\"}"#,
            r#"{"http.request.header.authorization":"*field*"}"#,
        ),
        (
            r#"{"clientSecret":"x","dbPassword":"y","SecretID":"z"}"#,
            r#"{"clientSecret":"*field*","dbPassword":"*field*","SecretID":"*field*"}"#,
        ),
        (r#"{"aws_secret_access_key":"wJalr/EXAMPLE"}"#, r#"{"aws_secret_access_key":"*field*"}"#),
        (
            r#"{"log":"{\"authorization\":\"x \\\"y\\\" z\",\"b\":1}"}"#,
            r#"{"log":"{\"authorization\":\"*field*\",\"b\":1}"}"#,
        ),
        (
            r#"{"attributes":[{"key":"cookie","value":{"stringValue":"a=b"}},{"key":"b","value":{"stringValue":"c"}}]}"#,
            r#"{"attributes":[{"key":"cookie","value":{"stringValue":"*field*"}},{"key":"b","value":{"stringValue":"c"}}]}"#,
        ),
        (
            r#"{"env":[{"name":"DB_PASSWORD","value":"x"},{"name":"A","value":"y"}]}"#,
            r#"{"env":[{"name":"DB_PASSWORD","value":"*field*"},{"name":"A","value":"y"}]}"#,
        ),
        (
            r#"{"msg":"got Authorization: Digest a b\r\nHost: c"}"#,
            r#"{"msg":"got Authorization: *field*\r\nHost: c"}"#,
        ),
        (
            r#"{"msg":"> a\nCookie: a=b; c=d\nHost: c"}"#,
            r#"{"msg":"> a\nCookie: *field*\nHost: c"}"#,
        ),
        ("map[Authorization:[Custom abc] Host:[b]]", "map[Authorization:[*field*] Host:[b]]"),
        (
            r#"Url { password: Some("x"), token: "y", port: 1 }"#,
            r#"Url { password: Some("*field*"), token: "*field*", port: 1 }"#,
        ),
        ("x-api-key: abc next", "x-api-key: *field* next"),
        ("ALTER USER a PASSWORD 'b c'; x", "ALTER USER a PASSWORD '*field*'; x"),
        (
            r#"{"secret":{"envvar:PASS":"cGFzcw==","filesystem:KEY":"x","other":"y"}}"#,
            r#"{"secret":{"envvar:PASS":"*field*","filesystem:KEY":"*field*","other":"y"}}"#,
        ),
    ]);
    unchanged(&[
        r#"{"authorization":"","token":"-","secret":"[REDACTED]","password":"****","access_key":"AKIAIOSFODNN7EXAMPLE"}"#,
        r#"{"authorization":{"a":"b"},"password":1234,"token":null,"api_key":true}"#,
        r#"{"authority":"a","jwt_payload":{"sub":"a"},"jwt_sub":"a","accessor_id":"b","accessKeyId":["AKIAIOSFODNN7EXAMPLE"]}"#,
        r#"{"session_id":"a","credential_id":"b","token_type":"c","principal_type":"token"}"#,
        r#"{"annotations":{"authorization.k8s.io/decision":"allow"}}"#,
        r#"{"fromHeaders":[{"name":"authorization","prefix":"Bearer "}],"secretKeyRef":{"key":"password","name":"db"}}"#,
        r#"Permission denied: token with AccessorID 'x' lacks; invalid token: expired; password: None, port"#,
        r#"{"xfcc":"By=spiffe://a/ns/b/sa/c;Hash=0123;Subject=\"CN=x\";URI=spiffe://a/ns/d/sa/e"}"#,
    ]);
}

#[test]
fn shapes() {
    check(&[
        (r#"{"a":"Bearer abcDEF123456"}"#, r#"{"a":"Bearer *bearer*"}"#),
        (r#"{"a":"bearer%20abc.def~1234567=="}"#, r#"{"a":"bearer%20*bearer*"}"#),
        (r#"{"a":"x Basic YWxpY2U6czNjcmV0 y"}"#, r#"{"a":"x Basic *basic* y"}"#),
        (&format!(r#"{{"a":"see {JWT}, or \n{JWT}"}}"#), r#"{"a":"see *jwt*, or \n*jwt*"}"#),
        (&format!("x%20{JWT} eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIn0."), "x%20*jwt* *jwt*"),
        (
            r#"{"key":"a\n-----BEGIN RSA PRIVATE KEY-----\nMIIE==\n-----END RSA PRIVATE KEY-----\nb"}"#,
            r#"{"key":"a\n*private_key*\nb"}"#,
        ),
        (
            r#"{"key":"-----BEGIN PRIVATE KEY-----\nMIIE","b":1}"#,
            r#"{"key":"*private_key*","b":1}"#,
        ),
        (r#"{"uri":"https://a:b@c/d?e=f@g"}"#, r#"{"uri":"https://*userinfo*@c/d?e=f@g"}"#),
        (r#"{"uri":"postgres://a:p@@s@c:5432/d"}"#, r#"{"uri":"postgres://*userinfo*@c:5432/d"}"#),
        (r#"{"uri":"https:\/\/a:b@c\/d"}"#, r#"{"uri":"https:\/\/*userinfo*@c\/d"}"#),
        (
            "clone https://ghp_0123456789abcdef@github.com/a and ghp_0123456789abcdef",
            "clone https://*prefix*@github.com/a and *prefix*",
        ),
        ("hvs.CAESIAbcdefgh xoxb-1234567890-a", "*prefix* *prefix*"),
    ]);
    unchanged(&[
        "Bearer token is missing, basic authentication failed, Bearer authorization",
        r#"www-authenticate Bearer realm="shop" error=invalid"#,
        "Jwt_is_not_in_the_form_of_Header.Payload.Signature_with_two_dots_and_3_sections",
        "spiffe://cluster.local/ns/shop/sa/a alice@example.com https://a/?mail=b@c continue=eyJ2IjoibWV0YSJ9",
        "-----BEGIN CERTIFICATE-----\nMIIE\n-----END CERTIFICATE-----",
    ]);
}

#[test]
fn kubernetes_secrets() {
    check(&[
        (
            r#"{"objectRef":{"resource":"secrets"},"requestObject":{"kind":"Secret","data":{"a":"eA==","b":null},"stringData":{"c":"y"},"type":"Opaque"}}"#,
            r#"{"objectRef":{"resource":"secrets"},"requestObject":{"kind":"Secret","data":{"a":"*kubernetes_secret*","b":null},"stringData":{"c":"*kubernetes_secret*"},"type":"Opaque"}}"#,
        ),
        (
            r#"{"kind":"Secret","annotations":{"last":"{\"data\":{\"a\":\"eA==\"},\"kind\":\"x\"}"}}"#,
            r#"{"kind":"Secret","annotations":{"last":"{\"data\":{\"a\":\"*kubernetes_secret*\"},\"kind\":\"x\"}"}}"#,
        ),
        (
            r#"{"objectRef":{"resource":"secrets"},"requestObject":[{"op":"replace","path":"/data/a","value":"eA=="},{"op":"add","path":"/data","value":{"b":"eQ=="}}]}"#,
            r#"{"objectRef":{"resource":"secrets"},"requestObject":[{"op":"replace","path":"/data/a","value":"*kubernetes_secret*"},{"op":"add","path":"/data","value":{"b":"*kubernetes_secret*"}}]}"#,
        ),
        (
            r#"{"request":{"@type":"core.k8s.io/v1.Secret","data":{"a":"eA=="}}}"#,
            r#"{"request":{"@type":"core.k8s.io/v1.Secret","data":{"a":"*kubernetes_secret*"}}}"#,
        ),
    ]);
    unchanged(&[
        r#"{"objectRef":{"resource":"configmaps"},"requestObject":{"kind":"ConfigMap","data":{"a":"b"}}}"#,
        r#"{"objectRef":{"resource":"secrets"},"requestObject":{"data":[1,{"x":2}],"managedFields":{"f:data":{"f:a":{}}}}}"#,
    ]);
}

#[test]
fn base64() {
    use crate::parse::shippers::base64::encode;
    let encoded = |text: &str| {
        let mut out = Vec::new();
        encode(text.as_bytes(), &mut out);
        String::from_utf8(out).unwrap()
    };
    let clean = encoded(r#"{"path":"/a?x=1"}"#);
    let record = encoded(r#"{"path":"/a?token=abc"}"#);
    let expected = encoded(r#"{"path":"/a?token=[redacted:parameter]"}"#);
    let page =
        |first: &str| format!(r#"{{"records":[{{"data":"{first}"}},{{"data":"{clean}"}}]}}"#);
    check(&[(&page(&record), &page(&expected))]);
    let twice = |inner: &str| page(&encoded(&page(inner)));
    check(&[(&twice(&record), &twice(&expected))]);
    unchanged(&[&page(&clean), r#"{"data":"H4sIAAAA"}"#, r#"{"input":"!!!"}"#]);
}

#[test]
fn rules_are_changed_by_their_owner() {
    let record = br#"{"path":"/a?token=a&tenant=b","authorization":"c","x-shop-pin":"d","a":"Bearer abcdef12"}"#;
    let mut counts = Counts::default();
    let mut with = |json: &str| {
        let rules: Rules = serde_json::from_str(json).unwrap();
        let (text, found) = Redactor::new(&rules).redact(record);
        counts.add(&found);
        String::from_utf8(text.into_owned()).unwrap()
    };
    let text =
        with(r#"{"more":["tenant","shop_pin","x-shop-pin"],"spared":["token"],"shapes":false}"#);
    assert_eq!(
        text,
        r#"{"path":"/a?token=a&tenant=[redacted:parameter]","authorization":"[redacted:field]","x-shop-pin":"[redacted:field]","a":"Bearer abcdef12"}"#
    );
    assert_eq!(counts.named().collect::<Vec<_>>(), [("parameter", 1), ("field", 2)]);
    assert_eq!((counts.total(), counts.of(Kind::Field), counts.of(Kind::Jwt)), (3, 2, 0));
    let (text, counts) = Redactor::new(&Rules::none()).redact(record);
    assert!(matches!(text, Cow::Borrowed(_)) && counts == Counts::default());
    assert!(serde_json::from_str::<Rules>(r#"{"parameter":[]}"#).is_err());
    assert_eq!(serde_json::from_str::<Rules>("{}").unwrap(), Rules::default());
}

/// Every record of the fixtures, with the name of its file and case.
fn fixtures() -> Vec<(String, Vec<u8>)> {
    let root = format!("{}/../tests/data", env!("CARGO_MANIFEST_DIR"));
    let mut all = Vec::new();
    for folder in std::fs::read_dir(root).unwrap().map(|entry| entry.unwrap()) {
        if !folder.path().is_dir() {
            continue;
        }
        for file in std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path()) {
            if file.extension().is_none_or(|extension| extension != "jsonl") {
                continue;
            }
            for (number, line) in std::fs::read_to_string(&file).unwrap().lines().enumerate() {
                let name = file.file_stem().unwrap().to_str().unwrap().to_owned();
                let case: Value = serde_json::from_str(line).unwrap();
                let case = (name == "cases").then_some(case);
                let record = case.as_ref().and_then(|case| case["record"].as_str());
                match (&case, record) {
                    (None, _) => all.push((format!("{name} {number}"), line.as_bytes().to_vec())),
                    (Some(case), Some(record)) => {
                        all.push((case["id"].as_str().unwrap().to_owned(), record.into()));
                    }
                    (Some(_), None) => {}
                }
            }
        }
    }
    assert!(all.len() > 500, "{}", all.len());
    all
}

#[test]
fn nothing_in_the_fixtures_is_redacted_but_this() {
    const REDACTED: &[(&str, &str)] =
        &[("aj-userinfo", "userinfo"), ("k8s-secret-cacerts", "kubernetes_secret")];
    let mut redactor = Redactor::new(&Rules::default());
    let mut found = Vec::new();
    for (name, record) in fixtures() {
        let (text, counts) = redactor.redact(&record);
        if let Ok(before) = serde_json::from_slice::<Value>(&record) {
            let after = serde_json::from_slice::<Value>(&text).unwrap();
            assert!(same_structure(&before, &after), "{name}");
        }
        for (rule, _) in counts.named() {
            if !REDACTED.contains(&(name.as_str(), rule)) {
                println!("{}", String::from_utf8_lossy(&text));
            }
            found.push(format!("{name} {rule}"));
        }
    }
    found.sort();
    let expected: Vec<String> =
        REDACTED.iter().map(|(name, rule)| format!("{name} {rule}")).collect();
    assert_eq!(found, expected);
}

fn same_structure(before: &Value, after: &Value) -> bool {
    match (before, after) {
        (Value::Object(one), Value::Object(two)) => {
            one.len() == two.len()
                && one
                    .iter()
                    .zip(two)
                    .all(|(one, two)| one.0 == two.0 && same_structure(one.1, two.1))
        }
        (Value::Array(one), Value::Array(two)) => {
            one.len() == two.len() && one.iter().zip(two).all(|(one, two)| same_structure(one, two))
        }
        (Value::String(_), Value::String(_)) => true,
        _ => before == after,
    }
}

/// Pieces of records with something to redact, to cut and to mix.
const PIECES: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    ":",
    ",",
    "\"",
    "\\\"",
    "\\\\\\\"",
    "\\",
    "\\n",
    "\\u0026",
    "'",
    " ",
    "=",
    "@",
    "&",
    "?",
    "%3D",
    "%253d",
    "%26",
    "%20",
    "://",
    ":\\/\\/",
    "token",
    "password",
    "Some(",
    "authorization",
    "cookie",
    "Bearer ",
    "Basic ",
    "YWxpY2U6czNjcmV0",
    "abcDEF1234567890abcdefXY",
    "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhbGljZSJ9.c2ln",
    "-----BEGIN PRIVATE KEY-----",
    "-----END PRIVATE KEY-----",
    "\"kind\":\"Secret\"",
    "\"data\":{",
    "\"data\":\"",
    "\"value\":",
    "\"stringValue\":",
    "/data",
    "code=",
    "state=",
    "key=",
    "envvar:",
    "ghp_",
    "AKIA",
    "\u{e4}",
    "[redacted:field]",
    "[redacted:parameter]",
    "[redacted:",
    "input",
    "secrets",
    "x",
    "1",
    "\t",
];

struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        usize::try_from(self.0 >> 33).unwrap() % limit
    }
}

#[test]
fn any_text_is_redacted_once_and_stays_in_shape() {
    let mut redactor = Redactor::new(&Rules::default());
    let mut random = Random(7);
    let mut total = 0;
    for round in 0..60_000 {
        let mut text: Vec<u8> = Vec::new();
        for _ in 0..random.below(24) {
            text.extend_from_slice(PIECES[random.below(PIECES.len())].as_bytes());
            if round % 7 == 0 {
                text.push(random.below(256).to_le_bytes()[0]);
            }
        }
        let (once, counts) = redactor.redact(&text);
        total += counts.total();
        let once = once.into_owned();
        let (twice, _) = redactor.redact(&once);
        let shown = String::from_utf8_lossy;
        assert_eq!(shown(&once), shown(&twice), "of {}", shown(&text));
        // The same text as a string in JSON, once and twice.
        let Ok(text) = String::from_utf8(text) else { continue };
        let inner = serde_json::json!({"log": text, "n": 1});
        let outer = serde_json::json!({"log": inner.to_string(), "n": [text]});
        for record in [inner, outer] {
            let before = record.to_string();
            let (after, _) = redactor.redact(before.as_bytes());
            let found: Value = serde_json::from_slice(&after).unwrap_or_else(|error| {
                panic!("{error}: {before}\n{}", shown(&after));
            });
            assert!(same_structure(&record, &found), "{before}\n{}", shown(&after));
        }
    }
    assert!(total > 5_000, "{total}");
}

#[test]
fn cut_records_and_long_ones() {
    let mut redactor = Redactor::new(&Rules::default());
    for (_, record) in fixtures().iter().step_by(23) {
        for end in 0..record.len().min(2000) {
            let _ = redactor.redact(&record[..end]);
            let _ = redactor.redact(&record[end..]);
        }
    }
    // A credential across the end of a window is found wherever it lies.
    for before in WINDOW - 20..WINDOW + 5 {
        let head = "x".repeat(before) + " ";
        let found = redactor.redact(format!("{head}token=abc y").as_bytes()).0.into_owned();
        assert_eq!(
            String::from_utf8(found).unwrap(),
            head.clone() + "token=[redacted:parameter] y"
        );
    }
}

/// CPU time of this thread, as of the last switch, which is brought about here.
fn cpu_seconds() -> f64 {
    std::thread::yield_now();
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    text.split(' ').next().unwrap().parse::<f64>().unwrap() / 1e9
}

#[test]
fn time_grows_as_the_record() {
    let mut redactor = Redactor::new(&Rules::default());
    let mut texts: Vec<String> = PIECES.iter().map(|piece| (*piece).to_owned()).collect();
    texts.extend(
        [
            "token=",
            "code=",
            "state=",
            "code=1&",
            "state=1 code=",
            "key=",
            "a%3D",
            "@a",
            "://a@",
            "eyJ",
            "eyJ.",
            "eyJaaaaaaaa.",
            "bearer+",
            "bearer ",
            "\"token\":",
            "\"token\",\"value\":",
            "\"token\":[",
            "\"token\":[\"",
            "\"data\":\"AA",
            "\"Secret\"\"data\":{",
            "ke",
            "token",
            "\"token\"",
            "\\\"token\\\":\\\"",
            "token: ",
            "PASSWORD '",
            "envvar:",
            "\"data\":{\"a\":\"b\"",
            "-----BEGIN PRIVATE KEY-----a-----END PRIVATE KEY-----",
            "-----BEGIN PRIVATE KEY-----\"",
            "\\u0026token=a",
            "%",
            "%25",
            "Secret /data\"value\":\"a\"",
            "token=\"",
            "token='",
        ]
        .map(str::to_owned),
    );
    let mut slowest = (0.0, String::new());
    for text in texts {
        let mut time = |bytes: usize| {
            let record = text.repeat(bytes / text.len() + 1);
            // Other programs on the machine count little: CPU time, and the best of three.
            let once = || {
                let begin = cpu_seconds();
                let _ = redactor.redact(record.as_bytes());
                cpu_seconds() - begin
            };
            std::iter::repeat_with(once).take(3).fold(f64::MAX, f64::min)
        };
        let (half, whole) = (time(512 * 1024), time(1024 * 1024));
        assert!(whole < 0.05 || whole < 4.0 * half, "{text}: {half} {whole}");
        assert!(whole < 2.0, "{text}: {whole}");
        if whole > slowest.0 {
            slowest = (whole, text);
        }
    }
    println!("1 MiB at worst: {:.1} ms, of {:?}", slowest.0 * 1e3, slowest.1);
}

#[test]
fn time_of_records_with_nothing_to_redact() {
    let mut redactor = Redactor::new(&Rules::default());
    let mut all = fixtures();
    let istio = r#"{"authority":"reviews:9080","bytes_received":0,"bytes_sent":358,"connection_termination_details":null,"downstream_local_address":"10.1.2.3:9080","downstream_remote_address":"10.1.7.9:43612","duration":15,"method":"GET","path":"/reviews/7?lang=en","protocol":"HTTP/1.1","request_id":"5b0c3f3e-6c1b-4a7b-9b52-5b7fd6f0b1a1","requested_server_name":"outbound_.9080_._.reviews.shop.svc.cluster.local","response_code":200,"response_code_details":"via_upstream","response_flags":"-","route_name":"default","start_time":"2026-11-02T10:15:30.123Z","upstream_cluster":"inbound|9080||","upstream_host":"10.1.2.3:9080","upstream_local_address":"127.0.0.6:37685","upstream_service_time":"14","upstream_transport_failure_reason":null,"user_agent":"curl/8.5.0","x_forwarded_for":null}"#;
    all.push(("istio with query".to_owned(), istio.into()));
    all.push(("istio".to_owned(), istio.replace("?lang=en", "").into()));
    let mut groups: Vec<(&str, Vec<Vec<u8>>)> = Vec::new();
    for (name, record) in &all {
        let group = name.trim_end_matches(|letter: char| letter.is_ascii_digit() || letter == ' ');
        if !name.starts_with("captured")
            && !name.starts_with("written")
            && !name.starts_with("istio")
        {
            continue;
        }
        match groups.iter_mut().find(|(known, _)| *known == group) {
            Some((_, records)) => records.push(record.clone()),
            None => groups.push((group, vec![record.clone()])),
        }
    }
    for (name, records) in groups {
        let triggers = Triggers::new(&redactor.prepared.names.needles());
        let bytes: usize = records.iter().map(Vec::len).sum::<usize>() / records.len();
        let mut hits = Vec::new();
        let look = best(&records, |record| {
            hits.clear();
            triggers.find(record, 0, record.len(), &mut hits);
        });
        let three = best(&records, |record| {
            std::hint::black_box(memchr::memchr3(1, 2, 3, record));
        });
        let all = best(&records, |record| {
            std::hint::black_box(redactor.redact(record));
        });
        println!(
            "{name}: {all:.1} ns a record of {bytes} bytes; to look {look:.1} ns, memchr3 {three:.1}"
        );
    }
}

/// The least nanoseconds a record of many short tries.
fn best(records: &[Vec<u8>], mut act: impl FnMut(&[u8])) -> f64 {
    let mut best = f64::MAX;
    let rounds = 2000 / records.len() + 1;
    for _ in 0..200 {
        let begin = Instant::now();
        for record in (0..rounds).flat_map(|_| records) {
            act(std::hint::black_box(record));
        }
        best = best.min(begin.elapsed().as_secs_f64());
    }
    best * 1e9 / (rounds * records.len()) as f64
}

#[test]
fn rules_made_ready_once_are_used_again() {
    let custom = |name: &str| Rules { more: vec![name.to_owned()], ..Rules::default() };
    let (first, again) = (prepared(&custom("pin")), prepared(&custom("pin")));
    assert!(Arc::ptr_eq(&first, &again));
    // More sets of rules than are kept: each still redacts by its own.
    for number in 0..2 * KEPT_MAX {
        let record = format!("/a?pin{number}=1234&pinx=5");
        let mut redactor = Redactor::new(&custom(&format!("pin{number}")));
        let (text, counts) = redactor.redact(record.as_bytes());
        assert_eq!(&*text, format!("/a?pin{number}=[redacted:parameter]&pinx=5").as_bytes());
        assert_eq!(counts.total(), 1);
    }
}

#[test]
fn what_a_runtime_has_cut_is_looked_at_as_a_whole() {
    let cri = |tag: &str, text: &str| format!("2026-11-02T10:15:31Z {tag} {text}");
    let docker = |stream: &str, text: &str| {
        format!(r#"{{"log":"{text}","stream":"{stream}","time":"2026-11-02T10:15:31Z"}}"#)
    };
    let (begin, end) = JWT.split_at(30);
    for (pieces, expected) in [
        (
            vec![cri("stdout P", "GET /a?token=SEC"), cri("stdout F", "RET&x=1 200")],
            vec![cri("stdout P", ""), cri("stdout F", "GET /a?token=*parameter*&x=1 200")],
        ),
        (
            vec![cri("stdout P", &format!("a {begin}")), cri("stdout P", end), cri("stdout F", "")],
            vec![cri("stdout P", ""), cri("stdout P", ""), cri("stdout F", "a *jwt*")],
        ),
        (
            vec![
                cri("stdout P", "pass"),
                cri("stderr F", "token=whole"),
                cri("stdout P", "word=SEC"),
                cri("stdout P", "RET"),
            ],
            vec![
                cri("stdout P", ""),
                cri("stderr F", "token=*parameter*"),
                cri("stdout P", ""),
                cri("stdout P", "password=*parameter*"),
            ],
        ),
        (
            vec![
                docker("stdout", r#"{\"authorization\":\"Bea"#),
                docker("stdout", r#"rer abcdef0123456789\"}\n"#),
            ],
            vec![docker("stdout", ""), docker("stdout", r#"{\"authorization\":\"*field*\"}\n"#)],
        ),
        (
            vec![cri("stdout P", "nothing "), cri("stdout F", "here")],
            vec![cri("stdout P", "nothing "), cri("stdout F", "here")],
        ),
    ] {
        check(&[(&pieces.join("\n"), &expected.join("\n"))]);
    }
}

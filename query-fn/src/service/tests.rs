//! The function as a host sees it: bytes in, bytes out.

use archive::Archive;
use archive::sample::{self, delivery, ingest, seal, unit};
use serde_json::{Value, json};

use super::*;
use crate::error::Code;
use crate::request::Limits;

mod answers;
mod crowd;
mod refusals;
mod results;
mod trail;

/// A sample archive with a query function.
struct Kit {
    folder: tempfile::TempDir,
    archive: Archive,
    service: Service,
}

const DAY: Duration = Duration::from_secs(86_400);

/// 2026-11-02T00:00:00Z.
const NOW_MICROS: i64 = 1_793_577_600_000_000;

impl Kit {
    async fn new(limits: Limits, settings: Settings) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let archive = sample::create(folder.path()).await.unwrap();
        let service = service(&archive, limits, settings);
        Self { folder, archive, service }
    }

    /// With the usual settings and three events, two of them sealed, by versions 1 and 2.
    async fn usual() -> Self {
        let kit = Self::new(Limits::default(), Settings::default()).await;
        for name in ["a", "b"] {
            kit.add(name, true).await;
        }
        kit.add("c", false).await;
        kit
    }

    async fn add(&self, name: &'static str, sealed: bool) {
        let one = delivery(&[unit(name, 1, 0)], 1).unwrap();
        ingest(&self.archive, &one).await.unwrap();
        if sealed {
            let _ = seal(&self.archive, &[&one]).await.unwrap();
        }
    }

    /// What a direct invocation gives back.
    async fn direct(&self, request: &Value) -> Value {
        match self.service.answer(request.to_string().as_bytes(), call(DAY)).await {
            Reply::Payload(bytes) => serde_json::from_slice(&bytes).unwrap(),
            other => panic!("{request}: {other:?}"),
        }
    }

    async fn http(&self, request: &Value) -> HttpAnswer {
        self.post(request.to_string().as_bytes()).await
    }

    async fn post(&self, body: &[u8]) -> HttpAnswer {
        self.service.http(HttpRequest { body, ..post() }, call(DAY)).await
    }
}

fn service(archive: &Archive, limits: Limits, settings: Settings) -> Service {
    let engine = Engine::new(archive.reader(), limits).unwrap();
    let questions = Questions::built_in().unwrap();
    Service::new(engine, questions, Some(archive.results()), settings)
}

fn post() -> HttpRequest<'static> {
    HttpRequest {
        method: "POST",
        path: "/v1/query",
        content_type: Some("application/json"),
        content_encoding: None,
        body: b"",
    }
}

fn call(time_left: Duration) -> Call {
    Call { time_left, now_micros: NOW_MICROS, id: "one-call".to_owned(), caller: None }
}

fn header<'a>(answer: &'a HttpAnswer, wanted: &str) -> Option<&'a str> {
    answer.headers.iter().find(|(name, _)| *name == wanted).map(|(_, value)| value.as_str())
}

/// Code and message of an error.
fn error(answer: &Value) -> (String, String) {
    let text = |name: &str| answer["error"][name].as_str().unwrap_or_default().to_owned();
    (text("code"), text("message"))
}

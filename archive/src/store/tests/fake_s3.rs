//! A server of a few lines that answers PUT, GET and HEAD as S3 does, or as a script says.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::super::*;

/// What happens to one PUT instead of the usual.
#[derive(Debug, Clone, Copy)]
enum Script {
    /// Nothing is stored, 409.
    Conflict,
    /// Another's bytes are stored, 409.
    ConflictLost,
    /// Stored, and the connection closed without an answer.
    StoredThenClosed,
    /// Nothing stored, connection closed.
    Closed,
    /// Stored, and 500 all the same.
    StoredThenError,
    /// 403.
    Forbidden,
}

#[derive(Default)]
struct State {
    objects: HashMap<String, Vec<u8>>,
    script: VecDeque<Script>,
    puts: u32,
}

async fn serve(state: Arc<Mutex<State>>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(connection(stream, Arc::clone(&state)));
        }
    });
    format!("http://{address}")
}

async fn connection(mut stream: TcpStream, state: Arc<Mutex<State>>) {
    let mut buffer = Vec::new();
    loop {
        let end = loop {
            if let Some(at) = buffer.windows(4).position(|w| w == b"\r\n\r\n") {
                break at + 4;
            }
            if stream.read_buf(&mut buffer).await.unwrap_or(0) == 0 {
                return;
            }
        };
        let head = String::from_utf8_lossy(&buffer[..end]).into_owned();
        let header = |name: &str| {
            head.lines().find_map(|line| {
                let (key, value) = line.split_once(':')?;
                key.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
            })
        };
        let length: usize = header("content-length").map_or(0, |l| l.parse().unwrap());
        while buffer.len() < end + length {
            if stream.read_buf(&mut buffer).await.unwrap_or(0) == 0 {
                return;
            }
        }
        let body = buffer[end..end + length].to_vec();
        buffer.drain(..end + length);
        let mut words = head.split(' ');
        let (method, path) = (words.next().unwrap(), words.next().unwrap());
        assert!(method != "PUT" || header("if-none-match").as_deref() == Some("*"));
        assert!(method != "PUT" || header("x-amz-checksum-sha256").is_some());
        let answer = answer(&state, method, path, body);
        let Some((status, body)) = answer else { return };
        let shown = if method == "HEAD" { Vec::new() } else { body.clone() };
        let head = format!(
            "HTTP/1.1 {status} X\r\ncontent-length: {}\r\netag: \"e\"\r\n\
             last-modified: Mon, 02 Nov 2026 10:15:31 GMT\r\n\r\n",
            body.len()
        );
        let answered = [head.into_bytes(), shown].concat();
        if stream.write_all(&answered).await.is_err() {
            return;
        }
    }
}

fn answer(state: &Mutex<State>, method: &str, path: &str, body: Vec<u8>) -> Option<(u16, Vec<u8>)> {
    let mut state = state.lock().unwrap();
    if method != "PUT" {
        return Some(state.objects.get(path).map_or((404, Vec::new()), |b| (200, b.clone())));
    }
    state.puts += 1;
    let is_there = state.objects.contains_key(path);
    match state.script.pop_front() {
        Some(Script::Conflict) => return Some((409, Vec::new())),
        Some(Script::ConflictLost) => {
            state.objects.insert(path.to_owned(), b"another's".to_vec());
            return Some((409, Vec::new()));
        }
        Some(Script::Closed) => return None,
        Some(Script::Forbidden) => return Some((403, Vec::new())),
        Some(Script::StoredThenClosed) => {
            state.objects.insert(path.to_owned(), body);
            return None;
        }
        Some(Script::StoredThenError) => {
            state.objects.insert(path.to_owned(), body);
            return Some((500, Vec::new()));
        }
        None => {}
    }
    if is_there {
        return Some((412, Vec::new()));
    }
    state.objects.insert(path.to_owned(), body);
    Some((200, Vec::new()))
}

/// Puts once under a script; returns the outcome, the PUTs the server saw, and what is stored.
async fn put(
    before: Option<&[u8]>,
    script: &[Script],
) -> (Result<Put, ArchiveError>, u32, Option<Vec<u8>>) {
    let state = Arc::new(Mutex::new(State::default()));
    let path = "/bucket/pre/fix/_delta_log/1.json";
    {
        let mut state = state.lock().unwrap();
        state.script.extend(script);
        state.objects.extend(before.map(|bytes| (path.to_owned(), bytes.to_vec())));
    }
    let options = StoreOptions {
        endpoint: Some(serve(Arc::clone(&state)).await),
        access_key_id: Some("id".to_owned()),
        secret_access_key: Some("secret".to_owned()),
        allow_http: true,
        ..super::options()
    };
    let target = Target::parse("s3://bucket/pre/fix").unwrap();
    let store = Store::open(&target, &options).unwrap();
    let put = store.put_new("_delta_log/1.json", Bytes::from_static(b"mine")).await;
    let state = state.lock().unwrap();
    (put, state.puts, state.objects.get(path).cloned())
}

#[tokio::test]
async fn conflict_precondition_and_silence_are_told_apart() {
    let check = async |before: Option<&'static [u8]>, script: &[Script], expected: &str| {
        let (put, puts, stored) = put(before, script).await;
        let put = match put {
            Ok(put) => format!("{put:?}"),
            Err(ArchiveError::Unknown { .. }) => "Unknown".to_owned(),
            Err(ArchiveError::Refused { .. }) => "Refused".to_owned(),
            Err(e) => e.to_string(),
        };
        let stored = stored.map_or("nothing".into(), |b| String::from_utf8(b).unwrap());
        assert_eq!(format!("{put} after {puts}: {stored}"), expected, "{script:?}");
    };
    use Script::*;
    check(None, &[], "Created after 1: mine").await;
    check(Some(b"theirs"), &[], "AlreadyThere after 1: theirs").await;
    check(None, &[Conflict], "Created after 2: mine").await;
    check(None, &[Conflict, Conflict, Conflict], "Unknown after 3: nothing").await;
    check(None, &[ConflictLost], "AlreadyThere after 1: another's").await;
    check(None, &[StoredThenClosed], "Created after 1: mine").await;
    check(None, &[Closed, Closed], "Created after 3: mine").await;
    check(None, &[StoredThenError], "Created after 1: mine").await;
    check(None, &[Forbidden], "Refused after 1: nothing").await;
}

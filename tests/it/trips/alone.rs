//! A process in which one test runs alone, so that it can be told when nothing goes on in it.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::future::Future;
use std::process::Command;
use std::time::{Duration, Instant};

use archive::memory::{Request, Waves};
use tokio::runtime::Runtime;

/// Says to the process that it was started for one test.
const ALONE: &str = "MESHLEDGER_TEST_ALONE";

/// Between two looks: the others need the processor.
const GLANCE: Duration = Duration::from_micros(200);

/// When a request is answered.
const LATENCY: Duration = Duration::from_millis(30);

/// No wave takes so long, on any machine.
const STUCK: Duration = Duration::from_secs(300);

/// Runs a test of this file in a process of its own, and fails with what it says.
#[allow(clippy::disallowed_methods, reason = "a test says to itself that it was started by itself")]
pub(super) fn alone(name: &str, test: impl FnOnce()) {
    if std::env::var(ALONE).is_ok_and(|alone| alone == name) {
        return test();
    }
    let output = Command::new(std::env::current_exe().unwrap())
        .args([&format!("trips::{name}"), "--exact", "--nocapture", "--test-threads=1"])
        .env(ALONE, name)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    eprintln!("{said}");
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stdout));
}

/// Requests of one wave, by kind.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Counted(Vec<(String, usize)>);

impl Counted {
    fn new(wave: &[Request]) -> Self {
        let mut kinds: BTreeMap<String, usize> = BTreeMap::new();
        for request in wave {
            *kinds.entry(kind(request)).or_default() += 1;
        }
        Self(kinds.into_iter().collect())
    }

    /// How many requests there are.
    pub(super) fn requests(&self) -> usize {
        self.0.iter().map(|(_, count)| count).sum()
    }
}

impl fmt::Display for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kinds: Vec<String> =
            self.0.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
        f.write_str(&kinds.join(", "))
    }
}

/// What is asked, and of what kind of object.
fn kind(request: &Request) -> String {
    let (verb, key) = (request.verb(), request.key.as_str());
    let of = match key {
        "_delta_log/_last_checkpoint" | "_ledger/checkpoint" => key,
        _ if verb == "list" => key,
        _ if key.ends_with(".checkpoint.parquet") => "Delta checkpoint",
        _ if key.starts_with("_delta_log/") => "commit",
        _ if key.starts_with("_ledger/tile/") => "_ledger/tile/",
        _ if key.starts_with("index/held/") => "index/held/",
        _ => &key[..=key.find('/').unwrap()],
    };
    format!("{verb} {of}")
}

/// Runs a job, and answers what it asks wave by wave, each after 30 ms; what it was, and the waves.
pub(super) fn run<T: Send + 'static>(
    runtime: &Runtime,
    waves: &Waves,
    job: impl Future<Output = T> + Send + 'static,
) -> (T, Vec<Counted>) {
    let job = runtime.spawn(job);
    // A runtime of its own: waiting must wake none of the others' threads.
    let pause = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let mut since = Instant::now();
    while !job.is_finished() {
        if is_quiet() && waves.wait() > 0 {
            // Nobody is there to ask for more meanwhile: it is what the store takes.
            pause.block_on(async { tokio::time::sleep(LATENCY).await });
            assert!(waves.answer());
            since = Instant::now();
        } else {
            assert!(since.elapsed() < STUCK, "nobody asks, and nothing is done");
            pause.block_on(async { tokio::time::sleep(GLANCE).await });
        }
    }
    let done = runtime.block_on(job).unwrap();
    (done, waves.take().iter().map(|wave| Counted::new(wave)).collect())
}

/// Whether no other thread of this process can do anything before somebody wakes it. All of them
/// sleep, and none was awake between two looks at it: so from the end of the first look to the
/// begin of the second, nobody was there to wake anybody.
fn is_quiet() -> bool {
    let first = sleepers();
    first.is_some() && first == sleepers()
}

/// Each thread but this one with how often it went to sleep; `None` if one does not sleep.
fn sleepers() -> Option<BTreeMap<String, Vec<String>>> {
    let own = fs::read_link("/proc/thread-self").unwrap();
    let mut threads = BTreeMap::new();
    for entry in fs::read_dir("/proc/self/task").unwrap() {
        let entry = entry.unwrap();
        if Some(entry.file_name().as_os_str()) == own.file_name() {
            continue;
        }
        // One that ended meanwhile was awake.
        let status = fs::read_to_string(entry.path().join("status")).ok()?;
        let state = status.lines().find(|line| line.starts_with("State:"))?;
        if !state.contains("S (sleeping)") {
            return None;
        }
        let switches = status.lines().filter(|line| line.contains("ctxt_switches"));
        let switches = switches.map(str::to_owned).collect();
        threads.insert(entry.file_name().into_string().unwrap(), switches);
    }
    Some(threads)
}

//! `demo`: the whole system at work on a small archive of its own, told as a story.

mod feed;
mod fixtures;
mod questions;
mod story;
mod tamper;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use archive::verify::VerifyOptions;
use archive::{Archive, Location, Mode, StoreOptions};
use common::commit::Genesis;
use futures::future::try_join_all;
use ingest_fn::parse::SourceFormat;
use ingest_fn::pipeline::SourceConfig;
use ingest_fn::redact::Rules;
use maintain_fn::{Known, SealOptions};
use query_fn::rows::{Destination, Format as Rows};
use query_fn::{Engine, Limits, Request};
use traffic::{Config, Format, Generator, Incident};

use crate::args;
use crate::commands::{seal, verify};
use crate::exit::{Exit, Failure, Outcome};
use crate::ingest::{Ingestor, Summary};
use crate::interrupt::Interrupt;
use crate::output::{bytes, count, counted, elapsed, printable, speed};
use crate::progress::Bars;
use crate::query;
use host::doors;

use fixtures::FIXTURES;
use story::Story;

/// Runs the demo.
pub(crate) async fn run(args: args::Demo, interrupt: Interrupt) -> Outcome {
    let config =
        Config { seed: args.seed, events: args.events, format: Format::Mixed, ..Config::default() };
    let generator = Generator::new(config).map_err(|e| Failure::usage(e.to_string()))?;
    let place = Place::new(args.keep.as_deref())?;
    let demo = Demo {
        story: Story::new(),
        place,
        incidents: generator.incidents(),
        interrupt,
        started: Instant::now(),
    };
    demo.tell(generator, args.events).await
}

/// Where the demo's archives are.
struct Place {
    folder: PathBuf,
    /// Removed at the end, unless the archive is to be kept.
    temporary: Option<tempfile::TempDir>,
}

impl Place {
    fn new(keep: Option<&Path>) -> Result<Self, Failure> {
        let Some(keep) = keep else {
            let temporary =
                tempfile::Builder::new().prefix("meshledger-demo-").tempdir().map_err(|e| {
                    Failure::new(Exit::Storage, format!("no temporary folder can be made: {e}"))
                })?;
            return Ok(Self { folder: temporary.path().to_owned(), temporary: Some(temporary) });
        };
        let occupied = fs::read_dir(keep).is_ok_and(|mut entries| entries.next().is_some());
        if occupied {
            let keep = keep.display();
            return Err(Failure::usage(format!("--keep {keep}: name a new or an empty folder")));
        }
        fs::create_dir_all(keep).map_err(|e| {
            Failure::new(Exit::Storage, format!("{} can not be made: {e}", keep.display()))
        })?;
        Ok(Self { folder: keep.to_owned(), temporary: None })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn location(&self, name: &str) -> Result<Location, Failure> {
        Ok(Location::parse(&self.path(name).to_string_lossy(), None)?)
    }
}

struct Demo {
    story: Story,
    place: Place,
    incidents: Vec<Incident>,
    interrupt: Interrupt,
    started: Instant,
}

impl Demo {
    async fn tell(mut self, generator: Generator, events: u64) -> Outcome {
        let archive = self.create().await?;
        let ingestor = Ingestor::new(&archive, u64::MAX, self.interrupt.clone());
        let mut all = self.ingest_captured(&ingestor).await?;
        all.add(self.ingest_generated(&ingestor, generator, events).await?);
        self.seal(&archive).await?;
        let engine = query::engine(&archive, Limits::default())?;
        self.ask(&engine).await?;
        let found = self.find_hidden(&engine).await?;
        let sound = self.verify(&archive).await?;
        let caught = self.tamper().await?;
        self.sizes(&all)?;
        self.next()?;
        let checks = [
            (found, "an answer differs from what was hidden"),
            (sound, "verify complained about the untouched archive"),
            (caught, "verify did not name the changed file"),
        ];
        let failed: Vec<&str> =
            checks.iter().filter(|(passed, _)| !passed).map(|(_, what)| *what).collect();
        if failed.is_empty() {
            return Ok(Exit::Ok);
        }
        Err(Failure::new(
            Exit::Tampering,
            format!(
                "the demo did not come out as it should: {}; please report it",
                failed.join("; ")
            ),
        ))
    }

    async fn create(&mut self) -> Result<Archive, Failure> {
        self.story.chapter("An archive: a folder, or a bucket with the same layout")?;
        let genesis = Genesis {
            table_id: doors::new_table_id()?,
            timestamp_millis: doors::now_micros()? / 1_000,
            fence: true,
        };
        let location = self.place.location("archive")?;
        let created = Archive::create(&location, &StoreOptions::default(), &genesis).await?;
        self.story.say(&format!("Created {}.", printable(location.archive_url(), false)))?;
        Ok(created.archive)
    }

    async fn ingest_captured(&mut self, ingestor: &Ingestor) -> Result<Summary, Failure> {
        self.story.chapter("Real records, captured from Envoy 1.40")?;
        let mut all = Summary::default();
        for fixture in &FIXTURES {
            let mut summary = Summary::default();
            let config = source(None, fixture.name);
            ingestor.ingest(fixture.name, fixture.bytes, config, &mut summary).await?;
            let counts = counts(&summary);
            self.story.say(&format!("{} ({}): {counts}.", fixture.name, fixture.about))?;
            all.add(summary);
        }
        if all.rejects > 0 {
            self.story
                .say("Rejects are kept in mesh_quarantine with the reason; nothing is lost.")?;
        }
        Ok(all)
    }

    async fn ingest_generated(
        &mut self,
        ingestor: &Ingestor,
        generator: Generator,
        events: u64,
    ) -> Result<Summary, Failure> {
        let clusters = generator.clusters().join(" and ");
        self.story.chapter("A day in a company's mesh, generated")?;
        self.story.say(&format!(
            "40 services in 8 namespaces and the clusters {clusters}; three incidents hidden in {}.",
            counted(events, "event", "events")
        ))?;
        let started = Instant::now();
        let bar = Bars::new().things("ingesting", events);
        let streams = feed::start(generator, bar.clone());
        let ingesting = streams.into_iter().map(|(cluster, stream)| async move {
            let mut summary = Summary::default();
            let name = format!("generated/{cluster}.jsonl");
            let config = source(Some(cluster), &name);
            ingestor.ingest(&name, stream, config, &mut summary).await?;
            Ok::<_, Failure>(summary)
        });
        let ingested = try_join_all(ingesting).await;
        bar.finish_and_clear();
        let mut all = Summary::default();
        for summary in ingested? {
            all.add(summary);
        }
        self.story.say(&format!(
            "Generated and ingested {} ({}): {} in {} ({}).",
            counts(&all),
            bytes(all.bytes),
            counted(all.units, "part", "parts"),
            elapsed(started.elapsed()),
            speed(all.bytes, started.elapsed())
        ))?;
        Ok(all)
    }

    async fn seal(&mut self, archive: &Archive) -> Result<(), Failure> {
        self.story.chapter("Seal: what was ingested becomes one commit of a Delta table")?;
        let started = Instant::now();
        let report =
            seal::seal_with(archive, None, &mut Known::default(), SealOptions::default()).await?;
        self.story.say(&seal::text(&report))?;
        self.story.say(&format!("It took {}.", elapsed(started.elapsed())))
    }

    async fn ask(&mut self, engine: &Engine) -> Result<(), Failure> {
        self.story.chapter("Questions an auditor asks")?;
        let sql = questions::far_request_sql(&self.incidents);
        let far = one_value(engine, sql).await?.unwrap_or_default();
        for asked in questions::asked(&self.incidents, &far) {
            let question = query::question(asked.name)?;
            self.story.point(&question.question)?;
            self.story.say(&format!(
                "meshledger query -a ARCHIVE {}",
                arguments(asked.name, &asked.params)
            ))?;
            let request = query::question_request(asked.name, &asked.params, Mode::Strict)?;
            let receipt = self.story.table(engine, &request, asked.columns).await?;
            self.story.say(&query::receipt::text(&receipt))?;
        }
        Ok(())
    }

    /// Whether the answers are exactly what the generator hid.
    async fn find_hidden(&mut self, engine: &Engine) -> Result<bool, Failure> {
        self.story.chapter("Is everything found that was hidden?")?;
        let mut all_same = true;
        for hidden in questions::hidden(&self.incidents) {
            let found = one_value(engine, hidden.sql).await?;
            let found: u64 = number(hidden.what, found.as_deref())?;
            let same = found == hidden.expected;
            all_same &= same;
            let verdict = if same { "all of them" } else { "NOT the same" };
            self.story.say(&format!(
                "{:45} hidden {:>6}, found {:>6}: {verdict}",
                hidden.what,
                count(hidden.expected),
                count(found)
            ))?;
        }
        Ok(all_same)
    }

    async fn verify(&mut self, archive: &Archive) -> Result<bool, Failure> {
        self.story.chapter("Verify: is everything as it was written?")?;
        let started = Instant::now();
        let report = verify::check(&archive.reader(), VerifyOptions::default()).await?;
        self.story.say(&verify::text(&report, started.elapsed()))?;
        Ok(report.findings.is_empty())
    }

    async fn tamper(&mut self) -> Result<bool, Failure> {
        self.story.chapter("One byte is changed in a copy")?;
        let failed = |e: std::io::Error| {
            Failure::new(Exit::Storage, format!("the copy can not be written: {e}"))
        };
        let copied = self.place.path("tampered");
        tamper::copy(&self.place.path("archive"), &copied).map_err(failed)?;
        let flipped = tamper::flip_one_byte(&copied).map_err(failed)?;
        let file = flipped.file.to_string_lossy().into_owned();
        self.story.say(&format!(
            "{file}, byte {}: 0x{:02x} became 0x{:02x}.",
            count(flipped.offset_bytes),
            flipped.bytes.0,
            flipped.bytes.1
        ))?;
        let location = self.place.location("tampered")?;
        let copy = Archive::connect(&location, &StoreOptions::default())?;
        let started = Instant::now();
        let report = verify::check(&copy.reader(), VerifyOptions::default()).await?;
        self.story.say(&verify::text(&report, started.elapsed()))?;
        self.story.say(&format!(
            "`meshledger verify` ends with exit code {} here.",
            verify::exit(&report).code()
        ))?;
        let named = report.findings.iter().any(|finding| finding.object.contains(&file));
        Ok(named && verify::exit(&report) == Exit::Tampering)
    }

    fn sizes(&mut self, all: &Summary) -> Result<(), Failure> {
        self.story.chapter("Sizes")?;
        let stored = tamper::size(&self.place.path("archive")).unwrap_or(0);
        let per_event = |bytes: u64| bytes / all.events.max(1);
        self.story.say(&format!(
            "raw {}, {} bytes an event; stored {}, {} bytes an event: {:.0} times smaller.",
            bytes(all.bytes),
            count(per_event(all.bytes)),
            bytes(stored),
            count(per_event(stored)),
            crate::output::ratio(all.bytes, stored.max(1))
        ))?;
        self.story.say(&format!("The demo took {}.", elapsed(self.started.elapsed())))
    }

    fn next(&mut self) -> Result<(), Failure> {
        self.story.chapter("What to try next")?;
        let archive = if self.place.temporary.is_none() {
            printable(&self.place.path("archive").to_string_lossy(), false)
        } else {
            self.story.say("meshledger demo --keep ./demo          keeps the archive; then:")?;
            "./demo/archive".to_owned()
        };
        self.story.say(&format!(
            "meshledger query -a {archive}          asks questions interactively\n\
             meshledger query -a {archive} --list   lists the questions\n\
             meshledger init -a ./audit && meshledger ingest -a ./audit --seal YOUR.log\n\
             \x20                                      archives logs of your own"
        ))
    }
}

/// The only value of an answer, as text; `None` if there is no row.
async fn one_value(engine: &Engine, sql: String) -> Result<Option<String>, Failure> {
    let mut csv = Vec::new();
    let request = Request::new(sql, Mode::Strict);
    query::answer(engine, &request, Rows::Csv, Destination::Program, &mut csv).await?;
    Ok(String::from_utf8_lossy(&csv).lines().nth(1).map(|line| line.trim_end().to_owned()))
}

/// The count an answer consists of.
fn number(what: &str, answer: Option<&str>) -> Result<u64, Failure> {
    answer.and_then(|text| text.parse().ok()).ok_or_else(|| {
        let found = answer.map_or("no row".to_owned(), |text| printable(text, false));
        Failure::new(Exit::Query, format!("{what}: expected a count, found {found}"))
    })
}

fn source(cluster: Option<String>, name: &str) -> SourceConfig {
    SourceConfig {
        format: SourceFormat::Auto,
        cluster,
        transport: "file".to_owned(),
        transport_ref: Some(name.to_owned()),
        redaction: Rules::default(),
    }
}

fn counts(summary: &Summary) -> String {
    let events = counted(summary.events, "event", "events");
    match summary.rejects {
        0 => events,
        rejects => format!("{events}, {}", counted(rejects, "reject", "rejects")),
    }
}

/// The options that ask a question again.
fn arguments(name: &str, params: &[(String, String)]) -> String {
    let mut text = format!("--question {name}");
    for (name, value) in params {
        text.push_str(&format!(" --param {name}={value}"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_that_is_none_is_an_error() {
        assert_eq!(number("denials", Some("17")).unwrap(), 17);
        assert_eq!(number("denials", Some("0")).unwrap(), 0);
        for (answer, found) in [(None, "no row"), (Some(""), ""), (Some("x\x1b"), "x\\u{1b}")] {
            let failure = number("denials", answer).unwrap_err();
            assert_eq!(failure.exit(), Exit::Query);
            assert_eq!(failure.message(), format!("denials: expected a count, found {found}"));
        }
    }
}

//! `generate`: writes seeded mesh traffic to files or standard output.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use common::date::EventDate;
use indicatif::ProgressBar;
use traffic::{Config, Format, Generator};

use crate::args::{Generate, GenerateFormat};
use crate::exit::{Exit, Failure, Outcome};
use crate::interrupt::Interrupt;
use crate::output::{self, bytes, counted, elapsed};
use crate::progress::Bars;

const BUFFER_BYTES: usize = 1024 * 1024;
/// Lines between two looks at the progress bar and the interrupt.
const STEP_LINES: u64 = 4_096;
const DAY_MICROS: i64 = 86_400_000_000;

/// Runs the command.
pub(crate) async fn run(args: Generate, interrupt: Interrupt) -> Outcome {
    let work = tokio::task::spawn_blocking(move || generate(&args, &interrupt));
    work.await.unwrap_or_else(|e| Err(Failure::new(Exit::Storage, format!("a defect: {e}"))))
}

fn generate(args: &Generate, interrupt: &Interrupt) -> Outcome {
    let mut generator = Generator::new(config(args)?).map_err(|e| Failure::usage(e.to_string()))?;
    let started = Instant::now();
    let bar = Bars::new().things("generating", args.events);
    if args.out == Path::new("-") {
        let mut out = output::stdout();
        let written = write(&mut generator, &bar, interrupt, |_, line| out.write_all(line))?;
        out.flush()?;
        return Ok(if written.is_some() { Exit::Ok } else { Exit::Interrupted });
    }
    let mut files = Files::create(&args.out, generator.clusters(), args.force)?;
    let written =
        write(&mut generator, &bar, interrupt, |cluster, line| files.write(cluster, line));
    bar.finish_and_clear();
    let Some(written) = written.map_err(|e| files.failed(&e))? else {
        files.discard();
        return Err(Failure::new(Exit::Interrupted, "interrupted; nothing was written"));
    };
    files.keep()?;
    let mut out = output::stdout();
    writeln!(
        out,
        "Wrote {}, {} in {}.",
        counted(args.events, "record", "records"),
        bytes(written),
        elapsed(started.elapsed())
    )?;
    for file in &files.files {
        writeln!(out, "  {}", output::printable(&file.path.to_string_lossy(), false))?;
    }
    writeln!(out, "Hidden in them:")?;
    for incident in generator.incidents() {
        writeln!(out, "  {}: {}", incident.name, incident.description)?;
    }
    out.flush()?;
    Ok(Exit::Ok)
}

fn config(args: &Generate) -> Result<Config, Failure> {
    let start: EventDate = args.start.parse().map_err(|_| {
        Failure::usage(format!("--start: expected YYYY-MM-DD, found {:?}", args.start))
    })?;
    Ok(Config {
        seed: args.seed,
        events: args.events,
        start_micros: i64::from(start.days()) * DAY_MICROS,
        days: args.days,
        clusters: args.clusters,
        namespaces: args.namespaces,
        services: args.services,
        format: match args.format {
            GenerateFormat::Default => Format::IstioDefault,
            GenerateFormat::Extended => Format::Extended,
            GenerateFormat::Mixed => Format::Mixed,
        },
    })
}

/// Writes every line; `None` if the user interrupted. Returns the bytes written.
fn write(
    generator: &mut Generator,
    bar: &ProgressBar,
    interrupt: &Interrupt,
    mut put: impl FnMut(usize, &[u8]) -> std::io::Result<()>,
) -> std::io::Result<Option<u64>> {
    let mut line = Vec::new();
    let mut lines = 0;
    let mut written = 0;
    while let Some(cluster) = generator.next_line(&mut line) {
        put(cluster, &line)?;
        written += u64::try_from(line.len()).unwrap_or(0);
        line.clear();
        lines += 1;
        if lines % STEP_LINES == 0 {
            bar.set_position(lines);
            if interrupt.raised() {
                return Ok(None);
            }
        }
    }
    bar.finish_and_clear();
    Ok(Some(written))
}

/// One file a cluster, under a passing name until it is whole.
struct Files {
    files: Vec<Output>,
}

struct Output {
    path: PathBuf,
    partial: PathBuf,
    writer: BufWriter<File>,
}

impl Files {
    fn create(folder: &Path, clusters: &[String], force: bool) -> Result<Self, Failure> {
        let at = |path: &Path, e: &std::io::Error| {
            let path = path.display();
            Failure::new(Exit::Storage, format!("{path} can not be written: {e}"))
        };
        fs::create_dir_all(folder).map_err(|e| at(folder, &e))?;
        let mut files = Vec::new();
        for cluster in clusters {
            let path = folder.join(format!("{cluster}.jsonl"));
            if path.symlink_metadata().is_ok() && !force {
                let path = path.display();
                return Err(Failure::usage(format!("{path} exists; --force overwrites it")));
            }
            let partial = folder.join(format!("{cluster}.jsonl.partial"));
            let file = File::create(&partial).map_err(|e| at(&partial, &e))?;
            files.push(Output {
                path,
                partial,
                writer: BufWriter::with_capacity(BUFFER_BYTES, file),
            });
        }
        Ok(Self { files })
    }

    fn write(&mut self, cluster: usize, line: &[u8]) -> std::io::Result<()> {
        match self.files.get_mut(cluster) {
            Some(output) => output.writer.write_all(line),
            None => Err(std::io::Error::other("a record of a cluster that does not exist")),
        }
    }

    fn keep(&mut self) -> Result<(), Failure> {
        for i in 0..self.files.len() {
            let output = &mut self.files[i];
            let kept =
                output.writer.flush().and_then(|()| fs::rename(&output.partial, &output.path));
            if let Err(e) = kept {
                return Err(self.failed(&e));
            }
        }
        Ok(())
    }

    fn failed(&self, error: &std::io::Error) -> Failure {
        self.discard();
        Failure::new(Exit::Storage, format!("writing failed: {error}; nothing was kept"))
    }

    fn discard(&self) {
        for output in &self.files {
            // What can not be removed is left under a name that says it is partial.
            let _ = fs::remove_file(&output.partial);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(out: &Path, force: bool) -> Generate {
        Generate {
            events: 1_000,
            seed: 7,
            days: 1,
            start: "2026-11-02".to_owned(),
            format: GenerateFormat::Mixed,
            services: 40,
            namespaces: 8,
            clusters: 2,
            out: out.to_owned(),
            force,
        }
    }

    #[test]
    fn files_hold_every_line_and_are_not_overwritten_unasked() {
        let folder = tempfile::tempdir().unwrap();
        let never = Interrupt::fixed(false);
        assert_eq!(generate(&args(folder.path(), false), &never).unwrap(), Exit::Ok);
        let mut lines = 0;
        let mut names = Vec::new();
        for entry in fs::read_dir(folder.path()).unwrap() {
            let path = entry.unwrap().path();
            lines += fs::read_to_string(&path).unwrap().lines().count();
            names.push(path.file_name().unwrap().to_string_lossy().into_owned());
        }
        names.sort();
        assert_eq!(lines, 1_000);
        assert_eq!(names, ["prod-eu-1.jsonl", "prod-us-1.jsonl"]);
        let again = generate(&args(folder.path(), false), &never).unwrap_err();
        assert_eq!(again.exit(), Exit::Usage);
        assert_eq!(generate(&args(folder.path(), true), &never).unwrap(), Exit::Ok);
    }

    #[test]
    fn a_date_that_is_none_is_a_usage_error() {
        let wrong = Generate { start: "2026-02-30".to_owned(), ..args(Path::new("-"), false) };
        assert_eq!(config(&wrong).unwrap_err().exit(), Exit::Usage);
        let right = Generate { start: "2026-11-02".to_owned(), ..args(Path::new("-"), false) };
        assert_eq!(config(&right).unwrap().start_micros, 1_793_577_600_000_000);
    }
}

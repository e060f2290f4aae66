//! `ingest`: archives what files and standard input hold.

use maintain_fn::SealOptions;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use ingest_fn::pipeline::SourceConfig;

use crate::args;
use crate::exit::{Exit, Failure, Outcome};
use crate::ingest::{Ingestor, InputError, Summary};
use crate::input::{Counting, Input, expand};
use crate::interrupt::Interrupt;
use crate::output;
use crate::progress::Bars;

/// Runs the command.
pub(crate) async fn run(args: args::Ingest, interrupt: Interrupt) -> Outcome {
    let (inputs, missing) = expand(&args.inputs)?;
    let archive = super::open(&args.place).await?;
    let started = Instant::now();
    let mut summary = Summary::default();
    for input in missing {
        let message = input.reason;
        summary.errors.push(InputError { source: input.name, message, is_limit: false });
    }
    let ingestor = Ingestor::new(&archive, args.decoded_bytes_max, interrupt);
    let mut failed = None;
    for input in &inputs {
        if let Err(e) = ingest(&ingestor, input, &args, &mut summary).await {
            failed = Some(e);
        }
        if failed.is_some() || summary.interrupted {
            break;
        }
    }
    if failed.is_none() && args.seal && !summary.interrupted {
        match super::seal::seal(
            &archive,
            &args.place,
            &args.key,
            &args.policy,
            SealOptions::default(),
        )
        .await
        {
            Ok((report, _)) if super::seal::exit(&report) == Exit::Ok => {
                summary.sealed_version = report.version;
            }
            Ok((report, _)) => {
                failed = Some(Failure::new(Exit::Storage, super::seal::text(&report)))
            }
            Err(e) => failed = Some(e),
        }
    }
    summary.seconds = started.elapsed().as_secs_f64();
    print(&summary, &args)?;
    match failed {
        Some(e) => Err(
            e.hint("What is counted above is archived; run the same command again for the rest.")
        ),
        None => Ok(exit(&summary)),
    }
}

async fn ingest(
    ingestor: &Ingestor,
    input: &Input,
    args: &args::Ingest,
    summary: &mut Summary,
) -> Result<(), Failure> {
    let name = input.name();
    let reader = match input.open() {
        Ok(reader) => reader,
        Err(message) => {
            summary.errors.push(InputError { source: name, message, is_limit: false });
            return Ok(());
        }
    };
    let passed = Arc::new(AtomicU64::new(0));
    let reader = Counting::new(reader, Arc::clone(&passed));
    let bar = Bars::new().bytes(&name, input.length_bytes());
    let ticking = async {
        loop {
            tokio::time::sleep(Duration::from_millis(200)).await;
            bar.set_position(passed.load(Ordering::Relaxed));
        }
    };
    let outcome = tokio::select! {
        outcome = ingestor.ingest(&name, reader, config(args, input), summary) => outcome,
        () = ticking => Ok(()),
    };
    bar.finish_and_clear();
    outcome
}

fn config(args: &args::Ingest, input: &Input) -> SourceConfig {
    SourceConfig {
        format: args.source,
        cluster: args.cluster.clone(),
        transport: input.transport().to_owned(),
        transport_ref: match input {
            Input::Stdin => None,
            Input::File(_) => Some(input.name()),
        },
        redaction: args.redaction.clone(),
    }
}

fn print(summary: &Summary, args: &args::Ingest) -> Result<(), Failure> {
    let mut out = output::stdout();
    if args.json {
        serde_json::to_writer(&mut out, summary).map_err(std::io::Error::from)?;
        writeln!(out)?;
    } else {
        out.write_all(summary.text().as_bytes())?;
        match summary.sealed_version {
            Some(version) => writeln!(out, "Sealed as version {version}.")?,
            None if summary.units > 0 => {
                writeln!(out, "Queries see it already; `meshledger seal` commits it.")?;
            }
            None => {}
        }
    }
    Ok(out.flush()?)
}

fn exit(summary: &Summary) -> Exit {
    if summary.interrupted {
        return Exit::Interrupted;
    }
    match summary.errors.as_slice() {
        [] => Exit::Ok,
        errors if errors.iter().all(|error| error.is_limit) => Exit::Limit,
        _ => Exit::Input,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exit_code_tells_what_went_wrong() {
        let error =
            |is_limit| InputError { source: String::new(), message: String::new(), is_limit };
        let summary = |errors, interrupted| Summary { errors, interrupted, ..Summary::default() };
        assert_eq!(exit(&summary(vec![], false)), Exit::Ok);
        assert_eq!(exit(&summary(vec![error(false), error(true)], false)), Exit::Input);
        assert_eq!(exit(&summary(vec![error(true)], false)), Exit::Limit);
        assert_eq!(exit(&summary(vec![error(false)], true)), Exit::Interrupted);
    }
}

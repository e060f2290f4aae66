//! `init`: creates an archive.

use std::io::Write;

use archive::Archive;
use common::commit::Genesis;

use crate::args::Init;
use crate::doors;
use crate::exit::{Exit, Outcome};
use crate::output::{self, printable};

/// Runs the command.
pub(crate) async fn run(args: Init) -> Outcome {
    let location = super::location(&args.place)?;
    let genesis = Genesis {
        table_id: doors::new_table_id()?,
        timestamp_millis: doors::now_micros()? / 1_000,
        fence: !args.no_fence,
    };
    let created = Archive::create(&location, &super::options(&location)?, &genesis).await?;
    let archive = printable(location.archive_url(), false);
    let mut out = output::stdout();
    if created.is_new {
        writeln!(out, "Created the archive {archive}.")?;
        writeln!(
            out,
            "What is ingested waits for a seal in {}.",
            printable(location.work_url(), false)
        )?;
        writeln!(out, "Next: meshledger ingest --archive {archive} FILE…")?;
    } else {
        writeln!(out, "The archive {archive} exists already; it is left as it is.")?;
    }
    out.flush()?;
    Ok(Exit::Ok)
}

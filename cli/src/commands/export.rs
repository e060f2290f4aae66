//! `query --out`: an answer as a file or an object.

use host::doors;
use query_fn::Answer;
use query_fn::rows::Format;
use query_fn::statement::{StatedExport, StatedProofs};

use super::query::{Opened, form, open, prepare, scribe, shown, write_receipt, write_statement};
use crate::args::{ExportPlace, Query, QueryFormat};
use crate::exit::{Exit, Failure, Outcome};
use crate::export::{Events, Target, Written, write_proofs, write_rows};
use crate::interrupt::Interrupt;
use crate::output::{self, bytes, counted, printable};
use crate::trail::Asking;

/// Runs the command. Nothing is under its name before all of it is there: proofs first, then the
/// rows, then the receipt.
pub(super) async fn run(args: Query, mut interrupt: Interrupt) -> Outcome {
    let Some(place) = args.export.out.clone() else {
        return Err(Failure::usage("expected --out"));
    };
    let format = args.format.or_else(|| place.format()).filter(|of| *of != QueryFormat::Table);
    let format = format.ok_or_else(|| {
        Failure::usage(
            "--out: expected a name that ends in .csv, .ndjson, .arrow or .parquet, or one of these \
             forms as --format",
        )
    })?;
    if args.access.is_some() && args.export.proofs.is_some() {
        return Err(Failure::usage(
            "--proofs with --access: a proof holds the whole event; expected one of the two",
        ));
    }
    let (request, asked) = (prepare(&args)?, Asking::now()?);
    let Opened { archive, engine, spill: _spill } = open(&args).await?;
    let scribe = scribe(&args, &archive)?;
    let mut targets = Targets::begin(&args, &place).await?;
    let written = async {
        let mut answer = engine.query(&request).await?;
        let events = targets.write(&mut answer, form(format), engine.reader()).await?;
        Ok((answer, events))
    };
    let written = tokio::select! {
        written = written => written,
        () = interrupt.wait() => Err(Failure::new(Exit::Interrupted, "interrupted")),
    };
    // What could not be told of, where it has to be, gets no name.
    let told = match &scribe {
        Some(scribe) => {
            let question = args.question.as_deref();
            let answered = written.as_ref().map(|(answer, _)| Some(answer));
            scribe.tell((&request, question), asked, answered).await
        }
        None => Ok(()),
    };
    let (answer, events) = match told.and(written) {
        Ok(written) => written,
        Err(error) => {
            targets.abort().await;
            return Err(error);
        }
    };
    let (rows, proofs) = targets.finish().await?;
    let proofs = proofs.zip(args.export.proofs.as_ref()).map(|(written, place)| StatedProofs {
        name: place.name(),
        events,
        bytes: written.bytes,
        sha256: written.sha256,
    });
    let export = StatedExport {
        name: place.name(),
        format: name(format).to_owned(),
        bytes: rows.bytes,
        sha256: rows.sha256,
        proofs,
    };
    tell(&answer, &export);
    write_receipt(&answer.receipt(), shown(&args), &mut output::stdout())?;
    write_statement(&args, &answer, Some(export))?;
    Ok(Exit::Ok)
}

/// What is on its way.
struct Targets {
    rows: Target,
    proofs: Option<Target>,
}

impl Targets {
    async fn begin(args: &Query, place: &ExportPlace) -> Result<Self, Failure> {
        let (options, replaces) = (options(args)?, args.export.force);
        let rows = Target::begin(place, replaces, &options).await?;
        let mut targets = Self { rows, proofs: None };
        if let Some(place) = &args.export.proofs {
            match Target::begin(place, replaces, &options).await {
                Ok(proofs) => targets.proofs = Some(proofs),
                Err(error) => {
                    targets.abort().await;
                    return Err(error);
                }
            }
        }
        Ok(targets)
    }

    /// Writes all there is, and says how many events are proven.
    async fn write(
        &mut self,
        answer: &mut Answer,
        format: Format,
        reader: &archive::Reader,
    ) -> Result<u64, Failure> {
        let Some(proofs) = &mut self.proofs else {
            write_rows(answer, format, &mut self.rows, None).await?;
            return Ok(0);
        };
        let mut events = Events::of(&answer.schema())?;
        write_rows(answer, format, &mut self.rows, Some(&mut events)).await?;
        write_proofs(events, reader, proofs).await
    }

    /// Gives the proofs their name, then the rows.
    async fn finish(self) -> Result<(Written, Option<Written>), Failure> {
        let proofs = match self.proofs {
            None => None,
            Some(proofs) => match proofs.finish().await {
                Ok(written) => Some(written),
                Err(error) => {
                    self.rows.abort().await;
                    return Err(error);
                }
            },
        };
        Ok((self.rows.finish().await?, proofs))
    }

    async fn abort(self) {
        self.rows.abort().await;
        if let Some(proofs) = self.proofs {
            proofs.abort().await;
        }
    }
}

/// How objects are reached: as the archive's would be.
fn options(args: &Query) -> Result<archive::StoreOptions, Failure> {
    let places = [args.export.out.as_ref(), args.export.proofs.as_ref()];
    let url = places.into_iter().flatten().find_map(|place| match place {
        ExportPlace::Object(url) => Some(url.as_str()),
        ExportPlace::File(_) => None,
    });
    Ok(match url {
        Some(url) => host::settings::options_for(url)?,
        None => doors::store_options(),
    })
}

/// What a statement calls a form.
const fn name(format: QueryFormat) -> &'static str {
    match format {
        QueryFormat::Json => "ndjson",
        QueryFormat::Csv => "csv",
        QueryFormat::Arrow => "arrow",
        QueryFormat::Parquet => "parquet",
        QueryFormat::Table => "table",
    }
}

fn tell(answer: &Answer, export: &StatedExport) {
    let rows = counted(answer.receipt().rows_returned, "row", "rows");
    let mut text = format!(
        "Wrote {rows} to {}: {} with SHA-256 {}",
        printable(&export.name, false),
        bytes(export.bytes),
        export.sha256
    );
    if let Some(proofs) = &export.proofs {
        let events = counted(proofs.events, "event", "events");
        text.push_str(&format!(
            "; proofs of {events} to {}, {}",
            printable(&proofs.name, false),
            bytes(proofs.bytes)
        ));
    }
    output::note(&format!("{text}."));
}

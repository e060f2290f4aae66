//! `init`: creates an archive, with a signed ledger unless none is wanted.

use std::fs;
use std::io::Write;

use archive::log::Log;
use archive::{Archive, Created, Location};
use common::commit::Genesis;
use maintain_fn::{Known, SealError};

use crate::args::Init;
use crate::exit::{Exit, Failure, Outcome};
use crate::key::{self, Found, Holder, Owner};
use crate::output::{self, counted, printable};
use host::doors;

/// Runs the command.
pub(crate) async fn run(args: Init) -> Outcome {
    let location = super::location(&args.place)?;
    if let Some(Holder::File(path)) = &args.key.holder {
        // Before anything is stored.
        key::outside(path, &location, "key")?;
    }
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
    } else {
        writeln!(out, "The archive {archive} exists already; it is left as it is.")?;
    }
    // What was done is said, also if the ledger can not be begun.
    out.flush()?;
    if !args.no_ledger {
        begin(&args, &location, &created).await?;
    }
    if created.is_new {
        writeln!(out, "Next: meshledger ingest --archive {archive} FILE…")?;
    }
    out.flush()?;
    Ok(Exit::Ok)
}

/// Makes the key and signs what there is; run again, it goes on where it stopped.
async fn begin(args: &Init, location: &Location, created: &Created) -> Result<(), Failure> {
    let owner = Owner::new(&created.archive, location).await?;
    let (sealer, is_asked) = (created.archive.sealer(), args.ledger.is_some());
    let holder = args.key.holder.as_ref();
    let found = if let Some(begun) = owner.origin().await? {
        // Begun before, by this key or by another; it keeps its name.
        if let Some(name) = &args.ledger
            && begun != format!("{name}/{}", owner.table_id())
        {
            let begun = printable(&begun, false);
            return Err(Failure::usage(format!(
                "the archive has a ledger already, called {begun}"
            )));
        }
        owner.find(holder).await?
    } else if is_asked || sealer.log(&Log::default()).await?.next_version() == 1 {
        let name = args.ledger.clone().unwrap_or_else(|| key::default_name(location));
        Some(owner.create(&name, holder).await?)
    } else {
        let mut out = output::stdout();
        writeln!(out, "It has no ledger; --ledger NAME begins one.")?;
        return Ok(out.flush()?);
    };
    let Some(found) = found else {
        let mut out = output::stdout();
        writeln!(out, "It has a ledger, whose key is not on this machine.")?;
        return Ok(out.flush()?);
    };
    let published = match maintain_fn::publish(&sealer, &*found.signer, &mut Known::default()).await
    {
        Ok(published) => published,
        Err(error) => {
            forget(&found, &error);
            return Err(error.into());
        }
    };
    let public = found.signer.public();
    let policy = key::write_policy(&found.holder, public, owner.table_id(), location)?;
    let holder = printable(&found.holder.to_string(), false);
    let mut out = output::stdout();
    match &found.holder {
        Holder::File(_) => {
            writeln!(out, "The ledger's private key lies in {holder}.")?;
            writeln!(
                out,
                "Keep a copy of it elsewhere: without it nothing can be sealed any more."
            )?;
        }
        Holder::Variable(_) | Holder::Kms(..) => {
            writeln!(out, "The ledger is signed by {holder}.")?;
        }
    }
    if let Some(policy) = policy {
        let policy = printable(&policy.display().to_string(), false);
        writeln!(out, "Whoever verifies needs its public key, the policy file {policy}:")?;
    }
    writeln!(out, "    log {public}\n    quorum none")?;
    writeln!(out, "The checkpoint covers {}.", counted(published.size, "commit", "commits"))?;
    out.flush()?;
    Ok(())
}

/// A key that this call made and that did not become the ledger's must not be taken for it later:
/// nothing was signed with it.
fn forget(found: &Found, error: &SealError) {
    if let (true, Holder::File(path), SealError::OtherKey { .. }) =
        (found.is_new, &found.holder, error)
    {
        // If it stays, the next seal says that it is another's.
        let _ = fs::remove_file(path);
    }
}

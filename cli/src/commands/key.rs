//! `key`: shows or changes the key that signs the ledger.

use std::io::Write;

use archive::{Archive, Location};

use crate::args::{KeyAction, KeyCommand, KeyRotate, KeyShow};
use crate::exit::Exit;
use crate::exit::{Failure, Outcome};
use crate::key::{self, Found, Holder, Owner};
use crate::output::{self, printable};

/// Runs the command.
pub(crate) async fn run(args: KeyCommand) -> Outcome {
    match args.action {
        KeyAction::Show(args) => show(args).await,
        KeyAction::Rotate(args) => rotate(args).await,
    }
}

async fn show(args: KeyShow) -> Outcome {
    let location = super::location(&args.place)?;
    let archive = super::open(&args.place).await?;
    let found = find(&archive, &location, args.key.holder.as_ref()).await?;
    let mut out = output::stdout();
    write!(out, "{}", key::policy_text(found.signer.public()))?;
    out.flush()?;
    Ok(Exit::Ok)
}

async fn find(
    archive: &Archive,
    location: &Location,
    holder: Option<&Holder>,
) -> Result<Found, Failure> {
    let found = Owner::new(archive, location).await?.find(holder).await?;
    found.ok_or_else(|| {
        Failure::usage("this machine has no key of this archive's ledger: name it with --key")
    })
}

async fn rotate(args: KeyRotate) -> Outcome {
    let location = super::location(&args.place)?;
    let archive = super::open(&args.place).await?;
    let old = find(&archive, &location, args.key.holder.as_ref()).await?;
    let owner = Owner::new(&archive, &location).await?;
    let new = owner.successor(&args.to, old.signer.public().name()).await?;
    let rotated = maintain_fn::rotate(&archive.sealer(), &*old.signer, &*new.signer).await?;
    let policies = key::follow(&old, &new, owner.table_id(), &location)?;
    let mut out = output::stdout();
    let (size, holder) = (rotated.rotation.size, printable(&new.holder.to_string(), false));
    if rotated.is_new {
        writeln!(out, "The old key signs up to size {size}, the new one from there on.")?;
    } else {
        writeln!(out, "The key was changed before, at size {size}.")?;
    }
    writeln!(out, "Seal with --key {holder} from now on, or set MESHLEDGER_KEY to it.")?;
    writeln!(out, "Whoever verifies needs the new public key:")?;
    writeln!(out, "    log {}\n    quorum none", new.signer.public())?;
    for policy in policies {
        let policy = printable(&policy.display().to_string(), false);
        writeln!(out, "The policy {policy} has it.")?;
    }
    out.flush()?;
    Ok(Exit::Ok)
}

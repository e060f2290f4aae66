//! Policies: whom to trust, read from outside the archive; and the one that lies beside a key.

use std::fs;
use std::path::{Path, PathBuf};

use archive::Location;
use common::ledger::is_of_table;
use tlog::note::VerifierKey;
use tlog::policy::Policy;

use super::{Found, Holder, file};
use crate::exit::{Exit, Failure};
use crate::output::printable;
use host::doors;

/// What `--policy` says instead of a file, to trust nobody.
const NONE: &str = "none";

/// Whom to trust, and who says so.
#[derive(Debug, Clone)]
pub(crate) struct Trust {
    /// The policy.
    pub(crate) policy: Policy,
    /// Its file.
    pub(crate) path: PathBuf,
    /// Whether it was found beside the key, and not named.
    pub(crate) is_found: bool,
}

/// The policy that was named, or the one beside the archive's key on this machine; none if there
/// is none, or if `none` was named.
///
/// # Errors
/// If it can not be read, is none, or lies in the archive.
pub(crate) fn trust(
    option: Option<&Path>,
    location: &Location,
    table_id: Option<&str>,
) -> Result<Option<Trust>, Failure> {
    match option {
        Some(path) if path == Path::new(NONE) => Ok(None),
        Some(path) => read(path, location)
            .map(|policy| Some(Trust { policy, path: path.to_owned(), is_found: false })),
        None => {
            let Some(table_id) = table_id else { return Ok(None) };
            let named = doors::key().and_then(|text| text.parse().ok());
            let usual = file::usual(table_id).map(Holder::File);
            for path in
                named.into_iter().chain(usual).filter_map(|holder| beside(&holder, table_id))
            {
                if !path.is_file() {
                    continue;
                }
                let policy = read(&path, location)?;
                // Beside another archive's key lies another archive's policy.
                if policy.logs().iter().any(|log| is_of_table(log.key.name(), table_id)) {
                    return Ok(Some(Trust { policy, path, is_found: true }));
                }
            }
            Ok(None)
        }
    }
}

/// Where the policy of a key lies: beside its file; in the usual place if it has none.
fn beside(holder: &Holder, table_id: &str) -> Option<PathBuf> {
    match holder {
        Holder::File(path) if path.is_dir() => {
            Some(path.join(file::name(table_id)?).with_extension("policy"))
        }
        Holder::File(path) => Some(path.with_extension("policy")),
        Holder::Variable(_) | Holder::Kms(..) => {
            Some(file::usual(table_id)?.with_extension("policy"))
        }
    }
}

/// Reads whom to trust. A policy in the archive would be the archive's word about itself.
fn read(path: &Path, location: &Location) -> Result<Policy, Failure> {
    let shown = printable(&path.display().to_string(), false);
    let failed = |e: String| Failure::usage(format!("the policy {shown} can not be used: {e}"));
    let text = fs::read_to_string(path).map_err(|e| failed(e.to_string()))?;
    file::outside(path, location, "policy")?;
    Policy::parse(&text).map_err(|e| failed(e.to_string()))
}

/// Writes the policy that trusts a key beside it, unless one is there. Returns where.
///
/// # Errors
/// If it can not be written, or would lie in the archive.
pub(crate) fn write_policy(
    holder: &Holder,
    key: &VerifierKey,
    table_id: &str,
    location: &Location,
) -> Result<Option<PathBuf>, Failure> {
    let Some(path) = beside(holder, table_id) else { return Ok(None) };
    file::outside(&path, location, "policy")?;
    file::put_new(&path, &text(key)).map_err(|e| {
        let shown = printable(&path.display().to_string(), false);
        Failure::new(Exit::Storage, format!("could not write the policy {shown}: {e}"))
    })?;
    Ok(Some(path))
}

/// Writes the policy that trusts a key in the place of another, beside both: what else it says
/// stays as it was edited. Returns where.
///
/// # Errors
/// If one can not be read or written.
pub(crate) fn follow(
    old: &Found,
    new: &Found,
    table_id: &str,
    location: &Location,
) -> Result<Vec<PathBuf>, Failure> {
    let (before, after) = (beside(&old.holder, table_id), beside(&new.holder, table_id));
    let failed = |path: &Path, e: std::io::Error| {
        let shown = printable(&path.display().to_string(), false);
        Failure::new(Exit::Storage, format!("could not change the policy {shown}: {e}"))
    };
    let edited = match &before {
        Some(path) if path.is_file() => fs::read_to_string(path).map_err(|e| failed(path, e))?,
        _ => text(old.signer.public()),
    };
    let line = |key: &VerifierKey| format!("log {key}");
    let edited = edited.replace(&line(old.signer.public()), &line(new.signer.public()));
    let mut written: Vec<PathBuf> = Vec::new();
    for path in before.into_iter().filter(|path| path.is_file()).chain(after) {
        if !written.contains(&path) {
            file::outside(&path, location, "policy")?;
            file::replace(&path, &edited).map_err(|e| failed(&path, e))?;
            written.push(path);
        }
    }
    Ok(written)
}

/// A policy file.
pub(crate) fn text(key: &VerifierKey) -> String {
    format!(
        "# Whom to trust for {}: C2SP tlog-policy. Give a copy to whoever verifies.\n\
         # A witness: the line `witness NAME KEY URL`, and its name, or a group's, behind quorum.\n\
         log {key}\n\
         quorum none\n",
        key.name()
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use tlog::note::{Algorithm, SeedSigner};

    #[test]
    fn the_policy_beside_a_key_trusts_it_and_stays_as_it_was_edited() {
        let folder = tempfile::tempdir().unwrap();
        let key = SeedSigner::new("archive.example/7f", Algorithm::Ed25519, [1; 32]).unwrap();
        let location =
            Location::parse(folder.path().join("audit").to_str().unwrap(), None).unwrap();
        let holder = Holder::File(folder.path().join("ledger.key"));
        let write = || write_policy(&holder, key.public(), "7f", &location).unwrap().unwrap();
        let path = write();
        assert_eq!(path, folder.path().join("ledger.policy"));
        let policy = read(&path, &location).unwrap();
        assert_eq!(policy.logs()[0].key, *key.public());
        fs::write(&path, "# edited\n").unwrap();
        assert_eq!(fs::read_to_string(write()).unwrap(), "# edited\n");
        let inside = Holder::File(folder.path().join("audit/ledger.key"));
        assert!(write_policy(&inside, key.public(), "7f", &location).is_err());
    }
}

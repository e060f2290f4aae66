//! Keys: who holds one, where a file of one lies, which one signs for an archive; and the policy
//! that lies beside it.

mod file;
mod policy;

use std::path::{Path, PathBuf};

use archive::{Archive, Location};
use common::ledger::{is_of_table, origin};
use maintain_fn::Signer;
use maintain_fn::handler::Key;
use maintain_fn::holder::{self, HolderError};
use tlog::note::{Algorithm, SeedSigner};

use crate::commands::options;
use crate::exit::{Exit, Failure};
use crate::output::printable;
use host::doors;

pub(crate) use file::outside;
pub(crate) use maintain_fn::Holder;
pub(crate) use policy::{Trust, follow, text as policy_text, trust, write_policy};

/// Whom a command names as holder of the key, and by what; none if the usual place counts.
#[derive(Debug, Clone)]
struct Named {
    holder: Holder,
    by: &'static str,
}

fn named(option: Option<&Holder>) -> Result<Option<Named>, Failure> {
    if let Some(holder) = option {
        return Ok(Some(Named { holder: holder.clone(), by: "--key" }));
    }
    let Some(text) = doors::key() else { return Ok(None) };
    let holder = text.parse().map_err(|e| Failure::usage(format!("MESHLEDGER_KEY: {e}")))?;
    Ok(Some(Named { holder, by: "MESHLEDGER_KEY" }))
}

/// A key that signs, and where it lies.
pub(crate) struct Found {
    /// What signs.
    pub(crate) signer: Box<dyn Signer>,
    /// Who holds it.
    pub(crate) holder: Holder,
    /// Whether this call made it.
    pub(crate) is_new: bool,
}

/// An archive, as far as its key is concerned.
pub(crate) struct Owner<'a> {
    archive: &'a Archive,
    location: &'a Location,
    table_id: &'a str,
}

impl<'a> Owner<'a> {
    /// # Errors
    /// If it is no archive, or can not be read.
    pub(crate) async fn new(archive: &'a Archive, location: &'a Location) -> Result<Self, Failure> {
        Ok(Self { archive, location, table_id: archive.table_id().await? })
    }

    /// Makes the key of a new ledger called `<name>/<table id>`, or takes the one that is there or
    /// that others hold.
    ///
    /// # Errors
    /// If the name can not be one, or the key can not be made, asked for, or is another's.
    pub(crate) async fn create(
        &self,
        name: &str,
        option: Option<&Holder>,
    ) -> Result<Found, Failure> {
        let origin = origin(name, self.table_id).map_err(|e| Failure::usage(e.to_string()))?;
        let named = named(option)?;
        let holder = match named.as_ref().map(|named| &named.holder) {
            Some(Holder::File(path)) => Holder::File(self.file_in(path)?),
            Some(other) => other.clone(),
            None => Holder::File(file::usual(self.table_id).ok_or_else(|| {
                Failure::usage("no home folder is set, so say where the key shall lie: --key FILE")
            })?),
        };
        if let Holder::File(path) = &holder {
            outside(path, self.location, "key")?;
            let seed = doors::random_seed()?;
            let signer = SeedSigner::new(&origin, Algorithm::Ed25519, seed)
                .map_err(|e| Failure::new(Exit::Usage, e.to_string()))?;
            if file::write_new(path, &signer)? {
                return Ok(Found { signer: Box::new(signer), holder, is_new: true });
            }
        }
        let by = named.map_or("the usual place", |named| named.by);
        let signer = self.open(&Named { holder: holder.clone(), by }, Some(&origin)).await?;
        if signer.public().name() != origin {
            let found = printable(signer.public().name(), false);
            return Err(Failure::usage(format!(
                "the key {} is of another ledger: expected {origin}, found {found}",
                printable(&holder.to_string(), false)
            )));
        }
        Ok(Found { signer, holder, is_new: false })
    }

    /// The key that shall follow the one of this name: a new one, if its file is not there.
    ///
    /// # Errors
    /// If it can not be made, read or asked for.
    pub(crate) async fn successor(&self, holder: &Holder, origin: &str) -> Result<Found, Failure> {
        if let Holder::File(path) = holder {
            outside(path, self.location, "key")?;
            let seed = doors::random_seed()?;
            let signer = SeedSigner::new(origin, Algorithm::Ed25519, seed)
                .map_err(|e| Failure::new(Exit::Usage, e.to_string()))?;
            if file::write_new(path, &signer)? {
                let holder = holder.clone();
                return Ok(Found { signer: Box::new(signer), holder, is_new: true });
            }
        }
        let named = Named { holder: holder.clone(), by: "--to" };
        let signer = self.open(&named, Some(origin)).await?;
        Ok(Found { signer, holder: holder.clone(), is_new: false })
    }

    /// The key that signs for the archive: the one that was named, by option or environment, or
    /// the one in the usual place. None if none was named and none is there.
    ///
    /// # Errors
    /// If a key can not be read or asked for, or is another archive's.
    pub(crate) async fn find(&self, option: Option<&Holder>) -> Result<Option<Found>, Failure> {
        let named = match named(option)? {
            Some(Named { holder: Holder::File(path), by }) if path.is_dir() => {
                // A folder of keys has one for this archive, or it has none.
                let path = self.file_in(&path)?;
                path.exists().then_some(Named { holder: Holder::File(path), by })
            }
            Some(named) => Some(named),
            None => file::usual(self.table_id)
                .filter(|path| path.exists())
                .map(|path| Named { holder: Holder::File(path), by: "the usual place" }),
        };
        let Some(named) = named else { return Ok(None) };
        if let Holder::File(path) = &named.holder {
            outside(path, self.location, "key")?;
        }
        let signer = self.open(&named, None).await?;
        let name = signer.public().name();
        if !is_of_table(name, self.table_id) {
            let (name, id) = (printable(name, false), printable(self.table_id, false));
            let advice = if named.by == "--key" {
                format!("name the key of this archive, expected a key named <archive>/{id}")
            } else {
                format!(
                    "expected a key named <archive>/{id}: give this archive's with --key, or let {} \
                     name a folder of keys called <table id>.key, or unset it",
                    named.by
                )
            };
            return Err(Failure::usage(format!(
                "the key {}, named by {}, is of another archive, {name}; {advice}",
                printable(&named.holder.to_string(), false),
                named.by
            )));
        }
        Ok(Some(Found { signer, holder: named.holder, is_new: false }))
    }

    /// The archive's key in a folder of keys; the path itself if it is no folder.
    fn file_in(&self, path: &Path) -> Result<PathBuf, Failure> {
        if !path.is_dir() {
            return Ok(path.to_owned());
        }
        file::name(self.table_id).map(|name| path.join(name)).ok_or_else(|| {
            let id = printable(self.table_id, false);
            Failure::usage(format!("the table id {id} names no file; name the key's file"))
        })
    }

    /// The key that signs, as the maintain function has it.
    ///
    /// # Errors
    /// As [`Self::find`].
    pub(crate) async fn of_function(&self, option: Option<&Holder>) -> Result<Key, Failure> {
        let Some(found) = self.find(option).await? else { return Ok(Key::None) };
        Ok(match found.holder {
            Holder::File(path) => Key::Seed(Box::new(file::read(&path)?)),
            Holder::Variable(name) => {
                Key::Seed(Box::new(holder::in_variable(&name, doors::secret(&name).as_deref())?))
            }
            Holder::Kms(key, algorithm) => {
                let options = Box::new(options(self.location)?);
                let endpoint = doors::kms_endpoint();
                Key::Kms { key, algorithm, options, endpoint }
            }
        })
    }

    async fn open(&self, named: &Named, origin: Option<&str>) -> Result<Box<dyn Signer>, Failure> {
        Ok(match &named.holder {
            Holder::File(path) => Box::new(file::read(path)?),
            Holder::Variable(name) => {
                Box::new(holder::in_variable(name, doors::secret(name).as_deref())?)
            }
            Holder::Kms(key, algorithm) => {
                // KMS knows no names; a ledger's key is called as the ledger is.
                let origin = match origin {
                    Some(origin) => origin.to_owned(),
                    None => self.origin().await?.ok_or_else(|| {
                        Failure::usage(
                            "a key in KMS has no name, and the archive has no ledger yet: begin \
                             it with meshledger init --ledger NAME --key …",
                        )
                    })?,
                };
                let options = options(self.location)?;
                let endpoint = doors::kms_endpoint();
                Box::new(
                    holder::in_kms(key, *algorithm, &origin, options, endpoint.as_deref()).await?,
                )
            }
        })
    }

    /// The name of the archive's ledger, by its own word: what a key signs contains it.
    pub(crate) async fn origin(&self) -> Result<Option<String>, Failure> {
        let name = holder::origin(&self.archive.sealer()).await?;
        Ok(name.filter(|name| is_of_table(name, self.table_id)))
    }

    /// The archive's table id.
    pub(crate) const fn table_id(&self) -> &'a str {
        self.table_id
    }
}

impl From<HolderError> for Failure {
    fn from(error: HolderError) -> Self {
        match error {
            HolderError::Archive(error) => error.into(),
            HolderError::Kms(_) | HolderError::Checkpoint(_) => {
                Self::new(Exit::Storage, error.to_string())
            }
            _ => Self::usage(error.to_string()),
        }
    }
}

/// The name of a ledger that was given none: `meshledger.local/<the archive's last name>`.
pub(crate) fn default_name(location: &Location) -> String {
    let last = location.archive_url().rsplit('/').find(|part| !part.is_empty() && *part != ".");
    let plain: String = last
        .unwrap_or_default()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_') { c } else { '-' })
        .take(100)
        .collect();
    let plain = plain.trim_matches(['.', '-']);
    format!("meshledger.local/{}", if plain.is_empty() { "archive" } else { plain })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ledger_without_a_name_is_called_after_its_archive() {
        for (url, expected) in [
            ("s3://bucket/mesh/audit", "meshledger.local/audit"),
            ("s3://bucket/a b+c\u{e9}", "meshledger.local/a-b-c"),
            ("./audit/", "meshledger.local/audit"),
            ("/srv/---", "meshledger.local/archive"),
        ] {
            let location = Location::parse(url, Some("/tmp/elsewhere")).unwrap();
            let name = default_name(&location);
            assert_eq!(name, expected, "{url}");
            assert!(origin(&name, "7f").is_ok());
        }
    }
}

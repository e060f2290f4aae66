//! Keys: who holds one, where a file of one lies, which one signs for an archive; and the policy
//! that lies beside it.

mod file;
mod policy;

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use archive::web::Aws;
use archive::{Archive, Location, Sealer};
use common::ledger::{is_of_table, origin};
use maintain_fn::{KmsSigner, Signer};
use tlog::Checkpoint;
use tlog::note::{Algorithm, Note, SeedSigner};

use crate::commands::options;
use crate::exit::{Exit, Failure};
use crate::output::printable;
use host::doors;

pub(crate) use file::outside;
pub(crate) use policy::{Trust, follow, text as policy_text, trust, write_policy};

/// Who holds a private key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Holder {
    /// A file, or a folder of them, one an archive.
    File(PathBuf),
    /// A variable of the environment.
    Variable(String),
    /// AWS KMS: the key's id, alias or ARN, and how it signs.
    Kms(String, Algorithm),
}

impl FromStr for Holder {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = "expected a file, file:PATH, env:NAME, awskms:KEY or awskms-p256:KEY";
        let holder = match text.split_once(':') {
            _ if text.is_empty() => return Err(expected.to_owned()),
            Some((_, "")) => return Err(expected.to_owned()),
            Some(("file", path)) => Self::File(path.into()),
            Some(("env", name)) => Self::Variable(name.to_owned()),
            Some(("awskms", key)) => Self::Kms(key.to_owned(), Algorithm::Ed25519),
            Some(("awskms-p256", key)) => Self::Kms(key.to_owned(), Algorithm::EcdsaP256),
            Some((scheme, _)) if !scheme.contains('/') => {
                return Err(format!("{expected}; a path with a colon: file:{text}"));
            }
            _ => Self::File(text.into()),
        };
        if let Self::Kms(key, _) = &holder
            && key.contains(|c: char| c.is_whitespace() || c.is_control())
        {
            return Err("expected the id, alias or ARN of a KMS key".to_owned());
        }
        Ok(holder)
    }
}

impl fmt::Display for Holder {
    /// As `--key` takes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Variable(name) => write!(f, "env:{name}"),
            Self::Kms(key, Algorithm::EcdsaP256) => write!(f, "awskms-p256:{key}"),
            Self::Kms(key, _) => write!(f, "awskms:{key}"),
        }
    }
}

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

    async fn open(&self, named: &Named, origin: Option<&str>) -> Result<Box<dyn Signer>, Failure> {
        Ok(match &named.holder {
            Holder::File(path) => Box::new(file::read(path)?),
            Holder::Variable(name) => Box::new(of_variable(name)?),
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
                let aws = kms(key, options)?;
                let connected = KmsSigner::connect(aws, key, *algorithm, &origin).await;
                Box::new(connected.map_err(|e| Failure::new(Exit::Storage, e.to_string()))?)
            }
        })
    }

    /// The name of the archive's ledger, by its own word: what a key signs contains it.
    pub(crate) async fn origin(&self) -> Result<Option<String>, Failure> {
        Ok(origin_of(&self.archive.sealer()).await?.filter(|name| is_of_table(name, self.table_id)))
    }

    /// The archive's table id.
    pub(crate) const fn table_id(&self) -> &'a str {
        self.table_id
    }
}

async fn origin_of(sealer: &Sealer) -> Result<Option<String>, Failure> {
    if let Some(there) = sealer.checkpoint().await? {
        let head = Note::parse(&there.bytes).and_then(|note| Checkpoint::parse(&note.text));
        return head.map(|head| Some(head.origin)).map_err(|e| {
            Failure::new(Exit::Storage, format!("the archive's checkpoint is none: {e}; verify it"))
        });
    }
    Ok(sealer.begun().await?.map(|key| key.name().to_owned()))
}

/// A key's text in a variable, as a function is given a secret.
fn of_variable(name: &str) -> Result<SeedSigner, Failure> {
    let shown = printable(name, false);
    let text = doors::secret(name).ok_or_else(|| {
        Failure::usage(format!(
            "the key env:{shown}: expected PRIVATE+KEY+…, the variable is unset"
        ))
    })?;
    SeedSigner::from_private_text(text.trim())
        .map_err(|e| Failure::usage(format!("the key env:{shown} can not be used: {e}")))
}

fn kms(key: &str, mut options: archive::StoreOptions) -> Result<Aws, Failure> {
    // arn:aws:kms:<region>:…; anything else lies in the region that is set.
    let of_arn = key.strip_prefix("arn:").and_then(|rest| rest.split(':').nth(2));
    let region = of_arn.map(str::to_owned).or_else(|| options.region.clone());
    let region = region.ok_or_else(|| {
        Failure::usage("no region is set for KMS: set AWS_REGION, or name the key by its ARN")
    })?;
    let endpoint = doors::kms_endpoint();
    if let Some(url) = endpoint.as_deref().filter(|url| !url.starts_with("https://"))
        && !options.allow_http
    {
        let url = printable(url, false);
        return Err(Failure::usage(format!(
            "the KMS endpoint {url} has no TLS; use https://, or set AWS_ALLOW_HTTP=true for a \
             server on this machine"
        )));
    }
    options.endpoint = None;
    Aws::new("kms", &region, endpoint.as_deref(), &options)
        .map_err(|e| Failure::usage(e.to_string()))
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
    fn one_option_names_every_holder() {
        let read = |text: &str| text.parse::<Holder>();
        assert_eq!(read("a/b.key"), Ok(Holder::File("a/b.key".into())));
        assert_eq!(read("file:a:b"), Ok(Holder::File("a:b".into())));
        assert_eq!(read("./a:b"), Ok(Holder::File("./a:b".into())));
        assert_eq!(read("env:KEY"), Ok(Holder::Variable("KEY".to_owned())));
        let arn = "arn:aws:kms:eu-central-1:123456789012:key/1-2";
        for (text, algorithm) in [
            (format!("awskms:{arn}"), Algorithm::Ed25519),
            (format!("awskms-p256:{arn}"), Algorithm::EcdsaP256),
        ] {
            assert_eq!(read(&text), Ok(Holder::Kms(arn.to_owned(), algorithm)));
            assert_eq!(read(&text).unwrap().to_string(), text);
        }
        for wrong in ["", "file:", "env:", "awskms:", "gcpkms:x", "awskms:a b", "c:key"] {
            assert!(read(wrong).is_err(), "{wrong:?}");
        }
    }

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

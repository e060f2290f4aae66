//! An archive and the folder it lives in, driven by the command line as a user would.

use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;

use crate::cli::{Output, Program, ml};

/// A scratch folder with an archive.
pub struct Laptop {
    folder: TempDir,
    archive: String,
    environment: Vec<(&'static str, String)>,
}

/// Who signs an archive, and whom its auditors trust.
pub struct Signing {
    /// File of the private key.
    pub key: PathBuf,
    /// File with what `init` shows of the public key.
    pub policy: PathBuf,
}

impl Laptop {
    /// An archive in a folder, without a ledger: what is found in it, is found by the archive's
    /// own words.
    #[track_caller]
    pub fn new() -> Self {
        let laptop = Self::empty();
        let _ = laptop.command("init").args(["--no-ledger"]).run().expect(0);
        laptop
    }

    /// An archive in a folder, as `init` makes it: with a ledger, whose key this machine has.
    #[track_caller]
    pub fn signed() -> Self {
        let laptop = Self::empty();
        let _ = laptop.command("init").run().expect(0);
        laptop
    }

    /// Makes the archive, with a ledger of this name. As a user would: the lines that are shown
    /// become the policy.
    #[track_caller]
    pub fn begin_ledger(&self, name: &str) -> Signing {
        let key = self.path("ledger.key");
        let init = self.command("init").args(["--ledger", name, "--key"]).args([&key]);
        let said = init.run().expect(0).text();
        let shown: Vec<&str> = said.lines().filter_map(|line| line.strip_prefix("    ")).collect();
        let policy = self.write("trust.txt", shown.join("\n"));
        Signing { key, policy }
    }

    /// A seal that this key signs.
    pub fn seal_with(&self, key: &Path) -> Program {
        self.command("seal").args(["--key"]).args([key])
    }

    /// A folder without an archive.
    pub fn empty() -> Self {
        let folder = TempDir::new().expect("a temporary folder can be made");
        let archive = folder.path().join("archive").display().to_string();
        Self { folder, archive, environment: Vec::new() }
    }

    /// An archive elsewhere, such as S3, not yet made; `environment` says how it is reached.
    pub fn remote(archive: &str, environment: Vec<(&'static str, String)>) -> Self {
        Self { archive: archive.to_owned(), environment, ..Self::empty() }
    }

    /// The archive's URL or path.
    pub fn archive(&self) -> &str {
        &self.archive
    }

    /// The archive's folder.
    pub fn archive_path(&self) -> PathBuf {
        assert!(!self.archive.contains("://"), "{} is no folder", self.archive);
        PathBuf::from(&self.archive)
    }

    /// The work area beside it.
    pub fn work_path(&self) -> PathBuf {
        PathBuf::from(format!("{}.work", self.archive_path().display()))
    }

    /// A path in the scratch folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file into the scratch folder.
    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, bytes).expect("a scratch file can be written");
        path
    }

    /// `meshledger COMMAND --archive …`.
    pub fn command(&self, command: &str) -> Program {
        self.below([command])
    }

    /// `meshledger COMMAND SUBCOMMAND --archive …`.
    pub fn below<'a>(&self, command: impl IntoIterator<Item = &'a str>) -> Program {
        ml(command)
            .args(["--archive", self.archive()])
            .envs([("XDG_STATE_HOME", self.path("state").display().to_string())])
            .envs(self.environment.clone())
    }

    /// The one key of this machine, and the policy beside it.
    #[track_caller]
    pub fn usual_key(&self) -> (PathBuf, PathBuf) {
        let keys = crate::tamper::files_below(&self.path("state/meshledger/keys"));
        let mut keys = keys.into_iter().filter(|path| path.extension().is_some_and(|e| e == "key"));
        let key = keys.next().expect("init made a key");
        assert_eq!(keys.next(), None, "one key an archive");
        let policy = key.with_extension("policy");
        (key, policy)
    }

    /// `ingest --json` of files for cluster `east`.
    pub fn ingest<P: AsRef<Path>>(&self, files: impl IntoIterator<Item = P>) -> Program {
        let files: Vec<PathBuf> = files.into_iter().map(|file| file.as_ref().into()).collect();
        self.command("ingest").args(["--json", "--cluster", "east"]).args(files)
    }

    /// Ingests records given as bytes and returns the summary.
    #[track_caller]
    pub fn ingest_bytes(&self, name: &str, bytes: impl AsRef<[u8]>) -> Value {
        let file = self.write(name, bytes);
        self.ingest([file]).run().expect(0).json()
    }

    /// `seal --json`.
    #[track_caller]
    pub fn seal(&self) -> Value {
        self.command("seal").args(["--json"]).run().expect(0).json()
    }

    /// `query`, as JSON lines.
    #[track_caller]
    pub fn query(&self, sql: &str) -> Vec<Value> {
        self.command("query").args(["--format", "json", sql]).run().expect(0).json_lines()
    }

    /// The number that a query of one row and one column answers.
    #[track_caller]
    pub fn number(&self, sql: &str) -> i64 {
        let rows = self.query(sql);
        let row = rows.first().and_then(Value::as_object).expect("the query answers one row");
        row.values().next().and_then(Value::as_i64).expect("the query answers a number")
    }

    /// How many events there are.
    #[track_caller]
    pub fn events(&self) -> i64 {
        self.number("SELECT count(*) AS n FROM mesh_events")
    }

    /// `verify --json`: the exit code's word and the report.
    pub fn verify(&self) -> (Output, Value) {
        let output = self.command("verify").args(["--json"]).run();
        let report = output.json();
        (output, report)
    }

    /// Demands that all is well.
    #[track_caller]
    pub fn verify_ok(&self) {
        let (output, report) = self.verify();
        assert_eq!(report["ok"], true, "verify is not content: {}", output.report());
        let _ = output.expect(0);
    }
}

impl Default for Laptop {
    fn default() -> Self {
        Self::new()
    }
}

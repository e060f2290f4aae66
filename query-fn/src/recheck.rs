//! Asks again what a statement says was asked, of the version it says, and compares.
//!
//! Three things are told apart: another answer, another history (the ledger is not what it was
//! when the statement was made), and an end by policy (a later commit let files go that the answer
//! was read from). A file that is gone without such a commit is none of these, but for `verify`.

use archive::absent::Removed;
use archive::prove::{ProveError, Prover};
use archive::snapshot::Mode;
use archive::{ArchiveError, SealedThrough};
use thiserror::Error;

use crate::engine::Engine;
use crate::error::{Code, QueryError};
use crate::receipt::Receipt;
use crate::statement::{About, StatedColumn, Statement};

/// What asking again came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recheck {
    /// The verdict.
    pub verdict: Rechecked,
    /// What it cost, if there was an answer.
    pub receipt: Option<Box<Receipt>>,
    /// Commits that the ledger covers now.
    pub ledger_size: u64,
}

/// Verdict on a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rechecked {
    /// The same history, the same answer.
    Equal,
    /// The same history, another answer.
    Different(Vec<Difference>),
    /// Another history than the one that the statement's checkpoint was signed over.
    OtherHistory(Difference),
    /// It can not be asked again: files are gone that later commits removed.
    Expired(Vec<Removed>),
    /// It can not be asked again: files are gone, and no commit removed them. At most ten of them.
    Lost(Vec<String>),
}

/// What differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Member of the statement.
    pub what: &'static str,
    /// What it says.
    pub stated: String,
    /// What there is now.
    pub found: String,
}

/// Why there is no verdict.
#[derive(Debug, Error)]
pub enum RecheckError {
    /// The query failed.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// The ledger or the log can not be read, or contradict each other.
    #[error(transparent)]
    Ledger(#[from] ProveError),
}

impl From<ArchiveError> for RecheckError {
    fn from(error: ArchiveError) -> Self {
        Self::Query(error.into())
    }
}

/// Asks again. Must be called within a tokio runtime.
///
/// # Errors
/// If the archive can not be read, the query can not be asked, or a limit is hit.
pub async fn recheck(engine: &Engine, statement: &Statement) -> Result<Recheck, RecheckError> {
    let request = statement.request()?;
    let prover = match Prover::open(engine.reader()).await {
        Err(ProveError::NoLedger { .. }) => {
            let difference = differs("ledger", &statement.ledger.origin, "no signed checkpoint");
            let verdict = Rechecked::OtherHistory(difference);
            return Ok(Recheck { verdict, receipt: None, ledger_size: 0 });
        }
        opened => opened?,
    };
    let ledger_size = prover.checkpoint().size;
    let of = |verdict, receipt| Recheck { verdict, receipt, ledger_size };
    if let Some(difference) = other_history(&prover, statement) {
        return Ok(of(Rechecked::OtherHistory(difference), None));
    }
    let answered = async {
        let mut answer = engine.query(&request).await?;
        while let Some(batch) = answer.next().await {
            let _ = batch?;
        }
        Ok::<_, QueryError>((answer.statement(About::default()), answer.receipt()))
    };
    let (now, receipt) = match answered.await {
        Ok(answered) => answered,
        Err(error) if error.code() == Code::Archive => {
            return match gone(engine, &prover, statement).await? {
                Some(verdict) => Ok(of(verdict, None)),
                None => Err(error.into()),
            };
        }
        Err(error) => return Err(error.into()),
    };
    let defect = || QueryError::new(Code::Internal, "an answer without a statement; report it");
    let now = now.ok_or_else(defect)?;
    if let Some(through) = &receipt.sealed_through {
        same_ledger(engine, &prover, through).await?;
    }
    let differences = differences(statement, &now);
    let verdict = match differences.is_empty() {
        true => Rechecked::Equal,
        false => Rechecked::Different(differences),
    };
    Ok(of(verdict, Some(Box::new(receipt))))
}

/// Whether the ledger is another one than the statement's, or was cut back behind it.
fn other_history(prover: &Prover, statement: &Statement) -> Option<Difference> {
    let (head, stated) = (prover.checkpoint(), &statement.ledger);
    if head.origin != stated.origin {
        return Some(differs("ledger", &stated.origin, &head.origin));
    }
    match prover.root_of(stated.size).map(|root| root.to_string()) {
        Some(root) if root == stated.root => None,
        root => {
            let found = root.map_or_else(
                || format!("a ledger of {} commits", head.size),
                |root| format!("root {root}"),
            );
            let expected = format!("root {} over {} commits", stated.root, stated.size);
            Some(differs("ledger", &expected, &found))
        }
    }
}

/// The answer rests on a checkpoint that was read by itself: it must be of the same commits that
/// the statement was held against.
async fn same_ledger(
    engine: &Engine,
    prover: &Prover,
    through: &SealedThrough,
) -> Result<(), RecheckError> {
    let root = match prover.root_of(through.size) {
        Some(root) => Some(root),
        // It has grown since.
        None => Prover::open(engine.reader()).await?.root_of(through.size),
    };
    if root.is_some_and(|root| root.to_string() == through.root) {
        return Ok(());
    }
    let text = format!(
        "the checkpoint of size {} changed while it was read; ask again, and run `meshledger \
         verify` if it does not pass",
        through.size
    );
    Err(QueryError::new(Code::Archive, text).into())
}

/// Whether files of the version are gone, and who let them go.
async fn gone(
    engine: &Engine,
    prover: &Prover,
    statement: &Statement,
) -> Result<Option<Rechecked>, RecheckError> {
    let (snapshot, _) = engine.snapshot(Mode::Strict, Some(statement.archive.version)).await?;
    let absent = engine.reader().absent(&snapshot, prover.log()).await?;
    // What nobody let go weighs more than what somebody did.
    if !absent.lost.is_empty() {
        return Ok(Some(Rechecked::Lost(absent.lost)));
    }
    Ok((!absent.removed.is_empty()).then_some(Rechecked::Expired(absent.removed)))
}

fn differences(statement: &Statement, now: &Statement) -> Vec<Difference> {
    let columns = |columns: &[StatedColumn]| {
        let all: Vec<String> =
            columns.iter().map(|column| format!("{} {}", column.name, column.kind)).collect();
        all.join(", ")
    };
    let of = |statement: &Statement| {
        let result = &statement.result;
        [
            ("table_id", statement.archive.table_id.clone()),
            ("version", statement.archive.version.to_string()),
            ("columns", columns(&result.columns)),
            ("rows", result.rows.to_string()),
            ("ordered", result.ordered.to_string()),
            ("digest", result.digest.to_string()),
        ]
    };
    let pairs = of(statement).into_iter().zip(of(now));
    let pairs = pairs.filter(|((_, stated), (_, found))| stated != found);
    pairs.map(|((what, stated), (_, found))| Difference { what, stated, found }).collect()
}

fn differs(what: &'static str, stated: &str, found: &str) -> Difference {
    Difference { what, stated: stated.to_owned(), found: found.to_owned() }
}

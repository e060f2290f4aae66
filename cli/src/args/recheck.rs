//! `recheck`, and where `query` writes what it checks.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{Place, Policy, QueryLimits, ReceiptFormat};

/// What `query --receipt` names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ReceiptTo {
    /// A form of the receipt that is shown.
    Shown(ReceiptFormat),
    /// A new file that gets the statement of the answer.
    File(PathBuf),
}

/// Reads what `--receipt` names. The words of the forms came first, so a file that is called like
/// one is named with its folder, `./json`.
pub(crate) fn receipt_to(text: &str) -> Result<ReceiptTo, String> {
    if let Ok(form) = ReceiptFormat::from_str(text, false) {
        return Ok(ReceiptTo::Shown(form));
    }
    if text.is_empty() || text == "-" {
        return Err("expected a file, or text, json, inline or none".to_owned());
    }
    Ok(ReceiptTo::File(PathBuf::from(text)))
}

/// `recheck`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  meshledger recheck -a ./audit denials.receipt
  meshledger recheck -a ./audit denials.receipt --policy ./trust.txt --json
  meshledger recheck -a ./audit denials.receipt --file denials.csv

Asks the question of the receipt again, of the version it names, and compares every row by a digest.
Exits 0 if the answer is equal; 8 if the answer or the history is another, or the receipt is not as
it was written; 9 if files it was read from have expired; 1 if such a file is gone, and nobody let it
go (docs/receipts.md).")]
pub(crate) struct Recheck {
    #[command(flatten)]
    pub(crate) place: Place,
    /// The receipt, or - for standard input
    #[arg(value_name = "RECEIPT|-")]
    pub(crate) receipt: PathBuf,
    #[command(flatten)]
    pub(crate) policy: Policy,
    /// Hash each file before a part of it is used, also if the answer was had without
    #[arg(long)]
    pub(crate) full: bool,
    /// The file that the rows were exported to, to compare with what the receipt says of it
    #[arg(long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// Print one JSON object instead of text
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) limits: QueryLimits,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_keep_their_meaning_and_all_else_is_a_file() {
        let file = |name: &str| Ok(ReceiptTo::File(PathBuf::from(name)));
        assert_eq!(receipt_to("json"), Ok(ReceiptTo::Shown(ReceiptFormat::Json)));
        assert_eq!(receipt_to("none"), Ok(ReceiptTo::Shown(ReceiptFormat::None)));
        for name in ["./json", "JSON", "a.receipt", "/tmp/x"] {
            assert_eq!(receipt_to(name), file(name));
        }
        for wrong in ["", "-"] {
            assert!(receipt_to(wrong).is_err());
        }
    }
}

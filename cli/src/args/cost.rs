//! What a query may cost, and whether that is all one wants to know.

use clap::Args;
use query_fn::{Caps, Dollars};

use super::size;

/// What one query may cost. Unlike a limit, a cap ends it before it begins, if that is known.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Cost")]
pub(crate) struct Cost {
    /// Say what the query would cost at most (files, bytes, requests, dollars), and do not run it;
    /// as JSON with --format json
    #[arg(long, conflicts_with_all = ["list", "out", "explain_pruning"])]
    pub(crate) dry_run: bool,
    /// Do not begin what would read more from data files, and end what turns out to
    #[arg(long, value_parser = size, value_name = "SIZE")]
    pub(crate) cap_bytes: Option<u64>,
    /// Do not begin what would make more requests for data files, and end what turns out to
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) cap_requests: Option<u64>,
    /// Do not begin what would cost more dollars, by list prices
    #[arg(long, value_parser = dollars, value_name = "AMOUNT")]
    pub(crate) cap_dollars: Option<Dollars>,
}

impl Cost {
    /// The caps of a request.
    pub(crate) const fn caps(&self) -> Caps {
        Caps { bytes: self.cap_bytes, requests: self.cap_requests, dollars: self.cap_dollars }
    }

    /// Whether something is asked that needs a query.
    pub(crate) fn is_set(&self) -> bool {
        self.dry_run || self.caps() != Caps::default()
    }
}

/// Parses an amount of dollars.
fn dollars(text: &str) -> Result<Dollars, String> {
    let amount = Dollars::parse(text).filter(|amount| *amount > Dollars::default());
    amount.ok_or_else(|| {
        "expected an amount above 0 like 0.05, with at most nine digits behind the point".to_owned()
    })
}

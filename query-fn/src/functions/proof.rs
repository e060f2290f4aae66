//! From a row to its proof.

use common::ids::SegmentId;

use super::scalar::{Body, Definition, Kind, Row, Takes};

/// Functions of this file.
pub(super) const FUNCTIONS: &[Definition] = &[Definition {
    name: "proof_ref",
    takes: Takes::Exactly(&[("segment", Kind::Text), ("segment_row", Kind::Integer)]),
    body: Body::Text(|row| Some(proof_ref(row)?.into())),
    says: "The event's name for `meshledger prove event`: SEGMENT/ROW",
    rewrite: None,
}];

fn proof_ref(row: &Row<'_>) -> Option<String> {
    let segment: SegmentId = row.text(0)?.parse().ok()?;
    let number = u64::try_from(row.integer(1)?).ok()?;
    Some(format!("{segment}/{number}"))
}

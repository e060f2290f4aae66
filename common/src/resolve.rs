//! Which waiting manifests count, and for which of their units: one pure function, used by
//! sealers and by fresh readers alike.

use std::borrow::Borrow;
use std::collections::BTreeSet;

use crate::ids::UnitId;
use crate::manifest::Manifest;

/// What becomes of one waiting manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resolution {
    /// Every unit is new: add its files as they are.
    Add,
    /// Every unit is held already: add nothing.
    Drop,
    /// Some units are new: only their rows count. Holds their indexes in `manifest.units`.
    Mixed(Vec<usize>),
}

/// Decides each manifest in the order given. A unit named by an earlier manifest that was not
/// dropped is held for the later ones. Callers give manifests in ascending order of delivery id,
/// so that all of them decide alike.
pub fn resolve<M: Borrow<Manifest>>(
    manifests: &[M],
    held: impl Fn(&UnitId) -> bool,
) -> Vec<Resolution> {
    let mut taken: BTreeSet<UnitId> = BTreeSet::new();
    manifests
        .iter()
        .map(|manifest| {
            let manifest: &Manifest = manifest.borrow();
            let new: Vec<usize> = manifest
                .units
                .iter()
                .enumerate()
                .filter(|(_, unit)| !held(&unit.id) && !taken.contains(&unit.id))
                .map(|(i, _)| i)
                .collect();
            taken.extend(new.iter().map(|&i| manifest.units[i].id));
            match new.len() {
                0 => Resolution::Drop,
                n if n == manifest.units.len() => Resolution::Add,
                _ => Resolution::Mixed(new),
            }
        })
        .collect()
}

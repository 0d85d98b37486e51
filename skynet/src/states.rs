//! The state folders of participants: whose they are and where.

use crate::name;
use crate::participant;
use crate::tree::{Tree, folders};
use crate::trouble::Trouble;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// The state folders of the participants that `names` mean; of all, where it is empty. Participants that are
/// no longer enabled have theirs, too.
///
/// # Errors
/// [`Trouble::NoSuch`] for an unknown name; what reading folders reports.
pub fn of(tree: &Tree, names: &[String]) -> Result<BTreeMap<String, PathBuf>, Trouble> {
    let mut known = BTreeMap::new();
    for name in folders(&tree.states())? {
        known.insert(name.clone(), tree.states().join(name));
    }
    for service in tree.pick(&[])? {
        let own = name::participant(&service).to_owned();
        // Settings that cannot be read are told by others; the usual place is as good a guess as any.
        if let Ok(Some((settings, _))) = participant::settings(tree, &tree.service(&service)) {
            known.insert(own, settings.state);
        } else {
            known.entry(own.clone()).or_insert_with(|| tree.states().join(own));
        }
    }
    if names.is_empty() {
        return Ok(known);
    }
    let all: Vec<_> = known.keys().cloned().collect();
    let picked = crate::tree::select(&all, names).map_err(|unknown| tree.unknown(&unknown, &all))?;
    known.retain(|name, _| picked.contains(name));
    Ok(known)
}

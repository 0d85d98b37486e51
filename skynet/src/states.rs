//! The state folders of participants: whose they are and where.

use crate::name;
use crate::participant;
use crate::tree::{Tree, folders};
use crate::trouble::Trouble;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// The state folders of the participants that `names` mean; of all, where it is empty. Participants that are
/// no longer enabled have theirs, too. Each folder once, under its service's name where it has a service: the
/// settings may give the participant another, which means the same here.
///
/// # Errors
/// [`Trouble::NoSuch`] for an unknown name; what reading folders reports.
pub fn of(tree: &Tree, names: &[String]) -> Result<BTreeMap<String, PathBuf>, Trouble> {
    let mut enabled = BTreeMap::new();
    for service in tree.pick(&[])? {
        let own = name::participant(&service).to_owned();
        // Settings that cannot be read are told by others; the usual place is as good a guess as any.
        let place = match participant::settings(tree, &tree.service(&service)) {
            Ok(Some((settings, _))) => settings.state,
            _ => tree.states().join(&own),
        };
        enabled.insert(own, place);
    }
    let mut known = BTreeMap::new();
    for name in folders(&tree.states())? {
        let place = tree.states().join(&name);
        let owner = enabled.iter().find(|(_, state)| **state == place).map_or(&name, |(owner, _)| owner);
        known.insert(name.clone(), (owner.clone(), place));
    }
    known.extend(enabled.into_iter().map(|(name, place)| (name.clone(), (name, place))));
    if !names.is_empty() {
        let all: Vec<_> = known.keys().cloned().collect();
        let picked = crate::tree::select(&all, names).map_err(|unknown| tree.unknown(&unknown, &all))?;
        known.retain(|name, _| picked.contains(name));
    }
    Ok(known.into_values().collect())
}

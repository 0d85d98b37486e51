//! Effective values and which file each came from.

use crate::paint;
use crate::participant::{CONFIG, Participant};
use crate::say::{self, complain, say};
use crate::table::{Cell, Column, render, terminal_width};
use crate::tree::Tree;
use crate::trouble::{Outcome, Trouble, cannot};
use config::Home;
use config::explain::{self, Explained};
use serde::Serialize;
use std::path::Path;

#[derive(Serialize)]
struct Setting<'a> {
    key: &'a str,
    value: &'a str,
    file: Option<String>,
    line: Option<usize>,
}

/// The settings of one participant.
pub fn participant(tree: &Tree, participant: &Participant, set_only: bool, json: bool) -> Outcome {
    let config = participant.dir.join(CONFIG);
    if !config.exists() {
        let line = format!("{} has no {CONFIG}: it is a service of its own making", participant.name);
        return Err(Trouble::Failed(line));
    }
    let home = Home::at(tree.home().map(Path::to_owned));
    let mut told = explain::participant(&home, &config)?;
    if let Some(user) = told.iter_mut().find(|one| one.key == "user" && one.from.is_none())
        && let Some((settings, _)) = crate::participant::settings(tree, &participant.dir)?
        && let Some(account) = crate::participant::user(tree, &settings)
    {
        user.value = format!("{:?}", account.name);
    }
    told.retain(|one| !set_only || one.from.is_some());
    for warning in &participant.warnings {
        complain!("warning: {warning}");
    }
    print(&told, json)
}

/// What `boss.conf` says.
pub fn boss_conf(tree: &Tree, json: bool) -> Outcome {
    let path = tree.boss_conf();
    if !path.exists() {
        say!("there is no {}: participants use the defaults (see: skynet config NAME)", path.display());
        return if json { print(&[], json) } else { Ok(0) };
    }
    print(&explain::file(&path)?, json)
}

fn print(told: &[Explained], json: bool) -> Outcome {
    if json {
        let all: Vec<_> = told.iter().map(setting).collect();
        say::json(&all).map_err(cannot("write", "the result"))?;
        return Ok(0);
    }
    let columns = [
        Column { head: "KEY", right: false, rank: 0 },
        Column { head: "VALUE", right: false, rank: 0 },
        Column { head: "FROM", right: false, rank: 1 },
    ];
    let row = |one: &Explained| {
        let from = one.from.as_ref().map_or_else(|| "default".to_owned(), ToString::to_string);
        vec![Cell::plain(&one.key), Cell::plain(&one.value), Cell::plain(from)]
    };
    let rows: Vec<_> = told.iter().map(row).collect();
    render(&columns, &rows, terminal_width(), paint::wanted()).lines().for_each(|line| say!("{line}"));
    Ok(0)
}

fn setting(one: &Explained) -> Setting<'_> {
    let from = one.from.as_ref();
    Setting {
        key: &one.key,
        value: &one.value,
        file: from.map(|place| place.file.display().to_string()),
        line: from.map(|place| place.line),
    }
}

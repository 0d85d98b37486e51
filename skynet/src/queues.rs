//! `skynet queues [NAME…]`: what waits in the queues of participants, and who listens to them.

use crate::brokers::{self, Brokers, REPLIES};
use crate::cli::admin::AnyNames;
use crate::name;
use crate::paint::{self, Colour};
use crate::participant;
use crate::say::{self, say};
use crate::table::{Cell, Column, render, terminal_width};
use crate::tree::Tree;
use crate::trouble::{Outcome, Trouble, cannot};
use air::line::{Line, Queue};
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::Duration;

/// A broker that does not answer in this time is left out of a table.
const PATIENCE: Duration = Duration::from_secs(3);

/// What is known of the queues of some services.
#[derive(Debug, Default)]
pub struct Queues {
    /// By service: its queue's name, and the queue where there is one.
    pub of: BTreeMap<String, (String, Option<Queue>)>,
    /// Why some are not known.
    pub trouble: Option<String>,
}

/// One row.
#[derive(Debug, Serialize)]
struct Row {
    queue: String,
    participants: Vec<String>,
    exists: bool,
    ready: u32,
    consumers: u32,
}

/// Prints the table.
pub fn run(tree: &Tree, args: &AnyNames, json: bool) -> Outcome {
    let picked = tree.pick(&args.names)?;
    let found = look(tree, &picked);
    let mut rows: Vec<Row> = vec![];
    for (service, (queue, found)) in &found.of {
        let participant = name::participant(service).to_owned();
        match rows.iter_mut().find(|row| row.queue == *queue) {
            Some(row) if row.participants.contains(&participant) => {}
            Some(row) => row.participants.push(participant),
            None => rows.push(row(queue, vec![participant], *found)),
        }
    }
    if args.names.is_empty() && found.trouble.is_none() {
        rows.push(row(REPLIES, vec![], replies(tree)?));
    }
    if json {
        say::json(&rows).map_err(cannot("write", "the result"))?;
    } else if !rows.is_empty() {
        print(&rows);
    }
    match found.trouble {
        Some(trouble) => Err(Trouble::System(trouble)),
        None => Ok(0),
    }
}

fn print(rows: &[Row]) {
    let columns = [
        Column { head: "QUEUE", right: false, rank: 0 },
        Column { head: "READY", right: true, rank: 1 },
        Column { head: "CONSUMERS", right: true, rank: 2 },
        Column { head: "PARTICIPANTS", right: false, rank: 3 },
    ];
    let cells = rows.iter().map(|row| {
        let consumers = match row.consumers {
            0 if row.ready > 0 => Cell::coloured(0, Colour::Bad),
            n => Cell::plain(n),
        };
        let whose = match row.participants.join(", ") {
            _ if !row.exists => "no such queue yet".to_owned(),
            whose if row.queue == REPLIES => format!("{whose}replies, for the engine"),
            whose => whose,
        };
        vec![Cell::plain(&row.queue), Cell::plain(row.ready), consumers, Cell::plain(whose)]
    });
    let text = render(&columns, &cells.collect::<Vec<_>>(), terminal_width(), paint::wanted());
    text.lines().for_each(|line| say!("{line}"));
}

fn row(queue: &str, participants: Vec<String>, found: Option<Queue>) -> Row {
    let (ready, consumers) = found.map_or((0, 0), |queue| (queue.ready, queue.consumers));
    Row { queue: queue.to_owned(), participants, exists: found.is_some(), ready, consumers }
}

fn replies(tree: &Tree) -> Result<Option<Queue>, Trouble> {
    let brokers = brokers::of_tree(tree)?;
    brokers::runtime()?.block_on(async {
        let line = brokers::open(tree, &brokers).await?;
        let queue = line.queue(REPLIES).await?;
        line.close().await;
        Ok(queue)
    })
}

/// Asks the brokers for the queues of these services; services without settings have none.
pub fn look(tree: &Tree, services: &[String]) -> Queues {
    let mut found = Queues::default();
    let mut by_broker: Vec<(Brokers, Vec<(String, String)>)> = vec![];
    for service in services {
        match participant::settings(tree, &tree.service(service)) {
            Ok(Some((settings, _))) => {
                let brokers = brokers::of_participant(&settings);
                let asked = (service.clone(), settings.queue);
                match by_broker.iter_mut().find(|(known, _)| *known == brokers) {
                    Some((_, services)) => services.push(asked),
                    None => by_broker.push((brokers, vec![asked])),
                }
            }
            Ok(None) => {}
            Err(trouble) => found.trouble = Some(trouble.to_string()),
        }
    }
    for (brokers, services) in by_broker {
        if let Err(trouble) = ask(tree, &brokers, services, &mut found) {
            found.trouble = Some(trouble.to_string());
        }
    }
    found
}

fn ask(
    tree: &Tree,
    brokers: &Brokers,
    services: Vec<(String, String)>,
    found: &mut Queues,
) -> Result<(), Trouble> {
    let asked = async {
        let line = brokers::open(tree, brokers).await?;
        let asked = all(&line, services, found).await;
        line.close().await;
        asked
    };
    brokers::runtime()?.block_on(async {
        tokio::time::timeout(PATIENCE, asked).await.map_err(|_| brokers.silent(PATIENCE))?
    })
}

async fn all(line: &Line, services: Vec<(String, String)>, found: &mut Queues) -> Result<(), Trouble> {
    for (service, queue) in services {
        let state = line.queue(&queue).await?;
        found.of.insert(service, (queue, state));
    }
    Ok(())
}

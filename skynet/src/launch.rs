//! `skynet launch`, `register` and `unregister`: what BOSS is asked to run.

use crate::brokers::{self, Brokers, REPLIES};
use crate::cli::author::Launch;
use crate::cli::writer::{Register, Unregister};
use crate::definition;
use crate::participant::{self, Participant};
use crate::say::{self, complain, say};
use crate::send::fields::gather;
use crate::tree::Tree;
use crate::trouble::{Outcome, Trouble, cannot};
use serde::Serialize;
use serde_json::json;
use serde_json::value::{RawValue, to_raw_value};
use std::io::Read;
use std::path::Path;

const REGISTER: &str = "Ruote.process_definition do sequence do boss_register end end";
const UNREGISTER: &str =
    "Ruote.process_definition do sequence do boss_register :action => \"unregister\" end end";

/// What the engine is sent.
#[derive(Serialize)]
struct Launchitem {
    definition: String,
    fields: Box<RawValue>,
    variables: Box<RawValue>,
}

/// `skynet launch FILE`.
pub fn launch(tree: &Tree, args: &Launch, json: bool) -> Outcome {
    let input = Some(Path::new("-"));
    if args.file.as_deref() == input && args.fields_json.as_deref() == input {
        let line =
            "standard input can be the definition or the fields, not both: put one of them into a file";
        return Err(Trouble::Usage(line.to_owned()));
    }
    let definition = match (&args.definition, &args.file) {
        (Some(definition), _) => definition.clone(),
        (None, Some(file)) => read(file)?,
        (None, None) => return Err(Trouble::Usage("nothing to launch: name a file".to_owned())),
    };
    if let Some(why) = definition::wrong(&definition) {
        return Err(Trouble::Usage(format!(
            "this is no process definition: {why}; expected is Ruote.process_definition do … end, or its XML, JSON or indented form"
        )));
    }
    let fields = gather(args.fields_json.as_deref(), &args.fields)?;
    let launchitem = Launchitem { definition, fields, variables: gather(None, &args.variables)? };
    hand_to_engine(tree, &brokers::of_tree(tree)?, &launchitem, None)?;
    say!("handed to the engine: what the process does is seen with: skynet log -f");
    told(json, &launchitem)
}

/// `skynet register NAME`.
pub fn register(tree: &Tree, args: &Register, json: bool) -> Outcome {
    let settings = settings(tree, &args.name)?;
    let known_as = args.known_as.clone().unwrap_or(settings.regexp);
    let queue = args.queue.clone().unwrap_or(settings.queue);
    check(&known_as)?;
    brokers::check_queue(&queue)?;
    let launchitem = item(REGISTER, &known_as, &queue)?;
    // The queue first: the engine may use it at once.
    hand_to_engine(tree, &settings.brokers, &launchitem, Some(&queue))?;
    say!("the engine is asked to send the workitems of {known_as:?} to the queue {queue:?}");
    told(json, &launchitem)
}

/// `skynet unregister NAME`.
pub fn unregister(tree: &Tree, args: &Unregister, json: bool) -> Outcome {
    let settings = settings(tree, &args.name)?;
    let known_as = args.known_as.clone().unwrap_or(settings.regexp);
    check(&known_as)?;
    let launchitem = item(UNREGISTER, &known_as, &settings.queue)?;
    hand_to_engine(tree, &settings.brokers, &launchitem, None)?;
    say!("the engine is asked to forget {known_as:?}; what is in the queue {:?} stays there", settings.queue);
    told(json, &launchitem)
}

fn told(json: bool, launchitem: &Launchitem) -> Outcome {
    if json {
        say::json(launchitem).map_err(cannot("write", "the result"))?;
    }
    Ok(0)
}

fn item(definition: &str, known_as: &str, queue: &str) -> Result<Launchitem, Trouble> {
    let fields = to_raw_value(&json!({ "name": known_as, "queue": queue }));
    let fields = fields.map_err(cannot("compose", "the launchitem"))?;
    Ok(Launchitem { definition: definition.to_owned(), fields, variables: gather(None, &[])? })
}

/// What registration needs of a participant's settings.
struct Known {
    regexp: String,
    queue: String,
    brokers: Brokers,
}

/// A participant may be registered before it is enabled: then it is its folder that is named.
fn settings(tree: &Tree, word: &str) -> Result<Known, Trouble> {
    let participant = Participant::find(tree, word)?;
    match participant::settings(tree, &participant.dir)? {
        Some((settings, _)) => Ok(Known {
            brokers: brokers::of_participant(&settings),
            regexp: settings.regexp,
            queue: settings.queue,
        }),
        None => Ok(Known {
            regexp: participant.name.clone(),
            queue: participant.name,
            brokers: brokers::of_tree(tree)?,
        }),
    }
}

/// The engine takes it as a regular expression; ours is near enough to Ruby's to find slips of the pen.
fn check(known_as: &str) -> Result<(), Trouble> {
    match regex::Regex::new(known_as) {
        _ if known_as.is_empty() => Err(Trouble::Usage("the name for the engine is empty".to_owned())),
        Ok(_) => Ok(()),
        // Look-around and back-references are Ruby's.
        Err(_) if known_as.contains("(?") || known_as.contains('\\') => Ok(()),
        Err(e) => {
            let why = e.to_string();
            let why = why.lines().last().unwrap_or_default().trim_start_matches("error: ");
            Err(Trouble::Usage(format!("{known_as:?} is neither a name nor a regular expression: {why}")))
        }
    }
}

fn hand_to_engine(
    tree: &Tree,
    brokers: &Brokers,
    launchitem: &Launchitem,
    queue: Option<&str>,
) -> Result<(), Trouble> {
    let body = serde_json::to_vec(launchitem).map_err(cannot("compose", "the launchitem"))?;
    brokers::runtime()?.block_on(async {
        let line = brokers::open(tree, brokers).await?;
        let sent = async {
            if let Some(queue) = queue {
                line.declare(queue).await?;
            }
            line.declare(REPLIES).await?;
            brokers::publish(&line, REPLIES, &body, brokers::CONFIRMED).await
        }
        .await;
        let engine = line.queue(REPLIES).await;
        line.close().await;
        if !sent? {
            return Err(Trouble::System(format!(
                "the queue {REPLIES} went away meanwhile; nothing was sent"
            )));
        }
        if engine?.is_some_and(|queue| queue.consumers == 0) {
            complain!("note: no engine listens to {REPLIES} now; it takes this when it comes");
        }
        Ok(())
    })
}

fn read(file: &Path) -> Result<String, Trouble> {
    let mut text = String::new();
    let read = if file.as_os_str() == "-" {
        std::io::stdin().read_to_string(&mut text)
    } else {
        std::fs::File::open(file).and_then(|mut file| file.read_to_string(&mut text))
    };
    read.map_err(cannot("read", file.display()))?;
    if !text.contains(|c: char| c.is_whitespace() || c == '/') {
        // One word without the end of a line the engine would take for a file of its own.
        text.push('\n');
    }
    Ok(text)
}

//! Commands of who writes a participant: make one, try it, send it work.

use super::values;
use clap::{Args, Subcommand};
use clap_complete::engine::{ArgValueCandidates, ArgValueCompleter};
use std::path::PathBuf;
use std::time::Duration;

pub const NEW_HELP: &str = "\
Examples:
  skynet new sizer && skynet enable ./sizer
  skynet new --list
  skynet new resizer --template exec";

pub const TEST_HELP: &str = "\
The workitem goes through a throw-away home. Unit tests are the files test* of its folder: Python, or executable. The workitem's fields come from its \
sample.json, unless --field or --fields-json say others. Nothing of the real SkyNET is touched. \
Exit code 1 when something fails.

Examples:
  skynet test ./sizer
  skynet test ./sizer --field text=hello";

pub const RUN_HELP: &str = "\
Needs a broker (skynet local up). ^C lets it finish its work, again hurries it, once more kills it.

Example:
  skynet run ./sizer";

pub const SEND_HELP: &str = "\
The reply of a participant goes to the queue ruote_workitems. --wait takes it from there, and refuses where \
somebody else (BOSS) listens to that queue. Exit code 1 when the reply is an error or does not come in time.

Examples:
  skynet send sizer --field text=hello --wait
  skynet send sizer --field size.max=3 --field 'tags=[\"a\",\"b\"]'
  skynet send sizer --fields-json fields.json
  echo '{\"text\": \"hello\"}' | skynet send sizer --fields-json -";

pub const LAUNCH_HELP: &str = "\
A definition is Ruby (Ruote.process_definition do ... end), XML, a JSON tree [NAME, {ATTRIBUTES}, [CHILDREN]], the \
indented form, or, in one word with a slash, the path or address of one that the engine can open. It goes to the \
queue ruote_workitems, where BOSS takes it from. Nobody answers: what the process does is seen in the logs of its \
participants.

Examples:
  skynet launch process.rb --field project=home:me
  skynet launch --definition 'Ruote.process_definition do sizer end'";

/// `skynet local …`
#[derive(Debug, Subcommand)]
pub enum Local {
    /// Start broker and svscan under $SKYNET_HOME; harmless when they run
    #[command(after_help = "\
Examples:
  skynet local up
  skynet local up ./sizer                    and skynet enable ./sizer
  SKYNET_HOME=/tmp/trial skynet local up     a second one
  skynet local up --broker amqp://boss:boss@rabbit.example.org/boss")]
    Up(Up),
    /// Stop everything: participants finish their work first
    #[command(
        after_help = "^C twice kills what does not finish. Exit code 1 when something had to be killed."
    )]
    Down,
    /// Show whether it runs, and where things are
    #[command(after_help = "Exit codes: 0 it runs, 3 it does not.")]
    Status,
}

/// `skynet local up`
#[derive(Debug, Args)]
pub struct Up {
    /// Participants to enable once it is up: folders (with a slash in them) or names
    #[arg(value_name = "PATH|NAME", add = ArgValueCompleter::new(values::folders_and_names))]
    pub words: Vec<String>,
    /// The port of the embedded broker, written into broker.toml and boss.conf
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    pub port: Option<u16>,
    /// Use this broker and not the embedded one; written into boss.conf ("embedded" = back to that)
    #[arg(long, value_name = "URL", conflicts_with = "port")]
    pub broker: Option<String>,
}

/// `skynet new`
#[derive(Debug, Args)]
pub struct New {
    /// The participant's name, also that of its queue
    #[arg(required_unless_present = "list")]
    pub name: Option<String>,
    /// The folder in which to make its folder [default: .]
    pub dir: Option<PathBuf>,
    /// What to make it from
    #[arg(short, long, default_value = "python", add = ArgValueCandidates::new(values::templates))]
    pub template: String,
    /// Show the templates there are
    #[arg(long)]
    pub list: bool,
}

/// `skynet test`
#[derive(Debug, Args)]
pub struct Test {
    /// The participant, or its folder (with a slash in it)
    #[arg(value_name = "PATH|NAME", add = ArgValueCompleter::new(values::folders_and_names))]
    pub name: String,
    /// A field of the workitem; as for send
    #[arg(long = "field", short = 'F', value_name = "KEY=VALUE")]
    pub fields: Vec<String>,
    /// Its fields as a JSON object from a file, or from standard input with -
    #[arg(long, value_name = "FILE|-")]
    pub fields_json: Option<PathBuf>,
    /// How long its reply may take
    #[arg(long, default_value = "30s", value_parser = values::duration)]
    pub timeout: Duration,
    /// Send the workitem even when a unit test fails
    #[arg(long)]
    pub anyway: bool,
}

/// `skynet run`
#[derive(Debug, Args)]
pub struct Run {
    /// The participant, or its folder (with a slash in it)
    #[arg(value_name = "PATH|NAME", add = ArgValueCompleter::new(values::folders_and_names))]
    pub name: String,
    /// Stop when it ends, instead of waiting for a save
    #[arg(long)]
    pub once: bool,
}

/// `skynet send`
#[derive(Debug, Args)]
pub struct Send {
    /// The queue of the participant
    #[arg(add = ArgValueCandidates::new(values::services))]
    pub queue: String,
    /// A field; the value is JSON if it can be read as such, else text; dots in the key nest
    #[arg(long = "field", short = 'F', value_name = "KEY=VALUE")]
    pub fields: Vec<String>,
    /// Fields as a JSON object from a file, or from standard input with -
    #[arg(long, value_name = "FILE|-")]
    pub fields_json: Option<PathBuf>,
    /// The wfid to send [default: a new one]
    #[arg(long)]
    pub wfid: Option<String>,
    /// Wait for the reply and show what it changed in the fields
    #[arg(long)]
    pub wait: bool,
    /// How long to wait: 500ms, 30s, 5m
    #[arg(long, default_value = "30s", value_parser = values::duration, requires = "wait")]
    pub timeout: Duration,
}

pub const WI_STATUS_HELP: &str = "\
Everybody who has a workitem of this process in hand answers within a second, whatever its handler does. \
Exit code 1 when nobody has one.

Example:
  skynet wi status 20261121-0900-bejoroku-rebejubo";

pub const WI_CANCEL_HELP: &str = "\
The handler is told to stop (handle_wi_control, cancel); with --force an exception is raised in it, or its \
program is killed. The workitem is answered as cancelled. Exit code 1 when nobody has one in hand.

Example:
  skynet wi cancel 20261121-0900-bejoroku-rebejubo --reason 'wrong project'";

pub const WI_WATCH_HELP: &str = "\
Ends when nobody has a workitem of the process in hand any more, or by ^C.

Example:
  skynet wi watch 20261121-0900-bejoroku-rebejubo";

/// `skynet wi …`
#[derive(Debug, Subcommand)]
pub enum Wi {
    /// Ask who has a workitem of this process in hand, and how far it is
    #[command(after_help = WI_STATUS_HELP)]
    Status(Asked),
    /// Cancel the workitems of this process that are in hand
    #[command(after_help = WI_CANCEL_HELP)]
    Cancel(Cancel),
    /// Show how far the workitems of this process are, again and again
    #[command(after_help = WI_WATCH_HELP)]
    Watch(Asked),
}

/// Which process.
#[derive(Debug, Args)]
pub struct Asked {
    /// The process (as in logs and as skynet send prints it)
    pub wfid: String,
    /// How long to wait for answers
    #[arg(long, default_value = "5s", value_parser = values::duration)]
    pub timeout: Duration,
}

/// `skynet wi cancel`
#[derive(Debug, Args)]
pub struct Cancel {
    /// Which process.
    #[command(flatten)]
    pub asked: Asked,
    /// End a handler that does not listen
    #[arg(long)]
    pub force: bool,
    /// Why, for the log and the reply
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
}

/// `skynet launch`
#[derive(Debug, Args)]
pub struct Launch {
    /// The file with the process definition, or - for standard input
    #[arg(value_name = "FILE|-", required_unless_present = "definition")]
    pub file: Option<PathBuf>,
    /// The process definition itself
    #[arg(long, value_name = "TEXT", conflicts_with = "file")]
    pub definition: Option<String>,
    /// A field of the process; as for send
    #[arg(long = "field", short = 'F', value_name = "KEY=VALUE")]
    pub fields: Vec<String>,
    /// Fields as a JSON object from a file, or from standard input with -
    #[arg(long, value_name = "FILE|-")]
    pub fields_json: Option<PathBuf>,
    /// A variable of the process; as a field
    #[arg(long = "variable", short = 'V', value_name = "KEY=VALUE")]
    pub variables: Vec<String>,
}

//! Commands of who runs participants: state, control, settings, health.

use super::values;
use clap::{Args, Subcommand};
use clap_complete::engine::{ArgValueCandidates, ArgValueCompleter};
use std::time::Duration;

pub const STATUS_HELP: &str = "\
Exit codes: 0 all are up, 3 something is down, 4 no such participant.

Examples:
  skynet status sizer && echo fine
  skynet status --watch
  skynet status 'check*' --json";

pub const ENABLE_HELP: &str = "\
Examples:
  skynet enable ./sizer     the participant in this folder
  skynet enable sizer       one that is installed, or was disabled";

pub const DISABLE_HELP: &str = "\
Example:
  skynet disable sizer && skynet stop sizer     takes it away";

pub const START_HELP: &str = "\
Example:
  skynet start ./sizer     to try it, without enabling it";

pub const STOP_HELP: &str = "\
One that is disabled is taken away. What has not finished when its grace period (and a little) is over is killed; --timeout sets another time. \
^C stops waiting, and it ends when it has finished (at once: skynet kill). The workitem of what was killed goes \
back to the queue.

Examples:
  skynet stop sizer             all its instances
  skynet stop sizer@2           only one of them
  skynet stop 'check*' --timeout 10s";

pub const RESTART_HELP: &str = "\
Where a file of settings cannot be used nothing is done. All are stopped at the same time, then all are started.

Examples:
  skynet restart sizer     after a change of its code
  skynet restart '*'       all that there are";

pub const RELOAD_HELP: &str = "\
Where a file of settings cannot be used nothing is done: what runs goes on with the old ones. \
As restart, but by HUP: the participant ends by itself when it has finished, and is started at once. \
Of those that a pattern means, only what runs is reloaded.

Examples:
  skynet reload sizer     after a change of its code or settings
  skynet reload '*'       after a change of boss.conf";

pub const ONCE_HELP: &str = "\
Example:
  skynet once ./sizer     when it has ended it stays down";

pub const KILL_HELP: &str = "\
It is started again at once (for good: skynet stop), and counts as no crash.

Example:
  skynet kill sizer";

pub const REMOVE_HELP: &str = "\
Example:
  skynet remove sizer     undoes: skynet enable ./sizer";

pub const CONFIG_HELP: &str = "\
Exit code 1 when a file cannot be used.

Examples:
  skynet config sizer                          every setting, and where it stands
  skynet config sizer set grace 30s            checked; comments stay
  skynet config sizer set grace 30s --reload   and sizer runs with it
  skynet config sizer unset grace
  skynet config --check                        every file that is read here
  skynet config --check ./sizer                those that this one reads";

pub const DOCTOR_HELP: &str = "\
Exit codes: 0 nothing is wrong, 1 something is.";

pub const FAILED_HELP: &str = "\
Examples:
  skynet failed                 what is kept, of all participants
  skynet failed sizer --all     all of each: workitem, traceback, log
  skynet failed sizer 20261121-0900-bejoroku-rebejubo
  skynet failed sizer 20261121-0900-bejoroku-rebejubo --retry
  skynet failed sizer --all --drop";

pub const QUEUES_HELP: &str = "\
Example:
  skynet queues";

pub const NOTIFY_TEST_HELP: &str = "\
The command stands in [notify] command of boss.conf, of the participant's config.exo, or of its service.toml. It is \
run as supervise runs it, with SKYNET_EVENT=test; what it says is shown. Exit code 1 when it fails or there is none.

Examples:
  skynet config set notify.command '[\"/usr/lib/skynet/notify/mail\", \"root\"]'
  skynet notify test           the command of boss.conf
  skynet notify test sizer     the one of this participant";

/// `skynet notify …`
#[derive(Debug, Subcommand)]
pub enum Notify {
    /// Run the notify command with a test event and say what came of it
    #[command(after_help = NOTIFY_TEST_HELP)]
    Test {
        /// The participant whose command it is [default: that of boss.conf]
        #[arg(add = ArgValueCandidates::new(values::services))]
        name: Option<String>,
    },
}

/// Names, none = all.
#[derive(Debug, Args)]
pub struct AnyNames {
    /// Participants; * and ? match any letters [default: all]
    #[arg(value_name = "NAME", add = ArgValueCandidates::new(values::services))]
    pub names: Vec<String>,
}

/// `skynet status`
#[derive(Debug, Args)]
pub struct Status {
    /// Participants; * and ? match any letters [default: all]
    #[arg(value_name = "NAME", add = ArgValueCandidates::new(values::services))]
    pub names: Vec<String>,
    /// Show it again and again, every SECONDS or when something changes
    #[arg(short, long, value_name = "SECONDS", num_args = 0..=1, require_equals = true, default_missing_value = "2",
          value_parser = clap::value_parser!(u64).range(1..))]
    pub watch: Option<u64>,
}

/// `skynet failed`
#[derive(Debug, Args)]
pub struct Failed {
    /// The participant [default: all]; or what names an entry of any participant
    #[arg(add = ArgValueCandidates::new(values::services))]
    pub name: Option<String>,
    /// An entry of the store, a sid or a wfid: show all there is to know of it
    #[arg(value_name = "ENTRY|SID|WFID")]
    pub entry: Option<String>,
    /// Put it back on its queue as new work
    #[arg(long, conflicts_with = "drop")]
    pub retry: bool,
    /// Remove it from the store
    #[arg(long)]
    pub drop: bool,
    /// All entries of the participant (of all participants, without a name): show, retry or drop them
    #[arg(long, conflicts_with = "entry")]
    pub all: bool,
}

/// One or more names or folders.
#[derive(Debug, Args)]
pub struct Paths {
    /// A folder (with a slash in it: ./sizer) or the name of a participant
    #[arg(required = true, value_name = "PATH|NAME", add = ArgValueCompleter::new(values::folders_and_names))]
    pub words: Vec<String>,
    /// How long each may take to be up [default: 30s]
    #[arg(long, value_name = "TIME", value_parser = values::duration)]
    pub timeout: Option<Duration>,
}

/// `skynet disable`
#[derive(Debug, Args)]
pub struct Disable {
    /// Participants; NAME@2 means one instance only, * and ? match any letters
    #[arg(required = true, value_name = "NAME", add = ArgValueCandidates::new(values::services))]
    pub names: Vec<String>,
}

/// One or more names.
#[derive(Debug, Args)]
pub struct Names {
    /// Participants; NAME@2 means one instance only, * and ? match any letters
    #[arg(required = true, value_name = "NAME", add = ArgValueCandidates::new(values::services))]
    pub names: Vec<String>,
    /// How long to wait [default: what the participants' grace asks for]
    #[arg(long, value_name = "TIME", value_parser = values::duration)]
    pub timeout: Option<Duration>,
}

/// `skynet config`
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = false, subcommand_negates_reqs = true)]
pub struct Config {
    /// The participant, or its folder (with a slash in it) [default: boss.conf alone]
    #[arg(value_name = "PATH|NAME", add = ArgValueCompleter::new(values::folders_and_names))]
    pub name: Option<String>,
    /// Check the files that the participant reads; without one, those of all participants of this tree
    #[arg(long)]
    pub check: bool,
    /// Only what some file says, no defaults
    #[arg(long)]
    pub set_only: bool,
    /// What to change
    #[command(subcommand)]
    pub change: Option<Change>,
}

/// `skynet config NAME set|unset`
#[derive(Debug, Subcommand)]
pub enum Change {
    /// Write a setting into the participant's config.exo (boss.conf without a NAME)
    Set {
        /// The setting; dots lead into tables: amqp.url
        #[arg(add = ArgValueCandidates::new(values::settings))]
        key: String,
        /// Its value, as it would stand in the file; quotes around a text may be left out
        #[arg(allow_hyphen_values = true)]
        value: String,
        /// Let what runs with the old settings finish its work and read the new ones
        #[arg(long)]
        reload: bool,
    },
    /// Take a setting out of the file
    Unset {
        /// The setting; dots lead into tables: amqp.url
        #[arg(add = ArgValueCandidates::new(values::settings))]
        key: String,
        /// Let what runs with the old settings finish its work and read the new ones
        #[arg(long)]
        reload: bool,
    },
}

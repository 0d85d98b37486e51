//! Commands of who writes processes: what participants say, and what the engine calls them.

use super::values;
use clap::Args;
use clap_complete::engine::{ArgValueCandidates, ArgValueCompleter};
use std::time::Duration;

pub const LOG_HELP: &str = "\
Examples:
  skynet log -f sizer
  skynet log --wfid 20261121-0900-bejoroku-rebejubo
  skynet log --since 1h --grep 'error|warning'";

pub const HISTORY_HELP: &str = "\
Examples:
  skynet history sizer --since 1d
  skynet history sizer --slowest 10
  skynet history --stats                 counts, error rates, how long it took
  skynet history --problems --csv > problems.csv";

pub const TRACE_HELP: &str = "\
From the history, the failed stores, the logs, and what is in hand now. Exit code 1 when nothing is known of it.

Example:
  skynet trace 20261121-0900-bejoroku-rebejubo";

pub const REGISTER_HELP: &str = "\
The engine must run the participant boss_register (BOSS does). Nobody answers: see skynet log boss_register.

Examples:
  skynet register sizer                  as its settings say (regexp, queue)
  skynet register sizer --as '^size.*'   another name, its code as it is";

pub const UNREGISTER_HELP: &str = "\
Example:
  skynet unregister sizer --as '^size.*'";

/// `skynet log`
#[derive(Debug, Args)]
pub struct Log {
    /// Participants; * and ? match any letters [default: all]
    #[arg(value_name = "NAME", add = ArgValueCandidates::new(values::logs))]
    pub names: Vec<String>,
    /// Go on with what is written from now on
    #[arg(short, long)]
    pub follow: bool,
    /// Only lines that name this wfid (a part of it: --grep)
    #[arg(long)]
    pub wfid: Option<String>,
    /// Only lines not older than this: 10m, 2h, 7d
    #[arg(long, value_name = "TIME", value_parser = values::duration)]
    pub since: Option<Duration>,
    /// Only lines that match this regular expression
    #[arg(long, value_name = "RE")]
    pub grep: Option<String>,
    /// Only the last LINES lines [default: all; with --follow 10]
    #[arg(short = 'n', long)]
    pub lines: Option<usize>,
}

/// `skynet register`
#[derive(Debug, Args)]
pub struct Register {
    /// The participant, or its folder (with a slash in it)
    #[arg(value_name = "PATH|NAME", add = ArgValueCompleter::new(values::folders_and_names))]
    pub name: String,
    /// What process definitions call it: a name or a regular expression [default: its setting regexp]
    #[arg(long = "as", value_name = "NAME|RE")]
    pub known_as: Option<String>,
    /// The queue its workitems go to [default: its setting queue]
    #[arg(long)]
    pub queue: Option<String>,
}

/// `skynet unregister`
#[derive(Debug, Args)]
pub struct Unregister {
    /// The participant, or its folder (with a slash in it)
    #[arg(value_name = "PATH|NAME", add = ArgValueCompleter::new(values::folders_and_names))]
    pub name: String,
    /// What process definitions call it [default: its setting regexp]
    #[arg(long = "as", value_name = "NAME|RE")]
    pub known_as: Option<String>,
}

/// `skynet history`
#[derive(Debug, Args)]
pub struct History {
    /// Participants; * and ? match any letters [default: all]
    #[arg(value_name = "NAME", add = ArgValueCandidates::new(values::services))]
    pub names: Vec<String>,
    /// Only workitems of this process
    #[arg(long)]
    pub wfid: Option<String>,
    /// Only those that started within this time: 10m, 2h, 7d
    #[arg(long, value_name = "TIME", value_parser = values::duration)]
    pub since: Option<Duration>,
    /// Only those that failed, crashed, took too long, were cancelled or invalid
    #[arg(long)]
    pub problems: bool,
    /// Numbers about them: how often, how many problems, how long
    #[arg(long, conflicts_with_all = ["slowest", "lines"])]
    pub stats: bool,
    /// Those that took longest, the slowest first
    #[arg(long, value_name = "COUNT")]
    pub slowest: Option<usize>,
    /// The last COUNT only [default: 50 in a table, else all]
    #[arg(short = 'n', long, value_name = "COUNT", conflicts_with = "slowest")]
    pub lines: Option<usize>,
    /// As CSV
    #[arg(long)]
    pub csv: bool,
}

/// `skynet trace`
#[derive(Debug, Args)]
pub struct Trace {
    /// The process
    pub wfid: String,
}

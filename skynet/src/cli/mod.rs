//! The command line: one table from which parser, help, man pages, completion and reference come.
//!
//! | file | whose commands |
//! |---|---|
//! | `author.rs` | who writes a participant |
//! | `admin.rs` | who runs participants |
//! | `writer.rs` | who writes processes and wants to see what goes on |
//! | `values.rs` | what options take: times, names that can be completed |
//! | `help.rs` | the list of commands by whom they are for |
//! | `more.rs` | what help says below the options |

pub mod admin;
pub mod author;
pub mod help;
pub mod more;
mod values;
pub mod writer;

use clap::{Parser, Subcommand};

const EXIT_CODES: &str = "\
Exit codes:
  0    done
  1    it could not be done, or something had to be killed; a line says more
  3    status: something is down; local status: it does not run
  4    status: no such participant
  100  wrong usage
  111  a system call failed, or the broker is away
  130  ^C ended it (143: TERM did); what it leaves running is said

Environment:
  SKYNET_HOME  the home to work on [default: ~/.skynet; the system's tree for a
               root without one]
  NO_COLOR     no colours";

/// Runs participants of the workflow engine BOSS, in a home or on a system.
#[derive(Debug, Parser)]
#[command(name = "skynet", version, after_help = EXIT_CODES, disable_help_subcommand = true, max_term_width = 80)]
pub struct Cli {
    /// Work on the system's tree (/etc/boss, /var/lib/boss), whatever SKYNET_HOME says
    #[arg(long, global = true)]
    pub system: bool,
    /// The result as JSON on standard output, what is said for people on standard error
    #[arg(long, global = true)]
    pub json: bool,
    /// What to do
    #[command(subcommand)]
    pub verb: Verb,
}

/// What `skynet` can do.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Write a participant from a template
    #[command(after_help = author::NEW_HELP)]
    New(author::New),
    /// Try a participant: its unit tests, then one workitem
    #[command(after_help = author::TEST_HELP)]
    Test(author::Test),
    /// Run a participant in the foreground; start it anew on every save
    #[command(after_help = author::RUN_HELP)]
    Run(author::Run),
    /// Send a workitem as the engine would
    #[command(after_help = author::SEND_HELP)]
    Send(author::Send),
    /// Launch a process with the engine
    #[command(after_help = author::LAUNCH_HELP)]
    Launch(author::Launch),
    /// Ask for, cancel or watch the workitems in hand of a process
    #[command(subcommand)]
    Wi(author::Wi),
    /// Start, stop and show a SkyNET of your own, in a home
    #[command(subcommand)]
    Local(author::Local),

    /// Show participants and their state
    #[command(after_help = admin::STATUS_HELP)]
    Status(admin::Status),
    /// Make a participant start by itself, and start it
    #[command(after_help = admin::ENABLE_HELP)]
    Enable(admin::Paths),
    /// Keep a participant from starting by itself; what runs goes on
    #[command(after_help = admin::DISABLE_HELP)]
    Disable(admin::Disable),
    /// Start a participant; one not enabled runs until it is stopped
    #[command(after_help = admin::START_HELP)]
    Start(admin::Paths),
    /// Stop a participant once it has finished its work
    #[command(after_help = admin::STOP_HELP)]
    Stop(admin::Names),
    /// Stop and start a participant, once it has finished its work
    #[command(after_help = admin::RESTART_HELP)]
    Restart(admin::Names),
    /// Let a participant finish its work and read settings and code anew
    #[command(after_help = admin::RELOAD_HELP)]
    Reload(admin::Names),
    /// Start a participant that is not started again when it ends
    #[command(after_help = admin::ONCE_HELP)]
    Once(admin::Paths),
    /// Kill a participant at once; its workitem goes back to the queue
    #[command(after_help = admin::KILL_HELP)]
    Kill(admin::Names),
    /// Stop a participant and take it away; code, log and state stay
    #[command(after_help = admin::REMOVE_HELP)]
    Remove(admin::Names),
    /// Show settings and which file each came from, check or change them
    #[command(after_help = admin::CONFIG_HELP)]
    Config(admin::Config),
    /// Look for what is wrong with this SkyNET and say what to do
    #[command(after_help = admin::DOCTOR_HELP)]
    Doctor,
    /// Show workitems that failed; put them back or drop them
    #[command(after_help = admin::FAILED_HELP)]
    Failed(admin::Failed),
    /// Test who is told of problems
    #[command(subcommand)]
    Notify(admin::Notify),
    /// Show the queues of participants: what waits in them, who listens
    #[command(after_help = admin::QUEUES_HELP)]
    Queues(admin::AnyNames),

    /// Show the logs of participants, merged by time
    #[command(after_help = writer::LOG_HELP)]
    Log(writer::Log),
    /// Show how often participants were called, how long, what went wrong
    #[command(after_help = writer::HISTORY_HELP)]
    History(writer::History),
    /// Show everything that is known of one process, in the order of time
    #[command(after_help = writer::TRACE_HELP)]
    Trace(writer::Trace),
    /// Tell the engine which participant name goes to which queue
    #[command(after_help = writer::REGISTER_HELP)]
    Register(writer::Register),
    /// Take a participant name away from the engine
    #[command(after_help = writer::UNREGISTER_HELP)]
    Unregister(writer::Unregister),

    /// What becomes svscan
    #[command(hide = true)]
    BecomeSvscan,
    /// Write man pages, completions and the reference into a folder
    #[command(hide = true)]
    Generate(Generate),
}

/// `skynet generate`
#[derive(Debug, clap::Args)]
pub struct Generate {
    /// The folder that gets man/, completions/ and skynet.md
    pub dir: std::path::PathBuf,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_consistent() {
        help::command().debug_assert();
    }

    #[test]
    fn what_goes_with_what_is_checked() {
        for (words, good) in [
            (&["skynet", "send", "q", "--wait", "--json", "--timeout", "1s"][..], true),
            (&["skynet", "send", "q", "--json"], true),
            (&["skynet", "send", "q"], true),
            (&["skynet", "send", "q", "--timeout", "3s"], false),
            (&["skynet", "stop"], false),
            (&["skynet", "status"], true),
            (&["skynet", "config"], true),
            (&["skynet", "config", "sizer"], true),
            (&["skynet", "config", "sizer", "set", "grace", "5s"], true),
            (&["skynet", "config", "sizer", "set", "grace"], false),
            (&["skynet", "log", "-f", "-n", "3", "--since", "1h"], true),
        ] {
            assert_eq!(Cli::try_parse_from(words).is_ok(), good, "{words:?}");
        }
    }
}

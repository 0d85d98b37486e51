//! The command line: one table from which parser and help come.

use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;
use std::time::Duration;

const EXIT_CODES: &str = "\
Exit codes:
  0    done
  1    it could not be done, or something had to be killed; the line says what to do
  3    status: something is down
  4    status: no such participant
  100  wrong usage
  111  a system call failed

Environment:
  SKYNET_HOME  the home to work on (default ~/.skynet; root without one works on the system's tree)
  NO_COLOR     no colours";

/// Runs participants of the workflow engine BOSS, in a home or on a system.
#[derive(Debug, Parser)]
#[command(name = "skynet", version, after_help = EXIT_CODES, disable_help_subcommand = true)]
pub struct Cli {
    /// Work on the system's tree (/etc/boss, /var/lib/boss), whatever SKYNET_HOME says
    #[arg(long, global = true)]
    pub system: bool,
    /// What to do
    #[command(subcommand)]
    pub verb: Verb,
}

/// What `skynet` can do.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Start, stop and show a SkyNET of your own, in a home
    #[command(subcommand)]
    Local(Local),
    /// Write a participant from the template
    #[command(after_help = "Example:\n  skynet new sizer && skynet enable ./sizer")]
    New(New),
    /// Make a participant start by itself, and start it
    #[command(after_help = "Examples:\n  skynet enable ./sizer     the participant in this folder\n  \
        skynet enable sizer       one that is installed, or was disabled")]
    Enable(Paths),
    /// Keep a participant from starting by itself; what runs goes on
    #[command(after_help = "Example:\n  skynet disable sizer && skynet stop sizer     takes it away")]
    Disable(Names),
    /// Start a participant; one that is not enabled runs until it is stopped
    #[command(after_help = "Example:\n  skynet start ./sizer     to try it, without enabling it")]
    Start(Paths),
    /// Stop a participant once it has finished its work; one that is disabled is taken away
    #[command(after_help = "^C twice kills what does not finish; its workitem goes back to the queue.\n\n\
        Examples:\n  skynet stop sizer       all its instances\n  skynet stop sizer@2     only one of them")]
    Stop(Names),
    /// Stop and start a participant, once it has finished its work
    #[command(after_help = "Example:\n  skynet restart sizer     after a change of its code")]
    Restart(Names),
    /// Show participants and their state
    #[command(after_help = "Exit codes: 0 all are up, 3 something is down, 4 no such participant.\n\n\
        Example:\n  skynet status sizer && echo fine")]
    Status(AnyNames),
    /// Show the logs of participants, merged by time
    #[command(
        after_help = "Examples:\n  skynet log -f sizer\n  skynet log --wfid 20261121-0900-bejoroku-rebejubo"
    )]
    Log(Log),
    /// Send a workitem as the engine would
    #[command(after_help = SEND_HELP)]
    Send(Send),
    /// What becomes svscan
    #[command(hide = true)]
    BecomeSvscan,
}

const SEND_HELP: &str = "\
Examples:
  skynet send sizer --field text=hello --wait
  skynet send sizer --field size.max=3 --field 'tags=[\"a\",\"b\"]'
  skynet send sizer --fields-json - < fields.json

The reply of a participant goes to the queue ruote_workitems. --wait takes it from there, and refuses where
somebody else (BOSS) listens to that queue. Exit code 1 when the reply is an error or does not come in time.";

/// `skynet local …`
#[derive(Debug, Subcommand)]
pub enum Local {
    /// Start broker and svscan under $SKYNET_HOME; harmless when they run
    #[command(
        after_help = "Examples:\n  skynet local up\n  SKYNET_HOME=/tmp/trial skynet local up     a second one"
    )]
    Up {
        /// The port of the embedded broker, written into broker.toml and boss.conf
        #[arg(long)]
        port: Option<u16>,
    },
    /// Stop everything: participants finish their work first
    #[command(
        after_help = "^C twice kills what does not finish. Exit code 1 when something had to be killed."
    )]
    Down,
    /// Show whether it runs, and where things are (exit code 0 running, 3 not)
    Status,
}

/// `skynet new`
#[derive(Debug, Args)]
pub struct New {
    /// The participant's name, also that of its queue
    pub name: String,
    /// The folder in which to make its folder [default: .]
    pub dir: Option<PathBuf>,
}

/// One or more names or folders.
#[derive(Debug, Args)]
pub struct Paths {
    /// A folder (with a slash in it: ./sizer) or the name of a participant
    #[arg(required = true, value_name = "PATH|NAME")]
    pub words: Vec<String>,
}

/// One or more names.
#[derive(Debug, Args)]
pub struct Names {
    /// Participants; NAME@2 means one instance only
    #[arg(required = true, value_name = "NAME")]
    pub names: Vec<String>,
}

/// Names, none = all.
#[derive(Debug, Args)]
pub struct AnyNames {
    /// Participants [default: all]
    #[arg(value_name = "NAME")]
    pub names: Vec<String>,
}

/// `skynet log`
#[derive(Debug, Args)]
pub struct Log {
    /// Participants [default: all]
    #[arg(value_name = "NAME")]
    pub names: Vec<String>,
    /// Go on with what is written from now on
    #[arg(short, long)]
    pub follow: bool,
    /// Only lines that contain this wfid
    #[arg(long)]
    pub wfid: Option<String>,
    /// Only the last LINES lines [default: all; with --follow 10]
    #[arg(short = 'n', long)]
    pub lines: Option<usize>,
}

/// `skynet send`
#[derive(Debug, Args)]
pub struct Send {
    /// The queue of the participant
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
    /// Wait for the reply and print the fields it changed
    #[arg(long)]
    pub wait: bool,
    /// How long to wait: 500ms, 30s, 5m
    #[arg(long, default_value = "30s", value_parser = duration, requires = "wait")]
    pub timeout: Duration,
    /// Print the reply as one line of JSON
    #[arg(long, requires = "wait")]
    pub json: bool,
}

/// `500ms`, `30s`, `5m`, `2h`; a bare number is seconds.
fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| "expected a time like 30s".to_owned())?;
    let milliseconds = match unit {
        "ms" => Some(1),
        "" | "s" => Some(1000),
        "m" => Some(60_000),
        "h" => Some(3_600_000),
        _ => None,
    };
    let total = milliseconds.and_then(|factor: u64| number.checked_mul(factor));
    total.map(Duration::from_millis).ok_or_else(|| "expected a time like 500ms, 30s, 5m or 2h".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_table_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_time_has_a_unit() {
        for (text, milliseconds) in
            [("500ms", 500), ("30s", 30_000), ("30", 30_000), ("5m", 300_000), ("1h", 3_600_000)]
        {
            assert_eq!(duration(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
        for text in ["", "s", "-1s", "3 s", "1.5s", "3d", "99999999999999999999s", "18446744073709551615h"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn json_and_timeout_go_with_wait_only() {
        for (words, good) in [
            (&["skynet", "send", "q", "--wait", "--json", "--timeout", "1s"][..], true),
            (&["skynet", "send", "q", "--json"], false),
            (&["skynet", "send", "q"], true),
            (&["skynet", "send", "q", "--timeout", "3s"], false),
            (&["skynet", "stop"], false),
            (&["skynet", "status"], true),
        ] {
            assert_eq!(Cli::try_parse_from(words).is_ok(), good, "{words:?}");
        }
    }
}

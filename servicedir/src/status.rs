//! `supervise/status`: the 18 bytes of daemontools, then ours.
//!
//! | bytes | what |
//! |---|---|
//! | 0-11 | TAI64N of the last change of pid |
//! | 12-15 | pid, little-endian; 0 = down |
//! | 16 | paused: 1 or 0 |
//! | 17 | wanted: `u`, `d`, or 0 (once, or nothing wanted) |
//! | 18 | version of what follows: 0 |
//! | 19 | state: 0 down, 1 up, 2 backoff, 3 starting, 4 stopping, 5 finishing, 6 failed for good |
//! | 20 | flags: 1 ready, 2 adopted, 4 the process leads a session of its own, 8 `./start` has done its work, 16 the service says itself when it is ready |
//! | 21 | reserved: 0 |
//! | 22-25 | restarts since supervise started, little-endian |
//! | 26-27 | how the child last ended: 0 not yet, 1 code, 2 signal, 3 unknown; then the code or signal |
//! | 28-29 | reserved: 0 |
//! | 30-41 | TAI64N of readiness; zero = not ready |
//! | 42-53 | TAI64N of the end of the backoff; zero = none |
//! | 54-61 | start time of the process in clock ticks since boot, little-endian |
//! | 62-77 | boot id under which it was started |
//! | 78-81 | pid of the `./start`, `./finish` or `./stop` that runs, little-endian; zero = none does |
//! | 82-85 | pid of the supervise that wrote this, little-endian; zero = it has ended as it was told to |
//! | 86-93 | start time of that supervise, little-endian |
//! | 94-101 | in state 2 when the backoff ends, else when what runs is killed because its time is over: milliseconds of CLOCK_MONOTONIC, little-endian; zero = nothing of it |
//!
//! The process is that of the pid in bytes 12-15, or, where there is none, of that in bytes 78-81.
//! Readers of daemontools read 18 bytes and ignore the rest; we read 18 where there is no more. Readers of both daemontools
//! and runit read 20, and take byte 18 for runit's "TERM was sent", byte 19 for runit's state: 0 down, 1 run, 2 finish.

use std::time::Duration;
use unix::process::{Exit, Identity};
use unix::tai64n::Tai64n;

/// Length of the part that daemontools knows.
pub const PLAIN: usize = 18;
/// Length of the whole.
pub const FULL: usize = 102;
// Not 0 would tell readers of runit's status that TERM was sent.
const VERSION: u8 = 0;

/// The byte of the file that a running supervise [marks](unix::marked) while the status is right.
pub const RIGHT: i64 = 1;
/// The one that it marks instead while the status is wrong, and can be neither replaced nor removed.
pub const WRONG: i64 = 0;

/// What the service is wanted to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Want {
    /// Up, and started again when it ends.
    Up,
    /// Down.
    Down,
    /// Nothing further: it may run to its end.
    Nothing,
}

/// The state as an operator would say it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// Not running, and no start is due.
    #[default]
    Down,
    /// Running.
    Up,
    /// Not running, to be started when the backoff ends.
    Backoff,
    /// Being started: its settings are read, or `./start` runs.
    Starting,
    /// Running, and asked to stop.
    Stopping,
    /// Not running any more: `./finish` or `./stop` runs.
    Finishing,
    /// Not running, and not to be started again by itself.
    Failed,
}

impl State {
    const ALL: [(u8, Self, &str); 7] = [
        (0, Self::Down, "down"),
        (1, Self::Up, "up"),
        (2, Self::Backoff, "backoff"),
        (3, Self::Starting, "starting"),
        (4, Self::Stopping, "stopping"),
        (5, Self::Finishing, "finishing"),
        (6, Self::Failed, "failed"),
    ];

    /// Its name, for people and programs.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, state, _)| *state == self).map_or("", |(_, _, name)| name)
    }

    fn byte(self) -> u8 {
        Self::ALL.iter().find(|(_, state, _)| *state == self).map_or(0, |(byte, ..)| *byte)
    }

    fn from_byte(byte: u8) -> Self {
        Self::ALL.iter().find(|(known, ..)| *known == byte).map_or(Self::Down, |(_, state, _)| *state)
    }
}

/// What `supervise/status` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// When the pid last changed.
    pub since: Tai64n,
    /// The running process; `None` = down.
    pub pid: Option<i32>,
    /// Whether it was sent STOP.
    pub paused: bool,
    /// What it is wanted to be.
    pub want: Want,
    /// What daemontools' format has no room for; `None` where daemontools wrote the file.
    pub more: Option<More>,
}

/// What we add to daemontools' status; by default that of a service that was never started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct More {
    /// The state by name.
    pub state: State,
    /// The process was taken over from an earlier supervise.
    pub adopted: bool,
    /// Starts since supervise started, without the first.
    pub restarts: u32,
    /// How the child last ended.
    pub last_exit: Option<Exit>,
    /// When the service said, or was taken, to be ready.
    pub ready: Option<Tai64n>,
    /// When the backoff ends, as the clock of the wall was when this was written.
    pub backoff_until: Option<Tai64n>,
    /// The same as a point of [`unix::clock`]; `None` also where an earlier version wrote the status.
    pub starts_at: Option<Duration>,
    /// Who the process is: the service, or the script that runs for it.
    pub identity: Option<Identity>,
    /// The service says itself when it is ready; else it is after a second.
    pub says_ready: bool,
    /// The process leads a session of its own, and is signalled with all that is in it.
    pub group: bool,
    /// `./start` has done its work, and `./stop` has not undone it.
    pub prepared: bool,
    /// The `./start`, `./finish` or `./stop` that runs.
    pub script: Option<i32>,
    /// The supervise that wrote this; `None` = it has ended as it was told to.
    pub supervise: Option<Identity>,
    /// When what runs, the service or a script, is killed because its time is over: a point of [`unix::clock`].
    pub kill_at: Option<Duration>,
}

impl Status {
    /// The bytes of the file.
    pub fn to_bytes(&self) -> [u8; FULL] {
        let mut b = [0; FULL];
        b[..12].copy_from_slice(&self.since.to_bytes());
        b[12..16].copy_from_slice(&self.pid.unwrap_or(0).to_le_bytes());
        b[16] = u8::from(self.paused && self.pid.is_some());
        b[17] = match self.want {
            Want::Up => b'u',
            Want::Down => b'd',
            Want::Nothing => 0,
        };
        if let Some(more) = &self.more {
            more.write(&mut b);
        }
        b
    }

    /// Reads the file; `None` when it is shorter than daemontools' 18 bytes.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let plain: &[u8; PLAIN] = bytes.first_chunk()?;
        let pid = i32::from_le_bytes(part(plain, 12));
        Some(Self {
            since: Tai64n::from_bytes(part(plain, 0)),
            pid: (pid != 0).then_some(pid),
            paused: plain[16] != 0,
            want: match plain[17] {
                b'u' => Want::Up,
                b'd' => Want::Down,
                _ => Want::Nothing,
            },
            more: bytes.first_chunk::<FULL>().and_then(|full| More::read(full, pid)),
        })
    }
}

impl More {
    fn write(&self, b: &mut [u8; FULL]) {
        b[18] = VERSION;
        b[19] = self.state.byte();
        let flags = [self.ready.is_some(), self.adopted, self.group, self.prepared, self.says_ready];
        b[20] = flags.iter().rev().fold(0, |byte, flag| byte << 1 | u8::from(*flag));
        b[22..26].copy_from_slice(&self.restarts.to_le_bytes());
        (b[26], b[27]) = match self.last_exit {
            None => (0, 0),
            Some(Exit::Code(code)) => (1, code as u8), // an exit code has eight bits
            Some(Exit::Signal(signal)) => (2, signal as u8), // there are 64 signals
            Some(Exit::Unknown) => (3, 0),
        };
        for (at, time) in [(30, self.ready), (42, self.backoff_until)] {
            b[at..at + 12].copy_from_slice(&time.map_or([0; 12], Tai64n::to_bytes));
        }
        if let Some(boot) = [self.identity, self.supervise].into_iter().flatten().next() {
            b[62..78].copy_from_slice(&boot.boot_id);
        }
        if let Some(identity) = &self.identity {
            b[54..62].copy_from_slice(&identity.start_time.to_le_bytes());
        }
        b[78..82].copy_from_slice(&self.script.unwrap_or(0).to_le_bytes());
        if let Some(supervise) = &self.supervise {
            b[82..86].copy_from_slice(&supervise.pid.to_le_bytes());
            b[86..94].copy_from_slice(&supervise.start_time.to_le_bytes());
        }
        // Nothing runs during a backoff: one of the two at most is there.
        let due = if self.state == State::Backoff { self.starts_at } else { self.kill_at };
        let due = due.map_or(0, |at| u64::try_from(at.as_millis()).unwrap_or(u64::MAX));
        b[94..102].copy_from_slice(&due.to_le_bytes());
    }

    fn read(b: &[u8; FULL], pid: i32) -> Option<Self> {
        let time = |at| Some(part(b, at)).filter(|t| *t != [0; 12]).map(Tai64n::from_bytes);
        let number = |at| i32::from_le_bytes(part(b, at));
        let script = Some(number(78)).filter(|pid| *pid != 0);
        let who = |pid: i32, start_time_at| Identity {
            pid,
            start_time: u64::from_le_bytes(part(b, start_time_at)),
            boot_id: part(b, 62),
        };
        let state = State::from_byte(b[19]);
        let due = Some(u64::from_le_bytes(part(b, 94))).filter(|due| *due != 0).map(Duration::from_millis);
        let (starts_at, kill_at) = if state == State::Backoff { (due, None) } else { (None, due) };
        (b[18] == VERSION).then(|| Self {
            state,
            adopted: b[20] & 2 != 0,
            restarts: u32::from_le_bytes(part(b, 22)),
            last_exit: match b[26] {
                1 => Some(Exit::Code(b[27].into())),
                2 => Some(Exit::Signal(b[27].into())),
                3 => Some(Exit::Unknown),
                _ => None,
            },
            ready: time(30),
            backoff_until: time(42),
            starts_at,
            identity: Some(pid).filter(|pid| *pid != 0).or(script).map(|pid| who(pid, 54)),
            group: b[20] & 4 != 0,
            prepared: b[20] & 8 != 0,
            says_ready: b[20] & 16 != 0,
            script,
            supervise: Some(number(82)).filter(|pid| *pid != 0).map(|pid| who(pid, 86)),
            kill_at,
        })
    }
}

/// The `N` bytes at `at`, which must lie within `bytes`.
fn part<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&bytes[at..at + N]);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::UNIX_EPOCH;

    fn since() -> Tai64n {
        (UNIX_EPOCH + Duration::new(1_700_000_000, 5)).into()
    }

    fn up() -> Status {
        Status {
            since: since(),
            pid: Some(0x0102),
            paused: true,
            want: Want::Up,
            more: Some(More {
                state: State::Up,
                adopted: true,
                restarts: 3,
                last_exit: Some(Exit::Signal(9)),
                ready: Some(since()),
                says_ready: true,
                backoff_until: None,
                starts_at: None,
                identity: Some(Identity { pid: 0x0102, start_time: 77, boot_id: [9; 16] }),
                group: true,
                prepared: true,
                script: None,
                supervise: Some(Identity { pid: 0x0103, start_time: 70, boot_id: [9; 16] }),
                kill_at: Some(Duration::from_secs(30)),
            }),
        }
    }

    #[test]
    fn the_first_18_bytes_are_those_of_daemontools() {
        let bytes = up().to_bytes();
        assert_eq!(bytes[..12], since().to_bytes());
        assert_eq!(bytes[12..18], [2, 1, 0, 0, 1, b'u']);
    }

    #[test]
    fn a_reader_of_runits_20_bytes_finds_no_term_that_was_sent() {
        let bytes = up().to_bytes();
        assert_eq!(bytes[18..20], [0, 1], "no TERM, runs");
    }

    #[test]
    fn a_status_survives_a_round_trip() {
        let down = Status {
            pid: None,
            paused: false,
            want: Want::Nothing,
            more: Some(More {
                state: State::Backoff,
                last_exit: Some(Exit::Code(111)),
                backoff_until: Some(since()),
                starts_at: Some(Duration::from_secs(40)),
                ..More::default()
            }),
            ..up()
        };
        for status in [up(), down] {
            assert_eq!(Status::from_bytes(&status.to_bytes()), Some(status));
        }
    }

    #[test]
    fn daemontools_own_file_is_read_and_a_shorter_one_is_refused() {
        let bytes = up().to_bytes();
        let plain = Status::from_bytes(&bytes[..PLAIN]);
        assert_eq!(plain, Some(Status { more: None, ..up() }));
        assert_eq!(Status::from_bytes(&bytes[..PLAIN - 1]), None);
    }

    #[test]
    fn a_service_that_is_down_is_never_paused() {
        let bytes = Status { pid: None, ..up() }.to_bytes();
        assert_eq!(bytes[16], 0);
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_a_status_or_too_short(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..120)) {
            match Status::from_bytes(&bytes) {
                None => proptest::prop_assert!(bytes.len() < PLAIN),
                Some(status) => {
                    let written = status.to_bytes();
                    proptest::prop_assert_eq!(&written[..16], &bytes[..16]);
                    proptest::prop_assert_eq!(Status::from_bytes(&written).map(|s| s.to_bytes()), Some(written));
                }
            }
        }
    }
}

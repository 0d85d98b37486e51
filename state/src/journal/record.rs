//! The records of a journal and their bytes.
//!
//! ```text
//! length u32 | CRC-32 u32 | kind u8 | rest         length and checksum are those of what follows them
//!   0 header    JSON: version, process
//!   1 taken     time i64 | digest [32] | flags u8 | attempts u16 × (started i64, pid u32, alone u8) | sid u32 + bytes | body
//!   2 reply     time i64 | digest [32] | outcome u8 | body
//!   3 acked     time i64 | digest [32]
//!   4 stopping  time i64
//!   5 moved     time i64
//!   6 probe     time i64 | any bytes
//!   7 passed    time i64 | digest [32]              all numbers are little-endian
//! ```

use crate::history::Outcome;
use crate::machine_id::Process;
use crate::moment::Micros;
use serde::{Deserialize, Serialize};

/// SHA-256 of a message as it came.
pub type Digest = [u8; 32];

/// Bytes before the kind.
pub const FRAME: usize = 8;
const VERSION: u32 = 1;

/// A record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record<'a> {
    /// The first of each file: whose it is.
    Header(Process),
    /// A workitem is about to be handed to a handler, or is known from a process that has ended.
    Taken(Taken<'a>),
    /// Its handler is done.
    Reply {
        /// When.
        time: Micros,
        /// Which message was answered.
        digest: Digest,
        /// How it ended.
        outcome: Outcome,
        /// The reply, to be published; empty where none is wanted.
        body: &'a [u8],
    },
    /// Its delivery was acknowledged.
    Acked {
        /// When.
        time: Micros,
        /// Which message.
        digest: Digest,
    },
    /// The process was told to stop: that it ends is no crash.
    Stopping {
        /// When.
        time: Micros,
    },
    /// What was live here goes on in another file.
    Moved {
        /// When.
        time: Micros,
    },
    /// Says nothing: written to see whether there is room again.
    Probe {
        /// When.
        time: Micros,
        /// The room.
        room: &'a [u8],
    },
    /// A workitem was delivered and not begun: it waits, or goes back. Where the broker counts deliveries this one is
    /// no crash, unless *taken* follows.
    Passed {
        /// When.
        time: Micros,
        /// Which message.
        digest: Digest,
    },
}

/// A workitem in hand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken<'a> {
    /// When.
    pub time: Micros,
    /// SHA-256 of the message.
    pub digest: Digest,
    /// False = nobody works on it: known from a process that has ended, waits to be delivered again.
    pub running: bool,
    /// It was in hand with others when a process ended: it may have been the reason, and is to run alone.
    pub suspect: bool,
    /// The processes that ended while they had it in hand.
    pub attempts: Vec<Attempt>,
    /// `expid!subid!wfid`.
    pub sid: &'a str,
    /// The message; empty where it is not kept.
    pub body: &'a [u8],
}

/// A process that ended while it had a workitem in hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Attempt {
    /// When the handler was given the workitem.
    pub started: Micros,
    /// The process.
    pub pid: u32,
    /// Whether it was the only one in hand: only then it counts.
    pub alone: bool,
}

#[derive(Serialize, Deserialize)]
struct Header {
    version: u32,
    process: Process,
}

impl Record<'_> {
    /// Appends the record's bytes.
    pub fn write(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend([0; FRAME]);
        match self {
            Self::Header(process) => {
                out.push(0);
                let header = Header { version: VERSION, process: process.clone() };
                // Numbers and texts always have a form in JSON.
                out.extend(serde_json::to_vec(&header).unwrap_or_default());
            }
            Self::Taken(taken) => taken.write(out),
            Self::Reply { time, digest, outcome, body } => {
                head(out, 2, *time);
                out.extend(digest);
                out.push(outcome.number() as u8);
                out.extend(*body);
            }
            Self::Acked { time, digest } => {
                head(out, 3, *time);
                out.extend(digest);
            }
            Self::Stopping { time } => head(out, 4, *time),
            Self::Moved { time } => head(out, 5, *time),
            Self::Probe { time, room } => {
                head(out, 6, *time);
                out.extend(*room);
            }
            Self::Passed { time, digest } => {
                head(out, 7, *time);
                out.extend(digest);
            }
        }
        let length = (out.len() - start - FRAME) as u32;
        let sum = crc32fast::hash(&out[start + FRAME..]);
        out[start..start + 4].copy_from_slice(&length.to_le_bytes());
        out[start + 4..start + 8].copy_from_slice(&sum.to_le_bytes());
    }
}

fn head(out: &mut Vec<u8>, kind: u8, time: Micros) {
    out.push(kind);
    out.extend(time.to_le_bytes());
}

impl Taken<'_> {
    fn write(&self, out: &mut Vec<u8>) {
        head(out, 1, self.time);
        out.extend(self.digest);
        out.push(u8::from(self.running) | u8::from(self.suspect) << 1);
        let attempts = &self.attempts[self.attempts.len().saturating_sub(u16::MAX as usize)..];
        out.extend((attempts.len() as u16).to_le_bytes());
        for attempt in attempts {
            out.extend(attempt.started.to_le_bytes());
            out.extend(attempt.pid.to_le_bytes());
            out.push(u8::from(attempt.alone));
        }
        out.extend((self.sid.len() as u32).to_le_bytes());
        out.extend(self.sid.as_bytes());
        out.extend(self.body);
    }
}

/// The length that a frame announces, and the checksum it must have.
pub fn frame(bytes: [u8; FRAME]) -> (u32, u32) {
    let [a, b, c, d, e, f, g, h] = bytes;
    (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]))
}

/// Reads a record without its frame. `None` = not one of ours.
pub fn parse(payload: &[u8]) -> Option<Record<'_>> {
    let mut rest = Rest(payload);
    let record = match rest.byte()? {
        0 => {
            let header: Header = serde_json::from_slice(rest.0).ok()?;
            (header.version == VERSION).then_some(Record::Header(header.process))?
        }
        1 => Record::Taken(rest.taken()?),
        2 => {
            let (time, digest) = (rest.time()?, rest.array()?);
            let outcome = Outcome::from_number(rest.byte()?.into());
            Record::Reply { time, digest, outcome, body: rest.0 }
        }
        3 => Record::Acked { time: rest.time()?, digest: rest.array()? },
        4 => Record::Stopping { time: rest.time()? },
        5 => Record::Moved { time: rest.time()? },
        6 => Record::Probe { time: rest.time()?, room: rest.0 },
        7 => Record::Passed { time: rest.time()?, digest: rest.array()? },
        _ => return None,
    };
    Some(record)
}

struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let (bytes, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(bytes)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.bytes(N)?.try_into().ok()
    }

    fn byte(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn time(&mut self) -> Option<Micros> {
        self.array().map(i64::from_le_bytes)
    }

    fn taken(&mut self) -> Option<Taken<'a>> {
        let (time, digest, flags) = (self.time()?, self.array()?, self.byte()?);
        let count = u16::from_le_bytes(self.array()?);
        let attempt = |rest: &mut Self| {
            let (started, pid) = (rest.time()?, u32::from_le_bytes(rest.array()?));
            Some(Attempt { started, pid, alone: rest.byte()? == 1 })
        };
        let attempts = (0..count).map(|_| attempt(self)).collect::<Option<_>>()?;
        let length = u32::from_le_bytes(self.array()?);
        let sid = str::from_utf8(self.bytes(length as usize)?).ok()?;
        let (running, suspect) = (flags & 1 != 0, flags & 2 != 0);
        Some(Taken { time, digest, running, suspect, attempts, sid, body: self.0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::row::OUTCOMES;
    use proptest::prelude::*;

    fn round_trip(record: &Record<'_>) {
        let mut bytes = vec![];
        record.write(&mut bytes);
        let (length, sum) = frame(bytes[..FRAME].try_into().unwrap());
        assert_eq!((length as usize, sum), (bytes.len() - FRAME, crc32fast::hash(&bytes[FRAME..])));
        assert_eq!(parse(&bytes[FRAME..]).as_ref(), Some(record));
    }

    #[test]
    fn every_record_is_read_as_it_was_written() {
        let digest = [7; 32];
        let attempts =
            vec![Attempt { started: -1, pid: 9, alone: true }, Attempt { started: 2, pid: 1, alone: false }];
        let taken =
            Taken { time: 3, digest, running: true, suspect: false, attempts, sid: "0!s!wé", body: b"{}" };
        round_trip(&Record::Header(Process::own()));
        round_trip(&Record::Taken(Taken { running: false, suspect: true, ..taken.clone() }));
        round_trip(&Record::Taken(taken));
        for outcome in OUTCOMES {
            round_trip(&Record::Reply { time: 3, digest, outcome, body: b"reply" });
        }
        round_trip(&Record::Acked { time: 3, digest });
        round_trip(&Record::Stopping { time: 3 });
        round_trip(&Record::Moved { time: Micros::MAX });
        round_trip(&Record::Probe { time: 3, room: b"room" });
        round_trip(&Record::Passed { time: 3, digest });
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..120), kind in 0..9u8) {
            let _ = parse(&bytes);
            let mut bytes = bytes;
            if let Some(first) = bytes.first_mut() {
                *first = kind;
            }
            let _ = parse(&bytes);
        }
    }
}

//! What the files of processes that have ended say about the workitems they had in hand. Pure.

use super::record::{Attempt, Digest, Record, Taken};
use super::segment::Place;
use crate::history::Outcome;
use crate::machine_id::Process;
use crate::moment::Micros;
use std::collections::{HashMap, VecDeque};

/// After so long a workitem that was not delivered again is somebody else's.
pub const FORGET_AFTER: Micros = 7 * 86_400 * 1_000_000;
/// So many are carried on at the most, the newest.
pub const CARRY: usize = 1000;
/// So many of the workitems that a process has handled are looked at, the newest.
const HANDLED: usize = 5000;

/// What the files of one process say.
#[derive(Debug, Default)]
pub struct Story {
    owner: Process,
    stopping: bool,
    items: HashMap<Digest, Item>,
    passed: HashMap<Digest, Micros>,
    handled: VecDeque<Ended>,
    /// Its last file was taken over before.
    known: bool,
}

/// A workitem that a process has handled, and where it stands.
#[derive(Clone, Debug)]
pub struct Ended {
    /// When its handler was given it.
    pub started: Micros,
    /// When its handler was done.
    pub ended: Micros,
    /// How it ended.
    pub outcome: Outcome,
    /// The processes that ended while they had it in hand.
    pub attempts: Vec<Attempt>,
    /// Its *taken*.
    pub taken: Spot,
    /// Its *reply*.
    pub reply: Spot,
}

#[derive(Clone, Debug)]
struct Item {
    time: Micros,
    running: bool,
    suspect: bool,
    attempts: Vec<Attempt>,
    sid: String,
    taken: Option<Spot>,
    /// A reply that is not known to be acknowledged.
    reply: Option<Spot>,
}

/// Where a record lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spot {
    /// Which of the files.
    pub file: usize,
    /// Where in it.
    pub place: Place,
}

/// What is known of a workitem that a process left behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Carried {
    /// The message.
    pub digest: Digest,
    /// When it was taken last.
    pub time: Micros,
    /// It may have been the reason for the end.
    pub suspect: bool,
    /// The processes that ended while they had it in hand.
    pub attempts: Vec<Attempt>,
    /// `expid!subid!wfid`.
    pub sid: String,
    /// Its reply, if it has one.
    pub reply: Option<Spot>,
}

impl Story {
    /// Takes in a record of file number `file`. The files of a process are read in their order.
    pub fn read(&mut self, file: usize, place: Place, record: &Record<'_>) {
        let spot = Spot { file, place };
        self.known = matches!(record, Record::Moved { .. });
        match record {
            Record::Header(owner) => self.owner = owner.clone(),
            Record::Taken(taken) => self.taken(taken, spot),
            Record::Reply { time, digest, outcome, .. } => {
                let item = self.items.entry(*digest).or_insert_with(|| Item::unknown(*time));
                let ended = item.ends(spot, *time, *outcome);
                self.handled.extend(ended);
                if self.handled.len() > HANDLED {
                    self.handled.pop_front();
                }
            }
            Record::Acked { digest, .. } => {
                self.items.remove(digest);
                self.passed.remove(digest);
            }
            Record::Passed { time, digest } => drop(self.passed.insert(*digest, *time)),
            Record::Stopping { .. } => self.stopping = true,
            // What was live before goes on in the next file, from its beginning.
            Record::Moved { .. } => self.items.clear(),
            Record::Probe { .. } => {}
        }
    }

    /// What was delivered to it and not begun, as far as it is not too long ago: its file is still to be read.
    pub fn passed(&self, now: Micros) -> impl Iterator<Item = Digest> + '_ {
        self.passed.iter().filter(move |(_, time)| **time > now - FORGET_AFTER).map(|(digest, _)| *digest)
    }

    /// What it has handled last, as far as nobody has looked at it before.
    pub fn handled(&self) -> impl Iterator<Item = &Ended> {
        self.handled.iter().filter(|_| !self.known)
    }

    fn taken(&mut self, taken: &Taken<'_>, spot: Spot) {
        let reply = self.items.get(&taken.digest).and_then(|item| item.reply).filter(|_| !taken.running);
        let Taken { time, running, suspect, .. } = *taken;
        let item = Item {
            time,
            running,
            suspect,
            attempts: taken.attempts.clone(),
            sid: taken.sid.into(),
            taken: Some(spot),
            reply,
        };
        self.items.insert(taken.digest, item);
    }

    /// What it left behind. `boot` is this boot: the end by a reboot is no crash.
    fn ending(self, boot: &str) -> Vec<Carried> {
        let crashed = !self.stopping && self.owner.boot == boot;
        let running = self.items.values().filter(|item| item.running).count();
        let carried = self.items.into_iter().map(|(digest, mut item)| {
            if item.running && crashed {
                let attempt = Attempt { started: item.time, pid: self.owner.pid, alone: running == 1 };
                item.attempts.push(attempt);
                item.suspect = running > 1;
            }
            let Item { time, suspect, attempts, sid, reply, .. } = item;
            Carried { digest, time, suspect, attempts, sid, reply }
        });
        // What nobody needs to know of is not carried on.
        carried.filter(|c| c.reply.is_some() || !c.attempts.is_empty()).collect()
    }
}

impl Item {
    fn unknown(time: Micros) -> Self {
        Self {
            time,
            running: false,
            suspect: false,
            attempts: vec![],
            sid: String::new(),
            taken: None,
            reply: None,
        }
    }

    /// It is answered. What was only copied from another file is not handled here.
    fn ends(&mut self, reply: Spot, ended: Micros, outcome: Outcome) -> Option<Ended> {
        self.reply = Some(reply);
        let taken = self.taken.filter(|_| std::mem::take(&mut self.running))?;
        Some(Ended { started: self.time, ended, outcome, attempts: self.attempts.clone(), taken, reply })
    }
}

/// What all these processes left behind, each workitem once, oldest first.
pub fn carried(stories: Vec<Story>, boot: &str, now: Micros) -> Vec<Carried> {
    let mut all: HashMap<Digest, Carried> = HashMap::new();
    for carried in stories.into_iter().flat_map(|story| story.ending(boot)) {
        let Some(known) = all.get_mut(&carried.digest) else {
            all.insert(carried.digest, carried);
            continue;
        };
        // Two files may tell of the same end, as one was copied from the other.
        known.attempts.extend(carried.attempts);
        known.attempts.sort();
        known.attempts.dedup();
        known.suspect |= carried.suspect;
        known.time = known.time.max(carried.time);
        known.reply = known.reply.or(carried.reply);
    }
    let mut all: Vec<_> = all.into_values().filter(|c| c.time > now - FORGET_AFTER).collect();
    all.sort_by_key(|carried| carried.time);
    all.split_off(all.len().saturating_sub(CARRY))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: Place = Place { offset: 0, length: 0 };

    fn story(pid: u32, records: &[Record<'_>]) -> Story {
        let mut story = Story::default();
        story.read(0, PLACE, &Record::Header(Process { pid, boot: "now".into(), ..Process::default() }));
        records.iter().for_each(|record| story.read(0, PLACE, record));
        story
    }

    fn taken(n: u8) -> Record<'static> {
        let (time, digest, sid) = (i64::from(n), [n; 32], "0!s!w");
        Record::Taken(Taken { time, digest, running: true, suspect: false, attempts: vec![], sid, body: b"" })
    }

    fn reply(n: u8) -> Record<'static> {
        Record::Reply { time: 9, digest: [n; 32], outcome: Outcome::Replied, body: b"" }
    }

    fn acked(n: u8) -> Record<'static> {
        Record::Acked { time: 9, digest: [n; 32] }
    }

    /// (number, how often it counts, suspect, whether there is a reply)
    fn told(stories: Vec<Story>) -> Vec<(u8, usize, bool, bool)> {
        let told = carried(stories, "now", 10).into_iter();
        let row = |c: Carried| {
            let counts = c.attempts.iter().filter(|a| a.alone).count();
            (c.digest[0], counts, c.suspect, c.reply.is_some())
        };
        told.map(row).collect()
    }

    #[test]
    fn what_ran_alone_at_a_crash_has_an_attempt_and_what_ran_with_others_is_suspect() {
        assert_eq!(told(vec![story(1, &[taken(1)])]), [(1, 1, false, false)]);
        assert_eq!(told(vec![story(1, &[taken(1), taken(2)])]), [(1, 0, true, false), (2, 0, true, false)]);
        let second = [taken(1), reply(1), taken(2)];
        assert_eq!(told(vec![story(1, &second)]), [(1, 0, false, true), (2, 1, false, false)]);
        assert_eq!(told(vec![story(1, &[taken(1), reply(1), acked(1)])]), []);
    }

    #[test]
    fn an_end_by_term_or_reboot_is_no_crash() {
        assert_eq!(told(vec![story(1, &[taken(1), Record::Stopping { time: 2 }])]), []);
        let mut before = Story::default();
        before.read(0, PLACE, &Record::Header(Process { boot: "before".into(), ..Process::default() }));
        before.read(0, PLACE, &taken(1));
        assert_eq!(told(vec![before]), []);
    }

    #[test]
    fn attempts_add_up_over_processes_and_the_same_end_counts_once() {
        let before = Attempt { started: 1, pid: 1, alone: true };
        let again = |running, time| {
            let (digest, attempts) = ([1; 32], vec![before]);
            Record::Taken(Taken { time, digest, running, suspect: false, attempts, sid: "", body: b"" })
        };
        assert_eq!(told(vec![story(2, &[again(true, 5)])]), [(1, 2, false, false)]);
        assert_eq!(told(vec![story(1, &[taken(1)]), story(2, &[again(false, 1)])]), [(1, 1, false, false)]);
        assert_eq!(told(vec![story(2, &[again(false, 1), again(true, 5), reply(1), acked(1)])]), []);
    }

    #[test]
    fn what_has_moved_is_told_by_the_next_file_and_what_is_old_by_none() {
        assert_eq!(told(vec![story(1, &[taken(1), Record::Moved { time: 3 }])]), []);
        assert_eq!(carried(vec![story(1, &[taken(1)])], "now", FORGET_AFTER + 1), []);
    }
}

//! Which of the replies in a shared queue is ours, and how to leave the others to those who wait for them.
//!
//! Several `skynet send --wait` listen to one queue. A reply that is not ours goes back at once: it may be
//! somebody else's. One that comes again is held for a while, longer each time, so that replies for which
//! nobody waits do not fly in circles, and given back again.

use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::{Duration, Instant};
use workitem::{Fei, Incoming, Unusable};

const FIRST_DELAY: Duration = Duration::from_millis(20);
const LONGEST_DELAY: Duration = Duration::from_secs(1);

/// What is to be done with a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is ours.
    Ours,
    /// It is not: back with it now.
    GiveBack,
    /// It is not, and was here before: back with it then.
    Hold(Instant),
}

/// A wait for one reply.
pub struct Wait<T> {
    fei: Fei,
    /// How often each was here, by a hash of its body.
    seen: HashMap<u64, u32>,
    held: BTreeMap<(Instant, u64), T>,
    count: u64,
}

impl<T> Wait<T> {
    /// Waits for the reply with this fei.
    pub fn new(fei: Fei) -> Self {
        Self { fei, seen: HashMap::new(), held: BTreeMap::new(), count: 0 }
    }

    /// What to do with a reply of this body.
    pub fn judge(&mut self, now: Instant, body: &[u8]) -> Verdict {
        let fei = match workitem::parse(body) {
            Ok(Incoming::Workitem(header)) => Some(header.fei),
            // A handler may make of params what it likes.
            Err(Unusable::Malformed { fei, .. }) => Some(*fei),
            _ => None,
        };
        if fei.as_ref() == Some(&self.fei) {
            return Verdict::Ours;
        }
        let times = self.seen.entry(hash(body)).or_insert(0);
        *times += 1;
        match *times {
            1 => Verdict::GiveBack,
            n => {
                let delay = LONGEST_DELAY.min(FIRST_DELAY * (1 << (n - 2).min(16)));
                // Two who hold each other's reply for the same time would get the same one back each time, as the
                // broker hands out in turn: everybody waits a little differently.
                let share = hash_of(&(self.fei.sid(), n)) as u32 % 1024;
                Verdict::Hold(now + delay / 2 + delay * share / 1024)
            }
        }
    }

    /// Keeps a reply until then.
    pub fn hold(&mut self, until: Instant, reply: T) {
        self.count += 1;
        self.held.insert((until, self.count), reply);
    }

    /// When the next held reply is to be given back.
    pub fn next_due(&self) -> Option<Instant> {
        self.held.keys().next().map(|(until, _)| *until)
    }

    /// A reply that is to be given back now.
    pub fn take_due(&mut self, now: Instant) -> Option<T> {
        let (until, _) = self.held.keys().next()?;
        if *until > now {
            return None;
        }
        self.held.pop_first().map(|(_, reply)| reply)
    }
}

/// Two replies with the same hash are merely held longer.
fn hash(body: &[u8]) -> u64 {
    hash_of(&body)
}

fn hash_of(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::value::RawValue;
    use std::time::SystemTime;

    fn fei(wfid: &str) -> Fei {
        Fei { engine_id: "e".into(), wfid: wfid.into(), subid: "s".into(), expid: "0".into() }
    }

    fn reply(wfid: &str) -> Vec<u8> {
        let fields = RawValue::from_string("{\"x\":1}".to_owned()).unwrap();
        workitem::compose::workitem("p", &fei(wfid), &fields, SystemTime::now()).unwrap()
    }

    #[test]
    fn ours_is_told_by_its_fei_and_others_wait_longer_each_time() {
        let mut wait = Wait::<()>::new(fei("a"));
        let now = Instant::now();
        let other = reply("b");
        assert_eq!(wait.judge(now, &other), Verdict::GiveBack);
        let about = |wait: &mut Wait<()>, delay: Duration| match wait.judge(now, &other) {
            Verdict::Hold(until) => assert!(until >= now + delay / 2 && until < now + delay * 3 / 2),
            verdict => panic!("{verdict:?}"),
        };
        about(&mut wait, FIRST_DELAY);
        about(&mut wait, FIRST_DELAY * 2);
        about(&mut wait, FIRST_DELAY * 4);
        for _ in 0..40 {
            wait.judge(now, &other);
        }
        about(&mut wait, LONGEST_DELAY);
        assert_eq!(wait.judge(now, &reply("c")), Verdict::GiveBack, "each reply has its own count");
        assert_eq!(wait.judge(now, &reply("a")), Verdict::Ours);
    }

    #[test]
    fn two_who_wait_hold_for_different_times() {
        let (now, other) = (Instant::now(), reply("c"));
        let holds = ["a", "b"].map(|name| {
            let mut wait = Wait::<()>::new(fei(name));
            (0..10).map(|_| wait.judge(now, &other)).collect::<Vec<_>>()
        });
        assert_ne!(holds[0], holds[1]);
    }

    #[test]
    fn ours_is_ours_whatever_the_handler_made_of_it() {
        let text = String::from_utf8(reply("a")).unwrap();
        let odd = text.replace(r#""x":1"#, r#""params":5"#);
        assert!(odd != text && workitem::parse(odd.as_bytes()).is_err(), "{odd}");
        assert_eq!(Wait::<()>::new(fei("a")).judge(Instant::now(), odd.as_bytes()), Verdict::Ours);
    }

    #[test]
    fn what_cannot_be_read_is_not_ours() {
        let mut wait = Wait::<()>::new(fei("a"));
        assert_eq!(wait.judge(Instant::now(), b"{\"fei\": \xff"), Verdict::GiveBack);
    }

    #[test]
    fn held_replies_go_back_when_they_are_due() {
        let mut wait = Wait::new(fei("a"));
        let now = Instant::now();
        let at = |ms| now + Duration::from_millis(ms);
        wait.hold(at(20), "late");
        wait.hold(at(10), "early");
        wait.hold(at(10), "early too");
        assert_eq!(wait.next_due(), Some(at(10)));
        assert_eq!(wait.take_due(at(9)), None);
        assert_eq!(wait.take_due(at(10)), Some("early"));
        assert_eq!(wait.take_due(at(10)), Some("early too"));
        assert_eq!(wait.take_due(at(10)), None);
        assert_eq!(wait.take_due(at(20)), Some("late"));
        assert_eq!(wait.next_due(), None);
    }
}

//! What a message asks for: to be handled, answered, acknowledged or parked.

use super::Session;
use super::in_hand::InHand;
use super::item::Item;
use crate::machine::{Ask, Event, Id, Key};
use crate::workers::Workers;
use air::Delivery;
use config::Settings;
use regex::Regex;
use sha2::{Digest, Sha256};
use state::failed::{About, Kind};
use state::history;
use tracing::{error, info, warn};
use workitem::{ErrorInfo, Fei, Incoming, Unusable, fields, parse, with_error};

impl<W: Workers> Session<W> {
    pub(super) fn delivered(&mut self, delivery: Delivery) -> Event {
        let Delivery { tag, redelivered, deliveries, body } = delivery;
        let id = self.next;
        self.next += 1;
        let mut in_hand = InHand::new(body, redelivered);
        let ask = self.judge(&mut in_hand, deliveries);
        if let (Ask::Handle(_) | Ask::Alone(_), Some(fei)) = (&ask, &in_hand.fei) {
            self.control.held(self.born.elapsed(), id, &fei.wfid);
        }
        self.in_hand.insert(id, in_hand);
        Event::Delivered { id, tag, ask }
    }

    /// What a message asks for. What cannot be used is parked in the failed store, or goes back.
    fn judge(&mut self, in_hand: &mut InHand, deliveries: u32) -> Ask {
        if in_hand.body.len() as u64 > self.settings.max_body {
            return self.too_large(in_hand);
        }
        match parse(&in_hand.body) {
            Ok(Incoming::Workitem(header)) => {
                let digest = Sha256::digest(&in_hand.body).into();
                let mut item = Item::new(&header, digest, in_hand.redelivered, deliveries);
                item.harmless = self.returns.delivered(digest);
                in_hand.item = Some(item);
                let broken = fields::violations(&self.rules, &in_hand.body);
                if !broken.is_empty() {
                    let reason = format!("the fields are not as they must be: {}", broken.join("; "));
                    return if header.forget {
                        self.park("refused", in_hand, &reason)
                    } else {
                        self.refuse(in_hand, header.fei, &reason)
                    };
                }
                let key = (header.fei.sid(), digest);
                in_hand.fei = Some(header.fei);
                self.judge_again(in_hand, key, header.forget)
            }
            Ok(Incoming::Cancel(cancel)) => {
                self.cancelled_by_engine(cancel.fei);
                Ask::Settle
            }
            Err(Unusable::Malformed { fei, reason }) => {
                self.refuse(in_hand, *fei, &format!("unusable workitem: {reason}"))
            }
            Err(unusable) => self.park("unusable", in_hand, &unusable.to_string()),
        }
    }

    /// Parked like anything that cannot be used, and answered with an error where somebody waits for an answer.
    fn too_large(&mut self, in_hand: &mut InHand) -> Ask {
        let reason = format!("{} bytes, more than max_body", in_hand.body.len());
        let fei = match parse(&in_hand.body) {
            Ok(Incoming::Workitem(header)) if !header.forget => header.fei,
            Err(Unusable::Malformed { fei, .. }) => *fei,
            _ => return self.park("unusable", in_hand, &reason),
        };
        self.refuse(in_hand, fei, &reason)
    }

    /// A workitem that may have been in hand before: its reply may be known, or it may have ended a process.
    fn judge_again(&mut self, in_hand: &mut InHand, key: Key, forget: bool) -> Ask {
        let Some(item) = in_hand.item.as_mut().filter(|item| item.redelivered) else {
            return Ask::Handle(key);
        };
        if self.machine.awaits(&key) {
            return Ask::Handle(key);
        }
        if let Some(found) = self.keeper.recall(item) {
            (item.attempts, item.suspect) = (found.attempts, found.suspect);
            item.harmless += found.given_back;
            in_hand.attempt = item.attempt();
            if let Some(reply) = found.reply {
                item.journalled = true;
                info!(wfid = item.wfid, "{}: was done before: answered from the journal", self.settings.name);
                if reply.is_empty() {
                    return Ask::Settle;
                }
                in_hand.answer(reply);
                return Ask::Answer(key);
            }
        }
        in_hand.attempt = item.attempt();
        if item.crashes() >= self.settings.max_attempts {
            return self.give_up(in_hand, key, forget);
        }
        if item.suspect { Ask::Alone(key) } else { Ask::Handle(key) }
    }

    /// It has ended the process too often: answered with an error, and kept with its history.
    fn give_up(&mut self, in_hand: &mut InHand, key: Key, forget: bool) -> Ask {
        let Some(item) = &mut in_hand.item else { return Ask::Handle(key) };
        let words = self.keeper.last_words(item);
        let times = match item.crashes() {
            0 | 1 => String::new(),
            times => format!(" {times} times"),
        };
        let message = format!(
            "the participant ended{times} while it worked on this workitem ({}): given up",
            words.cause
        );
        let mut trace = item.attempt_history();
        trace.extend(words.fault.lines().map(str::to_owned));
        item.end(history::Outcome::Crashed, &message);
        item.ended_at(self.keeper.last_end(item));
        let about = item.about(Kind::Crash, &message, !forget);
        let (sid, wfid) = (item.sid.clone(), item.wfid.clone());
        let name = self.settings.name.clone();
        match self.keeper.keep_failure(about, &sid, &in_hand.body, &trace.join("\n"), &words.log) {
            Ok(place) => error!(wfid, "{name}: {message}; kept in {place}"),
            Err(e) => error!(wfid, "{name}: {message}; cannot keep it: {e}"),
        }
        let error = ErrorInfo { class: self.settings.error_class.clone(), message, trace };
        if forget {
            self.keeper.keep_given_up(item, &in_hand.body, b"");
            return Ask::Settle;
        }
        match with_error(&in_hand.body, &error) {
            Ok(reply) => {
                self.keeper.keep_given_up(item, &in_hand.body, &reply);
                in_hand.body = reply;
                in_hand.outcome = "given up, replied with an error";
                Ask::Answer(key)
            }
            Err(e) => self.park("unusable", in_hand, &e.to_string()),
        }
    }

    /// Answers with an error what cannot be worked on.
    fn refuse(&mut self, in_hand: &mut InHand, fei: Fei, reason: &str) -> Ask {
        let key = key(&fei, &in_hand.body);
        let about = match &mut in_hand.item {
            Some(item) => {
                item.end(history::Outcome::Invalid, reason);
                item.about(Kind::Invalid, reason, true)
            }
            None => About {
                kind: Kind::Unusable,
                reason: reason.to_owned(),
                sid: fei.sid(),
                wfid: fei.wfid.clone(),
                answered: true,
                ..About::default()
            },
        };
        let (name, wfid) = (&self.settings.name, &fei.wfid);
        match self.keeper.keep_failure(about, &fei.sid(), &in_hand.body, "", "") {
            Ok(place) => warn!(wfid, "{name}: {reason}; answered with an error; kept in {place}"),
            Err(e) => warn!(wfid, "{name}: {reason}; answered with an error; cannot keep it: {e}"),
        }
        in_hand.fei = Some(fei);
        match with_error(&in_hand.body, &self.error_info(reason.to_owned())) {
            Ok(reply) => {
                in_hand.body = reply;
                Ask::Answer(key)
            }
            Err(e) => self.park("unusable", in_hand, &e.to_string()),
        }
    }

    /// Parks what cannot be worked on nor answered; where that fails it is tried again, and not acknowledged.
    fn park(&mut self, what: &'static str, in_hand: &mut InHand, reason: &str) -> Ask {
        if self.try_to_park(what, in_hand, reason) {
            return Ask::Settle;
        }
        in_hand.park = Some((what, reason.to_owned()));
        Ask::Park
    }

    fn try_to_park(&mut self, what: &str, in_hand: &InHand, reason: &str) -> bool {
        let name = self.settings.name.clone();
        let (about, sid, wfid) = match &in_hand.item {
            Some(item) => (item.about(Kind::Invalid, reason, false), item.sid.as_str(), item.wfid.clone()),
            None => {
                let about = About { kind: Kind::Unusable, reason: reason.to_owned(), ..About::default() };
                (about, what, String::new())
            }
        };
        let kept = self.keeper.keep_failure(about, sid, &in_hand.body, "", "");
        match &kept {
            Ok(place) => warn!(wfid, "{name}: {what} message: {reason}; kept in {place} and acknowledged"),
            Err(e) => error!(
                wfid,
                "{name}: {what} message: {reason}; cannot keep it: {e}; not acknowledged, trying again"
            ),
        }
        kept.is_ok()
    }

    pub(super) fn park_again(&mut self, id: Id) -> Event {
        let Some(in_hand) = self.in_hand.remove(&id) else { return Event::Parked(id) };
        let parked = match &in_hand.park {
            Some((what, reason)) => self.try_to_park(what, &in_hand, reason),
            None => true,
        };
        self.in_hand.insert(id, in_hand);
        if parked { Event::Parked(id) } else { Event::NotParked(id) }
    }
}

/// What `[fields]` asks for. A pattern that is none was refused when the settings were read.
pub(super) fn rules(settings: &Settings) -> Vec<fields::Rule> {
    let rule = |(name, field): (&String, &config::settings::Field)| fields::Rule {
        name: name.clone(),
        kind: field.kind.clone(),
        required: field.required,
        pattern: field.pattern.as_deref().and_then(|pattern| Regex::new(pattern).ok()),
    };
    settings.fields.iter().map(rule).collect()
}

fn key(fei: &Fei, body: &[u8]) -> Key {
    (fei.sid(), Sha256::digest(body).into())
}

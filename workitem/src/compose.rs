//! A workitem as the engine would send it: for `skynet send` and for tests.

use crate::Fei;
use serde_json::{Map, Value, json};
use std::time::{SystemTime, UNIX_EPOCH};

/// The body of a workitem for `participant`. `dispatched_at` is always set, as it tells new work from a
/// redelivery; `params` are added where `fields` has none.
pub fn workitem(participant: &str, fei: &Fei, mut fields: Map<String, Value>, now: SystemTime) -> Vec<u8> {
    let now = timestamp(now);
    fields.entry("params").or_insert_with(|| json!({ "ref": participant }));
    fields.insert("dispatched_at".into(), json!(now));
    let workitem = json!({
        "fields": fields,
        "wf_name": "skynet-send",
        "wf_revision": null,
        "wf_launched_at": now,
        "sub_wf_name": "skynet-send",
        "sub_wf_revision": null,
        "sub_wf_launched_at": now,
        "fei": fei,
        "participant_name": participant,
        "re_dispatch_count": 0,
    });
    workitem.to_string().into_bytes()
}

/// A wfid like the engine's: date, time, and two words made from `seed`.
pub fn wfid(now: SystemTime, seed: u64) -> String {
    let t = timestamp(now);
    let (date, clock) = (t[..10].replace('-', ""), t[11..16].replace(':', ""));
    format!("{date}-{clock}-{}-{}", word(seed), word(seed >> 32))
}

/// `2026-11-20 19:53:41.107153 UTC`.
pub fn timestamp(now: SystemTime) -> String {
    let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (days, second) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    let (year, month, day) = civil(days);
    let (h, m, s) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02} {h:02}:{m:02}:{s:02}.{:06} UTC", since.subsec_micros())
}

/// Four syllables of a consonant and a vowel, six bits each.
fn word(mut seed: u64) -> String {
    const CONSONANTS: &[u8; 16] = b"bcdfghjklmnprstz";
    const VOWELS: &[u8; 4] = b"aeou";
    let mut word = String::with_capacity(8);
    for _ in 0..4 {
        word.push(char::from(CONSONANTS[(seed & 15) as usize]));
        word.push(char::from(VOWELS[(seed >> 4 & 3) as usize]));
        seed >>= 6;
    }
    word
}

/// Year, month and day of a number of days since 1970 (proleptic Gregorian calendar, eras of 400 years that
/// begin in March).
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Incoming, parse};
    use std::time::Duration;

    #[test]
    fn times_are_written_as_the_engine_writes_them() {
        for (seconds, text) in [
            (0, "1970-01-01 00:00:00.000001 UTC"),
            (951_782_400, "2000-02-29 00:00:00.000001 UTC"),
            (1_795_204_421, "2026-11-20 19:53:41.000001 UTC"),
            (4_102_444_799, "2099-12-31 23:59:59.000001 UTC"),
        ] {
            assert_eq!(timestamp(UNIX_EPOCH + Duration::new(seconds, 1000)), text);
        }
    }

    #[test]
    fn what_is_composed_can_be_parsed() {
        let now = UNIX_EPOCH + Duration::from_secs(1_795_204_421);
        let wfid = wfid(now, 0x1234_5678_9abc_def0);
        assert!(wfid.starts_with("20261120-1953-"), "{wfid}");
        let fei =
            Fei { engine_id: "skynet".into(), wfid: wfid.clone(), subid: "s".into(), expid: "0_0".into() };
        let body = workitem("sizer", &fei, Map::from_iter([("text".into(), json!("x"))]), now);
        let Ok(Incoming::Workitem(header)) = parse(&body) else { panic!() };
        assert_eq!(header.fei, fei);
        assert!(header.dispatched_at.is_some());
    }
}

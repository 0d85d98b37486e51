//! A workitem as the engine would send it: for `skynet send` and for tests.

use crate::Fei;
use crate::entries::Entries;
use serde::Serialize;
use serde_json::json;
use serde_json::value::{RawValue, to_raw_value};
use std::time::{SystemTime, UNIX_EPOCH};

/// What the engine writes into a workitem, in its order.
#[derive(Serialize)]
struct Workitem<'a> {
    fields: Entries<'a>,
    wf_name: &'a str,
    wf_revision: Option<()>,
    wf_launched_at: &'a str,
    sub_wf_name: &'a str,
    sub_wf_revision: Option<()>,
    sub_wf_launched_at: &'a str,
    fei: &'a Fei,
    participant_name: &'a str,
    re_dispatch_count: u32,
}

/// The body of a workitem for `participant`. `dispatched_at` is always set, as it tells new work from a
/// redelivery; `params` are added where `fields`, an object, has none. The other fields keep their bytes.
///
/// # Errors
/// When `fields` is no object.
pub fn workitem(
    participant: &str,
    fei: &Fei,
    fields: &RawValue,
    now: SystemTime,
) -> serde_json::Result<Vec<u8>> {
    let now = timestamp(now);
    let (params, dispatched_at) = (to_raw_value(&json!({ "ref": participant }))?, to_raw_value(&now)?);
    let mut fields = Entries::read(fields.get())?;
    if fields.get("params").is_none() {
        fields.set("params", &params);
    }
    fields.set("dispatched_at", &dispatched_at);
    serde_json::to_vec(&Workitem {
        fields,
        wf_name: "skynet-send",
        wf_revision: None,
        wf_launched_at: &now,
        sub_wf_name: "skynet-send",
        sub_wf_revision: None,
        sub_wf_launched_at: &now,
        fei,
        participant_name: participant,
        re_dispatch_count: 0,
    })
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
        let fields = r#"{"n":12345678901234567890123,"x":1e400,"dispatched_at":"old"}"#;
        let fields = RawValue::from_string(fields.to_owned()).unwrap();
        let body = workitem("sizer", &fei, &fields, now).unwrap();
        let Ok(Incoming::Workitem(header)) = parse(&body) else { panic!() };
        assert_eq!(header.fei, fei);
        assert!(header.dispatched_at.is_some());
        let body = String::from_utf8(body).unwrap();
        let sent = r#"{"fields":{"n":12345678901234567890123,"x":1e400,"dispatched_at":"2026-"#;
        assert!(body.starts_with(sent) && body.contains(r#""params":{"ref":"sizer"}}"#), "{body}");
        let list = RawValue::from_string("[]".to_owned()).unwrap();
        assert!(workitem("sizer", &fei, &list, now).is_err());
    }
}

//! A message on a work queue: a workitem, a cancelitem, or something unusable.

use crate::Fei;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;
use std::borrow::Cow;
use thiserror::Error;

/// What a message turned out to be.
#[derive(Clone, Debug, PartialEq)]
pub enum Incoming {
    /// Work to do.
    Workitem(Header),
    /// A request to cancel a workitem.
    Cancel(CancelItem),
}

/// What SkyNET itself reads of a workitem; everything else is the handler's.
#[derive(Clone, Debug, PartialEq)]
pub struct Header {
    /// Which expression it stands for.
    pub fei: Fei,
    /// The name under which the process called the participant.
    pub participant_name: Option<String>,
    /// The process definition's name.
    pub wf_name: Option<String>,
    /// When the engine sent it, in the engine's words.
    pub dispatched_at: Option<String>,
    /// Whether `params.forget` or `fields.forget` is true: the engine expects no reply.
    pub forget: bool,
}

/// A request to cancel a workitem. It is acknowledged and never answered.
#[derive(Clone, Debug, PartialEq)]
pub struct CancelItem {
    /// The workitem; `None` when the engine sent a useless string in its place (unrepaired engines do).
    pub fei: Option<Fei>,
    /// `kill`, `timeout`, or none.
    pub flavour: Option<String>,
}

/// Why a message cannot be used.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum Unusable {
    /// The bytes are not text.
    #[error("not UTF-8 (first bad byte at {at})")]
    NotUtf8 {
        /// Offset of the first bad byte.
        at: usize,
    },
    /// The text is not JSON.
    #[error("not JSON: {reason}")]
    NotJson {
        /// What the parser says.
        reason: String,
    },
    /// It is JSON, but no object.
    #[error("not a JSON object")]
    NotObject,
    /// There is no flow expression id with wfid and expid: nobody could be answered.
    #[error("no usable fei: {reason}")]
    NoFei {
        /// What is wrong with it.
        reason: String,
    },
    /// It can be answered, but not worked on.
    #[error("{reason}")]
    Malformed {
        /// Whom to answer.
        fei: Box<Fei>,
        /// What is wrong.
        reason: String,
    },
}

/// Reads a message.
///
/// # Errors
/// [`Unusable`]; only [`Unusable::Malformed`] can be answered.
pub fn parse(body: &[u8]) -> Result<Incoming, Unusable> {
    let text = str::from_utf8(body).map_err(|e| Unusable::NotUtf8 { at: e.valid_up_to() })?;
    let outer: Outer = serde_json::from_str(text).map_err(|e| not_json(text, &e))?;
    if !is_object(text) {
        return Err(Unusable::NotObject);
    }
    if outer.cancel.is_some_and(is_true) {
        let flavour = outer.flavour.and_then(text_of);
        return Ok(Incoming::Cancel(CancelItem { fei: fei(outer.fei).ok(), flavour }));
    }
    let fei = fei(outer.fei)?;
    let malformed = |reason: String| Unusable::Malformed { fei: Box::new(fei.clone()), reason };
    let fields = outer.fields.ok_or_else(|| malformed("no fields".into()))?;
    let fields: Fields = object("fields", fields).map_err(malformed)?;
    let forget = fields.forget().map_err(malformed)?;
    let dispatched_at = fields.dispatched_at.and_then(text_of);
    let (participant_name, wf_name) =
        (outer.participant_name.and_then(text_of), outer.wf_name.and_then(text_of));
    Ok(Incoming::Workitem(Header { fei, participant_name, wf_name, dispatched_at, forget }))
}

/// Whether a workitem says that nobody waits for a reply: to be asked of what a handler made of it. One that
/// cannot be read does not say so.
pub fn forget(body: &[u8]) -> bool {
    let outer = str::from_utf8(body).ok().and_then(|text| serde_json::from_str::<Outer<'_>>(text).ok());
    let fields = outer.and_then(|outer| object::<Fields<'_>>("fields", outer.fields?).ok());
    fields.is_some_and(|fields| fields.forget().unwrap_or(false))
}

#[derive(Deserialize)]
struct Outer<'a> {
    #[serde(borrow)]
    cancel: Option<&'a RawValue>,
    #[serde(borrow)]
    flavour: Option<&'a RawValue>,
    #[serde(borrow)]
    fei: Option<&'a RawValue>,
    #[serde(borrow)]
    fields: Option<&'a RawValue>,
    #[serde(borrow)]
    participant_name: Option<&'a RawValue>,
    #[serde(borrow)]
    wf_name: Option<&'a RawValue>,
}

/// What can still be read where a key that we know is there twice.
#[derive(Deserialize)]
struct OnlyFei<'a> {
    #[serde(borrow)]
    fei: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Fields<'a> {
    #[serde(borrow)]
    params: Option<&'a RawValue>,
    #[serde(borrow)]
    forget: Option<&'a RawValue>,
    #[serde(borrow)]
    dispatched_at: Option<&'a RawValue>,
}

impl Fields<'_> {
    fn forget(&self) -> Result<bool, String> {
        // A workitem without params has none.
        let params: Option<Params> = self.params.map(|raw| object("fields.params", raw)).transpose()?;
        Ok([self.forget, params.and_then(|params| params.forget)].into_iter().flatten().any(is_true))
    }
}

#[derive(Deserialize)]
struct Params<'a> {
    #[serde(borrow)]
    forget: Option<&'a RawValue>,
}

/// A fei that can be answered.
fn fei(raw: Option<&RawValue>) -> Result<Fei, Unusable> {
    let read = || {
        let raw = raw.ok_or("there is none")?.get();
        if !is_object(raw) {
            return Err("it is not an object".to_owned());
        }
        let fei: Fei = serde_json::from_str(raw).map_err(|e| plain(&e))?;
        match (fei.wfid.as_str(), fei.expid.as_str()) {
            ("", _) => Err("its wfid is empty".to_owned()),
            (_, "") => Err("its expid is empty".to_owned()),
            _ => Ok(fei),
        }
    };
    read().map_err(|reason| Unusable::NoFei { reason })
}

/// Reads an object; serde alone would take a list for one.
fn object<'a, T: Deserialize<'a>>(name: &str, raw: &'a RawValue) -> Result<T, String> {
    if !is_object(raw.get()) {
        return Err(format!("{name} is not an object"));
    }
    serde_json::from_str(raw.get()).map_err(|e| format!("{name}: {}", plain(&e)))
}

fn is_object(json: &str) -> bool {
    json.trim_start().starts_with('{')
}

fn text_of(raw: &RawValue) -> Option<String> {
    serde_json::from_str::<Cow<'_, str>>(raw.get()).ok().map(Cow::into_owned)
}

fn is_true(raw: &RawValue) -> bool {
    raw.get() == "true"
}

/// Tells apart what is no JSON at all, what is no object, and what has the same key twice.
fn not_json(text: &str, error: &serde_json::Error) -> Unusable {
    match serde_json::from_str::<IgnoredAny>(text) {
        Err(e) => Unusable::NotJson { reason: e.to_string() },
        Ok(_) if !is_object(text) => Unusable::NotObject,
        Ok(_) => match serde_json::from_str::<OnlyFei<'_>>(text).map(|only| fei(only.fei)) {
            Ok(Ok(fei)) => Unusable::Malformed { fei: Box::new(fei), reason: plain(error) },
            Ok(Err(no_fei)) => no_fei,
            Err(_) => Unusable::NoFei { reason: plain(error) },
        },
    }
}

/// A parser's message without the position, which would count from a part that nobody sees.
fn plain(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.split(" at line ").next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SEEN: &str = r#"{"fields":{"version":"0.5.12","params":{"p1":"v1","ref":"sizer"},"dispatched_at":"2026-11-20 19:53:41.107153 UTC"},"wf_name":"test","wf_revision":null,"fei":{"engine_id":"engine","wfid":"20261120-1953-bejoroku-rebejubo","subid":"e2600b80","expid":"0_0_0"},"participant_name":"sizer","re_dispatch_count":0}"#;

    fn header(body: &str) -> Header {
        match parse(body.as_bytes()) {
            Ok(Incoming::Workitem(header)) => header,
            other => panic!("{body}: {other:?}"),
        }
    }

    #[test]
    fn a_workitem_as_the_engine_sends_it_is_read() {
        let header = header(SEEN);
        assert_eq!(header.fei.sid(), "0_0_0!e2600b80!20261120-1953-bejoroku-rebejubo");
        assert_eq!(header.participant_name.as_deref(), Some("sizer"));
        assert_eq!(header.wf_name.as_deref(), Some("test"));
        assert_eq!(header.dispatched_at.as_deref(), Some("2026-11-20 19:53:41.107153 UTC"));
        assert!(!header.forget);
    }

    #[test]
    fn older_senders_use_sub_wfid_in_place_of_subid() {
        for (sent, subid) in [
            (r#""sub_wfid":"s""#, "s"),
            // The main process has none.
            (r#""sub_wfid":null"#, ""),
            (r#""subid":null,"engine_id":null"#, ""),
            (r#""subid":null,"sub_wfid":"s""#, "s"),
            (r#""subid":"s","sub_wfid":"x""#, "s"),
        ] {
            let header = header(&format!(r#"{{"fields":{{}},"fei":{{"wfid":"w",{sent},"expid":"0"}}}}"#));
            assert_eq!(header.fei.subid, subid, "{sent}");
        }
    }

    #[test]
    fn forget_is_read_from_params_and_fields() {
        for (fields, forget) in [
            (r#"{"params":{"forget":true}}"#, true),
            (r#"{"forget":true}"#, true),
            (r#"{"forget":false,"params":{"forget":true}}"#, true),
            (r#"{"forget":"true"}"#, false),
            (r#"{"params":null}"#, false),
            ("{}", false),
        ] {
            let body = format!(r#"{{"fields":{fields},"fei":{{"wfid":"w","expid":"0"}}}}"#);
            assert_eq!(header(&body).forget, forget, "{fields}");
        }
    }

    #[test]
    fn a_cancelitem_is_read_with_an_object_or_a_useless_string_for_a_fei() {
        for (body, wfid, flavour) in [
            (r#"{"cancel":true,"fei":{"wfid":"w","expid":"0"},"flavour":"kill"}"#, Some("w"), Some("kill")),
            (r##"{"cancel":true,"fei":"#<Ruote::HashWrapper:0x1>","flavour":null}"##, None, None),
        ] {
            let Ok(Incoming::Cancel(cancel)) = parse(body.as_bytes()) else { panic!("{body}") };
            assert_eq!(cancel.fei.map(|fei| fei.wfid).as_deref(), wfid);
            assert_eq!(cancel.flavour.as_deref(), flavour);
        }
    }

    #[test]
    fn the_unusable_is_named() {
        let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
        for (body, says) in [
            (b"\xff{}".as_slice(), "not UTF-8 (first bad byte at 0)"),
            (b"", "not JSON: EOF while parsing a value at line 1 column 0"),
            (b"{", "not JSON: EOF while parsing an object at line 1 column 1"),
            (b"[1]", "not a JSON object"),
            (b"7", "not a JSON object"),
            (deep.as_bytes(), "not a JSON object"),
            (b"{}", "no usable fei: there is none"),
            (br#"{"fei":{"wfid":"w"}}"#, "no usable fei: missing field `expid`"),
            (br#"{"fei":{"wfid":"","expid":"0"}}"#, "no usable fei: its wfid is empty"),
            (
                br#"{"fei":{"wfid":1,"expid":"0"}}"#,
                "no usable fei: invalid type: integer `1`, expected a string",
            ),
            (br#"{"fei":["e","w","s","0"],"fields":{}}"#, "no usable fei: it is not an object"),
            (br#"{"fei":"w","fields":{}}"#, "no usable fei: it is not an object"),
            (br#"{"fei":null,"fields":{}}"#, "no usable fei: there is none"),
            (br#"{"fei":{"wfid":"\ud800","expid":"0"}}"#, "no usable fei: unexpected end of hex escape"),
            (
                br#"{"fields":{},"fields":{},"fei":{"wfid":"","expid":"0"}}"#,
                "no usable fei: its wfid is empty",
            ),
            (br#"[null,null,{"wfid":"w","expid":"0"},{},null,null]"#, "not a JSON object"),
            (br#"{"fei":{"wfid":"w","expid":"0"},"fields":null}"#, "no fields"),
            (br#"{"fei":{"wfid":"w","expid":"0"},"fields":7}"#, "fields is not an object"),
            (br#"{"fei":{"wfid":"w","expid":"0"},"fields":[null,true,null]}"#, "fields is not an object"),
            (
                br#"{"fei":{"wfid":"w","expid":"0"},"fields":{"params":[true]}}"#,
                "fields.params is not an object",
            ),
            (
                br#"{"fei":{"wfid":"w","expid":"0"},"fields":{"params":{"forget":1,"forget":2}}}"#,
                "fields.params: duplicate field `forget`",
            ),
            (br#"{"fei":{"wfid":"w","expid":"0"}}"#, "no fields"),
            (br#"{"fields":[],"fei":{"wfid":"w","expid":"0"}}"#, "fields is not an object"),
            (br#"{"fields":{"params":7},"fei":{"wfid":"w","expid":"0"}}"#, "fields.params is not an object"),
            (br#"{"fields":{},"fields":{},"fei":{"wfid":"w","expid":"0"}}"#, "duplicate field `fields`"),
        ] {
            match parse(body) {
                Err(unusable) => assert_eq!(unusable.to_string(), says),
                Ok(other) => panic!("{says}: {other:?}"),
            }
        }
    }

    /// Any JSON made of the keys that are read, with values of every type in every place.
    fn any_json() -> impl Strategy<Value = String> {
        let leaf = prop_oneof![
            Just("null".to_owned()),
            Just("true".to_owned()),
            Just("1e999".to_owned()),
            Just(r#""\ud800""#.to_owned()),
            Just("123456789012345678901234567890".to_owned()),
            "\"[a-z]{0,4}\"",
        ];
        let keys = ["fei", "fields", "params", "forget", "wfid", "expid", "cancel"];
        leaf.prop_recursive(4, 32, 6, move |inner| {
            let entry = (proptest::sample::select(keys.to_vec()), inner.clone());
            prop_oneof![
                proptest::collection::vec(inner, 0..6).prop_map(|list| format!("[{}]", list.join(","))),
                proptest::collection::vec(entry, 0..6).prop_map(|entries| {
                    let entries: Vec<_> = entries.iter().map(|(k, v)| format!("\"{k}\":{v}")).collect();
                    format!("{{{}}}", entries.join(","))
                }),
            ]
        })
    }

    #[test]
    fn what_lies_in_the_fields_is_passed_over_however_odd() {
        let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
        let fei = r#""fei":{"wfid":"w","expid":"0"}"#;
        header(&format!(r#"{{"fields":{{"x":{deep},"s":"\ud800","n":1e999}},{fei}}}"#));
    }

    #[test]
    fn forget_can_be_asked_of_what_a_handler_made_of_it() {
        for (body, says) in [
            (r#"{"fields":{"forget":true}}"#, true),
            (r#"{"fields":{"params":{"forget":true}}}"#, true),
            (r#"{"fields":{"params":{"forget":1}}}"#, false),
            (r#"{"fields":{"params":[true]}}"#, false),
            (r#"{"fields":{}}"#, false),
            ("[]", false),
            ("{", false),
        ] {
            assert_eq!(forget(body.as_bytes()), says, "{body}");
        }
    }

    proptest! {
        #[test]
        fn what_can_be_answered_is_answered_and_nothing_makes_it_panic(rest in any_json(), fields in any_json()) {
            let error = crate::ErrorInfo { class: "E".into(), message: "m".into(), trace: vec![] };
            let whole = format!(r#"{{"fei":{{"wfid":"w","expid":"0"}},"x":{rest},"fields":{fields}}}"#);
            for body in [rest.as_bytes(), whole.as_bytes()] {
                let _ = forget(body);
                if let Ok(Incoming::Workitem(_)) | Err(Unusable::Malformed { .. }) = parse(body) {
                    prop_assert!(crate::with_error(body, &error).is_ok());
                }
            }
            let answerable = matches!(parse(whole.as_bytes()), Ok(Incoming::Workitem(_)) | Err(Unusable::Malformed { .. }));
            prop_assert!(answerable, "{whole}");
        }

        #[test]
        fn no_bytes_make_it_panic(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&body);
        }

        #[test]
        fn no_change_of_a_real_one_makes_it_panic(at in 0..SEEN.len(), byte in any::<u8>()) {
            let mut body = SEEN.as_bytes().to_vec();
            body[at] = byte;
            let _ = parse(&body);
        }
    }
}

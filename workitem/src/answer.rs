//! What a program answers to a workitem: the workitem, or only what it changed of the fields.

use crate::entries::Entries;
use crate::{Fei, Incoming, parse};
use serde_json::value::RawValue;

/// The reply that an answer makes: nothing = the workitem as it came; an object with a fei = the workitem, which
/// must be the same; `{"fields": {…}}`, with an `error` beside it where there is one, or the changed fields
/// themselves = the workitem with those. All that is not changed keeps its bytes and its order.
///
/// # Errors
/// What is wrong with the answer, in words that follow "its answer".
pub fn answer(came: &[u8], fei: &Fei, answer: &[u8]) -> Result<Vec<u8>, String> {
    if answer.iter().all(u8::is_ascii_whitespace) {
        return Ok(came.to_vec());
    }
    let text = str::from_utf8(answer).map_err(|_| "is not UTF-8".to_owned())?;
    let said: Entries<'_> = serde_json::from_str(text).map_err(|e| format!("is not a JSON object: {e}"))?;
    if said.get("fei").is_some() {
        return whole(answer, said, fei);
    }
    let came = str::from_utf8(came).map_err(|e| e.to_string())?;
    let read = |e: serde_json::Error| format!("cannot be put into the workitem: {e}");
    let mut workitem: Entries<'_> = serde_json::from_str(came).map_err(read)?;
    let mut fields: Entries<'_> = match workitem.get("fields") {
        Some(fields) => serde_json::from_str(fields.get()).map_err(read)?,
        None => Entries(vec![]),
    };
    let changed = match said.get("fields") {
        Some(changed) => {
            serde_json::from_str(changed.get()).map_err(|_| "has fields that are not an object".to_owned())?
        }
        None => Entries(said.0.clone()),
    };
    for (key, value) in changed.0 {
        fields.set(&key, value);
    }
    let fields = serde_json::value::to_raw_value(&fields).map_err(read)?;
    workitem.set("fields", &fields);
    if said.get("fields").is_some()
        && let Some(error) = said.get("error").filter(|error| !is_empty(error))
    {
        workitem.set("error", error);
    }
    serde_json::to_vec(&workitem).map_err(read)
}

/// The whole workitem as the program wrote it, without an empty error, which would be true in Ruby.
fn whole(answer: &[u8], mut said: Entries<'_>, fei: &Fei) -> Result<Vec<u8>, String> {
    match parse(answer) {
        Ok(Incoming::Workitem(header)) if header.fei == *fei => {}
        Ok(Incoming::Workitem(header)) => return Err(format!("is another workitem: {}", header.fei)),
        Ok(Incoming::Cancel(_)) => return Err("is a cancelitem".into()),
        Err(unusable) => return Err(format!("is no workitem: {unusable}")),
    }
    if !said.get("error").is_some_and(is_empty) {
        return Ok(answer.to_vec());
    }
    said.0.retain(|(key, _)| key != "error");
    serde_json::to_vec(&said).map_err(|e| e.to_string())
}

fn is_empty(error: &RawValue) -> bool {
    let text: String = error.get().chars().filter(|c| !c.is_whitespace()).collect();
    ["\"\"", "0", "0.0", "{}", "[]", "false"].contains(&text.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAME: &str =
        r#"{"z":1e400,"fields":{"n": 1.10,"a":1},"fei":{"wfid":"w","subid":"s","expid":"0"},"x":[ 1]}"#;

    fn say(text: &str) -> Result<String, String> {
        let fei = Fei { engine_id: String::new(), wfid: "w".into(), subid: "s".into(), expid: "0".into() };
        answer(CAME.as_bytes(), &fei, text.as_bytes()).map(|reply| String::from_utf8(reply).unwrap())
    }

    #[test]
    fn the_reply_is_the_workitem_with_what_was_changed() {
        let merged = |fields: &str| {
            format!(
                r#"{{"z":1e400,"fields":{fields},"fei":{{"wfid":"w","subid":"s","expid":"0"}},"x":[ 1]}}"#
            )
        };
        for (said, reply) in [
            ("", CAME.to_owned()),
            (" \n", CAME.to_owned()),
            ("{}", merged(r#"{"n":1.10,"a":1}"#)),
            (r#"{"a":2,"b":0.10}"#, merged(r#"{"n":1.10,"a":2,"b":0.10}"#)),
            (r#"{"fields":{"a":2},"ignored":1,"error":""}"#, merged(r#"{"n":1.10,"a":2}"#)),
            (CAME, CAME.to_owned()),
            (
                r#"{"fields":{"b":1},"fei":{"wfid":"w","sub_wfid":"s","expid":"0"},"error":{ }}"#,
                r#"{"fields":{"b":1},"fei":{"wfid":"w","sub_wfid":"s","expid":"0"}}"#.to_owned(),
            ),
        ] {
            assert_eq!(say(said), Ok(reply), "{said}");
        }
        let error = say(r#"{"fields":{},"error":{"class":"E"}}"#).unwrap();
        assert!(error.ends_with(r#","error":{"class":"E"}}"#), "{error}");
    }

    #[test]
    fn an_answer_that_is_none_is_named() {
        for (said, says) in [
            ("done", "is not a JSON object: expected value"),
            ("[1]", "is not a JSON object: invalid type"),
            (r#"{"fields":7}"#, "has fields that are not an object"),
            (r#"{"fields":{},"fei":{"wfid":"other","expid":"0"}}"#, "is another workitem: 0!!other"),
            (r#"{"fields":{},"fei":7}"#, "is no workitem: no usable fei"),
            (
                r#"{"fields":1,"fei":{"wfid":"w","subid":"s","expid":"0"}}"#,
                "is no workitem: fields is not an object",
            ),
        ] {
            let error = say(said).unwrap_err();
            assert!(error.starts_with(says), "{said}: {error}");
        }
    }
}

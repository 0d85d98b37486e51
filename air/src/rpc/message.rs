//! The wire form, free of any AMQP library.
//!
//! ```text
//! request : exchange air.request (topic, durable), mandatory; key wfid.<WFID> | participant.<NAME> | instance.<ID> | all
//!           message_id, reply_to = caller's exclusive queue, expiration = milliseconds left, type = command name,
//!           headers {v: 1, deadline_ms}; receipt: 1 where the caller gathers
//!           body {"args": {…}}
//! response: exchange air.response (direct, durable), key = reply_to, correlation_id = message_id,
//!           headers {from: instance id}
//!           body {"ok": {…}} | {"error": {"code", "message", "data", "ref"}} | {"received": {}}, to receipt only
//! ```

use crate::rpc::command::Fault;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::time::Duration;

/// The version of the wire form.
pub const VERSION: i64 = 1;

/// A message as AIR sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// The key it was sent by.
    pub key: String,
    /// `message_id`.
    pub id: Option<String>,
    /// `correlation_id`.
    pub answers: Option<String>,
    /// `reply_to`.
    pub reply_to: Option<String>,
    /// `type`.
    pub kind: Option<String>,
    /// `expiration`, which is also the header `deadline_ms`.
    pub deadline: Option<Duration>,
    /// Header `v`.
    pub version: Option<i64>,
    /// Header `receipt`: whether the caller wants to be told at once that this was received.
    pub receipt: bool,
    /// Header `from`.
    pub from: Option<String>,
    /// The body.
    pub body: Vec<u8>,
}

/// The body of a request.
#[derive(Debug, Serialize)]
pub struct Request {
    /// The arguments, by name.
    pub args: Value,
}

/// The body of a response.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Response {
    /// What the command gave.
    Ok(Value),
    /// How it failed.
    Error(Fault),
    /// The request has come, and is being worked on.
    Received {},
}

impl Response {
    /// As the body of a message.
    pub fn to_body(&self) -> Vec<u8> {
        // Values have string keys only and no floats that JSON cannot write: this cannot fail.
        serde_json::to_vec(self).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn responses_are_one_of_three_objects() {
        let fault = Fault { reference: Some("h:1:c:i".into()), ..Fault::new("Internal", "x") };
        for (response, text) in [
            (Response::Ok(json!({"a": 1})), r#"{"ok":{"a":1}}"#),
            (Response::Error(fault), r#"{"error":{"code":"Internal","message":"x","ref":"h:1:c:i"}}"#),
            (Response::Received {}, r#"{"received":{}}"#),
        ] {
            assert_eq!(String::from_utf8(response.to_body()).unwrap(), text);
            assert_eq!(serde_json::from_str::<Response>(text).unwrap(), response);
        }
    }
}

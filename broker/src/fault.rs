//! Wrong use, in the codes and words of RabbitMQ.

/// What the peer did wrong.
#[derive(Debug, PartialEq, Eq)]
pub struct Fault {
    /// The reply code.
    pub code: u16,
    /// The reply text.
    pub text: String,
}

impl Fault {
    /// Whether it closes the whole connection and not only the channel.
    pub fn closes_connection(&self) -> bool {
        matches!(self.code, 320 | 402 | 501..=506 | 530 | 540 | 541)
    }

    /// The text as it fits the protocol: 255 bytes at the most.
    pub fn short_text(&self) -> String {
        let end =
            (0..=255.min(self.text.len())).rev().find(|end| self.text.is_char_boundary(*end)).unwrap_or(0);
        self.text[..end].to_owned()
    }

    /// 403.
    pub fn access_refused(what: &str) -> Self {
        Self { code: 403, text: format!("ACCESS_REFUSED - {what}") }
    }

    /// 404.
    pub fn not_found(what: &str, name: &str, vhost: &str) -> Self {
        Self { code: 404, text: format!("NOT_FOUND - no {what} '{name}' in vhost '{vhost}'") }
    }

    /// 405.
    pub fn locked(name: &str, vhost: &str) -> Self {
        let text = format!(
            "RESOURCE_LOCKED - cannot obtain exclusive access to locked queue '{name}' in vhost '{vhost}'. It could be \
             originally declared on another connection or the exclusive property value does not match that of the \
             original declaration."
        );
        Self { code: 405, text }
    }

    /// 406.
    pub fn precondition(what: &str) -> Self {
        Self { code: 406, text: format!("PRECONDITION_FAILED - {what}") }
    }

    /// 406 for something that exists and is not as it is asked for.
    pub fn inequivalent(what: &str, kind: &str, name: &str, vhost: &str, asked: &str, is: &str) -> Self {
        Self::precondition(&format!(
            "inequivalent arg '{what}' for {kind} '{name}' in vhost '{vhost}': received '{asked}' but current is '{is}'"
        ))
    }

    /// 503.
    pub fn invalid(what: &str) -> Self {
        Self { code: 503, text: format!("COMMAND_INVALID - {what}") }
    }

    /// 504.
    pub fn channel(what: &str) -> Self {
        Self { code: 504, text: format!("CHANNEL_ERROR - {what}") }
    }

    /// 501.
    pub fn frame(what: &str) -> Self {
        Self { code: 501, text: format!("FRAME_ERROR - {what}") }
    }

    /// 505.
    pub fn unexpected(what: &str) -> Self {
        Self { code: 505, text: format!("UNEXPECTED_FRAME - {what}") }
    }

    /// 530.
    pub fn not_allowed(what: &str) -> Self {
        Self { code: 530, text: format!("NOT_ALLOWED - {what}") }
    }

    /// 540.
    pub fn not_implemented(what: &str) -> Self {
        Self { code: 540, text: format!("NOT_IMPLEMENTED - {what}") }
    }
}

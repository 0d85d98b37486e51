//! Why something could not be done at a broker.

use std::io;

/// Why something could not be done, in words that can end a line of the log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// What the system or TLS says of the socket.
    #[error("{0}")]
    Socket(String),
    /// The broker closed the channel or the connection.
    #[error("{text}")]
    Refused {
        /// The reply code.
        code: u16,
        /// Its own words.
        text: String,
    },
    /// Nothing came from the broker for two heartbeats.
    #[error("the broker's heartbeats stopped")]
    Silent,
    /// What came from the broker.
    #[error("the broker does not speak AMQP 0-9-1 as it should: {0}")]
    Garbled(&'static str),
    /// We closed it ourselves.
    #[error("the connection is closed")]
    Closed,
}

impl Error {
    /// Whether there is no such queue or exchange.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused { code: 404, .. })
    }
}

impl From<io::Error> for Error {
    fn from(e: io::Error) -> Self {
        if e.kind() == io::ErrorKind::UnexpectedEof {
            return Self::Socket("the broker closed the connection".into());
        }
        let said = e.to_string();
        let said = said.split(" (os error").next().unwrap_or_default();
        let hint = if said.contains("InvalidContentType") {
            " (the broker speaks no TLS on this port)"
        } else if said.contains("UnknownIssuer") {
            " (amqp.tls.ca does not name the authority that signed the broker's certificate)"
        } else if said.contains("not valid for name") {
            " (the broker's certificate is for another host name than that of the url)"
        } else if said.contains("CertificateRequired") {
            " (the broker wants a certificate of ours: amqp.tls.cert and amqp.tls.key)"
        } else {
            ""
        };
        Self::Socket(format!("{said}{hint}"))
    }
}

//! AMQP 0-8, which RabbitMQ speaks as well and the original's client (python-amqplib) asks for: where its frames differ
//! from those of 0-9-1.
//!
//! | method | 0-8 | 0-9-1 |
//! |---|---|---|
//! | `connection.close`, `close-ok` | 10.60, 10.61 | 10.50, 10.51 |
//! | `basic.consume` | ends with its flags | has a table of arguments behind them |
//! | `channel.open-ok` | empty | has an empty string |

use std::borrow::Cow;

/// What a peer wants to speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// 0-8
    Old,
    /// 0-9, which 0-9-1 only corrects
    Nine,
    /// 0-9-1
    Today,
}

impl Version {
    /// By what a connection begins with; `None` = nothing that is spoken here. For 0-8 there are two, as its text and its
    /// table did not agree.
    pub fn of_greeting(greeting: &[u8; 8]) -> Option<Self> {
        match greeting {
            b"AMQP\0\0\x09\x01" => Some(Self::Today),
            b"AMQP\x01\x01\0\x09" => Some(Self::Nine),
            b"AMQP\x01\x01\x08\0" | b"AMQP\x01\x01\x09\x01" => Some(Self::Old),
            _ => None,
        }
    }

    /// Major and minor, as `connection.start` tells them.
    pub fn numbers(self) -> (u8, u8) {
        if self == Self::Old { (8, 0) } else { (0, 9) }
    }

    /// The payload of a method that came, as 0-9-1 has it.
    pub fn read(self, payload: &[u8]) -> Cow<'_, [u8]> {
        match (self, payload) {
            (Self::Old, [0, 10, 0, method @ (60 | 61), rest @ ..]) => {
                [&[0, 10, 0, method - 10], rest].concat().into()
            }
            (Self::Old, [0, 60, 0, 20, ..]) => [payload, &[0; 4]].concat().into(),
            _ => payload.into(),
        }
    }

    /// Turns the frame of a method that stands in `out` from `start` on into one of this version.
    pub fn write(self, out: &mut Vec<u8>, start: usize) {
        match (self, out.get_mut(start + 3..start + 11)) {
            (Self::Old, Some([.., 0, 10, 0, method @ (50 | 51)])) => *method += 10,
            (Self::Old, Some([0, 0, 0, size, 0, 20, 0, 11])) => {
                *size = 4;
                out.drain(start + 11..out.len() - 1);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_differs_is_changed() {
        let old = Version::Old;
        assert_eq!(*old.read(&[0, 10, 0, 60, 1, 2]), [0, 10, 0, 50, 1, 2]);
        assert_eq!(*old.read(&[0, 60, 0, 20, 7]), [0, 60, 0, 20, 7, 0, 0, 0, 0]);
        for payload in [&[][..], &[0, 10], &[0, 10, 0, 40, 1], &[0, 60, 0, 21]] {
            assert_eq!(*old.read(payload), *payload);
        }
        assert_eq!(*Version::Today.read(&[0, 10, 0, 60]), [0, 10, 0, 60], "connection.blocked");
        let written = |version: Version, frame: &[u8]| {
            let mut out = [b"before", frame].concat();
            version.write(&mut out, 6);
            out.split_off(6)
        };
        let close = [1, 0, 0, 0, 0, 0, 4, 0, 10, 0, 50, 0xce];
        assert_eq!(written(old, &close), [1, 0, 0, 0, 0, 0, 4, 0, 10, 0, 60, 0xce]);
        assert_eq!(written(Version::Nine, &close), close);
        let open_ok = [1, 0, 7, 0, 0, 0, 8, 0, 20, 0, 11, 0, 0, 0, 0, 0xce];
        assert_eq!(written(old, &open_ok), [1, 0, 7, 0, 0, 0, 4, 0, 20, 0, 11, 0xce]);
        assert_eq!(written(Version::Today, &open_ok), open_ok);
    }
}

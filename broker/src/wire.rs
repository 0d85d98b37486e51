//! Frames as bytes: cut from what was read, appended to what is to be written.

use crate::old::Version;
use amq_protocol::frame::{AMQPFrame, WriteContext, gen_frame, parse_frame};
use amq_protocol::protocol::AMQPClass;
use std::borrow::Cow;

/// The largest frame either side may send.
pub const FRAME_MAX: u32 = 131_072;
const END: u8 = 0xce;
const OVERHEAD: usize = 8;

/// The type of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A method.
    Method,
    /// A content header.
    Header,
    /// A piece of a body.
    Body,
    /// A sign of life.
    Heartbeat,
}

/// A frame that was cut from the input.
#[derive(Debug, PartialEq, Eq)]
pub struct Raw<'a> {
    /// Its type.
    pub kind: Kind,
    /// Its channel.
    pub channel: u16,
    /// The whole frame.
    pub frame: &'a [u8],
    /// What is within it.
    pub payload: &'a [u8],
}

/// The bytes are no frame.
#[derive(Debug, PartialEq, Eq)]
pub struct Broken;

/// Cuts the first frame from `input`; `None` when it is not complete yet.
///
/// # Errors
/// [`Broken`] when it cannot become a frame, however much follows.
pub fn cut(input: &[u8]) -> Result<Option<Raw<'_>>, Broken> {
    let Some(head) = input.first_chunk::<7>() else { return Ok(None) };
    let kind = match head[0] {
        1 => Kind::Method,
        2 => Kind::Header,
        3 => Kind::Body,
        8 => Kind::Heartbeat,
        _ => return Err(Broken),
    };
    let size = u32::from_be_bytes([head[3], head[4], head[5], head[6]]);
    if size > FRAME_MAX {
        return Err(Broken);
    }
    let whole = size as usize + OVERHEAD;
    let Some(frame) = input.get(..whole) else { return Ok(None) };
    if frame[whole - 1] != END {
        return Err(Broken);
    }
    let channel = u16::from_be_bytes([head[1], head[2]]);
    Ok(Some(Raw { kind, channel, frame, payload: &frame[7..whole - 1] }))
}

/// Reads the method in a frame of a peer that speaks this version.
///
/// # Errors
/// [`Broken`] when there is none.
pub fn method(raw: &Raw<'_>, version: Version) -> Result<AMQPClass, Broken> {
    let mut translated = vec![];
    let frame = match version.read(raw.payload) {
        Cow::Borrowed(_) => raw.frame,
        Cow::Owned(payload) => {
            put_raw(&mut translated, raw.frame[0], raw.channel, &payload);
            &translated
        }
    };
    match parse_frame(frame) {
        Ok((_, AMQPFrame::Method(_, class))) => Ok(class),
        _ => Err(Broken),
    }
}

/// Appends a method for a peer that speaks this version.
pub fn put_method(out: &mut Vec<u8>, channel: u16, class: AMQPClass, version: Version) {
    let start = out.len();
    put_frame(out, &AMQPFrame::Method(channel, class));
    version.write(out, start);
}

/// Appends any frame.
pub fn put_frame(out: &mut Vec<u8>, frame: &AMQPFrame) {
    let start = out.len();
    let context = WriteContext::from(std::mem::take(out));
    match gen_frame(frame)(context) {
        Ok(context) => *out = context.into_inner().0,
        // Every method that we send fits a frame: names are short, tables are small.
        Err(e) => debug_assert!(false, "cannot write a frame at {start}: {e:?}"),
    }
}

/// Appends a content header, whose payload is as it came, and a body in as many frames as it needs.
pub fn put_content(out: &mut Vec<u8>, channel: u16, header: &[u8], body: &[u8], frame_max: u32) {
    put_raw(out, 2, channel, header);
    for piece in body.chunks(frame_max as usize - OVERHEAD) {
        put_raw(out, 3, channel, piece);
    }
}

/// Appends a sign of life.
pub fn put_heartbeat(out: &mut Vec<u8>) {
    put_raw(out, 8, 0, &[]);
}

fn put_raw(out: &mut Vec<u8>, kind: u8, channel: u16, payload: &[u8]) {
    out.reserve(payload.len() + OVERHEAD);
    out.push(kind);
    out.extend_from_slice(&channel.to_be_bytes());
    out.extend_from_slice(&(payload.len() as u32).to_be_bytes()); // below FRAME_MAX
    out.extend_from_slice(payload);
    out.push(END);
}

#[cfg(test)]
mod tests {
    use super::*;
    use amq_protocol::protocol::basic;
    use proptest::prelude::*;

    #[test]
    fn a_method_survives_a_round_trip() {
        let sent = AMQPClass::Basic(basic::AMQPMethod::Cancel(basic::Cancel {
            consumer_tag: "c".into(),
            nowait: false,
        }));
        let mut out = vec![];
        put_method(&mut out, 7, sent.clone(), Version::Today);
        let raw = cut(&out).unwrap().unwrap();
        assert_eq!((raw.kind, raw.channel), (Kind::Method, 7));
        assert_eq!(method(&raw, Version::Today).unwrap(), sent);
    }

    #[test]
    fn a_body_is_cut_to_frames_that_fit() {
        let mut out = vec![];
        put_content(&mut out, 1, b"head", &[7; 10_000], 4096);
        let (mut rest, mut body) = (out.as_slice(), vec![]);
        while let Ok(Some(raw)) = cut(rest) {
            assert!(raw.frame.len() <= 4096);
            if raw.kind == Kind::Body {
                body.extend_from_slice(raw.payload);
            }
            rest = &rest[raw.frame.len()..];
        }
        assert_eq!(body, [7; 10_000]);
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            if let Ok(Some(raw)) = cut(&bytes) {
                let _ = method(&raw, Version::Today);
            }
        }

        #[test]
        fn no_method_payload_makes_the_reader_panic(payload in proptest::collection::vec(any::<u8>(), 4..100)) {
            let mut out = vec![];
            put_raw(&mut out, 1, 1, &payload);
            for version in [Version::Today, Version::Old] {
                let _ = method(&cut(&out).unwrap().unwrap(), version);
            }
        }
    }
}

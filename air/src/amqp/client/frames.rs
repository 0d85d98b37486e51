//! Frames as bytes: cut from what was read, appended to what is to be written.

use super::Error;
use amq_protocol::frame::{AMQPContentHeader, AMQPFrame, WriteContext, gen_frame, parse_frame};
use amq_protocol::protocol::{AMQPClass, basic};

/// What there is of a frame beside what is in it: seven bytes before, one after.
pub const OVERHEAD: usize = 8;
const HEAD: usize = 7;
const END: u8 = 0xce;
const BODY: u8 = 3;
/// The class of messages.
const BASIC: u16 = 60;

/// A frame that came.
#[derive(Debug, PartialEq)]
pub enum Frame<'a> {
    /// A method.
    Method(u16, AMQPClass),
    /// What goes before a message: how long it is, and its properties.
    Header(u16, Box<AMQPContentHeader>),
    /// A piece of a message.
    Body(u16, &'a [u8]),
    /// A sign of life.
    Heartbeat,
}

/// Cuts the first frame from `input`, and says how long it is; `None` when it is not complete yet.
///
/// # Errors
/// When it cannot become a frame of at most `max` bytes, however much follows.
pub fn cut(input: &[u8], max: u32) -> Result<Option<(Frame<'_>, usize)>, Error> {
    let Some(head) = input.first_chunk::<HEAD>() else { return Ok(None) };
    if head[0] == b'A' {
        return Err(Error::Garbled("it wants another version"));
    }
    let size = u32::from_be_bytes([head[3], head[4], head[5], head[6]]);
    if size > max {
        return Err(Error::Garbled("a frame is longer than agreed"));
    }
    let whole = size as usize + OVERHEAD;
    let Some(bytes) = input.get(..whole) else { return Ok(None) };
    if bytes[whole - 1] != END {
        return Err(Error::Garbled("a frame does not end where it should"));
    }
    if head[0] == BODY {
        let channel = u16::from_be_bytes([head[1], head[2]]);
        return Ok(Some((Frame::Body(channel, &bytes[HEAD..whole - 1]), whole)));
    }
    let frame = match parse_frame(bytes) {
        Ok((_, AMQPFrame::Method(channel, method))) => Frame::Method(channel, method),
        Ok((_, AMQPFrame::Header(channel, header))) => Frame::Header(channel, Box::new(header)),
        Ok((_, AMQPFrame::Heartbeat)) => Frame::Heartbeat,
        _ => return Err(Error::Garbled("a frame is none of those that there are")),
    };
    Ok(Some((frame, whole)))
}

/// Appends a method.
pub fn put_method(out: &mut Vec<u8>, channel: u16, method: AMQPClass) {
    put(out, &AMQPFrame::Method(channel, method));
}

/// Appends a sign of life.
pub fn put_heartbeat(out: &mut Vec<u8>) {
    put(out, &AMQPFrame::Heartbeat);
}

/// Appends a message: method, header, and the body in as many frames as it needs.
pub fn put_message(
    out: &mut Vec<u8>,
    channel: u16,
    publish: basic::Publish,
    properties: basic::AMQPProperties,
    body: &[u8],
    frame_max: u32,
) {
    put_method(out, channel, AMQPClass::Basic(basic::AMQPMethod::Publish(publish)));
    let header = AMQPContentHeader { class_id: BASIC, body_size: body.len() as u64, properties };
    put(out, &AMQPFrame::Header(channel, header));
    for piece in body.chunks(frame_max as usize - OVERHEAD) {
        out.reserve(piece.len() + OVERHEAD);
        out.push(BODY);
        out.extend_from_slice(&channel.to_be_bytes());
        out.extend_from_slice(&(piece.len() as u32).to_be_bytes()); // at most frame_max
        out.extend_from_slice(piece);
        out.push(END);
    }
}

fn put(out: &mut Vec<u8>, frame: &AMQPFrame) {
    match gen_frame(frame)(WriteContext::from(std::mem::take(out))) {
        Ok(context) => *out = context.into_inner().0,
        // Memory is the only limit of what is written to, and names are cut where they are made.
        Err(e) => debug_assert!(false, "cannot write a frame: {e:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn publish() -> basic::Publish {
        basic::Publish { exchange: "".into(), routing_key: "q".into(), mandatory: true, immediate: false }
    }

    proptest! {
        #[test]
        fn a_message_survives_a_round_trip_in_frames_that_fit(
            body in proptest::collection::vec(any::<u8>(), 0..20_000)
        ) {
            let mut out = vec![];
            put_message(&mut out, 7, publish(), basic::AMQPProperties::default(), &body, 4096);
            let (mut rest, mut came, mut size) = (out.as_slice(), vec![], None);
            while let Some((frame, length)) = cut(rest, 4096).unwrap() {
                prop_assert!(length <= 4096);
                match frame {
                    Frame::Method(channel, AMQPClass::Basic(basic::AMQPMethod::Publish(method))) => {
                        prop_assert_eq!((channel, method), (7, publish()));
                    }
                    Frame::Header(7, header) => size = Some(header.body_size),
                    Frame::Body(7, piece) => came.extend_from_slice(piece),
                    other => prop_assert!(false, "{:?}", other),
                }
                rest = &rest[length..];
            }
            prop_assert_eq!((rest.len(), size), (0, Some(body.len() as u64)));
            prop_assert_eq!(came, body);
        }

        #[test]
        fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = cut(&bytes, 4096);
        }

        #[test]
        fn no_payload_makes_the_reader_panic(
            kind in 1..9u8, payload in proptest::collection::vec(any::<u8>(), 0..200)
        ) {
            let mut bytes = vec![kind, 0, 1];
            bytes.extend_from_slice(&(payload.len() as u32).to_be_bytes());
            bytes.extend_from_slice(&payload);
            bytes.push(END);
            let _ = cut(&bytes, 4096);
        }
    }

    #[test]
    fn half_a_frame_is_waited_for_and_one_that_is_too_long_is_not() {
        let mut out = vec![];
        put_heartbeat(&mut out);
        for length in 0..out.len() {
            assert_eq!(cut(&out[..length], 4096), Ok(None));
        }
        assert_eq!(cut(&out, 4096), Ok(Some((Frame::Heartbeat, out.len()))));
        assert!(cut(&[1, 0, 0, 0xff, 0xff, 0xff, 0xff], 4096).is_err());
        assert!(cut(b"AMQP\0\0\x09\x01", 4096).is_err());
    }
}

//! Stories of a connection, told by its frames.

use super::*;
use amq_protocol::frame::AMQPContentHeader;
use amq_protocol::protocol::{channel, confirm};
use std::time::Duration;

fn state() -> State {
    State::new(Agreed { frame_max: 4096, channel_max: 2, heartbeat: Duration::ZERO })
}

fn basic(id: u16, method: basic::AMQPMethod) -> Frame<'static> {
    Frame::Method(id, AMQPClass::Basic(method))
}

fn header(id: u16, size: u64) -> Frame<'static> {
    let properties = Properties::default();
    Frame::Header(id, Box::new(AMQPContentHeader { class_id: 60, body_size: size, properties }))
}

fn open(state: &mut State) -> u16 {
    let (tell, mut opened) = oneshot::channel();
    let id = state.open(tell).unwrap();
    let done = channel::AMQPMethod::OpenOk(channel::OpenOk {});
    state.heard(Frame::Method(id, AMQPClass::Channel(done))).unwrap();
    assert!(opened.try_recv().unwrap().is_ok());
    id
}

fn publish(state: &mut State, id: u16, body: &[u8]) -> oneshot::Receiver<Result<Taken, Error>> {
    let (tell, taken) = oneshot::channel();
    let message = Message { key: "q".into(), mandatory: true, body: body.to_vec(), ..Message::default() };
    state.publish(id, message, Tell::new(|taken| tell.send(taken).unwrap()));
    taken
}

fn ack(id: u16, number: u64, multiple: bool) -> Frame<'static> {
    basic(id, basic::AMQPMethod::Ack(basic::Ack { delivery_tag: number, multiple }))
}

fn consume(state: &mut State, id: u16) -> mpsc::UnboundedReceiver<Delivery> {
    let (into, messages) = mpsc::unbounded_channel();
    let consume = basic::Consume {
        queue: "q".into(),
        consumer_tag: "c".into(),
        no_local: false,
        no_ack: false,
        exclusive: false,
        nowait: false,
        arguments: Default::default(),
    };
    state.consume(id, consume, into, oneshot::channel().0).unwrap();
    let done = basic::ConsumeOk { consumer_tag: "c".into() };
    state.heard(basic(id, basic::AMQPMethod::ConsumeOk(done))).unwrap();
    messages
}

fn deliver(id: u16, tag: u64) -> Frame<'static> {
    let deliver = basic::Deliver {
        consumer_tag: "c".into(),
        delivery_tag: tag,
        redelivered: false,
        exchange: "".into(),
        routing_key: "q".into(),
    };
    basic(id, basic::AMQPMethod::Deliver(deliver))
}

fn close_by_broker(id: u16) -> Frame<'static> {
    let text = "PRECONDITION_FAILED".into();
    let close = Close { reply_code: 406, reply_text: text, class_id: 0, method_id: 0 };
    Frame::Method(id, AMQPClass::Channel(channel::AMQPMethod::Close(close)))
}

fn refused() -> Error {
    Error::Refused { code: 406, text: "PRECONDITION_FAILED".into() }
}

#[test]
fn a_message_in_pieces_is_delivered_when_it_is_whole_and_an_empty_one_at_once() {
    let mut state = state();
    let id = open(&mut state);
    let mut messages = consume(&mut state, id);
    for frame in [deliver(id, 1), header(id, 4), Frame::Body(id, b"ab")] {
        state.heard(frame).unwrap();
        assert!(messages.try_recv().is_err());
    }
    state.heard(Frame::Body(id, b"cd")).unwrap();
    assert_eq!(messages.try_recv().unwrap().body, b"abcd");
    state.heard(deliver(id, 2)).unwrap();
    state.heard(header(id, 0)).unwrap();
    assert_eq!(messages.try_recv().unwrap().tag, 2);
}

#[test]
fn confirms_of_several_and_messages_that_came_back_are_told_apart() {
    let mut state = state();
    let id = open(&mut state);
    let mut taken: Vec<_> =
        [b"a", b"b", b"a", b"c", b"d"].iter().map(|body| publish(&mut state, id, *body)).collect();
    // The third and the first are the same, so it does not matter which of them came back.
    let returned = basic::Return {
        reply_code: 312,
        reply_text: "NO_ROUTE".into(),
        exchange: "".into(),
        routing_key: "q".into(),
    };
    state.heard(basic(id, basic::AMQPMethod::Return(returned))).unwrap();
    state.heard(header(id, 1)).unwrap();
    state.heard(Frame::Body(id, b"b")).unwrap();
    state.heard(ack(id, 3, true)).unwrap();
    let nack = basic::Nack { delivery_tag: 5, multiple: false, requeue: false };
    state.heard(basic(id, basic::AMQPMethod::Nack(nack))).unwrap();
    let told: Vec<_> = taken.iter_mut().map(|taken| taken.try_recv().ok().map(Result::unwrap)).collect();
    let (yes, back, no) = (Some(Taken::Yes), Some(Taken::Returned), Some(Taken::No));
    assert_eq!(told, [yes, back, yes, None, no]);
}

#[test]
fn a_channel_that_the_broker_closes_fails_what_it_had_and_no_other() {
    let mut state = state();
    let (id, other) = (open(&mut state), open(&mut state));
    let mut messages = consume(&mut state, id);
    let mut there = consume(&mut state, other);
    let mut taken = publish(&mut state, id, b"x");
    let (tell, mut asked) = oneshot::channel();
    let select = AMQPClass::Confirm(confirm::AMQPMethod::Select(confirm::Select { nowait: false }));
    state.ask(id, select, tell).unwrap();
    state.heard(close_by_broker(id)).unwrap();
    assert_eq!(taken.try_recv().unwrap(), Err(refused()));
    assert_eq!(asked.try_recv().unwrap().unwrap_err(), refused());
    assert_eq!(messages.try_recv().unwrap_err(), mpsc::error::TryRecvError::Disconnected);
    assert_eq!((state.why_over(id), state.why_over(other)), (Some(refused()), None));
    assert_eq!(there.try_recv().unwrap_err(), mpsc::error::TryRecvError::Empty);
    // Its number is free again once nobody holds it.
    let (tell, _opened) = oneshot::channel();
    assert!(state.open(tell).is_err());
    state.leave(id);
    assert_eq!(open(&mut state), id);
}

#[test]
fn what_still_comes_on_a_channel_that_we_left_is_passed_over() {
    let mut state = state();
    let id = open(&mut state);
    let _messages = consume(&mut state, id);
    state.heard(deliver(id, 1)).unwrap();
    state.leave(id);
    state.heard(header(id, 2)).unwrap();
    state.heard(Frame::Body(id, b"ab")).unwrap();
    state.heard(deliver(id, 2)).unwrap();
    state.heard(header(id, 0)).unwrap();
    let done = channel::AMQPMethod::CloseOk(channel::CloseOk {});
    state.heard(Frame::Method(id, AMQPClass::Channel(done))).unwrap();
    assert_eq!(open(&mut state), id);
}

#[test]
fn a_consumer_that_the_broker_cancels_ends_after_what_was_delivered() {
    let mut state = state();
    let id = open(&mut state);
    let mut messages = consume(&mut state, id);
    state.heard(deliver(id, 1)).unwrap();
    state.heard(header(id, 0)).unwrap();
    let cancel = basic::Cancel { consumer_tag: "c".into(), nowait: true };
    state.heard(basic(id, basic::AMQPMethod::Cancel(cancel))).unwrap();
    assert!(messages.try_recv().is_ok());
    assert_eq!(messages.try_recv().unwrap_err(), mpsc::error::TryRecvError::Disconnected);
    assert_eq!(state.why_over(id), None);
}

#[test]
fn after_the_end_nothing_is_taken_on_and_everybody_has_been_told() {
    let mut state = state();
    let id = open(&mut state);
    let mut taken = publish(&mut state, id, b"x");
    let close = connection::Close {
        reply_code: 320,
        reply_text: "CONNECTION_FORCED".into(),
        class_id: 0,
        method_id: 0,
    };
    let why = state.heard(Frame::Method(0, AMQPClass::Connection(connection::AMQPMethod::Close(close))));
    let why = why.unwrap_err();
    state.end(&why);
    assert_eq!(taken.try_recv().unwrap(), Err(why.clone()));
    assert_eq!(state.open(oneshot::channel().0).unwrap_err(), why);
    assert_eq!(state.why_over(id), Some(why));
}

#[test]
fn what_no_broker_sends_ends_the_connection() {
    let (channel, ask) = (1, |frame| {
        let mut state = state();
        open(&mut state);
        state.heard(frame)
    });
    let unasked = basic::CancelOk { consumer_tag: "c".into() };
    for frame in [
        header(channel, 1),
        Frame::Body(channel, b"x"),
        deliver(2, 1),
        basic(channel, basic::AMQPMethod::CancelOk(unasked)),
    ] {
        assert!(matches!(ask(frame), Err(Error::Garbled(_))));
    }
    let mut state = state();
    let id = open(&mut state);
    state.heard(deliver(id, 1)).unwrap();
    assert!(state.heard(deliver(id, 2)).is_err());
}

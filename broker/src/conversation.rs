//! A connection that was admitted: what it sends is done, what it is sent is written, until it ends.

use crate::broker::Broker;
use crate::fault::Fault;
use crate::line::{End, Line};
use crate::old::Version;
use crate::outbox::{Outbox, UNSENT, Writing};
use crate::queue::{ConnectionId, Moment};
use crate::server::Server;
use crate::wire::{self, Kind, Raw};
use amq_protocol::protocol::{AMQPClass, connection};
use std::io::{self, ErrorKind};
use std::ops::ControlFlow;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::time::MissedTickBehavior;
use tracing::warn;

/// How long the last words to a connection that ends may take.
const FAREWELL: Duration = Duration::from_secs(10);
/// So many beats may pass without a sign of life. Beats of ours, and no time by the clock: of one that we have not heard
/// because we stood still ourselves the words lie in its socket.
const SILENT: u32 = 4;

/// What is said between the server and one peer.
pub struct Conversation<'a> {
    server: &'a Server,
    line: &'a mut Line,
    outbox: &'a Outbox,
    writing: Writing,
    /// Whether frames may stand in the line's input.
    unread: bool,
    /// Beats since the peer said something, or would not have been heard.
    unheard: u32,
    buffer: Vec<u8>,
}

impl<'a> Conversation<'a> {
    /// A conversation that begins with what came in one piece with `connection.open`.
    pub fn new(server: &'a Server, line: &'a mut Line, outbox: &'a Outbox) -> Self {
        let (writing, buffer) = (Writing::default(), vec![0; 64 << 10]);
        Self { server, unread: !line.input.is_empty(), line, outbox, writing, unheard: 0, buffer }
    }

    /// Reads and writes, both at once, so that neither side can hold up the other for ever.
    pub async fn hold(mut self, heartbeat: u16) {
        let beat = Duration::from_secs(u64::from(heartbeat.max(1)) / 2).max(Duration::from_millis(500));
        let mut beats = tokio::time::interval(beat);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            if self.unread && self.heed().await.is_break() {
                return;
            }
            self.find_what_to_write();
            let may_read = self.may_read();
            if !may_read {
                self.unheard = 0;
            }
            let on = tokio::select! {
                () = self.outbox.more.notified() => ControlFlow::Continue(()),
                () = std::future::ready(()), if self.unread && may_read => ControlFlow::Continue(()),
                ready = self.line.stream.writable(), if !self.writing.is_done() => self.write(ready),
                ready = self.line.stream.readable(), if may_read && !self.unread => self.read(ready),
                _ = beats.tick(), if heartbeat > 0 => self.beat(),
            };
            if on.is_break() {
                return;
            }
        }
    }

    fn find_what_to_write(&mut self) {
        if self.writing.is_done() && !self.writing.begin(&mut self.outbox.bytes.borrow_mut()) {
            self.server.broker.borrow_mut().sent(self.line.id, self.server.now());
            self.server.flush();
            self.writing.begin(&mut self.outbox.bytes.borrow_mut());
        }
    }

    /// Whether the peer is read from: it neither has to wait nor has too much to be sent.
    fn may_read(&self) -> bool {
        let (broker, id) = (self.server.broker.borrow(), self.line.id);
        !broker.has_to_wait(id) && broker.unsent(id) <= UNSENT && self.outbox.bytes.borrow().len() < UNSENT
    }

    fn write(&mut self, ready: io::Result<()>) -> ControlFlow<()> {
        match ready.and_then(|()| self.writing.go_on(&self.line.stream)) {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        }
    }

    fn read(&mut self, ready: io::Result<()>) -> ControlFlow<()> {
        match ready.and_then(|()| self.line.stream.try_read(&mut self.buffer)) {
            Ok(0) => return ControlFlow::Break(()),
            Ok(n) => {
                self.unheard = 0;
                self.line.input.extend_from_slice(&self.buffer[..n]);
                self.unread = true;
            }
            Err(e) if e.kind() == ErrorKind::WouldBlock => {}
            Err(_) => return ControlFlow::Break(()),
        }
        ControlFlow::Continue(())
    }

    /// A sign of life for the peer, who has to give such signs, and to take what it is sent.
    fn beat(&mut self) -> ControlFlow<()> {
        self.unheard += 1;
        if self.unheard.max(self.writing.beat()) > SILENT {
            warn!("connection {} is silent: closed", self.line.id);
            return ControlFlow::Break(());
        }
        wire::put_heartbeat(&mut self.outbox.bytes.borrow_mut());
        ControlFlow::Continue(())
    }

    /// Does what the frames that were read ask for; breaks where the connection ends with them.
    async fn heed(&mut self) -> ControlFlow<()> {
        let taken = self.take_frames();
        self.server.flush();
        let end = match taken {
            Ok(more) => {
                self.unread = more;
                return ControlFlow::Continue(());
            }
            Err(end) => end,
        };
        // Who hears that it is closed finds gone what was its own.
        self.server.broker.borrow_mut().close(self.line.id, self.server.now());
        self.server.flush();
        let mut rest = self.writing.rest();
        rest.append(&mut self.outbox.bytes.borrow_mut());
        let _ = tokio::time::timeout(FAREWELL, self.line.stream.write_all(&rest)).await;
        self.line.end(end).await;
        ControlFlow::Break(())
    }

    /// Takes the complete frames of what was read, until there is too much to be sent. True = there are more.
    fn take_frames(&mut self) -> Result<bool, End> {
        let (id, version, now) = (self.line.id, self.line.version, self.server.now());
        let mut broker = self.server.broker.borrow_mut();
        let mut taken = 0;
        let result = loop {
            if broker.unsent(id) > UNSENT {
                break Ok(true);
            }
            let frame = match wire::cut(&self.line.input[taken..]) {
                Ok(None) => break Ok(false),
                Ok(Some(frame)) => frame,
                Err(wire::Broken) => break Err(End::Fault(Fault::frame("cannot decode a frame"), (0, 0))),
            };
            taken += frame.frame.len();
            if let Err(end) = take(&mut broker, id, version, &frame, now) {
                break Err(end);
            }
        };
        self.line.input.drain(..taken);
        result
    }
}

/// Does what one frame asks for; what is wrong with it ends its channel, or the connection.
fn take(
    broker: &mut Broker,
    id: ConnectionId,
    version: Version,
    frame: &Raw<'_>,
    now: Moment,
) -> Result<(), End> {
    let number = frame.channel;
    let done = match frame.kind {
        Kind::Heartbeat => Ok(()),
        Kind::Header => broker.header(id, number, frame.payload, now),
        Kind::Body => broker.body(id, number, frame.payload, now),
        Kind::Method => match wire::method(frame, version) {
            Err(wire::Broken) => Err(Fault::not_implemented("this broker has no such method")),
            Ok(AMQPClass::Connection(connection::AMQPMethod::Close(_))) => return Err(End::Asked),
            Ok(AMQPClass::Connection(_)) => Err(Fault::invalid("unexpected method on channel 0")),
            Ok(class) => broker.method(id, number, class, now),
        },
    };
    let Err(fault) = done else { return Ok(()) };
    let ids = match fault.code {
        505 => broker.interrupted(id, number),
        // RabbitMQ refuses a channel too many before it looks at what opens it.
        530 if method_ids(frame) == (20, 10) => (0, 0),
        _ => method_ids(frame),
    };
    if fault.closes_connection() {
        return Err(End::Fault(fault, ids));
    }
    broker.fail_channel(id, number, &fault, ids, now);
    Ok(())
}

/// Class and method that a fault of this frame is told with.
fn method_ids(frame: &Raw<'_>) -> (u16, u16) {
    match (frame.kind, frame.payload.first_chunk::<4>()) {
        (Kind::Method, Some(b)) => (u16::from_be_bytes([b[0], b[1]]), u16::from_be_bytes([b[2], b[3]])),
        // What is wrong with a message is wrong with its publish.
        _ => (60, 40),
    }
}

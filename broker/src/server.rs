//! The rim: connections on sockets, the store's thread, and the broker between them. One thread does it all but
//! the writing to disk.

use crate::broker::{Broker, Send};
use crate::fault::Fault;
use crate::line::{Agreed, End, Line};
use crate::old::Version;
use crate::queue::{ConnectionId, Moment};
use crate::settings::Settings;
use crate::store::Store;
use crate::wire::{self, Kind};
use amq_protocol::protocol::{AMQPClass, connection};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io::{self, ErrorKind};
use std::ops::ControlFlow;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, mpsc};
use tracing::{info, warn};

/// Frames of a connection that has this much unsent wait.
const UNSENT: usize = 8 << 20;
/// How long the last words to a connection that ends may take.
const FAREWELL: Duration = Duration::from_secs(10);
/// How long a stranger has to become a connection.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// How often queues are looked at in which something becomes due by itself.
const TICK: Duration = Duration::from_secs(1);

/// What waits to be written to a connection.
struct Outbox {
    bytes: RefCell<Vec<u8>>,
    more: Notify,
    /// The largest frame that the peer takes.
    frame_max: u32,
    /// What the peer speaks.
    version: Version,
}

impl Outbox {
    fn new(frame_max: u32, version: Version) -> Self {
        Self { bytes: RefCell::default(), more: Notify::new(), frame_max, version }
    }
}

/// What is being written to a connection.
struct Writing {
    bytes: Vec<u8>,
    written: usize,
    progress: Instant,
}

impl Default for Writing {
    fn default() -> Self {
        Self { bytes: vec![], written: 0, progress: Instant::now() }
    }
}

impl Writing {
    fn is_done(&self) -> bool {
        self.written == self.bytes.len()
    }

    /// Takes what is to be written next. False = nothing.
    fn begin(&mut self, outbox: &mut Vec<u8>) -> bool {
        self.bytes.clear();
        self.written = 0;
        self.progress = Instant::now();
        std::mem::swap(&mut self.bytes, outbox);
        !self.bytes.is_empty()
    }

    fn go_on(&mut self, stream: &TcpStream) -> io::Result<()> {
        match stream.try_write(&self.bytes[self.written..]) {
            Ok(n) => {
                self.written += n;
                self.progress = Instant::now();
                if self.bytes.capacity() > UNSENT && self.is_done() {
                    *self = Self::default();
                }
                Ok(())
            }
            Err(e) if e.kind() == ErrorKind::WouldBlock => Ok(()),
            Err(e) => Err(e),
        }
    }

    /// Whether the peer has taken nothing for so long.
    fn is_stuck(&self, patience: Duration) -> bool {
        !self.is_done() && self.progress.elapsed() > patience
    }

    fn rest(&mut self) -> Vec<u8> {
        let written = std::mem::take(&mut self.written);
        std::mem::take(&mut self.bytes).split_off(written)
    }
}

/// The broker and its connections.
pub struct Server {
    settings: Settings,
    broker: RefCell<Broker>,
    store: RefCell<Option<Store>>,
    outboxes: RefCell<HashMap<ConnectionId, Rc<Outbox>>>,
    last: RefCell<ConnectionId>,
    born: Instant,
    cannot_write: Cell<bool>,
}

impl Server {
    /// A server around a broker and its store.
    pub fn new(settings: Settings, broker: Broker, store: Store) -> Rc<Self> {
        Rc::new(Self {
            settings,
            broker: RefCell::new(broker),
            store: RefCell::new(Some(store)),
            outboxes: RefCell::default(),
            last: RefCell::default(),
            born: Instant::now(),
            cannot_write: Cell::new(false),
        })
    }

    /// Serves until `stop` says so; then everything is on disk.
    ///
    /// # Errors
    /// Why it is not.
    pub async fn run(
        self: Rc<Self>,
        listener: TcpListener,
        mut stored: mpsc::UnboundedReceiver<Result<u64, String>>,
        stop: impl Future<Output = ()>,
    ) -> Result<(), String> {
        tokio::pin!(stop);
        let mut ticks = tokio::time::interval(TICK);
        loop {
            tokio::select! {
                () = &mut stop => break,
                _ = ticks.tick(), if self.broker.borrow().is_ticking() => {
                    self.broker.borrow_mut().tick(self.now());
                    self.flush();
                }
                Some(result) = stored.recv() => match result {
                    Ok(batch) => {
                        if self.cannot_write.take() {
                            info!("can write to disk again: what waited is confirmed");
                        }
                        self.broker.borrow_mut().stored(batch);
                        self.flush();
                    }
                    Err(e) => {
                        self.cannot_write.set(true);
                        warn!("cannot write to disk: {e} (nothing is confirmed until that is mended)");
                    }
                },
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => {
                        tokio::task::spawn_local(Rc::clone(&self).serve(stream));
                    }
                    Err(e) => {
                        warn!("cannot accept a connection: {e}");
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                },
            }
        }
        self.flush();
        let store = self.store.borrow_mut().take();
        store.map_or(Ok(()), Store::close).map_err(|e| format!("cannot write what came last to disk: {e}"))
    }

    fn now(&self) -> Moment {
        self.born.elapsed()
    }

    /// Passes on what the broker wants sent, stored and said.
    fn flush(&self) {
        let mut broker = self.broker.borrow_mut();
        if broker.look_at_memory() {
            match broker.is_blocked() {
                true => warn!("low on memory: publishers wait until consumers, or the disk, have taken some"),
                false => info!("enough memory again: publishers go on"),
            }
            self.outboxes.borrow().values().for_each(|outbox| outbox.more.notify_one());
        }
        for trouble in broker.take_troubles() {
            warn!("{trouble}");
        }
        if let (Some((number, changes)), Some(store)) = (broker.take_changes(), self.store.borrow().as_ref())
        {
            store.write(number, changes);
        }
        let outboxes = self.outboxes.borrow();
        for (id, send) in broker.take_out() {
            let Some(outbox) = outboxes.get(&id) else { continue };
            let mut bytes = outbox.bytes.borrow_mut();
            match send {
                Send::Method(channel, class) => wire::put_method(&mut bytes, channel, class, outbox.version),
                Send::Content(channel, class, message) => {
                    wire::put_method(&mut bytes, channel, class, outbox.version);
                    let (header, body) = (&message.header, &message.body);
                    wire::put_content(&mut bytes, channel, header, body, outbox.frame_max);
                }
            }
            outbox.more.notify_one();
        }
    }

    async fn serve(self: Rc<Self>, stream: TcpStream) {
        let peer = stream.peer_addr().map_or_else(|_| "somebody".to_owned(), |peer| peer.to_string());
        let _ = stream.set_nodelay(true);
        let id = {
            let mut last = self.last.borrow_mut();
            *last += 1;
            *last
        };
        let mut line = Line { stream, input: vec![], id, version: Version::Today };
        match tokio::time::timeout(HANDSHAKE, self.admit(&mut line)).await {
            Ok(Ok(agreed)) => {
                let outbox = Rc::new(Outbox::new(agreed.frame_max, line.version));
                self.outboxes.borrow_mut().insert(id, Rc::clone(&outbox));
                self.converse(&mut line, &outbox, agreed.heartbeat).await;
                self.outboxes.borrow_mut().remove(&id);
                self.broker.borrow_mut().close(id, self.now());
                self.flush();
            }
            Ok(Err(Some(fault))) => {
                warn!("refused {peer}: {}", fault.text);
                line.close(&fault, if fault.code == 403 { (0, 0) } else { (10, 40) }).await;
            }
            Ok(Err(None)) | Err(_) => {}
        }
    }

    async fn admit(&self, line: &mut Line) -> Result<Agreed, Option<Fault>> {
        let agreed = line.shake_hands(&self.settings).await?;
        self.broker.borrow_mut().open(line.id, &agreed.vhost, agreed.hears_blocked, agreed.channel_max)?;
        line.say(connection::AMQPMethod::OpenOk(connection::OpenOk {})).await?;
        Ok(agreed)
    }

    /// Reads and writes, both at once, so that neither side can hold up the other for ever.
    async fn converse(&self, line: &mut Line, outbox: &Outbox, heartbeat: u16) {
        let beat = Duration::from_secs(u64::from(heartbeat.max(1)) / 2).max(Duration::from_millis(500));
        let mut beats = tokio::time::interval(beat);
        let mut heard = Instant::now();
        let mut writing = Writing::default();
        let mut buffer = vec![0; 64 << 10];
        // What came in one piece with `connection.open`.
        let mut unread = !line.input.is_empty();
        loop {
            if std::mem::take(&mut unread) {
                match self.heed(line, outbox, &mut writing).await {
                    ControlFlow::Break(()) => return,
                    ControlFlow::Continue(more) => unread = more,
                }
            }
            if writing.is_done() && !writing.begin(&mut outbox.bytes.borrow_mut()) {
                self.broker.borrow_mut().sent(line.id, self.now());
                self.flush();
                writing.begin(&mut outbox.bytes.borrow_mut());
            }
            let may_read = self.may_read(line.id) && outbox.bytes.borrow().len() < UNSENT;
            if !may_read {
                heard = Instant::now();
            }
            let stream = &line.stream;
            tokio::select! {
                () = outbox.more.notified() => {}
                () = std::future::ready(()), if unread && may_read => {}
                ready = stream.writable(), if !writing.is_done() => {
                    if ready.and_then(|()| writing.go_on(stream)).is_err() {
                        return;
                    }
                }
                ready = stream.readable(), if may_read && !unread => {
                    match ready.and_then(|()| stream.try_read(&mut buffer)) {
                        Ok(0) => return,
                        Ok(n) => {
                            heard = Instant::now();
                            line.input.extend_from_slice(&buffer[..n]);
                            unread = true;
                        }
                        Err(e) if e.kind() == ErrorKind::WouldBlock => {}
                        Err(_) => return,
                    }
                }
                _ = beats.tick(), if heartbeat > 0 => {
                    if heard.elapsed() > beat * 4 || writing.is_stuck(beat * 4) {
                        warn!("connection {} is silent: closed", line.id);
                        return;
                    }
                    wire::put_heartbeat(&mut outbox.bytes.borrow_mut());
                }
            }
        }
    }

    /// Whether a connection is read from: it neither has to wait nor has too much to be sent.
    fn may_read(&self, id: ConnectionId) -> bool {
        let broker = self.broker.borrow();
        !broker.has_to_wait(id) && broker.unsent(id) <= UNSENT
    }

    /// Does what the frames that were read ask for; breaks where the connection ends with them. True = there are
    /// more.
    async fn heed(&self, line: &mut Line, outbox: &Outbox, writing: &mut Writing) -> ControlFlow<(), bool> {
        let end = self.take_frames(line);
        self.flush();
        let end = match end {
            Ok(more) => return ControlFlow::Continue(more),
            Err(end) => end,
        };
        let mut rest = writing.rest();
        rest.append(&mut outbox.bytes.borrow_mut());
        let _ = tokio::time::timeout(FAREWELL, line.stream.write_all(&rest)).await;
        line.end(end).await;
        ControlFlow::Break(())
    }

    /// Deals with the complete frames of what was read, until there is too much to be sent. True = there are more.
    fn take_frames(&self, line: &mut Line) -> Result<bool, End> {
        let (id, now) = (line.id, self.now());
        let mut broker = self.broker.borrow_mut();
        let mut taken = 0;
        let result = loop {
            if broker.unsent(id) > UNSENT {
                break Ok(true);
            }
            let raw = match wire::cut(&line.input[taken..]) {
                Ok(None) => break Ok(false),
                Ok(Some(raw)) => raw,
                Err(wire::Broken) => break Err(End::Fault(Fault::frame("cannot decode a frame"), (0, 0))),
            };
            let number = raw.channel;
            let ids = match (raw.kind, raw.payload.first_chunk::<4>()) {
                (Kind::Method, Some(b)) => {
                    (u16::from_be_bytes([b[0], b[1]]), u16::from_be_bytes([b[2], b[3]]))
                }
                // What is wrong with a message is wrong with its publish.
                _ => (60, 40),
            };
            let done = match raw.kind {
                Kind::Heartbeat => Ok(()),
                Kind::Header => broker.header(id, number, raw.payload, now),
                Kind::Body => broker.body(id, number, raw.payload, now),
                Kind::Method => match wire::method(&raw, line.version) {
                    Err(wire::Broken) => Err(Fault::not_implemented("this broker has no such method")),
                    Ok(AMQPClass::Connection(connection::AMQPMethod::Close(_))) => break Err(End::Asked),
                    Ok(AMQPClass::Connection(_)) => Err(Fault::invalid("unexpected method on channel 0")),
                    Ok(class) => broker.method(id, number, class, now),
                },
            };
            taken += raw.frame.len();
            let ids = match &done {
                Err(fault) if fault.code == 505 => broker.interrupted(id, number),
                // RabbitMQ refuses a channel too many before it looks at what opens it.
                Err(fault) if fault.code == 530 && ids == (20, 10) => (0, 0),
                _ => ids,
            };
            match done {
                Ok(()) => {}
                Err(fault) if fault.closes_connection() => break Err(End::Fault(fault, ids)),
                Err(fault) => broker.fail_channel(id, number, &fault, ids, now),
            }
        };
        line.input.drain(..taken);
        result
    }
}

/// Says that the broker listens, on the descriptor that SKYNET_NOTIFY_FD names.
pub fn announce(settings: &Settings) {
    info!("listening on {} for one machine and one user", settings.listen);
    let Ok(fd) = std::env::var("SKYNET_NOTIFY_FD") else { return };
    if let Ok(mut file) = std::fs::OpenOptions::new().write(true).open(format!("/proc/self/fd/{fd}")) {
        use std::io::Write;
        // Whoever asked to be told may be gone.
        let _ = file.write_all(b"\n");
    }
}

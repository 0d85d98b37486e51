//! The rim: connections on sockets, the store's thread, and the broker between them. One thread does it all but
//! the writing to disk.

use crate::broker::{Broker, Send};
use crate::fault::Fault;
use crate::queue::{ConnectionId, Moment};
use crate::settings::Settings;
use crate::store::Store;
use crate::wire::{self, FRAME_MAX, Kind};
use amq_protocol::protocol::{AMQPClass, connection};
use amq_protocol::types::{AMQPValue, FieldTable};
use std::cell::RefCell;
use std::collections::HashMap;
use std::ops::ControlFlow;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, mpsc};
use tracing::{info, warn};

const GREETING: &[u8; 8] = b"AMQP\0\0\x09\x01";
const HEARTBEAT: u16 = 60;
/// The smallest `frame-max` that the protocol allows.
const FRAME_MIN: u32 = 4096;
/// A connection that has this much unsent is not read from.
const UNSENT: usize = 8 << 20;
/// How long a stranger has to become a connection.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// What waits to be written to a connection.
#[derive(Default)]
struct Outbox {
    bytes: RefCell<Vec<u8>>,
    more: Notify,
    /// The largest frame that the peer takes.
    frame_max: u32,
}

/// The broker and its connections.
pub struct Server {
    settings: Settings,
    broker: RefCell<Broker>,
    store: RefCell<Option<Store>>,
    outboxes: RefCell<HashMap<ConnectionId, Rc<Outbox>>>,
    last: RefCell<ConnectionId>,
    born: Instant,
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
        })
    }

    /// Serves until `stop` says so or the store fails; then everything is on disk.
    ///
    /// # Errors
    /// Why the store failed.
    pub async fn run(
        self: Rc<Self>,
        listener: TcpListener,
        mut stored: mpsc::UnboundedReceiver<Result<u64, String>>,
        stop: impl Future<Output = ()>,
    ) -> Result<(), String> {
        tokio::pin!(stop);
        let result = loop {
            tokio::select! {
                () = &mut stop => break Ok(()),
                Some(result) = stored.recv() => match result {
                    Ok(batch) => {
                        self.broker.borrow_mut().stored(batch);
                        self.flush();
                    }
                    Err(e) => break Err(format!("cannot write to disk: {e}")),
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
        };
        self.flush();
        if let Some(store) = self.store.borrow_mut().take() {
            store.close();
        }
        result
    }

    fn now(&self) -> Moment {
        self.born.elapsed()
    }

    /// Passes on what the broker wants sent and stored.
    fn flush(&self) {
        let mut broker = self.broker.borrow_mut();
        if let (Some((number, changes)), Some(store)) = (broker.take_changes(), self.store.borrow().as_ref())
        {
            store.write(number, changes);
        }
        let outboxes = self.outboxes.borrow();
        for (id, send) in broker.take_out() {
            let Some(outbox) = outboxes.get(&id) else { continue };
            let mut bytes = outbox.bytes.borrow_mut();
            match send {
                Send::Method(channel, class) => wire::put_method(&mut bytes, channel, class),
                Send::Content(channel, class, message) => {
                    wire::put_method(&mut bytes, channel, class);
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
        let mut line = Line { stream, input: vec![], id };
        match tokio::time::timeout(HANDSHAKE, self.shake_hands(&mut line)).await {
            Ok(Ok(tuned)) => {
                let frame_max = match tuned.frame_max {
                    0 => FRAME_MAX,
                    asked => asked.clamp(FRAME_MIN, FRAME_MAX),
                };
                let outbox = Rc::new(Outbox { frame_max, ..Outbox::default() });
                self.outboxes.borrow_mut().insert(id, Rc::clone(&outbox));
                self.converse(&mut line, &outbox, tuned.heartbeat).await;
                self.outboxes.borrow_mut().remove(&id);
                self.broker.borrow_mut().close(id, self.now());
                self.flush();
            }
            Ok(Err(Some(fault))) => {
                warn!("refused {peer}: {}", fault.text);
                line.close(&fault, (10, 40)).await;
            }
            Ok(Err(None)) | Err(_) => {}
        }
    }

    /// Authentication, tuning, vhost. Returns what was tuned; `Err(None)` = the peer went away.
    async fn shake_hands(&self, line: &mut Line) -> Result<connection::TuneOk, Option<Fault>> {
        let mut greeting = [0; 8];
        line.stream.read_exact(&mut greeting).await.map_err(|_| None)?;
        if &greeting != GREETING {
            let _ = line.stream.write_all(GREETING).await;
            return Err(None);
        }
        line.say(connection::AMQPMethod::Start(connection::Start {
            version_major: 0,
            version_minor: 9,
            server_properties: properties(),
            mechanisms: "PLAIN".into(),
            locales: "en_US".into(),
        }))
        .await?;
        let connection::AMQPMethod::StartOk(start) = line.hear().await? else { return Err(None) };
        self.authenticate(start.mechanism.as_str(), start.response.as_bytes())?;
        let tune = connection::Tune { channel_max: 2047, frame_max: FRAME_MAX, heartbeat: HEARTBEAT };
        line.say(connection::AMQPMethod::Tune(tune)).await?;
        let connection::AMQPMethod::TuneOk(tuned) = line.hear().await? else { return Err(None) };
        let connection::AMQPMethod::Open(open) = line.hear().await? else { return Err(None) };
        self.broker.borrow_mut().open(line.id, open.virtual_host.as_str())?;
        line.say(connection::AMQPMethod::OpenOk(connection::OpenOk {})).await?;
        Ok(tuned)
    }

    fn authenticate(&self, mechanism: &str, response: &[u8]) -> Result<(), Fault> {
        let expected = format!("\0{}\0{}", self.settings.user, self.settings.password);
        // Compared in full, whatever differs: the time taken tells nothing.
        let differing = response.iter().zip(expected.as_bytes()).fold(0, |sum, (a, b)| sum | (a ^ b));
        if mechanism == "PLAIN" && response.len() == expected.len() && differing == 0 {
            return Ok(());
        }
        let what = format!("Login was refused using authentication mechanism {mechanism}");
        Err(Fault::access_refused(&what))
    }

    async fn converse(&self, line: &mut Line, outbox: &Outbox, heartbeat: u16) {
        let beat = Duration::from_secs(u64::from(heartbeat.max(1)) / 2).max(Duration::from_millis(500));
        let mut beats = tokio::time::interval(beat);
        let mut heard = Instant::now();
        let mut buffer = vec![0; 64 << 10];
        // What came in one piece with `connection.open`.
        let mut unread = !line.input.is_empty();
        loop {
            if std::mem::take(&mut unread) && self.heed(line, outbox).await.is_break() {
                return;
            }
            let out = std::mem::take(&mut *outbox.bytes.borrow_mut());
            if !out.is_empty() {
                // A peer that reads nothing for two heartbeats is dead.
                let patience = if heartbeat == 0 { Duration::from_secs(3600) } else { beat * 4 };
                match tokio::time::timeout(patience, line.stream.write_all(&out)).await {
                    Ok(Ok(())) => continue,
                    _ => return,
                }
            }
            tokio::select! {
                () = outbox.more.notified() => {}
                read = line.stream.read(&mut buffer), if outbox.bytes.borrow().len() < UNSENT => match read {
                    Ok(0) | Err(_) => return,
                    Ok(n) => {
                        heard = Instant::now();
                        line.input.extend_from_slice(&buffer[..n]);
                        unread = true;
                    }
                },
                _ = beats.tick(), if heartbeat > 0 => {
                    if heard.elapsed() > beat * 4 {
                        warn!("connection {} is silent: closed", line.id);
                        return;
                    }
                    wire::put_heartbeat(&mut outbox.bytes.borrow_mut());
                }
            }
        }
    }

    /// Does what the frames that were read ask for; breaks where the connection ends with them.
    async fn heed(&self, line: &mut Line, outbox: &Outbox) -> ControlFlow<()> {
        let end = self.take_frames(line);
        self.flush();
        let Err(end) = end else { return ControlFlow::Continue(()) };
        let out = std::mem::take(&mut *outbox.bytes.borrow_mut());
        let _ = line.stream.write_all(&out).await;
        line.end(end).await;
        ControlFlow::Break(())
    }

    /// Deals with the complete frames of what was read.
    fn take_frames(&self, line: &mut Line) -> Result<(), End> {
        let (id, now) = (line.id, self.now());
        let mut broker = self.broker.borrow_mut();
        let mut taken = 0;
        let result = loop {
            let raw = match wire::cut(&line.input[taken..]) {
                Ok(None) => break Ok(()),
                Ok(Some(raw)) => raw,
                Err(wire::Broken) => break Err(End::Fault(frame_error(), (0, 0))),
            };
            let number = raw.channel;
            let ids = match (raw.kind, raw.payload.first_chunk::<4>()) {
                (Kind::Method, Some(b)) => {
                    (u16::from_be_bytes([b[0], b[1]]), u16::from_be_bytes([b[2], b[3]]))
                }
                _ => (0, 0),
            };
            let done = match raw.kind {
                Kind::Heartbeat => Ok(()),
                Kind::Header => broker.header(id, number, raw.payload, now),
                Kind::Body => broker.body(id, number, raw.payload, now),
                Kind::Method => match wire::method(&raw) {
                    Err(wire::Broken) => Err(Fault::not_implemented("this broker has no such method")),
                    Ok(AMQPClass::Connection(connection::AMQPMethod::Close(_))) => break Err(End::Asked),
                    Ok(AMQPClass::Connection(_)) => Err(Fault::invalid("unexpected method on channel 0")),
                    Ok(class) => broker.method(id, number, class, now),
                },
            };
            taken += raw.frame.len();
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

/// Why a connection ends.
enum End {
    /// The peer asked for it.
    Asked,
    /// The peer did something wrong, in this method.
    Fault(Fault, (u16, u16)),
}

struct Line {
    stream: TcpStream,
    input: Vec<u8>,
    id: ConnectionId,
}

impl Line {
    async fn say(&mut self, method: connection::AMQPMethod) -> Result<(), Option<Fault>> {
        let mut out = vec![];
        wire::put_method(&mut out, 0, AMQPClass::Connection(method));
        self.stream.write_all(&out).await.map_err(|_| None)
    }

    async fn hear(&mut self) -> Result<connection::AMQPMethod, Option<Fault>> {
        loop {
            let cut = match wire::cut(&self.input) {
                Ok(Some(raw)) => Some((raw.frame.len(), wire::method(&raw))),
                Ok(None) => None,
                Err(wire::Broken) => return Err(None),
            };
            match cut {
                Some((length, method)) => {
                    self.input.drain(..length);
                    if let Ok(AMQPClass::Connection(method)) = method {
                        return Ok(method);
                    }
                    return Err(None);
                }
                None => {
                    let mut buffer = [0; 4096];
                    match self.stream.read(&mut buffer).await {
                        Ok(n) if n > 0 => self.input.extend_from_slice(&buffer[..n]),
                        _ => return Err(None),
                    }
                }
            }
        }
    }

    async fn end(&mut self, end: End) {
        match end {
            End::Asked => {
                let _ = self.say(connection::AMQPMethod::CloseOk(connection::CloseOk {})).await;
            }
            End::Fault(fault, ids) => {
                warn!("connection {}: {}", self.id, fault.text);
                self.close(&fault, ids).await;
            }
        }
    }

    /// Says why, and waits a moment for the peer to have heard it.
    async fn close(&mut self, fault: &Fault, ids: (u16, u16)) {
        let close = connection::Close {
            reply_code: fault.code,
            reply_text: fault.text.as_str().into(),
            class_id: ids.0,
            method_id: ids.1,
        };
        if self.say(connection::AMQPMethod::Close(close)).await.is_ok() {
            let _ = tokio::time::timeout(Duration::from_secs(2), self.hear()).await;
        }
    }
}

fn frame_error() -> Fault {
    Fault { code: 501, text: "FRAME_ERROR - cannot decode a frame".into() }
}

/// What clients look at to know what they may do.
fn properties() -> FieldTable {
    let text = |t: &str| AMQPValue::LongString(t.into());
    let mut capabilities = FieldTable::default();
    for name in [
        "publisher_confirms",
        "consumer_cancel_notify",
        "basic.nack",
        "per_consumer_qos",
        "authentication_failure_close",
        "connection.blocked",
    ] {
        capabilities.insert(name.into(), AMQPValue::Boolean(true));
    }
    let mut table = FieldTable::default();
    table.insert("product".into(), text("skynet-broker"));
    table.insert("version".into(), text(env!("CARGO_PKG_VERSION")));
    table.insert("information".into(), text("for one machine and one user"));
    table.insert("capabilities".into(), AMQPValue::FieldTable(capabilities));
    table
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

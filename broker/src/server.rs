//! The rim: connections on sockets, the store's thread, and the broker between them. One thread does it all but
//! the writing to disk.

use crate::broker::{Broker, Send};
use crate::conversation::Conversation;
use crate::fault::Fault;
use crate::line::{Agreed, Line};
use crate::old::Version;
use crate::outbox::Outbox;
use crate::queue::{ConnectionId, Moment};
use crate::settings::Settings;
use crate::store::Store;
use crate::wire;
use amq_protocol::protocol::connection;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tracing::{info, warn};

/// How long a stranger has to become a connection.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// How often queues are looked at in which something becomes due by itself.
const TICK: Duration = Duration::from_secs(1);

/// The broker and its connections.
pub struct Server {
    settings: Settings,
    pub(crate) broker: RefCell<Broker>,
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
                Some(result) = stored.recv() => self.stored(result),
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

    /// What became of a batch of changes.
    fn stored(&self, result: Result<u64, String>) {
        match result {
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
        }
    }

    /// How long there has been a server.
    pub(crate) fn now(&self) -> Moment {
        self.born.elapsed()
    }

    /// Passes on what the broker wants sent, stored and said.
    pub(crate) fn flush(&self) {
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
                Conversation::new(&self, &mut line, &outbox).hold(agreed.heartbeat).await;
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

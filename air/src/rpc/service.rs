//! Answers: the commands that an instance serves, and what becomes of a request.
//!
//! A command that panics, or fails in a way that it does not declare, is answered with `Internal` and a reference;
//! the server's log has the whole error at that reference, and the server lives on.

use crate::rpc::carrier::{Carrier, Exchange, Inbox};
use crate::rpc::command::{Command, Described, Failure, Fault, codes, read_args};
use crate::rpc::message::{Message, Response, VERSION};
use futures_util::future::{BoxFuture, FutureExt};
use futures_util::{Stream, StreamExt};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::{debug, error};

/// How long a request that names no deadline may take.
pub const DEFAULT_DEADLINE: Duration = Duration::from_secs(30);
/// How many requests one inbox has in work at once.
const AT_ONCE: usize = 64;

/// What a command may want to know of the request.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The key that it came by.
    pub key: String,
    /// Its id.
    pub id: String,
    /// When the caller stops waiting.
    pub deadline: Instant,
}

type Run = Box<dyn Fn(Value, Asked) -> BoxFuture<'static, Result<Value, Failure>> + Send + Sync>;

/// The commands that an instance serves.
pub struct Service {
    instance: String,
    /// `host:pid`, the beginning of a reference.
    place: String,
    commands: BTreeMap<&'static str, (Described, Run)>,
}

impl Service {
    /// A service without commands. `instance` is what the caller is told, `host` goes into references.
    pub fn new(instance: impl Into<String>, host: &str) -> Self {
        let place = format!("{host}:{}", std::process::id());
        Self { instance: instance.into(), place, commands: BTreeMap::new() }
    }

    /// Adds a command.
    #[must_use]
    pub fn with<C, F, Fut>(mut self, run: F) -> Self
    where
        C: Command,
        F: Fn(C::Args, Asked) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<C::Out, Failure>> + Send + 'static,
    {
        let run: Run = Box::new(move |args, asked| match read_args::<C>(args) {
            Err(wrong) => futures_util::future::err(Failure::declared(codes::BAD_ARGUMENTS, wrong)).boxed(),
            Ok(args) => {
                let running = run(args, asked);
                async move { Ok(serde_json::to_value(running.await?)?) }.boxed()
            }
        });
        self.commands.insert(C::NAME, (Described::of::<C>(), run));
        self
    }

    /// The rows of its commands.
    pub fn commands(&self) -> impl Iterator<Item = Described> + '_ {
        self.commands.values().map(|(described, _)| *described)
    }

    /// Answers what comes to an inbox until that ends; what is in work then is abandoned, as it is when this is
    /// dropped.
    pub async fn serve<C: Carrier>(self: Arc<Self>, carrier: C, mut inbox: Inbox) {
        self.take_all(&carrier, &mut inbox, &mut JoinSet::new()).await;
    }

    /// Like [`serve`](Self::serve), until `stopped`: then the inbox is closed, and what has come is still answered.
    pub async fn serve_until<C: Carrier>(
        self: Arc<Self>,
        carrier: C,
        mut inbox: Inbox,
        stopped: impl Future<Output = ()>,
    ) {
        let mut work = JoinSet::new();
        tokio::select! {
            () = self.take_all(&carrier, &mut inbox, &mut work) => return,
            () = stopped => {}
        }
        while let Some(Some(message)) = inbox.next().now_or_never() {
            self.take(&carrier, message, &mut work);
        }
        drop(inbox);
        while work.join_next().await.is_some() {}
    }

    async fn take_all<C: Carrier>(self: &Arc<Self>, carrier: &C, inbox: &mut Inbox, work: &mut JoinSet<()>) {
        while let Some(message) = next(inbox, work).await {
            self.take(carrier, message, work);
        }
    }

    fn take<C: Carrier>(self: &Arc<Self>, carrier: &C, message: Message, work: &mut JoinSet<()>) {
        let (service, carrier) = (Arc::clone(self), carrier.clone());
        work.spawn(async move { service.answer(&carrier, message).await });
    }

    /// Answers one request.
    pub async fn answer<C: Carrier>(&self, carrier: &C, message: Message) {
        let (Some(reply_to), Some(id)) = (message.reply_to.clone(), message.id.clone()) else {
            debug!(
                "a request without reply_to or message_id came by {}; nobody waits for its answer",
                message.key
            );
            return;
        };
        let respond = async |response: Response| {
            let message = Message {
                key: reply_to.clone(),
                answers: Some(id.clone()),
                from: Some(self.instance.clone()),
                body: response.to_body(),
                ..Message::default()
            };
            // A caller that has gone, or a broker that has, wants no answer any more.
            let _ = carrier.send(Exchange::Response, message).await;
        };
        if message.receipt {
            respond(Response::Received {}).await;
        }
        let deadline = Instant::now() + message.deadline.unwrap_or(DEFAULT_DEADLINE);
        let asked = Asked { key: message.key.clone(), id: id.clone(), deadline };
        match tokio::time::timeout_at(deadline, self.run(&message, asked)).await {
            Ok(Ok(out)) => respond(Response::Ok(out)).await,
            Ok(Err(fault)) => respond(Response::Error(fault)).await,
            Err(_) => debug!("nobody waits any more for the answer to request {id}"),
        }
    }

    async fn run(&self, message: &Message, asked: Asked) -> Result<Value, Fault> {
        if message.version != Some(VERSION) {
            let version = message.version.map_or_else(|| "none".into(), |version| version.to_string());
            return Err(Fault::new(codes::BAD_REQUEST, format!("header v is {version}, not {VERSION}")));
        }
        // A list would do for a struct.
        let mut request: Map<String, Value> = serde_json::from_slice(&message.body).map_err(|e| {
            Fault::new(codes::BAD_REQUEST, format!("the body is no JSON object with args: {e}"))
        })?;
        let args = request.remove("args").unwrap_or_default();
        let name = message.kind.as_deref().unwrap_or_default();
        let Some((described, run)) = self.commands.get(name) else {
            let known: Vec<_> = self.commands.keys().copied().collect();
            let what = format!("no command {name:?} here; there are {}", known.join(", "));
            return Err(Fault::new(codes::UNKNOWN_COMMAND, what));
        };
        let reference = format!("{}:{name}:{}", self.place, asked.id);
        let running = AssertUnwindSafe(async { run(args, asked).await }).catch_unwind();
        match running.await {
            Ok(Ok(out)) => Ok(out),
            Ok(Err(Failure::Declared(fault))) if is_declared(described, &fault) => Err(fault),
            Ok(Err(Failure::Declared(fault))) => Err(internal(reference, &fault)),
            Ok(Err(Failure::Undeclared(e))) => Err(internal(reference, &Chain(&*e))),
            Err(panic) => Err(internal(reference, &format!("panic: {}", panic_text(&*panic)))),
        }
    }
}

/// The next message, once there is room for its work.
async fn next(inbox: &mut (impl Stream<Item = Message> + Unpin), work: &mut JoinSet<()>) -> Option<Message> {
    loop {
        tokio::select! {
            message = inbox.next(), if work.len() < AT_ONCE => return message,
            Some(_) = work.join_next() => {}
        }
    }
}

fn is_declared(described: &Described, fault: &Fault) -> bool {
    fault.code == codes::BAD_ARGUMENTS || described.faults.contains(&fault.code.as_str())
}

fn internal(reference: String, what: &dyn std::fmt::Display) -> Fault {
    error!("{reference}: {what}");
    let message = "the command failed in a way that it does not declare";
    Fault { reference: Some(reference), ..Fault::new(codes::INTERNAL, message) }
}

/// An error with all its causes.
struct Chain<'a>(&'a (dyn std::error::Error + 'static));

impl std::fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(e) = cause {
            write!(f, ": {e}")?;
            cause = e.source();
        }
        Ok(())
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no text".into())
}

//! Asks: `call` for one answer, `gather` for those of all who hear it.

use crate::rpc::carrier::{Broken, Carrier, Exchange, Inbox};
use crate::rpc::command::{Command, Fault};
use crate::rpc::gather::Gather;
use crate::rpc::message::{Message, Request, Response, VERSION};
use crate::rpc::target::Target;
use futures_util::StreamExt;
use serde::de::DeserializeOwned;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{Instant, timeout_at};

/// How long a call waits unless it is told otherwise.
pub const DEFAULT_DEADLINE: Duration = Duration::from_secs(30);

/// Why there is no answer to a call.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unanswered {
    /// Nobody serves that key. Known at once, not after the deadline.
    #[error("there is no {0} at the broker")]
    NoSuchService(Target),
    /// The server answered with a fault.
    #[error("{from}: {fault}")]
    Refused {
        /// Which instance.
        from: String,
        /// What it said.
        fault: Box<Fault>,
    },
    /// Somebody has the request, and no answer came in time.
    #[error("{target} did not answer within {} ms", within.as_millis())]
    Silent {
        /// Who was asked.
        target: Target,
        /// The deadline.
        within: Duration,
    },
    /// The connection to the broker is gone: whether the request was carried out is unknown.
    #[error("{0}")]
    Lost(String),
    /// The answer cannot be read.
    #[error("{from} answered what is no answer to {command}: {reason}")]
    Garbled {
        /// Which instance.
        from: String,
        /// The command.
        command: &'static str,
        /// What is wrong with it.
        reason: String,
    },
}

impl Unanswered {
    /// One word for programs: the fault's code where the server sent one.
    pub fn code(&self) -> &str {
        match self {
            Self::NoSuchService(_) => "NoSuchService",
            Self::Refused { fault, .. } => &fault.code,
            Self::Silent { .. } => "DeadlineExceeded",
            Self::Lost(_) => "Disconnected",
            Self::Garbled { .. } => "Garbled",
        }
    }
}

impl From<Broken> for Unanswered {
    fn from(Broken(why): Broken) -> Self {
        Self::Lost(why)
    }
}

/// Asks others over a carrier. Many calls can be under way at once.
pub struct Caller<C> {
    carrier: C,
    reply_to: String,
    waiting: Arc<Waiting>,
    reader: tokio::task::JoinHandle<()>,
}

impl<C: Carrier> Caller<C> {
    /// Begins to listen for answers, on a queue of its own.
    ///
    /// # Errors
    /// What the carrier says.
    pub async fn over(carrier: C) -> Result<Self, Broken> {
        let reply_to = format!("air.caller.{}", uuid::Uuid::new_v4().simple());
        let inbox = carrier.listen(Exchange::Response, reply_to.clone(), vec![reply_to.clone()]).await?;
        let waiting = Arc::new(Waiting::default());
        let reader = tokio::spawn(read(inbox, Arc::clone(&waiting)));
        Ok(Self { carrier, reply_to, waiting, reader })
    }

    /// Asks, and returns the first answer.
    ///
    /// # Errors
    /// [`Unanswered`].
    pub async fn call<Q: Command>(
        &self,
        target: &Target,
        args: &Q::Args,
        within: Duration,
    ) -> Result<Q::Out, Unanswered> {
        let deadline = Instant::now() + within;
        let silent = || Unanswered::Silent { target: target.clone(), within };
        let mut answers = timeout_at(deadline, self.ask::<Q>(target, args, deadline, false))
            .await
            .map_err(|_| silent())??;
        loop {
            let message = timeout_at(deadline, answers.next()).await.map_err(|_| silent())?;
            let Some(message) = message else { return Err(Unanswered::Lost(self.waiting.why())) };
            if let Some((from, result)) = open::<Q::Out>(Q::NAME, message)? {
                return result.map_err(|fault| Unanswered::Refused { from, fault: Box::new(fault) });
            }
        }
    }

    /// Asks all who hear it, once, and returns their answers as they come.
    ///
    /// # Errors
    /// [`Unanswered::NoSuchService`] when nobody hears it, [`Unanswered::Lost`].
    pub async fn gather<Q: Command>(
        &self,
        target: &Target,
        args: &Q::Args,
        within: Duration,
    ) -> Result<Gather<Q::Out>, Unanswered> {
        let deadline = Instant::now() + within;
        let asked = timeout_at(deadline, self.ask::<Q>(target, args, deadline, true)).await;
        let answers = asked.map_err(|_| Unanswered::Silent { target: target.clone(), within })??;
        Ok(Gather::new(Q::NAME, answers, deadline))
    }

    async fn ask<Q: Command>(
        &self,
        target: &Target,
        args: &Q::Args,
        deadline: Instant,
        receipt: bool,
    ) -> Result<Answers, Unanswered> {
        let id = uuid::Uuid::new_v4().simple().to_string();
        let answers = self.waiting.expect(&id)?;
        let args = serde_json::to_value(args).map_err(|e| Unanswered::Garbled {
            from: "this caller".into(),
            command: Q::NAME,
            reason: e.to_string(),
        })?;
        let message = Message {
            key: target.key(),
            id: Some(id),
            reply_to: Some(self.reply_to.clone()),
            kind: Some(Q::NAME.into()),
            // At least one: an expiration of zero is delivered to nobody.
            deadline: Some((deadline - Instant::now()).max(Duration::from_millis(1))),
            version: Some(VERSION),
            receipt,
            body: serde_json::to_vec(&Request { args }).unwrap_or_default(),
            ..Message::default()
        };
        if self.carrier.send(Exchange::Request, message).await? {
            Ok(answers)
        } else {
            Err(Unanswered::NoSuchService(target.clone()))
        }
    }
}

impl<C> Drop for Caller<C> {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

/// Who said what.
type Said<Out> = (String, Result<Out, Fault>);

/// What a response says; `None` for a receipt.
pub(crate) fn open<Out: DeserializeOwned>(
    command: &'static str,
    message: Message,
) -> Result<Option<Said<Out>>, Unanswered> {
    let from = message.from.unwrap_or_else(|| "an unnamed instance".into());
    let garbled = |from: &str, e: serde_json::Error| Unanswered::Garbled {
        from: from.into(),
        command,
        reason: e.to_string(),
    };
    match serde_json::from_slice(&message.body).map_err(|e| garbled(&from, e))? {
        Response::Received {} => Ok(None),
        Response::Error(fault) => Ok(Some((from, Err(fault)))),
        Response::Ok(out) => {
            let out = serde_json::from_value(out).map_err(|e| garbled(&from, e))?;
            Ok(Some((from, Ok(out))))
        }
    }
}

async fn read(mut inbox: Inbox, waiting: Arc<Waiting>) {
    while let Some(message) = inbox.next().await {
        waiting.deliver(message);
    }
    waiting.end("the connection to the broker is gone");
}

/// Who waits for which answer.
#[derive(Default)]
struct Waiting(Mutex<Table>);

#[derive(Default)]
struct Table {
    senders: HashMap<String, UnboundedSender<Message>>,
    over: Option<String>,
}

/// The answers to one request. Dropping it ends the wait: what comes later is thrown away.
pub(crate) struct Answers {
    id: String,
    messages: UnboundedReceiver<Message>,
    waiting: Arc<Waiting>,
}

impl Answers {
    /// The next one; `None` when no more can come, as the connection is gone.
    pub(crate) async fn next(&mut self) -> Option<Message> {
        self.messages.recv().await
    }
}

impl Drop for Answers {
    fn drop(&mut self) {
        self.waiting.lock().senders.remove(&self.id);
    }
}

impl Waiting {
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn expect(self: &Arc<Self>, id: &str) -> Result<Answers, Unanswered> {
        let mut table = self.lock();
        if let Some(why) = &table.over {
            return Err(Unanswered::Lost(why.clone()));
        }
        let (sender, messages) = unbounded_channel();
        table.senders.insert(id.into(), sender);
        Ok(Answers { id: id.into(), messages, waiting: Arc::clone(self) })
    }

    fn deliver(&self, message: Message) {
        let Some(id) = message.answers.clone() else { return };
        if let Some(sender) = self.lock().senders.get(&id) {
            // Whoever waited has just stopped.
            let _ = sender.send(message);
        }
    }

    fn end(&self, why: &str) {
        let mut table = self.lock();
        table.over = Some(why.into());
        table.senders.clear();
    }

    fn why(&self) -> String {
        self.lock().over.clone().unwrap_or_default()
    }
}

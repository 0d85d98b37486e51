//! A connection to a broker: opened within a time, closed within a time, and words for what went wrong.

use super::channel::Channel;
use super::dial::{Tls, dial};
use super::error::Error;
use super::handshake::shake_hands;
use super::pump::{Shared, run};
use super::state::State;
use amq_protocol::uri::AMQPUri;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::timeout;

/// How long a broker may take to be connected to.
pub const PATIENCE: Duration = Duration::from_secs(10);
/// The heartbeat where the URL asks for none: half of what RabbitMQ proposes, as a participant must notice within
/// one heartbeat that its broker has gone.
pub const HEARTBEAT: u16 = 30;
/// The largest frame where the URL asks for none, as RabbitMQ proposes it.
const FRAME: u32 = 128 << 10;

/// How long a short string of the protocol may be.
const LONGEST: usize = 255;

/// A connection. What it still has to say is said as long as it is there: it ends when it is dropped.
#[derive(Debug)]
pub struct Connection {
    shared: Arc<Shared>,
    task: AbortHandle,
    over: watch::Receiver<Option<Error>>,
    /// `amqp://host:port/vhost`, without user and password.
    pub place: String,
    /// What the broker calls itself: `RabbitMQ`, `skynet-broker`.
    pub product: String,
}

impl Connection {
    /// Connects within [`PATIENCE`]. `name` is what the broker's operator sees.
    ///
    /// # Errors
    /// Why not, in a line that names the broker and never the password.
    pub async fn open(url: &str, name: &str, tls: &Tls) -> Result<Self, String> {
        let mut uri: AMQPUri = url.parse().map_err(|e| format!("cannot read the broker's url: {e}"))?;
        uri.query.heartbeat.get_or_insert(HEARTBEAT);
        uri.query.frame_max.get_or_insert(FRAME);
        let place = place(&uri);
        if uri.vhost.len() > LONGEST {
            return Err(format!("cannot connect to {place}: a vhost has {LONGEST} bytes at most"));
        }
        let opened = timeout(PATIENCE, async {
            let mut stream = dial(&uri, tls).await?;
            let (agreed, product, input) = shake_hands(&mut stream, &uri, name).await?;
            Ok::<_, Error>((stream, agreed, product, input))
        });
        let why = match opened.await {
            Ok(Ok((stream, agreed, product, input))) => {
                let state = State::new(agreed);
                let over = state.over();
                let shared = Shared::new(state);
                let task = tokio::spawn(run(stream, input, Arc::clone(&shared))).abort_handle();
                return Ok(Self { shared, task, over, place, product });
            }
            Ok(Err(e)) => e.to_string(),
            Err(_) => format!("no answer within {} s", PATIENCE.as_secs()),
        };
        Err(format!("cannot connect to {place}: {why}"))
    }

    /// A new channel.
    ///
    /// # Errors
    /// What the broker says.
    pub async fn channel(&self) -> Result<Channel, Error> {
        Channel::open(&self.shared).await
    }

    /// The heartbeat that was agreed upon; ours where the broker wants none.
    pub fn heartbeat(&self) -> Duration {
        match self.shared.look().agreed.heartbeat {
            Duration::ZERO => Duration::from_secs(HEARTBEAT.into()),
            agreed => agreed,
        }
    }

    /// Whether it is still there, as far as anybody knows.
    pub fn is_connected(&self) -> bool {
        self.over.borrow().is_none()
    }

    /// Waits until it is not there any more; returns why.
    pub fn ended(&self) -> impl Future<Output = Error> + Send + 'static {
        let mut over = self.over.clone();
        async move {
            match over.wait_for(Option::is_some).await {
                Ok(why) => why.clone().unwrap_or(Error::Closed),
                Err(_) => Error::Closed,
            }
        }
    }

    /// To look at, and to wait for: why the broker takes no messages for now.
    pub fn blocked(&self) -> watch::Receiver<Option<String>> {
        self.shared.look().blocked()
    }

    /// Closes it within a time; what was not acknowledged goes back to its queue either way.
    pub async fn close(&self, within: Duration) {
        if self.is_connected() {
            self.shared.change(State::close);
            // One that hangs loses its socket when it is dropped.
            let _ = timeout(within, self.ended()).await;
        }
        self.task.abort();
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// `amqp://host:port/vhost`, without user and password.
pub fn place(uri: &AMQPUri) -> String {
    let scheme = format!("{:?}", uri.scheme).to_lowercase();
    format!("{scheme}://{}:{}/{}", uri.authority.host, uri.authority.port, uri.vhost)
}

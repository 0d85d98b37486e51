//! A connection to a broker: TCP or TLS, with a deadline, and words for what went wrong.

use lapin::runtime::default_runtime;
use lapin::tcp::{AsyncTcpStream, OwnedIdentity, OwnedTLSConfig};
use lapin::uri::{AMQPScheme, AMQPUri};
use lapin::{Channel, ConnectionProperties, ErrorKind};
use std::fs;
use std::io;
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::timeout;

/// How long a broker may take to be connected to.
pub const PATIENCE: Duration = Duration::from_secs(10);
/// The heartbeat where the URL asks for none: half of what RabbitMQ proposes, as a participant must notice within
/// one heartbeat that its broker has gone.
pub const HEARTBEAT: u16 = 30;

/// The largest frame where the URL asks for none. lapin keeps two buffers of 32 frames for each connection and touches
/// all of them: with the 128 KiB that brokers propose, that is 8 MiB a connection.
pub const FRAME: u32 = 16 << 10;

/// Certificates for `amqps://`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// The authority that signed the broker's certificate, besides those that the system trusts (PEM).
    pub ca: Option<PathBuf>,
    /// Our certificate (PEM).
    pub cert: Option<PathBuf>,
    /// Its key (PEM).
    pub key: Option<PathBuf>,
}

impl Tls {
    fn read(&self) -> Result<OwnedTLSConfig, String> {
        let read = |path: &Path| fs::read(path).map_err(|e| format!("cannot read {}: {e}", path.display()));
        let identity = match (&self.cert, &self.key) {
            (Some(cert), Some(key)) => Some(OwnedIdentity::PKCS8 { pem: read(cert)?, key: read(key)? }),
            (None, None) => None,
            _ => return Err("amqp.tls.cert and amqp.tls.key need each other".into()),
        };
        let cert_chain = match &self.ca {
            Some(ca) => {
                Some(String::from_utf8(read(ca)?).map_err(|_| format!("{} is not PEM", ca.display()))?)
            }
            None => None,
        };
        Ok(OwnedTLSConfig { identity, cert_chain })
    }
}

/// A connection, and the socket below it.
pub struct Connection {
    inner: lapin::Connection,
    plug: Plug,
    /// `amqp://host:port/vhost`, without user and password.
    pub place: String,
}

/// The socket, to be pulled when the broker hangs: lapin's thread would wait on it for ever.
#[derive(Clone, Default)]
struct Plug(Arc<Mutex<Option<TcpStream>>>);

impl Plug {
    fn hold(&self, socket: &impl AsFd) -> io::Result<()> {
        let socket = TcpStream::from(socket.as_fd().try_clone_to_owned()?);
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(socket);
        Ok(())
    }

    fn pull(&self) {
        if let Some(socket) = self.0.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // One that the broker has closed is down already.
            let _ = socket.shutdown(Shutdown::Both);
        }
    }
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
        let cannot = |why: &str| format!("cannot connect to {place}: {why}");
        let plug = Plug::default();
        let tls =
            if uri.scheme == AMQPScheme::AMQPS { Some(tls.read().map_err(|e| cannot(&e))?) } else { None };
        match timeout(PATIENCE, dial(uri, name, tls, plug.clone())).await {
            Ok(Ok(inner)) => Ok(Self { inner, plug, place }),
            Ok(Err(e)) => Err(cannot(&reason(&e))),
            Err(_) => {
                plug.pull();
                Err(cannot(&format!("no answer within {} s", PATIENCE.as_secs())))
            }
        }
    }

    /// A new channel.
    ///
    /// # Errors
    /// What the broker says.
    pub async fn channel(&self) -> lapin::Result<Channel> {
        self.inner.create_channel().await
    }

    /// lapin's connection.
    pub fn inner(&self) -> &lapin::Connection {
        &self.inner
    }

    /// The heartbeat that was agreed upon; ours where the broker wants none.
    pub fn heartbeat(&self) -> Duration {
        let agreed = self.inner.configuration().heartbeat();
        Duration::from_secs(if agreed == 0 { HEARTBEAT } else { agreed }.into())
    }

    /// Whether it is still there, as far as lapin knows.
    pub fn is_connected(&self) -> bool {
        self.inner.status().connected()
    }

    /// Closes it within a time; what was not acknowledged goes back to its queue either way.
    pub async fn close(&self, within: Duration) {
        // A broken one is closed already; one that hangs loses its socket.
        let _ = timeout(within, self.inner.close(200, "done".into())).await;
        self.plug.pull();
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if !self.is_connected() {
            self.plug.pull();
        }
    }
}

async fn dial(
    uri: AMQPUri,
    name: &str,
    tls: Option<OwnedTLSConfig>,
    plug: Plug,
) -> lapin::Result<lapin::Connection> {
    let properties = ConnectionProperties::default().with_connection_name(name.into());
    let runtime = default_runtime()?;
    let reactor = runtime.clone();
    let connect = async move |uri: AMQPUri, _| {
        let stream = timeout(PATIENCE, async {
            let mut last = io::Error::from(io::ErrorKind::NotFound);
            let host = uri.authority.host.trim_matches(['[', ']']);
            for address in tokio::net::lookup_host((host, uri.authority.port)).await? {
                match AsyncTcpStream::connect(&reactor, address).await {
                    Ok(stream) => return Ok(stream),
                    Err(e) => last = e,
                }
            }
            Err(last)
        });
        let stream = stream.await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))?;
        if let AsyncTcpStream::Plain(socket) = &stream {
            plug.hold(socket.get_ref())?;
        }
        match &tls {
            Some(tls) => Ok(stream.into_tls(&uri.authority.host, tls.as_ref()).await?),
            None => Ok(stream),
        }
    };
    lapin::Connection::connector(uri, runtime, connect, properties).await
}

/// `amqp://host:port/vhost`, without user and password.
pub fn place(uri: &AMQPUri) -> String {
    let scheme = format!("{:?}", uri.scheme).to_lowercase();
    format!("{scheme}://{}:{}/{}", uri.authority.host, uri.authority.port, uri.vhost)
}

/// The broker's own words where it said something.
pub fn reason(e: &lapin::Error) -> String {
    match e.kind() {
        ErrorKind::ProtocolError(e) => e.get_message().to_string(),
        ErrorKind::IOError(e) => io_reason(e),
        ErrorKind::MissingHeartbeatError => "the broker's heartbeats stopped".into(),
        _ => e.to_string(),
    }
}

fn io_reason(e: &io::Error) -> String {
    let said = e.to_string();
    let said = said.split(" (os error").next().unwrap_or_default();
    let hint = if said.contains("InvalidContentType") {
        " (the broker speaks no TLS on this port)"
    } else if said.contains("UnknownIssuer") {
        " (amqp.tls.ca does not name the authority that signed the broker's certificate)"
    } else if said.contains("not valid for name") {
        " (the broker's certificate is for another host name than that of the url)"
    } else if said.contains("CertificateRequired") {
        " (the broker wants a certificate of ours: amqp.tls.cert and amqp.tls.key)"
    } else {
        ""
    };
    format!("{said}{hint}")
}

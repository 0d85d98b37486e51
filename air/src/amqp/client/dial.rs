//! The socket: TCP, or TLS upon it.

use super::Error;
use amq_protocol::uri::{AMQPScheme, AMQPUri};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto};

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

/// A byte stream to a broker.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Connects to the broker that a URL names.
///
/// # Errors
/// What the system or TLS says.
pub async fn dial(uri: &AMQPUri, tls: &Tls) -> Result<Box<dyn Stream>, Error> {
    let host = uri.authority.host.trim_matches(['[', ']']);
    let socket = TcpStream::connect((host, uri.authority.port)).await?;
    // What is written is a whole answer already: nothing to wait for.
    socket.set_nodelay(true)?;
    // A child that a handler forks would keep it open after our end.
    unix::forked::keep_private(&socket);
    if uri.scheme == AMQPScheme::AMQP {
        return Ok(Box::new(socket));
    }
    let connector = TlsConnector::from(Arc::new(tls.config()?));
    let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
    Ok(Box::new(connector.connect(name, socket).await?))
}

impl Tls {
    fn config(&self) -> Result<ClientConfig, Error> {
        let mut roots = RootCertStore::empty();
        // Those of the system that cannot be read are none that we could trust.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if let Some(path) = &self.ca {
            for certificate in certificates(path)? {
                roots.add(certificate).map_err(|e| unreadable(path, &e))?;
            }
        }
        let provider = Arc::new(crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_root_certificates(roots);
        match (&self.cert, &self.key) {
            (None, None) => Ok(config.with_no_client_auth()),
            (Some(cert), Some(key)) => {
                let secret = PrivateKeyDer::from_pem_file(key).map_err(|e| unreadable(key, &e))?;
                let config = config.with_client_auth_cert(certificates(cert)?, secret);
                config.map_err(|e| unreadable(cert, &e))
            }
            _ => Err(Error::Socket("amqp.tls.cert and amqp.tls.key need each other".into())),
        }
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let found: Result<Vec<_>, _> =
        CertificateDer::pem_file_iter(path).map_err(|e| unreadable(path, &e))?.collect();
    match found.map_err(|e| unreadable(path, &e))? {
        none if none.is_empty() => {
            Err(Error::Socket(format!("cannot read {}: there is no certificate in it", path.display())))
        }
        found => Ok(found),
    }
}

fn unreadable(path: &Path, why: &dyn std::fmt::Display) -> Error {
    let why = why.to_string();
    let why = why.split(" (os error").next().unwrap_or_default();
    Error::Socket(format!("cannot read {}: {why}", path.display()))
}

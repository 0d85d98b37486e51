//! What a handler sends besides its replies.

use air::Tls;
use air::line::{Line, LineError};
use config::{Settings, address};
use pyo3::exceptions::PyConnectionError;
use pyo3::prelude::*;
use session::workers::Report;
use std::sync::mpsc::channel;
use tokio::sync::mpsc::UnboundedSender;

/// Where the engine listens.
const ENGINE: &str = "ruote_workitems";

/// What `send_to_engine` calls: publishes a workitem and returns when the broker has it. Before the session begins, in
/// "start", and when it is over, in "stop", by a connection of its own.
#[pyclass]
pub struct Publisher {
    session: Option<UnboundedSender<Report>>,
    urls: Vec<String>,
    tls: Tls,
}

impl Publisher {
    /// A way that needs no session.
    pub fn alone(settings: &Settings) -> Self {
        let urls = settings.amqp.iter().map(|url| url.secret().to_owned()).collect();
        let Settings { tls, .. } = settings;
        let tls = Tls { ca: tls.ca.clone(), cert: tls.cert.clone(), key: tls.key.clone() };
        Self { session: None, urls, tls }
    }

    /// The way by the session to which these reports go, as long as it lasts.
    pub fn by(reports: UnboundedSender<Report>, settings: &Settings) -> Self {
        Self { session: Some(reports), ..Self::alone(settings) }
    }

    /// True = the session has published it, and the broker has it.
    fn by_session(&self, body: &[u8]) -> bool {
        let Some(reports) = &self.session else { return false };
        let (confirmed, answer) = channel();
        reports.send(Report::Extra { body: body.to_vec(), confirmed }).is_ok() && answer.recv().is_ok()
    }
}

#[pymethods]
impl Publisher {
    fn __call__(&self, py: Python<'_>, body: Vec<u8>) -> PyResult<()> {
        py.detach(|| {
            if self.by_session(&body) { Ok(()) } else { send_alone(&self.urls, &self.tls, ENGINE, &body) }
        })
        .map_err(PyConnectionError::new_err)
    }
}

/// Sends a message to any broker, on a connection of its own; returns when the broker has it. `host` is HOST:PORT.
#[pyfunction]
pub fn send(
    py: Python<'_>,
    host: &str,
    user: &str,
    password: &str,
    vhost: &str,
    queue: &str,
    body: Vec<u8>,
) -> PyResult<()> {
    let parts = [("amqp_host", host), ("amqp_user", user), ("amqp_pwd", password), ("amqp_vhost", vhost)];
    let scheme = if host.ends_with(":5671") { "amqps://h" } else { "amqp://h" };
    let url = address::with_parts(Some(scheme), &parts.into());
    py.detach(|| send_alone(&[url], &Tls::default(), queue, &body)).map_err(PyConnectionError::new_err)
}

/// Sends a message on a connection of its own.
fn send_alone(urls: &[String], tls: &Tls, queue: &str, body: &[u8]) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let delivered = runtime.map_err(|e| e.to_string())?.block_on(deliver(urls, tls, queue, body));
    delivered.map_err(|e| e.to_string())
}

async fn deliver(urls: &[String], tls: &Tls, queue: &str, body: &[u8]) -> Result<(), LineError> {
    let line = Line::open(urls, tls).await?;
    line.declare(queue).await?;
    let taken = line.publish(queue, body).await?;
    let place = line.trouble("send", format!("there is no queue {queue}"));
    line.close().await;
    if taken { Ok(()) } else { Err(place) }
}

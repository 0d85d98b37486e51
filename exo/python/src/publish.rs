//! What a handler sends besides its replies.

use air::amqp::connection::Tls;
use air::line::{Line, LineError};
use config::address;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use session::workers::Report;
use std::sync::mpsc::channel;
use tokio::sync::mpsc::UnboundedSender;

/// What `send_to_engine` calls: publishes a workitem and returns when the broker has it.
#[pyclass]
pub struct Publisher {
    /// The way to the session.
    pub reports: UnboundedSender<Report>,
}

#[pymethods]
impl Publisher {
    fn __call__(&self, py: Python<'_>, body: Vec<u8>) -> PyResult<()> {
        let (confirmed, answer) = channel();
        let over = || PyRuntimeError::new_err("cannot send: the session is over");
        self.reports.send(Report::Extra { body, confirmed }).map_err(|_| over())?;
        py.detach(move || answer.recv()).map_err(|_| over())
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
    py.detach(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.map_err(|e| e.to_string())?.block_on(deliver(url, queue, &body)).map_err(|e| e.to_string())
    })
    .map_err(PyRuntimeError::new_err)
}

async fn deliver(url: String, queue: &str, body: &[u8]) -> Result<(), LineError> {
    let line = Line::open(&[url], &Tls::default()).await?;
    line.declare(queue).await?;
    let taken = line.publish(queue, body).await?;
    let place = line.trouble("send", format!("there is no queue {queue}"));
    line.close().await;
    if taken { Ok(()) } else { Err(place) }
}

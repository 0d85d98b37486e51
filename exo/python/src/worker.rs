//! A thread that hands workitems to the handler, one after the other.

use crate::control::{Board, Keeping};
use crate::json;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};
use session::workers::{Job, Order, Outcome, Report};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, OnceLock};
use tokio::sync::mpsc::UnboundedSender;
use unix::kept::Kept;
use workitem::ErrorInfo;

/// What such a thread needs.
pub struct Worker {
    /// The host of the handler.
    pub host: Py<PyAny>,
    /// What is to be done, for whichever worker is free.
    pub inbox: Arc<Mutex<Receiver<Order>>>,
    /// Where it says what became of it.
    pub reports: UnboundedSender<Report>,
    /// How far the handlers are.
    pub board: Board,
    /// What is kept of what the handlers say.
    pub keeping: Keeping,
    /// Whether the handler is at work on this thread.
    pub busy: Arc<AtomicBool>,
}

impl Worker {
    /// One for another thread.
    pub fn another(&self, py: Python<'_>) -> Self {
        Self {
            host: self.host.clone_ref(py),
            inbox: Arc::clone(&self.inbox),
            reports: self.reports.clone(),
            board: self.board.clone(),
            keeping: self.keeping.clone(),
            busy: Arc::default(),
        }
    }

    /// Takes orders until there are no more.
    pub fn work(&self, py: Python<'_>) {
        let next = || self.inbox.lock().ok().and_then(|inbox| inbox.recv().ok());
        while let Some(Order::Handle(job)) = py.detach(next) {
            let id = job.id;
            know_signals();
            self.keeping.begin(id, &job.fei);
            self.busy.store(true, Ordering::SeqCst);
            let outcome = handle(py, &self.host, job);
            // Before the process is idle, which is to end in order too.
            restore_signals(py, &self.host);
            self.busy.store(false, Ordering::SeqCst);
            self.board.forget(id);
            self.keeping.end(id);
            // The session is over: nobody wants to know.
            let _ = self.reports.send(Report::Done { id, outcome });
        }
    }
}

/// How TERM, HUP, USR1 and INT are dealt with: a handler may replace that, and we put it back.
static SIGNALS: OnceLock<Kept> = OnceLock::new();

const OURS: [i32; 4] = [libc::SIGTERM, libc::SIGHUP, libc::SIGUSR1, libc::SIGINT];

/// Looks at our signal handlers, before the first workitem: the session has installed them by then.
fn know_signals() {
    if SIGNALS.get().is_none()
        && let Ok(now) = Kept::now(&OURS)
    {
        let _ = SIGNALS.set(now);
        // A child that the handler forks would not end by them.
        let _ = unix::forked::keep_handlers(&OURS);
    }
}

/// Puts our signal handlers back, after each workitem, and so before the next; says so once.
fn restore_signals(py: Python<'_>, host: &Py<PyAny>) {
    if let Some(Ok(replaced)) = SIGNALS.get().map(Kept::restore)
        && !replaced.is_empty()
        && let Err(e) = host.call_method1(py, "signals_replaced", (replaced,))
    {
        e.print(py);
    }
}

fn handle(py: Python<'_>, host: &Py<PyAny>, job: Job) -> Outcome {
    // What is unusual is read in Python, which says what is wrong with it.
    let body =
        json::loads(py, &job.body).map_or_else(|| PyBytes::new(py, &job.body).into_any(), Bound::into_any);
    let handled = host.call_method1(py, "handle", (job.id, body, job.redelivered, job.attempt));
    handled.and_then(|result| outcome(py, &result)).unwrap_or_else(|e| {
        // The host catches what a handler raises: this is a fault of ours, and still an answer.
        let message = format!("internal error: {e}");
        e.print(py);
        let error = ErrorInfo { class: "RuntimeError".into(), message, trace: vec![] };
        Outcome::Failed { left: None, error, details: String::new(), forget: None }
    })
}

fn outcome(py: Python<'_>, result: &Py<PyAny>) -> PyResult<Outcome> {
    let (kind, reply, error): (String, Option<Vec<u8>>, Option<Bound<'_, PyDict>>) = result.extract(py)?;
    match (kind.as_str(), reply, error) {
        ("reply", Some(reply), _) => Ok(Outcome::Reply(reply)),
        ("forget", _, _) => Ok(Outcome::Forget),
        ("error", left, Some(error)) => {
            let text = |key: &str| -> PyResult<String> {
                error.get_item(key)?.map_or_else(|| Ok(String::new()), |value| value.extract())
            };
            let trace = error.get_item("trace")?.map_or_else(|| Ok(vec![]), |value| value.extract())?;
            let info = ErrorInfo { class: text("class")?, message: text("message")?, trace };
            let forget = error.get_item("forget")?.map(|value| value.extract()).transpose()?;
            Ok(Outcome::Failed { left, error: info, details: text("traceback")?, forget })
        }
        (kind, _, _) => Err(PyRuntimeError::new_err(format!("the host answered {kind:?}"))),
    }
}

//! What a handler is told and asked while it works: each on a thread of its own, as a handler that sits in C code
//! holds the interpreter for as long as it likes.

use crate::call_lifecycle;
use crate::leaving::Threads;
use pyo3::prelude::*;
use serde_json::Value;
use session::machine::Id;
use session::workers::{Order, Progress, Workers};
use state::lines::Lines;
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::Ordering;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use workitem::{Fei, safe_name};

/// How many such threads there may be.
const AT_ONCE: usize = 64;
/// How often, and how far apart, a workitem is looked for that its thread has not taken up yet.
const LOOKS: (u32, Duration) = (40, Duration::from_millis(50));

/// How far each workitem in hand is, as its handler last said.
#[pyclass]
#[derive(Clone, Default)]
pub struct Board(Arc<Mutex<HashMap<Id, Progress>>>);

#[pymethods]
impl Board {
    fn __call__(&self, id: Id, fraction: &Bound<'_, PyAny>, text: String) {
        // Anything that is no number, or none that JSON has, says nothing.
        let fraction = fraction.extract::<f64>().ok().filter(|fraction| fraction.is_finite());
        self.lock().insert(id, Progress { fraction, text });
    }
}

impl Board {
    fn lock(&self) -> MutexGuard<'_, HashMap<Id, Progress>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// It is done.
    pub fn forget(&self, id: Id) {
        self.lock().remove(&id);
    }
}

/// Keeps what is said for the workitems in hand. Called with the interpreter held only, so that no child that a handler
/// forks finds the lock taken.
#[pyclass]
#[derive(Clone)]
pub struct Keeping {
    lines: Arc<Lines>,
    keys: Arc<Mutex<HashMap<Id, String>>>,
}

#[pymethods]
impl Keeping {
    fn __call__(&self, id: Id, level: String, text: &[u8]) {
        if let Some(key) = self.lock().get(&id) {
            self.lines.say(key, &level, &String::from_utf8_lossy(text));
        }
    }
}

impl Keeping {
    /// Keeps it among these.
    pub fn new(lines: Arc<Lines>) -> Self {
        Self { lines, keys: Arc::default() }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Id, String>> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// It is in hand from now on.
    pub fn begin(&self, id: Id, fei: &Fei) {
        self.lock().insert(id, safe_name(&fei.sid()).into_owned());
    }

    /// It is done.
    pub fn end(&self, id: Id) {
        self.lock().remove(&id);
    }
}

/// The way to the threads that hold the interpreter: work for those that handle it, and words for the handler beside
/// them, as one that is busy must hear them too.
pub struct Hands {
    orders: Sender<Order>,
    host: Arc<Py<PyAny>>,
    board: Board,
    versions: BTreeMap<String, String>,
    threads: Arc<Threads>,
}

impl Hands {
    /// Hands that give work to whoever receives these orders.
    /// `versions`: what the handler runs on. `threads`: where ours are counted.
    pub fn new(
        orders: Sender<Order>,
        host: Py<PyAny>,
        board: Board,
        versions: BTreeMap<String, String>,
        threads: Arc<Threads>,
    ) -> Self {
        Self { orders, host: Arc::new(host), board, versions, threads }
    }

    /// Does something with the interpreter, on a thread of its own. One that cannot be had is not waited for: what
    /// the closure holds is dropped.
    fn aside(&self, act: impl FnOnce(&Py<PyAny>) + Send + 'static) {
        let (host, threads) = (Arc::clone(&self.host), Arc::clone(&self.threads));
        if threads.control.fetch_add(1, Ordering::SeqCst) >= AT_ONCE {
            threads.control.fetch_sub(1, Ordering::SeqCst);
            return;
        }
        let running = Arc::clone(&threads);
        let spawned = std::thread::Builder::new().name("control".into()).spawn(move || {
            act(&host);
            running.control.fetch_sub(1, Ordering::SeqCst);
        });
        if spawned.is_err() {
            threads.control.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

impl Workers for Hands {
    fn order(&self, order: Order) {
        match order {
            Order::Die => self.aside(|host| Python::attach(|py| call_lifecycle(py, host, "die"))),
            Order::Cancel { id, force, reason } => self.aside(move |host| cancel(host, id, force, &reason)),
            Order::Ask { id, answer } => self.aside(move |host| {
                if let Some(said) = status(host, id) {
                    // Whoever asked has stopped waiting.
                    let _ = answer.send(said);
                }
            }),
            // Threads end only when the session does: nobody is missed here.
            other => drop(self.orders.send(other)),
        }
    }

    fn progress(&self, id: Id) -> Option<Progress> {
        self.board.lock().get(&id).cloned()
    }

    fn versions(&self) -> BTreeMap<String, String> {
        self.versions.clone()
    }
}

fn cancel(host: &Py<PyAny>, id: Id, force: bool, reason: &str) {
    for _ in 0..LOOKS.0 {
        let found = Python::attach(|py| {
            let told = host.call_method1(py, "cancel", (id, force, reason)).and_then(|told| told.extract(py));
            told.unwrap_or_else(|e: PyErr| {
                e.print(py);
                true
            })
        });
        if found {
            return;
        }
        std::thread::sleep(LOOKS.1);
    }
}

/// What the handler says of a workitem; `None` where it says nothing.
fn status(host: &Py<PyAny>, id: Id) -> Option<Result<Value, String>> {
    let said: PyResult<Option<String>> =
        Python::attach(|py| host.call_method1(py, "status", (id,))?.extract(py));
    match said {
        Ok(None) => None,
        Ok(Some(text)) => Some(match serde_json::from_str::<Value>(&text) {
            Ok(mut said) => Ok(said.get_mut("status").map_or(Value::Null, Value::take)),
            // A number that is too large, or what is nested too deeply.
            Err(e) => Err(e.to_string()),
        }),
        Err(e) => Some(Err(e.to_string())),
    }
}

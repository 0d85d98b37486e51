//! The extension module `_skynet`: the session on a thread of its own, the handler on Python's main thread.
//!
//! `run(fd)` reads the settings from the descriptor that `exo` handed over, loads the handler through
//! `SkyNET._host`, and hands workitems to it until the session is over. The session's thread never holds the
//! interpreter lock; orders and reports cross on channels, one each way for a workitem.
//!
//! | file | idea |
//! |---|---|
//! | `worker.rs` | a thread that hands workitems to the handler |
//! | `control.rs` | what a handler is told and asked while it works |
//! | `publish.rs` | what a handler sends besides its replies |
//! | `leaving.rs` | the end, while threads are in the interpreter |
//! | `json.rs` | ordinary workitems as Python's dicts, and back |

mod control;
mod json;
mod leaving;
mod publish;
mod worker;

use config::Settings;
use control::{Board, Hands, Keeping};
use leaving::Threads;
use publish::Publisher;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use session::fault;
use session::log::{self, Level};
use session::session as sessions;
use session::workers::Report;
use state::lines::Lines;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use worker::Worker;

const TROUBLE: i32 = 111;
/// How long a handler may take to tidy up when the session is over.
const TIDY: Duration = Duration::from_secs(5);

/// The module.
#[pymodule]
fn _skynet(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(run, module)?)?;
    module.add_function(wrap_pyfunction!(publish::send, module)?)?;
    module.add_function(wrap_pyfunction!(json::loads, module)?)?;
    module.add_function(wrap_pyfunction!(json::dumps, module)?)?;
    module.add_class::<Publisher>()
}

/// Runs the participant whose settings can be read from `fd`; returns the exit code.
#[pyfunction]
fn run(py: Python<'_>, fd: i32) -> PyResult<i32> {
    let text = read_settings(fd).map_err(|e| PyRuntimeError::new_err(format!("no settings: {e}")))?;
    let settings: Settings = serde_json::from_str(&text)
        .map_err(|e| PyRuntimeError::new_err(format!("cannot read the settings: {e}")))?;
    let (threads, code) = (Arc::<Threads>::default(), Arc::new(AtomicI32::new(TROUBLE)));
    leaving::in_time(py, &threads, &code)?;
    let lines = Arc::new(Lines::new(&settings.state));
    fault::tell(&settings.name, &settings.log_format, Arc::clone(&lines));
    let fault = keep_faults(py, &lines, &settings)?;
    let host = match load(py, &text, fault, Publisher::alone(&settings)) {
        Ok(host) => host,
        Err(fatal) => {
            say_fatal(py, &fatal, &settings);
            lines.remove();
            return Ok(TROUBLE);
        }
    };
    drop(text);
    let (orders, inbox) = channel();
    let (reports, outbox) = unbounded_channel();
    host.call_method1(py, "set_publisher", (Publisher::by(reports.clone(), &settings),))?;
    let board = Board::default();
    host.call_method1(py, "set_progress", (board.clone(),))?;
    let keeping = Keeping::new(Arc::clone(&lines));
    host.call_method1(py, "set_keeper", (keeping.clone(),))?;
    host.call_method1(py, "set_writer", (wrap_pyfunction!(json::dumps, py)?,))?;
    let versions = host.call_method0(py, "versions")?.extract(py)?;
    let hands = Hands::new(orders, host.clone_ref(py), board.clone(), versions, Arc::clone(&threads));
    let worker = Worker {
        host: host.clone_ref(py),
        inbox: Arc::new(Mutex::new(inbox)),
        reports,
        board,
        keeping,
        busy: Arc::default(),
    };
    for _ in 1..settings.concurrency {
        let (other, running) = (worker.another(py), Arc::clone(&threads));
        let work = move || {
            Python::attach(|py| other.work(py));
            running.workers.fetch_sub(1, Ordering::SeqCst);
        };
        threads.workers.fetch_add(1, Ordering::SeqCst);
        if let Err(e) = std::thread::Builder::new().spawn(work) {
            let text = format!("cannot start {} workers: {e}", settings.concurrency);
            print!("{}", log::outside(&settings.name, &settings.log_format, Level::ERROR, &text));
            lines.remove();
            return Ok(TROUBLE);
        }
    }
    // The main thread, which is the one that calls "stop".
    let busy = Arc::clone(&worker.busy);
    let session = std::thread::spawn(move || hold_session(settings, lines, hands, outbox, &busy));
    worker.work(py);
    call_lifecycle(py, &host, "stop");
    code.store(py.detach(|| session.join()).unwrap_or(TROUBLE), Ordering::SeqCst);
    Ok(code.load(Ordering::SeqCst))
}

/// Takes the settings; before that, /proc tells nobody any more what this process holds. No program that the handler
/// runs inherits a descriptor of ours.
fn read_settings(fd: i32) -> std::io::Result<String> {
    unix::privileges::hide_memory()?;
    unix::inherited::close_on_exec()?;
    unix::secret::receive(fd)
}

fn load(py: Python<'_>, settings: &str, fault: Option<i32>, publish: Publisher) -> PyResult<Py<PyAny>> {
    let host = py.import("SkyNET._host")?.call_method1("load", (settings, fault, publish))?;
    Ok(host.unbind())
}

/// The descriptor that the interpreter is to use when a fault ends the process: what it says there stays, and is shown
/// in the log too. Without one it speaks to the log only.
fn keep_faults(py: Python<'_>, lines: &Lines, settings: &Settings) -> PyResult<Option<i32>> {
    // It must come after us: the environment may have enabled it already.
    py.import("faulthandler")?.call_method0("disable")?;
    let frame = log::fault_frame(&settings.name, &settings.log_format);
    let log = std::io::stdout().as_fd().try_clone_to_owned();
    let shown = lines.fault_file().and_then(|file| unix::fault::show(file, log?, frame));
    Ok(shown.ok())
}

/// One clear line, then the traceback.
fn say_fatal(py: Python<'_>, fatal: &PyErr, settings: &Settings) {
    let value = fatal.value(py);
    let attribute = |name: &str| value.getattr(name).ok().and_then(|v| v.extract::<String>().ok());
    let message = attribute("message").unwrap_or_else(|| fatal.to_string());
    let traceback = attribute("traceback");
    let text = traceback
        .as_ref()
        .filter(|lines| !lines.is_empty())
        .map_or(message.clone(), |lines| format!("{message}\n{}", lines.trim_end()));
    print!("{}", log::outside(&settings.name, &settings.log_format, Level::ERROR, &text));
    if traceback.is_none() {
        fatal.print(py);
    }
}

/// The session's thread. When the session is over and a handler still holds the process, it is ended.
fn hold_session(
    settings: Settings,
    lines: Arc<Lines>,
    hands: Hands,
    outbox: UnboundedReceiver<Report>,
    busy: &AtomicBool,
) -> i32 {
    // A handler may set any umask; where this is forbidden our files have it, too.
    let _ = unix::apart::with_umask(0o022);
    let (name, format) = (settings.name.clone(), settings.log_format.clone());
    let trouble = |what: &str, e: std::io::Error| {
        print!("{}", log::outside(&name, &format, Level::ERROR, &format!("cannot {what}: {e}")));
        TROUBLE
    };
    let guard = match log::start(&name, &format) {
        Ok(guard) => guard,
        Err(e) => return trouble("log", e),
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(e) => return trouble("start", e),
    };
    let done = runtime.block_on(sessions::run(settings, lines, hands, outbox));
    let code = done.map_or_else(|e| trouble("receive signals", e), |()| 0);
    drop(guard);
    // What the handler is still at work on is answered, or with another one already; told to stop, it may tidy up.
    let tidy = if busy.load(Ordering::SeqCst) { Duration::ZERO } else { TIDY };
    std::thread::spawn(move || {
        std::thread::sleep(tidy);
        unix::process::exit_now(code);
    });
    code
}

fn call_lifecycle(py: Python<'_>, host: &Py<PyAny>, what: &str) {
    if let Err(e) = host.call_method1(py, "lifecycle", (what,)) {
        e.print(py);
    }
}

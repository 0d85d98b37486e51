//! The end of the process while threads of ours are in the interpreter.
//!
//! An interpreter that ends unwinds such a thread, wherever that is, as soon as it wants to go on: through Rust, which
//! is an abort. So the process ends before, when all other exit work is done.

use pyo3::prelude::*;
use pyo3::types::{PyCFunction, PyDict, PyTuple};
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering};

/// How many threads of ours use the interpreter, besides the main one.
#[derive(Default)]
pub struct Threads {
    /// Those that hand workitems to the handler.
    pub workers: AtomicUsize,
    /// Those that tell or ask the handler something.
    pub control: AtomicUsize,
}

/// Ends the process with `code` at the end of the exit work, if then there is such a thread still. Must be called before
/// anything else registers exit work: what came first is done last.
pub fn in_time(py: Python<'_>, threads: &Arc<Threads>, code: &Arc<AtomicI32>) -> PyResult<()> {
    let (threads, code) = (Arc::clone(threads), Arc::clone(code));
    let leave = move |args: &Bound<'_, PyTuple>, _: Option<&Bound<'_, PyDict>>| -> PyResult<()> {
        if threads.workers.load(Ordering::SeqCst) + threads.control.load(Ordering::SeqCst) > 0 {
            args.py().import("SkyNET._log")?.call_method0("flush")?;
            unix::process::exit_now(code.load(Ordering::SeqCst));
        }
        Ok(())
    };
    let leave = PyCFunction::new_closure(py, None, None, leave)?;
    py.import("atexit")?.call_method1("register", (leave,)).map(drop)
}

//! The JSON of ordinary workitems, read into Python's dicts and written from them. What is unusual is left to
//! `RuoteAMQP.numbers`, which knows all of it and says what is wrong: both give the same where both give something.
//!
//! | module | idea |
//! |---|---|
//! | `read` | text to values |
//! | `write` | values to text |

mod read;
mod write;

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};

/// What is nested deeper is unusual, and what contains itself is.
const DEEPEST: usize = 64;

/// How many bytes there are before the first that is odd. In chunks, which the processor looks at as a whole.
fn before(bytes: &[u8], odd: impl Fn(u8) -> bool) -> usize {
    const CHUNK: usize = 16;
    let none = |chunk: &&[u8]| !chunk.iter().fold(false, |found, byte| found | odd(*byte));
    let whole = bytes.chunks_exact(CHUNK).take_while(none).count() * CHUNK;
    let rest = bytes[whole..].iter().position(|byte| odd(*byte));
    rest.map_or(bytes.len(), |more| whole + more)
}

/// The object that a JSON text stands for; `None` where it is unusual.
#[pyfunction]
pub fn loads<'py>(py: Python<'py>, text: &[u8]) -> Option<Bound<'py, PyDict>> {
    read::object(py, text)
}

/// A value as compact JSON in ASCII; `None` where it is unusual.
#[pyfunction]
pub fn dumps<'py>(value: &Bound<'py, PyAny>) -> Option<Bound<'py, PyBytes>> {
    let mut out = Vec::with_capacity(4096);
    write::put(&mut out, value, DEEPEST)?;
    Some(PyBytes::new(value.py(), &out))
}

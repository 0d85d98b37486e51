//! Python values to JSON text.

use super::before;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyFloat, PyInt, PyList, PyString};

/// Appends a value; `None` where it is unusual. Nothing here runs code of a handler's, which might change what is being
/// written: what is not exactly of one of JSON's own types is unusual.
pub fn put(out: &mut Vec<u8>, value: &Bound<'_, PyAny>, deep: usize) -> Option<()> {
    if let Ok(text) = value.cast_exact::<PyString>() {
        return put_string(out, text);
    }
    if let Ok(dict) = value.cast_exact::<PyDict>() {
        let deep = deep.checked_sub(1)?;
        out.push(b'{');
        for (i, (key, value)) in dict.iter().enumerate() {
            comma(out, i);
            put_string(out, key.cast_exact::<PyString>().ok()?)?;
            out.push(b':');
            put(out, &value, deep)?;
        }
        out.push(b'}');
    } else if let Ok(list) = value.cast_exact::<PyList>() {
        let deep = deep.checked_sub(1)?;
        out.push(b'[');
        for (i, value) in list.iter().enumerate() {
            comma(out, i);
            put(out, &value, deep)?;
        }
        out.push(b']');
    } else if value.is_none() {
        out.extend(b"null");
    } else if let Ok(truth) = value.cast_exact::<PyBool>() {
        out.extend(if truth.is_true() { b"true".as_slice() } else { b"false" });
    } else if let Ok(number) = value.cast_exact::<PyInt>() {
        out.extend(number.extract::<i64>().ok()?.to_string().bytes());
    } else {
        let number = value.cast_exact::<PyFloat>().ok()?;
        number.value().is_finite().then_some(())?;
        out.extend_from_slice(number.repr().ok()?.encode_utf8().ok()?.as_bytes());
    }
    Some(())
}

fn comma(out: &mut Vec<u8>, i: usize) {
    if i > 0 {
        out.push(b',');
    }
}

/// Half of a pair of surrogates is unusual.
fn put_string(out: &mut Vec<u8>, text: &Bound<'_, PyString>) -> Option<()> {
    let bytes = text.encode_utf8().ok()?;
    let bytes = bytes.as_bytes();
    out.push(b'"');
    let odd = |byte: u8| !(b' '..=b'~').contains(&byte) | (byte == b'"') | (byte == b'\\');
    let (plain, rest) = bytes.split_at(before(bytes, odd));
    out.extend_from_slice(plain);
    str::from_utf8(rest).ok()?.chars().for_each(|c| put_char(out, c));
    out.push(b'"');
    Some(())
}

fn put_char(out: &mut Vec<u8>, c: char) {
    match c {
        '"' => out.extend(b"\\\""),
        '\\' => out.extend(b"\\\\"),
        '\u{8}' => out.extend(b"\\b"),
        '\u{c}' => out.extend(b"\\f"),
        '\n' => out.extend(b"\\n"),
        '\r' => out.extend(b"\\r"),
        '\t' => out.extend(b"\\t"),
        ' '..='~' => out.push(c as u8), // it is ASCII
        _ => {
            for unit in c.encode_utf16(&mut [0; 2]) {
                out.extend(format!("\\u{unit:04x}").bytes());
            }
        }
    }
}

//! JSON text to Python values.

use super::{DEEPEST, before};
use pyo3::IntoPyObject;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyFloat, PyList, PyString};

/// A whole number of so many bytes fits an i64.
const INTEGER: usize = 18;
/// A decimal number of so many bytes comes back from a double as it was.
const DECIMAL: usize = 15;

/// The object of a text; `None` where it is unusual, or none.
pub fn object<'py>(py: Python<'py>, text: &[u8]) -> Option<Bound<'py, PyDict>> {
    let mut reader = Reader { py, text: str::from_utf8(text).ok()?, at: 0 };
    let object = reader.object(DEEPEST)?;
    reader.next().is_none().then_some(object)
}

struct Reader<'py, 'a> {
    py: Python<'py>,
    text: &'a str,
    at: usize,
}

impl<'py, 'a> Reader<'py, 'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// The next byte that is no white space; it is not passed.
    fn next(&mut self) -> Option<u8> {
        while matches!(self.peek(), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
        self.peek()
    }

    /// Passes this byte, which has to come.
    fn pass(&mut self, byte: u8) -> Option<()> {
        (self.next()? == byte).then(|| self.at += 1)
    }

    /// Passes one of the two: true = the first.
    fn either(&mut self, one: u8, other: u8) -> Option<bool> {
        let next = self.next()?;
        (next == one || next == other).then(|| {
            self.at += 1;
            next == one
        })
    }

    fn value(&mut self, deep: usize) -> Option<Bound<'py, PyAny>> {
        let py = self.py;
        match self.next()? {
            b'"' => Some(self.string()?.into_any()),
            b'{' => Some(self.object(deep.checked_sub(1)?)?.into_any()),
            b'[' => Some(self.list(deep.checked_sub(1)?)?.into_any()),
            b't' => self.word("true", PyBool::new(py, true).to_owned().into_any()),
            b'f' => self.word("false", PyBool::new(py, false).to_owned().into_any()),
            b'n' => self.word("null", py.None().into_bound(py)),
            _ => self.number(),
        }
    }

    fn word(&mut self, word: &str, value: Bound<'py, PyAny>) -> Option<Bound<'py, PyAny>> {
        self.text[self.at..].starts_with(word).then(|| {
            self.at += word.len();
            value
        })
    }

    fn object(&mut self, deep: usize) -> Option<Bound<'py, PyDict>> {
        let dict = PyDict::new(self.py);
        self.pass(b'{')?;
        if self.next()? == b'}' {
            self.at += 1;
            return Some(dict);
        }
        loop {
            self.next()?;
            let key = self.string()?;
            self.pass(b':')?;
            // The last of those with the same key counts, at the place of the first.
            dict.set_item(key, self.value(deep)?).ok()?;
            if self.either(b'}', b',')? {
                return Some(dict);
            }
        }
    }

    fn list(&mut self, deep: usize) -> Option<Bound<'py, PyList>> {
        let list = PyList::empty(self.py);
        self.pass(b'[')?;
        if self.next()? == b']' {
            self.at += 1;
            return Some(list);
        }
        loop {
            list.append(self.value(deep)?).ok()?;
            if self.either(b']', b',')? {
                return Some(list);
            }
        }
    }

    fn string(&mut self) -> Option<Bound<'py, PyString>> {
        self.pass(b'"')?;
        let piece = self.piece();
        if self.peek()? == b'"' {
            self.at += 1;
            return Some(PyString::new(self.py, piece));
        }
        let mut whole = piece.to_owned();
        loop {
            match self.peek()? {
                b'"' => break,
                b'\\' => whole.push(self.escaped()?),
                _ => return None,
            }
            whole.push_str(self.piece());
        }
        self.at += 1;
        Some(PyString::new(self.py, &whole))
    }

    /// Passes what stands for itself.
    fn piece(&mut self) -> &'a str {
        let rest = &self.text[self.at..];
        let length = before(rest.as_bytes(), |byte| (byte == b'"') | (byte == b'\\') | (byte < b' '));
        self.at += length;
        &rest[..length]
    }

    /// Half of a pair of surrogates is unusual.
    fn escaped(&mut self) -> Option<char> {
        let letter = *self.text.as_bytes().get(self.at + 1)?;
        self.at += 2;
        Some(match letter {
            b'"' | b'\\' | b'/' => letter.into(),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let mut units = vec![self.unit()?];
                if (0xd800..0xdc00).contains(&units[0]) && self.text[self.at..].starts_with("\\u") {
                    self.at += 2;
                    units.push(self.unit()?);
                }
                char::decode_utf16(units).next()?.ok()?
            }
            _ => return None,
        })
    }

    fn unit(&mut self) -> Option<u16> {
        let digits = self.text.get(self.at..self.at + 4)?;
        self.at += 4;
        digits.bytes().all(|digit| digit.is_ascii_hexdigit()).then_some(())?;
        u16::from_str_radix(digits, 16).ok()
    }

    /// One that a double would spell in another way is unusual.
    fn number(&mut self) -> Option<Bound<'py, PyAny>> {
        let start = self.at;
        let minus = usize::from(self.peek() == Some(b'-'));
        self.at += minus;
        let whole = self.digits()?;
        if whole > 1 && self.text.as_bytes()[start + minus] == b'0' {
            return None;
        }
        if !matches!(self.peek(), Some(b'.' | b'e' | b'E')) {
            let digits = &self.text[start..self.at];
            let integer: i64 = (digits.len() <= INTEGER).then(|| digits.parse().ok())??;
            return Some(integer.into_pyobject(self.py).ok()?.into_any());
        }
        let mut simple = true;
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            simple = false;
            self.at += 1;
            self.at += usize::from(matches!(self.peek(), Some(b'+' | b'-')));
            self.digits()?;
        }
        let text = &self.text[start..self.at];
        let value = PyFloat::new(self.py, text.parse().ok()?).into_any();
        let same = simple && text.len() <= DECIMAL || value.repr().ok()? == text;
        same.then_some(value)
    }

    /// Passes digits, one at least; how many.
    fn digits(&mut self) -> Option<usize> {
        let start = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        (self.at > start).then_some(self.at - start)
    }
}

//! One read as lines: what each output gets of it.

use crate::logdir::{LogDir, Trouble};
use multilog::pattern;
use multilog::script::{Action, Script};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use unix::tai64n::Tai64n;
use unix::words::Words;

/// As much of a line as patterns see.
const SEEN: usize = 1000;
/// As much of a line as goes to standard error.
const ALERT: usize = 200;
/// The size of a status file.
const STATUS: usize = 1001;

/// Where lines go.
enum Output {
    Deselect(Vec<u8>),
    Select(Vec<u8>),
    Alert,
    Status(File),
    /// The log, what it gets of the present read, and how much of that is written.
    Log(LogDir, Vec<u8>, usize),
}

/// All outputs of a script.
pub struct Outputs {
    labels: bool,
    outputs: Vec<Output>,
    /// Within a line that is longer than the buffer: which outputs have it selected.
    within: Option<Vec<bool>>,
}

impl Outputs {
    /// Opens everything that the script names.
    ///
    /// # Errors
    /// A sentence that says what cannot be opened.
    pub fn open(script: Script) -> Result<Self, Vec<u8>> {
        let open = |action| match action {
            Action::Deselect(pattern) => Ok(Output::Deselect(pattern)),
            Action::Select(pattern) => Ok(Output::Select(pattern)),
            Action::Alert => Ok(Output::Alert),
            Action::Status(path) => status_file(&path).map(Output::Status).map_err(|e| {
                let words = Words(&e).to_string();
                [b"unable to create ", path.as_os_str().as_bytes(), b": ", words.as_bytes()].concat()
            }),
            Action::Log(path, limits) => {
                LogDir::open(&path, limits).map(|log| Output::Log(log, vec![], 0)).map_err(|t| t.line())
            }
        };
        let outputs: Result<Vec<_>, _> = script.actions.into_iter().map(open).collect();
        Ok(Self { labels: script.labels, outputs: outputs?, within: None })
    }

    /// Takes whole lines; the last one may lack its end where a line is longer than the buffer. Lines of one
    /// read share one label.
    pub fn take(&mut self, data: &[u8]) {
        let label = Tai64n::now().label();
        let mut rest = data;
        while !rest.is_empty() {
            let end = memchr::memchr(b'\n', rest).map_or(rest.len(), |at| at + 1);
            let (line, after) = rest.split_at(end);
            match self.within.take() {
                Some(selected) => self.go_on(line, selected),
                None if self.labels => self.begin(Some(&label), line),
                None => self.begin(None, line),
            }
            rest = after;
        }
    }

    fn begin(&mut self, label: Option<&[u8; 25]>, line: &[u8]) {
        let mut head = [0; SEEN];
        let mut selected = true;
        let whole = line.ends_with(b"\n");
        let mut taken = vec![];
        for output in &mut self.outputs {
            let gets = match output {
                Output::Deselect(pattern) => {
                    selected = selected && !pattern::matches(pattern, start(label, line, &mut head));
                    false
                }
                Output::Select(pattern) => {
                    selected = selected || pattern::matches(pattern, start(label, line, &mut head));
                    false
                }
                Output::Alert if selected => {
                    alert(start(label, line, &mut head));
                    false
                }
                Output::Status(file) if selected => {
                    show(file, start(label, line, &mut head));
                    false
                }
                Output::Log(_, pending, _) if selected => {
                    if let Some(label) = label {
                        pending.extend_from_slice(label);
                        pending.push(b' ');
                    }
                    pending.extend_from_slice(line);
                    true
                }
                Output::Alert | Output::Status(_) | Output::Log(..) => false,
            };
            if !whole {
                taken.push(gets);
            }
        }
        self.within = (!whole).then_some(taken);
    }

    /// The rest of a line that is longer than the buffer.
    fn go_on(&mut self, line: &[u8], selected: Vec<bool>) {
        for (output, _) in self.outputs.iter_mut().zip(&selected).filter(|(_, selected)| **selected) {
            if let Output::Log(_, pending, _) = output {
                pending.extend_from_slice(line);
            }
        }
        if !line.ends_with(b"\n") {
            self.within = Some(selected);
        }
    }

    /// Writes what was taken and is not written yet; goes on after trouble where that came.
    ///
    /// # Errors
    /// What cannot be done.
    pub fn write(&mut self) -> Result<(), Trouble> {
        for output in &mut self.outputs {
            if let Output::Log(log, pending, written) = output {
                let (n, result) = log.append(&pending[*written..]);
                *written += n;
                result?;
                pending.clear();
                *written = 0;
            }
        }
        Ok(())
    }

    /// Rotates every log now. False = one is within a line, try again later.
    ///
    /// # Errors
    /// What cannot be done.
    pub fn rotate(&mut self) -> Result<bool, Trouble> {
        let mut all = true;
        for output in &mut self.outputs {
            if let Output::Log(log, ..) = output {
                all &= log.rotate_now()?;
            }
        }
        Ok(all)
    }

    /// Marks every log as finished.
    ///
    /// # Errors
    /// What cannot be done.
    pub fn finish(&self) -> Result<(), Trouble> {
        self.outputs.iter().try_for_each(|output| match output {
            Output::Log(log, ..) => log.finish(),
            _ => Ok(()),
        })
    }
}

impl Trouble {
    /// The whole sentence.
    pub fn line(&self) -> Vec<u8> {
        match &self.error {
            Some(e) => [self.sentence.as_slice(), format!(": {}", Words(e)).as_bytes()].concat(),
            None => self.sentence.clone(),
        }
    }

    /// The whole sentence, when it is tried again.
    pub fn pausing(&self) -> Vec<u8> {
        let reason = self.error.as_ref().map_or_else(String::new, |e| format!(": {}", Words(e)));
        [self.sentence.as_slice(), b", pausing", reason.as_bytes()].concat()
    }
}

/// The part of a line that patterns see, its label included.
fn start<'a>(label: Option<&[u8; 25]>, line: &'a [u8], head: &'a mut [u8; SEEN]) -> &'a [u8] {
    let text = line.strip_suffix(b"\n").unwrap_or(line);
    let Some(label) = label else { return &text[..text.len().min(SEEN)] };
    head[..25].copy_from_slice(label);
    head[25] = b' ';
    let n = text.len().min(SEEN - 26);
    head[26..26 + n].copy_from_slice(&text[..n]);
    &head[..26 + n]
}

fn alert(text: &[u8]) {
    let mut line = text[..text.len().min(ALERT)].to_vec();
    if text.len() > ALERT {
        line.extend_from_slice(b"...");
    }
    line.push(b'\n');
    // Nobody is left to be alerted when standard error is gone.
    let _ = io::stderr().write_all(&line);
}

fn status_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)
}

fn show(file: &File, text: &[u8]) {
    let mut content = [b'\n'; STATUS];
    content[..text.len()].copy_from_slice(text);
    // The next line will be shown if this one cannot.
    let _ = file.write_all_at(&content, 0);
}

//! What waits to be written to a connection, and what is being written.

use crate::old::Version;
use std::cell::RefCell;
use std::io::{self, ErrorKind};
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio::sync::Notify;

/// Frames of a connection that has this much unsent wait.
pub const UNSENT: usize = 8 << 20;

/// What waits to be written to a connection.
pub struct Outbox {
    /// The bytes.
    pub bytes: RefCell<Vec<u8>>,
    /// Tells who writes that there are more.
    pub more: Notify,
    /// The largest frame that the peer takes.
    pub frame_max: u32,
    /// What the peer speaks.
    pub version: Version,
}

impl Outbox {
    /// An empty one.
    pub fn new(frame_max: u32, version: Version) -> Self {
        Self { bytes: RefCell::default(), more: Notify::new(), frame_max, version }
    }
}

/// What is being written to a connection.
pub struct Writing {
    bytes: Vec<u8>,
    written: usize,
    progress: Instant,
}

impl Default for Writing {
    fn default() -> Self {
        Self { bytes: vec![], written: 0, progress: Instant::now() }
    }
}

impl Writing {
    /// Whether all of it is written.
    pub fn is_done(&self) -> bool {
        self.written == self.bytes.len()
    }

    /// Takes what is to be written next. False = nothing.
    pub fn begin(&mut self, outbox: &mut Vec<u8>) -> bool {
        self.bytes.clear();
        self.written = 0;
        self.progress = Instant::now();
        std::mem::swap(&mut self.bytes, outbox);
        !self.bytes.is_empty()
    }

    /// Writes what the socket takes now.
    ///
    /// # Errors
    /// When the peer is gone.
    pub fn go_on(&mut self, stream: &TcpStream) -> io::Result<()> {
        match stream.try_write(&self.bytes[self.written..]) {
            Ok(n) => {
                self.written += n;
                self.progress = Instant::now();
                if self.bytes.capacity() > UNSENT && self.is_done() {
                    *self = Self::default();
                }
                Ok(())
            }
            Err(e) if e.kind() == ErrorKind::WouldBlock => Ok(()),
            Err(e) => Err(e),
        }
    }

    /// Whether the peer has taken nothing for so long.
    pub fn is_stuck(&self, patience: Duration) -> bool {
        !self.is_done() && self.progress.elapsed() > patience
    }

    /// What is not written yet.
    pub fn rest(&mut self) -> Vec<u8> {
        let written = std::mem::take(&mut self.written);
        std::mem::take(&mut self.bytes).split_off(written)
    }
}

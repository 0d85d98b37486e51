//! What waits to be written to a connection, and what is being written.

use crate::old::Version;
use std::cell::RefCell;
use std::io::{self, ErrorKind};
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
#[derive(Default)]
pub struct Writing {
    bytes: Vec<u8>,
    written: usize,
    /// Beats since the peer has taken something.
    beats: u32,
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
        self.beats = 0;
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
                self.beats = 0;
                if self.bytes.capacity() > UNSENT && self.is_done() {
                    *self = Self::default();
                }
                Ok(())
            }
            Err(e) if e.kind() == ErrorKind::WouldBlock => Ok(()),
            Err(e) => Err(e),
        }
    }

    /// A beat; how many there were since the peer has taken something, where there is something to take.
    pub fn beat(&mut self) -> u32 {
        self.beats = if self.is_done() { 0 } else { self.beats + 1 };
        self.beats
    }

    /// What is not written yet.
    pub fn rest(&mut self) -> Vec<u8> {
        let written = std::mem::take(&mut self.written);
        std::mem::take(&mut self.bytes).split_off(written)
    }
}

//! The task that moves bytes between the socket and the state.

use super::Error;
use super::dial::Stream;
use super::frames::{OVERHEAD, cut};
use super::state::State;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf, split};
use tokio::sync::Notify;
use tokio::time::{Instant, MissedTickBehavior, interval};

/// So much is read at once.
const READ: usize = 16 << 10;
/// A buffer that has grown beyond this is let go once it is empty.
const KEPT: usize = 256 << 10;
/// How long what was said last may take to be written.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// A connection's state, and a bell for its task.
#[derive(Debug)]
pub struct Shared {
    state: Mutex<State>,
    news: Notify,
}

impl Shared {
    /// Shares a state.
    pub fn new(state: State) -> Arc<Self> {
        Arc::new(Self { state: Mutex::new(state), news: Notify::new() })
    }

    /// To look at it.
    pub fn look(&self) -> MutexGuard<'_, State> {
        // What a panic may have left half done is no worse than a connection that breaks.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// To ask something of it, which is sent soon.
    pub fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.look();
        let changed = change(&mut state);
        if !state.out.is_empty() {
            self.news.notify_one();
        }
        changed
    }
}

/// However the task ends, nobody waits for ever.
struct Ending(Arc<Shared>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.look().end(&Error::Closed);
    }
}

/// Moves bytes until the connection is over. `input` = what was read with the handshake.
pub async fn run(stream: Box<dyn Stream>, input: Vec<u8>, shared: Arc<Shared>) {
    let ending = Ending(shared);
    let (reader, writer) = split(stream);
    let mut pump = Pump {
        reader,
        writer,
        input,
        sending: vec![],
        sent: 0,
        flushed: true,
        shared: Arc::clone(&ending.0),
    };
    let why = pump.pump().await;
    pump.shared.look().end(&why);
    pump.last_words().await;
}

struct Pump {
    reader: ReadHalf<Box<dyn Stream>>,
    writer: WriteHalf<Box<dyn Stream>>,
    /// What was read and is not dealt with.
    input: Vec<u8>,
    /// What is being written, and how much of it is.
    sending: Vec<u8>,
    sent: usize,
    flushed: bool,
    shared: Arc<Shared>,
}

impl Pump {
    async fn pump(&mut self) -> Error {
        let heartbeat = self.shared.look().agreed.heartbeat;
        // Twice in each, so that one is never late.
        let mut ticks = interval(if heartbeat.is_zero() { Duration::from_secs(3600) } else { heartbeat / 2 });
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut heard, mut said) = (Instant::now(), Instant::now());
        loop {
            if let Err(why) = self.deal_with_input() {
                return why;
            }
            self.fetch();
            self.input.reserve(READ);
            tokio::select! {
                biased;
                wrote = send(&mut self.writer, &self.sending[self.sent..]), if !self.flushed => match wrote {
                    Ok(0) => self.flushed = true,
                    Ok(n) => (self.sent, said) = (self.sent + n, Instant::now()),
                    Err(e) => return e.into(),
                },
                read = self.reader.read_buf(&mut self.input) => {
                    match read {
                        Ok(0) => return io::Error::from(io::ErrorKind::UnexpectedEof).into(),
                        Ok(_) => heard = Instant::now(),
                        Err(e) => return e.into(),
                    }
                }
                () = self.shared.news.notified(), if self.flushed => {}
                _ = ticks.tick(), if !heartbeat.is_zero() => {
                    if heard.elapsed() > heartbeat * 2 {
                        return Error::Silent;
                    }
                    if said.elapsed() >= heartbeat / 2 {
                        self.shared.look().beat();
                    }
                }
            }
        }
    }

    /// Takes what is to be sent, once all that went before is.
    fn fetch(&mut self) {
        if self.flushed {
            self.sending.clear();
            self.sent = 0;
            if self.sending.capacity() > KEPT {
                self.sending = vec![];
            }
            std::mem::swap(&mut self.sending, &mut self.shared.look().out);
            self.flushed = self.sending.is_empty();
        }
    }

    fn deal_with_input(&mut self) -> Result<(), Error> {
        let mut state = self.shared.look();
        let (max, mut used) = (state.agreed.frame_max, 0);
        while let Some((frame, length)) = cut(&self.input[used..], max - OVERHEAD as u32)? {
            used += length;
            state.heard(frame)?;
        }
        self.input.drain(..used);
        if self.input.is_empty() && self.input.capacity() > KEPT {
            self.input = vec![];
        }
        Ok(())
    }

    /// Writes what was said last, as that the broker's closing is heard.
    async fn last_words(&mut self) {
        let rest = std::mem::take(&mut self.shared.look().out);
        let words = async {
            self.writer.write_all(&self.sending[self.sent..]).await?;
            self.writer.write_all(&rest).await?;
            self.writer.shutdown().await
        };
        // A broker that does not hear it sees the socket close.
        let _ = tokio::time::timeout(LAST_WORDS, words).await;
    }
}

/// Writes something of it; where there is nothing left, sees to it that all is on its way, and returns 0.
async fn send(writer: &mut WriteHalf<Box<dyn Stream>>, rest: &[u8]) -> io::Result<usize> {
    if rest.is_empty() {
        return writer.flush().await.map(|()| 0);
    }
    match writer.write(rest).await? {
        0 => Err(io::ErrorKind::WriteZero.into()),
        n => Ok(n),
    }
}

//! A workitem in hand.

use super::item::Item;
use std::time::Instant;
use workitem::Fei;

/// A reply of so many bytes any broker takes.
const SMALL: usize = 16 << 10;

/// A workitem in hand: what the machine does not need to know.
pub struct InHand {
    pub fei: Option<Fei>,
    pub begun: Instant,
    /// The message as it came, until there is a reply; then that.
    pub body: Vec<u8>,
    /// The message as it came, where the reply is so large that a broker may not take it.
    pub came: Vec<u8>,
    pub redelivered: bool,
    /// Which attempt this is, from 1.
    pub attempt: u32,
    /// Who waits until the broker has it.
    pub waits: Option<std::sync::mpsc::Sender<()>>,
    /// The broker has what was published for it.
    pub confirmed: bool,
    pub outcome: &'static str,
    /// `None` for what is no workitem.
    pub item: Option<Item>,
    /// Why it is to be parked, where that did not succeed yet.
    pub park: Option<(&'static str, String)>,
}

impl InHand {
    pub fn new(body: Vec<u8>, redelivered: bool) -> Self {
        Self {
            fei: None,
            begun: Instant::now(),
            body,
            came: vec![],
            redelivered,
            attempt: 1,
            waits: None,
            confirmed: false,
            outcome: "",
            item: None,
            park: None,
        }
    }

    /// There is a reply; an empty one is none.
    pub fn answer(&mut self, reply: Vec<u8>) {
        let came = std::mem::replace(&mut self.body, reply);
        if self.body.len() > SMALL {
            self.came = came;
        }
    }
}

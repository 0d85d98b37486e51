//! What goes to the broker at once, past the link's task: a message and its confirm, an acknowledgement, and that no more is
//! taken, which an acknowledgement must not overtake: it would bring another delivery. A workitem is
//! to wait for as few turns of other tasks as can be.

use super::{Event, Tag};
use crate::amqp::broker::{cancel, message};
use crate::amqp::client::{Channel, Error, Taken};
use futures_util::future::{BoxFuture, FutureExt};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::mpsc::UnboundedSender;

/// A message that the broker does not have, and what is known of it.
pub type Unsent = (u64, Result<Taken, Error>);

/// The channels of a connected time, for whoever publishes and settles.
#[derive(Clone, Default)]
pub struct Direct(Arc<Mutex<Option<Open>>>);

/// Those channels.
pub struct Open {
    /// Where replies are published.
    pub replies: Channel,
    /// Where they go to.
    pub reply_to: String,
    /// Where deliveries are settled, and of which epoch these are; `None` while there is no consumer.
    pub work: Option<(u32, Channel)>,
    /// Who hears of confirms.
    pub outbox: UnboundedSender<Event>,
    /// Who hears of messages that were not taken.
    pub unsent: UnboundedSender<Unsent>,
}

impl Direct {
    fn look(&self) -> MutexGuard<'_, Option<Open>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From here on there are these channels, or none.
    pub fn set(&self, open: Option<Open>) {
        *self.look() = open;
    }

    /// From here on deliveries are settled there, or nowhere: the broker has them back.
    pub fn set_work(&self, work: Option<(u32, Channel)>) {
        if let Some(open) = &mut *self.look() {
            open.work = work;
        }
    }

    /// Publishes. Nothing comes of it where the connection is gone: it is published again on the next.
    pub fn publish(&self, id: u64, body: Vec<u8>) {
        let Some(open) = &*self.look() else { return };
        let (outbox, unsent) = (open.outbox.clone(), open.unsent.clone());
        open.replies.publish_and_tell(message(&open.reply_to, body), move |taken| {
            // Nobody listens any more when the link is being closed.
            let _ = match taken {
                Ok(Taken::Yes) => outbox.send(Event::Confirmed { id }).map_err(drop),
                other => unsent.send((id, other)).map_err(drop),
            };
        });
    }

    /// Takes no more from the queue; to be waited for. `None` where there is no consumer.
    pub fn stop_consuming(&self) -> Option<BoxFuture<'static, Result<(), Error>>> {
        let Some(Open { work: Some((_, channel)), .. }) = &*self.look() else { return None };
        Some(cancel(channel).boxed())
    }

    /// Does something with the channel of a delivery; nothing with one that the broker has back.
    pub fn settle(&self, tag: Tag, settle: impl FnOnce(&Channel)) {
        if let Some(Open { work: Some((epoch, channel)), .. }) = &*self.look()
            && *epoch == tag.epoch
        {
            settle(channel);
        }
    }
}

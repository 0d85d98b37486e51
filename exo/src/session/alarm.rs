//! The one timer of a session. It is set earlier, never later: each workitem has a deadline of its own, and to set a timer
//! anew for each costs two system calls, while to wake once for nothing costs one now and then.

use std::pin::Pin;
use std::time::Instant;
use tokio::time::{Sleep, sleep_until};

/// A timer.
#[derive(Default)]
pub struct Alarm {
    set: Option<(Instant, Pin<Box<Sleep>>)>,
}

impl Alarm {
    /// Waits until `due`, or for a moment that was asked for before and has not come. May be dropped, and asked again.
    pub async fn ring(&mut self, due: Option<Instant>) {
        if let Some(due) = due
            && self.set.as_ref().is_none_or(|(at, _)| due < *at)
        {
            self.set = Some((due, Box::pin(sleep_until(due.into()))));
        }
        match &mut self.set {
            Some((_, sleep)) => sleep.await,
            None => std::future::pending().await,
        }
        self.set = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::time::timeout;

    #[tokio::test(start_paused = true)]
    async fn it_rings_for_the_earliest_moment_once_and_without_one_never() {
        let now = || tokio::time::Instant::now().into_std();
        let (start, mut alarm) = (now(), Alarm::default());
        let after = |ms| Some(start + Duration::from_millis(ms));
        let moment = Duration::from_millis(1);
        assert!(timeout(moment, alarm.ring(None)).await.is_err());
        assert!(timeout(moment, alarm.ring(after(60_000))).await.is_err());
        assert!(timeout(moment, alarm.ring(after(2000))).await.is_err());
        // One that was asked for is not put off.
        alarm.ring(after(60_000)).await;
        assert!(now() >= start + Duration::from_millis(2000));
        assert!(timeout(moment, alarm.ring(None)).await.is_err(), "it has rung");
        alarm.ring(after(0)).await;
    }
}

//! Whether a participant that is up listens to its queue yet: only then does a workitem reach it.

use crate::brokers;
use crate::participant;
use crate::progress;
use crate::service::Service;
use crate::tree::Tree;
use crate::trouble::Trouble;
use air::line::{Line, LineError};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(10);
const AGAIN: Duration = Duration::from_millis(50);

/// Waits until somebody consumes from the queue of the service `name`; returns what there is to say if nobody
/// does, or the broker cannot be asked: the participant waits for it, too. A service without `config.exo` has no
/// queue. Nobody is waited for any longer once it has another pid than this, or none.
///
/// # Errors
/// When its configuration cannot be read.
pub fn wait(tree: &Tree, name: &str, pid: i32) -> Result<Option<String>, Trouble> {
    let dir = tree.service(name);
    let Some((settings, _)) = participant::settings(tree, &dir)? else { return Ok(None) };
    let queue = &settings.queue;
    let brokers = brokers::of_participant(&settings);
    let _progress = progress::during(format!("waiting until {name} listens to its queue"));
    let listens = brokers::runtime()?.block_on(async {
        let line = Line::open(&brokers.urls, &brokers.tls).await?;
        let runs = || Service::look(&dir).pid() == Some(pid);
        let listens = somebody_listens(&line, queue, runs).await;
        line.close().await;
        listens
    });
    Ok(match listens {
        Ok(true) => None,
        Ok(false) => Some(format!("it does not listen to its queue {queue:?} yet (skynet log {name})")),
        Err(trouble) => Some(format!("{trouble}; it waits for the broker")),
    })
}

async fn somebody_listens(line: &Line, queue: &str, runs: impl Fn() -> bool) -> Result<bool, LineError> {
    let patience = Instant::now() + PATIENCE;
    while line.queue(queue).await?.is_none_or(|queue| queue.consumers == 0) {
        if patience <= Instant::now() || !runs() {
            return Ok(false);
        }
        tokio::time::sleep(AGAIN).await;
    }
    Ok(true)
}

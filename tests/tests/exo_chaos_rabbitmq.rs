//! Chaos with counting on RabbitMQ nodes of the test's own: restarted, killed, and one after another of a cluster.
#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

mod ledger;

use ledger::{Ledger, seconds};
use std::time::{Duration, Instant};
use tests::Cluster;
use unix::process::Signal;

/// A participant on the nodes of a cluster.
fn on(size: usize, config: &str) -> (Ledger, Cluster) {
    let mut cluster = None;
    let broker = |sandbox: &tests::Sandbox| cluster.insert(Cluster::start(sandbox, size, "")).broker(0);
    let ledger = Ledger::new(broker, config);
    let cluster = cluster.unwrap();
    ledger.p.sandbox.write("boss.conf", cluster.amqp());
    (ledger, cluster)
}

/// Ends nodes in turn, in order or with KILL, and starts each again, for so long as chaos lasts.
fn end_nodes(ledger: &mut Ledger, cluster: &mut Cluster) {
    let end = Instant::now() + seconds();
    while Instant::now() < end || ledger.broker_kills < cluster.size().max(2) {
        std::thread::sleep(Duration::from_millis(500 + ledger.random(1500)));
        let node = ledger.broker_kills % cluster.size();
        let how = if ledger.random(3) == 0 { Signal::SIGTERM } else { Signal::SIGKILL };
        cluster.end(node, how);
        ledger.broker_kills += 1;
        cluster.start_again(&ledger.p.sandbox, node);
    }
}

/// "While the broker is restarted and killed."
#[test]
fn nothing_is_lost_while_rabbitmq_is_killed_and_restarted() {
    let (mut ledger, mut cluster) = on(1, "");
    ledger.publish_all();
    let exo = ledger.p.launch("config.exo");
    end_nodes(&mut ledger, &mut cluster);
    ledger.settle("RabbitMQ killed", exo);
}

/// "On a three-node RabbitMQ cluster with quorum queues while one node after another is killed."
#[test]
fn nothing_is_lost_while_one_node_after_another_of_a_cluster_is_killed() {
    let (mut ledger, mut cluster) = on(3, "queue_type = \"quorum\"\n");
    ledger.publish_all_to_a_quorum();
    let exo = ledger.p.launch("config.exo");
    end_nodes(&mut ledger, &mut cluster);
    ledger.settle("nodes of a cluster killed", exo);
}

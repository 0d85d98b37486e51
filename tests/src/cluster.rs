//! RabbitMQ nodes of a test's own, to be stopped, killed and short of room: one, or several that form a cluster.
//!
//! Each costs some seconds to start: a test that only needs a RabbitMQ takes a virtual host of the node that all
//! share ([`Broker::rabbitmq`]). No root, loopback only; the sandbox ends what is left of them.

use crate::broker::{Broker, free_port};
use crate::running::Running;
use crate::sandbox::Sandbox;
use crate::waiting::holds_within;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;
use unix::process::Signal;

/// What a start or an end may take at the most, on a machine that compiles meanwhile.
const PATIENCE: Duration = Duration::from_secs(300);
const PROGRAMS: &str = "/usr/lib/rabbitmq/bin";
/// Few threads, which do not spin while they wait.
const ERLANG: &str = "-kernel inet_dist_use_interface {127,0,0,1} net_ticktime 8 +S 1:1 +sbwt none +sbwtdcpu none +sbwtdio none";

/// Nodes that form a cluster; one of one node is a broker of its own.
#[derive(Debug)]
pub struct Cluster {
    home: PathBuf,
    epmd: u16,
    nodes: Vec<Node>,
}

#[derive(Debug)]
struct Node {
    name: String,
    port: u16,
    dist: u16,
    process: Option<Running>,
}

impl Cluster {
    /// Starts so many nodes in the sandbox's folder `rabbitmq`, with these lines of rabbitmq.conf besides.
    pub fn start(sandbox: &Sandbox, size: usize, settings: &str) -> Self {
        let home = sandbox.folder("rabbitmq");
        let node = |n| {
            let port = free_port();
            Node { name: format!("n{n}-{port}@localhost"), port, dist: free_port(), process: None }
        };
        let mut cluster = Self { home, epmd: free_port(), nodes: (1..=size).map(node).collect() };
        cluster.write_settings(sandbox, settings);
        // The others join the first.
        cluster.begin(sandbox, 0);
        cluster.wait_until_up(0);
        (1..size).for_each(|n| cluster.begin(sandbox, n));
        (1..size).for_each(|n| cluster.wait_until_up(n));
        cluster
    }

    fn write_settings(&self, sandbox: &Sandbox, settings: &str) {
        let cookie = sandbox.write("rabbitmq/.erlang.cookie", "SKYNETTESTS");
        fs::set_permissions(cookie, fs::Permissions::from_mode(0o400)).unwrap();
        sandbox.write("rabbitmq/enabled_plugins", "[].\n");
        // How often channels are looked at (consumer_timeout): a minute, if it is not said.
        sandbox.write("rabbitmq/advanced.config", "[{rabbit, [{channel_tick_interval, 1000}]}].\n");
        let mut text = "disk_free_limit.absolute = 50MB\nlog.file.level = warning\n".to_owned();
        if self.nodes.len() > 1 {
            text += "cluster_partition_handling = pause_minority\ncluster_formation.peer_discovery_backend = classic_config\n";
            for (n, node) in self.nodes.iter().enumerate() {
                text += &format!("cluster_formation.classic_config.nodes.{} = {}\n", n + 1, node.name);
            }
        }
        sandbox.write("rabbitmq/rabbitmq.conf", text + settings + "\n");
    }

    /// A node as a broker, its virtual host `/`.
    pub fn broker(&self, n: usize) -> Broker {
        Broker::somebody(self.nodes[n].port, "guest", "guest", "%2f")
    }

    /// The settings of a participant that may use any of the nodes.
    pub fn amqp(&self) -> String {
        let urls: Vec<_> = (0..self.nodes.len()).map(|n| format!("{:?}", self.broker(n).url())).collect();
        format!("[amqp]\nurls = [{}]\n", urls.join(", "))
    }

    /// How many nodes there are.
    pub fn size(&self) -> usize {
        self.nodes.len()
    }

    /// The process of a node that runs.
    pub fn process(&self, n: usize) -> &Running {
        self.nodes[n].process.as_ref().expect("a node that runs")
    }

    /// Ends a node: with TERM it stops in order.
    pub fn end(&mut self, n: usize, signal: Signal) {
        let mut process = self.nodes[n].process.take().expect("a node that runs");
        process.signal(signal);
        assert!(
            holds_within(PATIENCE, || !process.runs()),
            "{} does not end{}",
            self.nodes[n].name,
            process.told()
        );
    }

    /// Starts a node that has ended, and waits until it works.
    pub fn start_again(&mut self, sandbox: &Sandbox, n: usize) {
        self.begin(sandbox, n);
        self.wait_until_up(n);
    }

    /// Runs rabbitmqctl on a node; the test fails when that fails.
    pub fn ctl(&self, sandbox: &Sandbox, n: usize, arguments: &[&str]) -> String {
        let arguments = [&["-q", "--node", &self.nodes[n].name], arguments].concat();
        let mut running = sandbox.spawn(self.command(sandbox, "rabbitmqctl", &arguments, n));
        assert!(holds_within(PATIENCE, || !running.runs()), "{arguments:?} does not end{}", running.told());
        running.finish().good()
    }

    fn begin(&mut self, sandbox: &Sandbox, n: usize) {
        let command = self.command(sandbox, "rabbitmq-server", &[], n);
        self.nodes[n].process = Some(sandbox.spawn(command));
    }

    fn wait_until_up(&mut self, n: usize) {
        let process = self.nodes[n].process.as_mut().expect("a node that was begun");
        let up = holds_within(PATIENCE, || {
            assert!(process.runs(), "RabbitMQ does not start (did tests/setup run?){}", process.told());
            process.out().contains("completed with")
        });
        assert!(up, "RabbitMQ is not ready after {PATIENCE:?}{}", process.told());
    }

    fn command(&self, sandbox: &Sandbox, program: &str, arguments: &[&str], n: usize) -> Command {
        let Node { name, port, dist, .. } = &self.nodes[n];
        let mut command = sandbox.command(format!("{PROGRAMS}/{program}"), arguments);
        let own = self.home.join(format!("node{}", n + 1));
        for (variable, path) in [
            ("HOME", self.home.clone()), // where the cookie lies
            ("RABBITMQ_MNESIA_BASE", own.join("mnesia")),
            ("RABBITMQ_LOG_BASE", own.join("log")),
            ("RABBITMQ_PID_FILE", own.join("pid")),
            ("RABBITMQ_CONF_ENV_FILE", self.home.join("env")),
            ("RABBITMQ_ENABLED_PLUGINS_FILE", self.home.join("enabled_plugins")),
            ("RABBITMQ_CONFIG_FILE", self.home.join("rabbitmq")),
            ("RABBITMQ_ADVANCED_CONFIG_FILE", self.home.join("advanced.config")),
        ] {
            command.env(variable, path);
        }
        for (variable, number) in
            [("RABBITMQ_NODE_PORT", port), ("RABBITMQ_DIST_PORT", dist), ("ERL_EPMD_PORT", &self.epmd)]
        {
            command.env(variable, number.to_string());
        }
        command.env("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin");
        // The host part always resolves, whatever this machine is called.
        command.env("RABBITMQ_NODENAME", name).env("RABBITMQ_NODE_IP_ADDRESS", "127.0.0.1");
        command.env("ERL_EPMD_ADDRESS", "127.0.0.1").env("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", ERLANG);
        // The script becomes the node, so that signals reach it.
        command.env("RUNNING_UNDER_SYSTEMD", "true");
        command
    }
}

//! Brokers for tests: a virtual host of one RabbitMQ node that all tests share, or our own broker in the sandbox.

use crate::amqp::Client;
use crate::rabbitmq::{self, Node};
use crate::running::Running;
use crate::sandbox::Sandbox;
use std::fs;
use std::net::TcpStream;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::sync::atomic::{AtomicU32, Ordering};

/// A virtual host that belongs to one test alone, so that `ruote_workitems` is its own.
#[derive(Debug)]
pub struct Broker {
    /// Where it listens, always on 127.0.0.1.
    pub port: u16,
    /// Who may enter.
    pub user: String,
    /// The password.
    pub password: String,
    /// The virtual host.
    pub vhost: String,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    RabbitMq(&'static Node),
    Skynet { folder: String, process: Box<Running> },
    Somebody,
}

impl Broker {
    /// A fresh virtual host of Debian's RabbitMQ. The node starts with the first test that asks.
    pub fn rabbitmq() -> Self {
        let node = rabbitmq::node();
        let vhost = node.create_vhost();
        Self {
            port: node.amqp_port,
            user: "guest".into(),
            password: "guest".into(),
            vhost,
            kind: Kind::RabbitMq(node),
        }
    }

    /// Our own broker, running in the sandbox's folder `broker`.
    pub fn skynet(sandbox: &Sandbox) -> Self {
        let port = free_port();
        let (user, password, vhost) = ("boss".to_owned(), "a-test's".to_owned(), "boss".to_owned());
        let folder = sandbox.folder("broker");
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).unwrap();
        let file = sandbox.write(
            "broker/broker.toml",
            format!(
                "listen = \"127.0.0.1:{port}\"\nuser = \"{user}\"\npassword = \"{password}\"\nvhosts = [\"{vhost}\"]\n"
            ),
        );
        fs::set_permissions(file, fs::Permissions::from_mode(0o600)).unwrap();
        let folder = folder.to_str().unwrap().to_owned();
        let process = Box::new(start(sandbox, &folder, port));
        Self { port, user, password, vhost, kind: Kind::Skynet { folder, process } }
    }

    /// A broker that the test has started itself.
    pub fn somebody(port: u16, user: &str, password: &str, vhost: &str) -> Self {
        Self { port, user: user.into(), password: password.into(), vhost: vhost.into(), kind: Kind::Somebody }
    }

    /// `amqp://user:password@127.0.0.1:port/vhost`
    pub fn url(&self) -> String {
        let password = self.password.replace('\'', "%27");
        format!("amqp://{}:{password}@127.0.0.1:{}/{}", self.user, self.port, self.vhost)
    }

    /// A connection to it.
    pub fn client(&self) -> Client {
        Client::connect(&self.url())
    }

    /// The process of our own broker, to be ended and looked at.
    pub fn process(&mut self) -> &mut Running {
        match &mut self.kind {
            Kind::Skynet { process, .. } => process,
            Kind::RabbitMq(_) => panic!("the RabbitMQ node is shared by all tests"),
            Kind::Somebody => panic!("its process is the test's"),
        }
    }

    /// Starts our own broker again, on the same port and folder, after its process has ended.
    pub fn start_again(&mut self, sandbox: &Sandbox) {
        match &mut self.kind {
            Kind::Skynet { folder, process } => **process = start(sandbox, folder, self.port),
            Kind::RabbitMq(_) => panic!("the RabbitMQ node is shared by all tests"),
            Kind::Somebody => panic!("its process is the test's"),
        }
    }

    /// Closes the connections of this virtual host from the broker's side, as an administrator does (RabbitMQ).
    pub fn close_connections(&self) {
        match &self.kind {
            Kind::RabbitMq(node) => node.close_connections(&self.vhost),
            Kind::Skynet { .. } | Kind::Somebody => panic!("end the process instead"),
        }
    }

    /// The names of all queues of this virtual host (RabbitMQ).
    pub fn queues(&self) -> Vec<String> {
        match &self.kind {
            Kind::RabbitMq(node) => node.queues(&self.vhost),
            Kind::Skynet { .. } | Kind::Somebody => panic!("our own broker does not list its queues"),
        }
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        if let Kind::RabbitMq(node) = self.kind {
            node.delete_vhost(&self.vhost);
        }
    }
}

fn start(sandbox: &Sandbox, folder: &str, port: u16) -> Running {
    let mut process = sandbox.start("skynet-broker", &[folder]);
    sandbox.wait_until("skynet-broker listens", || {
        assert!(process.runs(), "skynet-broker has ended: {}", process.told());
        TcpStream::connect(("127.0.0.1", port)).is_ok()
    });
    process
}

/// A port on the loopback that nobody listens on, given out once as long as this process lives, and that neither `skynet
/// local up` chooses nor the kernel gives to a connection: also not before it is listened on, nor while who did is away.
pub fn free_port() -> u16 {
    static TRIED: AtomicU32 = AtomicU32::new(0);
    let some = std::iter::repeat_with(|| {
        let n = std::process::id().wrapping_mul(7919).wrapping_add(TRIED.fetch_add(1, Ordering::Relaxed));
        12_000 + (n % 8_000) as u16
    });
    // Not by listening on it: a child that another test forks meanwhile would have that, too, until it executes.
    let free = |port: &u16| is_claimed(*port) && TcpStream::connect(("127.0.0.1", *port)).is_err();
    some.take(8_000).find(free).expect("a free port")
}

/// Claims a port against the tests of other processes: by a name that goes with this one. False = it is another's.
fn is_claimed(port: u16) -> bool {
    let name = SocketAddr::from_abstract_name(format!("skynet-test-port-{port}")).unwrap();
    UnixListener::bind_addr(&name).map(std::mem::forget).is_ok()
}

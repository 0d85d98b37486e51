//! The one RabbitMQ node that all tests share, also those of other test programs that run at the same time.
//!
//! The script `tests/rabbitmq` runs it; the first test that needs it starts the script. Whoever uses the node
//! holds a shared lock, which the kernel gives back however a test program ends; without users the node stops.

use crate::waiting::{holds_within, wait_until};
use serde_json::Value;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// What starting it may take at the most: some seconds usually, more on a machine that compiles meanwhile.
const START: Duration = Duration::from_secs(300);
/// `guest:guest` for HTTP.
const GUEST: &str = "Basic Z3Vlc3Q6Z3Vlc3Q=";

static NODE: LazyLock<Node> = LazyLock::new(Node::join);

/// The node, started if need be.
pub fn node() -> &'static Node {
    &NODE
}

/// A running node.
#[derive(Debug)]
pub struct Node {
    pub amqp_port: u16,
    http_port: u16,
    vhosts: AtomicU32,
    /// Held as long as this test program runs.
    _use: File,
}

impl Node {
    /// Becomes a user of the node; starts it where it does not run.
    fn join() -> Self {
        let place = crate::checkout().join("target/tests");
        fs::create_dir_all(&place).unwrap();
        let open = |name: &str| File::options().create(true).append(true).open(place.join(name)).unwrap();
        // First the lock of use, which waits while a node without users is stopping; then who may start one.
        let used = open("rabbitmq.lock");
        used.lock_shared().unwrap();
        let starting = open("rabbitmq.starting");
        starting.lock().unwrap();
        let url = place.join("rabbitmq.url");
        let (amqp_port, http_port) = match ports(&url).filter(|ports| answers(*ports)) {
            Some(ports) => ports,
            None => start(url, &open("rabbitmq.log")),
        };
        Self { amqp_port, http_port, vhosts: AtomicU32::new(0), _use: used }
    }

    /// A new virtual host, and its name.
    pub fn create_vhost(&self) -> String {
        let number = self.vhosts.fetch_add(1, Ordering::Relaxed);
        let vhost = format!("t{}-{number}", std::process::id());
        let all = r#"{"configure":".*","write":".*","read":".*"}"#;
        let made = self.ask("PUT", &format!("vhosts/{vhost}"), "");
        assert_eq!(made.0 / 100, 2, "making {vhost}: {made:?}");
        let permitted = self.ask("PUT", &format!("permissions/{vhost}/guest"), all);
        assert_eq!(permitted.0 / 100, 2, "permissions of {vhost}: {permitted:?}");
        vhost
    }

    pub fn delete_vhost(&self, vhost: &str) {
        // A test that fails for another reason is not to end here.
        let _ = ask(self.http_port, "DELETE", &format!("vhosts/{vhost}"), "");
    }

    pub fn queues(&self, vhost: &str) -> Vec<String> {
        self.names(&format!("queues/{vhost}"))
    }

    pub fn close_connections(&self, vhost: &str) {
        // The list lags behind by up to its collection interval: who wants to close one knows that there is one.
        let mut connections = vec![];
        wait_until("RabbitMQ lists the connections", || {
            connections = self.names(&format!("vhosts/{vhost}/connections"));
            !connections.is_empty()
        });
        for connection in connections {
            let name = connection.replace(' ', "%20").replace('>', "%3E").replace(':', "%3A");
            self.ask("DELETE", &format!("connections/{name}"), "");
        }
    }

    fn names(&self, path: &str) -> Vec<String> {
        let (status, body) = self.ask("GET", path, "");
        assert_eq!(status, 200, "{path}: {body}");
        let rows: Value = serde_json::from_str(&body).unwrap();
        let name = |row: &Value| row["name"].as_str().unwrap().to_owned();
        rows.as_array().unwrap().iter().map(name).collect()
    }

    fn ask(&self, verb: &str, path: &str, body: &str) -> (u16, String) {
        ask(self.http_port, verb, path, body)
            .unwrap_or_else(|e| panic!("the RabbitMQ node does not answer: {e}"))
    }
}

/// Starts the node, which outlives this test program where others use it too.
fn start(url: PathBuf, log: &File) -> (u16, u16) {
    let _ = fs::remove_file(&url);
    let ports = [(); 4].map(|()| crate::broker::free_port().to_string());
    let script = crate::checkout().join("tests/rabbitmq");
    let mut keeper = Command::new(&script)
        .args(ports)
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log.try_clone().unwrap())
        .process_group(0)
        .spawn()
        .unwrap_or_else(|e| panic!("cannot start {}: {e}", script.display()));
    let mut found = None;
    let ready = holds_within(START, || {
        assert!(
            keeper.try_wait().unwrap().is_none(),
            "RabbitMQ does not start: see target/tests/rabbitmq.log (did tests/setup run?)"
        );
        found = ports_that_answer(&url);
        found.is_some()
    });
    assert!(ready, "RabbitMQ is not ready after {START:?}: see target/tests/rabbitmq/out");
    found.unwrap()
}

fn ports_that_answer(url: &PathBuf) -> Option<(u16, u16)> {
    ports(url).filter(|ports| answers(*ports))
}

/// The AMQP port and the HTTP port of the node on record.
fn ports(url: &PathBuf) -> Option<(u16, u16)> {
    let record = fs::read_to_string(url).ok()?;
    let (amqp, http) = record.trim_end().split_once('\n')?;
    Some((amqp.rsplit_once(':')?.1.parse().ok()?, http.parse().ok()?))
}

fn answers((amqp, http): (u16, u16)) -> bool {
    TcpStream::connect(("127.0.0.1", amqp)).is_ok()
        && ask(http, "GET", "overview", "").is_ok_and(|a| a.0 == 200)
}

/// One request to RabbitMQ's HTTP API: status and body.
fn ask(port: u16, verb: &str, path: &str, body: &str) -> std::io::Result<(u16, String)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(START))?;
    // HTTP/1.0: the answer ends with the connection and is not in chunks.
    let length = body.len();
    write!(
        stream,
        "{verb} /api/{path} HTTP/1.0\r\nAuthorization: {GUEST}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    let body = answer.split_once("\r\n\r\n").map_or(String::new(), |(_, body)| body.to_owned());
    Ok((status, body))
}

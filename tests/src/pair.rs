//! A service and its logger, made so that a test sees what went through the pipe between them.

use crate::process::Process;
use crate::sandbox::Sandbox;
use crate::service::Service;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use std::fs::File;
use std::io::Write;
use std::path::PathBuf;

/// A logger that writes what it reads to `lines` in its folder, line by line.
pub const LOGGER: &str = "while read -r line; do echo \"$line\"; done >>lines";

/// `scan/s`, a service that writes the numbers it is ordered to, and its [`LOGGER`].
#[derive(Debug)]
pub struct Pair<'a> {
    /// The service.
    pub service: Service<'a>,
    /// Its logger.
    pub log: Service<'a>,
    sandbox: &'a Sandbox,
    orders: File,
}

impl<'a> Pair<'a> {
    /// Writes both into the scan directory.
    pub fn new(sandbox: &'a Sandbox) -> Self {
        sandbox.folder("scan/s");
        mkfifo(&sandbox.path("scan/s/orders"), Mode::from_bits_truncate(0o600)).unwrap();
        let script = "exec 3<>orders\nwhile read -r from to <&3; do seq $from $to; done";
        let service = Service::new(sandbox, "scan/s", script).with_log(LOGGER);
        // Both ways: what was ordered stays in the FIFO while the service restarts.
        let orders = File::options().read(true).write(true).open(sandbox.path("scan/s/orders")).unwrap();
        Self { service, log: Service::empty(sandbox, "scan/s/log"), sandbox, orders }
    }

    /// Has the service write these numbers, a line each.
    pub fn order(&mut self, from: u32, to: u32) {
        writeln!(self.orders, "{from} {to}").unwrap();
    }

    /// Waits until exactly the numbers up to this one were logged, in order.
    pub fn expect(&self, to: u32) {
        let expected: String = (1..=to).map(|number| format!("{number}\n")).collect();
        let all = || self.log.read("lines").len() >= expected.len();
        self.sandbox.wait_until(&format!("{to} lines are logged"), all);
        assert_eq!(self.log.read("lines"), expected);
    }

    /// Has the service write these numbers and waits until all up to the last one were logged.
    pub fn log_numbers(&mut self, from: u32, to: u32) {
        self.order(from, to);
        self.expect(to);
    }

    /// The pipe as both ends see it: standard output of the service, standard input of the logger.
    pub fn pipe(&self) -> (PathBuf, PathBuf) {
        (self.end(self.service.wait_until_up(), 1), self.end(self.log.wait_until_up(), 0))
    }

    /// What a descriptor of a process leads to.
    pub fn end(&self, pid: i32, number: i32) -> PathBuf {
        let found = Process::find(pid).unwrap().descriptors();
        found.into_iter().find(|(descriptor, _)| *descriptor == number).unwrap().1
    }
}

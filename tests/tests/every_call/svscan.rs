//! svscan: a service and its logger come up, the supervise of the service is killed, and TERM ends all.

use super::{Doomed, End, Fate};
use tests::process::{Process, signal};
use tests::service::Service;
use tests::{Running, Sandbox};
use unix::process::Signal;

/// Numbers, a line each, from where the one before stopped; TERM is obeyed between two of them.
const RUN: &str = "exec 9>>alone\nflock -n 9 || { echo twice >>twice; exit 1; }\ntrap 'stop=1' TERM\n\
                   n=$(cat number 2>/dev/null)\nn=${n:-0}\n\
                   while [ -z \"$stop\" ]; do n=$((n+1)); echo $n; echo $n >number; sleep 0.01 9>&-; done";
const LOGGER: &str = "exec 9>>alone\nflock -n 9 || { echo twice >>twice; exit 1; }\n\
                      while read -r line; do echo \"$line\"; done >>lines";

/// With a pair.
pub fn pair(fate: Fate) -> End {
    let sandbox = Sandbox::new();
    let service = Service::new(&sandbox, "scan/s", RUN).with_log(LOGGER);
    let first = Doomed::start(&sandbox, fate, "svscan", &["scan"]);
    let mut scene = Scene { sandbox: &sandbox, service, first, second: None };
    scene.until("lines are logged", |scene| scene.lines() > 2);
    let supervise = scene.service.status().and_then(|status| status.more?.supervise);
    let lines = scene.lines();
    supervise.iter().for_each(|supervise| signal(supervise.pid, Signal::SIGKILL));
    scene.until("the supervise has a successor", |scene| {
        let now = scene.service.status().and_then(|status| status.more?.supervise);
        now.is_some() && now != supervise && scene.service.is_supervised()
    });
    scene.until("lines go on", |scene| scene.lines() > lines + 2);
    scene.end()
}

struct Scene<'a> {
    sandbox: &'a Sandbox,
    service: Service<'a>,
    first: Doomed,
    /// The one that came after a killed one.
    second: Option<Running>,
}

impl Scene<'_> {
    fn lines(&self) -> usize {
        self.service.read("log/lines").lines().count()
    }

    /// Waits for something; where svscan is killed meanwhile, another is started.
    fn until(&mut self, what: &str, mut look: impl FnMut(&mut Self) -> bool) {
        let sandbox = self.sandbox;
        sandbox.wait_until(what, || {
            if self.second.is_none() && self.first.was_killed() {
                self.second = Some(sandbox.start("svscan", &["scan"]));
            }
            assert!(!sandbox.has("scan/s/twice") && !sandbox.has("scan/s/log/twice"), "two at a time");
            look(self)
        });
    }

    fn end(&mut self) -> End {
        // The svscan below the one that is to kill it.
        Process::children(self.first.process.pid())
            .iter()
            .for_each(|child| signal(child.pid, Signal::SIGTERM));
        let mut told = false;
        self.until("svscan has ended", |scene| match &mut scene.second {
            Some(second) => {
                // Once: the second TERM hurries.
                if !told && catches_term(second.pid()) {
                    told = true;
                    second.signal(Signal::SIGTERM);
                }
                !second.runs()
            }
            None => !scene.first.process.runs() && !scene.first.was_killed(),
        });
        let end = self.first.end();
        if let Some(mut second) = self.second.take() {
            let done = second.finish();
            assert_eq!((done.out.as_str(), done.err.as_str()), ("", ""), "{end:?}");
        }
        self.sandbox.wait_until_nothing_is_left();
        assert_eq!(self.first.process.err(), "", "{end:?}");
        let text = self.service.read("log/lines");
        let numbers: Vec<u64> = text.lines().map(|line| line.parse().unwrap()).collect();
        let last: u64 = self.service.read("number").trim().parse().unwrap();
        assert!(numbers.iter().copied().eq(1..=last), "{end:?}: {last} lines were written:\n{text}");
        end
    }
}

/// Before it does, TERM just ends it.
fn catches_term(pid: i32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let caught =
        status.lines().find_map(|line| u64::from_str_radix(line.strip_prefix("SigCgt:")?.trim(), 16).ok());
    caught.is_some_and(|caught| caught & 1 << (Signal::SIGTERM as u64 - 1) != 0)
}

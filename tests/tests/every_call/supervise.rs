//! supervise: a service is started, dies, is started again, is stopped and started by letters; and supervise ends.

use super::{Doomed, End, Fate};
use servicedir::status::{State, Status, Want};
use tests::process::{Process, lives, signal};
use tests::service::Service;
use tests::{Running, Sandbox};
use unix::process::Signal;

/// Notes that it runs, holds `alone` as long as it runs, and notes where somebody else does.
const RUN: &str =
    "exec 9>>alone\nflock -n 9 || { echo twice >>twice; exit 1; }\necho ./run >>order\nexec sleep 1000";
/// The same for `./start` and `./finish`.
const SCRIPT: &str =
    "exec 9>>alone\nflock -n 9 || { echo twice >>twice; exit 1; }\necho $0 >>order\nexec sleep 0.02";
const SETTINGS: &str = "[backoff]\nfirst = \"10ms\"\nmax = \"10ms\"\n";

/// A plain service directory.
pub fn plain(fate: Fate) -> End {
    play(fate, |_| ())
}

/// With settings, `./start` and `./finish`, none of which may run beside another, or beside the service.
pub fn scripted(fate: Fate) -> End {
    play(fate, |sandbox| {
        sandbox.write("s/service.toml", SETTINGS);
        for script in ["start", "finish"] {
            sandbox.script(format!("s/{script}"), SCRIPT);
        }
    })
}

fn play(fate: Fate, prepare: impl FnOnce(&Sandbox)) -> End {
    let sandbox = Sandbox::new();
    let service = Service::new(&sandbox, "s", RUN);
    prepare(&sandbox);
    let first = Doomed::start(&sandbox, fate, "supervise", &["s"]);
    let mut scene = Scene { sandbox: &sandbox, service, first, second: None, asked: None, fate };
    let pid = scene.until("it is up", Scene::up);
    signal(pid, Signal::SIGKILL);
    scene.until("it is up again", |scene| scene.up().filter(|now| *now != pid));
    scene.ask("-d");
    scene.until("it is down", |scene| scene.down(Want::Down));
    scene.ask("-u");
    scene.until("it is up for the third time", Scene::up);
    scene.ask("-dx");
    scene.end()
}

struct Scene<'a> {
    sandbox: &'a Sandbox,
    service: Service<'a>,
    first: Doomed,
    /// The one that came after a killed one.
    second: Option<Running>,
    /// The letters that were sent last: one that had no time to obey may be sent them again.
    asked: Option<&'static str>,
    fate: Fate,
}

impl Scene<'_> {
    fn ask(&mut self, option: &'static str) {
        self.asked = Some(option);
        self.send(option);
    }

    fn send(&self, option: &str) {
        // Whether anybody hears that, who knows.
        let _ = self.sandbox.run("svc", &[option, "s"]);
    }

    /// Waits for something; where supervise is killed meanwhile, another is started, which must take over.
    fn until<T>(&mut self, what: &str, mut look: impl FnMut(&mut Self) -> Option<T>) -> T {
        let sandbox = self.sandbox;
        let what = format!("{what} (killed before call {})", self.fate.n);
        sandbox.wait_for(&what, || {
            if self.second.is_none() && self.first.was_killed() {
                self.take_over();
                self.settle();
                if let Some(option) = self.asked {
                    self.send(option);
                }
            }
            assert!(!sandbox.has("s/twice"), "two at a time");
            look(self)
        })
    }

    fn status(&self) -> Option<Status> {
        self.service.is_supervised().then(|| self.service.status()).flatten()
    }

    /// It is up, and is who holds `alone`.
    fn up(&mut self) -> Option<i32> {
        let pid = self.status()?.pid?;
        (self.holders() == [pid]).then_some(pid)
    }

    fn down(&mut self, want: Want) -> Option<()> {
        let status = self.status()?;
        let state = status.more.as_ref()?.state;
        (status.want == want && state == State::Down && self.holders().is_empty()).then_some(())
    }

    /// Who has `alone` open and runs `sleep`, as a service that has come to its end does.
    fn holders(&self) -> Vec<i32> {
        let alone = self.service.path("alone");
        let sleeps = |process: &Process| process.words == "sleep 1000" && process.holds(&alone);
        self.sandbox.leftovers().into_iter().filter(sleeps).map(|process| process.pid).collect()
    }

    /// Starts another supervise, and holds what it does against what was on record.
    fn take_over(&mut self) {
        // A child that is not on record yet holds the lock, also after its supervise was killed, until it is.
        let dir = self.service.path("");
        self.sandbox.wait_until("nobody holds the lock", || !servicedir::holder::is_held(&dir));
        let before = self.service.status();
        let alive = before.as_ref().and_then(|status| status.pid).filter(|pid| lives(*pid));
        self.second = Some(self.supervise());
        let after = self.service.status().unwrap();
        // One that has ended as it was told to leaves nothing to go on with.
        let left = before.filter(|status| status.more.as_ref().is_some_and(|more| more.supervise.is_some()));
        let Some(before) = left else { return };
        assert_eq!(before.want, after.want, "what is wanted is not forgotten");
        if let Some(pid) = alive.filter(|pid| lives(*pid)) {
            assert_eq!(after.pid, Some(pid), "{before:?} became {after:?}");
            assert!(after.more.is_some_and(|more| more.adopted));
        }
    }

    /// Waits until the second has gone on to an end: a run that is told to end before it has noted itself would
    /// not be seen, its `./finish` would.
    fn settle(&mut self) {
        let sandbox = self.sandbox;
        sandbox.wait_until("what was begun is up, down or over", || {
            let ended = self.second.as_mut().is_some_and(|second| !second.runs());
            ended || self.up().is_some() || self.down(Want::Down).is_some()
        });
    }

    fn supervise(&self) -> Running {
        let mut supervise = self.sandbox.start("supervise", &["s"]);
        self.sandbox.wait_until("another supervise runs", || {
            assert!(supervise.runs(), "{}", supervise.told());
            self.status().is_some_and(|status| written_by(&status, supervise.pid()))
        });
        supervise
    }

    /// Both have come to their end, and nothing is left.
    fn end(&mut self) -> End {
        self.until("supervise has ended", |scene| {
            let last = scene.second.as_mut().unwrap_or(&mut scene.first.process);
            (!last.runs()).then_some(())
        });
        let end = self.first.end();
        if let Some(mut second) = self.second.take() {
            assert_eq!(second.finish().told(), (0, "", ""));
        }
        assert_eq!(self.holders(), [] as [i32; 0]);
        self.sandbox.wait_until_nothing_is_left();
        let order = self.service.read("order");
        let doubled = |name: &str| order.contains(&format!("{name}\n{name}\n"));
        if self.sandbox.has("s/finish") {
            assert!(
                !doubled("./run") && !doubled("./finish"),
                "one cleans up after each run, once ({end:?}):\n{order}"
            );
        }
        let err = self.first.process.err();
        assert_eq!(err, "", "{end:?}");
        end
    }
}

fn written_by(status: &Status, pid: i32) -> bool {
    status.more.as_ref().and_then(|more| more.supervise).is_some_and(|supervise| supervise.pid == pid)
}

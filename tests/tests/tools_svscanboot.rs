//! svscanboot: the tree of a machine, in a machine of its own: a folder as root directory, with namespaces.
#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

mod tools;

use tests::process::Process;
use tests::{Programs, Running, Sandbox, on_both};
use tools::is_root;

on_both! {
    svscan_runs_under_readproctitle_with_nothing_but_a_path,
    what_an_earlier_tree_left_is_ended_first,
}

/// Makes `root/` the root directory of what follows, with the machine's /usr, its libraries, and a /proc.
const ENTER: &str = r#"
set -e
cd root
mkdir -p usr dev proc tmp
mount --rbind /usr usr
mount --rbind /dev dev
mount -t proc proc proc
for name in bin sbin lib lib64; do
    if [ -L /$name ]; then ln -sfn "$(readlink /$name)" $name
    elif [ -d /$name ]; then mkdir -p $name && mount --rbind /$name $name
    fi
done
cd ..
set +e
"#;

/// A machine with one service in /etc/service and the programs in /command. `None` where it cannot be made.
struct Machine {
    sandbox: Sandbox,
}

impl Machine {
    fn new(programs: Programs) -> Option<Self> {
        if !is_root() {
            return None;
        }
        let sandbox = Sandbox::with(programs);
        for program in ["svscanboot", "svscan", "supervise", "svc", "svstat", "svok", "readproctitle"] {
            sandbox.copy_program_to(program, format!("root/command/{program}"));
        }
        sandbox.script(
            "root/etc/service/s/run",
            "exec 2>&1\n\
             tr '\\0' '|' </proc/$PPID/environ >environment\n\
             readlink /proc/self/fd/0 >input\n\
             echo the service says this\n\
             echo $$ >pid.new && mv pid.new pid\n\
             exec sleep 1000",
        );
        let machine = Self { sandbox };
        let tried = machine.run("true");
        let possible = tried.code == Some(0);
        if !possible {
            assert!(
                tried.err.contains("ermission denied") || tried.err.contains("not permitted"),
                "{}",
                tried.err
            );
            eprintln!("no mounts here: svscanboot cannot be tried");
        }
        possible.then_some(machine)
    }

    fn start(&self, line: &str) -> Running {
        let inside = format!("{ENTER}\n/usr/sbin/chroot root /bin/sh -c '{line}'");
        self.sandbox.start("unshare", &["-m", "-p", "-f", "--kill-child", "--", "/bin/sh", "-c", &inside])
    }

    fn run(&self, line: &str) -> tests::Done {
        self.start(line).finish()
    }

    fn service(&self, file: &str) -> String {
        self.sandbox.read(format!("root/etc/service/s/{file}"))
    }

    /// The readproctitle of this machine, in whatever state its title is.
    fn title(&self) -> Option<Process> {
        let mut all = self.sandbox.leftovers().into_iter();
        all.find(|process| process.words.starts_with("readproctitle service errors: "))
    }
}

/// "svscan under `readproctitle service errors: ` with 400 dots, fds 0-2 on /dev/null and one variable,
/// PATH=/command:… (ours first in it)".
fn svscan_runs_under_readproctitle_with_nothing_but_a_path(programs: Programs) {
    let ours = programs.are_ours();
    let Some(machine) = Machine::new(programs) else { return };
    let mut boot = machine.start("X=1 exec /command/svscanboot");
    machine.sandbox.wait_until("the service runs", || !machine.service("pid").is_empty());
    let path = "/command:/usr/local/bin:/usr/local/sbin:/bin:/sbin:/usr/bin:/usr/sbin:/usr/X11R6/bin";
    let path = if ours { format!("/command:{path}") } else { path.to_owned() };
    let environment = machine.service("environment");
    // What our svscan tells its supervise, which keeps it to itself, is none of svscanboot's business.
    let variables: Vec<_> =
        environment.trim_end_matches('|').split('|').filter(|v| !v.starts_with("SVSCAN=")).collect();
    assert_eq!(variables, [format!("PATH={path}")]);
    assert_eq!(machine.service("input"), "/dev/null\n");
    let said = "service errors: ";
    machine.sandbox.wait_until("ps shows what the service says", || {
        machine.title().is_some_and(|title| title.words.contains("the service says this"))
    });
    let title = machine.title().unwrap();
    let shown = title.words.split_once(said).unwrap().1;
    // The newline at the end is white space, which words are without.
    let expected = format!("{}the service says this", ".".repeat(400 - "the service says this\n".len()));
    assert_eq!(shown.trim_end(), expected);
    let null = |fd: i32| title.descriptors().iter().any(|(own, to)| *own == fd && to.ends_with("dev/null"));
    assert!(null(1) && null(2), "{:?}", title.descriptors());
    assert!(boot.runs());
    assert_eq!(boot.kill().told(), (-1, "", ""));
}

/// "`svscanboot` runs `svc -dx` on all services and logs, then svscan".
fn what_an_earlier_tree_left_is_ended_first(programs: Programs) {
    let Some(machine) = Machine::new(programs) else { return };
    machine
        .sandbox
        .script("root/etc/service/s/log/run", "echo $$ >pid.new && mv pid.new pid\nexec cat >/dev/null");
    let mut boot = machine.start(
        "cd /etc/service; PATH=/command:$PATH\n\
         supervise s </dev/null & supervise s/log </dev/null &\n\
         until [ -e s/pid ] && [ -e s/log/pid ]; do sleep 0.05; done\n\
         mv s/pid s/old; mv s/log/pid s/log/old\n\
         svscanboot & wait",
    );
    machine.sandbox.wait_until("both run again", || {
        !machine.service("pid").is_empty() && !machine.service("log/pid").is_empty()
    });
    assert_ne!(machine.service("pid"), machine.service("old"));
    assert_ne!(machine.service("log/pid"), machine.service("log/old"));
    assert!(boot.runs());
    boot.kill();
}

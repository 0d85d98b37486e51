//! Our programs, Python, svscan, the broker.

use super::Finding;
use crate::brokers;
use crate::local::broker::{self as local, Broker};
use crate::local::svscan;
use crate::progress;
use crate::service::Service;
use crate::starting;
use crate::tree::Tree;
use crate::units::time;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

const OURS: [&str; 5] = ["svscan", "supervise", "multilog", "exo", "svc"];
/// A broker that takes longer to answer is said to be slow.
const SLOW: Duration = Duration::from_secs(2);

/// What is found.
pub fn look(tree: &Tree) -> Vec<Finding> {
    let mut found = vec![ours(), python(), supervision(tree)];
    found.extend(broker(tree));
    found
}

fn own_folder() -> Option<PathBuf> {
    fs::read_link("/proc/self/exe").ok()?.parent().map(PathBuf::from)
}

fn ours() -> Finding {
    let Some(bin) = own_folder() else { return Finding::wrong("programs", "/proc is not there", "mount it") };
    let missing: Vec<_> = OURS.iter().filter(|name| !bin.join(name).exists()).copied().collect();
    match missing.as_slice() {
        [] => Finding::good("programs", bin.display().to_string()),
        missing => {
            let what = format!("{} missing in {}", missing.join(", "), bin.display());
            Finding::wrong("programs", what, "install or build SkyNET anew: its programs belong together")
        }
    }
}

fn python() -> Finding {
    let asked =
        Command::new("python3").args(["-c", "import sys; print('%d.%d' % sys.version_info[:2])"]).output();
    let install = "install python3 (3.9 or newer), or set python in config.exo; exec participants need none";
    match asked {
        Ok(said) if said.status.success() => {
            let version = String::from_utf8_lossy(&said.stdout).trim().to_owned();
            let minor = version.strip_prefix("3.").and_then(|minor| minor.parse::<u32>().ok());
            match minor {
                Some(9..) => Finding::good("python", format!("python3 is {version}")),
                _ => Finding::wrong("python", format!("python3 is {version}"), install),
            }
        }
        Ok(_) | Err(_) => Finding::warning("python", "there is no python3 on PATH", install),
    }
}

fn supervision(tree: &Tree) -> Finding {
    let Some(home) = tree.home() else {
        let services = tree.services().unwrap_or_default();
        if services.iter().any(|name| Service::look(&tree.service(name)).hidden) {
            return Finding::warning("svscan", "services are for root to see", "sudo skynet doctor");
        }
        if let Some(pid) = svscan::of_system(&tree.scan_dir()) {
            return Finding::good("svscan", format!("runs (pid {pid})"));
        }
        let supervised = services.iter().filter(|name| Service::look(&tree.service(name)).supervised).count();
        return match (nix::unistd::geteuid().is_root(), supervised) {
            (true, 0) => Finding::wrong("svscan", "it does not run", starting::start_the_system(tree)),
            (true, n) => {
                let what = format!("it does not run; {} without it", crate::units::count(n, "service"));
                Finding::wrong("svscan", what, starting::start_the_system(tree))
            }
            // Who supervises is not for others to see.
            (false, 0) => Finding::warning("svscan", "nothing of it is to be seen", "sudo skynet doctor"),
            (false, _) => Finding::good("svscan", "services are supervised"),
        };
    };
    match svscan::find(&home.join("run")) {
        Some(svscan) => Finding::good("svscan", format!("runs (pid {})", svscan.pid)),
        None => Finding::wrong("svscan", "it does not run", starting::not_running(tree)),
    }
}

/// What to do about a broker that cannot be used for this reason.
fn repair(why: &str) -> &'static str {
    match why {
        _ if why.contains("ACCESS_REFUSED") => {
            "are user and password right? skynet config set amqp.url amqp://USER:PASSWORD@HOST/VHOST"
        }
        _ if why.contains("NOT_ALLOWED") => {
            "is the vhost there, and may the account use it? rabbitmqctl list_permissions -p VHOST"
        }
        _ => "does it run? is [amqp] url in boss.conf right?",
    }
}

fn is_elsewhere(tree: &Tree) -> bool {
    matches!(local::chosen(tree), Ok(Some(Broker::Elsewhere)))
}

fn broker(tree: &Tree) -> Vec<Finding> {
    let brokers = match brokers::of_tree(tree) {
        Ok(brokers) => brokers,
        Err(e) => return vec![Finding::wrong("broker", e.to_string(), "see settings below")],
    };
    let begun = Instant::now();
    let _progress = progress::during("waiting for the broker");
    let asked = brokers::runtime().and_then(|runtime| {
        runtime.block_on(async {
            let line = air::line::Line::open(&brokers.urls, &brokers.tls).await?;
            let replies = line.queue(brokers::REPLIES).await;
            let place = line.place().to_owned();
            line.close().await;
            Ok((place, replies?))
        })
    });
    let took = begun.elapsed();
    let (place, replies) = match asked {
        Ok(answer) => answer,
        Err(e) => {
            let repair = match tree.home() {
                Some(_) if is_elsewhere(tree) => crate::local::ELSEWHERE,
                Some(_) => "skynet local status says which broker and whether it runs",
                None => repair(&e.to_string()),
            };
            return vec![Finding::wrong("broker", e.to_string(), repair)];
        }
    };
    let mut found = vec![match took > SLOW {
        true => {
            Finding::warning("broker", format!("{place} took {} to answer", time(took)), "look at its load")
        }
        false => Finding::good("broker", format!("{place} answers")),
    }];
    if let Some(queue) = replies.filter(|queue| queue.consumers == 0 && queue.ready > 0) {
        let what = format!("no engine takes the replies from {} ({} wait)", brokers::REPLIES, queue.ready);
        found.push(Finding::warning("engine", what, "is BOSS up, and on this broker and vhost?"));
    }
    found
}

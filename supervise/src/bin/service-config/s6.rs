//! The files of an s6 service directory that say what service.toml says; that wins over them.

use crate::keys;
use servicedir::policy::Policy;
use std::io::ErrorKind;
use std::time::Duration;
use unix::words::Words;

/// Reads them from the working directory into `policy`; complaints are added to `troubles`.
pub fn read(policy: &mut Policy, troubles: &mut Vec<String>) {
    let mut file = |name: &str, takes: &str, set: &mut dyn FnMut(&str) -> Option<()>| {
        let text = match crate::content(name) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(e) if e.kind() == ErrorKind::NotFound => return,
            Err(e) => return troubles.push(format!("{name}: cannot be read: {}", Words(&e))),
        };
        let word = text.trim();
        if set(word).is_none() {
            troubles.push(format!("{name}:1: takes {takes}, not \"{}\"", word.escape_debug()));
        }
    };
    file("notification-fd", "the number of a descriptor from 3 to 63", &mut |word| {
        policy.ready = Some(word.parse().ok().filter(|number| (3..64).contains(number))?);
        Some(())
    });
    file("timeout-kill", "milliseconds, 0 for none", &mut |word| {
        policy.stop.grace = limit(word)?;
        Some(())
    });
    file("timeout-finish", "milliseconds, 0 for none", &mut |word| {
        policy.finish_limit = limit(word)?;
        Some(())
    });
    file("down-signal", "the name or number of a signal", &mut |word| {
        let number = || word.parse::<i32>().ok().and_then(|number| number.try_into().ok());
        policy.stop.signal = keys::signal(word).or_else(number)?;
        Some(())
    });
}

fn limit(word: &str) -> Option<Option<Duration>> {
    let ms: u32 = word.parse().ok()?;
    Some((ms != 0).then(|| Duration::from_millis(ms.into())))
}

//! What each key may be by itself, and not beside another.

use crate::settings::{Settings, Tls};
use crate::{ConfigError, names};
use std::path::Path;

/// Checks the settings of the participant with this configuration file.
///
/// # Errors
/// [`ConfigError`], with file, line and key.
pub fn check(settings: &Settings, config: &Path) -> Result<(), ConfigError> {
    match [worker, timeouts, tls, account, patterns].iter().find_map(|complaint| complaint(settings)) {
        Some((key, reason)) => Err(settings.complaint(config, &key, reason)),
        None => Ok(()),
    }
}

/// What can be, and is hardly meant.
pub fn warnings(settings: &Settings) -> Vec<String> {
    let Settings { prefetch, concurrency, .. } = *settings;
    let small = settings.places.get("prefetch").filter(|_| u32::from(prefetch) < concurrency);
    let warning = small.map(|place| {
        format!("{place}: prefetch = {prefetch} is below concurrency = {concurrency}: no more than {prefetch} at a time")
    });
    warning.into_iter().collect()
}

/// A key, and what is wrong with it.
type Complaint = Option<(String, String)>;

fn worker(settings: &Settings) -> Complaint {
    let code = settings.places.get("code").filter(|_| !settings.exec.is_empty())?;
    Some(("exec".into(), format!("a program works in the place of code ({code}): keep one of them")))
}

/// A handler that is beyond `hard_timeout` is not told any more that it should stop.
fn timeouts(settings: &Settings) -> Complaint {
    let Settings { soft_timeout: soft, hard_timeout: hard, .. } = *settings;
    let late = !hard.is_zero() && soft > hard;
    late.then(|| {
        let (soft, hard) = (soft.as_secs_f64(), hard.as_secs_f64());
        (
            "soft_timeout".into(),
            format!("{soft} s is after hard_timeout ({hard} s), when all is over: make it shorter"),
        )
    })
}

/// Who gives certificates believes that nobody can read on the way.
fn tls(settings: &Settings) -> Complaint {
    let Tls { ca, cert, key } = &settings.tls;
    let given = [("ca", ca), ("cert", cert), ("key", key)].into_iter().find(|(_, file)| file.is_some())?;
    let plain = !settings.amqp.iter().any(|url| names::is_tls(url.secret()));
    let reason =
        "it is for amqps://, and no URL of the broker begins so: what goes there can be read on the way";
    plain.then(|| (format!("amqp.tls.{}", given.0), reason.into()))
}

fn account(settings: &Settings) -> Complaint {
    let (given, needed) = match (&settings.tls.cert, &settings.tls.key) {
        (Some(_), None) => ("cert", "key"),
        (None, Some(_)) => ("key", "cert"),
        _ => return None,
    };
    Some((
        format!("amqp.tls.{given}"),
        format!("it needs {needed} beside it, as in amqp.tls = {{ cert = \"FILE\", key = \"FILE\" }}"),
    ))
}

fn patterns(settings: &Settings) -> Complaint {
    settings.fields.iter().find_map(|(name, field)| {
        let kind = field.kind.as_deref().filter(|kind| *kind != "string")?;
        field.pattern.as_ref()?;
        Some((format!("fields.{name}.pattern"), format!("it is for texts, and the type is {kind}")))
    })
}

#[cfg(test)]
mod tests {
    use crate::{Home, load};
    use std::fs;

    fn said(boss: &str, exo: &str) -> String {
        let folder = tempfile::tempdir().unwrap();
        let (home, config) = (folder.path(), folder.path().join("sizer/config.exo"));
        fs::create_dir(home.join("sizer")).unwrap();
        fs::write(home.join("boss.conf"), boss).unwrap();
        fs::write(&config, exo).unwrap();
        load(&Home::at(Some(home.into())), &config).map_or_else(|e| e.to_string(), |_| String::new())
    }

    #[test]
    fn what_cannot_be_together_is_refused_with_its_line() {
        let tls = "[amqp.tls]\n\nca = \"ca.pem\"\n";
        let url = |url: &str| format!("[amqp]\nurl = \"{url}\"\n");
        let unsafe_at =
            |line| format!("{line}: amqp.tls.ca: it is for amqps://, and no URL of the broker begins so");
        let both = [url("amqps://b"), tls.to_owned()].concat();
        for (boss, exo, says) in [
            (&*url("amqp://a"), tls, unsafe_at("config.exo:3")),
            ("", tls, unsafe_at("config.exo:3")),
            (tls, &url("amqp://a"), unsafe_at("boss.conf:3")),
            (
                "",
                "[amqp]\nurls = [\"amqp://a\", \"amqp://b\"]\ntls.key = \"k\"\n",
                "config.exo:3: amqp.tls.key: it is for".into(),
            ),
            (
                "",
                "[amqp]\nurl = \"amqps://a\"\ntls.cert = \"c\"\n",
                "config.exo:3: amqp.tls.cert: it needs key beside it".into(),
            ),
            (
                &both,
                "[amqp.tls]\nkey = \"k\"\n",
                "config.exo:2: amqp.tls.key: it needs cert beside it".into(),
            ),
            (
                "",
                "[fields]\nx = { pattern = \"x\" }\n\ny = { type = \"integer\", pattern = \"1\" }\n",
                "config.exo:4: fields.y.pattern: it is for texts, and the type is integer".into(),
            ),
            // An account of the participant's own at the broker of all.
            (tls, &url("amqps://a"), String::new()),
            (&both, &url("amqps://a"), String::new()),
            ("", "[amqp]\nurls = [\"amqp://a\", \"amqps://b\"]\ntls.ca = \"ca\"\n", String::new()),
            // A broker of its own, to which the certificates do not belong.
            (&both, &url("amqp://a"), String::new()),
            (
                "",
                "code = \"a.py\"\nexec = [\"./a\"]\n",
                "config.exo:2: exec: a program works in the place of code (".into(),
            ),
            (
                "soft_timeout = \"2m\"\n",
                "hard_timeout = \"90s\"\n",
                "boss.conf:1: soft_timeout: 120 s is after hard_timeout (90 s), when all is over".into(),
            ),
            ("soft_timeout = \"2m\"\n", "hard_timeout = \"2m\"\n", String::new()),
            ("soft_timeout = \"2m\"\n", "hard_timeout = \"0s\"\n", String::new()),
            (
                "code = \"a.py\"\n",
                "exec = [\"./a\"]\n",
                "config.exo:1: exec: a program works in the place of code (".into(),
            ),
        ] {
            let said = said(boss, exo);
            assert!(said.contains(&says) && said.is_empty() == says.is_empty(), "{boss}\n{exo}\n{said}");
        }
    }
}

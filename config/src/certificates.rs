//! Whether the files of `[amqp.tls]` are there, and hold what they are named for.

use crate::handler::{closed, denied, judge};
use crate::{ConfigError, Settings};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

/// Whether a text holds what it should; if not, in words that follow its file's name.
type Holds = fn(&[u8]) -> Result<(), String>;

/// Looks at them; `ours` = as the participant, else as somebody for whom what its user may do is not to be judged.
///
/// # Errors
/// [`ConfigError`], with file, line and key.
pub fn check(settings: &Settings, config: &Path, ours: bool) -> Result<(), ConfigError> {
    let tls = &settings.tls;
    let files: [(_, _, Holds); 3] =
        [("ca", &tls.ca, certificates), ("cert", &tls.cert, certificates), ("key", &tls.key, private_key)];
    for (key, file, holds) in files {
        if let Some(file) = file {
            look(file, ours, holds)
                .map_err(|reason| settings.complaint(config, &format!("amqp.tls.{key}"), reason))?;
        }
    }
    Ok(())
}

fn look(file: &Path, ours: bool, holds: Holds) -> Result<(), String> {
    let shown = file.display();
    match fs::read(file) {
        Ok(text) => holds(&text).map_err(|wrong| format!("{shown} {wrong}")),
        Err(e) if denied(&e) => judge(ours, || closed("read", file)),
        Err(e) if e.kind() == ErrorKind::NotFound => {
            Err(format!("there is no file {shown}: put it there, or name another"))
        }
        Err(_) => Err(format!("{shown} cannot be read as a file: name one")),
    }
}

fn certificates(text: &[u8]) -> Result<(), String> {
    let found: Vec<_> = CertificateDer::pem_slice_iter(text).collect();
    match found.iter().all(Result::is_ok) && !found.is_empty() {
        true => Ok(()),
        false => Err("holds no certificate in PEM's form (-----BEGIN CERTIFICATE-----)".into()),
    }
}

fn private_key(text: &[u8]) -> Result<(), String> {
    PrivateKeyDer::from_pem_slice(text).map(drop).map_err(|_| {
        "holds no private key in PEM's form (-----BEGIN PRIVATE KEY-----), one without a passphrase".into()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Home, load};

    fn pem(what: &str, base64: &str) -> String {
        format!("-----BEGIN {what}-----\n{base64}\n-----END {what}-----\n")
    }

    #[test]
    fn what_is_not_there_or_is_something_else_is_told_with_the_place_that_names_it() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().canonicalize().unwrap().join("sizer");
        fs::create_dir_all(dir.join("folder")).unwrap();
        for (name, text) in [
            ("cert", pem("CERTIFICATE", "AAAA")),
            ("chain", format!("a word before\n{0}{0}", pem("CERTIFICATE", "AAAA"))),
            ("key", pem("PRIVATE KEY", "AAAA")),
            ("rsa", pem("RSA PRIVATE KEY", "AAAA")),
            ("locked", pem("ENCRYPTED PRIVATE KEY", "AAAA")),
            ("half", pem("CERTIFICATE", "AAAA").replace("-----END", "")),
            ("broken", pem("CERTIFICATE", "A&A")),
            ("der", "\u{30}\u{82}".into()),
            ("empty", String::new()),
        ] {
            fs::write(dir.join(name), text).unwrap();
        }
        let no_certificate = |name| {
            format!(
                ":3: amqp.tls.ca: DIR/{name} holds no certificate in PEM's form (-----BEGIN CERTIFICATE-----)"
            )
        };
        let no_key = |name| format!(":4: amqp.tls.key: DIR/{name} holds no private key in PEM's form");
        for (tls, says) in [
            ("ca = \"chain\"", String::new()),
            ("cert = \"cert\"\nkey = \"key\"", String::new()),
            ("cert = \"cert\"\nkey = \"rsa\"", String::new()),
            ("cert = \"cert\"\nkey = \"locked\"", no_key("locked")),
            ("cert = \"cert\"\nkey = \"cert\"", no_key("cert")),
            (
                "cert = \"gone\"\nkey = \"key\"",
                ":3: amqp.tls.cert: there is no file DIR/gone: put it there, or name another".into(),
            ),
            ("ca = \"folder\"", ":3: amqp.tls.ca: DIR/folder cannot be read as a file: name one".into()),
            ("ca = \"key\"", no_certificate("key")),
            ("ca = \"half\"", no_certificate("half")),
            ("ca = \"broken\"", no_certificate("broken")),
            ("ca = \"der\"", no_certificate("der")),
            ("ca = \"empty\"", no_certificate("empty")),
        ] {
            let path = dir.join("config.exo");
            fs::write(&path, format!("amqp.url = \"amqps://a\"\n[amqp.tls]\n{tls}\n")).unwrap();
            let (settings, _) = load(&Home::at(Some(root.path().into())), &path).unwrap();
            let said = check(&settings, &path, true).map_or_else(|e| e.to_string(), |()| String::new());
            let says = says.replace("DIR", dir.to_str().unwrap());
            assert!(said.contains(&says) && said.is_empty() == says.is_empty(), "{tls}: {said}");
        }
    }
}

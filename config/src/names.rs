//! What may be called what.

/// A participant's name becomes a folder's and a file's.
pub fn is_participant(name: &str) -> bool {
    let harmful = |c: char| c.is_control() || matches!(c, '/' | '@');
    (1..=200).contains(&name.len()) && !name.starts_with('.') && !name.contains(harmful)
}

/// A queue's name is a short string of AMQP; those that begin with `amq.` are the broker's own.
pub fn is_queue(name: &str) -> bool {
    (1..=255).contains(&name.len()) && !name.starts_with("amq.") && !name.contains(char::is_control)
}

/// `module:Class` of Python's, or nothing.
pub fn is_class(text: &str) -> bool {
    let word = |w: &str| {
        !w.is_empty()
            && !w.starts_with(|c: char| c.is_ascii_digit())
            && w.chars().all(|c| c.is_alphanumeric() || c == '_')
    };
    text.is_empty()
        || text.split_once(':').is_some_and(|(module, class)| module.split('.').all(word) && word(class))
}

/// `Class` or `Module::Class` of Ruby's.
pub fn is_ruby_class(text: &str) -> bool {
    let constant =
        |w: &str| w.starts_with(char::is_uppercase) && w.chars().all(|c| c.is_alphanumeric() || c == '_');
    text.strip_prefix("::").unwrap_or(text).split("::").all(constant)
}

/// Whether this is the URL of a broker: scheme, host, and a port that is a number.
pub fn is_broker(url: &str) -> bool {
    let Some(rest) = url.strip_prefix("amqp://").or_else(|| url.strip_prefix("amqps://")) else {
        return false;
    };
    let place = rest.rsplit_once('@').map_or(rest, |(_, place)| place);
    let place = place.split(['/', '?', '#']).next().unwrap_or_default();
    // The colons within an IPv6 address end with its bracket.
    let (host, port) = match place.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port),
        _ => (place, "5672"),
    };
    !host.is_empty()
        && !url.contains(|c: char| c.is_whitespace() || c.is_control())
        && port.parse::<u16>().is_ok()
}

/// Whether the broker of this URL is spoken to over TLS.
pub fn is_tls(url: &str) -> bool {
    url.starts_with("amqps://")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn participants_and_queues_have_usable_names() {
        for (name, participant, queue) in [
            ("sizer", true, true),
            ("check-repo_2", true, true),
            ("größe", true, true),
            ("boss.sizer", true, true),
            ("", false, false),
            (".hidden", false, true),
            ("../x", false, true),
            ("a@2", false, true),
            ("a\nb", false, false),
            ("a\0b", false, false),
            ("amq.gen-x", true, false),
        ] {
            assert_eq!((is_participant(name), is_queue(name)), (participant, queue), "{name:?}");
        }
        assert!(is_participant(&"x".repeat(200)) && !is_participant(&"x".repeat(201)));
        assert!(is_queue(&"x".repeat(255)) && !is_queue(&"x".repeat(256)));
    }

    #[test]
    fn a_class_is_named_with_its_module() {
        for (text, good) in [
            ("", true),
            ("m:C", true),
            ("a.b:C_1", true),
            ("C", false),
            ("m:", false),
            (":C", false),
            ("m:C:D", false),
            ("a..b:C", false),
        ] {
            assert_eq!(is_class(text), good, "{text}");
        }
    }

    #[test]
    fn a_class_of_rubys_is_a_constant() {
        for (text, good) in [
            ("RuntimeError", true),
            ("Ruote::Amqp::RemoteError", true),
            ("::Error_2", true),
            ("", false),
            ("Runtime Error", false),
            (" RuntimeError", false),
            ("runtimeError", false),
            ("Ruote::", false),
            ("Ruote:Error", false),
            ("Ruote.Error", false),
        ] {
            assert_eq!(is_ruby_class(text), good, "{text:?}");
        }
    }

    #[test]
    fn a_broker_has_a_scheme_a_host_and_perhaps_a_port() {
        for (url, good) in [
            ("amqp://h", true),
            ("amqps://u:p@h:5671/v", true),
            ("amqp://u:p@@h:1/", true),
            ("amqp://[::1]/v", true),
            ("amqp://u:p@[::1]:5672/v?heartbeat=10", true),
            ("amqp://", false),
            ("amqp://u:p@", false),
            ("amqp://u:p@:5672/", false),
            ("amqp://h:port/", false),
            ("amqp://h:70000/", false),
            ("amqp://h h/", false),
            ("http://h", false),
            ("h:5672", false),
            ("", false),
        ] {
            assert_eq!(is_broker(url), good, "{url}");
        }
    }
}

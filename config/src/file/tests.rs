//! Every complaint of a file.

use super::*;

#[test]
fn every_complaint_names_file_line_key_and_what_to_write() {
    for (text, says) in [
        ("quue = \"x\"", "config.exo:1: unknown key \"quue\" (did you mean \"queue\"?)"),
        ("\n[amqp]\nurI = \"x\"", "config.exo:3: unknown key \"urI\" (did you mean \"url\"?)"),
        ("[amqp.tls]\nkay = \"x\"", "config.exo:2: unknown key \"kay\" (did you mean \"key\"?)"),
        ("[fields]\nx = { typ = \"string\" }", "config.exo:2: unknown key \"typ\" (did you mean \"type\"?)"),
        ("concurrency = \"2\"", "config.exo:1: concurrency takes a whole number from 1 to 65535, not \"2\""),
        ("concurrency = 0", "config.exo:1: concurrency takes a whole number from 1 to 65535, not 0"),
        (
            "concurrency = 4294967296",
            "config.exo:1: concurrency takes a whole number from 1 to 65535, not 4294967296",
        ),
        ("prefetch = 70_000", "config.exo:1: prefetch takes a whole number from 0 to 65535, not 70000"),
        ("grace = 60", "config.exo:1: grace takes a duration like \"60s\", not 60"),
        ("grace = \"soon\"", "config.exo:1: grace takes a duration like \"60s\", not \"soon\""),
        ("max_body = \"64 M\"", "config.exo:1: max_body takes a size like \"64M\" above 0, not \"64 M\""),
        ("max_body = \"0\"", "config.exo:1: max_body takes a size like \"64M\" above 0, not \"0\""),
        ("journal_sync = \"yes\"", "config.exo:1: journal_sync takes true or false, not \"yes\""),
        (
            "exec = \"./x\"",
            "config.exo:1: exec takes a list of texts like [\"./work\", \"--fast\"], not this text",
        ),
        (
            "exec = [1]",
            "config.exo:1: exec takes a list of texts like [\"./work\", \"--fast\"], not this list",
        ),
        ("queue_type = \"stream\"", "config.exo:1: queue_type takes one of classic, quorum, not \"stream\""),
        ("code = \"\"", "config.exo:1: code takes a text that is not empty, not \"\""),
        ("code = 1979-05-27", "config.exo:1: code takes a text that is not empty, not a datetime"),
        ("amqp = 7", "config.exo:1: amqp takes a table, not 7"),
        ("[failed]\nmax = 0", "config.exo:2: failed.max takes a whole number from 1 on, not 0"),
        ("[amqp.tls]\nca = true", "config.exo:2: amqp.tls.ca takes a text that is not empty, not true"),
        ("[fields]\nx = \"string\"", "config.exo:2: fields.x takes a table, not \"string\""),
        ("zzzzzz = 1", "config.exo:1: unknown key \"zzzzzz\""),
        (
            "exec = []",
            "config.exo:1: exec takes a list of texts like [\"./work\", \"--fast\"], not this list",
        ),
        (
            "error_class = \"Runtime Error\"",
            "config.exo:1: error_class takes a class of Ruby's like \"RuntimeError\", not \"Runtime Error\"",
        ),
        (
            "[fields]\nx = { pattern = \"[\" }",
            "config.exo:2: fields.x.pattern takes a regular expression like \"^[a-z]+$\", not \"[\"",
        ),
    ] {
        let error = check(Path::new("config.exo"), text).unwrap_err().to_string();
        assert_eq!(error, says, "{text}");
    }
}

#[test]
fn what_is_no_name_or_no_broker_is_refused_with_its_line() {
    for (text, says) in [
        ("\nname = \"\"", "config.exo:2: name takes a text in quotes that can name a participant"),
        ("\nname = \"../x\"", "config.exo:2: name takes a text in quotes that can name a participant"),
        ("queue = \"\"", "config.exo:1: queue takes a text in quotes that can name a queue"),
        ("queue = \"amq.x\"", "config.exo:1: queue takes a text in quotes that can name a queue"),
        ("[amqp]\n\nurl = \"http://h\"", "config.exo:3: amqp.url takes the URL of a broker"),
        ("[amqp]\nurls = []", "config.exo:2: amqp.urls takes a list of URLs of brokers"),
    ] {
        let error = check(Path::new("config.exo"), text).unwrap_err().to_string();
        assert!(error.starts_with(says) && !error.contains('\n'), "{error}");
    }
}

#[test]
fn no_complaint_shows_the_password() {
    for text in [
        "amqp = \"amqp://boss:s3cret@h\"",
        "[amqp]\nurl = \"http://boss:s3cret@h\"",
        "[amqp]\nurls = [\"http://boss:s3cret@h\"]",
        "[amqp]\nurl = [\"amqp://boss:s3cret@h\"]",
        "concurrency = \"amqp://boss:s3cret@h\"",
        "[amqp]\nurl = \"amqp://boss:s3cret@h",
        "[amqp]\nurl = amqp://boss:s3cret@h",
        "amqp_url = \"amqp://boss:s3cret@h\"",
    ] {
        let error = check(Path::new("config.exo"), text).unwrap_err().to_string();
        assert!(!error.contains("s3cret") && error.starts_with("config.exo:"), "{error}");
    }
}

#[test]
fn tables_of_ours_that_are_not_closed_may_hold_the_participants_own_keys() {
    let text = "[notify]\ncommand = [\"mail\"]\nsmtp_host = \"h\"\n";
    let checked = check(Path::new("config.exo"), text).unwrap();
    assert_eq!(checked.own["notify"].0["smtp_host"].as_str(), Some("h"));
    assert!(checked.known.contains_key("notify") && checked.warnings.is_empty());

    let text = "[history]\nkept = \"9d\"\n[failed]\nmax = 1\nsise = \"2G\"\n";
    let checked = check(Path::new("config.exo"), text).unwrap();
    let warning = |line, name, table, near| {
        format!("config.exo:{line}: {name} in [{table}] is the participant's own; did you mean {near}?")
    };
    let both = [warning(5, "sise", "failed", "size"), warning(2, "kept", "history", "keep")];
    assert_eq!(checked.warnings, both);
}

#[test]
fn other_tables_are_the_participants_own_with_a_warning_when_they_look_like_a_slip() {
    let text = "[mysection]\nanything = 1\n[ampq]\nurl = \"x\"\n";
    let checked = check(Path::new("config.exo"), text).unwrap();
    assert_eq!(checked.own.keys().collect::<Vec<_>>(), ["ampq", "mysection"]);
    assert_eq!(checked.warnings, ["config.exo:3: [ampq] is the participant's own; did you mean [amqp]?"]);
}

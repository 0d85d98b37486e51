//! What keeps exo from working is one clear line, and the right exit code.
#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use tests::Sandbox;
use tests::broker::{Broker, free_port};

fn participant(handler: Option<&str>, config: &str) -> Sandbox {
    let sandbox = Sandbox::new();
    fs::set_permissions(sandbox.dir(), fs::Permissions::from_mode(0o755)).unwrap();
    sandbox.set("SKYNET_HOME", sandbox.dir().to_str().unwrap());
    sandbox.write("sizer/config.exo", config);
    if let Some(handler) = handler {
        sandbox.write("sizer/sizer.py", handler);
    }
    sandbox
}

#[test]
fn a_handler_or_configuration_that_cannot_be_used_is_named_with_file_and_line_and_exits_111() {
    const GOOD: &str = "class ParticipantHandler(object):\n    def handle_wi(self, wid): pass\n";
    for (handler, config, says) in [
        (None, "", "sizer.py"),
        (Some("def x(:\n"), "", "cannot import the handler: SyntaxError: "),
        (Some("x = 1\n"), "", "has no class ParticipantHandler"),
        (Some("import nonsense_xyz\n"), "", "No module named 'nonsense_xyz'"),
        (
            Some("class ParticipantHandler(object):\n    def __init__(self, x): pass\n"),
            "",
            "cannot construct ParticipantHandler: TypeError: ",
        ),
        (Some("class ParticipantHandler(object): pass\n"), "", "sizer.py has no method handle_wi"),
        (
            Some(
                "class ParticipantHandler(object):\n    def handle_wi(self, wid): pass\n    def handle_lifecycle_control(self, ctrl):\n        ctrl.config.get('my', 'key')\n",
            ),
            "",
            "ParticipantHandler refused \"start\": NoSectionError: No section: 'my' (",
        ),
        (
            Some("import sys\nsys.exit('no database')\n"),
            "",
            "cannot import the handler: SystemExit: no database (",
        ),
        (Some(GOOD), "exoskeleton = \"nowhere:Mine\"\n", "cannot import the exoskeleton nowhere:Mine: "),
        (
            Some(GOOD),
            "[fields]\nx = { pattern = \"(\" }\n",
            "config.exo:2: fields.x.pattern takes a regular expression",
        ),
        (
            Some(GOOD),
            "[participant]\nname = sizer\nnonsense\n",
            "config.exo:3: this line is neither KEY = VALUE nor [section]",
        ),
        (Some(GOOD), "[participant]\nqueue = amq.x\n", "config.exo:2: queue takes a text in quotes"),
        (
            Some(GOOD),
            "[boss]\namqp_host = h:port\n[participant]\ncode = sizer.py\n",
            "config.exo:2: the broker's address cannot be made of this",
        ),
        (Some(GOOD), "\nquue = \"x\"\n", "config.exo:2: unknown key \"quue\" (did you mean \"queue\"?)"),
        (
            Some(GOOD),
            "concurrency = \"two\"\n",
            "config.exo:1: concurrency takes a whole number from 1 to 65535, not \"two\"",
        ),
        (Some(GOOD), "queue = \"\"\n", "config.exo:1: queue takes a text in quotes"),
        (Some(GOOD), "user = \"no-such-account\"\n", "no-such-account"),
    ] {
        let sandbox = participant(handler, config);
        let done = sandbox.run("sh", &["-c", "cd sizer && exec exo 2>&1"]);
        let (code, out, _) = done.told();
        let fatal: Vec<_> = out.lines().filter(|line| line.starts_with("exo: fatal: ")).collect();
        assert_eq!((code, fatal.len()), (111, 1), "{says}: {out}");
        assert!(fatal[0].contains(says), "{says}: {out}");
    }
}

/// "Wrong AMQP password, refused connection, unknown vhost": a line each, waited out, the password in none.
#[test]
fn a_broker_that_cannot_be_used_is_waited_for_with_one_line_and_never_the_password() {
    let sandbox =
        participant(Some("class ParticipantHandler(object):\n    def handle_wi(self, wid): pass\n"), "");
    let broker = Broker::skynet(&sandbox);
    let url = broker.url();
    let (account, place) = url.strip_prefix("amqp://").unwrap().split_once('@').unwrap();
    let (user, _) = account.split_once(':').unwrap();
    let (address, _) = place.split_once('/').unwrap();
    let refused = format!("127.0.0.1:{}", free_port());
    for (url, says) in [
        (format!("amqp://{user}:s3cret-word@{place}"), "ACCESS_REFUSED"),
        (format!("amqp://{account}@{address}/nowhere"), "vhost nowhere not found"),
        (format!("amqp://{account}@{refused}/boss"), "onnection refused"),
    ] {
        sandbox.write("boss.conf", format!("[amqp]\nurl = \"{url}\"\n"));
        let mut exo = sandbox.start("sh", &["-c", "cd sizer && exec exo 2>&1"]);
        exo.wait_until_it_says(says);
        exo.signal(unix::process::Signal::SIGTERM);
        let done = exo.finish();
        let (code, out, _) = done.told();
        assert_eq!((code, out.matches("trying again").count()), (0, 1), "{out}");
        let password = account.split_once(':').unwrap().1;
        assert!(!out.contains("s3cret-word") && !out.contains(password), "{out}");
    }
}

//! A participant under exo: a handler and a configuration in a sandbox whose home names the broker.

use crate::{Broker, Running, Sandbox};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::PermissionsExt;

/// The participant `sizer`, in the sandbox's folder of that name.
#[derive(Debug)]
pub struct Participant {
    /// Where it lies.
    pub sandbox: Sandbox,
    /// Its broker.
    pub broker: Broker,
}

impl Participant {
    /// A participant with this handler and this config.exo, on our own broker.
    pub fn on_skynet(handler: &str, config: &str) -> Self {
        let sandbox = Sandbox::new();
        let broker = Broker::skynet(&sandbox);
        Self::new(sandbox, broker, handler, config)
    }

    /// A participant with this handler and this config.exo, on this broker.
    pub fn new(sandbox: Sandbox, broker: Broker, handler: &str, config: &str) -> Self {
        // The handler runs as another user when the tests run as root.
        fs::set_permissions(sandbox.dir(), fs::Permissions::from_mode(0o755)).unwrap();
        sandbox.set("SKYNET_HOME", sandbox.dir().to_str().unwrap());
        sandbox.write("boss.conf", format!("[amqp]\nurl = \"{}\"\n", broker.url()));
        sandbox.write("sizer/sizer.py", handler);
        sandbox.write("sizer/config.exo", config);
        Self { sandbox, broker }
    }

    /// Starts it and waits until it consumes from its queue.
    pub fn start(&self) -> Running {
        self.start_with("config.exo", "sizer")
    }

    /// Starts it with another configuration file, and waits until it consumes from this queue.
    pub fn start_with(&self, config: &str, queue: &str) -> Running {
        let mut exo = self.launch(config);
        exo.wait_until_it_says(&format!("consuming from {queue} "));
        exo
    }

    /// Starts it, and does not wait. What it says on either output is its standard output.
    pub fn launch(&self, config: &str) -> Running {
        self.sandbox.start("sh", &["-c", "cd sizer && exec exo \"$1\" 2>&1", "sh", config])
    }

    /// The reasons in its failed store.
    pub fn failed(&self) -> Vec<String> {
        let dir = self.sandbox.path("participants/sizer/failed");
        let entries = fs::read_dir(dir).into_iter().flatten().flatten();
        entries.map(|e| fs::read_to_string(e.path().join("reason.txt")).unwrap_or_default()).collect()
    }
}

/// A workitem for `sizer` as the engine sends it.
pub fn workitem(wfid: &str, fields: Value) -> String {
    json!({
        "fields": fields,
        "wf_name": "test",
        "fei": {"engine_id": "engine", "wfid": wfid, "subid": "s", "expid": "0_0"},
        "participant_name": "sizer",
        "unknown": [1, {"kept": true}],
    })
    .to_string()
}

//! A machine as the original's packages left it, for the tests of its participants.
#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]
#![allow(dead_code, reason = "each test file uses its part of it")]

use serde_json::{Value, json};
use tests::amqp::{Client, Messages};
use tests::{Broker, Running, Sandbox};

/// A machine as the original's packages left it: /etc/skynet and supervisor's conf.d, below a home.
pub struct Installed {
    pub sandbox: Sandbox,
    pub broker: Broker,
}

impl Installed {
    pub fn new() -> Self {
        let sandbox = Sandbox::new();
        let broker = Broker::rabbitmq();
        sandbox.set("SKYNET_HOME", sandbox.dir().to_str().unwrap());
        sandbox.write(
            "skynet/skynet.conf",
            format!(
                "# default settings\n[skynet]\nservice_dir = /etc/supervisor/conf.d\ninclude_dir = {}/skynet/conf.d\n\
                 log_level = INFO\n\n[boss]\namqp_host = 127.0.0.1:{}\namqp_user = {}\namqp_pwd = {}\namqp_vhost = {}\n",
                sandbox.dir().display(),
                broker.port,
                broker.user,
                broker.password,
                broker.vhost
            ),
        );
        Self { sandbox, broker }
    }

    /// Installs a participant and starts it with supervisor's file.
    pub fn start(&self, name: &str, code: &str) -> Running {
        let code = self.sandbox.write(format!("share/boss-skynet/{name}.py"), code);
        let user = if unix::privileges::is_root() { "user = nobody\n" } else { "" };
        let conf = self.sandbox.write(
            format!("supervisor/{name}.conf"),
            format!(
                "[program:{name}]\ncommand = /usr/bin/skynet_exo /etc/supervisor/conf.d/{name}.conf\n\
                 process_name = %(program_name)s_%(process_num)s\nnumprocs = 1\n{user}umask = 022\nautostart = true\n\
                 startsecs = 5\nstdout_logfile = /var/log/supervisor/%(program_name)s_%(process_num)s.log\n\
                 environment = PYTHONUNBUFFERED=1,HOME=\"/tmp\",USER=\"nobody\"\n\n\
                 [participant]\nname = {name}\nqueue = {name}\nregexp = {name}\ncode = {}\n",
                code.display()
            ),
        );
        let mut exo = self.sandbox.start("sh", &["-c", "exec exo \"$1\" 2>&1", "sh", conf.to_str().unwrap()]);
        exo.wait_until_it_says(&format!("consuming from {name} "));
        exo
    }
}

/// Who sends workitems and reads the replies.
pub struct Asking<'a> {
    pub client: &'a Client,
    pub replies: Messages<'a>,
    count: u32,
}

impl<'a> Asking<'a> {
    pub fn new(client: &'a Client) -> Self {
        Self { client, replies: client.replies(), count: 0 }
    }

    pub fn send(&mut self, name: &str, params: Value, fields: Value) {
        self.count += 1;
        let mut fields = fields;
        fields["params"] = params;
        let workitem = json!({
            "fields": fields, "wf_name": "original", "wf_revision": null, "participant_name": name,
            "fei": {"engine_id": "engine", "wfid": format!("w{}", self.count), "subid": "s", "expid": "0_0_1"},
        });
        self.client.publish(name, workitem.to_string());
    }

    pub fn ask(&mut self, name: &str, params: Value, fields: Value) -> Value {
        self.send(name, params, fields);
        self.replies.receive_json()
    }
}

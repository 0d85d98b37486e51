//! The embedded broker of a home: its port and password, chosen once and kept, and its service directory.
//!
//! `broker/broker.toml` is what the broker obeys, `[amqp] url` in `boss.conf` is what participants use. Where
//! `boss.conf` names another broker, the home uses that one and the embedded broker is not started.

use crate::brokers;
use crate::enable::NEW;
use crate::name::BROKER;
use crate::settings::change;
use crate::tree::Tree;
use crate::trouble::{Trouble, cannot};
use serde::{Deserialize, Serialize};
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{ErrorKind, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

const VHOST: &str = "boss";
const USER: &str = "skynet";
/// Below the ports that the system hands out by itself.
const PORTS: std::ops::Range<u16> = 20_000..32_000;

/// What `broker.toml` says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// Address and port.
    pub listen: SocketAddr,
    /// Account.
    pub user: String,
    /// Its password.
    pub password: String,
    /// The vhosts there are.
    pub vhosts: Vec<String>,
}

/// Whose broker a home uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Broker {
    /// The embedded one.
    Embedded(Settings),
    /// One that `boss.conf` names, started by somebody else.
    Elsewhere,
}

impl Settings {
    fn new(port: u16) -> Self {
        Self {
            listen: (Ipv4Addr::LOCALHOST, port).into(),
            user: USER.to_owned(),
            password: uuid::Uuid::new_v4().simple().to_string(),
            vhosts: vec![VHOST.to_owned()],
        }
    }

    /// What participants connect to.
    pub fn url(&self) -> String {
        let vhost = self.vhosts.first().map_or("%2f", String::as_str);
        format!("amqp://{}:{}@{}/{vhost}", self.user, self.password, self.listen)
    }

    /// That the port can be had.
    ///
    /// # Errors
    /// Why not, and that another can be chosen.
    pub fn port_must_be_free(&self) -> Result<(), Trouble> {
        let port = self.listen.port();
        TcpListener::bind(self.listen).map(drop).map_err(|e| {
            let why = match e.kind() {
                ErrorKind::AddrInUse => format!("port {port} is taken by another program: stop that, or"),
                ErrorKind::PermissionDenied => format!("port {port} is for root only:"),
                _ => format!("port {port} cannot be had ({e}):"),
            };
            let choose = "choose another port with \"skynet local up --port N\"";
            Trouble::System(format!("cannot start the broker: {why} {choose}"))
        })
    }
}

/// The folder of the embedded broker.
pub fn folder(tree: &Tree) -> PathBuf {
    tree.place("broker", "/var/lib/boss/broker")
}

/// What the files say: whose broker, without changing anything. `None` = nothing has been chosen yet.
///
/// # Errors
/// What reading the files reports; a file that is not what it should be.
pub fn chosen(tree: &Tree) -> Result<Option<Broker>, Trouble> {
    let conf = brokers::named(tree)?;
    Ok(decide(conf.map(|brokers| brokers.urls), embedded(tree)?))
}

fn embedded(tree: &Tree) -> Result<Option<Settings>, Trouble> {
    let path = folder(tree).join("broker.toml");
    let Some(text) = read(&path)? else { return Ok(None) };
    let settings = parse(&text).map_err(|why| {
        let shown = path.display();
        Trouble::Failed(format!(
            "cannot use {shown}: {why} (repair it, or: rm {shown}; skynet local up --broker embedded)"
        ))
    })?;
    Ok(Some(settings))
}

/// Whose broker it is, by the URLs of `boss.conf` (if that is there) and by `broker.toml` (if that is).
fn decide(urls: Option<Vec<String>>, settings: Option<Settings>) -> Option<Broker> {
    match (urls, settings) {
        (None, None) => None,
        (Some(urls), Some(settings)) if urls == [settings.url()] => Some(Broker::Embedded(settings)),
        (None, Some(settings)) => Some(Broker::Embedded(settings)),
        (Some(_), _) => Some(Broker::Elsewhere),
    }
}

/// What `local up` was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wish {
    /// The broker that is chosen, or the embedded one.
    AsChosen,
    /// The embedded one, on this port.
    Port(u16),
    /// The embedded one again.
    Embedded,
    /// The one at this URL.
    Url(String),
}

impl Wish {
    /// From the options of `local up`.
    ///
    /// # Errors
    /// When the URL is none.
    pub fn from_options(port: Option<u16>, broker: Option<&str>) -> Result<Self, Trouble> {
        match (port, broker) {
            (Some(port), _) => Ok(Self::Port(port)),
            (None, None) => Ok(Self::AsChosen),
            (None, Some("embedded")) => Ok(Self::Embedded),
            (None, Some(url)) if config::names::is_broker(url) => Ok(Self::Url(url.to_owned())),
            (None, Some(_)) => Err(Trouble::Usage(
                "--broker takes \"embedded\" or the URL of a broker like amqp://USER:PASSWORD@HOST:5672/VHOST".to_owned(),
            )),
        }
    }
}

/// Chooses a broker as wished, or the embedded one where none is chosen yet, and sees to its files.
///
/// # Errors
/// What reading and writing the files reports; no free port.
pub fn prepare(tree: &Tree, wish: &Wish) -> Result<Broker, Trouble> {
    match (chosen(tree)?, wish) {
        (_, Wish::Url(url)) => {
            set_url(tree, url)?;
            // It may be the URL of the embedded one.
            chosen(tree)?.ok_or_else(|| cannot("read", tree.boss_conf().display())("it is gone"))
        }
        (None | Some(Broker::Elsewhere), Wish::Embedded) => {
            let settings = match embedded(tree)? {
                Some(settings) => settings,
                None => Settings::new(free_port()?),
            };
            write_broker_toml(tree, &settings)?;
            set_url(tree, &settings.url())?;
            Ok(Broker::Embedded(settings))
        }
        (None, wish) => {
            let settings = match wish {
                Wish::Port(port) => {
                    let settings = Settings::new(*port);
                    settings.port_must_be_free()?;
                    settings
                }
                // Looked at just now, and not twice: a child that is forked between has the first look's socket.
                _ => Settings::new(free_port()?),
            };
            write_files(tree, &settings)?;
            Ok(Broker::Embedded(settings))
        }
        (Some(Broker::Embedded(old)), Wish::Port(port)) if old.listen.port() != *port => {
            let settings = Settings { listen: (old.listen.ip(), *port).into(), ..old.clone() };
            // What cannot be used does not take the place of what can.
            settings.port_must_be_free()?;
            move_to(tree, &old, &settings)?;
            Ok(Broker::Embedded(settings))
        }
        (Some(Broker::Embedded(settings)), _) => {
            if !tree.boss_conf().exists() {
                write_boss_conf(tree, &settings)?;
            }
            Ok(Broker::Embedded(settings))
        }
        (Some(Broker::Elsewhere), Wish::Port(_)) => Err(Trouble::Usage(format!(
            "--port is for the embedded broker, and {} names another one (back to it: --broker embedded)",
            tree.boss_conf().display()
        ))),
        (Some(Broker::Elsewhere), Wish::AsChosen) => Ok(Broker::Elsewhere),
    }
}

/// Puts the URL into `boss.conf`; the rest of it stays as its owner wrote it.
fn set_url(tree: &Tree, url: &str) -> Result<(), Trouble> {
    let path = tree.boss_conf();
    let bad = |why: String| Trouble::Failed(format!("{}: {why}", path.display()));
    let fresh =
        || "# What all participants of this home share; a participant's config.exo wins.\n".to_owned();
    let mut text = read(&path)?.unwrap_or_else(fresh);
    if let Ok(without) = change::unset(&text, "amqp.urls") {
        text = without.text;
    }
    let changed = change::set(&text, "amqp.url", url).map_err(bad)?;
    put(&path, &changed.text, 0o600)
}

/// Makes the service directory of the embedded broker, or takes it away where the home uses another one.
///
/// # Errors
/// What writing the files reports.
pub fn make_service(tree: &Tree, broker: &Broker) -> Result<(), Trouble> {
    let dir = tree.service(BROKER);
    match broker {
        Broker::Elsewhere if dir.exists() => {
            fs::remove_dir_all(&dir).map_err(cannot("remove", dir.display()))
        }
        Broker::Elsewhere => Ok(()),
        Broker::Embedded(_) => {
            let run = "#!/bin/sh\nexec 2>&1\nexec skynet-broker \"$SKYNET_HOME/broker\"\n";
            let log = "#!/bin/sh\nexec multilog t s1000000 n10 \"$SKYNET_HOME/log/skynet-broker\"\n";
            let fill = |dir: &Path| {
                fs::create_dir_all(dir.join("log")).map_err(cannot("make", dir.display()))?;
                // The logger's first: a service without its logger's run would start before it.
                put(&dir.join("log/run"), log, 0o755)?;
                put(&dir.join("run"), run, 0o755)
            };
            if dir.exists() {
                return fill(&dir);
            }
            // A svscan that runs is not to see half of it.
            let fresh = tree.scan_dir().join(format!(".{BROKER}{NEW}{}", std::process::id()));
            let moved = || fs::rename(&fresh, &dir).map_err(cannot("make", dir.display()));
            fill(&fresh).and_then(|()| moved()).inspect_err(|_| drop(fs::remove_dir_all(&fresh)))
        }
    }
}

fn write_files(tree: &Tree, settings: &Settings) -> Result<(), Trouble> {
    write_broker_toml(tree, settings)?;
    write_boss_conf(tree, settings)
}

fn write_broker_toml(tree: &Tree, settings: &Settings) -> Result<(), Trouble> {
    let folder = folder(tree);
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&folder)
        .map_err(cannot("make", folder.display()))?;
    let text = toml::to_string(settings).map_err(cannot("write", "broker.toml"))?;
    let text = format!("# The embedded broker. boss.conf must say the same port, user and password.\n{text}");
    put(&folder.join("broker.toml"), &text, 0o600)
}

fn write_boss_conf(tree: &Tree, settings: &Settings) -> Result<(), Trouble> {
    let text = format!(
        "# What all participants of this home share; a participant's config.exo wins.\n\
         # To use a RabbitMQ instead of the embedded broker, put its url here and start again.\n\
         [amqp]\nurl = \"{}\"\n",
        settings.url()
    );
    put(&tree.boss_conf(), &text, 0o600)
}

/// Writes the new port into both files; the rest of `boss.conf` stays as its owner wrote it.
fn move_to(tree: &Tree, old: &Settings, new: &Settings) -> Result<(), Trouble> {
    write_broker_toml(tree, new)?;
    let text = read(&tree.boss_conf())?.unwrap_or_default();
    put(&tree.boss_conf(), &text.replace(&old.url(), &new.url()), 0o600)
}

/// A port that is free now.
fn free_port() -> Result<u16, Trouble> {
    let span = u128::from(PORTS.end - PORTS.start);
    let some = || PORTS.start + (uuid::Uuid::new_v4().as_u128() % span) as u16; // below the span, which fits
    std::iter::repeat_with(some)
        .take(100)
        .find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok())
        .ok_or_else(|| Trouble::System("cannot find a free port: choose one with --port".to_owned()))
}

fn parse(text: &str) -> Result<Settings, String> {
    toml::from_str(text).map_err(|e| {
        // The text itself is never shown: it holds a password.
        let line = e
            .span()
            .and_then(|span| text.get(..span.start))
            .map_or(1, |before| before.matches('\n').count() + 1);
        format!("line {line}: {}", e.message().replace('\n', " "))
    })
}

fn read(path: &Path) -> Result<Option<String>, Trouble> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) => Err(cannot("read", path.display())(e)),
    }
}

/// Replaces a file by rename; nobody ever sees half of it, or sees it with other permissions.
fn put(path: &Path, text: &str, mode: u32) -> Result<(), Trouble> {
    let has_mode = |meta: fs::Metadata| meta.permissions().mode() & 0o7777 == mode;
    if fs::metadata(path).is_ok_and(has_mode) && fs::read_to_string(path).is_ok_and(|old| old == text) {
        // A full disk is no trouble to what is there already.
        return Ok(());
    }
    let fresh = path.with_extension("new");
    let write = || {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(&fresh)?;
        file.set_permissions(fs::Permissions::from_mode(mode))?;
        file.write_all(text.as_bytes())?;
        // After a loss of power it is the old one or the new one, never an empty one.
        file.sync_all()?;
        fs::rename(&fresh, path)
    };
    write().map_err(|e| {
        // The error is told; half a file is of no use.
        let _ = fs::remove_file(&fresh);
        cannot("write", path.display())(e)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_home_whose_boss_conf_names_another_broker_is_left_to_it() {
        let ours = Settings::new(20_001);
        let embedded = Some(Broker::Embedded(ours.clone()));
        let other = vec!["amqp://boss:boss@10.0.0.1/boss".to_owned()];
        for (urls, settings, expected) in [
            (None, None, None),
            (None, Some(ours.clone()), embedded.clone()),
            (Some(vec![ours.url()]), Some(ours.clone()), embedded),
            (Some(other.clone()), Some(ours.clone()), Some(Broker::Elsewhere)),
            (Some(vec![ours.url(), other[0].clone()]), Some(ours.clone()), Some(Broker::Elsewhere)),
            (Some(other), None, Some(Broker::Elsewhere)),
            (Some(vec![]), None, Some(Broker::Elsewhere)),
        ] {
            assert_eq!(decide(urls.clone(), settings), expected, "{urls:?}");
        }
    }

    #[test]
    fn port_and_password_are_chosen_once_and_kept_and_a_new_port_keeps_the_rest_of_boss_conf() {
        let home = tempfile::tempdir().unwrap();
        let tree = Tree::at(home.path());
        let first = prepare(&tree, &Wish::AsChosen).unwrap();
        assert_eq!(prepare(&tree, &Wish::AsChosen).unwrap(), first);

        let conf = fs::read_to_string(tree.boss_conf()).unwrap();
        fs::write(tree.boss_conf(), format!("{conf}\n[history]\nkeep = \"1d\"\n")).unwrap();
        let Broker::Embedded(moved) = prepare(&tree, &Wish::Port(11_002)).unwrap() else { panic!() };
        assert_eq!(moved.listen.port(), 11_002);
        assert_eq!(chosen(&tree).unwrap(), Some(Broker::Embedded(moved)));
        assert!(fs::read_to_string(tree.boss_conf()).unwrap().contains("[history]"));
    }

    #[test]
    fn another_broker_is_one_line_of_boss_conf_and_so_is_the_way_back() {
        let home = tempfile::tempdir().unwrap();
        let tree = Tree::at(home.path());
        let first = prepare(&tree, &Wish::AsChosen).unwrap();
        let conf = fs::read_to_string(tree.boss_conf()).unwrap();
        let rabbit = Wish::Url("amqp://boss:boss@10.0.0.1/boss".to_owned());
        assert_eq!(prepare(&tree, &rabbit).unwrap(), Broker::Elsewhere);
        let switched = fs::read_to_string(tree.boss_conf()).unwrap();
        let differ: Vec<_> = conf.lines().zip(switched.lines()).filter(|(a, b)| a != b).collect();
        assert_eq!((differ.len(), conf.lines().count()), (1, switched.lines().count()), "{switched}");
        assert!(prepare(&tree, &Wish::Port(20_003)).is_err());
        assert_eq!(prepare(&tree, &Wish::Embedded).unwrap(), first);
        assert_eq!(fs::read_to_string(tree.boss_conf()).unwrap(), conf);
        for (port, broker, good) in
            [(None, Some("amqp://h"), true), (None, Some("rabbit"), false), (Some(1), None, true)]
        {
            assert_eq!(Wish::from_options(port, broker).is_ok(), good, "{port:?} {broker:?}");
        }
    }

    #[test]
    fn files_with_the_password_are_for_the_owner_only() {
        let home = tempfile::tempdir().unwrap();
        let tree = Tree::at(home.path());
        prepare(&tree, &Wish::AsChosen).unwrap();
        for (path, mode) in
            [(tree.boss_conf(), 0o600), (folder(&tree).join("broker.toml"), 0o600), (folder(&tree), 0o700)]
        {
            let found = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
            assert_eq!(found, mode, "{}", path.display());
        }
    }
}

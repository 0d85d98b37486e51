//! What two files make together.

use super::*;
use crate::layers::Content;
use std::fs;

fn loaded(boss: &str, exo: &str) -> Result<Settings, String> {
    with_warnings(boss, exo).map(|(settings, _)| settings)
}

fn with_warnings(boss: &str, exo: &str) -> Result<Loaded, String> {
    let folder = tempfile::tempdir().unwrap();
    let service = folder.path().join("sizer@2");
    fs::create_dir(&service).unwrap();
    fs::write(folder.path().join("boss.conf"), boss).unwrap();
    fs::write(service.join("config.exo"), exo).unwrap();
    let home = Home::at(Some(folder.path().into()));
    load(&home, &service.join("config.exo")).map_err(|e| e.to_string())
}

#[test]
fn an_empty_file_gives_the_defaults_and_an_instance_works_for_its_participant() {
    let s = loaded("", "").unwrap();
    assert_eq!((s.name.as_str(), s.queue.as_str()), ("sizer", "sizer"));
    assert!(s.code.ends_with("sizer@2/sizer.py"), "{:?}", s.code);
    assert_eq!((s.concurrency, s.prefetch, s.grace), (1, 1, Duration::from_secs(60)));
    assert_eq!(s.amqp[0].secret(), "amqp://boss:boss@127.0.0.1:5672/boss");
}

#[test]
fn config_exo_wins_over_boss_conf() {
    let boss = "concurrency = 2\n[amqp]\nurl = \"amqp://a:s3cret@h:1/v\"\n[shared]\nx = 1\n";
    let s = loaded(boss, "concurrency = 8\nqueue = \"q\"\n[mine]\ny = 2\n").unwrap();
    assert_eq!((s.concurrency, s.prefetch, s.queue.as_str()), (8, 8, "q"));
    assert_eq!(tables(&s).iter().flat_map(|t| t.keys()).collect::<Vec<_>>(), ["shared", "mine"]);
    let s = loaded(boss, "[amqp]\nurls = [\"amqp://b\", \"amqps://c\"]\n").unwrap();
    assert_eq!(s.amqp.len(), 2);
}

#[test]
fn a_prefetch_below_the_concurrency_is_a_warning() {
    let (_, warnings) = with_warnings("concurrency = 8\n", "\nprefetch = 2\n").unwrap();
    let says = "config.exo:2: prefetch = 2 is below concurrency = 8: no more than 2 at a time";
    assert!(warnings.len() == 1 && warnings[0].ends_with(says), "{warnings:?}");
    for exo in ["prefetch = 0", "prefetch = 8", "prefetch = 9", ""] {
        assert_eq!(with_warnings("concurrency = 8\n", exo).unwrap().1, [""; 0], "{exo}");
    }
}

#[test]
fn the_password_is_never_shown() {
    let s = loaded("[amqp]\nurl = \"amqp://a:s3@cret@h:1/v\"\n", "").unwrap();
    let shown = format!("{s:?} {}", s.amqp[0]);
    assert!(!shown.contains("s3") && !shown.contains("cret"), "{shown}");
    assert!(shown.ends_with("amqp://h:1/v"), "{shown}");
}

#[test]
fn the_packaged_boss_conf_and_the_templates_config_are_read_without_a_warning() {
    let (boss, exo) = (
        include_str!("../../../packaging/boss.conf"),
        include_str!("../../../service-templates/python/config.exo"),
    );
    let (s, warnings) = with_warnings(boss, exo).unwrap();
    assert_eq!(warnings, [""; 0]);
    assert_eq!(s.amqp[0].to_string(), "amqp://127.0.0.1:5672/boss");
    let uncommented: String =
        exo.replace("# name", "name").replace("# queue", "queue").replace("# code", "code");
    assert_eq!(loaded(boss, &uncommented.replace("@NAME@", "x")).unwrap().name, "x");
}

#[test]
fn relative_paths_count_from_the_real_place_of_the_file_that_says_them() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().canonicalize().unwrap();
    let (author, service) = (root.join("author"), root.join("service/sizer@2"));
    fs::create_dir_all(&author).unwrap();
    fs::create_dir_all(&service).unwrap();
    fs::write(
        root.join("boss.conf"),
        "python = \"venv/bin/python3\"\n[amqp]\nurl = \"amqps://h\"\n[amqp.tls]\nca = \"ca.pem\"\n",
    )
    .unwrap();
    let text = "exec = [\"./work\", \"./arg\"]\n[amqp.tls]\ncert = \"../c.pem\"\nkey = \"k.pem\"\n";
    fs::write(author.join("config.exo"), text).unwrap();
    std::os::unix::fs::symlink(author.join("config.exo"), service.join("config.exo")).unwrap();
    let (s, _) = load(&Home::at(Some(root.clone())), &service.join("config.exo")).unwrap();
    assert_eq!(s.name, "sizer");
    assert_eq!(s.dir, service);
    assert_eq!(s.code, author.join("sizer.py"));
    assert_eq!(s.exec, [author.join("work").to_str().unwrap(), "./arg"]);
    assert_eq!(s.python, root.join("venv/bin/python3").to_str().unwrap());
    assert_eq!(s.tls.ca, Some(root.join("ca.pem")));
    assert_eq!(s.tls.cert, Some(author.join("../c.pem")));
    assert_eq!(s.state, root.join("participants/sizer"));
}

#[test]
fn a_program_without_a_slash_is_left_to_path() {
    let s = loaded("", "exec = [\"cat\"]").unwrap();
    assert_eq!((s.exec, s.python.as_str()), (vec!["cat".to_owned()], "python3"));
}

fn tables(s: &Settings) -> Vec<&toml::Table> {
    let toml = |layer| match layer {
        &Layer { content: Content::Toml(ref table), .. } => Some(table),
        Layer { content: Content::Ini(_), .. } => None,
    };
    s.layers.iter().filter_map(toml).collect()
}

#[test]
fn the_participants_own_tables_are_kept_file_by_file() {
    let s = loaded("[shared]\na = 1\nb = 1", "[shared]\nb = 2").unwrap();
    let b = |table: &toml::Table| table["shared"]["b"].as_integer();
    assert_eq!(tables(&s).into_iter().map(b).collect::<Vec<_>>(), [Some(1), Some(2)]);
}

#[test]
fn every_key_is_read() {
    let s = loaded(
        "",
        r##"
        name = "n"
        queue = "q"
        regexp = "^s.*"
        exec = ["/bin/x"]
        python = "/p"
        user = "root"
        state = "/s"
        concurrency = 2
        instances = 3
        prefetch = 4
        grace = "5m"
        soft_timeout = "1h"
        hard_timeout = "2h"
        journal_sync = true
        no_new_privs = true
        max_attempts = 5
        max_workitems = 6
        max_rss = "1G"
        max_body = "1K"
        error_class = "E"
        queue_type = "quorum"
        exoskeleton = "m:C"
        log_format = "json"
        [amqp]
        urls = ["amqp://a", "amqps://b"]
        [amqp.tls]
        ca = "/ca"
        cert = "/cert"
        key = "/key"
        [history]
        keep = "1d"
        [failed]
        max = 7
        size = "2M"
        [notify]
        command = ["mail"]
        [fields]
        project = { type = "string", required = true, pattern = "^x$" }
        "##,
    )
    .unwrap();
    let texts = |words: &[&str]| words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>();
    let field = Field { kind: Some("string".into()), required: true, pattern: Some("^x$".into()) };
    let expected = Settings {
        name: "n".into(),
        queue: "q".into(),
        regexp: "^s.*".into(),
        code: s.dir.join("n.py"),
        exec: texts(&["/bin/x"]),
        python: "/p".into(),
        user: Some("root".into()),
        state: "/s".into(),
        concurrency: 2,
        instances: 3,
        prefetch: 4,
        grace: Duration::from_secs(300),
        soft_timeout: Duration::from_secs(3600),
        hard_timeout: Duration::from_secs(7200),
        journal_sync: true,
        no_new_privs: true,
        max_attempts: 5,
        max_workitems: 6,
        max_rss: 1 << 30,
        max_body: 1 << 10,
        error_class: "E".into(),
        queue_type: "quorum".into(),
        exoskeleton: "m:C".into(),
        log_format: "json".into(),
        amqp: vec![AmqpUrl("amqp://a".into()), AmqpUrl("amqps://b".into())],
        tls: Tls { ca: Some("/ca".into()), cert: Some("/cert".into()), key: Some("/key".into()) },
        failed: Failed { max: 7, size: 2 << 20 },
        history_keep: Duration::from_secs(86_400),
        notify: texts(&["mail"]),
        fields: BTreeMap::from([("project".to_owned(), field)]),
        layers: s.layers.clone(),
        log_level: None,
        environment: vec![],
        files: s.files.clone(),
        dir: s.dir.clone(),
        places: s.places.clone(),
    };
    assert_eq!(s, expected);
}

#[test]
fn the_settings_survive_the_way_through_json() {
    let s =
        loaded("", "[mine]\nx = nan\nwhen = 1979-05-27\nbig = 99999999999999999\nn = -inf\nf = 0.5").unwrap();
    let json = serde_json::to_string(&s).unwrap();
    let arrived = serde_json::from_str::<Settings>(&json).unwrap();
    assert_eq!(arrived, Settings { places: Places::new(), ..s.clone() }, "only its places stay behind");
    assert_eq!(
        (tables(&s)[1]["mine"]["x"].as_str(), tables(&s)[1]["mine"]["when"].as_str()),
        (Some("nan"), Some("1979-05-27"))
    );
}

#[test]
fn a_folder_whose_name_cannot_be_the_participants_asks_for_one() {
    let folder = tempfile::tempdir().unwrap();
    let service = folder.path().join("@2");
    fs::create_dir(&service).unwrap();
    fs::write(service.join("config.exo"), "").unwrap();
    let error =
        load(&Home::at(Some(folder.path().into())), &service.join("config.exo")).unwrap_err().to_string();
    assert!(error.ends_with("the folder's name \"@2\" is no name for a participant: set name"), "{error}");
    assert!(
        load(&Home::at(None), &service.join("missing.exo"))
            .unwrap_err()
            .to_string()
            .starts_with("cannot read")
    );
}

//! What two files make together.

use super::*;
use crate::layers::Content;
use std::fs;

fn loaded(boss: &str, exo: &str) -> Result<Settings, String> {
    let folder = tempfile::tempdir().unwrap();
    let service = folder.path().join("sizer@2");
    fs::create_dir(&service).unwrap();
    fs::write(folder.path().join("boss.conf"), boss).unwrap();
    fs::write(service.join("config.exo"), exo).unwrap();
    let home = Home::at(Some(folder.path().into()));
    load(&home, &service.join("config.exo")).map(|(settings, _)| settings).map_err(|e| e.to_string())
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
    let s = loaded(boss, exo).unwrap();
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
    fs::write(root.join("boss.conf"), "python = \"venv/bin/python3\"\n[amqp.tls]\nca = \"ca.pem\"\n")
        .unwrap();
    let text = "exec = [\"./work\", \"./arg\"]\n[amqp.tls]\ncert = \"../c.pem\"\n";
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
        code = "/c.py"
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
        urls = ["amqp://a", "amqp://b"]
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
        code: "/c.py".into(),
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
        amqp: vec![AmqpUrl("amqp://a".into()), AmqpUrl("amqp://b".into())],
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
    };
    assert_eq!(s, expected);
}

#[test]
fn the_settings_survive_the_way_through_json() {
    let s =
        loaded("", "[mine]\nx = nan\nwhen = 1979-05-27\nbig = 99999999999999999\nn = -inf\nf = 0.5").unwrap();
    let json = serde_json::to_string(&s).unwrap();
    assert_eq!(serde_json::from_str::<Settings>(&json).unwrap(), s);
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

/// "Read in this order, the last wins: skynet.conf, boss.conf, the configuration file, conf.d/*.conf (or
/// include_dir), NAME.conf; under a home the same names in $SKYNET_HOME/skynet/."
fn original(files: &[(&str, &str)]) -> (Result<Settings, String>, Vec<String>, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().canonicalize().unwrap();
    for (name, text) in files {
        let path = root.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    match load(&Home::at(Some(root.clone())), &root.join("service/sizer.conf")) {
        Ok((settings, warnings)) => (Ok(settings), warnings, root),
        Err(e) => (Err(e.to_string()), vec![], root),
    }
}

const SUPERVISOR: &str = "[program:sizer]\ncommand = x\nprocess_name = %(program_name)s_%(process_num)s\nuser = daemon\nenvironment = HOME=\"/h\",A=program\n[participant]\nname = sizer\nqueue = sizes\nregexp = size.*\nextra = 1\n";

#[test]
fn the_files_of_the_original_are_read_in_their_order_and_the_last_wins() {
    let boss = |n: &str| format!("[boss]\namqp_host = h:{n}\n[skynet]\nlog_level = L{n}\n");
    let mut files: Vec<(&str, String)> = vec![
        ("skynet/skynet.conf", boss("1") + "[x]\n"),
        ("boss.conf", boss("2")),
        ("service/sizer.conf", SUPERVISOR.to_owned() + &boss("3")),
        ("skynet/conf.d/b.conf", boss("5")),
        ("skynet/conf.d/a.conf", boss("4")),
        ("skynet/conf.d/ignored", boss("9")),
        ("skynet/sizer.conf", boss("6")),
    ];
    // Without the last file, the one before it wins.
    for winner in ["6", "5", "3", "2", "1"] {
        let these: Vec<_> = files.iter().map(|(name, text)| (*name, text.as_str())).collect();
        let s = original(&these).0.unwrap();
        assert_eq!(s.amqp[0].secret(), format!("amqp://boss:boss@h:{winner}/boss"));
        assert_eq!(s.log_level, Some(format!("L{winner}")));
        let order: Vec<_> =
            s.layers.iter().map(|l| l.file.file_name().unwrap().to_str().unwrap().to_owned()).collect();
        if winner == "6" {
            assert_eq!(order, ["skynet.conf", "boss.conf", "sizer.conf", "a.conf", "b.conf", "sizer.conf"]);
            assert_eq!(
                s.layers.iter().map(|l| l.own).collect::<Vec<_>>(),
                [false, false, true, false, false, true]
            );
        }
        match winner {
            "6" => drop(files.pop()),
            "5" => files.retain(|(name, _)| !name.contains("conf.d")),
            "3" => files[2].1 = SUPERVISOR.to_owned(),
            "2" => drop(files.remove(1)),
            _ => {}
        }
    }
}

#[test]
fn the_supervisor_file_gives_name_queue_user_environment_and_the_default_code() {
    let (s, warnings, root) = original(&[
        ("service/sizer.conf", SUPERVISOR),
        ("skynet/skynet.env", "A=skynet\nB=skynet\n"),
        ("skynet/sizer.env", "C=own\nB=own\n"),
        ("skynet/other.env", "D=other\n"),
    ]);
    let s = s.unwrap();
    assert_eq!((s.name.as_str(), s.queue.as_str(), s.regexp.as_str()), ("sizer", "sizes", "size.*"));
    assert_eq!(s.user.as_deref(), Some("daemon"));
    assert_eq!(s.code, root.join("service/participant_logic.py"));
    // The last wins.
    let environment: BTreeMap<_, _> = s.environment.into_iter().collect();
    let expected = [("A", "program"), ("B", "own"), ("C", "own"), ("HOME", "/h")];
    assert_eq!(environment, expected.map(|(k, v)| (k.to_owned(), v.to_owned())).into());
    assert_eq!(warnings, [""; 0]);
}

#[test]
fn a_program_without_a_participants_name_names_it() {
    assert_eq!(original(&[("service/sizer.conf", "[program:other]\nuser = x\n")]).0.unwrap().name, "other");
    assert_eq!(original(&[("service/sizer.conf", "[participant]\nqueue = x\n")]).0.unwrap().name, "service");
    let error = original(&[("service/sizer.conf", "[program:a/b]\n")]).0.unwrap_err();
    assert!(
        error.ends_with("[program:a/b] is no name for a participant: set name in [participant]"),
        "{error}"
    );
}

#[test]
fn an_include_dir_takes_the_place_of_conf_d_and_a_broken_file_in_it_is_left_out_with_a_warning() {
    let (s, warnings, root) = original(&[
        ("service/sizer.conf", "[participant]\nname = s\n[skynet]\ninclude_dir = ../shared\n"),
        ("shared/a.conf", "nonsense\n"),
        ("shared/b.conf", "[boss]\namqp_user = b\n"),
        ("skynet/conf.d/c.conf", "[boss]\namqp_user = c\n"),
    ]);
    assert_eq!(s.unwrap().amqp[0].secret(), "amqp://b:boss@127.0.0.1:5672/boss");
    let says = "a.conf:1: there is no [section] above this line; what it says is not used";
    assert_eq!(warnings, [format!("{}/service/../shared/{says}", root.display())]);
}

#[test]
fn boss_and_amqp_of_different_files_are_one_address() {
    let s = original(&[
        (
            "boss.conf",
            "[amqp]\nurls = [\"amqp://a:x@h1/v\", \"amqp://a:x@h2/v\"]\n[amqp.tls]\nca = \"/ca\"\n",
        ),
        ("service/sizer.conf", "[participant]\nname = s\n[boss]\namqp_pwd = y@z\n"),
    ]);
    let s = s.0.unwrap();
    assert_eq!(s.amqp.iter().map(AmqpUrl::secret).collect::<Vec<_>>(), ["amqp://a:y%40z@h1/v"]);
    assert_eq!(s.tls.ca, Some("/ca".into()));
    let error = original(&[("service/sizer.conf", "[participant]\nname = s\n[boss]\namqp_host = h:port\n")]);
    assert!(error.0.unwrap_err().ends_with(
        "sizer.conf:4: the broker's address cannot be made of this: amqp_host takes HOST or HOST:PORT"
    ));
}

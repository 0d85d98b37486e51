//! The files of the original, together with ours.

use super::*;
use crate::Settings;
use crate::settings::{AmqpUrl, load};
use std::collections::BTreeMap;

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
            "[amqp]\nurls = [\"amqps://a:x@h1/v\", \"amqps://a:x@h2/v\"]\n[amqp.tls]\nca = \"/ca\"\n",
        ),
        ("service/sizer.conf", "[participant]\nname = s\n[boss]\namqp_pwd = y@z\n"),
    ]);
    let s = s.0.unwrap();
    assert_eq!(s.amqp.iter().map(AmqpUrl::secret).collect::<Vec<_>>(), ["amqps://a:y%40z@h1/v"]);
    assert_eq!(s.tls.ca, Some("/ca".into()));
    let error = original(&[("service/sizer.conf", "[participant]\nname = s\n[boss]\namqp_host = h:port\n")]);
    assert!(error.0.unwrap_err().ends_with(
        "sizer.conf:4: the broker's address cannot be made of this: amqp_host takes HOST or HOST:PORT"
    ));
}

//! `pip install` of the wheel lets an author unit-test a handler with no SkyNET around.
#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

use std::fs;
use tests::{Sandbox, checkout};

#[test]
fn the_wheel_is_built_installed_and_a_templates_unit_test_runs_with_it_alone() {
    let sandbox = Sandbox::new();
    let venv = checkout().join("target/tests/venv/bin");
    let [pip, python] = ["pip", "python"].map(|name| venv.join(name));
    assert!(pip.exists(), "no {}: run `tests/setup` first", pip.display());
    let run = |program: &std::path::Path, arguments: &[&str]| {
        let done = sandbox.run(program, arguments);
        assert_eq!(done.code, Some(0), "{arguments:?}: {done:?}");
    };
    // A copy: setuptools writes beside what it builds.
    let (source, wheels) = (sandbox.path("source"), sandbox.folder("wheels"));
    let from = checkout().join("exo/python");
    run("cp".as_ref(), &["-r", from.to_str().unwrap(), source.to_str().unwrap()]);
    let [source, wheels] = [&source, &wheels].map(|path| path.to_str().unwrap());
    let quiet = ["--quiet", "--disable-pip-version-check", "--no-deps", "--no-index"];
    run(&pip, &[&["wheel", "--no-build-isolation", "-w", wheels, source][..], &quiet].concat());
    let wheel = fs::read_dir(wheels).unwrap().next().unwrap().unwrap().path();
    let name = format!("skynet_participant-{}-py3-none-any.whl", env!("CARGO_PKG_VERSION"));
    assert_eq!(wheel.file_name().unwrap().to_str().unwrap(), name);

    let fresh = sandbox.path("fresh");
    run(&python, &["-m", "venv", "--without-pip", fresh.to_str().unwrap()]);
    let alone = fresh.join("bin/python");
    let install =
        [&["--python", alone.to_str().unwrap(), "install", wheel.to_str().unwrap()][..], &quiet].concat();
    run(&pip, &install);
    for file in ["NAME.py", "test_NAME.py"] {
        let text = fs::read_to_string(checkout().join("service-templates/python").join(file)).unwrap();
        sandbox.write(format!("mine/{}", file.replace("NAME", "sizer")), text.replace("@NAME@", "sizer"));
    }
    let mut test = sandbox.command(&alone, &["mine/test_sizer.py"]);
    test.env("PATH", "/usr/bin:/bin");
    let done = sandbox.spawn(test).finish();
    assert!(done.code == Some(0) && done.err.contains("Ran 1 test"), "{done:?}");
    let show = "import SkyNET, RuoteAMQP, os; d = os.path.dirname(SkyNET.__file__); \
                print(d, sorted(os.listdir(d))); print(RuoteAMQP.Launcher, SkyNET.Exo)";
    let out = sandbox.run(&alone, &["-c", show]).good();
    assert!(out.starts_with(fresh.to_str().unwrap()), "{out}");
    for file in ["py.typed", "__init__.pyi", "Control.pyi"] {
        assert!(out.contains(file), "{file}: {out}");
    }
}

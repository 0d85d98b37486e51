//! What the engine can read as a process definition: Ruby (`Ruote.process_definition do … end`), ruote's indented form, XML,
//! a JSON tree, or the address of one. It answers nobody, so what it cannot read is found here.
//!
//! Ruby and the indented form are not parsed: almost any text is the latter, and who is asked for what may be anybody's name.

use serde_json::Value;

/// Why the engine cannot read this, if that is certain.
pub fn wrong(text: &str) -> Option<String> {
    let trimmed = text.trim();
    if text.contains('\0') {
        return Some("it is no text".to_owned());
    }
    if text.lines().map(str::trim).all(|line| line.is_empty() || line.starts_with('#')) {
        return Some("it is empty".to_owned());
    }
    if let Ok(value @ (Value::Array(_) | Value::Object(_))) = serde_json::from_str(trimmed) {
        return (!is_tree(&value)).then(|| "it is JSON, but no [NAME, {ATTRIBUTES}, [CHILDREN]]".to_owned());
    }
    // Without the end of a line the engine opens it as a file or an address, on its own machine.
    let word = !text.contains(char::is_whitespace) && !text.contains(['/', '<']);
    word.then(|| {
        format!("the engine takes one word for a file of its own; for a file here: skynet launch {text}")
    })
}

/// As ruote's own test of it.
fn is_tree(value: &Value) -> bool {
    let Some([Value::String(_), Value::Object(_), Value::Array(children)]) =
        value.as_array().map(Vec::as_slice)
    else {
        return false;
    };
    children.iter().all(is_tree)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_engine_reads_is_let_through() {
        for good in [
            "Ruote.process_definition do sizer end",
            "pdef = Ruote.define :name => 'x' do\n  sequence do\n    sizer\n  end\nend\n",
            "define 'test'\n  sequence\n    sizer\n",
            "# what it is\nsizer\n",
            "sizer\n",
            "sizer :timeout => '1h'",
            "<process-definition name=\"x\"><sizer/></process-definition>",
            "<sizer/>",
            r#"["define", {"name": "x"}, [["sizer", {"timeout": null}, []]]]"#,
            "/srv/processes/build.rb",
            "./build.rb",
            "http://engine.example.org/build.xml",
        ] {
            assert_eq!(wrong(good), None, "{good}");
        }
    }

    #[test]
    fn what_it_certainly_cannot_read_is_told() {
        for (bad, why) in [
            ("", "empty"),
            (" \n# nothing yet\n", "empty"),
            ("a\0b c", "no text"),
            ("{\"definition\": \"sizer\", \"fields\": {}}", "JSON"),
            ("{}", "JSON"),
            (r#"["define", [], {}]"#, "JSON"),
            (r#"["define", {}, ["sizer"]]"#, "JSON"),
            ("process.rb", "skynet launch process.rb"),
            ("x", "one word"),
        ] {
            assert!(wrong(bad).is_some_and(|said| said.contains(why)), "{bad}: {:?}", wrong(bad));
        }
    }
}

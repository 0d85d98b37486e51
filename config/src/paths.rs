//! Relative paths count from the folder of the file that says them.

use crate::file::Values;
use std::path::{Path, PathBuf};
use toml::Value;

/// Makes the paths in these values absolute.
pub fn resolve(values: &mut Values, base: &Path) {
    for (key, (value, _)) in values {
        match (key.as_str(), value) {
            ("code" | "state", path) => absolute(path, base),
            ("python", program) => absolute_program(program, base),
            ("exec", Value::Array(words)) => {
                if let Some(program) = words.first_mut() {
                    absolute_program(program, base);
                }
            }
            ("amqp", Value::Table(amqp)) => {
                let tls = amqp.get_mut("tls").and_then(Value::as_table_mut).into_iter().flatten();
                tls.for_each(|(_, path)| absolute(path, base));
            }
            _ => {}
        }
    }
}

fn absolute(value: &mut Value, base: &Path) {
    if let Value::String(path) = value {
        // By its components, so that no `./` is left in messages.
        let joined: PathBuf = base.join(&path).components().collect();
        *path = joined.to_string_lossy().into_owned();
    }
}

/// A program without a slash is looked for on PATH.
fn absolute_program(value: &mut Value, base: &Path) {
    if value.as_str().is_some_and(|program| program.contains('/')) {
        absolute(value, base);
    }
}

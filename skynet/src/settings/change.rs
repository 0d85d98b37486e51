//! One key of a settings file set or taken out; comments and everything else stay as they are. Pure.

use config::schema::{KEYS, Kind};
use toml_edit::{DocumentMut, Item, Table, Value, value};

/// The text of the file afterwards, and what changed in words.
#[derive(Debug, PartialEq, Eq)]
pub struct Changed {
    pub text: String,
    pub told: String,
}

/// Sets a key. A value that is no TOML, or a bare word where a text belongs, is taken as a text.
///
/// # Errors
/// What is wrong with file or key, in a line.
pub fn set(text: &str, key: &str, wanted: &str) -> Result<Changed, String> {
    let mut document = parse(text)?;
    let new = read_value(key, wanted);
    let (tables, last) = steps(key)?;
    if document.is_empty() && !text.trim().is_empty() {
        // All of it is comments: what is written comes behind them.
        let made = set("", key, wanted)?;
        let text = format!("{}\n\n{}", text.trim_end(), made.text.trim_start());
        return Ok(Changed { text, told: made.told });
    }
    if let Some(at) = place_of_new(text, &document, &tables, last) {
        let (head, tail) = (text[..at].trim_end(), text[at..].trim_start_matches('\n'));
        let header = if tables.is_empty() { String::new() } else { format!("[{}]\n", tables.join(".")) };
        let told = format!("{key} = {}", hidden(&new.to_string()));
        let before = if head.is_empty() { "" } else { "\n\n" };
        let behind = if tail.is_empty() { "\n" } else { "\n\n" };
        let text = format!("{head}{before}{header}{last} = {new}{behind}{tail}");
        return Ok(Changed { text, told });
    }
    let mut table: &mut dyn toml_edit::TableLike = document.as_table_mut();
    for step in tables {
        let inner = table.entry(step).or_insert_with(|| Item::Table(Table::new()));
        table = inner.as_table_like_mut().ok_or_else(|| format!("{step} is no table"))?;
    }
    let old = table.get(last).map(bare);
    let told = match &old {
        Some(old) => format!("{key} = {} (was {})", hidden(&new.to_string()), hidden(old)),
        None => format!("{key} = {}", hidden(&new.to_string())),
    };
    match table.get_mut(last).and_then(Item::as_value_mut) {
        // What stands around it stays: spaces, and a comment behind it.
        Some(place) => {
            let around = place.decor().clone();
            *place = new;
            *place.decor_mut() = around;
        }
        None => drop(table.insert(last, value(new))),
    }
    Ok(Changed { text: document.to_string(), told })
}

/// Where in the text a key goes that has no neighbours yet: a table of its own behind everything, so that no comment
/// of another table follows it; the first key of all between what is said of the file and what is said of its first table.
fn place_of_new(text: &str, document: &DocumentMut, tables: &[&str], last: &str) -> Option<usize> {
    if tables.is_empty() {
        let alone = document.iter().all(|(_, item)| item.is_table() || item.is_array_of_tables());
        let first = text.lines().position(|line| line.trim_start().starts_with('['))?;
        let before: usize = text.split_inclusive('\n').take(first).map(str::len).sum();
        let place = text[..before].rfind("\n\n").map_or(0, |at| at + 1);
        return (alone && is_bare(last)).then_some(place);
    }
    let mut table = document.as_table();
    for step in tables {
        match table.get(step) {
            Some(item) => table = item.as_table()?,
            None => {
                return tables
                    .iter()
                    .all(|step| is_bare(step))
                    .then_some(text.len())
                    .filter(|_| is_bare(last));
            }
        }
    }
    None
}

/// Whether a key needs no quotes.
fn is_bare(key: &str) -> bool {
    key.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c))
}

/// Takes a key out.
///
/// # Errors
/// When it is not there; what is wrong with the file.
pub fn unset(text: &str, key: &str) -> Result<Changed, String> {
    let mut document = parse(text)?;
    let (tables, last) = steps(key)?;
    let mut table: &mut dyn toml_edit::TableLike = document.as_table_mut();
    for step in tables {
        let inner = table.get_mut(step).and_then(Item::as_table_like_mut);
        table = inner.ok_or_else(|| format!("{key} does not stand here"))?;
    }
    let old = table.remove(last).ok_or_else(|| format!("{key} does not stand here"))?;
    let told = format!("{key} is no longer set (was {})", hidden(&bare(&old)));
    Ok(Changed { text: document.to_string(), told })
}

/// The value without what stands around it.
fn bare(item: &Item) -> String {
    match item.as_value() {
        Some(value) => value.clone().decorated("", "").to_string(),
        None => "a table".to_owned(),
    }
}

fn parse(text: &str) -> Result<DocumentMut, String> {
    text.parse().map_err(|e: toml_edit::TomlError| {
        let before = e.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        format!("line {}: {}", before.matches('\n').count() + 1, e.message().replace('\n', " "))
    })
}

fn steps(key: &str) -> Result<(Vec<&str>, &str), String> {
    let mut steps: Vec<_> = key.split('.').collect();
    match steps.pop() {
        Some(last) if !last.is_empty() && steps.iter().all(|step| !step.is_empty()) => Ok((steps, last)),
        _ => Err(format!("{key:?} is no key")),
    }
}

fn read_value(key: &str, wanted: &str) -> Value {
    let read: Option<Value> = wanted.trim().parse().ok();
    match read {
        Some(read) if read.is_str() || !takes_text(key) => read,
        _ => Value::from(wanted),
    }
}

fn takes_text(key: &str) -> bool {
    let text = |kind: Kind| {
        !matches!(
            kind,
            Kind::Bool
                | Kind::Count(..)
                | Kind::Command
                | Kind::Program
                | Kind::Urls
                | Kind::Table(_)
                | Kind::Open(_)
                | Kind::Fields
        )
    };
    let mut keys = KEYS;
    for step in key.split('.') {
        match keys.iter().find(|known| known.name == step).map(|known| known.kind) {
            Some(Kind::Table(inner) | Kind::Open(inner)) => keys = inner,
            Some(kind) => return text(kind),
            None => return false,
        }
    }
    false
}

/// Without the accounts of URLs: they hold passwords.
pub fn hidden(text: &str) -> String {
    let mut parts = text.split("://");
    let mut shown = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.find(['/', '"', ' ']).unwrap_or(part.len());
        let account = part[..end].rfind('@').map_or(0, |at| at + 1);
        shown += &format!("://{}", &part[account..]);
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_of_a_broker_holds_no_account() {
        for (text, shown) in [
            ("\"amqp://a:b@h:1/v\"", "\"amqp://h:1/v\""),
            ("[\"amqp://a:p@x@h/v\", \"amqps://h2\"]", "[\"amqp://h/v\", \"amqps://h2\"]"),
            ("\"60s\"", "\"60s\""),
        ] {
            assert_eq!(hidden(text), shown);
        }
    }

    #[test]
    fn comments_and_order_stay_as_they_are() {
        let before = "# the settings\ngrace   =  \"60s\"  # long enough\n\n[mine] # own\na = 1\n";
        let after = set(before, "grace", "5s").unwrap();
        assert_eq!(after.text, "# the settings\ngrace   =  \"5s\"  # long enough\n\n[mine] # own\na = 1\n");
        assert_eq!(after.told, "grace = \"5s\" (was \"60s\")");
        let after = set(&after.text, "mine.b", "x y").unwrap();
        assert!(after.text.ends_with("[mine] # own\na = 1\nb = \"x y\"\n"), "{}", after.text);
        let after = set(&after.text, "failed.max", "7").unwrap();
        assert!(after.text.ends_with("\n[failed]\nmax = 7\n"), "{}", after.text);
        let after = unset(&after.text, "grace").unwrap();
        assert!(!after.text.contains("grace"));
        assert_eq!(after.told, "grace is no longer set (was \"5s\")");
    }

    #[test]
    fn what_is_set_in_a_file_of_comments_comes_behind_them() {
        let after = set("# settings\n\n# grace = \"60s\"\n", "grace", "5s").unwrap();
        assert_eq!(after.text, "# settings\n\n# grace = \"60s\"\n\ngrace = \"5s\"\n");
        let after = set(&after.text, "mine.a", "1").unwrap();
        assert_eq!(after.text, "# settings\n\n# grace = \"60s\"\n\ngrace = \"5s\"\n\n[mine]\na = 1\n");
        assert_eq!(set("# no newline", "mine.a", "1").unwrap().text, "# no newline\n\n[mine]\na = 1\n");
    }

    #[test]
    fn what_has_no_neighbours_comes_between_comments_of_others_and_never_among_them() {
        let before = "# The file.\n# More of it.\n\n# The broker.\n[amqp]\nurl = \"a\"\n# urls = [\"b\"]\n";
        for (key, after) in [
            ("grace", before.replace("# The broker", "grace = \"5s\"\n\n# The broker")),
            ("notify.x", format!("{before}\n[notify]\nx = \"5s\"\n")),
            ("amqp.tls.ca", format!("{before}\n[amqp.tls]\nca = \"5s\"\n")),
        ] {
            assert_eq!(set(before, key, "5s").unwrap().text, after);
        }
        assert_eq!(set("[a]\nb = 1\n", "c", "2").unwrap().text, "c = 2\n\n[a]\nb = 1\n");
        assert_eq!(set("a = { b = 1 }\n", "a.c.d", "2").unwrap().text, "a = { b = 1 , c.d = 2 }\n");
    }

    #[test]
    fn a_value_has_the_type_that_the_key_takes() {
        for (key, wanted, line) in [
            ("grace", "30s", "grace = \"30s\""),
            ("grace", "\"30s\"", "grace = \"30s\""),
            ("name", "7", "name = \"7\""),
            ("concurrency", "4", "concurrency = 4"),
            ("journal_sync", "true", "journal_sync = true"),
            ("exec", "[\"./x\", \"-v\"]", "exec = [\"./x\", \"-v\"]"),
            ("code", "true.py", "code = \"true.py\""),
        ] {
            assert_eq!(set("", key, wanted).unwrap().text.trim(), line, "{key} {wanted}");
        }
    }

    #[test]
    fn what_cannot_be_done_is_said_in_a_line_and_no_password_is_repeated() {
        assert_eq!(unset("a = 1\n", "b").unwrap_err(), "b does not stand here");
        assert_eq!(unset("a = 1\n", "b.c").unwrap_err(), "b.c does not stand here");
        assert!(set("a = 1\n", "a.b", "1").unwrap_err().contains("no table"));
        assert!(set("a = \n", "b", "1").unwrap_err().starts_with("line 1: "));
        assert!(set("", "", "1").is_err() && set("", "a..b", "1").is_err());
        let told = set("[amqp]\nurl = \"amqp://u:old@h\"\n", "amqp.url", "amqp://u:new@h").unwrap().told;
        assert_eq!(told, "amqp.url = \"amqp://h\" (was \"amqp://h\")");
    }
}

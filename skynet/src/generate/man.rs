//! The man pages of skynet: one for each command, and one for each command of a command.

use super::{usage, visible};
use crate::cli::help;
use crate::cli::more::{Part, parts};
use clap::Command;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, roman};
use std::fs;
use std::io;
use std::path::Path;

/// The pages that are related to skynet's own; its commands stand in it.
const RELATIVES: &str = "skynet-config(5), skynet-handler(7), exo(8), skynet-broker(8), svscan(8)";

/// Writes all of them into a folder.
pub fn write(dir: &Path) -> io::Result<()> {
    fs::create_dir_all(dir)?;
    write_page(&help::command(), "skynet", dir)
}

fn write_page(command: &Command, words: &str, dir: &Path) -> io::Result<()> {
    let name = words.replace(' ', "-");
    fs::write(dir.join(format!("{name}.1")), page(command, &name, words)?)?;
    visible(command).try_for_each(|inner| write_page(inner, &format!("{words} {}", inner.get_name()), dir))
}

fn page(command: &Command, name: &str, words: &str) -> io::Result<Vec<u8>> {
    let after = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let named = command.clone().name(name.to_owned()).display_name(name.to_owned());
    let man = Man::new(named.disable_help_subcommand(true)).manual("SkyNET");
    let mut page = vec![];
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    Roff::new().control("SH", ["SYNOPSIS"]).control("nf", []).to_writer(&mut page)?;
    for line in usage(command, words) {
        Roff::new().text([roman(line)]).to_writer(&mut page)?;
    }
    Roff::new().control("fi", []).to_writer(&mut page)?;
    man.render_description_section(&mut page)?;
    for part in parts(&after) {
        if let Part::Text(text) = part {
            Roff::new().control("PP", []).text([roman(text)]).to_writer(&mut page)?;
        }
    }
    man.render_options_section(&mut page)?;
    if visible(command).next().is_some() {
        man.render_subcommands_section(&mut page)?;
    }
    for part in parts(&after) {
        if let Part::List(heading, lines) = part {
            let mut list = Roff::new();
            list.control("SH", [heading.to_uppercase().as_str()]).control("nf", []);
            lines.lines().for_each(|line| {
                list.text([roman(line.strip_prefix("  ").unwrap_or(line))]);
            });
            list.control("fi", []).to_writer(&mut page)?;
        }
    }
    let see_also = if words == "skynet" { RELATIVES } else { "skynet(1)" };
    Roff::new().control("SH", ["SEE ALSO"]).text([roman(see_also)]).to_writer(&mut page)?;
    Ok(page)
}

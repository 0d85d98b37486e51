//! A page of docs/reference as roff: `# NAME` and its first paragraph become the section NAME, a table becomes a list
//! with the first cell of each row in front, a link becomes what it says.

use pulldown_cmark::{Event, HeadingLevel, Options, Parser, Tag, TagEnd};
use roff::{Inline, Roff, bold, italic, roman};

/// What stands in a cell in which nothing does.
const NOTHING: &str = "\u{b7}";

/// The names of the pages of the reference that this one links to.
pub fn links(markdown: &str) -> Vec<String> {
    let name = |event| match event {
        Event::Start(Tag::Link { dest_url, .. }) => {
            let file = dest_url.split('#').next().unwrap_or_default();
            file.strip_suffix(".md").filter(|name| !name.contains('/')).map(str::to_owned)
        }
        _ => None,
    };
    Parser::new_ext(markdown, Options::ENABLE_TABLES).filter_map(name).collect()
}

/// The man page that a page of the reference makes, with the names of related ones at its end.
pub fn render(markdown: &str, title: &str, section: &str, see_also: &[String]) -> String {
    let mut page = Page::default();
    page.roff.control("TH", [&*title.to_uppercase(), section, "", "SkyNET", "SkyNET"]);
    page.roff.control("SH", ["NAME"]);
    page.title = title.to_owned();
    Parser::new_ext(markdown, Options::ENABLE_TABLES).for_each(|event| page.take(event));
    if !see_also.is_empty() {
        page.roff.control("SH", ["SEE ALSO"]).text([roman(see_also.join(", "))]);
    }
    escape(&page.roff.render())
}

/// The letters beyond ASCII as every formatter reads them, whatever the locale. Without UTF-8 there is no ellipsis, and it
/// would be left out.
fn escape(roff: &str) -> String {
    let letter = |c: char| match c {
        '\u{2026}' => "...".to_owned(),
        c if c.is_ascii() => c.to_string(),
        c => format!("\\[u{:04X}]", u32::from(c)),
    };
    roff.chars().map(letter).collect()
}

#[derive(Default)]
struct Page {
    roff: Roff,
    title: String,
    /// What is to be one paragraph, heading or cell.
    line: Vec<Inline>,
    font: Font,
    /// How deep in lists, and the numbers of the items to come.
    lists: Vec<Option<u64>>,
    /// The item has only begun: its first paragraph needs no space before it.
    item: bool,
    table: Table,
    code: bool,
    place: Place,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Font {
    #[default]
    Roman,
    Bold,
    Italic,
}

/// Where the page has got to.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Place {
    /// Before what it is called.
    #[default]
    Top,
    /// It is called like this; what it is comes next.
    Named,
    Text,
}

/// The table that is being read.
#[derive(Default)]
struct Table {
    heads: Vec<Vec<Inline>>,
    cells: Vec<Vec<Inline>>,
}

impl Page {
    fn take(&mut self, event: Event<'_>) {
        match event {
            Event::Start(tag) => self.start(tag),
            Event::End(tag) => self.end(tag),
            Event::Text(text) if self.code => {
                for line in text.lines() {
                    self.roff.text([roman(line)]);
                }
            }
            Event::Text(text) => self.line.push(match self.font {
                Font::Roman => roman(&*text),
                Font::Bold => bold(&*text),
                Font::Italic => italic(&*text),
            }),
            Event::Code(text) => self.line.push(bold(&*text)),
            Event::SoftBreak | Event::HardBreak => self.line.push(roman(" ")),
            Event::Html(text) | Event::InlineHtml(text) => self.line.push(roman(&*text)),
            _ => {}
        }
    }

    fn start(&mut self, tag: Tag<'_>) {
        match tag {
            Tag::Strong => self.font = Font::Bold,
            Tag::Emphasis | Tag::Link { .. } => self.font = Font::Italic,
            Tag::CodeBlock(_) => {
                self.flush();
                self.code = true;
                self.roff.control("PP", []).control("RS", ["4"]).control("nf", []);
            }
            Tag::List(number) => {
                self.flush();
                if !self.lists.is_empty() {
                    self.roff.control("RS", []);
                }
                self.lists.push(number);
            }
            Tag::Item => {
                let mark = match self.lists.last_mut() {
                    Some(Some(number)) => {
                        *number += 1;
                        format!("{}.", *number - 1)
                    }
                    _ => "\u{2022}".to_owned(),
                };
                self.roff.control("IP", [&*mark, "3"]);
                self.item = true;
            }
            Tag::Table(_) => self.table = Table::default(),
            _ => {}
        }
    }

    fn end(&mut self, tag: TagEnd) {
        match tag {
            TagEnd::Heading(HeadingLevel::H1) => self.name(),
            TagEnd::Heading(level) => {
                let line = self.line.drain(..);
                match level {
                    HeadingLevel::H2 => self.roff.control("SH", [&*line.map(section).collect::<String>()]),
                    _ => self.roff.control("SS", [&*line.map(words).collect::<String>()]),
                };
                self.place = Place::Text;
            }
            TagEnd::Paragraph if self.place == Place::Named => {
                let what: String = self.line.drain(..).map(words).collect();
                // What the program is; all of it, as the first sentence alone may not say it.
                self.roff.text([roman(format!("{} - {what}", self.title))]);
                self.place = Place::Text;
            }
            TagEnd::Paragraph => {
                if !std::mem::take(&mut self.item) {
                    match self.lists.is_empty() {
                        true => self.roff.control("PP", []),
                        false => self.roff.control("IP", [" ", "3"]),
                    };
                }
                self.flush();
            }
            TagEnd::Strong | TagEnd::Emphasis | TagEnd::Link => self.font = Font::Roman,
            TagEnd::CodeBlock => {
                self.code = false;
                self.roff.control("fi", []).control("RE", []);
            }
            TagEnd::Item => {
                self.flush();
                self.item = false;
            }
            TagEnd::List(_) => {
                self.lists.pop();
                if !self.lists.is_empty() {
                    self.roff.control("RE", []);
                }
            }
            TagEnd::TableCell => self.table.cells.push(std::mem::take(&mut self.line)),
            TagEnd::TableHead => self.table.heads = std::mem::take(&mut self.table.cells),
            TagEnd::TableRow => self.row(),
            _ => {}
        }
    }

    /// `NAME` or `NAME: what it is`.
    fn name(&mut self) {
        let words: String = self.line.drain(..).map(words).collect();
        self.place = match words.split_once(": ") {
            Some((_, what)) => {
                self.roff.text([roman(format!("{} - {what}", self.title))]);
                Place::Text
            }
            None => Place::Named,
        };
    }

    /// A row of two cells is a term and what it means; of more, each cell that says something has its heading before it.
    fn row(&mut self) {
        let mut cells = std::mem::take(&mut self.table.cells).into_iter().zip(&self.table.heads);
        let Some((term, _)) = cells.next() else { return };
        self.roff.control("TP", []);
        self.roff.text(term);
        let many = self.table.heads.len() > 2;
        let mut body = vec![];
        for (cell, head) in cells.filter(|(cell, _)| !cell.is_empty() && *cell != [roman(NOTHING)]) {
            if !body.is_empty() {
                body.push(roman("; "));
            }
            if many {
                body.push(italic(head.iter().cloned().map(words).collect::<String>()));
                body.push(roman(": "));
            }
            body.extend(cell);
        }
        self.roff.text(body);
    }

    fn flush(&mut self) {
        if !self.line.is_empty() {
            self.roff.text(std::mem::take(&mut self.line));
            self.item = false;
        }
    }
}

/// A part of the name of a section, as manuals have it; what is typed stays as it is.
fn section(inline: Inline) -> String {
    match inline {
        Inline::Roman(text) if text == "Interface" => "SYNOPSIS".into(),
        Inline::Roman(text) if !text.starts_with('-') => text.to_uppercase(),
        other => words(other),
    }
}

fn words(inline: Inline) -> String {
    match inline {
        Inline::Roman(text) | Inline::Bold(text) | Inline::Italic(text) => text,
        Inline::LineBreak => " ".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::render;

    fn body(markdown: &str) -> String {
        let page = render(markdown, "prog", "8", &[]);
        page.split_once(".SH NAME\n").unwrap_or_default().1.to_owned()
    }

    #[test]
    fn the_first_lines_say_what_it_is() {
        let expected = "prog \\- does it\n.SH SYNOPSIS\n.SH \"EXIT CODES\"\n";
        assert_eq!(body("# prog: does it\n\n## Interface\n## Exit codes\n"), expected);
        assert_eq!(body("# prog\n\ndoes\nit\n\n## Interface\n## Exit codes\n"), expected);
    }

    #[test]
    fn related_pages_stand_at_the_end() {
        let page = render("# p: q\n\nText.\n", "prog", "8", &["svc(8)".into(), "svok(8)".into()]);
        assert!(page.ends_with("Text.\n.SH \"SEE ALSO\"\nsvc(8), svok(8)\n"), "{page}");
    }

    #[test]
    fn a_table_is_a_list() {
        let two = body("# p: q\n\n| option | what |\n|---|---|\n| `-v` | more |\n");
        assert_eq!(two, "prog \\- q\n.TP\n\\fB\\-v\\fR\nmore\n");
        let three = body("# p: q\n\n| a | b | c |\n|---|---|---|\n| 1 | 2 | 3 |\n");
        assert_eq!(three, "prog \\- q\n.TP\n1\n\\fIb\\fR: 2; \\fIc\\fR: 3\n");
    }

    #[test]
    fn what_is_special_in_roff_is_text() {
        let code = body("# p: q\n\n    .run '\n    a\\b \u{2026}\n");
        assert_eq!(code, "prog \\- q\n.PP\n.RS 4\n.nf\n\\&.run \\*(Aq\na\\\\b ...\n.fi\n.RE\n");
    }
}

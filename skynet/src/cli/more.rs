//! What a command's help says below its options: paragraphs, which are filled to whatever width there is, and lists of
//! lines (examples, exit codes), which stay as they are.

/// A part of it.
#[derive(Debug, PartialEq, Eq)]
pub enum Part<'a> {
    /// A paragraph, on one line.
    Text(&'a str),
    /// Lines below a heading, each indented by two.
    List(&'a str, &'a str),
}

/// Its parts, in their order.
pub fn parts(text: &str) -> impl Iterator<Item = Part<'_>> {
    text.split("\n\n").map(|part| match part.split_once(":\n") {
        Some((heading, lines)) => Part::List(heading, lines),
        None => Part::Text(part),
    })
}

#[cfg(test)]
mod tests {
    use super::Part::{List, Text};

    #[test]
    fn paragraphs_are_told_from_lists() {
        let parts: Vec<_> = super::parts("It does: this.\n\nExamples:\n  one\n  two\n\nMore.").collect();
        assert_eq!(parts, [Text("It does: this."), List("Examples", "  one\n  two"), Text("More.")]);
    }
}

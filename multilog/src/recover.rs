//! What is made of what a multilog left that could not finish: killed, or the machine went down.
//!
//! The owner's x bit of a file says that it is complete and on disk.

/// A file that was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Left {
    /// Whether the owner's x bit is set.
    pub finished: bool,
    /// Whether it has a second name: it was being kept as an old log already.
    pub linked: bool,
}

/// What was found in a log directory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Found {
    /// `current`.
    pub current: Option<Left>,
    /// `previous`.
    pub previous: Option<Left>,
    /// `processed`.
    pub processed: Option<Left>,
}

/// A thing to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mend {
    /// Remove this file, if it is there.
    Remove(&'static str),
    /// Make it an old log that is safely written.
    KeepSafe(&'static str),
    /// Make it an old log that was found unfinished.
    KeepUnfinished(&'static str),
    /// The oldest logs beyond the number go.
    Prune,
    /// A new, empty file of this name.
    Empty(&'static str),
}

/// What to do before `current` can be written; nothing where it was finished: then it goes on as it is, and
/// everything else is left alone.
pub fn plan(found: &Found) -> Vec<Mend> {
    if found.current.is_some_and(|current| current.finished) {
        return vec![];
    }
    let mut plan = vec![Mend::Remove("state"), Mend::Remove("newstate")];
    match found.processed {
        Some(processed) if processed.finished => {
            plan.push(Mend::Remove("previous"));
            keep(&mut plan, processed, "processed", Mend::KeepSafe);
        }
        _ => {
            plan.push(Mend::Remove("processed"));
            if let Some(previous) = found.previous {
                keep(&mut plan, previous, "previous", Mend::KeepUnfinished);
            }
        }
    }
    if let Some(current) = found.current {
        keep(&mut plan, current, "current", Mend::KeepUnfinished);
    }
    plan.push(Mend::Empty("state"));
    plan
}

fn keep(plan: &mut Vec<Mend>, left: Left, name: &'static str, keep: fn(&'static str) -> Mend) {
    plan.push(if left.linked { Mend::Remove(name) } else { keep(name) });
    plan.push(Mend::Prune);
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEW: Left = Left { finished: false, linked: false };
    const FINISHED: Left = Left { finished: true, linked: false };

    #[test]
    fn a_finished_current_goes_on_and_all_else_is_left_alone() {
        let found = Found { current: Some(FINISHED), previous: Some(NEW), processed: Some(FINISHED) };
        assert_eq!(plan(&found), []);
    }

    #[test]
    fn what_was_processed_completely_is_safe_and_its_source_goes() {
        let found = Found { current: Some(NEW), previous: Some(FINISHED), processed: Some(FINISHED) };
        assert_eq!(
            plan(&found)[2..6],
            [
                Mend::Remove("previous"),
                Mend::KeepSafe("processed"),
                Mend::Prune,
                Mend::KeepUnfinished("current")
            ]
        );
    }

    #[test]
    fn what_was_half_processed_is_removed_and_its_source_kept_once() {
        let found = |previous| Found { current: None, previous: Some(previous), processed: Some(NEW) };
        assert_eq!(
            plan(&found(FINISHED))[2..4],
            [Mend::Remove("processed"), Mend::KeepUnfinished("previous")]
        );
        let linked = Left { linked: true, ..FINISHED };
        assert_eq!(plan(&found(linked))[2..4], [Mend::Remove("processed"), Mend::Remove("previous")]);
    }
}

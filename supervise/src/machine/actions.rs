//! The list of what is to be done: short, in place, without allocation.

use super::Action;

/// No step asks for more.
const MOST: usize = 6;

/// What a step asks for, in order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Actions {
    list: [Option<Action>; MOST],
}

impl Actions {
    /// Adds an action at the end.
    ///
    /// # Panics
    /// When there are more than any step asks for: the walk of all states proves that none does.
    pub fn push(&mut self, action: Action) {
        let free = self.list.iter_mut().find(|place| place.is_none());
        *free.expect("a step asks for no more than MOST actions") = Some(action);
    }
}

impl IntoIterator for Actions {
    type Item = Action;
    type IntoIter = std::iter::Flatten<std::array::IntoIter<Option<Action>, MOST>>;

    fn into_iter(self) -> Self::IntoIter {
        self.list.into_iter().flatten()
    }
}

//! readproctitle: the last bytes of its input, behind three dots.

/// The shortest room that is worth it: three dots and two bytes.
pub const SHORTEST: usize = 5;

/// The text that is shown, of fixed length: dots, then the last bytes.
#[derive(Debug)]
pub struct Ring(Vec<u8>);

impl Ring {
    /// Dots. `None` when the room is less than [`SHORTEST`].
    pub fn new(length: usize) -> Option<Self> {
        (length >= SHORTEST).then(|| Self(vec![b'.'; length]))
    }

    /// Moves the text to the left and puts `bytes` at its end. NUL would end an argument: it is left out. The first
    /// three stay dots.
    pub fn push(&mut self, bytes: &[u8]) {
        let room = &mut self.0[3..];
        for byte in bytes.iter().filter(|byte| **byte != 0) {
            room.copy_within(1.., 0);
            room[room.len() - 1] = *byte;
        }
    }

    /// The text.
    pub fn text(&self) -> &[u8] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_bytes_stand_behind_at_least_three_dots() {
        for (length, pieces, expected) in [
            (5, &[""][..], "....."),
            (5, &["a"], "....a"),
            (5, &["abc"], "...bc"),
            (8, &["ab\n", "cd"], "...ab\ncd"),
            (8, &["a\0b\0"], "......ab"),
            (6, &["0123456789", "x"], "...89x"),
        ] {
            let mut ring = Ring::new(length).unwrap();
            for piece in pieces {
                ring.push(piece.as_bytes());
            }
            assert_eq!(str::from_utf8(ring.text()).unwrap(), expected, "{length} {pieces:?}");
        }
        assert!(Ring::new(4).is_none());
    }
}

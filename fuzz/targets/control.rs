//! The control FIFO: any letter is a command of the table or ignored.
#![no_main]

use libfuzzer_sys::fuzz_target;
use servicedir::control::{Command, TABLE};

fuzz_target!(|letters: &[u8]| {
    for letter in letters {
        let row = TABLE.iter().find(|row| row.letter == *letter);
        assert_eq!(Command::from_letter(*letter), row.map(|row| row.command));
    }
});

//! multilog's selection: whole blocks are decided as each line by itself. Input: patterns with their signs, each with a
//! newline; an empty line; the lines.
#![no_main]

use libfuzzer_sys::fuzz_target;
use multilog::selection::{Selection, Test};

fuzz_target!(|bytes: &[u8]| {
    let end = bytes.windows(2).position(|two| two == b"\n\n").unwrap_or(bytes.len());
    let (script, rest) = bytes.split_at(end);
    let block = [rest.get(2..).unwrap_or_default(), b"\n"].concat();
    let test = |line: &[u8]| match line.split_first() {
        Some((b'+', pattern)) => Test::Select(pattern.to_vec()),
        Some((_, pattern)) => Test::Deselect(pattern.to_vec()),
        None => Test::Select(vec![]),
    };
    let tests: Vec<_> = script.split(|byte| *byte == b'\n').map(test).chain([Test::Log(0)]).collect();
    let selection = Selection::new(tests, None, 1);

    let judged = |line: &[u8]| {
        let mut outcome = [false];
        selection.judge(line, &mut outcome, |_| {});
        outcome[0]
    };
    let plain: Vec<bool> = block[..block.len() - 1].split(|byte| *byte == b'\n').map(judged).collect();
    let (mut together, mut search, mut from) = (vec![], selection.search(&block), 0);
    while from < block.len() {
        let (begin, end) = search.line(from).unwrap_or((block.len(), block.len()));
        let skipped = block[from..begin].iter().filter(|byte| **byte == b'\n').count();
        together.extend((0..skipped).map(|_| selection.others()[0]));
        if begin < end {
            together.push(judged(&block[begin..end - 1]));
        }
        from = end;
    }
    assert_eq!(together, plain);
});

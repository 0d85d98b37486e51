//! tai64nlocal: whatever comes, in whatever pieces, goes through; lines that do not begin with `@` unchanged. Input:
//! where to cut (two bytes), the text.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tools::unstamp::Unstamper;
use unix::local_time::LocalTime;

fuzz_target!(|bytes: &[u8]| {
    let Some((cut, text)) = bytes.split_first_chunk::<2>() else { return };
    let whole = convert(&[text]);
    let (a, b) = text.split_at(usize::from(u16::from_le_bytes(*cut)) % (text.len() + 1));
    assert_eq!(convert(&[a, b]), whole, "where reads end does not matter");
    let (lines, converted) = (text.split(|byte| *byte == b'\n'), whole.split(|byte| *byte == b'\n'));
    assert_eq!(lines.clone().count(), converted.clone().count());
    for (line, converted) in lines.zip(converted) {
        assert!(line.starts_with(b"@") || line == converted);
        assert!(converted.len() >= line.len() - line.len().min(25));
    }
});

fn convert(pieces: &[&[u8]]) -> Vec<u8> {
    let (mut unstamper, mut output) = (Unstamper::default(), vec![]);
    // An empty piece is the end.
    for piece in pieces.iter().filter(|piece| !piece.is_empty()).chain([&[].as_slice()]) {
        unstamper.convert(piece, LocalTime::of, &mut output);
    }
    output
}

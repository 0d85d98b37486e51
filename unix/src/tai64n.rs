//! TAI64N, the time label of daemontools: seconds since 1970 TAI plus 2^62, and nanoseconds.
//!
//! Format: `https://cr.yp.to/libtai/tai64.html`. As daemontools does, the ten seconds that TAI was ahead of
//! UTC in 1970 are added and leap seconds are left out, so labels of both worlds compare and convert alike.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// 2^62 (the label of 1970 TAI) plus the ten seconds of TAI-UTC at that time.
const EPOCH: u64 = (1 << 62) + 10;

/// A point of the wall clock with nanoseconds. It labels; it never decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tai64n {
    seconds: u64,
    nanos: u32,
}

impl Tai64n {
    /// The present moment.
    pub fn now() -> Self {
        SystemTime::now().into()
    }

    /// The 12 bytes of the packed form: seconds, then nanoseconds, both big-endian.
    pub fn to_bytes(self) -> [u8; 12] {
        let mut bytes = [0; 12];
        bytes[..8].copy_from_slice(&self.seconds.to_be_bytes());
        bytes[8..].copy_from_slice(&self.nanos.to_be_bytes());
        bytes
    }

    /// Reads the packed form. Any twelve bytes are a label; whether it is a sensible time is for the caller.
    pub fn from_bytes(bytes: [u8; 12]) -> Self {
        let (seconds, nanos) = bytes.split_at(8);
        let mut s = [0; 8];
        s.copy_from_slice(seconds);
        let mut n = [0; 4];
        n.copy_from_slice(nanos);
        Self { seconds: u64::from_be_bytes(s), nanos: u32::from_be_bytes(n) }
    }

    /// The external form: `@` and 24 lower-case hexadecimal digits.
    pub fn label(self) -> [u8; 25] {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        let mut text = [b'@'; 25];
        for (i, byte) in self.to_bytes().into_iter().enumerate() {
            text[1 + 2 * i] = HEX[usize::from(byte >> 4)];
            text[2 + 2 * i] = HEX[usize::from(byte & 15)];
        }
        text
    }

    /// Reads the external form at the start of `text`; `None` if there is no label.
    pub fn from_label(text: &[u8]) -> Option<Self> {
        let digits = text.strip_prefix(b"@")?.get(..24)?;
        let mut bytes = [0; 12];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = digit(pair[0])? << 4 | digit(pair[1])?;
        }
        Some(Self::from_bytes(bytes))
    }

    /// The same moment as system time; `None` outside what the system can express.
    pub fn to_system_time(self) -> Option<SystemTime> {
        let since = self.seconds.checked_sub(EPOCH)?;
        UNIX_EPOCH.checked_add(Duration::new(since, 0))?.checked_add(Duration::from_nanos(self.nanos.into()))
    }

    /// How long before `later` this was; zero if it was not before (clocks jump).
    pub fn age_at(self, later: Self) -> Duration {
        let nanos = |t: Self| i128::from(t.seconds) * 1_000_000_000 + i128::from(t.nanos);
        let age = (nanos(later) - nanos(self)).max(0);
        Duration::new(
            u64::try_from(age / 1_000_000_000).unwrap_or(u64::MAX),
            (age % 1_000_000_000) as u32, // below 10^9
        )
    }

    /// The same in seconds as daemontools counts them: those of the one label without those of the other.
    pub fn seconds_at(self, later: Self) -> u64 {
        later.seconds.saturating_sub(self.seconds)
    }
}

impl From<SystemTime> for Tai64n {
    fn from(time: SystemTime) -> Self {
        match time.duration_since(UNIX_EPOCH) {
            Ok(d) => Self { seconds: EPOCH + d.as_secs(), nanos: d.subsec_nanos() },
            Err(before) => {
                let d = before.duration();
                let (s, n) = (d.as_secs() + u64::from(d.subsec_nanos() > 0), d.subsec_nanos());
                Self { seconds: EPOCH.saturating_sub(s), nanos: (1_000_000_000 - n) % 1_000_000_000 }
            }
        }
    }
}

fn digit(c: u8) -> Option<u8> {
    match c {
        b'0'..=b'9' => Some(c - b'0'),
        b'a'..=b'f' => Some(c - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_2_to_the_62_plus_ten_seconds_at_the_unix_epoch() {
        assert_eq!(&Tai64n::from(UNIX_EPOCH).label(), b"@400000000000000a00000000");
        let t = UNIX_EPOCH + Duration::new(1_700_000_000, 123_456_789);
        assert_eq!(&Tai64n::from(t).label(), b"@400000006553f10a075bcd15");
        let before = UNIX_EPOCH - Duration::new(0, 1);
        assert_eq!(&Tai64n::from(before).label(), b"@40000000000000093b9ac9ff");
    }

    #[test]
    fn labels_and_bytes_survive_a_round_trip() {
        let t = Tai64n::now();
        assert_eq!(Tai64n::from_bytes(t.to_bytes()), t);
        assert_eq!(Tai64n::from_label(&t.label()), Some(t));
        assert_eq!(t.to_system_time().map(Tai64n::from), Some(t));
    }

    #[test]
    fn what_is_no_label_is_none() {
        for text in
            ["", "@", "@400000006553f10a075bcd1", "400000006553f10a075bcd15x", "@400000006553F10A075BCD15"]
        {
            assert_eq!(Tai64n::from_label(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn a_time_in_the_future_has_age_zero() {
        let now = Tai64n::from(UNIX_EPOCH + Duration::from_secs(10));
        let past = Tai64n::from(UNIX_EPOCH + Duration::new(8, 500_000_000));
        assert_eq!(past.age_at(now), Duration::from_millis(1500));
        assert_eq!(now.age_at(past), Duration::ZERO);
        assert_eq!((past.seconds_at(now), now.seconds_at(past)), (2, 0));
    }
}

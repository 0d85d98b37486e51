//! What softlimit's arguments mean.

use nix::sys::resource::Resource;

/// The option letters, all of which take an argument, and what they limit, in the order in which it is done.
pub const OPTIONS: [(u8, &[Resource]); 11] = [
    (b'a', &[Resource::RLIMIT_AS]),
    (b'c', &[Resource::RLIMIT_CORE]),
    (b'd', &[Resource::RLIMIT_DATA]),
    (b'f', &[Resource::RLIMIT_FSIZE]),
    (b'l', &[Resource::RLIMIT_MEMLOCK]),
    (b'm', &[Resource::RLIMIT_DATA, Resource::RLIMIT_STACK, Resource::RLIMIT_MEMLOCK, Resource::RLIMIT_AS]),
    (b'o', &[Resource::RLIMIT_NOFILE]),
    (b'p', &[Resource::RLIMIT_NPROC]),
    (b'r', &[Resource::RLIMIT_RSS]),
    (b's', &[Resource::RLIMIT_STACK]),
    (b't', &[Resource::RLIMIT_CPU]),
];

/// How far a soft limit is to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// As far as the hard limit.
    Hard,
    /// So far, or as far as the hard limit where that is less.
    Soft(u64),
}

impl Limit {
    /// Reads an argument: `=`, or decimal digits (none at all are 0; a number beyond 64 bits is beyond any hard
    /// limit). `None` for anything else.
    pub fn parse(argument: &[u8]) -> Option<Self> {
        if argument == b"=" {
            return Some(Self::Hard);
        }
        let digit = |byte: &u8| byte.is_ascii_digit().then(|| u64::from(byte - b'0'));
        let digits: Option<Vec<u64>> = argument.iter().map(digit).collect();
        Some(Self::Soft(digits?.into_iter().fold(0, |n: u64, d| n.saturating_mul(10).saturating_add(d))))
    }

    /// The soft limit, where `hard` is the hard one.
    pub fn below(self, hard: u64) -> u64 {
        match self {
            Self::Hard => hard,
            Self::Soft(wanted) => wanted.min(hard),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_argument_is_a_decimal_number_or_an_equals_sign() {
        for (argument, expected) in [
            ("=", Some(Limit::Hard)),
            ("0", Some(Limit::Soft(0))),
            ("", Some(Limit::Soft(0))),
            ("007", Some(Limit::Soft(7))),
            ("18446744073709551615", Some(Limit::Soft(u64::MAX))),
            ("18446744073709551616", Some(Limit::Soft(u64::MAX))),
            ("12abc", None),
            ("-1", None),
            ("+1", None),
            ("0x10", None),
            (" 1", None),
            ("=1", None),
            ("1=", None),
        ] {
            assert_eq!(Limit::parse(argument.as_bytes()), expected, "{argument:?}");
        }
    }

    proptest! {
        #[test]
        fn a_soft_limit_never_exceeds_the_hard_one(wanted: u64, hard: u64) {
            prop_assert_eq!(Limit::Hard.below(hard), hard);
            prop_assert_eq!(Limit::Soft(wanted).below(hard), wanted.min(hard));
            prop_assert_eq!(Limit::parse(wanted.to_string().as_bytes()), Some(Limit::Soft(wanted)));
        }
    }
}

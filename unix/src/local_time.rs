//! The time of day where TZ says we are: the C library's, which knows every form TZ may have.

/// A moment as clocks and calendars show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalTime {
    /// Year, 2026 for 2026.
    pub year: i64,
    /// Month, from 1.
    pub month: i32,
    /// Day of the month, from 1.
    pub day: i32,
    /// Hour, from 0.
    pub hour: i32,
    /// Minute, from 0.
    pub minute: i32,
    /// Second; 60 in a leap second, where TZ counts them.
    pub second: i32,
}

impl LocalTime {
    /// The local time of a second since 1970 UTC; `None` when its year has no number.
    pub fn of(second: i64) -> Option<Self> {
        // SAFETY: an all-zero tm is a value of it; both pointers are of live values; what localtime_r reads of the
        // environment nobody writes, as no program of ours sets variables of its own.
        let tm = unsafe {
            let mut tm: libc::tm = std::mem::zeroed();
            (!libc::localtime_r(&raw const second, &raw mut tm).is_null()).then_some(tm)
        }?;
        Some(Self {
            year: i64::from(tm.tm_year) + 1900,
            month: tm.tm_mon + 1,
            day: tm.tm_mday,
            hour: tm.tm_hour,
            minute: tm.tm_min,
            second: tm.tm_sec,
        })
    }
}

/// Reads TZ. Before the first [`LocalTime::of`], which would read it only by chance.
pub fn read_zone() {
    unsafe extern "C" {
        fn tzset();
    }
    // SAFETY: it takes nothing and reads the environment, which nobody writes.
    unsafe { tzset() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_year_without_a_number_is_no_time() {
        read_zone();
        assert_eq!(LocalTime::of(i64::MAX), None);
        assert_eq!(LocalTime::of(i64::MIN), None);
        let year = LocalTime::of(1_700_000_000).unwrap().year;
        assert_eq!(year, 2023);
    }
}

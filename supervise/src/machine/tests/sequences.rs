//! Random sequences of events with random pauses: longer than any story, and with settings that change on the way.

use super::*;
use proptest::prelude::*;

proptest! {
    #[test]
    fn no_sequence_of_events_breaks_a_promise(
        chance in any::<u32>(),
        steps in proptest::collection::vec((0..4000u64, any::<prop::sample::Index>()), 1..200),
    ) {
        let events = events();
        let (mut machine, mut now) = (Machine::new(Want::Up, chance), Duration::from_secs(100));
        for (pause, which) in steps {
            // The loop reports a deadline when it comes: time does not pass it in silence.
            let later = now + Duration::from_millis(pause);
            now = machine.deadline().map_or(later, |at| later.min(at.max(now)));
            let (after, actions) = check(machine, now, *which.get(&events));
            if actions.contains(&Action::Quit) {
                break;
            }
            machine = after;
        }
    }
}

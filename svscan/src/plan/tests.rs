//! The plan: single decisions, a walk through every state, random histories, and the table of the manual.

use super::*;
use proptest::prelude::*;
use std::collections::{HashSet, VecDeque};

const NOW: Moment = Duration::from_secs(1000);
const MS: Duration = Duration::from_millis(1);
const ALL: Event = Event::Tick { room: usize::MAX };

fn id(inode: u64) -> Id {
    Id { device: 1, inode }
}

fn main(inode: u64) -> Place {
    (id(inode), Part::Main)
}

fn listed(inode: u64, name: &str, log: bool) -> Listed {
    Listed { id: id(inode), name: name.into(), log }
}

/// A plan that knows service 1, whose supervises are up since NOW with the pids 1 and 2.
fn up(log: bool) -> Plan {
    let mut plan = Plan::default();
    assert_eq!(plan.step(NOW, Event::Scanned(vec![listed(1, "a", log)])), []);
    for (pid, action) in (1..).zip(plan.step(NOW, ALL)) {
        let Action::Start(place) = action else { panic!("{action:?}") };
        assert_eq!(plan.step(NOW, Event::Started(place, pid)), []);
    }
    plan
}

#[test]
fn a_directory_not_seen_before_is_started_at_once_and_once_under_whatever_names() {
    let mut plan = up(false);
    let listing = vec![listed(1, "a", false), listed(2, "b", true), listed(2, "c", false)];
    assert_eq!(plan.step(NOW, Event::Scanned(listing)), []);
    let log = (id(2), Part::Log);
    assert_eq!(plan.step(NOW, ALL), [Action::Start(main(2)), Action::Start(log)]);
    assert_eq!(plan.step(NOW, ALL), [], "what is being started is not started again");
    assert_eq!(plan.service(id(2)).unwrap().name, "b");
}

#[test]
fn a_renamed_directory_is_the_same_service() {
    let mut plan = up(false);
    assert_eq!(plan.step(NOW, Event::Scanned(vec![listed(1, "z", false)])), []);
    assert_eq!(plan.service(id(1)).unwrap().name, "z");
    assert_eq!(plan.step(NOW, ALL), []);
}

#[test]
fn a_service_whose_directory_is_gone_is_forgotten_when_its_supervises_have_exited() {
    for ends in [vec![], vec![1], vec![2], vec![1, 2]] {
        let mut plan = up(true);
        for pid in &ends {
            assert_eq!(plan.step(NOW, Event::Ended(*pid, End::Done)), []);
        }
        let forgotten = plan.step(NOW, Event::Scanned(vec![])) == [Action::Forget(id(1))];
        assert_eq!(forgotten, ends.len() == 2, "{ends:?}");
        assert_eq!(plan.step(NOW + LONGEST, ALL), [], "nothing of it is started again");
    }
}

#[test]
fn when_a_supervise_comes_back_depends_on_how_it_ended() {
    let later = NOW + LONGEST;
    for (ended, end, again) in [
        (NOW + 10 * MS, End::Killed, NOW + SPACING),
        (later, End::Killed, later),
        (later, End::Done, later + SCAN),
        (NOW, End::Done, NOW + SCAN),
        (NOW, End::Failed, NOW + SCAN),
        (later, End::Failed, later + SCAN),
    ] {
        let mut plan = up(false);
        assert_eq!(plan.step(ended, Event::Ended(1, end)), []);
        assert_eq!(plan.next_start(), Some(again), "{end:?} at {ended:?}");
        assert_eq!(plan.step(again - MS, ALL), []);
        assert_eq!(plan.step(again, ALL), [Action::Start(main(1))]);
    }
}

#[test]
fn one_that_fails_again_and_again_is_started_less_and_less_often_until_somebody_asks() {
    let mut plan = up(false);
    let (mut now, mut pauses) = (NOW, vec![]);
    for pid in 1..=6 {
        assert_eq!(plan.step(now, Event::Ended(pid, End::Failed)), []);
        let again = plan.next_start().unwrap();
        pauses.push((again - now).as_secs());
        now = again;
        assert_eq!(plan.step(now, ALL), [Action::Start(main(1))]);
        assert_eq!(plan.step(now, Event::Started(main(1), pid + 1)), []);
    }
    assert_eq!(pauses, [5, 10, 20, 40, 60, 60]);
    assert_eq!(plan.step(now, Event::Ended(7, End::Failed)), []);
    assert_eq!(plan.step(now, Event::Asked), []);
    assert_eq!(plan.next_start(), Some(now + SPACING), "at once, but not twice within a second");
}

#[test]
fn what_was_found_is_looked_at_more_and_more_seldom_where_nobody_announces_its_end() {
    let mut plan = Plan::default();
    let _ = plan.step(NOW, Event::Scanned(vec![listed(1, "a", false)]));
    assert_eq!(plan.step(NOW, ALL), [Action::Start(main(1))]);
    let (mut now, mut pauses) = (NOW, vec![]);
    for _ in 0..9 {
        assert_eq!(plan.step(now, Event::Busy(main(1), Notice::Unannounced)), []);
        let look = plan.next_look().unwrap();
        pauses.push((look - now).as_millis());
        now = look;
        assert_eq!(plan.step(now, ALL), [Action::Look(main(1))]);
    }
    assert_eq!(pauses, [50, 100, 200, 400, 800, 1600, 3200, 5000, 5000]);
    assert_eq!(plan.step(now, Event::Busy(main(1), Notice::Announced)), []);
    assert_eq!((plan.next_look(), plan.next_start()), (None, None));
    assert_eq!(plan.step(now, Event::Gone(main(1))), []);
    assert_eq!(plan.step(now, ALL), [Action::Start(main(1))]);
}

#[test]
fn no_more_are_started_than_there_is_room_for() {
    let mut plan = Plan::default();
    let _ = plan.step(NOW, Event::Scanned((1..=10).map(|i| listed(i, "s", true)).collect()));
    assert_eq!(plan.step(NOW, Event::Tick { room: 3 }).len(), 3);
    assert_eq!(plan.step(NOW, Event::Tick { room: 0 }), []);
    assert_eq!(plan.step(NOW, ALL).len(), 17);
}

/// Shifts every moment so that `now` is NOW again, and what is long past is equally past.
fn normal(mut plan: Plan, now: Moment) -> Plan {
    let passed = now - NOW;
    let future = |at: Moment| at.max(now) - passed;
    for service in plan.services.values_mut() {
        for supervise in [Some(&mut service.main), service.log.as_mut()].into_iter().flatten() {
            match supervise {
                Supervise::Due { at, earliest, .. } => (*at, *earliest) = (future(*at), future(*earliest)),
                Supervise::Found { look, .. } => *look = look.map(future),
                Supervise::Running { since, .. } => *since = (*since).max(now - LONGEST) - passed,
                Supervise::Starting { .. } | Supervise::Looking { .. } => {}
            }
        }
    }
    plan.agenda = Agenda::of(&plan.services);
    plan
}

/// What must hold in every state.
fn check(plan: &Plan) {
    assert_eq!(plan.agenda, Agenda::of(&plan.services));
    for (id, service) in &plan.services {
        for (part, supervise) in service.parts() {
            let children: Vec<_> = plan.children.iter().filter(|(_, place)| **place == (*id, part)).collect();
            match supervise {
                Supervise::Running { pid, .. } => assert_eq!(children, [(&pid, &(*id, part))]),
                _ => assert!(children.is_empty(), "{supervise:?} with a child {children:?}"),
            }
        }
    }
}

/// Every state that a service can get into, by every event, at every moment that matters.
#[test]
fn every_state_keeps_the_promises() {
    let listing = vec![listed(1, "a", false)];
    let mut seen = HashSet::new();
    let mut queue = VecDeque::from([Plan::default()]);
    while let Some(plan) = queue.pop_front() {
        if !seen.insert(format!("{plan:?}")) {
            continue;
        }
        for event in events(&plan, &listing) {
            for after in [Duration::ZERO, SPACING, SCAN, LONGEST] {
                let (mut next, now) = (plan.clone(), NOW + after);
                let actions = next.step(now, event.clone());
                judge(&plan, &event, &actions, &next);
                check(&next);
                queue.push_back(normal(next, now));
            }
        }
    }
    assert!(seen.len() > 100, "only {} states were reached", seen.len());
}

fn events(plan: &Plan, listing: &[Listed]) -> Vec<Event> {
    let mut events = vec![Event::Scanned(listing.to_vec()), Event::Scanned(vec![]), Event::Asked, ALL];
    events.push(Event::Tick { room: 1 });
    let (pid, place) = (1, main(1));
    let supervise = plan.service(id(1)).and_then(|service| service.part(place.1));
    // Reports come of what was asked for, ends of what runs.
    events.extend(match supervise {
        Some(Supervise::Starting { .. }) => vec![
            Event::Started(place, pid),
            Event::Busy(place, Notice::Announced),
            Event::Busy(place, Notice::Unannounced),
            Event::NotStarted(place),
        ],
        Some(Supervise::Looking { .. }) => {
            vec![
                Event::Gone(place),
                Event::Busy(place, Notice::Announced),
                Event::Busy(place, Notice::Unannounced),
            ]
        }
        Some(Supervise::Found { .. }) => vec![Event::Gone(place)],
        _ => vec![],
    });
    events.extend([End::Killed, End::Done, End::Failed].map(|end| Event::Ended(pid, end)));
    // Two failures tell as much as two hundred.
    let failures = |service: &Service| {
        service.parts().any(|(_, s)| matches!(s, Supervise::Running { failures, .. } if failures > 1))
    };
    if plan.services.values().any(failures) {
        events.retain(|event| !matches!(event, Event::Ended(_, End::Failed)));
    }
    let failing = |service: &Service| {
        service.parts().any(|(_, s)| matches!(s, Supervise::Starting { failures } if failures > 1))
    };
    if plan.services.values().any(failing) {
        events.retain(|event| !matches!(event, Event::NotStarted(_)));
    }
    events
}

/// What must hold of every step.
fn judge(before: &Plan, event: &Event, actions: &[Action], after: &Plan) {
    for action in actions {
        match action {
            Action::Start((id, part)) => {
                let service = before.service(*id).unwrap();
                assert!(service.listed, "a service that is not listed is started");
                assert!(matches!(service.part(*part), Some(Supervise::Due { .. })), "{service:?}");
            }
            Action::Look((id, part)) => {
                assert!(matches!(before.service(*id).unwrap().part(*part), Some(Supervise::Found { .. })));
            }
            Action::Forget(id) => {
                assert!(before.service(*id).unwrap().is_idle(), "a service with a supervise is forgotten");
                let Event::Scanned(listing) = event else { panic!("{event:?} forgets") };
                assert!(listing.iter().all(|listed| listed.id != *id), "a listed service is forgotten");
            }
        }
    }
    let lost = before.services.keys().filter(|id| after.service(**id).is_none());
    assert!(
        lost.map(|id| Action::Forget(*id))
            .eq(actions.iter().copied().filter(|a| matches!(a, Action::Forget(_))))
    );
}

/// What svscan's surroundings do in a random history.
#[derive(Clone, Debug)]
enum Happening {
    Passes(u64),
    Tick(usize),
    Listing(Vec<u64>),
    Asked,
    /// The supervise of a place ends.
    Ends(u64, bool, End),
    /// Somebody else starts one, if none runs there.
    Stranger(u64, bool),
}

fn happening() -> impl Strategy<Value = Happening> {
    let end = prop_oneof![Just(End::Killed), Just(End::Done), Just(End::Failed)];
    prop_oneof![
        (0..70_000_u64).prop_map(Happening::Passes),
        (0..6_usize).prop_map(Happening::Tick),
        prop::collection::vec(0..5_u64, 0..6).prop_map(Happening::Listing),
        Just(Happening::Asked),
        (0..5_u64, any::<bool>(), end).prop_map(|(i, log, end)| Happening::Ends(i, log, end)),
        (0..5_u64, any::<bool>()).prop_map(|(i, log)| Happening::Stranger(i, log)),
    ]
}

/// The surroundings: which supervises run, ours by their pid, strangers as 0.
#[derive(Default)]
struct World {
    plan: Plan,
    now: Moment,
    runs: HashMap<Place, i32>,
    started: HashMap<Place, Moment>,
    pids: i32,
}

impl World {
    fn tell(&mut self, event: Event) {
        let before = self.plan.clone();
        let actions = self.plan.step(self.now, event.clone());
        judge(&before, &event, &actions, &self.plan);
        for action in actions {
            let report = match action {
                Action::Start(place) if self.runs.contains_key(&place) => {
                    assert_eq!(self.runs[&place], 0, "a second supervise of our own is started in {place:?}");
                    Event::Busy(place, Notice::Unannounced)
                }
                Action::Start(place) => self.start(place),
                Action::Look(place) if self.runs.contains_key(&place) => {
                    Event::Busy(place, Notice::Unannounced)
                }
                Action::Look(place) => Event::Gone(place),
                Action::Forget(id) => {
                    self.started.retain(|(of, _), _| *of != id);
                    continue;
                }
            };
            assert_eq!(self.plan.step(self.now, report), []);
        }
        check(&self.plan);
    }

    fn start(&mut self, place: Place) -> Event {
        self.pids += 1;
        self.runs.insert(place, self.pids);
        let last = self.started.insert(place, self.now);
        assert!(
            last.is_none_or(|last| last + SPACING <= self.now),
            "{place:?} is started twice within a second"
        );
        Event::Started(place, self.pids)
    }

    fn happen(&mut self, happening: Happening) {
        let place = |i, log| (id(i), if log { Part::Log } else { Part::Main });
        match happening {
            Happening::Passes(ms) => self.now += Duration::from_millis(ms),
            Happening::Tick(room) => self.tell(Event::Tick { room }),
            Happening::Listing(all) => {
                self.tell(Event::Scanned(all.into_iter().map(|i| listed(i, "s", i % 2 == 0)).collect()));
            }
            Happening::Asked => self.tell(Event::Asked),
            Happening::Ends(i, log, end) => match self.runs.remove(&place(i, log)) {
                // A stranger's end is noticed by a look.
                None | Some(0) => {}
                Some(pid) => self.tell(Event::Ended(pid, end)),
            },
            Happening::Stranger(i, log) => drop(self.runs.entry(place(i, log)).or_insert(0)),
        }
    }
}

proptest! {
    /// Whatever happens: never two supervises per part, never two starts within a second, and once all is calm
    /// every listed service runs.
    #[test]
    fn whatever_happens_the_promises_are_kept(history in prop::collection::vec(happening(), 0..200)) {
        let mut world = World::default();
        history.into_iter().for_each(|happening| world.happen(happening));
        world.happen(Happening::Listing(vec![0, 1, 2, 3, 4]));
        for _ in 0..3 {
            world.now += LONGEST;
            world.tell(ALL);
        }
        for (id, service) in world.plan.services() {
            for (part, _) in service.parts() {
                prop_assert!(world.runs.contains_key(&(*id, part)), "{id:?} {part:?} does not run");
            }
        }
        prop_assert_eq!(world.plan.services().len(), 5);
    }
}

const STATES: [(&str, Supervise); 5] = [
    ("due", Supervise::Due { at: NOW, earliest: NOW, failures: 0 }),
    ("starting", Supervise::Starting { failures: 0 }),
    ("running", Supervise::Running { pid: 1, since: NOW, failures: 0 }),
    ("found", Supervise::Found { pause: Some(LOOK), look: Some(NOW) }),
    ("looking", Supervise::Looking { pause: LOOK }),
];

fn events_by_name() -> Vec<(&'static str, Event)> {
    let place = main(1);
    vec![
        ("the moment comes", ALL),
        ("started", Event::Started(place, 1)),
        ("another one runs there", Event::Busy(place, Notice::Announced)),
        ("not started", Event::NotStarted(place)),
        ("the other one has ended", Event::Gone(place)),
        ("killed", Event::Ended(1, End::Killed)),
        ("exited with 0", Event::Ended(1, End::Done)),
        ("exited otherwise", Event::Ended(1, End::Failed)),
        ("its directory is gone, scan", Event::Scanned(vec![])),
    ]
}

/// A row per event, a column per state.
fn table() -> String {
    let heads = STATES.map(|(name, _)| name).join(" | ");
    let mut text = format!("| event | {heads} |\n|---|---|---|---|---|---|\n");
    for (what, event) in events_by_name() {
        let cells = STATES.map(|(_, supervise)| cell(supervise, event.clone()));
        text += &format!("| {what} | {} |\n", cells.join(" | "));
    }
    text
}

fn cell(supervise: Supervise, event: Event) -> String {
    let service = Service { name: "s".into(), listed: true, main: supervise, log: None };
    let children = match supervise {
        Supervise::Running { pid, .. } => HashMap::from([(pid, main(1))]),
        _ => HashMap::new(),
    };
    let services = BTreeMap::from([(id(1), service)]);
    let mut plan = Plan { agenda: Agenda::of(&services), services, children };
    let actions = plan.step(NOW, event);
    let Some(after) = plan.service(id(1)).map(|service| service.main) else { return "forgotten".into() };
    match after {
        _ if after == supervise && actions.is_empty() => "·".into(),
        Supervise::Due { at, .. } if at == NOW => "due at once".into(),
        Supervise::Due { at, .. } => format!("due in {} s", (at - NOW).as_secs()),
        Supervise::Starting { .. } => "**start**: starting".into(),
        Supervise::Looking { .. } => "**look**: looking".into(),
        Supervise::Running { .. } => "running".into(),
        Supervise::Found { .. } => "found".into(),
    }
}

#[test]
fn the_table_in_the_manual_is_this_machine() {
    let manual = include_str!("../../../docs/reference/svscan.md");
    assert!(manual.contains(&table()), "put this into docs/reference/svscan.md:\n{}", table());
}

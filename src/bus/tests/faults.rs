//! Each fault of a device, alone and in any order: what is published is true, and what is not known is said.

use super::super::{Change, Fault as Why, Happened, Heard};
use super::line::{Fault, Line, MS, PROFILE};
use proptest::prelude::*;
use std::time::Duration;

fn unread(line: &Line) -> Vec<(String, &'static str)> {
    let unread = line.told.iter().filter_map(|(_, told)| match told {
        Happened::Unread { poll, why, .. } => Some((poll.to_string(), why.name())),
        _ => None,
    });
    unread.collect()
}

#[test]
fn polls_come_and_each_value_is_its_own() {
    let mut line = Line::new(PROFILE, &[1, 2, 3]);
    line.run(Duration::from_millis(10_100));
    line.assert_true();
    let values = line.values();
    assert!(values.len() >= 6 * 10, "{}", values.len());
    assert_eq!(unread(&line), []);
    assert_eq!(line.bus.counts().timeouts, 0);
    let came = line.told.iter().filter(|(_, told)| {
        matches!(
            told,
            Happened::Device {
                change: Change::Came,
                ..
            }
        )
    });
    assert_eq!(came.count(), 3, "each is said to be there once");
}

/// Each fault, at the first request: what is said, and what was counted.
#[test]
fn each_fault_is_known_by_its_name() {
    use Fault::*;
    for (faults, name) in [
        (vec![Silent, Silent], "no-reply"),
        (vec![Garbled(9), Garbled(3)], "damaged"),
        (vec![Cut(3), Cut(2)], "damaged"),
        (vec![Foreign, Foreign], "foreign"),
        (vec![Says(2)], "refused"),
    ] {
        let mut line = Line::new(PROFILE, &[7]);
        line.faults = faults.clone();
        line.run(600 * MS);
        line.assert_true();
        assert_eq!(unread(&line).first(), Some(&("a".to_owned(), name)), "{faults:?}");
        // What a refusal says is not what the poll has read.
        let error = |told: &Happened| matches!(told, Happened::Values { poll: Some(_), record, .. } if record.kind() == "error");
        assert!(!line.told.iter().any(|(_, told)| error(told)));
    }
    for faults in [
        vec![Silent],
        vec![Garbled(9)],
        vec![Cut(3)],
        vec![Foreign],
        vec![Noise],
        vec![Twice],
    ] {
        let mut line = Line::new(PROFILE, &[7]);
        line.faults = faults.clone();
        line.run(900 * MS);
        line.assert_true();
        assert_eq!(unread(&line), [], "one more try helps: {faults:?}");
        assert_eq!(line.values().len(), 2, "{faults:?}");
    }
}

#[test]
fn a_late_reply_is_thrown_away_and_never_answers_another_poll() {
    let mut line = Line::new(PROFILE, &[7]);
    // Both tries of the first poll: their replies come while others could be awaited.
    line.faults = vec![Fault::Late(150), Fault::Late(150)];
    line.run(Duration::from_secs(3));
    line.assert_true();
    let late = line
        .told
        .iter()
        .filter(|(_, told)| matches!(told, Happened::Heard { as_: Heard::Late, .. }));
    assert!(late.count() >= 1);
    assert!(line.bus.counts().late >= 1);
}

/// A reply by any lateness, and whatever comes of the request that is sent then: found once as a late value that passed
/// for another's, behind a refusal.
#[test]
fn a_late_reply_and_any_fault_behind_it_make_no_wrong_value() {
    use Fault::*;
    for late in (0..=180).step_by(4) {
        for next in [
            None,
            Silent,
            Says(1),
            Twice,
            Cut(2),
            Garbled(9),
            Foreign,
            Noise,
            Late(60),
        ] {
            for (echo, latency) in [(false, 0), (true, 0), (false, 16)] {
                let mut line = Line::new(PROFILE, &[1, 2, 3]);
                line.faults = vec![Late(late), next];
                line.echo = echo;
                line.bus.delayed_by(latency * MS);
                line.run(Duration::from_millis(1500));
                line.assert_true();
            }
        }
    }
}

#[test]
fn an_echo_is_found_out_and_taken_off() {
    let mut line = Line::new(PROFILE, &[7]);
    line.echo = true;
    line.run(Duration::from_secs(5));
    line.assert_true();
    assert_eq!(unread(&line), []);
    assert_eq!(line.bus.counts().strays, 0, "no echo passes for a frame");
    // A device that has gone does not answer by its echo.
    line.there.clear();
    line.run(100 * MS);
    line.told.clear();
    line.run(Duration::from_secs(5));
    assert_eq!(line.values(), []);
    assert!(!unread(&line).is_empty());
}

#[test]
fn a_difference_in_the_echo_is_a_collision_and_is_sent_again() {
    let mut line = Line::new(&PROFILE.replace("broadcast", "echo = \"yes\"\nbroadcast"), &[7]);
    line.run_until(line.now + 100 * MS, |_| true);
    line.echo = true;
    // The sent frame comes back with a wrong byte in it.
    let first = line.written[0].1.clone();
    let mut wrong = first.clone();
    wrong[1] ^= 4;
    line.comes(line.now + 5 * MS, wrong);
    line.run(150 * MS);
    assert_eq!(line.bus.counts().collisions, 1);
    assert_eq!(line.written[1].1, first, "once more");
}

#[test]
fn a_line_that_is_never_silent_holds_up_nothing_for_ever() {
    let mut line = Line::new(PROFILE, &[7]);
    for n in 0..4000 {
        line.comes(line.now + n * MS, vec![0x55]);
    }
    line.run(Duration::from_secs(4));
    line.assert_true();
    assert!(line.written.len() >= 2, "{}", line.written.len());
}

#[test]
fn a_dead_device_is_said_once_tried_less_often_and_found_again() {
    let mut line = Line::new(PROFILE, &[1, 2]);
    line.run(Duration::from_secs(3));
    line.there = vec![1];
    line.told.clear();
    line.written.clear();
    line.run(Duration::from_secs(60));
    let changes = |line: &Line| {
        let changes = line.told.iter().filter_map(|(_, told)| match told {
            Happened::Device { device, change, why } => Some((*device, *change, why.clone())),
            _ => None,
        });
        changes.collect::<Vec<_>>()
    };
    assert_eq!(changes(&line), [(1, Change::Went, Some(Why::Silent))]);
    let asked = line.written.iter().filter(|(_, bytes)| bytes[0] == 2).count();
    assert!(asked < 15, "{asked} times in vain");
    let other = line.values().iter().filter(|(device, ..)| *device == 0).count();
    assert!(other >= 2 * 58, "the other keeps its rhythm: {other} of 120");
    line.there = vec![1, 2];
    line.told.clear();
    line.run(Duration::from_secs(61));
    assert_eq!(changes(&line), [(1, Change::Came, None)]);
    line.assert_true();
}

#[test]
fn a_port_that_goes_takes_its_devices_with_it_and_brings_them_back() {
    let mut line = Line::new(PROFILE, &[1]);
    line.run(Duration::from_secs(1));
    line.told.clear();
    line.bus.closed(line.now);
    line.run(Duration::ZERO);
    assert_eq!(
        unread(&line),
        [("a".to_owned(), "port-gone"), ("b".to_owned(), "port-gone")]
    );
    line.bus.opened(line.now);
    line.told.clear();
    line.run(500 * MS);
    assert_eq!(line.values().len(), 2);
}

fn fault() -> impl Strategy<Value = Fault> {
    prop_oneof![
        4 => Just(Fault::None),
        1 => Just(Fault::Silent),
        2 => (0u64..180).prop_map(Fault::Late),
        1 => (0usize..5).prop_map(Fault::Cut),
        1 => (0usize..40).prop_map(Fault::Garbled),
        1 => Just(Fault::Foreign),
        1 => Just(Fault::Twice),
        1 => (1u8..3).prop_map(Fault::Says),
        1 => Just(Fault::Noise),
    ]
}

proptest! {
    /// Whatever goes wrong, in any order, no value is ever another one's, and the line goes on. A reply may be as late
    /// as twice the time-out: of one that is later still, nobody could say what it answers.
    #[test]
    fn no_wrong_value_ever(
        faults in prop::collection::vec(fault(), 0..60),
        echo: bool,
        latency in prop_oneof![Just(0u32), 1u32..20],
    ) {
        let mut line = Line::new(PROFILE, &[1, 2, 3]);
        line.faults = faults;
        line.echo = echo;
        line.bus.delayed_by(latency * MS);
        line.run(Duration::from_secs(40));
        line.assert_true();
        // When the faults are over, all is as it was.
        line.faults.clear();
        line.run(Duration::from_secs(61));
        line.told.clear();
        line.run(Duration::from_secs(3));
        prop_assert!(line.values().len() >= 6 * 2);
        prop_assert!(unread(&line).is_empty());
    }
}

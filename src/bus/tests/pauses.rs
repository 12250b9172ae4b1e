//! Devices that take their time, and adapters that do: who may have the line meanwhile.

use super::super::{Bus, Happened, Life, Order, Policy, What};
use super::line::{CHAR, Fault, Line, MS, PROFILE, made};
use std::time::{Duration, Instant};

/// Two devices, the first of which takes half a second between its two replies.
fn slow(shared: bool) -> Line {
    let two = format!(
        "[[poll]]\nname = \"slow\"\nevery = \"2s\"\n\
         step = [\n  {{ command = \"read\", with = {{ what = 1 }}, wait = \"500ms\", shared = {shared} }},\n  \
         {{ command = \"read\", with = {{ what = 2 }} }},\n]\n"
    );
    let (kinds, _) = PROFILE.split_once("[[poll]]").unwrap();
    let quick = PROFILE.replace("1s", "50ms");
    let mut line = Line::new(&quick, &[1, 2]);
    let mut devices = made(&format!("{kinds}{two}"), &[1]);
    devices.extend(made(&quick, &[2]));
    let policy = Policy {
        queue: 8,
        ..Policy::default()
    };
    line.bus = Bus::new(devices, vec![policy], 9600, CHAR, line.now);
    line
}

#[test]
fn others_may_have_the_line_while_a_device_takes_its_time() {
    let between = |shared: bool| {
        let mut line = slow(shared);
        line.run(Duration::from_secs(10));
        line.assert_true();
        assert_eq!(line.bus.counts().timeouts, 0);
        let requests: Vec<u8> = line.written.iter().map(|(_, bytes)| bytes[0]).collect();
        let own = line.written.iter().filter(|(_, bytes)| bytes[0] == 1);
        let times: Vec<Instant> = own.map(|(at, _)| *at).collect();
        for pair in times.chunks_exact(2) {
            assert!(pair[1] - pair[0] >= 500 * MS, "its pause is kept");
            assert!(pair[1] - pair[0] <= 600 * MS, "and it goes on then");
        }
        assert!(times.len() >= 8, "{}", times.len());
        requests.windows(2).filter(|pair| *pair == [1, 1]).count()
    };
    assert_eq!(between(true), 0, "the other is asked in each pause");
    assert!(between(false) >= 4);
}

#[test]
fn a_device_in_its_pause_is_asked_for_nothing_else_and_goes_with_its_port() {
    let mut line = slow(true);
    line.run_until(line.now + 50 * MS, |told| {
        matches!(told, Happened::Values { device: 0, .. })
    });
    line.written.clear();
    let order = Order {
        what: What::Read(0),
        ..line.order(5, 0, 0)
    };
    line.bus.push(order);
    line.run(400 * MS);
    assert!(
        line.written.iter().all(|(_, bytes)| bytes[0] == 2),
        "{:?}",
        line.written
    );
    assert!(!line.written.is_empty());
    line.run(900 * MS);
    assert_eq!(line.lives()[&5].last().map(|life| life.name()), Some("answered"));
    // A command in its pause ends with the port.
    line.bus.push(Order {
        what: What::Read(0),
        ..line.order(6, 0, 0)
    });
    line.run_until(line.now + Duration::from_secs(5), |told| {
        matches!(
            told,
            Happened::Command {
                ticket: 6,
                life: Life::Sent(_)
            }
        )
    });
    line.run(100 * MS);
    line.bus.closed(line.now);
    line.run(Duration::ZERO);
    assert_eq!(line.lives()[&6].last(), Some(&&Life::Dropped("cut-off")));
}

#[test]
fn an_adapter_that_is_late_costs_nothing_but_where_something_may_be_on_its_way() {
    let run = |latency: Duration, fault: Fault| {
        let mut line = Line::new(PROFILE, &[7]);
        line.bus.delayed_by(latency);
        line.faults = vec![Fault::None, fault];
        line.run(Duration::from_secs(2));
        line.assert_true();
        let times: Vec<Instant> = line.written.iter().map(|(at, _)| *at).collect();
        (
            line.bus.counts().timeouts,
            times[1] - times[0],
            times[2] - times[1],
        )
    };
    // Later than the time-out, but not by as much as the adapter may be.
    let late = Fault::Late(95);
    let (timeouts, good, _) = run(Duration::ZERO, late);
    let (timeouts_behind, good_behind, _) = run(16 * MS, late);
    assert_eq!((timeouts, timeouts_behind), (1, 0));
    assert_eq!(good, good_behind, "a reply that is whole has nothing behind it");
    // What is asked behind a time-out waits until nothing can be hidden any more.
    let (_, _, again) = run(Duration::ZERO, Fault::Silent);
    let (_, _, again_behind) = run(16 * MS, Fault::Silent);
    assert_eq!(again_behind, again + 16 * MS);
}

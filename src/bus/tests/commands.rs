//! The life of commands: each ends once, and the line saw what is said to have been sent.

use super::super::{Happened, Life, Order, Verify, What};
use super::line::{Fault, Line, MS, PROFILE, crc};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::time::Duration;

#[test]
fn a_command_is_answered_refused_or_timed_out() {
    for (fault, end) in [
        (Fault::None, "answered"),
        (Fault::Says(2), "refused"),
        (Fault::Silent, "timed-out"),
    ] {
        let mut line = Line::new(PROFILE, &[1]);
        line.run(200 * MS);
        line.faults = vec![fault];
        line.bus.push(line.order(7, 0, 5));
        line.run(300 * MS);
        let lives = line.lives();
        let names: Vec<&str> = lives[&7].iter().map(|life| life.name()).collect();
        assert_eq!(names, ["sent", end]);
        if let Life::Refused(why) = lives[&7][1] {
            assert_eq!(why, "not now");
        }
    }
}

#[test]
fn a_broadcast_costs_no_time_out() {
    let mut line = Line::new(PROFILE, &[1]);
    line.run(200 * MS);
    let mut order = line.order(7, 0, 5);
    order.what = What::Frame {
        bytes: crc(vec![0, 6, 0, 5]).into(),
        reply: super::super::Reply::None,
        timeout: None,
    };
    line.bus.push(order.clone());
    line.run(300 * MS);
    assert_eq!(line.lives()[&7], [&Life::Sent(1), &Life::Done]);
    assert_eq!(line.bus.counts().timeouts, 0);
    // Nor does it fail when the port goes right behind it.
    let order = Order { ticket: 8, ..order };
    line.bus.push(order);
    line.run_until(line.now + 300 * MS, |told| {
        matches!(
            told,
            Happened::Command {
                life: Life::Sent(_),
                ..
            }
        )
    });
    line.bus.closed(line.now);
    line.run(Duration::ZERO);
    assert_eq!(line.lives()[&8], [&Life::Sent(1), &Life::Done]);
}

#[test]
fn what_was_written_is_read_back() {
    let wanted = |value: u16| vec![("a".to_owned(), serde_json::json!(value))];
    for (value, end) in [(0x0101, "verified"), (7, "unverified")] {
        let mut line = Line::new(PROFILE, &[1]);
        line.run(200 * MS);
        let mut order = line.order(7, 0, 5);
        order.verify = Some(Verify {
            poll: 0,
            wanted: wanted(value),
        });
        line.bus.push(order);
        line.run(300 * MS);
        let lives = line.lives();
        let names: Vec<&str> = lives[&7].iter().map(|life| life.name()).collect();
        assert_eq!(names, ["sent", "answered", end]);
    }
}

#[test]
fn a_read_that_somebody_waits_for_goes_before_the_polls() {
    let mut line = Line::new(PROFILE, &[1]);
    line.run(200 * MS);
    let mut order = line.order(7, 0, 0);
    order.what = What::Read(1);
    line.told.clear();
    line.bus.push(order);
    line.run(100 * MS);
    assert_eq!(line.values(), [(0, "b".to_owned(), 258.0)]);
    assert!(matches!(
        line.lives()[&7][..],
        [Life::Sent(1), Life::Answered(Some(_))]
    ));
}

#[test]
fn a_command_is_on_the_wire_within_one_transaction_and_polls_do_not_starve() {
    let mut line = Line::new(&PROFILE.replace("1s", "100ms"), &[1, 2]);
    line.run(500 * MS);
    let before = line.written.len();
    line.bus.push(line.order(1, 0, 1));
    line.run(100 * MS);
    let place = line.written[before..].iter().position(|(_, bytes)| bytes[1] == 6);
    assert!(place.is_some_and(|place| place <= 1), "{place:?}");
    // With no end of commands, a poll has its turn after some of them.
    for ticket in 10..200 {
        line.bus.push(line.order(ticket, 0, 1));
    }
    line.written.clear();
    line.run(Duration::from_secs(5));
    let mut row = 0;
    for (_, bytes) in &line.written {
        row = if bytes[1] == 6 { row + 1 } else { 0 };
        assert!(row <= 4, "more than four commands in a row");
    }
    assert!(line.written.len() > 100);
}

fn fault(n: u64) -> Fault {
    // A sequence that does not repeat soon, by the middle bits of a product.
    match (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 33) % 12 {
        0 => Fault::Silent,
        1 => Fault::Late(n % 250),
        2 => Fault::Cut(n as usize % 5),
        3 => Fault::Garbled(n as usize % 40),
        4 => Fault::Foreign,
        5 => Fault::Twice,
        6 => Fault::Says(2),
        7 => Fault::Noise,
        _ => Fault::None,
    }
}

/// Runs so many commands through faults and port losses; gives how many ended in which way.
fn many(count: u64, retries: u8) -> BTreeMap<&'static str, u64> {
    let mut line = Line::new(PROFILE, &[1, 2, 3]);
    line.run(200 * MS);
    for ticket in 0..count {
        let mut order = line.order(ticket, (ticket % 3) as usize, ticket as u16);
        order.retries = retries;
        // Some give up soon, some later.
        order.expires = line.now + Duration::from_millis(100 + 400 * (ticket % 7));
        if ticket % 11 == 0 {
            order.verify = Some(Verify {
                poll: 0,
                wanted: Vec::new(),
            });
        }
        line.bus.push(order);
        line.faults = (0..3).map(|k| fault(3 * ticket + k)).collect();
        line.run((20 + ticket % 60) as u32 * MS);
        if ticket % 997 == 996 {
            line.bus.closed(line.now);
            line.run(Duration::ZERO);
            line.bus.opened(line.now);
        }
    }
    line.faults.clear();
    line.run(Duration::from_secs(30));
    line.assert_true();
    let mut ends = BTreeMap::new();
    let lives = line.lives();
    assert_eq!(lives.len() as u64, count, "each has a life");
    let mut sent: BTreeMap<u16, u64> = BTreeMap::new();
    for (ticket, lives) in &lives {
        let verified = ticket % 11 == 0;
        let ended: Vec<_> = lives.iter().filter(|life| life.is_end(verified)).collect();
        assert_eq!(ended.len(), 1, "{ticket}: {lives:?}");
        assert!(
            lives.last().is_some_and(|life| life.is_end(verified)),
            "{ticket}: {lives:?}"
        );
        *ends.entry(ended[0].name()).or_default() += 1;
        let tries = lives.iter().filter(|life| matches!(life, Life::Sent(_))).count() as u64;
        *sent.entry(*ticket as u16).or_default() += tries;
    }
    // The line saw each try, and no other.
    let mut seen: BTreeMap<u16, u64> = BTreeMap::new();
    for (_, bytes) in line.written.iter().filter(|(_, bytes)| bytes[1] == 6) {
        *seen.entry(u16::from_be_bytes([bytes[2], bytes[3]])).or_default() += 1;
    }
    sent.retain(|_, tries| *tries > 0);
    assert_eq!(seen, sent);
    ends
}

#[test]
fn ten_thousand_commands_end_once_each_and_the_line_saw_each_try() {
    let ends = many(10_000, 0);
    for end in [
        "answered",
        "refused",
        "timed-out",
        "expired",
        "verified",
        "unverified",
    ] {
        assert!(
            ends.get(end).is_some_and(|count| *count > 0),
            "none was {end}: {ends:?}"
        );
    }
    many(2_000, 2);
}

#[test]
fn a_later_command_takes_the_place_of_one_that_waits() {
    let mut line = Line::new(PROFILE, &[1]);
    let policy = super::super::Policy {
        queue: 2,
        replace: true,
        ..Default::default()
    };
    line.bus.orders = super::super::order::Orders::new(vec![policy]);
    for ticket in 0..3 {
        line.bus.push(line.order(ticket, 0, ticket as u16));
    }
    line.run(300 * MS);
    let lives = line.lives();
    assert_eq!(lives[&0], [&Life::Dropped("replaced")]);
    assert_eq!(lives[&1], [&Life::Dropped("replaced")]);
    assert!(matches!(lives[&2][..], [Life::Sent(1), Life::Answered(_)]));
    let asked = line
        .told
        .iter()
        .filter(|(_, told)| matches!(told, Happened::Sent { bytes, .. } if bytes[1] == 6));
    assert_eq!(asked.count(), 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn a_full_queue_loses_none_without_a_word(queue in 1usize..6, drop_oldest: bool, count in 1u64..40) {
        let mut line = Line::new(PROFILE, &[1]);
        let policy = super::super::Policy { queue, drop_oldest, ..Default::default() };
        line.bus.orders = super::super::order::Orders::new(vec![policy]);
        for ticket in 0..count {
            line.bus.push(line.order(ticket, 0, ticket as u16));
            if ticket % 3 == 0 {
                line.run(10 * MS);
            }
        }
        line.run(Duration::from_secs(5));
        prop_assert_eq!(line.lives().len() as u64, count);
        for lives in line.lives().values() {
            prop_assert_eq!(lives.iter().filter(|life| life.is_end(false)).count(), 1);
        }
    }
}

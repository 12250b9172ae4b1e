//! A line that takes its time: turned before what is sent and back behind it, with breaks that wake a device, and with
//! frames that begin where the line says so.

use super::super::{Bus, Device, Happened, Life, Next, Order, Own, Plan, Policy, Reply, What};
use super::line::{CHAR, MS};
use crate::config::device;
use crate::profile::{Profile, asked};
use crate::topic::Topic;
use std::time::{Duration, Instant};

/// Lines of four bytes: a question, an answer.
const PROFILE: &str = r#"
    frame = { line = { end = "\n" } }
    [bus]
    echo = "yes"
    timeout = "50ms"
    turnaround = "1ms"
    silence = "4ms"
    retries = 0
    [[kind]]
    name = "value"
    when = { matches = "^[0-9]+$" }
    decode = { regex = "^(?<value>.*)$" }
    fields = [{ name = "value", type = "decimal" }]
"#;

fn made(poll: &str, delays: (Duration, Duration), echo: Option<bool>) -> Device {
    let text = format!("{PROFILE}{poll}");
    let read = device::parse(&text, "test").unwrap_or_else(|faults| panic!("{}", faults.render(false)));
    let profile = Profile::new(&read.config, CHAR).unwrap();
    let own = Own {
        delays,
        echo,
        ..Own::default()
    };
    Device::new(&read.config, profile, own, CHAR).unwrap()
}

const POLL: &str = "[[poll]]\nname = 'p'\nevery = '1s'\ntext = 'ask'\nreply-length = 4";

/// The request that the bus has in hand, and the break before it.
fn asks(bus: &mut Bus, now: Instant) -> Option<(Vec<u8>, Duration)> {
    match bus.next(now, true) {
        Next::Write(bytes, wake) => Some((bytes.to_vec(), wake)),
        _ => None,
    }
}

fn values(bus: &mut Bus) -> Vec<f64> {
    let mut values = Vec::new();
    while let Some(happened) = bus.happened() {
        if let Happened::Values { record, .. } = happened {
            values.extend(record.get("value").and_then(|entry| entry.value.number()));
        }
    }
    values
}

#[test]
fn the_plan_counts_the_delays_and_the_breaks() {
    let row = |poll: &str, delays: (u32, u32)| {
        let device = made(poll, (delays.0 * MS, delays.1 * MS), None);
        Plan::new(&[device], CHAR).rows.remove(0)
    };
    assert_eq!(row(POLL, (0, 0)).turning, Duration::ZERO);
    // Nobody answers in the 5 ms behind it, of which the device takes 1 ms in any case.
    let turned = row(POLL, (2, 5));
    assert_eq!(turned.turning, 6 * MS);
    assert_eq!(turned.time, row(POLL, (0, 0)).time + 6 * MS);
    assert!(turned.to_string().contains(" + 6.0 ms turning = "), "{turned}");
    let steps = "[[poll]]\nname = 'p'\nstep = [{ break = '20ms', silent = true }, { text = 'ask' }]";
    assert_eq!(row(steps, (2, 5)).turning, 2 * MS + 20 * MS + 5 * MS + 6 * MS);
}

#[test]
fn the_time_out_begins_when_the_last_bit_has_left() {
    let start = Instant::now();
    let device = made(POLL, (10 * MS, 3 * MS), Some(false));
    let mut bus = Bus::new(vec![device], Vec::new(), 9600, CHAR, start);
    let now = start + 4 * MS;
    assert_eq!(asks(&mut bus, now), Some((b"ask\n".to_vec(), Duration::ZERO)));
    // The kernel has it at once, and turns the line by itself.
    bus.wrote(4, now);
    let wire = now + 10 * MS + CHAR * 4;
    assert_eq!(bus.deadline(now, true), Some(wire + 50 * MS));
    bus.received(b"17\n", wire + 49 * MS);
    assert_eq!(values(&mut bus), [17.0]);
}

#[test]
fn nothing_is_asked_while_the_line_is_still_turned() {
    let start = Instant::now();
    let steps = "[[poll]]\nname = 'p'\nstep = [{ text = 'one', silent = true }, { text = 'two' }]";
    let device = made(steps, (Duration::ZERO, 30 * MS), None);
    let mut bus = Bus::new(vec![device], Vec::new(), 9600, CHAR, start);
    let now = start + 4 * MS;
    assert_eq!(asks(&mut bus, now), Some((b"one\n".to_vec(), Duration::ZERO)));
    bus.wrote(4, now);
    let free = now + CHAR * 4 + 30 * MS;
    let mut at = now;
    let mut two = None;
    while two.is_none() && at < free + MS {
        at = bus.deadline(at, true).unwrap_or(free).max(at + MS / 100);
        bus.time(at);
        two = asks(&mut bus, at);
    }
    assert_eq!(two, Some((b"two\n".to_vec(), Duration::ZERO)));
    assert!(at >= free, "{:?} too early", free - at);
}

#[test]
fn a_break_may_be_all_that_a_step_sends() {
    let start = Instant::now();
    let steps =
        "[[poll]]\nname = 'p'\nstep = [{ break = '20ms', silent = true }, { text = 'ask', break = '5ms' }]";
    let mut bus = Bus::new(
        vec![made(steps, Default::default(), Some(false))],
        Vec::new(),
        9600,
        CHAR,
        start,
    );
    let mut now = start + 4 * MS;
    assert_eq!(asks(&mut bus, now), Some((Vec::new(), 20 * MS)));
    now += 21 * MS;
    bus.wrote(0, now);
    assert_eq!(bus.counts().requests, 0, "a break asks for nothing");
    bus.time(now);
    now = bus.deadline(now, true).unwrap_or(now);
    bus.time(now);
    now += 4 * MS;
    assert_eq!(asks(&mut bus, now), Some((b"ask\n".to_vec(), 5 * MS)));
    now += 6 * MS;
    bus.wrote(4, now);
    bus.received(b"3\n", now + 20 * MS);
    assert_eq!(values(&mut bus), [3.0]);
    assert_eq!(bus.counts().requests, 1);
}

#[test]
fn a_command_entry_has_a_break_of_its_own_before_each_try() {
    let start = Instant::now();
    let policy = Policy {
        queue: 4,
        wake: 7 * MS,
        ..Policy::default()
    };
    let device = made(POLL, Default::default(), Some(false));
    let mut bus = Bus::new(vec![device], vec![policy], 9600, CHAR, start);
    bus.push(Order {
        ticket: 1,
        entry: 0,
        device: 0,
        topic: Topic::parse("set").unwrap(),
        what: What::Frame {
            bytes: b"set\n"[..].into(),
            reply: Reply::Any,
            timeout: None,
        },
        retries: 1,
        expires: start + 3600 * 1000 * MS,
        verify: None,
    });
    let mut now = start + 4 * MS;
    let (mut asked, mut ended) = (Vec::new(), None);
    while ended.is_none() && asked.len() < 9 {
        if let Some((bytes, wake)) = asks(&mut bus, now) {
            bus.wrote(bytes.len(), now);
            asked.push((String::from_utf8(bytes).unwrap(), wake));
        }
        now = bus.deadline(now, true).unwrap_or(now).max(now + MS / 100);
        bus.time(now);
        while let Some(happened) = bus.happened() {
            if let Happened::Command { life, .. } = happened
                && life.is_end(false)
            {
                ended = Some(life);
            }
        }
    }
    assert!(matches!(ended, Some(Life::TimedOut(_))), "{ended:?}");
    let set = ("set\n".to_owned(), 7 * MS);
    let sets: Vec<_> = asked.iter().filter(|(text, _)| text == "set\n").collect();
    assert_eq!(sets, [&set, &set]);
    assert!(asked.iter().all(|(text, wake)| text == "set\n" || wake.is_zero()));
}

#[test]
fn the_line_knows_better_than_the_profile_whether_there_is_an_echo() {
    for (said, echo, got) in [
        (Some(false), &b""[..], vec![8.0]),
        (None, b"ask\n", vec![8.0]),
        (Some(true), b"ask\n", vec![8.0]),
        (Some(true), b"", vec![]),
    ] {
        let start = Instant::now();
        let device = made(POLL, Default::default(), said);
        assert_eq!(device.rules.echo == asked::Echo::No, said == Some(false));
        let mut bus = Bus::new(vec![device], Vec::new(), 9600, CHAR, start);
        let now = start + 4 * MS;
        assert!(asks(&mut bus, now).is_some());
        bus.wrote(4, now);
        let reply = [echo, b"8\n"].concat();
        bus.received(&reply, now + 10 * MS);
        assert_eq!(values(&mut bus), got, "{said:?}");
    }
}

#[test]
fn what_came_before_the_line_said_that_a_frame_begins_is_no_part_of_it() {
    let start = Instant::now();
    let mut bus = Bus::new(
        vec![made(POLL, Default::default(), Some(false))],
        Vec::new(),
        9600,
        CHAR,
        start,
    );
    let now = start + 4 * MS;
    assert!(asks(&mut bus, now).is_some());
    bus.wrote(4, now);
    bus.received(b"99", now + 10 * MS);
    bus.cut(now + 10 * MS);
    bus.received(b"8\n", now + 12 * MS);
    assert_eq!(values(&mut bus), [8.0]);
}

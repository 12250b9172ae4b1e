//! Dialogues of several steps: sessions for each request, changes of speed, devices that are not ready yet, joined
//! polls that are refused, and polls that a device does not have.

use super::super::{Bus, Device, Happened, Next, Own};
use super::line::MS;
use crate::config::device;
use crate::profile::{Profile, asked};
use std::time::{Duration, Instant};

const CHAR: Duration = Duration::from_micros(1042);

/// Lines: a question, an answer.
const FRAME: &str = r#"
    frame = { line = { end = "\n" } }
    [bus]
    echo = "no"
    timeout = "100ms"
    retries = 0
    [[kind]]
    name = "no"
    means = "error"
    when = { starts-with = "E" }
    decode = { regex = "^E(?<error>.*)$" }
    fields = [{ name = "error" }]
    [[kind]]
    name = "busy"
    means = "ack"
    when = { starts-with = "B" }
    [[kind]]
    name = "ok"
    means = "ack"
    when = { starts-with = "K" }
    [[kind]]
    name = "value"
    when = { matches = "^[0-9]+$" }
    decode = { regex = "^(?<value>.*)$" }
    fields = [{ name = "value", type = "decimal" }]
"#;

/// What was written and set on the line, and the values and faults that came.
#[derive(Debug, Default)]
struct Seen {
    line: Vec<String>,
    values: Vec<f64>,
    faults: Vec<String>,
}

fn made(text: &str, change: impl Fn(&mut crate::profile::Config)) -> Device {
    let text = format!("{FRAME}{text}");
    let read = device::parse(&text, "test").unwrap_or_else(|faults| panic!("{}", faults.render(false)));
    let mut config = read.config;
    change(&mut config);
    let profile = Profile::new(&config, CHAR).unwrap();
    Device::new(&config, profile, Own::default(), CHAR).unwrap()
}

/// Runs a device for so long against what answers it.
fn run(device: Device, time: Duration, mut answer: impl FnMut(&str) -> &'static str) -> Seen {
    let mut now = Instant::now();
    let end = now + time;
    let mut bus = Bus::new(vec![device], Vec::new(), 9600, CHAR, now);
    let mut seen = Seen::default();
    let mut coming: Option<(Instant, &str)> = None;
    while now < end {
        match bus.next(now, true) {
            Next::Write(bytes, _) => {
                let bytes = bytes.to_vec();
                bus.wrote(bytes.len(), now);
                let asked = String::from_utf8(bytes).unwrap().trim_end().to_owned();
                let reply = answer(&asked);
                seen.line.push(asked);
                coming = (!reply.is_empty()).then_some((now + 30 * MS, reply));
                continue;
            }
            Next::Baud(baud) => {
                seen.line.push(format!("{baud} baud"));
                continue;
            }
            Next::Idle => {}
        }
        while let Some(happened) = bus.happened() {
            match happened {
                Happened::Values { record, .. } => {
                    seen.values
                        .extend(record.get("value").and_then(|entry| entry.value.number()));
                }
                Happened::Unread { poll, why, .. } => seen.faults.push(format!("{poll}: {why}")),
                _ => {}
            }
        }
        let next = bus
            .deadline(now, true)
            .into_iter()
            .chain(coming.map(|(at, _)| at))
            .min();
        now = next.unwrap_or(end).max(now);
        if let Some((_, reply)) = coming.take_if(|(at, _)| *at <= now) {
            bus.received(format!("{reply}\n").as_bytes(), now);
        }
        bus.time(now);
    }
    seen
}

#[test]
fn a_session_for_each_request_is_opened_and_closed_and_the_speed_goes_back() {
    let device = made(
        r#"
        [session]
        each = true
        [[session.step]]
        text = "hello"
        reply = ["ok"]
        baud = 19200
        [[session.close]]
        text = "bye"
        silent = true
        [[poll]]
        name = "value"
        every = "10s"
        text = "get"
        reply = ["value"]
        "#,
        |_| {},
    );
    let seen = run(device, Duration::from_secs(5), |asked| match asked {
        "hello" => "K",
        _ => "42",
    });
    assert_eq!(seen.line, ["hello", "19200 baud", "get", "bye", "9600 baud"]);
    assert_eq!(seen.values, [42.0]);
}

#[test]
fn a_session_that_cannot_be_opened_is_said_so() {
    let device = made(
        "[session]\n[[session.step]]\ntext = \"hello\"\nreply = [\"ok\"]\n[[poll]]\nname = \"value\"\nevery = \"10s\"\ntext = \"get\"\n",
        |_| {},
    );
    let seen = run(device, Duration::from_secs(5), |_| "Ewrong password");
    assert_eq!(seen.line, ["hello"]);
    assert_eq!(
        seen.faults,
        ["value: the session can't be opened: the device refuses: wrong password"]
    );
}

#[test]
fn a_device_that_is_busy_is_asked_again_and_not_for_ever() {
    let poll = "[[poll]]\nname = \"value\"\nevery = \"60s\"\n[[poll.step]]\ntext = \"get\"\nreply = [\"value\"]\nrepeat = 3\nwait = \"1s\"\n";
    let mut times = 0;
    let seen = run(made(poll, |_| {}), Duration::from_secs(20), |_| {
        times += 1;
        if times > 2 { "7" } else { "B" }
    });
    assert_eq!((seen.line.len(), seen.values), (3, vec![7.0]));
    let seen = run(made(poll, |_| {}), Duration::from_secs(20), |_| "B");
    assert_eq!(seen.line.len(), 4);
    assert_eq!(seen.faults, ["value: the device is not ready"]);
}

#[test]
fn a_joined_poll_that_is_refused_is_asked_for_in_parts_from_then_on() {
    let device = made(
        "[[poll]]\nname = \"all\"\nevery = \"1s\"\ntext = \"all\"\n",
        |config| {
            let part = |name: &str, optional| asked::Poll {
                name: name.to_owned(),
                text: Some(name.to_owned()),
                optional,
                ..asked::Poll::default()
            };
            config.poll[0].parts = vec![part("first", false), part("second", true)];
        },
    );
    let seen = run(device, Duration::from_millis(2900), |asked| match asked {
        "all" => "Etoo long",
        "first" => "1",
        _ => "Eno such thing",
    });
    // The part that the device does not have is asked for once.
    assert_eq!(seen.line, ["all", "first", "second", "first", "first"]);
    assert_eq!(seen.values, [1.0, 1.0, 1.0]);
    assert_eq!(seen.faults, ["second: the device refuses: no such thing"]);
}

#[test]
fn what_a_device_does_not_have_is_asked_for_once() {
    let poll = "[[poll]]\nname = \"extra\"\nevery = \"1s\"\ntext = \"extra\"\noptional = true\n";
    let seen = run(made(poll, |_| {}), Duration::from_secs(5), |_| "Eno such thing");
    assert_eq!(seen.line, ["extra"]);
}

#[test]
fn a_session_is_opened_again_when_it_has_been_idle() {
    let text = "[session]\nidle = \"5s\"\n[[session.step]]\ntext = \"hello\"\nreply = [\"ok\"]\n\
        [[poll]]\nname = \"value\"\nevery = \"2s\"\ntext = \"get\"\nreply = [\"value\"]\n";
    let often = run(
        made(text, |_| {}),
        Duration::from_millis(7500),
        |asked| match asked {
            "hello" => "K",
            _ => "1",
        },
    );
    assert_eq!(
        often.line.iter().filter(|asked| *asked == "hello").count(),
        1,
        "{often:?}"
    );
    let text = text.replace("2s", "20s");
    let seldom = run(
        made(&text, |_| {}),
        Duration::from_secs(50),
        |asked| match asked {
            "hello" => "K",
            _ => "1",
        },
    );
    assert_eq!(seldom.line.len(), 6, "{seldom:?}");
}

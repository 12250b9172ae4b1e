//! Many commands through faults, on lines to devices that misbehave at random: each ends once, and the line saw each try.

use super::matrix::profile;
use crate::support::{Faulty, LEVEL, PATIENCE, SET, Setup, Tongue};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

/// How many commands there are.
const COMMANDS: u16 = 10_000;
/// How many lines they are for.
const LINES: u16 = 8;
/// So many of a line wait for their ends at once.
const ABREAST: usize = 24;
/// How long a reply is waited for.
const TIMEOUT: Duration = Duration::from_millis(40);

/// The entry that a command is of, by its number: sent twice, once and soon too old, or read back.
fn entry(n: u16) -> &'static str {
    match n % 5 {
        0 => "sure",
        1 | 2 => "brief",
        _ => "set",
    }
}

fn ports(lines: &[Faulty]) -> String {
    let mut text = String::new();
    for (line, meters) in lines.iter().enumerate() {
        let _ = write!(
            text,
            r#"
            [[port]]
            name = "line-{line}"
            path = {path:?}
            baud = 115200
            [[port.publish]]
            topic = "home/{line}/{{{{ device }}}}/{{{{ field }}}}"
            [[port.device]]
            name = "one"
            address = 1
            profile = "own"
            [[port.command]]
            topic = "storm/{line}/{{{{ device }}}}/set/+"
            command = "level"
            retries = 1
            queue = 1000
            expire = "10min"
            result = true
            [[port.command]]
            topic = "storm/{line}/{{{{ device }}}}/brief/+"
            command = "level"
            queue = 4
            expire = "100ms"
            result = true
            [[port.command]]
            topic = "storm/{line}/{{{{ device }}}}/sure/+"
            command = "level"
            verify = "level"
            queue = 1000
            expire = "10min"
            result = true
            "#,
            path = meters.path(),
        );
    }
    text
}

/// What is told of a command.
#[derive(Debug, Default)]
struct Told {
    states: Vec<String>,
    ends: usize,
    tries: usize,
    cut_off: bool,
}

#[test]
fn ten_thousand_commands_end_once_each_and_each_try_is_on_the_line() {
    let lines: Vec<Faulty> = (0..LINES).map(|_| Faulty::new(Tongue::Own, TIMEOUT)).collect();
    let daemon = Setup::new(&ports(&lines))
        .profile("own", &profile(false, TIMEOUT))
        .start();
    let mut client = daemon.client("commander");
    client.subscribe("storm/+/one/+/+/result", 1);
    client.subscribe("home/#", 0);
    let names: Vec<String> = (0..LINES).map(|line| format!("line-{line}")).collect();
    daemon.wait_ports(&names.iter().map(String::as_str).collect::<Vec<_>>(), "open");
    for (seed, meters) in (1..).zip(&lines) {
        meters.storm(&[SET, LEVEL[0]], seed);
    }

    let mut told: BTreeMap<u16, Told> = BTreeMap::new();
    let mut waiting = vec![0; usize::from(LINES)];
    let (mut next, mut ended) = (0, 0);
    let mut heard = Instant::now();
    // The last of each line goes when all others have ended: whatever is told of those comes before its end.
    while ended < usize::from(COMMANDS + LINES) {
        if next == COMMANDS && ended == usize::from(COMMANDS) {
            lines.iter().for_each(Faulty::disarm);
        }
        let most = COMMANDS + if ended >= usize::from(COMMANDS) { LINES } else { 0 };
        while next < most && waiting[usize::from(next % LINES)] < ABREAST {
            let topic = format!("storm/{}/one/{}/{next}", next % LINES, entry(next));
            client.publish(&topic, next.to_string().as_bytes(), 1, false);
            waiting[usize::from(next % LINES)] += 1;
            next += 1;
        }
        let Some(message) = client.next_within(Duration::from_millis(100)) else {
            assert!(heard.elapsed() < PATIENCE, "{ended} of {next} have ended");
            continue;
        };
        heard = Instant::now();
        let levels: Vec<&str> = message.topic.split('/').collect();
        if levels[0] == "home" {
            let (line, value) = (
                levels[1].parse::<usize>().unwrap(),
                message.text().parse().unwrap(),
            );
            let key = format!("1/{}", levels[3]);
            assert!(lines[line].is_true(&key, value), "{}: {value}", message.topic);
            continue;
        }
        let number: u16 = levels[4].parse().unwrap();
        let json: Value = serde_json::from_slice(&message.payload).unwrap();
        let command = told.entry(number).or_default();
        let state = json["state"].as_str().unwrap();
        command.states.push(state.to_owned());
        command.tries = json["tries"].as_u64().unwrap_or(0) as usize;
        command.cut_off |= json["reason"] == "cut-off";
        if json["final"] == true {
            command.ends += 1;
            ended += 1;
            waiting[usize::from(number % LINES)] -= 1;
        }
    }

    let mut ends: BTreeMap<&str, usize> = BTreeMap::new();
    let mut seen: BTreeMap<u16, usize> = BTreeMap::new();
    for meters in &lines {
        for request in meters.requests().iter().filter(|request| request[1] == SET) {
            *seen
                .entry(u16::from_be_bytes([request[2], request[3]]))
                .or_default() += 1;
        }
    }
    assert_eq!(told.len(), usize::from(COMMANDS + LINES), "each is told of");
    for (number, command) in &told {
        assert_eq!(command.ends, 1, "{number}: {command:?}");
        assert_eq!(command.states[0], "queued", "{number}: {command:?}");
        let sent = command.states.iter().filter(|state| *state == "sent").count();
        assert_eq!(command.tries, sent, "{number}: {command:?}");
        let seen = seen.get(number).copied().unwrap_or(0);
        // What is written to a line while it is pulled out may be lost there.
        let lost = command.cut_off && seen + 1 == sent;
        assert!(seen == sent || lost, "{number}: {seen} on the line, {command:?}");
        *ends.entry(command.states.last().unwrap()).or_default() += 1;
    }
    println!("{ends:?}");
    for end in [
        "answered",
        "timed-out",
        "expired",
        "dropped",
        "verified",
        "unverified",
    ] {
        assert!(ends.get(end).is_some_and(|count| *count > 10), "{end}: {ends:?}");
    }
}

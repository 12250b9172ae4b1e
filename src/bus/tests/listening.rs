//! A Modbus bus: only listened to, and asked with joined reads.

use super::super::{Bus, Happened, Heard, Life};
use super::line::{CHAR, Line, MS, crc, made};
use crate::field::record::Record;
use crate::profile::asked::Address;

const METER: &str = r#"
    modbus = { every = "1s" }
    fields = [
      { name = "voltage", input = 0, scale = 0.1 },
      { name = "current", input = 1, scale = 0.01 },
      { name = "limit", holding = 7, writable = true, every = "1h" },
    ]
"#;

fn line(only_listening: bool) -> Line {
    let mut line = Line::new(METER, &[1, 2]);
    if only_listening {
        let bus = Bus::new(made(METER, &[1, 2]), Vec::new(), 9600, CHAR, line.now);
        line.bus = bus.only_listening(line.now);
    }
    line
}

/// Frames that pass, each with a pause behind it.
fn passes(line: &mut Line, frames: &[&[u8]]) {
    for frame in frames {
        let bytes = crc(frame.to_vec());
        let end = line.now + CHAR * bytes.len() as u32;
        line.comes(end, bytes);
        line.run(CHAR * frame.len() as u32 + 20 * MS);
    }
}

fn json(record: &Record) -> String {
    let mut out = String::new();
    record.write_json(&mut out);
    out
}

fn values(line: &Line) -> Vec<(usize, String)> {
    let values = line.told.iter().filter_map(|(_, told)| match told {
        Happened::Values { device, record, .. } => Some((*device, json(record))),
        _ => None,
    });
    values.collect()
}

#[test]
fn what_others_ask_for_gives_the_same_values() {
    let mut line = line(true);
    passes(
        &mut line,
        &[
            &[1, 4, 0, 0, 0, 2],
            &[1, 4, 4, 0x08, 0xfc, 0, 123],
            // Another range than a poll of ours would have.
            &[2, 4, 0, 1, 0, 1],
            &[2, 4, 2, 0, 7],
            // A device that nobody has told us of, a refusal, and a reply to nothing.
            &[9, 4, 0, 0, 0, 1],
            &[9, 4, 2, 0, 7],
            &[2, 4, 0, 0, 0, 2],
            &[2, 0x84, 2],
            &[1, 4, 2, 0, 9],
            // Asked again without an answer.
            &[1, 3, 0, 7, 0, 1],
            &[1, 3, 0, 7, 0, 1],
            &[1, 3, 2, 0, 5],
        ],
    );
    let wanted = [
        (0, r#"{"voltage":230.0,"current":1.23}"#),
        (1, r#"{"current":0.07}"#),
        (0, r#"{"limit":5}"#),
    ];
    assert_eq!(
        values(&line),
        wanted.map(|(device, text)| (device, text.to_owned()))
    );
    let heard = |wanted: &Heard| {
        let all = line.told.iter();
        all.filter(|(_, told)| matches!(told, Happened::Heard { as_, .. } if as_ == wanted))
            .count()
    };
    assert_eq!(heard(&Heard::Request), 6);
    assert_eq!(
        (
            heard(&Heard::Foreign),
            heard(&Heard::Refusal),
            heard(&Heard::Unasked)
        ),
        (1, 1, 1)
    );
    assert_eq!(line.bus.counts().unanswered, 1);
    assert_eq!((line.bus.counts().foreign, line.bus.counts().strays), (1, 1));
    assert_eq!(line.written, []);
}

#[test]
fn who_only_listens_says_nothing() {
    let mut line = line(true);
    let order = line.order(7, 0, 1);
    line.bus.push(order);
    line.run(MS * 60_000);
    assert_eq!(line.written, []);
    assert_eq!(line.lives()[&7], [&Life::Dropped("only-listening")]);
}

#[test]
fn the_polls_of_registers_are_asked_for_by_address() {
    let line = line(false);
    let devices: Vec<_> = (0..2).filter_map(|n| line.bus.device(n)).collect();
    let sent = |device: usize, poll: usize| devices[device].polls[poll].steps[0].send.to_vec();
    assert_eq!(devices[0].polls.len(), 2);
    assert_eq!(sent(0, 0), crc(vec![1, 4, 0, 0, 0, 2]));
    assert_eq!(sent(1, 1), crc(vec![2, 3, 0, 7, 0, 1]));
    assert_eq!(&*devices[0].polls[0].name, "input-0");
    assert_eq!(devices[0].polls[0].reply_length, 9);
    let parts: Vec<_> = devices[0].polls[0]
        .parts
        .iter()
        .map(|part| part.steps[0].send.to_vec())
        .collect();
    assert_eq!(parts, [crc(vec![1, 4, 0, 0, 0, 1]), crc(vec![1, 4, 0, 1, 0, 1])]);
    assert_eq!(devices[1].address, Some(Address::Number(2)));
}

//! A frame laid out field by field, for people.

use super::config::Example;
use super::example::{Failure, bytes, wire};
use super::join::Joined;
use super::{Outcome, Profile, Reader, refused};
use crate::field::decode::Traced;
use crate::field::record::{Quality, Value};
use crate::frame::Item;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

/// So many bytes stand in one row of the table.
const ROW: usize = 12;

impl Profile {
    /// What comes of bytes from a line, frame by frame and field by field.
    pub fn explain(&self, wire: &[u8], request: Option<&[u8]>) -> String {
        let mut out = String::new();
        let mut decoder = self.framing().decoder();
        let mut now = Instant::now();
        decoder.extend(wire, now);
        let (mut at, mut number) = (0, 0);
        let mut reader = Reader::new(self.clone());
        loop {
            while let Some((branch, item)) = decoder.next_of(self.guard()) {
                if !out.is_empty() {
                    out.push('\n');
                }
                match item {
                    Item::Frame(data) => {
                        number += 1;
                        let data = data.to_vec();
                        self.explain_frame(number, branch, &data, request, &mut reader, &mut out);
                        at += data.len();
                    }
                    Item::Damaged { why, bytes } => {
                        let _ = writeln!(out, "no frame: {why} ({} bytes)", bytes.len());
                        dump(bytes, &mut out);
                        for line in self.guard().explain(bytes) {
                            let _ = writeln!(out, "  {line}");
                        }
                        at += bytes.len();
                    }
                }
            }
            match decoder.deadline() {
                Some(deadline) => {
                    now = deadline + Duration::from_millis(1);
                    decoder.expire(now);
                }
                None => break,
            }
        }
        let left = decoder.reset();
        if left > 0 {
            let _ = writeln!(out, "{left} bytes are still waiting for the rest of their frame");
        }
        if at == 0 && left == 0 {
            out.push_str("nothing: there is no frame in these bytes\n");
        }
        out
    }

    fn explain_frame(
        &self,
        number: usize,
        branch: usize,
        data: &[u8],
        request: Option<&[u8]>,
        reader: &mut Reader,
        out: &mut String,
    ) {
        let joined = reader.join(branch, data);
        let (outcome, trace) = match &joined {
            None => self.trace(branch, data, request),
            Some(Joined::Part) => (Outcome::Gathered, Vec::new()),
            Some(Joined::Lost(why)) => (refused(why), Vec::new()),
            Some(Joined::Whole(whole)) => {
                let mut trace = Vec::new();
                let outcome = self.whole(branch, whole, request, Some(&mut trace));
                (outcome, trace)
            }
        };
        let what = match &outcome {
            Outcome::Values(record) => format!("`{}`", record.kind()),
            Outcome::Error(record) => format!("`{}`, an error of the device", record.kind()),
            Outcome::Ack(record) => format!("`{}`, an acknowledgement", record.kind()),
            Outcome::NoData(record) => format!("`{}`, no data", record.kind()),
            Outcome::Ignored(kind) => format!("`{kind}`, to be ignored"),
            Outcome::Gathered => "part of a record".to_owned(),
            Outcome::Unknown => "of no known kind".to_owned(),
            Outcome::Refused(_) => "refused".to_owned(),
        };
        let _ = writeln!(
            out,
            "frame {number}: {what}, {} bytes of data; its checks hold",
            data.len()
        );
        let unpacked = self.unpacked(branch, data);
        if unpacked.as_deref().is_some_and(|unpacked| unpacked != data) {
            out.push_str("as it was cut:\n");
            dump(data, out);
            out.push_str("unpacked:\n");
        }
        dump(unpacked.as_deref().unwrap_or(data), out);
        if let Some(Joined::Whole(whole)) = &joined {
            out.push_str("with the parts before it:\n");
            dump(whole, out);
        }
        if !trace.is_empty() {
            table(&trace, out);
        }
        if let Outcome::Refused(fault) = &outcome {
            let at = fault.at.map(|at| format!(" at byte {at}")).unwrap_or_default();
            let _ = writeln!(out, "  refused{at}: {fault}");
        }
    }

    /// Why an example failed: what was expected and what came, with the frame laid out.
    pub fn explain_example(&self, example: &Example, failures: &[Failure]) -> String {
        let mut out = String::new();
        for failure in failures {
            let _ = match &failure.field {
                Some(field) => writeln!(out, "  {field}: {}", failure.what),
                None => writeln!(out, "  {}", failure.what),
            };
        }
        // What is sent is no frame of the device's own.
        if let Ok(wire) = wire(example)
            && example.command.is_none()
        {
            let request = example.request.as_deref().and_then(|text| bytes(text).ok());
            for line in self.explain(&wire, request.as_deref()).lines() {
                let _ = writeln!(out, "    {line}");
            }
        }
        out
    }
}

fn dump(bytes: &[u8], out: &mut String) {
    for (n, row) in bytes.chunks(16).enumerate() {
        let _ = write!(out, "  {:4}  ", 16 * n);
        for byte in row {
            let _ = write!(out, "{byte:02x} ");
        }
        for _ in row.len()..16 {
            out.push_str("   ");
        }
        out.push(' ');
        out.extend(row.iter().map(|byte| match byte {
            0x20..0x7f => char::from(*byte),
            _ => '.',
        }));
        out.push('\n');
    }
}

fn table(trace: &[Traced], out: &mut String) {
    let rows: Vec<[String; 5]> = trace.iter().map(row).collect();
    let head = ["byte", "bytes", "field", "read", "meaning"].map(str::to_owned);
    let width = |n: usize| {
        rows.iter()
            .chain([&head])
            .map(|row| row[n].chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths = [width(0), width(1), width(2), width(3)];
    for [at, bytes, field, read, meaning] in [&head].into_iter().chain(&rows) {
        let [a, b, c, d] = widths;
        let line = format!("  {at:>a$}  {bytes:<b$}  {field:<c$}  {read:<d$}  {meaning}");
        out.push_str(line.trim_end());
        out.push('\n');
    }
}

fn row(traced: &Traced) -> [String; 5] {
    let at = match (traced.at, traced.bits) {
        (Some(at), Some((from, count))) if count % 8 != 0 => format!("{at} bit {from}+{count}"),
        (Some(at), _) => at.to_string(),
        (None, _) => String::new(),
    };
    let mut bytes: String = traced
        .bytes
        .iter()
        .take(ROW)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    if traced.bytes.len() > ROW {
        bytes.push_str("...");
    }
    let mut read = String::new();
    traced.raw.write(None, &mut read);
    let mut meaning = String::new();
    match &traced.value {
        Value::Absent => meaning.push_str("no value"),
        value => value.write(traced.info.decimals, &mut meaning),
    }
    if let Some(unit) = &traced.info.unit {
        let _ = write!(meaning, " {unit}");
    }
    if traced.quality == Quality::OutOfRange {
        meaning.push_str("  (out of range)");
    }
    let name = if traced.name.is_empty() {
        "-".to_owned()
    } else {
        traced.name.clone()
    };
    [at, bytes, name, escaped(&read), escaped(&meaning)]
}

/// What a device sends moves no cursor.
fn escaped(text: &str) -> String {
    text.chars()
        .flat_map(|c| {
            if c.is_control() {
                c.escape_default().collect::<Vec<_>>()
            } else {
                vec![c]
            }
        })
        .take(200)
        .collect()
}

//! Captures as files: raw bytes, hex dumps, and recordings of `mqttyd watch --json`.

use crate::control::Direction;
use crate::control::wire::Line;
use anyhow::{Context, bail};
use std::time::SystemTime;

/// How a capture is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    /// The bytes as they came from the line
    Raw,
    /// Hexadecimal digits, plain or as `xxd` and `hexdump -C` write them
    Hex,
    /// What `mqttyd watch --json` prints
    Recording,
}

/// What was captured.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Capture {
    /// Bytes from the line, without times.
    Bytes(Vec<u8>),
    /// What passed on one port, and when.
    Frames(Vec<Passed>),
}

/// A frame of a recording.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Passed {
    pub(super) time: SystemTime,
    /// Why it was damaged, if it was.
    pub(super) damaged: Option<String>,
    pub(super) bytes: Vec<u8>,
}

impl Format {
    /// What the bytes look like. Only what nothing else looks like is taken for something else than raw bytes:
    /// digits alone may be what a device says.
    pub(super) fn of(bytes: &[u8]) -> Format {
        let Ok(text) = std::str::from_utf8(bytes) else {
            return Format::Raw;
        };
        let mut lines = text.lines().filter(|line| !line.trim().is_empty()).peekable();
        let first = lines.peek().copied().unwrap_or_default();
        if first.starts_with('{') && Line::parse(first).is_some() {
            return Format::Recording;
        }
        if first.starts_with("00000000") && lines.all(|line| offset(line).is_some()) {
            return Format::Hex;
        }
        Format::Raw
    }
}

impl Capture {
    /// Reads a capture; of a recording only what came up on the port of this name.
    pub(super) fn read(bytes: Vec<u8>, format: Format, port: &str) -> anyhow::Result<Capture> {
        match format {
            Format::Raw => Ok(Capture::Bytes(bytes)),
            Format::Hex => {
                let text = std::str::from_utf8(&bytes).context("a hex dump is text, and this is not")?;
                Ok(Capture::Bytes(undump(text)?))
            }
            Format::Recording => {
                let text = std::str::from_utf8(&bytes).context("a recording is text, and this is not")?;
                let frames = recorded(text, port)?;
                Ok(Capture::Frames(frames))
            }
        }
    }
}

/// The digits behind the offset at a line's start: `00000010: 4d42` (xxd), `00000010  42 4d` (hexdump).
fn offset(line: &str) -> Option<&str> {
    let digits = line.bytes().take_while(u8::is_ascii_hexdigit).count();
    if digits != 8 {
        return None;
    }
    let rest = line.get(digits..)?;
    match rest.strip_prefix(": ").or_else(|| rest.strip_prefix("  ")) {
        Some(rest) => Some(rest),
        None if rest.trim().is_empty() => Some(""),
        None => None,
    }
}

fn undump(text: &str) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let digits = match offset(line) {
            // Behind the digits stands what they look like as text.
            Some(rest) if line.contains('|') => rest.split('|').next().unwrap_or_default(),
            Some(rest) => rest.split("  ").next().unwrap_or_default(),
            None => line.split('#').next().unwrap_or_default(),
        };
        let digits: String = digits.split_whitespace().collect();
        let decoded = data_encoding::HEXLOWER_PERMISSIVE.decode(digits.as_bytes());
        bytes.extend(decoded.with_context(|| {
            let line = line.escape_debug();
            format!("line {} of the hex dump is not hexadecimal: {line}", number + 1)
        })?);
    }
    Ok(bytes)
}

fn recorded(text: &str, port: &str) -> anyhow::Result<Vec<Passed>> {
    let mut frames = Vec::new();
    let mut others: Vec<String> = Vec::new();
    for (number, line) in text
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty())
    {
        if !line.starts_with('{') {
            bail!("line {} of the recording is no JSON object", number + 1);
        }
        let Some(Line::Event(record)) = Line::parse(line) else {
            continue;
        };
        if record.direction != Direction::Up || record.verdict == "state" {
            continue;
        }
        if record.port != port {
            if !others.iter().any(|other| *other == record.port) {
                others.push(record.port.into_owned());
            }
            continue;
        }
        let damaged = (record.verdict == "damaged").then(|| record.why.unwrap_or_default().into_owned());
        frames.push(Passed {
            time: record.time,
            damaged,
            bytes: record.bytes.into_owned(),
        });
    }
    if frames.is_empty() && !others.is_empty() {
        bail!(
            "nothing of the port `{port}` was recorded, only of {}",
            others.join(", ")
        );
    }
    Ok(frames)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bytes(text: &str) -> Vec<u8> {
        let format = Format::of(text.as_bytes());
        match Capture::read(text.into(), format, "air").unwrap() {
            Capture::Bytes(bytes) => bytes,
            Capture::Frames(_) => panic!("no bytes"),
        }
    }

    #[test]
    fn dumps_of_the_usual_programs() {
        assert_eq!(
            bytes("00000000: 424d 001c 0a                             BM...\n"),
            b"BM\x00\x1c\n"
        );
        let dump = "00000000  42 4d 00 1c 0a 00 00 00  08 00                    |BM........|\n0000000a\n";
        assert_eq!(bytes(dump), b"BM\x00\x1c\n\0\0\0\x08\0");
        assert_eq!(undump("42 4d # header\n001C\n").unwrap(), b"BM\x00\x1c");
        assert!(undump("42 4x").unwrap_err().to_string().contains("line 1"));
    }

    #[test]
    fn what_a_device_says_is_not_taken_for_something_else() {
        assert_eq!(bytes("1234\n5678\n"), b"1234\n5678\n");
        assert_eq!(bytes("{\"t\":21.5}\n"), b"{\"t\":21.5}\n");
        assert_eq!(Format::of(b"\xff\x00"), Format::Raw);
    }

    #[test]
    fn a_recording_gives_the_frames_of_its_port() {
        let text = concat!(
            "{\"hello\":{\"version\":\"0.1.0\",\"format\":1,\"ports\":[\"air\"]}}\n",
            "{\"time\":\"2026-03-01T12:00:00.000250Z\",\"port\":\"air\",\"direction\":\"up\",\"verdict\":\"published\",\"bytes\":\"543d\"}\n",
            "{\"time\":\"2026-03-01T12:00:01Z\",\"port\":\"air\",\"direction\":\"up\",\"verdict\":\"damaged\",\"why\":\"check\",\"bytes\":\"54\"}\n",
            "{\"time\":\"2026-03-01T12:00:01Z\",\"port\":\"scale\",\"direction\":\"up\",\"verdict\":\"skipped\",\"bytes\":\"54\"}\n",
            "{\"bye\":\"the gateway stops\"}\n",
        );
        assert_eq!(Format::of(text.as_bytes()), Format::Recording);
        let Capture::Frames(frames) = Capture::read(text.into(), Format::Recording, "air").unwrap() else {
            panic!("no recording")
        };
        assert_eq!(frames.len(), 2);
        assert_eq!((&frames[0].bytes[..], &frames[0].damaged), (&b"T="[..], &None));
        assert_eq!(frames[1].damaged.as_deref(), Some("check"));
        let error = Capture::read(text.into(), Format::Recording, "lamp")
            .unwrap_err()
            .to_string();
        assert!(error.contains("only of air, scale"), "{error}");
    }

    proptest! {
        #[test]
        fn nothing_panics(bytes in prop::collection::vec(any::<u8>(), 0..64), text in "[0-9a-f:| {}\"\n]{0,64}") {
            for input in [bytes, text.into_bytes()] {
                let format = Format::of(&input);
                let _ = Capture::read(input.clone(), format, "air");
                let _ = Capture::read(input, Format::Hex, "air");
            }
        }
    }
}

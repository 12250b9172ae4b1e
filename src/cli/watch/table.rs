//! The rows that `mqttyd watch` shows to people: time, port, way, verdict, bytes as hex and as text.

use super::Options;
use crate::control::Direction;
use crate::control::wire::{Hello, Line, Record};
use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

/// How wide a line is when neither the terminal nor the user says.
const WIDTH: usize = 120;

/// The most bytes in one row: eyes count no further.
const MAX_ROW: usize = 32;

/// As wide as "damaged: too-short".
const VERDICT: usize = 18;

/// The rows for people.
pub(super) struct Table {
    colour: bool,
    full: bool,
    relative: bool,
    width: usize,
    port: usize,
    first: Option<SystemTime>,
}

impl Table {
    pub(super) fn new(options: &Options, colour: bool) -> Table {
        let terminal = || rustix::termios::tcgetwinsize(rustix::stdio::stdout()).ok();
        let width = options
            .width
            .or_else(|| terminal().map(|size| usize::from(size.ws_col)));
        Table {
            colour,
            full: options.full,
            relative: options.relative,
            width: width.filter(|width| *width > 0).unwrap_or(WIDTH),
            port: 4,
            first: None,
        }
    }

    pub(super) fn show(&mut self, line: &Line<'_>) -> String {
        match line {
            Line::Hello { hello } => self.head(hello),
            Line::Event(record) => self.rows(record),
            Line::Missed { missed } => self.note(
                YELLOW,
                &format!("{missed} events were missed: they came faster than they were read"),
            ),
            Line::Bye { bye } => self.note(BLUE, &clean(bye)),
            // run() makes an error of the one, and has not asked for the other.
            Line::Error { .. } | Line::Reloaded { .. } => String::new(),
        }
    }

    fn head(&mut self, hello: &Hello) -> String {
        self.port = hello
            .ports
            .iter()
            .map(|name| clean(name).chars().count())
            .max()
            .unwrap_or(4)
            .clamp(4, 20);
        let ports = if hello.ports.is_empty() {
            "all ports".to_owned()
        } else {
            hello.ports.join(", ")
        };
        let time = if self.relative {
            "seconds since the first frame"
        } else {
            "times are UTC"
        };
        let text = format!(
            "mqttyd {}: {}; {time}; ↑ device to MQTT, ↓ MQTT to device",
            hello.version, ports
        );
        self.note(DIM, &clean(&text))
    }

    fn note(&self, colour: &str, text: &str) -> String {
        format!("{}\n", self.paint(colour, &format!("-- {text}")))
    }

    fn rows(&mut self, record: &Record<'_>) -> String {
        let first = *self.first.get_or_insert(record.time);
        let time = if self.relative {
            since(first, record.time)
        } else {
            of_day(record.time)
        };
        let arrow = match (&*record.verdict, record.direction) {
            ("state", _) => "·",
            (_, Direction::Up) => "↑",
            (_, Direction::Down) => "↓",
        };
        let why = record.why.as_deref().map(clean);
        let (colour, verdict) = match (&*record.verdict, &why) {
            ("published", _) => (GREEN, "published".to_owned()),
            ("sent", _) => (CYAN, "sent".to_owned()),
            ("skipped", _) => (DIM, "skipped".to_owned()),
            ("damaged", Some(why)) => (RED, format!("damaged: {why}")),
            ("damaged", None) => (RED, "damaged".to_owned()),
            ("refused", _) => (YELLOW, "refused".to_owned()),
            ("state", _) => (BLUE, "state".to_owned()),
            (other, _) => (DIM, clean(other)),
        };
        let port = clean(&record.port);
        let start = format!("{} {port:<w$} {arrow} ", self.paint(DIM, &time), w = self.port);
        let indent = time.len() + 1 + self.port + 3;
        let verdict = self.paint(colour, &format!("{verdict:<VERDICT$}"));
        let mut rows = match (&*record.verdict, &why) {
            ("state", Some(why)) => return format!("{start}{verdict} {}\n", self.paint(colour, why)),
            _ => format!("{start}{verdict} "),
        };
        self.dump(&record.bytes, indent + VERDICT + 1, &mut rows);
        if let (Some(why), true) = (why, record.verdict != "damaged") {
            let _ = writeln!(rows, "{:indent$}{}", "", self.paint(colour, &format!("└ {why}")));
        }
        rows
    }

    /// Hex and text side by side: one row, cut where it is full, or with `full` as many as it takes.
    fn dump(&self, bytes: &[u8], indent: usize, out: &mut String) {
        // A byte takes "xx " and one of text; between the two a blank, and at the end "… +65535".
        let room = self.width.saturating_sub(indent + 1 + 8) / 4;
        let per_row = room.clamp(8, MAX_ROW);
        let shown = if self.full {
            bytes.len()
        } else {
            bytes.len().min(per_row)
        };
        let mut rows = bytes[..shown].chunks(per_row).peekable();
        if rows.peek().is_none() {
            out.push_str("(empty)\n");
        }
        let mut first = true;
        while let Some(row) = rows.next() {
            let _ = write!(out, "{:w$}", "", w = if first { 0 } else { indent });
            first = false;
            for n in 0..per_row {
                match row.get(n) {
                    Some(byte) => _ = write!(out, "{byte:02x} "),
                    None => out.push_str("   "),
                }
            }
            out.push(' ');
            out.extend(row.iter().map(|byte| {
                if matches!(byte, 0x20..=0x7e) {
                    char::from(*byte)
                } else {
                    '.'
                }
            }));
            if rows.peek().is_none() && shown < bytes.len() {
                let _ = write!(out, "… +{}", bytes.len() - shown);
            }
            out.push('\n');
        }
    }

    fn paint(&self, colour: &str, text: &str) -> String {
        if self.colour {
            format!("\x1b[{colour}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}

const DIM: &str = "2";
const RED: &str = "31";
const GREEN: &str = "32";
const YELLOW: &str = "33";
const BLUE: &str = "34";
const CYAN: &str = "36";

/// A terminal obeys control characters, and what comes from a device or a client must not command it.
pub(crate) fn clean(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        // Besides the controls: marks that turn the direction of writing.
        let turns = matches!(c, '\u{200e}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if c.is_control() || turns {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}

fn of_day(time: SystemTime) -> String {
    let time = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let s = time.as_secs() % 86_400;
    format!(
        "{:02}:{:02}:{:02}.{:06}",
        s / 3600,
        s / 60 % 60,
        s % 60,
        time.subsec_micros()
    )
}

fn since(first: SystemTime, time: SystemTime) -> String {
    // Two ports may tell of their frames in another order than that in which they came, by microseconds.
    let span = time.duration_since(first).unwrap_or(Duration::ZERO);
    format!("{:>6}.{:06}", span.as_secs(), span.subsec_micros())
}

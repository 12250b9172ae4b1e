//! The two ends of the log: the journal's socket, and stderr.

use super::events;
use super::lines::{EVENT, Entry, Priority};
use log::kv::{self, Key, Source, Value, VisitSource};
use std::fmt::Write as _;
use std::io::{IsTerminal, Write as _};
use std::time::SystemTime;
use systemd_journal_logger::{JournalLog, connected_to_journal};

/// What takes the entries.
pub(super) enum Sink {
    Journal(JournalLog),
    Stderr(Stderr),
    #[cfg(test)]
    Test(std::sync::Mutex<Vec<String>>),
}

impl Sink {
    /// Writes one entry. Nobody is left to hear of a log that can't be written.
    pub(super) fn write(&self, entry: &Entry) {
        match self {
            Sink::Journal(log) => {
                let id = |(name, value)| (name == EVENT).then(|| events::id(value)).flatten();
                let id = entry.fields.iter().find_map(id);
                let named = |(name, value)| (format!("MQTTYD_{name}"), value);
                let fields = entry
                    .fields
                    .iter()
                    .map(named)
                    .chain(id.map(|id| ("MESSAGE_ID".to_owned(), id)))
                    .collect();
                let text = format_args!("{}", entry.text);
                drop(log.journal_send(&record(entry, &Named(fields), &text)));
            }
            Sink::Stderr(stderr) => {
                let line = stderr.line(entry, SystemTime::now());
                drop(std::io::stderr().lock().write_all(line.as_bytes()));
            }
            #[cfg(test)]
            Sink::Test(entries) => entries
                .lock()
                .unwrap()
                .push(format!("{:?} {}", entry.priority, entry.text)),
        }
    }
}

/// Says something on stderr before there is a log, or beside it; under systemd as an error, line by line.
pub fn complain(text: &str) {
    let mark = if connected_to_journal() { "<3>" } else { "" };
    let lines: String = text
        .trim_end()
        .lines()
        .map(|line| format!("{mark}{line}\n"))
        .collect();
    // Nobody is left to hear that stderr is closed.
    let _ = std::io::stderr().lock().write_all(lines.as_bytes());
}

/// Fields under the names that the journal gets (`MQTTYD_PORT`; the journal logger makes them upper case).
struct Named<'a>(Vec<(String, &'a str)>);

impl Source for Named<'_> {
    fn visit<'kvs>(&'kvs self, visitor: &mut dyn VisitSource<'kvs>) -> Result<(), kv::Error> {
        self.0
            .iter()
            .try_for_each(|(name, value)| visitor.visit_pair(Key::from(name.as_str()), Value::from(*value)))
    }
}

/// An entry in the words of the `log` crate, which the journal logger takes. It gives each level the priority
/// after the one of its name (info is 5, notice), so they are asked for by their numbers.
fn record<'a>(entry: &'a Entry, fields: &'a Named<'a>, text: &'a std::fmt::Arguments<'a>) -> log::Record<'a> {
    let level = match entry.priority {
        Priority::Error => log::Level::Error,
        Priority::Warning => log::Level::Warn,
        Priority::Notice => log::Level::Info,
        Priority::Info => log::Level::Debug,
        Priority::Debug => log::Level::Trace,
    };
    let mut record = log::Record::builder();
    record
        .level(level)
        .args(*text)
        .target(&entry.target)
        .key_values(fields);
    record
        .file(entry.file.as_deref())
        .line(entry.line)
        .module_path(entry.module.as_deref());
    record.build()
}

/// Lines for a person, or for a supervisor that keeps them.
#[derive(Debug)]
pub(super) struct Stderr {
    colour: bool,
    time: bool,
    /// systemd reads the priority from the front of a line (`sd-daemon(3)`).
    prefix: bool,
}

impl Stderr {
    pub(super) fn new() -> Stderr {
        let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        Stderr {
            colour: std::io::stderr().is_terminal() && !set("NO_COLOR") && !dumb,
            time: !set("JOURNAL_STREAM") && !set("INVOCATION_ID"),
            prefix: connected_to_journal(),
        }
    }

    fn line(&self, entry: &Entry, now: SystemTime) -> String {
        let (name, paint) = match entry.priority {
            Priority::Error => ("error", "\x1b[1;31m"),
            Priority::Warning => (" warn", "\x1b[33m"),
            Priority::Notice => (" note", "\x1b[1;32m"),
            Priority::Info => (" info", "\x1b[32m"),
            Priority::Debug => ("debug", "\x1b[34m"),
        };
        let (paint, dim, plain) = if self.colour {
            (paint, "\x1b[2m", "\x1b[0m")
        } else {
            ("", "", "")
        };
        let mut line = String::with_capacity(entry.text.len() + 64);
        let write = &mut line;
        // Writing to a String doesn't fail.
        let _ = (|| {
            if self.prefix {
                write!(write, "<{}>", entry.priority as u8)?;
            }
            if self.time {
                write!(write, "{dim}{}{plain} ", humantime::format_rfc3339_millis(now))?;
            }
            let (message, fields) = entry.text.split_at(entry.told);
            writeln!(write, "{paint}{name}{plain} {message}{dim}{fields}{plain}")
        })();
        line
    }
}

#[cfg(test)]
mod tests {
    use super::super::lines::Fields;
    use super::*;

    fn entry() -> Entry {
        let mut fields = Fields::default();
        fields.put("port", "air".into());
        fields.put("path", "/dev/ttyUSB0".into());
        Entry::new(Priority::Info, "mqttyd::port", "open".into(), fields)
    }

    #[test]
    fn a_line_for_a_file_has_its_time_and_no_colour() {
        let stderr = Stderr {
            colour: false,
            time: true,
            prefix: false,
        };
        let line = stderr.line(&entry(), SystemTime::UNIX_EPOCH);
        assert_eq!(
            line,
            "1970-01-01T00:00:00.000Z  info air: open path=/dev/ttyUSB0\n"
        );
    }

    #[test]
    fn a_line_for_systemd_has_its_priority() {
        let stderr = Stderr {
            colour: false,
            time: false,
            prefix: true,
        };
        assert_eq!(
            stderr.line(&entry(), SystemTime::now()),
            "<6> info air: open path=/dev/ttyUSB0\n"
        );
    }

    #[test]
    fn a_line_for_a_terminal_is_coloured() {
        let stderr = Stderr {
            colour: true,
            time: false,
            prefix: false,
        };
        let line = stderr.line(&entry(), SystemTime::now());
        assert_eq!(
            line,
            "\x1b[32m info\x1b[0m air: open\x1b[2m path=/dev/ttyUSB0\x1b[0m\n"
        );
    }
}

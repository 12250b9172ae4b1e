//! From tracing's events and spans to entries of the log: which are wanted, their fields, their text.

use super::levels::{Levels, is_ours};
use super::sink::Sink;
use crate::fold::Bucket;
use std::collections::HashMap;
use std::error::Error;
use std::fmt::{self, Write as _};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};
use std::time::{Duration, Instant};
use tracing::callsite::Identifier;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer};
use tracing_subscriber::registry::LookupSpan;

/// The field with the name of an event (`events.rs`). It is not for the line that a person reads.
pub(super) const EVENT: &str = "event";

/// A library may write so many lines at once from one place in its code, and then one in this time: what a
/// network client does to the broker must not fill the disk.
const FOREIGN_BURST: u32 = 10;
const FOREIGN_EVERY: Duration = Duration::from_secs(5);
/// Places in libraries that are told apart; more than the few that ever speak, and a bound.
const FOREIGN_PLACES: usize = 256;

/// syslog's numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Priority {
    Error = 3,
    Warning = 4,
    Notice = 5,
    Info = 6,
    Debug = 7,
}

impl Priority {
    fn new(level: &Level, notice: bool) -> Priority {
        match *level {
            Level::ERROR => Priority::Error,
            Level::WARN => Priority::Warning,
            Level::INFO if notice => Priority::Notice,
            Level::INFO => Priority::Info,
            _ => Priority::Debug,
        }
    }
}

/// One entry of the log.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) priority: Priority,
    pub(super) target: String,
    pub(super) file: Option<String>,
    pub(super) line: Option<u32>,
    pub(super) module: Option<String>,
    /// The message and the fields as one line without control characters.
    pub(super) text: String,
    /// Where in `text` the message ends and the fields begin.
    pub(super) told: usize,
    /// All fields, as they are.
    pub(super) fields: Fields,
}

impl Entry {
    pub(super) fn new(priority: Priority, target: &str, message: String, fields: Fields) -> Entry {
        let (text, told) = fields.text(&message);
        let target = target.to_owned();
        Entry {
            priority,
            target,
            file: None,
            line: None,
            module: None,
            text,
            told,
            fields,
        }
    }
}

/// Named values, in the order they came; a name has one value.
#[derive(Debug, Default, Clone)]
pub(super) struct Fields(Vec<(&'static str, String)>);

impl Fields {
    /// Sets a value; the inner one (an event's over its span's) wins.
    pub(super) fn put(&mut self, name: &'static str, value: String) {
        match self.0.iter_mut().find(|(known, _)| *known == name) {
            Some((_, old)) => *old = value,
            None => self.0.push((name, value)),
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.0.iter().map(|(name, value)| (*name, value.as_str()))
    }

    fn take(&mut self, name: &str) -> Option<String> {
        let at = self.0.iter().position(|(known, _)| *known == name)?;
        Some(self.0.remove(at).1)
    }

    /// `air: open path=/dev/ttyUSB0`: the port first, then the message, then what the message doesn't say
    /// itself. With the length of the part before the fields.
    fn text(&self, message: &str) -> (String, usize) {
        let mut text = String::with_capacity(message.len() + 64);
        let port = self
            .0
            .iter()
            .find(|(name, value)| *name == "port" && !says(message, value));
        if let Some((_, port)) = port {
            escape(&mut text, port);
            text.push_str(": ");
        }
        escape(&mut text, message);
        let told = text.len();
        for (name, value) in &self.0 {
            if matches!(*name, "port" | EVENT) || says(message, value) {
                continue;
            }
            text.push(' ');
            text.push_str(name);
            text.push('=');
            if value.is_empty() || value.contains([' ', '"', '=']) {
                text.push('"');
                escape(&mut text, &value.replace('"', "\\\""));
                text.push('"');
            } else {
                escape(&mut text, value);
            }
        }
        (text, told)
    }
}

/// Whether a message has a value in it as a word of its own: not as a part of a path, but of a URL.
fn says(message: &str, value: &str) -> bool {
    let word = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '/');
    let ends_in_word = |text: &str| !text.ends_with("://") && text.chars().next_back().is_some_and(word);
    !value.is_empty()
        && message.match_indices(value).any(|(at, _)| {
            let after = message[at + value.len()..].chars().next();
            !ends_in_word(&message[..at]) && !after.is_some_and(word)
        })
}

/// Appends a text that may come from a serial line or the network: what would move the cursor, end the line
/// or turn the direction of writing is escaped.
fn escape(out: &mut String, text: &str) {
    for c in text.chars() {
        let turns = matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        match c {
            c if c.is_control() || turns => out.extend(c.escape_default()),
            c => out.push(c),
        }
    }
}

/// A place in a library's code: target and line.
type Place = (String, Option<u32>);

/// What one place in a library may still write, and how many lines it was not let.
#[derive(Debug)]
struct Foreign {
    bucket: Bucket,
    held: u64,
}

/// Takes what is logged and writes it to the sink.
pub(super) struct Lines {
    levels: RwLock<Levels>,
    pub(super) sink: Sink,
    /// What each library wrote lately.
    foreign: Mutex<HashMap<Place, Foreign>>,
}

impl Lines {
    pub(super) fn new(levels: Levels, sink: Sink) -> Lines {
        let foreign = Mutex::default();
        Lines {
            levels: RwLock::new(levels),
            sink,
            foreign,
        }
    }

    fn levels(&self) -> RwLockReadGuard<'_, Levels> {
        self.levels.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is wanted from now on. Places in the code that were asked before have to be asked again.
    pub(super) fn set_levels(&self, levels: Levels) {
        *self.levels.write().unwrap_or_else(PoisonError::into_inner) = levels;
    }

    /// What the `log` crate need not even ask for.
    pub(super) fn log_level(&self) -> log::LevelFilter {
        match self.levels().most() {
            LevelFilter::OFF => log::LevelFilter::Off,
            LevelFilter::ERROR => log::LevelFilter::Error,
            LevelFilter::WARN => log::LevelFilter::Warn,
            LevelFilter::INFO => log::LevelFilter::Info,
            LevelFilter::DEBUG => log::LevelFilter::Debug,
            _ => log::LevelFilter::Trace,
        }
    }

    fn write(&self, mut entry: Entry) {
        if !is_ours(&entry.target) {
            // Its errors are about one client or one call; whether a person must act is for us to say.
            if entry.priority == Priority::Error {
                entry.priority = Priority::Warning;
            }
            let library = entry.target.split("::").next().unwrap_or_default();
            entry.text.insert_str(0, &format!("{library}: "));
            entry.told += library.len() + 2;
            let place = (entry.target.clone(), entry.line);
            let mut places = self.foreign.lock().unwrap_or_else(PoisonError::into_inner);
            if places.len() >= FOREIGN_PLACES && !places.contains_key(&place) {
                places.clear();
            }
            let new = || Foreign {
                bucket: Bucket::new(FOREIGN_BURST, FOREIGN_EVERY),
                held: 0,
            };
            let Foreign { bucket, held } = places.entry(place).or_insert_with(new);
            if !bucket.take(Instant::now()) {
                *held += 1;
                return;
            }
            if *held > 0 {
                let held = std::mem::take(held);
                let _ = write!(entry.text, " (and {held} more like it)");
                entry.fields.put("folded", held.to_string());
            }
        }
        self.sink.write(&entry);
    }
}

/// Somebody else who listens to events, logged or not: to those at the places in the code that its
/// `register_callsite` wants `always`.
pub type Listener<S> = Box<dyn Layer<S> + Send + Sync>;

/// The face towards tracing.
pub(super) struct Tracing<S> {
    lines: Arc<Lines>,
    listener: Option<Listener<S>>,
    /// Where the listener listens: few places.
    heard: RwLock<Vec<Identifier>>,
}

impl<S: Subscriber> Tracing<S> {
    pub(super) fn new(lines: Arc<Lines>, listener: Option<Listener<S>>) -> Tracing<S> {
        Tracing {
            lines,
            listener,
            heard: RwLock::default(),
        }
    }

    fn hears(&self, metadata: &Metadata<'_>) -> bool {
        self.listener.is_some() && {
            let heard = self.heard.read().unwrap_or_else(PoisonError::into_inner);
            heard.contains(&metadata.callsite())
        }
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Tracing<S> {
    // Asked once per place in the code; what is not wanted costs one load after that.
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if let Some(listener) = &self.listener
            && metadata.is_event()
            && listener.register_callsite(metadata).is_always()
            && !self.hears(metadata)
        {
            self.heard
                .write()
                .unwrap_or_else(PoisonError::into_inner)
                .push(metadata.callsite());
        }
        if self.lines.levels().want(metadata) || self.hears(metadata) {
            Interest::always()
        } else {
            Interest::never()
        }
    }

    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        self.lines.levels().want(metadata) || self.hears(metadata)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        // Our own spans are there at every level: see `Levels::want`. The listener has its own wishes.
        let listener = self
            .listener
            .as_ref()
            .and_then(|listener| listener.max_level_hint());
        Some(
            self.lines
                .levels()
                .most()
                .max(listener.unwrap_or(LevelFilter::INFO))
                .max(LevelFilter::INFO),
        )
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        if let Some(span) = context.span(id) {
            span.extensions_mut().insert(fields);
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        // Collected before the span is locked: a value's Debug may log by itself.
        let mut new = Fields::default();
        values.record(&mut new);
        if let Some(span) = context.span(id)
            && let Some(fields) = span.extensions_mut().get_mut::<Fields>()
        {
            new.0
                .into_iter()
                .for_each(|(name, value)| fields.put(name, value));
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let metadata = event.metadata();
        if let Some(listener) = self.listener.as_ref().filter(|_| self.hears(metadata)) {
            listener.on_event(event, context.clone());
        }
        if !self.lines.levels().want(metadata) {
            return;
        }
        let mut own = Fields::default();
        event.record(&mut own);
        let message = own.take("message").unwrap_or_default();
        let notice = own.take("notice").is_some_and(|notice| notice == "true");
        let mut fields = Fields::default();
        for span in context
            .event_scope(event)
            .into_iter()
            .flat_map(|scope| scope.from_root())
        {
            if let Some(outer) = span.extensions().get::<Fields>() {
                outer
                    .0
                    .iter()
                    .for_each(|(name, value)| fields.put(name, value.clone()));
            }
        }
        own.0
            .into_iter()
            .for_each(|(name, value)| fields.put(name, value));
        self.lines.write(Entry {
            file: metadata.file().map(str::to_owned),
            line: metadata.line(),
            module: metadata.module_path().map(str::to_owned),
            ..Entry::new(
                Priority::new(metadata.level(), notice),
                metadata.target(),
                message,
                fields,
            )
        });
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field.name(), format!("{value:?}"));
    }
    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field.name(), value.to_owned());
    }
    /// An error is told with its causes.
    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        let mut text = value.to_string();
        let mut cause = value.source();
        while let Some(inner) = cause {
            let _ = write!(text, ": {inner}");
            cause = inner.source();
        }
        self.put(field.name(), text);
    }
}

/// The face towards libraries that use the `log` crate.
pub(super) struct Log(pub(super) Arc<Lines>);

impl log::Log for Log {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        self.0.levels().want_log(metadata.target(), metadata.level())
    }

    fn log(&self, record: &log::Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let priority = match record.level() {
            log::Level::Error => Priority::Error,
            log::Level::Warn => Priority::Warning,
            log::Level::Info => Priority::Info,
            _ => Priority::Debug,
        };
        self.0.write(Entry {
            file: record.file().map(str::to_owned),
            line: record.line(),
            module: record.module_path().map(str::to_owned),
            ..Entry::new(
                priority,
                record.target(),
                record.args().to_string(),
                Fields::default(),
            )
        });
    }

    fn flush(&self) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(fields: &[(&'static str, &str)], message: &str) -> String {
        let fields = Fields(
            fields
                .iter()
                .map(|(name, value)| (*name, value.to_string()))
                .collect(),
        );
        fields.text(message).0
    }

    #[test]
    fn fields_are_told_after_the_message_unless_it_says_them() {
        assert_eq!(
            text(&[("port", "air"), ("path", "/dev/a")], "open"),
            "air: open path=/dev/a"
        );
        assert_eq!(
            text(&[("port", "air"), ("path", "/dev/a")], "port air opened /dev/a"),
            "port air opened /dev/a"
        );
        assert_eq!(text(&[("port", "air")], "fairly broken"), "air: fairly broken");
        assert_eq!(text(&[("count", "1")], "11 of 12"), "11 of 12 count=1");
        assert_eq!(
            text(&[("error", "no \"x\""), ("why", "")], "gone"),
            "gone error=\"no \\\"x\\\"\" why=\"\""
        );
    }

    #[test]
    fn what_a_serial_line_sends_stays_on_its_line() {
        let hostile = "a\nerror b\r\x1b[2J\u{9b}1m\u{202e}\0";
        let line = text(&[("topic", hostile), ("port", hostile)], hostile);
        assert!(!line.chars().any(char::is_control), "{line:?}");
        assert!(!line.contains('\u{202e}'));
        assert!(text(&[("topic", "grüße/°C")], "seen").ends_with("topic=grüße/°C"));
    }

    #[test]
    fn a_message_that_is_cut_in_a_character_does_not_panic() {
        assert!(!says("grüße", "ü"));
        assert!(says("ü: open", "ü"));
        assert!(says("listening: mqtt://[::1]:1883 (MQTT 5)", "[::1]:1883"));
        assert!(!says("published to home/air", "air"));
    }
}

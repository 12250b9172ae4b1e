//! What rumqttd tells only its log, in words for the person who runs the gateway.
//!
//! The crate calls every client that leaves an error, and a refused password no more than that. So its own
//! events stay out of the log (unless `rumqttd=...` asks for them), and this layer repeats those that somebody
//! should know, seldom enough that a client of the network can't fill the log.

use super::lag::LAG;
use crate::fold::Run;
use std::fmt::{self, Write as _};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::subscriber::Interest;
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer};
use tracing_subscriber::registry::LookupSpan;

/// What the crate's message begins with, and what we say. Tried against rumqttd 0.20.
const WORDS: [(&str, &str); 9] = [
    (
        "Error while handling MQTT connect packet",
        "a client was refused at its CONNECT",
    ),
    ("Tls accept error", "a client's TLS handshake failed"),
    (
        "Websocket failed handshake",
        "a client's WebSocket handshake failed",
    ),
    ("Unable to accept socket", "a connection could not be accepted"),
    (
        "no space for new connection",
        "a client was refused: `max-connections` are connected",
    ),
    ("Invalid client_id", "a client was refused for its client id"),
    (
        "Duplicate client_id",
        "a client took over the client id of another, which was disconnected",
    ),
    (
        "Subscription cannot be validated",
        "a client was disconnected for a subscription that can't be",
    ),
    ("Router done!", "the broker's router has ended"),
];

static LOST: AtomicU64 = AtomicU64::new(0);

pub(in super::super) fn lost() -> u64 {
    LOST.load(Ordering::Relaxed)
}

/// A layer for the process's `tracing` subscriber: it repeats what a person should know of the broker, counts the
/// messages that the broker says it dropped (`Broker::lost` has the count), and hears when subscribers fall
/// behind, without which nothing holds publishers back for them. For that it listens at two places at the
/// level TRACE.
pub fn report<S: Subscriber + for<'a> LookupSpan<'a>>() -> impl Layer<S> {
    Report {
        runs: std::array::from_fn(|_| Mutex::default()),
        losses: Mutex::default(),
    }
}

struct Report {
    runs: [Mutex<Run>; WORDS.len()],
    losses: Mutex<Run>,
}

fn wanted(metadata: &Metadata<'_>) -> bool {
    metadata.is_event()
        && metadata.target().starts_with("rumqttd")
        && (*metadata.level() <= Level::WARN || scheduling(metadata))
}

/// Whether this is where the crate's scheduler lets a connection read, or has it sleep.
fn scheduling(metadata: &Metadata<'_>) -> bool {
    metadata.target() == "rumqttd::router::scheduler" && metadata.fields().field("tracker_id").is_some()
}

/// Whether to say it now, and how often it has happened since the last time.
fn now(run: &Mutex<Run>) -> Option<u64> {
    let mut run = super::locked(run);
    let count = run.fault(Instant::now())?;
    // There is no sign that it is over: each time is one of its own.
    run.good();
    Some(count)
}

impl<S: Subscriber> Layer<S> for Report {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if wanted(metadata) {
            Interest::always()
        } else {
            Interest::sometimes()
        }
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::TRACE)
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if scheduling(event.metadata()) {
            let mut step = Step::default();
            event.record(&mut step);
            return step.tell();
        }
        if !wanted(event.metadata()) {
            return;
        }
        let mut said = Said::default();
        event.record(&mut said);
        if let (Some(from), Some(to)) = (said.from, said.to) {
            let lost = to.saturating_sub(from).max(1);
            LOST.fetch_add(lost, Ordering::Relaxed);
            if let Some(count) = now(&self.losses) {
                tracing::warn!(target: "mqttyd::broker", count, lost = LOST.load(Ordering::Relaxed),
                    "a subscriber was too slow and has lost messages");
            }
            return;
        }
        let Some(at) = WORDS
            .iter()
            .position(|(theirs, _)| said.message.starts_with(theirs))
        else {
            return;
        };
        if let Some(count) = now(&self.runs[at]) {
            let (words, why) = (WORDS[at].1, said.why.as_str());
            let gap = if why.is_empty() { "" } else { ": " };
            tracing::warn!(target: "mqttyd::broker", count, "{words}{gap}{why}");
        }
    }
}

#[derive(Default)]
struct Said {
    message: String,
    why: String,
    from: Option<u64>,
    to: Option<u64>,
}

impl Visit for Said {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // A cursor is (segment, offset); the offsets go on from segment to segment.
        let offset = || {
            let text = format!("{value:?}");
            text.trim_end_matches(')')
                .rsplit(' ')
                .next()
                .and_then(|n| n.parse().ok())
        };
        // Writing to a String does not fail.
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            "error" | "reason" => write!(self.why, "{value:?}"),
            "request_cursor" => {
                self.from = offset();
                Ok(())
            }
            "start_cursor" => {
                self.to = offset();
                Ok(())
            }
            _ => Ok(()),
        };
    }
}

/// A step of the scheduler: "pause Ready -> Caughtup" or "reschedule Caughtup -> Ready". Other reasons to sleep
/// (the socket is full, acknowledgements are due) change nothing: the client was behind and is.
#[derive(Default)]
struct Step {
    client: String,
    text: Text,
}

/// The beginning of a message, without an allocation: there are two for each message that is delivered.
#[derive(Default)]
struct Text {
    bytes: [u8; 32],
    length: usize,
}

impl Step {
    fn tell(self) {
        // Our own links always read.
        if self.client.starts_with(super::link::PREFIX) {
            return;
        }
        match &self.text.bytes[..self.text.length] {
            b"pause Ready -> Caughtup" => LAG.caught_up(&self.client),
            b"reschedule Caughtup -> Ready" => LAG.fell_behind(self.client),
            _ => {}
        }
    }
}

impl Visit for Step {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "tracker_id" {
            value.clone_into(&mut self.client);
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            // What doesn't fit is not one of the two.
            let _ = write!(self.text, "{value:?}");
        }
    }
}

impl fmt::Write for Text {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = self.bytes.get_mut(self.length..).unwrap_or_default();
        let room = room.get_mut(..text.len()).ok_or(fmt::Error)?;
        room.copy_from_slice(text.as_bytes());
        self.length += text.len();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing_subscriber::layer::SubscriberExt;

    #[test]
    fn the_difference_of_the_cursors_is_counted() {
        let before = lost();
        let subscriber = tracing_subscriber::registry().with(report());
        tracing::subscriber::with_default(subscriber, || {
            let (from, to) = ((0u64, 10u64), (2u64, 35u64));
            tracing::warn!(target: "rumqttd::router::routing", request_cursor = ?from, start_cursor = ?to, "jump");
            tracing::warn!(target: "rumqttd::router::routing", "another warning");
        });
        assert_eq!(lost() - before, 25);
    }

    #[test]
    fn a_storm_is_few_lines() {
        let run = Mutex::new(Run::default());
        let lines = (0..1000).filter_map(|_| now(&run)).count();
        assert!((1..10).contains(&lines), "{lines}");
    }
}

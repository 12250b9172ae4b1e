//! Counts what rumqttd drops: it tells nobody but its log.
//!
//! A subscriber that lags behind by more than a filter's log holds has its cursor moved to the oldest message
//! that is left. The crate warns of it with both cursors as fields, `(segment, offset)`; the difference of
//! the offsets is how many messages went.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::{Context, Layer};
use tracing_subscriber::registry::LookupSpan;

static LOST: AtomicU64 = AtomicU64::new(0);

pub(in super::super) fn lost() -> u64 {
    LOST.load(Ordering::Relaxed)
}

/// A layer for the process's `tracing` subscriber that counts the messages which the broker says it dropped.
///
/// It looks at one warning of one crate and costs nothing elsewhere. `Broker::lost` has the count.
pub fn losses<S: Subscriber + for<'a> LookupSpan<'a>>() -> impl Layer<S> {
    Losses.with_filter(filter_fn(wanted).with_max_level_hint(LevelFilter::WARN))
}

struct Losses;

fn wanted(metadata: &Metadata<'_>) -> bool {
    metadata.is_event()
        && *metadata.level() == Level::WARN
        && metadata.target() == "rumqttd::router::routing"
        && metadata.fields().field("start_cursor").is_some()
}

impl<S: Subscriber> Layer<S> for Losses {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut jump = Jump::default();
        event.record(&mut jump);
        LOST.fetch_add(jump.to.saturating_sub(jump.from).max(1), Ordering::Relaxed);
    }
}

#[derive(Default)]
struct Jump {
    from: u64,
    to: u64,
}

impl Visit for Jump {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let offset = || {
            let text = format!("{value:?}");
            text.trim_end_matches(')')
                .rsplit(' ')
                .next()
                .and_then(|n| n.parse().ok())
                .unwrap_or(0)
        };
        match field.name() {
            "request_cursor" => self.from = offset(),
            "start_cursor" => self.to = offset(),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing_subscriber::layer::SubscriberExt;

    #[test]
    fn the_difference_of_the_cursors_is_counted() {
        let before = lost();
        let subscriber = tracing_subscriber::registry().with(losses());
        tracing::subscriber::with_default(subscriber, || {
            let (from, to) = ((0u64, 10u64), (2u64, 35u64));
            tracing::warn!(target: "rumqttd::router::routing", request_cursor = ?from, start_cursor = ?to, "jump");
            tracing::warn!(target: "rumqttd::router::routing", "another warning");
        });
        assert_eq!(lost() - before, 25);
    }
}

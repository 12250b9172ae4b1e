//! The log as a whole: through tracing's macros to a sink, and to a real journald where one can be had.

use super::sink::Sink;
use super::*;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use tracing::subscriber::Interest;
use tracing::{Event, Metadata, debug, error, info, info_span, trace, warn};
use tracing_subscriber::layer::{Context, Layer};

#[path = "../../tests/support/journald.rs"]
mod journald;

/// What `story` writes to the log.
fn logged(levels: &str, story: impl FnOnce()) -> Vec<String> {
    heard(levels, None, story)
}

fn heard(levels: &str, listener: Option<Listener<Registry>>, story: impl FnOnce()) -> Vec<String> {
    let lines = Arc::new(Lines::new(levels.parse().unwrap(), Sink::Test(Mutex::default())));
    let subscriber = Registry::default().with(Tracing::new(lines.clone(), listener));
    tracing::subscriber::with_default(subscriber, story);
    let Sink::Test(entries) = &lines.sink else {
        unreachable!("made above")
    };
    std::mem::take(&mut *entries.lock().unwrap())
}

#[test]
fn fields_of_spans_and_events_become_one_line() {
    let entries = logged("info", || {
        let span = info_span!("port", port = "air", path = tracing::field::Empty);
        let _in = span.enter();
        span.record("path", "/dev/ttyUSB0");
        info!(notice = true, "open");
        warn!(path = "/dev/other", count = 3, "gone");
        debug!("per frame");
    });
    assert_eq!(
        entries,
        [
            "Notice air: open path=/dev/ttyUSB0",
            "Warning air: gone path=/dev/other count=3"
        ]
    );
}

#[test]
fn a_warning_keeps_its_port_when_only_warnings_are_wanted() {
    let entries = logged("warn", || {
        info_span!("port", port = "air").in_scope(|| {
            info!("open");
            error!("gone");
        });
    });
    assert_eq!(entries, ["Error air: gone"]);
}

#[test]
fn spans_of_libraries_are_not_made() {
    logged("trace", || {
        assert!(tracing::error_span!(target: "rumqttd::router", "per_event").is_disabled());
        assert!(!info_span!("ours").is_disabled());
    });
}

#[test]
fn an_error_is_told_with_its_cause() {
    let entries = logged("info", || {
        let error = Error::NoJournal(std::io::Error::other("no socket"));
        let error: &dyn std::error::Error = &error;
        error!(error, "failed to start");
    });
    assert!(entries[0].ends_with("asks for: no socket\""), "{entries:?}");
}

#[test]
fn a_library_is_named_and_can_only_warn() {
    let entries = logged("info", || {
        error!(target: "rustls::conn", error = "Recv(Disconnected)", "dropped");
    });
    assert_eq!(entries, ["Warning rustls: dropped error=Recv(Disconnected)"]);
}

#[test]
fn a_library_that_floods_is_folded() {
    let entries = logged("info", || {
        for at in 0..100 {
            warn!(target: "rustls::conn", "Read cursor start jumped from 0 to {at}");
        }
    });
    assert_eq!(entries.len(), 10);
}

/// Counts the events of one target.
struct Ear(Arc<AtomicU64>);

impl Layer<Registry> for Ear {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if metadata.target() == "rumqttd::ear" {
            Interest::always()
        } else {
            Interest::sometimes()
        }
    }
    fn on_event(&self, _: &Event<'_>, _: Context<'_, Registry>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn a_listener_hears_what_is_not_logged() {
    let count = Arc::new(AtomicU64::new(0));
    let entries = heard("error", Some(Box::new(Ear(count.clone()))), || {
        warn!(target: "rumqttd::ear", "lost");
        warn!(target: "rumqttd::server", "not heard");
    });
    assert_eq!((entries.len(), count.load(Ordering::Relaxed)), (0, 1));
}

#[test]
fn journald_shows_the_fields() {
    if journald::is_here() {
        return tell();
    }
    let Some(output) = journald::again("journal::tests::journald_shows_the_fields") else {
        return;
    };
    let entries: Vec<serde_json::Value> = String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect();
    let find = |text: &str| {
        let entry = entries
            .iter()
            .find(|entry| entry["MESSAGE"].as_str().is_some_and(|has| has.contains(text)));
        entry.unwrap_or_else(|| panic!("no entry says {text:?}: {output:?}"))
    };

    let open = find("air: open");
    assert_eq!(open["MQTTYD_PORT"], "air", "of the span");
    assert_eq!(open["MQTTYD_PATH"], "/dev/ttyUSB0", "of the event");
    assert_eq!(open["MQTTYD_EVENT"], "port-open");
    assert_eq!(open["MESSAGE_ID"].as_str(), super::events::id("port-open"));
    assert_eq!(
        open["MESSAGE"], "air: open path=/dev/ttyUSB0",
        "the event's name is not for the line"
    );
    assert_eq!(open["PRIORITY"], "5");
    assert_eq!(open["SYSLOG_IDENTIFIER"], "mqttyd");
    assert_eq!(open["TARGET"], "mqttyd::journal::tests");
    assert_eq!(open["CODE_FILE"], "src/journal/tests.rs");
    assert!(open["CODE_LINE"].is_string());
    let hostile = find("two lines");
    assert_eq!(hostile["MESSAGE"], r#"two lines topic="a\nPRIORITY=0""#);
    assert_eq!(hostile["MQTTYD_TOPIC"], "a\nPRIORITY=0");
    assert_eq!(hostile["PRIORITY"], "4");
    assert_eq!(find("plain")["PRIORITY"], "6");
    assert_eq!(find("detail")["PRIORITY"], "7");
    assert_eq!(find("worst")["PRIORITY"], "3");
    assert_eq!(find("from the log crate")["PRIORITY"], "4");
    let panic = find("please report it");
    assert!(
        panic["MESSAGE"].as_str().unwrap().contains("a broken promise"),
        "{panic}"
    );
    assert_eq!(panic["PRIORITY"], "3");
    assert_eq!(find("asked for now")["PRIORITY"], "7");
    assert_eq!(entries.len(), 8, "each once: {entries:?}");
}

/// The child's part: a few events of each kind.
fn tell() {
    let config = Config {
        level: "debug".parse().unwrap(),
        target: Target::Journal,
    };
    start(&config, None, None).unwrap();
    log_panics();
    info_span!("port", port = "air")
        .in_scope(|| info!(event = "port-open", path = "/dev/ttyUSB0", notice = true, "open"));
    warn!(topic = "a\nPRIORITY=0", "two lines");
    info!("plain");
    debug!("detail");
    error!("worst");
    // What is asked for later is heard from then on.
    trace!("not asked for");
    set_levels(&"trace".parse().unwrap());
    trace!("asked for now");
    set_levels(&"debug".parse().unwrap());
    trace!("not any more");
    log::warn!(target: "some_library", "from the log crate");
    log::info!(target: "some_library", "not asked for");
    tracing::info!(target: "some_library", "not asked for");
    std::thread::spawn(|| panic!("a broken promise"))
        .join()
        .unwrap_err();
}

//! Where the daemon's events go: to the systemd journal with every field, or to stderr for a person.
//!
//! Everything else in the house only knows `tracing`. An event's fields and those of the spans around it become
//! journal fields (`MQTTYD_PORT=air`), so `journalctl -u mqttyd MQTTYD_PORT=air` shows one port. The
//! message carries the same values as text, for a plain `journalctl` shows nothing else. The field `event` names what a
//! person may look for: it becomes the entry's `MESSAGE_ID`, and is not part of the text.
//!
//! Priorities: `error!` is 3 (err), `warn!` 4 (warning), `info!` 6 (info), or 5 (notice) with the field
//! `notice = true`, `debug!` and `trace!` 7 (debug).

mod events;
mod levels;
mod lines;
mod panics;
mod sink;
#[cfg(test)]
mod tests;

pub use levels::{Levels, WrongLevel};
pub use lines::Listener;
pub use panics::log_panics;
pub use sink::complain;

use lines::{Lines, Tracing};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sink::{Sink, Stderr};
use std::sync::{Arc, OnceLock};
use systemd_journal_logger::{JournalLog, connected_to_journal};
use tracing_subscriber::Registry;
use tracing_subscriber::layer::SubscriberExt;

/// The name under which the journal knows the daemon (`journalctl -t mqttyd`).
const IDENTIFIER: &str = "mqttyd";

/// What is logged, and where to.
#[derive(Deserialize, JsonSchema, Debug, Clone, Default, PartialEq)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Config {
    /// What is logged: `off`, `error`, `warn`, `info`, `debug` or `trace`. Default `info`: every change of
    /// state, nothing per frame. A part of the daemon, or a library under it, may have a level of its own after
    /// a comma: `"info,mqttyd::port=debug"`, `"info,rumqttd=info"`. A level that names no part is for
    /// mqttyd itself: libraries stay at `warn` unless named (rumqttd at `off`: the broker's own lines repeat
    /// what matters of it). The environment variable MQTTYD_LOG overrides
    /// this. Change it while looking for a fault.
    pub level: Levels,
    /// Where the log goes. Default `auto`: to the systemd journal if systemd connected the daemon to it, else
    /// to stderr. Change it where a supervisor other than systemd keeps the log.
    pub target: Target,
}

/// Where the log goes.
#[derive(Deserialize, Serialize, JsonSchema, Debug, Clone, Copy, Default, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Target {
    /// To the journal when stderr is connected to it (as in a systemd service), else to stderr.
    #[default]
    Auto,
    /// To the systemd journal; the daemon doesn't start without one.
    Journal,
    /// To stderr, one line per event.
    Stderr,
}

/// The log could not be started.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration asks for the journal, and there is none.
    #[error("failed to reach the systemd journal, which log.target = \"journal\" asks for")]
    NoJournal(#[source] std::io::Error),
    /// Something in this process logs already.
    #[error("the log was started twice")]
    Twice,
}

/// Starts the log of this process. `instead` (from `--log` or MQTTYD_LOG) replaces the configured levels;
/// `listener` hears its events too.
pub fn start(
    config: &Config,
    instead: Option<Levels>,
    listener: Option<Listener<Registry>>,
) -> Result<(), Error> {
    let fixed = instead.is_some();
    let levels = instead.unwrap_or_else(|| config.level.clone());
    let (sink, complaint) = open(config.target)?;
    let lines = Arc::new(Lines::new(levels, sink));
    let subscriber = Registry::default().with(Tracing::new(lines.clone(), listener));
    tracing::subscriber::set_global_default(subscriber).map_err(|_| Error::Twice)?;
    // Libraries that speak `log` only. tracing's own events don't come twice: its `log` feature is silent
    // once there is a subscriber.
    log::set_max_level(lines.log_level());
    log::set_boxed_logger(Box::new(lines::Log(lines.clone()))).map_err(|_| Error::Twice)?;
    if !fixed {
        // The first start has come this far, and no other does.
        let _ = LINES.set(lines);
    }
    if let Some(error) = complaint {
        let error: &dyn std::error::Error = &error;
        tracing::warn!(
            error,
            "the systemd journal can't be reached, the log goes to stderr"
        );
    }
    Ok(())
}

/// The lines whose levels the configuration says.
static LINES: OnceLock<Arc<Lines>> = OnceLock::new();

/// From now on these levels hold, unless the process was started with others.
pub fn set_levels(levels: &Levels) {
    if let Some(lines) = LINES.get() {
        lines.set_levels(levels.clone());
        log::set_max_level(lines.log_level());
        tracing::callsite::rebuild_interest_cache();
    }
}

/// Chooses the sink; with a complaint when the journal should have been it and could not be reached.
fn open(target: Target) -> Result<(Sink, Option<std::io::Error>), Error> {
    let journal = || {
        let log = JournalLog::empty()?.with_syslog_identifier(IDENTIFIER.to_owned());
        Ok::<_, std::io::Error>(Sink::Journal(log))
    };
    let stderr = || Sink::Stderr(Stderr::new());
    match target {
        Target::Stderr => Ok((stderr(), None)),
        Target::Journal => Ok((journal().map_err(Error::NoJournal)?, None)),
        Target::Auto if !connected_to_journal() => Ok((stderr(), None)),
        Target::Auto => Ok(match journal() {
            Ok(sink) => (sink, None),
            Err(error) => (stderr(), Some(error)),
        }),
    }
}

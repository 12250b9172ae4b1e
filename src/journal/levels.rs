//! Which events are wanted: `"info"`, or `"info,mqttyd::port=debug"`.

use crate::read_any::read_any;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de;
use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use tracing::Metadata;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;

/// The names of the levels, from silent to talkative.
const NAMES: [(&str, LevelFilter); 6] = [
    ("off", LevelFilter::OFF),
    ("error", LevelFilter::ERROR),
    ("warn", LevelFilter::WARN),
    ("info", LevelFilter::INFO),
    ("debug", LevelFilter::DEBUG),
    ("trace", LevelFilter::TRACE),
];

/// What a library may say without being asked: what a person should know.
const FOREIGN: LevelFilter = LevelFilter::WARN;

/// The levels of the daemon's parts, as a person writes them.
#[derive(Clone, PartialEq)]
pub struct Levels {
    text: String,
    // In a box: it is large, and part of what clap and the configuration hold.
    targets: Box<Targets>,
}

/// A text that doesn't say levels.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WrongLevel {
    /// Not the name of a level.
    #[error("`{0}` is not a log level: off, error, warn, info, debug or trace{hint}", hint = hint(.0))]
    Name(String),
    /// A part without a name: `=debug`.
    #[error("`{0}` names no part: write `mqttyd::port=debug`")]
    Part(String),
    /// Nothing at all.
    #[error("no log level: off, error, warn, info, debug or trace")]
    Empty,
    /// The environment says so.
    #[error("the environment variable MQTTYD_LOG")]
    Environment(#[source] Box<WrongLevel>),
}

impl WrongLevel {
    fn environment(self) -> WrongLevel {
        WrongLevel::Environment(Box::new(self))
    }
}

fn hint(word: &str) -> String {
    if word.contains("::") || word == "mqttyd" || word == "rumqttd" {
        return format!("; a part is followed by its level, as in `{word}=debug`");
    }
    let word = word.to_ascii_lowercase();
    let near = |&(name, _): &(&'static str, LevelFilter)| {
        let distance = strsim::damerau_levenshtein(&word, name);
        (distance <= 2 || word.starts_with(name)).then_some((distance, name))
    };
    let nearest = NAMES.iter().filter_map(near).min();
    nearest
        .map(|(_, name)| format!("; did you mean `{name}`?"))
        .unwrap_or_default()
}

impl FromStr for Levels {
    type Err = WrongLevel;

    fn from_str(text: &str) -> Result<Levels, WrongLevel> {
        let level = |word: &str| {
            let found = NAMES.iter().find(|(name, _)| name.eq_ignore_ascii_case(word));
            found
                .map(|&(_, level)| level)
                .ok_or_else(|| WrongLevel::Name(word.to_owned()))
        };
        let (mut ours, mut named) = (LevelFilter::INFO, Vec::new());
        let mut parts = text
            .split(',')
            .map(str::trim)
            .filter(|part| !part.is_empty())
            .peekable();
        parts.peek().ok_or(WrongLevel::Empty)?;
        for part in parts {
            match part.split_once('=') {
                None => ours = level(part)?,
                Some((target, _)) if target.trim().is_empty() => {
                    return Err(WrongLevel::Part(part.to_owned()));
                }
                Some((target, word)) => named.push((target.trim().to_owned(), level(word.trim())?)),
            }
        }
        let base = Targets::new()
            .with_default(ours.min(FOREIGN))
            .with_target("mqttyd", ours)
            // It calls every client that leaves an error; the broker's room repeats what matters.
            .with_target("rumqttd", LevelFilter::OFF);
        Ok(Levels {
            text: text.to_owned(),
            targets: Box::new(base.with_targets(named)),
        })
    }
}

impl Levels {
    /// What MQTTYD_LOG says; `None` if nothing.
    pub fn of_environment() -> Result<Option<Levels>, WrongLevel> {
        match std::env::var_os("MQTTYD_LOG") {
            Some(text) if !text.is_empty() => text
                .to_string_lossy()
                .parse()
                .map(Some)
                .map_err(WrongLevel::environment),
            _ => Ok(None),
        }
    }

    /// Whether an event, or a span, is wanted.
    pub(super) fn want(&self, metadata: &Metadata<'_>) -> bool {
        if metadata.is_span() {
            // Ours are few and carry `port`, which a warning needs at every level. rumqttd's are made per
            // event on the hot path, at level error.
            return is_ours(metadata.target()) && *metadata.level() <= tracing::Level::INFO.max(self.own());
        }
        self.targets.would_enable(metadata.target(), metadata.level())
    }

    /// Whether a record of the `log` crate is wanted.
    pub(super) fn want_log(&self, target: &str, level: log::Level) -> bool {
        let level = match level {
            log::Level::Error => tracing::Level::ERROR,
            log::Level::Warn => tracing::Level::WARN,
            log::Level::Info => tracing::Level::INFO,
            log::Level::Debug => tracing::Level::DEBUG,
            log::Level::Trace => tracing::Level::TRACE,
        };
        self.targets.would_enable(target, &level)
    }

    /// The most talkative level that anything has.
    pub(super) fn most(&self) -> LevelFilter {
        self.targets
            .iter()
            .map(|(_, level)| level)
            .chain(self.targets.default_level())
            .max()
            .unwrap_or(LevelFilter::OFF)
    }

    fn own(&self) -> tracing::Level {
        self.most().into_level().unwrap_or(tracing::Level::ERROR)
    }
}

/// Whether a target is a part of this daemon and not a library.
pub(super) fn is_ours(target: &str) -> bool {
    target
        .strip_prefix("mqttyd")
        .is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

impl Default for Levels {
    fn default() -> Levels {
        "info".parse().expect("info is a level")
    }
}

impl fmt::Debug for Levels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Levels").field(&self.text).finish()
    }
}

impl fmt::Display for Levels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl serde::Serialize for Levels {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

read_any!(
    Levels,
    "a log level such as \"info\", or \"info,mqttyd::port=debug\"",
    {
        fn visit_str<E: de::Error>(self, text: &str) -> Result<Levels, E> {
            text.parse().map_err(E::custom)
        }
    }
);

impl JsonSchema for Levels {
    fn schema_name() -> Cow<'static, str> {
        "Levels".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A log level (off, error, warn, info, debug, trace), and after commas those of parts: \"info,mqttyd::port=debug\".",
            "type": "string",
            "examples": ["info", "warn", "info,mqttyd::port=debug"],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(levels: &str, target: &str, level: log::Level) -> bool {
        levels.parse::<Levels>().unwrap().want_log(target, level)
    }

    #[test]
    fn a_bare_level_is_for_us_and_libraries_warn() {
        assert!(event("debug", "mqttyd::port", log::Level::Debug));
        assert!(!event("debug", "rustls::conn", log::Level::Info));
        assert!(event("debug", "rustls::conn", log::Level::Warn));
        assert!(!event("error", "rustls::conn", log::Level::Warn));
        assert!(
            !event("debug", "rumqttd::router", log::Level::Error),
            "the broker's room repeats what matters"
        );
        assert!(!event("off", "mqttyd", log::Level::Error));
    }

    #[test]
    fn a_part_has_its_own_level() {
        let levels = "warn, mqttyd::port=debug,rumqttd=info";
        assert!(event(levels, "mqttyd::port::run", log::Level::Debug));
        assert!(!event(levels, "mqttyd::gateway", log::Level::Info));
        assert!(event(levels, "rumqttd::router", log::Level::Info));
        assert!(event("mqttyd::port=trace", "mqttyd::gateway", log::Level::Info));
    }

    #[test]
    fn a_wrong_level_says_what_would_be_right() {
        let fault = |text: &str| text.parse::<Levels>().unwrap_err().to_string();
        assert!(
            fault("inof").ends_with("did you mean `info`?"),
            "{}",
            fault("inof")
        );
        assert!(
            fault("warning").ends_with("did you mean `warn`?"),
            "{}",
            fault("warning")
        );
        assert!(
            fault("mqttyd::port").contains("`mqttyd::port=debug`"),
            "{}",
            fault("mqttyd::port")
        );
        assert!(
            fault("info,=debug").contains("names no part"),
            "{}",
            fault("info,=debug")
        );
        assert_eq!(fault(" , "), WrongLevel::Empty.to_string());
        assert!(fault("9").contains("not a log level"));
    }

    #[test]
    fn ours_is_a_path_and_not_a_prefix() {
        assert!(is_ours("mqttyd") && is_ours("mqttyd::port"));
        assert!(!is_ours("mqttydx") && !is_ours("rumqttd"));
    }
}

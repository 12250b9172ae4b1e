//! The values of a frame as one JSON object.

use super::scene::{Frame, Missing, quality};
use crate::field::record::{Entry, Quality, write_json_text};
use crate::field::timestamp;
use schemars::JsonSchema;
use serde::Deserialize;
use std::fmt::Write as _;

/// What the object holds beside the values. A value whose name is one of these words has the word for itself.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Object {
    /// Whether it holds `time`, when the frame's last byte came (RFC 3339, UTC). Default true.
    pub time: bool,
    /// Whether it holds `port`, the port's name. Default false.
    pub port: bool,
    /// Whether it holds `seq`, the frame's number on this port. Default false.
    pub seq: bool,
    /// Whether it holds `units`, an object of the values' units. Default false.
    pub units: bool,
    /// Whether it holds `quality`, an object that says for each value `good`, `absent` or `out-of-range`.
    /// Default false.
    pub quality: bool,
    /// Whether an object is published, too, in the moment that a device which speaks only when asked can't be asked
    /// for the values: each is `null`, and `unread` says which `device` and `poll`, the `reason` and `text`, `since`
    /// when, and the `last` good values with their `last-time`. Default false.
    pub unread: bool,
    /// What stands for a value that is absent or out of range: `null`, or it is left out (`omit`). Default `null`.
    pub absent: Omitted,
}

/// What stands for a value that is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Omitted {
    /// `null`.
    #[default]
    Null,
    /// The value is left out.
    Omit,
}

impl Default for Object {
    fn default() -> Self {
        Object {
            time: true,
            port: false,
            seq: false,
            units: false,
            quality: false,
            unread: false,
            absent: Omitted::Null,
        }
    }
}

impl Object {
    /// Appends the object of these values.
    pub(super) fn write(
        &self,
        frame: &Frame<'_>,
        entries: &[(&str, Entry<'_>)],
        missing: Missing<'_>,
        out: &mut String,
    ) {
        let named = |word: &str| entries.iter().any(|(name, _)| *name == word);
        out.push('{');
        if self.time && !named("time") {
            let _ = write!(out, "\"time\":\"{}\",", timestamp(frame.time));
        }
        if self.port && !named("port") {
            out.push_str("\"port\":");
            write_json_text(&frame.of.port, out);
            out.push(',');
        }
        if self.seq && !named("seq") {
            let _ = write!(out, "\"seq\":{},", frame.seq);
        }
        match missing {
            Missing::Stale if !named("stale") => out.push_str("\"stale\":true,"),
            Missing::Unread(why) if !named("unread") => {
                let _ = write!(out, "\"unread\":{why},");
            }
            _ => {}
        }
        for (name, entry) in entries {
            let good = missing == Missing::No && entry.quality == Quality::Good;
            if good || self.absent == Omitted::Null {
                write_json_text(name, out);
                out.push(':');
                if good {
                    entry.write_json(out);
                } else {
                    out.push_str("null");
                }
                out.push(',');
            }
        }
        if self.units && !named("units") {
            let with = entries.iter().filter(|(_, entry)| entry.info.unit.is_some());
            pairs("units", with.map(|(name, entry)| (*name, entry.unit())), out);
        }
        if self.quality && !named("quality") {
            let each = entries.iter().map(|(name, entry)| {
                let quality = missing.quality().unwrap_or_else(|| quality(entry.quality));
                (*name, quality)
            });
            pairs("quality", each, out);
        }
        if out.ends_with(',') {
            out.pop();
        }
        out.push('}');
    }
}

fn pairs<'a>(name: &str, pairs: impl Iterator<Item = (&'a str, &'a str)>, out: &mut String) {
    let _ = write!(out, "\"{name}\":{{");
    for (key, value) in pairs {
        write_json_text(key, out);
        out.push(':');
        write_json_text(value, out);
        out.push(',');
    }
    if out.ends_with(',') {
        out.pop();
    }
    out.push_str("},");
}

//! What no field has named.

use super::super::number;
use super::super::plan::{Place, Step};
use super::super::record::{Info, Record, Value};
use super::super::split::Parts;
use std::sync::Arc;

/// What no field has named, as it came.
pub(super) fn collect(steps: &[Step], parts: Parts<'_>, record: &mut Record) {
    let named = |key: &str| {
        steps
            .iter()
            .any(|step| matches!(&step.at, Place::Key(known) if **known == *key))
    };
    let text = |bytes: &[u8]| match bytes.trim_ascii() {
        [] => Value::Absent,
        text => Value::Text(String::from_utf8_lossy(text).into()),
    };
    let auto = |bytes: &[u8]| match number::decimal(bytes.trim_ascii(), b'.') {
        Some(number) if !is_label(bytes.trim_ascii()) => number,
        _ => text(bytes),
    };
    let info = |name: &str| Info {
        name: name.into(),
        ..Info::default()
    };
    match parts {
        Parts::Values(values) => {
            for (info, value) in values {
                if !named(&info.name) {
                    record.push(info, value);
                }
            }
        }
        Parts::Pairs(pairs) => {
            let unit = |key: &str| {
                let unit = pairs
                    .iter()
                    .find(|(known, _)| known.strip_suffix("/unit") == Some(key))?;
                Some(Arc::from(String::from_utf8_lossy(unit.1).as_ref()))
            };
            for (key, bytes) in &pairs {
                if !named(key) && !key.contains('/') {
                    let unit = unit(key);
                    let value = match number::decimal(bytes.trim_ascii(), b'.') {
                        // What has a unit is a number, however it is written.
                        Some(number) if unit.is_some() => number,
                        _ => auto(bytes),
                    };
                    record.push(Info { unit, ..info(key) }, value);
                }
            }
        }
        Parts::Groups(groups) => {
            for (key, bytes) in groups.into_iter().filter(|(key, _)| !named(key)) {
                record.push(info(key), auto(bytes));
            }
        }
        Parts::Json(serde_json::Value::Object(entries)) => {
            for (key, value) in entries.iter().filter(|(key, _)| !named(key)) {
                let value = match value {
                    serde_json::Value::Null => Value::Absent,
                    serde_json::Value::Bool(yes) => Value::Bool(*yes),
                    serde_json::Value::String(text) => Value::Text(text.as_str().into()),
                    serde_json::Value::Number(number) => {
                        number::decimal(number.to_string().as_bytes(), b'.').unwrap_or_default()
                    }
                    other => auto(other.to_string().as_bytes()),
                };
                record.push(info(key), value);
            }
        }
        Parts::Json(_) | Parts::Columns(_) | Parts::Binary => {}
    }
}

/// Whether digits name something, such as a meter: as a number they would lose zeros in front, or some of so many.
fn is_label(digits: &[u8]) -> bool {
    let whole = digits.iter().all(u8::is_ascii_digit);
    whole && (digits.len() > 15 || digits.len() > 1 && digits.starts_with(b"0"))
}

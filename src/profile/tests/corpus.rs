//! The cases of `tests/corpus-devices/NAME.toml` against the profile `config/devices/NAME.toml`.
//!
//! The cases are facts: bytes, and what they mean by a data sheet or a public decoder's tests. They have names
//! of their own for values; `NAME.names.toml` beside them says what the profile calls these, where that differs:
//! `[names]` maps a name, or `case/name` where one case has it otherwise, to a path; `[skip]` a case to the reason
//! why it is not for the profile alone.
//!
//! `DEVICE=jbd-bms cargo test --lib corpus` looks at one of them.

use super::super::config::{Expected, Gives, Wanted};
use crate::config::device;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use toml::{Table, Value};

pub(super) fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

pub(super) fn table(path: &Path) -> Table {
    let text = std::fs::read_to_string(path).unwrap();
    text.parse()
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

pub(super) fn bytes(value: Option<&Value>) -> Option<Vec<u8>> {
    super::super::example::bytes(value?.as_str()?).ok()
}

/// Texts by name, from a table of a file.
pub(super) fn map(own: &Table, key: &str) -> BTreeMap<String, String> {
    let entries = own.get(key).and_then(Value::as_table).into_iter().flatten();
    entries
        .map(|(key, value)| (key.clone(), value.as_str().unwrap_or_default().to_owned()))
        .collect()
}

/// The cases of a device.
pub(super) fn cases(name: &str) -> Vec<Value> {
    let table = table(&root().join(format!("tests/corpus-devices/{name}.toml")));
    table["case"].as_array().unwrap().clone()
}

pub(super) fn wanted(value: &Value) -> Wanted {
    match value {
        Value::String(text) => Wanted::Text(text.clone()),
        Value::Integer(n) => Wanted::Number(*n as f64),
        Value::Float(x) => Wanted::Number(*x),
        Value::Boolean(yes) => Wanted::Bool(*yes),
        Value::Array(all) => Wanted::List(all.iter().map(wanted).collect()),
        other => Wanted::Text(other.to_string()),
    }
}

/// The values of a case, by the names that the profile has for them.
fn expected(table: Option<&Value>, names: &BTreeMap<String, String>, case: &str) -> Expected {
    let entries = table.and_then(Value::as_table).into_iter().flatten();
    let entry = |(name, entry): (&String, &Value)| {
        let own = names.get(&format!("{case}/{name}"));
        let name = own.or_else(|| names.get(name)).unwrap_or(name);
        (!name.is_empty()).then(|| (name.clone(), wanted(&entry["value"])))
    };
    Expected(entries.filter_map(entry).collect())
}

fn device(name: &str, failures: &mut String) {
    let cases = table(&root().join(format!("tests/corpus-devices/{name}.toml")));
    let names_path = root().join(format!("tests/corpus-devices/{name}.names.toml"));
    let own = if names_path.exists() {
        table(&names_path)
    } else {
        Table::new()
    };
    let (names, skip) = (map(&own, "names"), map(&own, "skip"));
    let path = root().join(format!("config/devices/{name}.toml"));
    let read = match device::read(&path) {
        Ok(read) => read,
        Err(faults) => {
            let _ = writeln!(failures, "{}", faults.render(false));
            return;
        }
    };
    for example in &read.config.example {
        if let Err(why) = read.profile.try_example(example) {
            let _ = writeln!(failures, "{name}: example {:?}: {why:#?}", example.name);
        }
    }
    for case in cases["case"].as_array().unwrap() {
        let id = case["id"].as_str().unwrap();
        let (Some(wire), false) = (bytes(case.get("wire_hex")), skip.contains_key(id)) else {
            assert!(skip.contains_key(id), "{name}: {id} has no bytes");
            continue;
        };
        let request = bytes(case.get("request_hex"));
        let gives = match case["outcome"].as_str().unwrap() {
            "accept" => Gives::Values,
            "reject" | "decode-error" | "wrong-address" | "stale-reply" => Gives::Refused,
            "device-error" => Gives::Error,
            "no-data" => Gives::NoData,
            "ack" => Gives::Ack,
            "ignored" => Gives::Ignore,
            "incomplete" => Gives::Incomplete,
            other => panic!("{name}: {id}: unknown outcome {other}"),
        };
        let tolerance = case.get("tolerance").and_then(Value::as_float).unwrap_or(1e-9);
        let tried = read.profile.try_bytes(&wire, request.as_deref());
        let several = case.get("frame").and_then(Value::as_array);
        let compared = match several {
            None => tried.compare(gives, &expected(case.get("expect"), &names, id), tolerance),
            Some(frames) => frames.iter().enumerate().try_for_each(|(n, frame)| {
                let mut one = tried.clone();
                let nth: Vec<_> = one
                    .frames
                    .into_iter()
                    .filter(|(_, _, outcome)| matches!(outcome, super::super::Outcome::Values(_)))
                    .collect();
                assert_eq!(nth.len(), frames.len(), "{name}: {id}: so many records");
                one.frames = vec![nth[n].clone()];
                one.compare(gives, &expected(Some(frame), &names, id), tolerance)
            }),
        };
        if let Err(why) = compared {
            let _ = writeln!(failures, "{name}: {id}: {}", tried.words());
            for failure in why {
                let field = failure.field.unwrap_or_default();
                let _ = writeln!(failures, "    {field}: {}", failure.what);
            }
            for record in tried.records() {
                let mut json = String::new();
                record.write_json(&mut json);
                let _ = writeln!(failures, "    {json}");
            }
        }
    }
}

#[test]
fn every_case_gives_what_its_source_says() {
    let only = std::env::var("DEVICE").ok();
    let mut failures = String::new();
    let mut count = 0;
    for entry in std::fs::read_dir(root().join("config/devices")).unwrap() {
        let file = entry.unwrap().file_name().into_string().unwrap();
        let Some(name) = file.strip_suffix(".toml") else {
            continue;
        };
        let there = root().join(format!("tests/corpus-devices/{name}.toml")).exists();
        if there && only.as_deref().is_none_or(|only| only == name) {
            count += 1;
            device(name, &mut failures);
        }
    }
    assert!(count > 0, "there is no such device");
    assert!(failures.is_empty(), "\n{failures}");
}

/// Examples of profiles that have no cases here.
#[test]
fn every_example_gives_what_it_says() {
    let mut failures = String::new();
    for entry in std::fs::read_dir(root().join("config/devices")).unwrap() {
        let path = entry.unwrap().path();
        match device::read_and_look(&path) {
            Err(faults) => {
                let _ = writeln!(failures, "{}", faults.render(false));
            }
            Ok(read) => {
                for example in &read.config.example {
                    if let Err(why) = read.profile.try_example(example) {
                        let _ = writeln!(failures, "{}: {:?}: {why:#?}", path.display(), example.name);
                    }
                }
            }
        }
    }
    assert!(failures.is_empty(), "\n{failures}");
}

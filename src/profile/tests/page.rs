//! The reference page `docs/fields.md` against the types that it tells of.

use crate::config::device;
use serde_json::Value;
use std::collections::BTreeSet;

const PAGE: &str = include_str!("../../../docs/fields.md");
const MODBUS: &str = include_str!("../../../docs/modbus.md");

/// The profiles that the page shows, each a run of indented lines that begins with its title.
fn examples(page: &str) -> Vec<String> {
    let mut examples = Vec::new();
    let mut lines = page.lines().peekable();
    while let Some(line) = lines.next() {
        if !line.starts_with("    title ") {
            continue;
        }
        let mut text = format!("{}\n", line.trim_start());
        while let Some(line) = lines.next_if(|line| line.is_empty() || line.starts_with("    ")) {
            text.push_str(line.strip_prefix("    ").unwrap_or(line));
            text.push('\n');
        }
        examples.push(text);
    }
    examples
}

#[test]
fn the_worked_examples_work() {
    let (fields, modbus) = (examples(PAGE), examples(MODBUS));
    assert_eq!((fields.len(), modbus.len()), (3, 1));
    for text in fields.into_iter().chain(modbus) {
        let read = device::parse(&text, "docs/fields.md")
            .unwrap_or_else(|faults| panic!("{}", faults.render(false)));
        assert!(!read.config.example.is_empty());
        for example in &read.config.example {
            if let Err(why) = read.profile.try_example(example) {
                panic!("{}: {}: {why:#?}", read.config.title, example.name);
            }
        }
    }
}

#[test]
fn every_word_is_on_the_page() {
    let schema = device::schema();
    let mut words = BTreeSet::new();
    // Framing, checks and the line have a page of their own.
    let elsewhere = [
        "ChecksumAlgorithm",
        "Parity",
        "FlowControl",
        "Escape",
        "Stuff",
        "Xor",
        "Until",
        "Counts",
        "Plus",
    ];
    for (name, part) in schema["$defs"].as_object().unwrap() {
        let own = part["properties"].get("byte").is_some()
            || !elsewhere.contains(&name.trim_end_matches(char::is_numeric));
        if own && !name.contains("Frame") {
            collect(part, &mut words);
        }
    }
    collect(&schema, &mut words);
    let functions = crate::field::expr::functions().map(str::to_owned);
    words.extend(functions);
    for algorithm in crate::check::Algorithm::all() {
        words.remove(algorithm.name());
    }
    let missing: Vec<_> = words
        .iter()
        .filter(|word| !PAGE.contains(word.as_str()))
        .collect();
    assert!(missing.is_empty(), "not in docs/fields.md: {missing:?}");
}

fn collect(part: &Value, words: &mut BTreeSet<String>) {
    for (key, value) in part["properties"].as_object().into_iter().flatten() {
        words.insert(key.clone());
        collect(value, words);
    }
    for form in ["oneOf", "anyOf"]
        .into_iter()
        .filter_map(|key| part[key].as_array())
        .flatten()
    {
        words.extend(form["const"].as_str().map(str::to_owned));
        for name in form["enum"].as_array().into_iter().flatten() {
            words.extend(name.as_str().map(str::to_owned));
        }
        collect(form, words);
    }
}

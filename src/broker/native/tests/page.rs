//! `docs/mqtt-conformance.md` names every statement once, and tests that are there.

use std::collections::BTreeSet;
use std::path::Path;

const PAGE: &str = include_str!("../../../../docs/mqtt-conformance.md");
const STATEMENTS: &str = include_str!("statements.txt");
/// What the page abbreviates.
const HERE: &str = "src/broker/native/";
/// How a row begins that has a reason in the place of a test.
const LEFT_OUT: &str = "Left out: ";

/// A row of a table.
struct Row {
    /// The version and the number: "MQTT 5.0 [MQTT-3.1.0-1]".
    statement: String,
    says: &'static str,
    shown: &'static str,
}

fn rows() -> Vec<Row> {
    let mut version = "";
    let mut rows = Vec::new();
    for line in PAGE.lines() {
        if let Some(title) = line.strip_prefix("## ") {
            version = title;
        }
        if !line.starts_with("| [MQTT-") {
            continue;
        }
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [number, says, shown] = cells[..] else {
            panic!("three cells: {line}");
        };
        rows.push(Row {
            statement: format!("{version} {number}"),
            says,
            shown,
        });
    }
    rows
}

/// All statements, in the standards' order.
fn statements() -> Vec<String> {
    let mut version = "";
    let mut all = Vec::new();
    for line in STATEMENTS
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty())
    {
        if let Some(title) = line.strip_prefix("= ") {
            version = title;
            continue;
        }
        let (section, numbers) = line.split_once(' ').unwrap();
        let (first, last) = numbers.split_once('-').unwrap_or((numbers, numbers));
        let numbers = first.parse::<u32>().unwrap()..=last.parse().unwrap();
        all.extend(numbers.map(|number| format!("{version} [MQTT-{section}-{number}]")));
    }
    all
}

/// What stands between backquotes: `file::test`, both whole.
fn named(shown: &'static str) -> Vec<(String, &'static str)> {
    let quoted = shown.split('`').skip(1).step_by(2);
    quoted
        .map(|test| {
            let (file, name) = test.split_once("::").unwrap_or_else(|| panic!("a test: {test}"));
            let file = match file.strip_prefix("native/") {
                Some(file) => format!("{HERE}{file}"),
                None => file.to_owned(),
            };
            (file, name)
        })
        .collect()
}

/// The names of the tests in a file.
fn tests(file: &str) -> BTreeSet<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{file}: {error}"));
    let mut found = BTreeSet::new();
    let mut marked = false;
    for line in text.lines().map(str::trim_start) {
        if line == "#[test]" || line.starts_with("#[tokio::test") {
            marked = true;
        } else if let Some((_, name)) = line.split_once("fn ")
            && marked
        {
            found.extend(name.split('(').next().map(str::to_owned));
            marked = false;
        }
    }
    found
}

#[test]
fn every_statement_is_on_the_page_once_and_in_its_order() {
    let on_the_page: Vec<String> = rows().into_iter().map(|row| row.statement).collect();
    let all = statements();
    assert_eq!(all.len(), 141 + 251, "as many as the two standards have");
    for (on_the_page, statement) in on_the_page.iter().zip(&all) {
        assert_eq!(
            on_the_page, statement,
            "what the page has, and what it should have there"
        );
    }
    assert_eq!(on_the_page.len(), all.len());
}

#[test]
fn every_test_that_the_page_names_is_there() {
    for row in rows() {
        let Row {
            statement,
            says,
            shown,
        } = row;
        assert!(!says.is_empty(), "{statement} says nothing");
        let named = named(shown);
        match shown.strip_prefix(LEFT_OUT) {
            Some(reason) => assert!(!reason.is_empty() && named.is_empty(), "{statement}: {shown}"),
            None => assert!(!named.is_empty(), "{statement} has no test, and no reason"),
        }
        for (file, name) in named {
            assert!(
                tests(&file).contains(name),
                "{statement}: {file} has no test {name}"
            );
        }
    }
}

#[test]
fn every_test_of_this_folder_is_on_the_page() {
    let named: BTreeSet<(String, &str)> = rows().iter().flat_map(|row| named(row.shown)).collect();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(HERE).join("tests");
    for entry in std::fs::read_dir(folder).unwrap() {
        let file = entry.unwrap().file_name().into_string().unwrap();
        if file == "page.rs" || !file.ends_with(".rs") {
            continue;
        }
        let file = format!("{HERE}tests/{file}");
        for test in tests(&file) {
            assert!(
                named.contains(&(file.clone(), &test)),
                "{file}::{test} shows nothing"
            );
        }
    }
}

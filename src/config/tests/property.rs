//! Whatever is done to a good file, reading it never panics, and every fault lies inside it.

use crate::config::{Config, file};
use proptest::prelude::*;

const GOOD: &str = include_str!("../../../config/examples/many.toml");

/// One random edit.
#[derive(Debug, Clone)]
enum Edit {
    Delete(usize, usize),
    Double(usize, usize),
    Insert(usize, Vec<u8>),
    Swap(usize, usize),
}

fn edit() -> impl Strategy<Value = Edit> {
    let at = 0..GOOD.len();
    let bits = prop::sample::select(vec![
        "[",
        "]",
        "[[",
        "]]",
        "{",
        "}",
        "\"",
        "'",
        "\"\"\"",
        "=",
        ",",
        ".",
        "\n",
        "\r\n",
        "#",
        "\\",
        "\0",
        "-1",
        "1e9",
        "true",
        "[]",
        "{}",
        "ä",
        "\u{feff}",
        "port",
        "[port]\n",
        "[[port]]\n",
        "name = 1\n",
    ]);
    prop_oneof![
        (at.clone(), 1..40usize).prop_map(|(at, len)| Edit::Delete(at, len)),
        (at.clone(), 1..40usize).prop_map(|(at, len)| Edit::Double(at, len)),
        (at.clone(), bits).prop_map(|(at, text)| Edit::Insert(at, text.as_bytes().to_vec())),
        (at.clone(), prop::collection::vec(any::<u8>(), 1..4))
            .prop_map(|(at, bytes)| Edit::Insert(at, bytes)),
        (at.clone(), at).prop_map(|(a, b)| Edit::Swap(a, b)),
    ]
}

fn edited(edits: &[Edit]) -> Vec<u8> {
    let mut bytes = GOOD.as_bytes().to_vec();
    for edit in edits {
        let len = bytes.len();
        match edit {
            Edit::Delete(at, n) => drop(bytes.drain((*at).min(len)..(at + n).min(len))),
            Edit::Double(at, n) => {
                let part = bytes[(*at).min(len)..(at + n).min(len)].to_vec();
                let at = (*at).min(len);
                bytes.splice(at..at, part);
            }
            Edit::Insert(at, part) => {
                let at = (*at).min(len);
                bytes.splice(at..at, part.iter().copied());
            }
            Edit::Swap(a, b) if len > 0 => bytes.swap(a % len, b % len),
            Edit::Swap(..) => {}
        }
    }
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn edits_never_panic_and_faults_lie_inside(edits in prop::collection::vec(edit(), 1..6)) {
        let bytes = edited(&edits);
        let Ok(text) = file::text("edited.toml", bytes) else { return Ok(()) };
        match Config::parse(&text, "edited.toml") {
            Ok(read) => drop(read.warnings.render(false)),
            Err(faults) => {
                prop_assert!(!faults.is_empty());
                for fault in faults.iter() {
                    let span = fault.span.clone().unwrap_or(0..0);
                    prop_assert!(text.get(span.clone()).is_some(), "{:?} in {}", span, text.len());
                }
                let told = faults.render(true);
                prop_assert!(told.contains("error"));
            }
        }
    }

    #[test]
    fn any_text_is_read_or_refused(text in "\\PC{0,200}|[\\[\\]{}=\"'#.,a-c0-9 \n]{0,80}") {
        if let Err(faults) = Config::parse(&text, "any.toml") {
            prop_assert!(!faults.render(false).is_empty());
        }
    }
}

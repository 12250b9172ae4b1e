//! The engine on types of its own, with every feature that the rooms' types have.

#![expect(dead_code, reason = "what is read here is not used")]

mod corpus;
mod kept;
mod property;

use super::*;
use crate::octets::Octets;
use crate::span::Span;
use serde::{Deserialize, Deserializer, de};
use std::net::SocketAddr;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct House {
    #[serde(default)]
    broker: Broker,
    #[serde(default)]
    port: Vec<Port>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
struct Broker {
    listen: Vec<SocketAddr>,
    max: u8,
    retry: Option<Span>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Port {
    name: String,
    #[serde(default)]
    baud: u32,
    #[serde(default)]
    parity: Parity,
    frame: Option<Frame>,
    #[serde(default)]
    publish: Vec<Publish>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Parity {
    #[default]
    None,
    Even,
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(rename_all = "kebab-case")]
enum Frame {
    Line(Line),
    Fixed(Fixed),
    Named { at: u8 },
    Slip,
}

#[derive(Debug, Deserialize, PartialEq, Default)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
struct Line {
    max: u16,
    end: Octets,
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Fixed {
    size: u16,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Publish {
    topic: Word,
    span: Span,
    #[serde(default)]
    retain: bool,
}

#[derive(Debug)]
struct Word;

impl<'de> Deserialize<'de> for Word {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match text.contains(' ') {
            false => Ok(Word),
            true => Err(de::Error::custom("one word only\nhelp: take away the spaces")),
        }
    }
}

/// Each fault as `line:column title; label`.
fn faults(text: &str) -> Vec<String> {
    let loaded = load::<House>(text);
    loaded
        .faults
        .iter()
        .map(|fault| {
            let at = fault.span.clone().unwrap().start;
            let line = text[..at].matches('\n').count() + 1;
            format!("{line}: {}; {}", fault.title, fault.label)
        })
        .collect()
}

#[test]
fn reads_what_is_right() {
    let loaded = load::<House>(
        "[broker]\nlisten = ['127.0.0.1:1']\n[[port]]\nname = 'a'\nframe = 'line'\n\
         [[port]]\nname = 'b'\nframe = { fixed = { size = 3 } }\n[[port]]\nname = 'c'\nframe = 'slip'",
    );
    assert_eq!(loaded.faults, []);
    let frames: Vec<_> = loaded
        .value
        .unwrap()
        .port
        .into_iter()
        .map(|port| port.frame.unwrap())
        .collect();
    assert_eq!(
        frames,
        [
            Frame::Line(Line::default()),
            Frame::Fixed(Fixed { size: 3 }),
            Frame::Slip
        ]
    );
}

#[test]
fn tells_every_fault_at_once() {
    let text = "colour = 1\n[broker]\nmax = 300\nretry = 20\nlisten = ['x', '127.0.0.1:1']\n\
                [[port]]\nbaud = '9600'\nparity = 'evn'\nframe = { lien = { max = 1 } }\n\
                [[port.publish]]\ntopic = 'a b'\nretain = 'yes'\n";
    insta::assert_debug_snapshot!(faults(text));
}

#[test]
fn what_follows_from_another_fault_is_not_told() {
    for text in [
        "[[port]]\nnmae = 'x'",
        "[[port]]\nname = 3",
        "[[port]]\nname = x",
        "[[port]]\nname = 'x'\nframe = { line = { end = [256] } }",
        "[[port]]\nname = 'x'\n[[port.publish]]\ntopic = 'a b'\nspan = '1s'",
        "port = 3",
        "[port]\nname = 'x'",
        "[[broker]]\nmax = 3",
    ] {
        assert_eq!(faults(text).len(), 1, "{text}\n{:#?}", faults(text));
    }
}

#[test]
fn missing_keys_are_all_told() {
    assert_eq!(
        faults("[[port]]\n[[port.publish]]\n[[port]]\nframe = 'fixed'"),
        [
            "2: missing key `topic`; `[[port.publish]]` has no `topic`",
            "2: missing key `span`; `[[port.publish]]` has no `span`",
            "1: missing key `name`; `[[port]]` has no `name`",
            "4: missing key `size`; `fixed` cannot do without `size`",
            "3: missing key `name`; `[[port]]` has no `name`",
        ]
    );
}

#[test]
fn enums_in_every_wrong_form() {
    let forms = [
        "'fixed'",
        "{ slip = { a = 1 } }",
        "{ slip = {} }",
        "{}",
        "3",
        "{ line = {}, max = 3 }",
        "'named'",
    ];
    let told = forms.map(|form| {
        format!(
            "{form}: {:#?}",
            faults(&format!("[[port]]\nname = 'x'\nframe = {form}"))
        )
    });
    insta::assert_snapshot!(told.join("\n"));
}

//! Escapes within frames that have a start and an end marker.

use super::Error;
use super::marker::{Found, Marker, Set, compare, find};
use crate::octets::Octets;
use memchr::{memchr, memchr3};
use schemars::JsonSchema;
use serde::Deserialize;

/// How markers are kept out of a frame's inside.
#[derive(Deserialize, JsonSchema, Debug, Clone, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub enum Escape {
    /// An escape byte says that the next byte was XORed, or stands for itself.
    Xor(Xor),
    /// The bytes that both markers begin with are followed by others when they are data.
    Stuff(Stuff),
}

/// An escape byte says that the next byte was XORed, or stands for itself.
#[derive(Deserialize, JsonSchema, Debug, Clone, PartialEq)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Xor {
    /// The escape byte, such as 0x1B.
    pub mark: u8,
    /// What the byte behind it is XORed with. Default 0: that byte stands for itself.
    #[serde(default)]
    pub mask: u8,
    /// Bytes that are escaped when sent, besides the escape byte and those that the markers begin with.
    /// Default none. On receiving any escaped byte is taken.
    #[serde(default)]
    #[schemars(extend("default" = []))]
    pub also: Octets,
}

/// The bytes that both markers begin with are followed by others when they are data, as DLE is in
/// DLE STX ... DLE ETX.
#[derive(Deserialize, JsonSchema, Debug, Clone, PartialEq)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Stuff {
    /// What is escaped: the end marker begins with it, and mostly the start marker, too.
    pub mark: Marker,
    /// What follows it when it is data. Default: the mark once more, so that it is doubled.
    #[serde(default)]
    pub with: Option<Marker>,
    /// Whether the check covers the bytes as they were on the wire, escapes included, as SML has it. Default
    /// false: it covers the bytes without escapes. It needs `tail`.
    #[serde(default)]
    pub wire_check: bool,
}

/// An escape between two markers, ready for use.
#[derive(Debug)]
pub(super) enum Escaping {
    Xor {
        mark: u8,
        mask: u8,
        start: Vec<u8>,
        end: Vec<u8>,
        escaped: Set,
    },
    Stuff {
        mark: Vec<u8>,
        with: Vec<u8>,
        start: Option<Vec<u8>>,
        end: Vec<u8>,
    },
}

/// What the search for the end met.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Met {
    /// The end marker.
    End(usize),
    /// A start marker: another frame.
    Start(usize),
    /// An escape that no sender makes.
    Wrong(usize),
    /// Nothing before this place; go on from here.
    Nothing(usize),
}

impl Escaping {
    pub(super) fn new(config: &Escape, start: &[u8], end: &[u8]) -> Result<Escaping, Error> {
        match config {
            Escape::Xor(config) => Escaping::xor(config, start, end),
            Escape::Stuff(config) => Escaping::stuff(config, start, end),
        }
    }

    fn xor(config: &Xor, start: &[u8], end: &[u8]) -> Result<Escaping, Error> {
        let &Xor { mark, mask, ref also } = config;
        let special = [mark, start[0], end[0]];
        if special[1..].contains(&mark) {
            return Err(Error::new(
                "a marker cannot begin with the escape byte of `xor`: that is `stuff`",
            ));
        }
        let escaped = || special.into_iter().chain(also.iter().copied());
        if let Some(byte) = escaped().find(|byte| mask != 0 && special.contains(&(byte ^ mask))) {
            return Err(Error::new(format!(
                "the byte {byte:#04x} escaped would be {:#04x}, which begins a marker or an escape: another mask is needed",
                byte ^ mask
            )));
        }
        let (start, end) = (start.to_vec(), end.to_vec());
        Ok(Escaping::Xor {
            mark,
            mask,
            start,
            end,
            escaped: Set::new(escaped()),
        })
    }

    fn stuff(config: &Stuff, start: &[u8], end: &[u8]) -> Result<Escaping, Error> {
        let mark = config.mark.to_vec();
        let with = config.with.as_deref().unwrap_or(&mark).to_vec();
        let rest = |marker: &[u8]| marker.strip_prefix(mark.as_slice()).map(<[u8]>::to_vec);
        let Some(end) = rest(end).filter(|end| !end.is_empty()) else {
            return Err(Error::new(
                "the end marker must begin with the mark of the escape and have more",
            ));
        };
        let start = rest(start);
        let meanings: Vec<&[u8]> = [Some(&with), Some(&end), start.as_ref()]
            .into_iter()
            .flatten()
            .map(Vec::as_slice)
            .collect();
        for (i, long) in meanings.iter().enumerate() {
            for (j, short) in meanings.iter().enumerate() {
                if i != j && long.starts_with(short) {
                    return Err(Error::new(format!(
                        "\"{}\" and \"{}\" behind the escape's mark cannot be told apart",
                        long.escape_ascii(),
                        short.escape_ascii(),
                    )));
                }
            }
        }
        Ok(Escaping::Stuff {
            mark,
            with,
            start,
            end,
        })
    }

    /// Looks for the end of the frame's inside, from `at` on, which is not within an escape. Says by
    /// `escaped` whether there may be escapes on the way.
    ///
    /// A search that began earlier has met nothing before `known`. Two searches go the same way from the first
    /// place on where neither is within an escape, so there this one hops to `known`: many false starts within
    /// one long stretch are not searched through again and again.
    pub(super) fn scan(&self, bytes: &[u8], mut at: usize, known: usize, escaped: &mut bool) -> Met {
        match self {
            Escaping::Xor {
                mark,
                mask,
                start,
                end,
                ..
            } => loop {
                let from = at;
                match memchr3(*mark, start[0], end[0], &bytes[at..]) {
                    Some(hop) => at += hop,
                    None => return Met::Nothing(bytes.len()),
                }
                if at > from && at < known {
                    *escaped = true;
                    at = known;
                    continue;
                }
                let rest = &bytes[at..];
                if rest[0] == *mark {
                    match rest.get(1) {
                        None => return Met::Nothing(at),
                        Some(b) if *mask != 0 && [*mark, start[0], end[0]].contains(b) => {
                            return Met::Wrong(at);
                        }
                        // Behind anything but another mark both searches are out of their escapes.
                        Some(b) if b != mark => at = known.max(at + 2),
                        Some(_) => at += 2,
                    }
                    *escaped = true;
                    continue;
                }
                match (compare(end, rest), compare(start, rest)) {
                    (Some(true), _) => return Met::End(at),
                    (None, _) => return Met::Nothing(at),
                    (_, Some(true)) => return Met::Start(at),
                    (_, None) => return Met::Nothing(at),
                    (Some(false), Some(false)) => at += 1,
                }
            },
            Escaping::Stuff {
                mark,
                with,
                start,
                end,
            } => loop {
                let from = at;
                match find(mark, bytes, at) {
                    Found::At(place) => at = place,
                    Found::NotBefore(place) => return Met::Nothing(place),
                }
                if at < known && at - from >= mark.len() + with.len() - 1 {
                    // Whatever escape the other search was in has ended here.
                    *escaped = true;
                    at = known;
                    continue;
                }
                let rest = &bytes[at + mark.len()..];
                let start = start.as_ref().map_or(Some(false), |start| compare(start, rest));
                match (compare(with, rest), compare(end, rest), start) {
                    (Some(true), _, _) => {
                        *escaped = true;
                        at += mark.len() + with.len();
                    }
                    (_, Some(true), _) => return Met::End(at),
                    (_, _, Some(true)) => return Met::Start(at),
                    (Some(false), Some(false), Some(false)) if slides(mark, rest[0]) => at += 1,
                    (Some(false), Some(false), Some(false)) => return Met::Wrong(at),
                    _ => return Met::Nothing(at),
                }
            },
        }
    }

    /// Appends the inside of a frame without its escapes; false when it ends in the midst of one.
    pub(super) fn unescape(&self, mut bytes: &[u8], out: &mut Vec<u8>) -> bool {
        match self {
            Escaping::Xor { mark, mask, .. } => {
                while let Some(plain) = memchr(*mark, bytes) {
                    out.extend_from_slice(&bytes[..plain]);
                    let Some(byte) = bytes.get(plain + 1) else {
                        return false;
                    };
                    out.push(byte ^ mask);
                    bytes = &bytes[plain + 2..];
                }
            }
            Escaping::Stuff { mark, with, .. } => {
                while let Found::At(plain) = find(mark, bytes, 0) {
                    out.extend_from_slice(&bytes[..plain]);
                    let rest = &bytes[plain + mark.len()..];
                    if let Some(rest) = rest.strip_prefix(with.as_slice()) {
                        out.extend_from_slice(mark);
                        bytes = rest;
                    } else {
                        out.push(mark[0]);
                        bytes = &bytes[plain + 1..];
                    }
                }
            }
        }
        out.extend_from_slice(bytes);
        true
    }

    /// Appends the inside of a frame with escapes.
    pub(super) fn escape(&self, mut bytes: &[u8], out: &mut Vec<u8>) {
        match self {
            Escaping::Xor {
                mark, mask, escaped, ..
            } => {
                for &byte in bytes {
                    if escaped.has(byte) {
                        out.extend_from_slice(&[*mark, byte ^ mask]);
                    } else {
                        out.push(byte);
                    }
                }
            }
            Escaping::Stuff { mark, with, .. } => {
                while let Found::At(plain) = find(mark, bytes, 0) {
                    out.extend_from_slice(&bytes[..plain]);
                    out.extend_from_slice(mark);
                    out.extend_from_slice(with);
                    bytes = &bytes[plain + mark.len()..];
                }
                out.extend_from_slice(bytes);
            }
        }
    }
}

/// Whether a mark that means nothing may be data and the beginning of another mark one byte later: a run of
/// one byte, as SML's 1B 1B 1B 1B when the data before it ends with 1B.
fn slides(mark: &[u8], next: u8) -> bool {
    mark.len() > 1 && mark.iter().all(|byte| *byte == next)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_escaping() -> impl Strategy<Value = Escaping> {
        let few = |n: std::ops::Range<usize>| {
            let bytes = proptest::collection::vec(proptest::sample::select(&b"abc"[..]), n);
            bytes.prop_map(|bytes| Marker::new(bytes).unwrap())
        };
        let mask = proptest::sample::select(&[0, 1, 0x80][..]);
        let xor = (proptest::sample::select(&b"abc"[..]), mask, few(1..3), few(1..3)).prop_map(
            |(mark, mask, start, end)| {
                let xor = Xor {
                    mark,
                    mask,
                    also: Octets::default(),
                };
                Escaping::new(&Escape::Xor(xor), &start, &end)
            },
        );
        let stuff = (few(1..4), proptest::option::of(few(1..3)), few(1..3), few(1..3)).prop_map(
            |(mark, with, start, end)| {
                let marked = |marker: &Marker| [&mark[..], marker].concat();
                let (start, end) = (marked(&start), marked(&end));
                let stuff = Stuff {
                    mark,
                    with,
                    wire_check: false,
                };
                Escaping::new(&Escape::Stuff(stuff), &start, &end)
            },
        );
        prop_oneof![xor, stuff].prop_filter_map("settings that go together", Result::ok)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn what_another_search_knows_changes_nothing(
            escaping in any_escaping(),
            bytes in proptest::collection::vec(proptest::sample::select(&b"abcdd"[..]), 1..40),
        ) {
            let known = match escaping.scan(&bytes, 0, 0, &mut false) {
                Met::End(place) | Met::Start(place) | Met::Wrong(place) | Met::Nothing(place) => place,
            };
            for at in 0..bytes.len() {
                let alone = escaping.scan(&bytes, at, 0, &mut false);
                prop_assert_eq!(escaping.scan(&bytes, at, known, &mut false), alone, "from {}", at);
            }
        }
    }
}

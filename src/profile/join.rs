//! Messages that are longer than a frame of their device: the parts are put together before anything is read.

use super::config::{Join, When};
use super::when::Test;
use crate::field::config::Unpack;
use crate::field::{Mistake, regex, unpack};
use regex::bytes::Regex;

/// How parts are put together, ready for use.
#[derive(Debug)]
pub(super) struct Joint {
    first: Test,
    last: Test,
    unpack: Vec<Unpack>,
    take: Option<Regex>,
    max: usize,
}

/// What a frame is to a message.
#[derive(Debug, PartialEq)]
pub(super) enum Joined {
    /// One part of it.
    Part,
    /// Its last part: here is the whole.
    Whole(Vec<u8>),
    /// A part that belongs to none, or to one that would become too long.
    Lost(&'static str),
}

impl Joint {
    pub(super) fn new(join: &Join, mistakes: &mut Vec<Mistake>) -> Option<Joint> {
        let mut wrong = |key: &str, what: String| {
            mistakes.push(Mistake {
                path: format!("join.{key}"),
                what,
            })
        };
        let mut test = |key: &str, when: &When| match Test::new(when) {
            Ok(test) => Some(test),
            Err((inner, what)) => {
                wrong(&format!("{key}.{inner}"), what);
                None
            }
        };
        let (first, last) = (test("first", &join.first), test("last", &join.last));
        let take = match join.take.as_deref().map(regex).transpose() {
            Ok(take) => take,
            Err(what) => {
                wrong("take", what);
                return None;
            }
        };
        Some(Joint {
            first: first?,
            last: last?,
            unpack: join.unpack.0.clone(),
            take,
            max: join.max.get(),
        })
    }

    /// Adds a frame's data to the parts that came before.
    pub(super) fn add(&self, parts: &mut Option<Vec<u8>>, data: &[u8]) -> Joined {
        let own = match &self.take {
            None => Some(data),
            Some(take) => take
                .captures(data)
                .and_then(|all| all.get(1).or(all.get(0)))
                .map(|found| found.as_bytes()),
        };
        let own = own.and_then(|own| unpack::undo(&self.unpack, own.into()));
        let Some(own) = own else {
            *parts = None;
            return Joined::Lost("the part's own bytes are not there");
        };
        if self.first.fits(data, None) {
            *parts = Some(Vec::new());
        }
        let Some(mut whole) = parts.take() else {
            return Joined::Lost("the parts before this one are missing");
        };
        if whole.len() + own.len() > self.max {
            return Joined::Lost("its parts are together longer than `max`");
        }
        whole.extend_from_slice(&own);
        if self.last.fits(data, None) {
            return Joined::Whole(whole);
        }
        *parts = Some(whole);
        Joined::Part
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joint(text: &str) -> Joint {
        let mut mistakes = Vec::new();
        Joint::new(&toml::from_str(text).unwrap(), &mut mistakes).unwrap()
    }

    #[test]
    fn parts_become_a_whole() {
        let joint = joint(
            "first = { bytes = { at = 0, is = [0x00], mask = [0x0f] } }\n\
             last = { bytes = { at = 0, is = [0x10], mask = [0x10] } }\n\
             unpack = { drop = 1 }\nmax = 5",
        );
        let mut parts = None;
        assert!(matches!(joint.add(&mut parts, b"\x01b"), Joined::Lost(_)));
        assert_eq!(joint.add(&mut parts, b"\x00ab"), Joined::Part);
        assert_eq!(joint.add(&mut parts, b"\x00cd"), Joined::Part);
        assert_eq!(joint.add(&mut parts, b"\x11e"), Joined::Whole(b"cde".to_vec()));
        assert_eq!(joint.add(&mut parts, b"\x10f"), Joined::Whole(b"f".to_vec()));
        assert_eq!(joint.add(&mut parts, b"\x00abcde"), Joined::Part);
        assert!(matches!(joint.add(&mut parts, b"\x01f"), Joined::Lost(_)));
        assert!(matches!(joint.add(&mut parts, b"\x11"), Joined::Lost(_)));
        assert!(matches!(joint.add(&mut parts, b""), Joined::Lost(_)));
    }
}

//! Finding the start marker again: what the methods with markers share.

use super::decoder::Step;
use super::marker::{Found, Set, compare, find};
use super::{Damage, Error};

/// What a frame begins with, and what may stand between frames.
#[derive(Debug)]
pub(super) struct Lead {
    marker: Vec<u8>,
    /// Which bits of the marker count; empty: all.
    mask: Vec<u8>,
    ignore: Option<Set>,
}

impl Lead {
    /// An empty marker is found everywhere; an empty mask means that all bits count.
    pub(super) fn new(marker: &[u8], mask: &[u8], ignore: &[u8]) -> Result<Lead, Error> {
        if !mask.is_empty() && mask.len() != marker.len() {
            return Err(Error::new("marker and mask must have the same number of bytes"));
        }
        let mut marker = marker.to_vec();
        for (byte, mask) in marker.iter_mut().zip(mask) {
            *byte &= mask;
        }
        let ignore = (!ignore.is_empty()).then(|| Set::new(ignore.iter().copied()));
        Ok(Lead {
            marker,
            mask: mask.to_vec(),
            ignore,
        })
    }

    /// The marker's length.
    pub(super) fn len(&self) -> usize {
        self.marker.len()
    }

    /// What to do until a frame begins at the first byte; `None` when one does.
    pub(super) fn seek(&self, bytes: &[u8], silent: bool) -> Option<Step> {
        if self.marker.is_empty() {
            let n = bytes.iter().take_while(|byte| self.ignores(**byte)).count();
            return (n > 0).then_some(Step::Pass(n));
        }
        let (Found::At(at) | Found::NotBefore(at)) = self.stop(bytes);
        if at > 0 {
            return Some(Step::Skip(at, Damage::Noise));
        }
        match self.compare(bytes) {
            Some(true) => None,
            None if silent => Some(Step::Skip(1, Damage::Noise)),
            None => Some(Step::More),
            Some(false) => {
                let passed = |n: &usize| self.ignores(bytes[*n]) && self.compare(&bytes[*n..]) == Some(false);
                Some(Step::Pass((0..bytes.len()).take_while(passed).count()))
            }
        }
    }

    /// The first place at `from` or behind where the marker stands.
    pub(super) fn find(&self, bytes: &[u8], from: usize) -> Found {
        if self.mask.is_empty() {
            return find(&self.marker, bytes, from);
        }
        for at in from..bytes.len() {
            match self.compare(&bytes[at..]) {
                Some(true) => return Found::At(at),
                None => return Found::NotBefore(at),
                Some(false) => {}
            }
        }
        Found::NotBefore(bytes.len())
    }

    /// Whether `bytes` begin with the marker; `None` when they are too few to tell.
    pub(super) fn compare(&self, bytes: &[u8]) -> Option<bool> {
        if self.mask.is_empty() {
            return compare(&self.marker, bytes);
        }
        let same = |((byte, mask), marker): ((&u8, &u8), &u8)| byte & mask == *marker;
        if !bytes.iter().zip(&self.mask).zip(&self.marker).all(same) {
            Some(false)
        } else if bytes.len() >= self.marker.len() {
            Some(true)
        } else {
            None
        }
    }

    /// The first place where noise ends: at a marker, or at a byte that may stand between frames.
    fn stop(&self, bytes: &[u8]) -> Found {
        if self.ignore.is_none() {
            return self.find(bytes, 0);
        }
        let stops = |at: &usize| self.ignores(bytes[*at]) || self.compare(&bytes[*at..]) != Some(false);
        Found::NotBefore((0..bytes.len()).find(stops).unwrap_or(bytes.len()))
    }

    fn ignores(&self, byte: u8) -> bool {
        self.ignore.as_ref().is_some_and(|set| set.has(byte))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_marker_and_what_is_ignored_are_told_apart() {
        let lead = Lead::new(b"ab", b"", b"a\n").unwrap();
        let seek = |bytes: &[u8]| lead.seek(bytes, false);
        assert!(seek(b"abc").is_none());
        assert!(matches!(seek(b"xyab"), Some(Step::Skip(2, Damage::Noise))));
        assert!(matches!(seek(b"xy\nab"), Some(Step::Skip(2, Damage::Noise))));
        assert!(matches!(seek(b"\n\naaab"), Some(Step::Pass(4))));
        assert!(matches!(seek(b"a"), Some(Step::More)));
        assert!(matches!(
            lead.seek(b"a", true),
            Some(Step::Skip(1, Damage::Noise))
        ));
    }

    #[test]
    fn only_the_masked_bits_count() {
        let lead = Lead::new(&[0xe5], &[0xf0], b"").unwrap();
        assert_eq!(lead.find(&[0xd0, 0xef], 0), Found::At(1));
        assert!(Lead::new(b"ab", b"c", b"").is_err());
    }
}

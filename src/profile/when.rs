//! Which frames are of a kind.

use super::config::{Bounds, Spot, When};
use crate::octets::Octets;
use regex::bytes::Regex;

/// A condition on a frame, ready for use.
#[derive(Debug, Clone, Default)]
pub(crate) struct Test {
    starts: Vec<Octets>,
    ends: Vec<Octets>,
    length: Option<Bounds>,
    spots: Vec<Spot>,
    matches: Option<Regex>,
    request: Option<Box<Test>>,
}

impl Test {
    /// Gives what is wrong with the key of this name.
    pub(crate) fn new(when: &When) -> Result<Test, (&'static str, String)> {
        let matches = when.matches.as_deref().map(crate::field::regex).transpose();
        for spot in &when.bytes.0 {
            if spot.is.is_empty() {
                return Err(("bytes", "`is` needs a byte at least".into()));
            }
            if spot.mask.as_ref().is_some_and(|mask| mask.len() != spot.is.len()) {
                return Err(("bytes", "`mask` must have as many bytes as `is`".into()));
            }
        }
        Ok(Test {
            starts: when.starts_with.0.clone(),
            ends: when.ends_with.0.clone(),
            length: when.length,
            spots: when.bytes.0.clone(),
            matches: matches.map_err(|what| ("matches", what))?,
            request: match &when.request {
                Some(request) => Some(Box::new(Test::new(request)?)),
                None => None,
            },
        })
    }

    /// Whether the data of a frame, the reply to this request, fit.
    pub(crate) fn fits(&self, data: &[u8], request: Option<&[u8]>) -> bool {
        (self.starts.is_empty() || self.starts.iter().any(|start| data.starts_with(start)))
            && (self.ends.is_empty() || self.ends.iter().any(|end| data.ends_with(end)))
            && self
                .length
                .is_none_or(|Bounds(from, to)| (from..=to).contains(&data.len()))
            && self.spots.iter().all(|spot| fits_spot(spot, data))
            && self.matches.as_ref().is_none_or(|regex| regex.is_match(data))
            && match (&self.request, request) {
                (None, _) => true,
                (Some(test), Some(request)) => test.fits(request, None),
                (Some(_), None) => false,
            }
    }
}

fn fits_spot(spot: &Spot, data: &[u8]) -> bool {
    let at = match usize::try_from(spot.at) {
        Ok(at) => Some(at),
        Err(_) => data.len().checked_sub(spot.at.unsigned_abs() as usize),
    };
    let found = at.and_then(|at| data.get(at..at.checked_add(spot.is.len())?));
    let same = found.is_some_and(|found| match &spot.mask {
        None => found == &*spot.is,
        Some(mask) => found
            .iter()
            .zip(spot.is.iter())
            .zip(mask.iter())
            .all(|((found, is), mask)| found & mask == is & mask),
    });
    same != spot.not
}

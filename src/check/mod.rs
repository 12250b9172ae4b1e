//! Checksums: which bytes of a frame's content are checked, where the check stands, and how it is written.
//!
//! A check stands in one block: `prefix`, the value, `suffix`. Reading compares the whole block with what it
//! ought to be, so a damaged bit anywhere in it is found; writing puts the block in at the same place.

mod algorithm;
mod catalogue;
mod config;
#[cfg(test)]
mod devices;
mod engine;
mod own;
mod sum;
#[cfg(test)]
mod tests;

pub use algorithm::{Algorithm, Order, Unknown};
pub use config::{Config, Covers, Each, Encoding, Error};
pub use own::{Own, OwnCrc, OwnSum};
pub use sum::Finish;

use crate::frame::Seal;
use engine::Engine;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// A check, ready for use. A clone is cheap.
#[derive(Clone)]
pub struct Check {
    config: Config,
    engine: Arc<Engine>,
    order: Order,
    /// How many bytes the value takes as it is written.
    code: usize,
}

/// An algorithm by itself, for those who know where a check stands.
#[derive(Clone)]
pub(crate) struct Digest(Algorithm, Arc<Engine>);

impl Digest {
    pub(crate) fn new(algorithm: Algorithm) -> Digest {
        Digest(algorithm, Arc::new(Engine::new(algorithm)))
    }

    /// The value over these bytes: its lowest 64 bits.
    pub(crate) fn over(&self, bytes: &[u8]) -> u64 {
        self.1.compute([bytes, &[]]) as u64
    }
}

impl PartialEq for Digest {
    fn eq(&self, other: &Digest) -> bool {
        self.0 == other.0
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The most bytes that a value takes: CRC-82/DARC as hexadecimal digits.
const MAX_CODE: usize = 22;

impl Seal for Check {
    fn open(&self, content: &[u8]) -> Option<Range<usize>> {
        match &self.config.each {
            None => self.open_one(content),
            Some(each) => self.open_each(each, content),
        }
    }

    fn len(&self) -> usize {
        match &self.config.each {
            None => self.block(),
            // A reply without any group has none.
            Some(_) => 0,
        }
    }

    fn apart(&self) -> usize {
        match self.config.at {
            Some(0..) if self.config.keep => 0,
            _ => self.len(),
        }
    }

    fn close(&self, content: &mut Vec<u8>, start: usize) {
        if self.config.each.is_none() {
            self.close_one(content, start);
        }
    }
}

impl Check {
    /// What the check finds in content that may be one frame, and what it would expect; None: it holds, or the
    /// content is none.
    pub(crate) fn explain(&self, content: &[u8]) -> Option<String> {
        if self.config.each.is_some() || self.open_one(content).is_some() {
            return None;
        }
        let begin = self.place(content)? + self.config.prefix.len();
        let at = self.place(content)?;
        let expected = self.expected(content, at)?;
        let found = content.get(begin..begin + self.code)?;
        Some(format!(
            "{} at byte {begin}: expected {}, found {}, if all of this were one frame",
            self.config.algorithm,
            data_encoding::HEXLOWER.encode(&expected[..self.code]),
            data_encoding::HEXLOWER.encode(found),
        ))
    }

    /// How many bytes the check takes.
    fn block(&self) -> usize {
        self.config.prefix.len() + self.code + self.config.suffix.len()
    }

    /// The content is nothing but groups, and the check of each of them holds.
    fn open_each(&self, each: &Each, content: &[u8]) -> Option<Range<usize>> {
        let mut rest = content.get(each.from..)?;
        while !rest.is_empty() {
            let group = rest.strip_prefix(each.start.as_slice())?;
            let (group, after) = match each.size {
                Some(size) => group.split_at_checked(size.checked_sub(each.start.len())?)?,
                None => {
                    // A check that looks like the end is none.
                    let least = self.block().min(group.len());
                    let end = least + memchr::memmem::find(&group[least..], &each.end)?;
                    (&group[..end], &group[end + each.end.len()..])
                }
            };
            self.open_one(group)?;
            rest = after;
        }
        Some(0..content.len())
    }

    fn open_one(&self, content: &[u8]) -> Option<Range<usize>> {
        let Some(at) = self.place(content) else {
            return self.config.optional.then_some(0..content.len());
        };
        let prefix = self.config.prefix.as_slice();
        let rest = &content[at..];
        let Some(rest) = rest.strip_prefix(prefix) else {
            return self.config.optional.then_some(0..content.len());
        };
        let (code, rest) = rest.split_at(self.code);
        if !rest.starts_with(&self.config.suffix)
            || !self.same(code, &self.expected(content, at)?[..self.code])
        {
            return None;
        }
        Some(match self.config.at {
            _ if self.config.keep => 0..content.len(),
            Some(0..) => at + self.block()..content.len(),
            _ => 0..at,
        })
    }

    fn close_one(&self, content: &mut Vec<u8>, start: usize) {
        let start = start.min(content.len());
        content.extend_from_slice(&self.config.prefix);
        content.resize(content.len() + self.code, 0);
        content.extend_from_slice(&self.config.suffix);
        let whole = &mut content[start..];
        // Content that is too short for the place asked for takes the check at its end.
        let at = self.place(whole).unwrap_or(whole.len() - self.block());
        whole[at..].rotate_right(self.block());
        let code = self
            .expected(whole, at)
            .unwrap_or_else(|| self.write(self.engine.compute([&[], &[]])));
        let begin = at + self.config.prefix.len();
        whole[begin..begin + self.code].copy_from_slice(&code[..self.code]);
    }
}

/// No check where there is none.
impl Seal for Option<Check> {
    fn open(&self, content: &[u8]) -> Option<Range<usize>> {
        match self {
            Some(check) => check.open(content),
            None => Some(0..content.len()),
        }
    }

    fn len(&self) -> usize {
        self.as_ref().map_or(0, Seal::len)
    }

    fn apart(&self) -> usize {
        self.as_ref().map_or(0, Seal::apart)
    }

    fn close(&self, content: &mut Vec<u8>, start: usize) {
        if let Some(check) = self {
            check.close(content, start);
        }
    }
}

impl Check {
    /// Where the check begins in content that is complete; None: it is too short.
    fn place(&self, content: &[u8]) -> Option<usize> {
        let last = content.len().checked_sub(self.block())?;
        let at = match self.config.at {
            None => last,
            Some(at) => offset(at, content.len())?,
        };
        (at <= last).then_some(at)
    }

    /// What the check at this place ought to be; None: the content is not what a check could cover.
    fn expected(&self, content: &[u8], at: usize) -> Option<[u8; MAX_CODE]> {
        let covers = self.config.covers;
        let after = at + self.block();
        let from = offset(covers.from, content.len())?;
        let to = covers
            .to
            .map_or(Some(content.len()), |to| offset(to, content.len()))?;
        if from > to || to > content.len() || (at < from && from < after) {
            return None;
        }
        let (before, behind) = (from.min(at)..to.min(at), from.max(after)..to.max(after));
        // An end that the content does not reach leaves an empty range, never one that runs backwards.
        let pieces = [content.get(before)?, content.get(behind)?];
        let value = if covers.hex {
            let [before, behind] =
                pieces.map(|digits| data_encoding::HEXUPPER_PERMISSIVE.decode(digits).ok());
            self.engine.compute([&before?, &behind?])
        } else {
            self.engine.compute(pieces)
        };
        Some(self.write(value))
    }

    /// The value as it stands in the content, in the first `self.code` bytes.
    fn write(&self, value: u128) -> [u8; MAX_CODE] {
        let bytes = self.config.algorithm.bits().div_ceil(8) as usize;
        let mut code = [0; MAX_CODE];
        let mut digits = [0; MAX_CODE];
        match self.order {
            Order::Big => code[..bytes].copy_from_slice(&value.to_be_bytes()[16 - bytes..]),
            Order::Little => code[..bytes].copy_from_slice(&value.to_le_bytes()[..bytes]),
        }
        match self.config.encoding {
            Encoding::Binary => code,
            Encoding::Hex => {
                data_encoding::HEXUPPER.encode_mut(&code[..bytes], &mut digits[..2 * bytes]);
                digits
            }
            Encoding::HexLower => {
                data_encoding::HEXLOWER.encode_mut(&code[..bytes], &mut digits[..2 * bytes]);
                digits
            }
            Encoding::Sdi12 => {
                let value = u16::from_be_bytes([code[0], code[1]]);
                let printable = |shift: u32| 0x40 | ((value >> shift) as u8 & 0x3f);
                digits[..3].copy_from_slice(&[printable(12), printable(6), printable(0)]);
                digits
            }
            Encoding::Pi30 => {
                for byte in &mut code[..bytes] {
                    *byte += u8::from(matches!(*byte, b'(' | b'\r' | b'\n'));
                }
                code
            }
        }
    }

    fn same(&self, found: &[u8], expected: &[u8]) -> bool {
        match self.config.encoding {
            Encoding::Hex | Encoding::HexLower => {
                // Some meters print the number without its leading zeros: then the line's end comes too early.
                let short = found
                    .iter()
                    .rev()
                    .take_while(|byte| matches!(byte, b'\r' | b'\n'))
                    .count();
                let (zeros, digits) = expected.split_at(short.min(expected.len()));
                let found = &found[..found.len() - short];
                !found.is_empty()
                    && zeros.iter().all(|&digit| digit == b'0')
                    && found.eq_ignore_ascii_case(digits)
            }
            Encoding::Binary | Encoding::Sdi12 | Encoding::Pi30 => found == expected,
        }
    }
}

/// An offset that may count from the end; None: that is before the beginning.
fn offset(at: i32, len: usize) -> Option<usize> {
    match usize::try_from(at) {
        Ok(at) => Some(at),
        Err(_) => len.checked_sub(at.unsigned_abs() as usize),
    }
}

impl fmt::Debug for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Check").field(&self.config).finish()
    }
}

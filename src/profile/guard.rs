//! The door that every frame passes before its fields are read: all its checks, and what they are computed over.

use super::config::{Checks, Forbid};
use crate::check::{self, Check};
use crate::field::config::Unpack;
use crate::field::unpack;
use crate::frame::Seal;
use std::borrow::Cow;
use std::ops::Range;

/// Checks over a frame as it was cut, and over its bytes behind `unpack`.
#[derive(Debug, Clone, Default)]
pub struct Guard {
    checks: Vec<Check>,
    forbid: Forbid,
    steps: Vec<Unpack>,
    inner: Vec<Check>,
}

impl Guard {
    /// Makes the checks ready for use; the number tells which of them can't be made.
    pub(crate) fn new(
        checks: &Checks,
        forbid: &Forbid,
        steps: &[Unpack],
        inner: &Checks,
    ) -> Result<Guard, (bool, usize, check::Error)> {
        let built = |checks: &Checks, inner: bool| -> Result<Vec<Check>, (bool, usize, check::Error)> {
            let all = checks.0.iter().enumerate();
            all.map(|(n, check)| check.build().map_err(|error| (inner, n, error)))
                .collect()
        };
        Ok(Guard {
            checks: built(checks, false)?,
            forbid: forbid.clone(),
            steps: steps.to_vec(),
            inner: built(inner, true)?,
        })
    }

    /// One check, or none.
    pub(crate) fn of(check: Option<Check>) -> Guard {
        Guard {
            checks: check.into_iter().collect(),
            ..Guard::default()
        }
    }

    /// A frame's data as its fields count it: unpacked, without the inner checks.
    pub(crate) fn data<'a>(&self, data: &'a [u8]) -> Option<Cow<'a, [u8]>> {
        let bytes = unpack::undo(&self.steps, Cow::Borrowed(data))?;
        let range = opened(&self.inner, &bytes)?;
        Some(match bytes {
            Cow::Borrowed(bytes) => Cow::Borrowed(&bytes[range]),
            Cow::Owned(bytes) => Cow::Owned(bytes[range].to_vec()),
        })
    }

    /// The other way: packs a frame's data, with the inner checks.
    pub(crate) fn pack(&self, mut data: Vec<u8>) -> Option<Vec<u8>> {
        for check in &self.inner {
            check.close(&mut data, 0);
        }
        unpack::redo(&self.steps, data)
    }

    /// For bytes that may be one frame: what each check finds and what it would expect.
    pub(crate) fn explain(&self, content: &[u8]) -> Vec<String> {
        let mut lines: Vec<String> = self
            .checks
            .iter()
            .filter_map(|check| check.explain(content))
            .collect();
        if self.forbids(content) {
            lines.push("it holds a byte that never stands in a frame (`forbid`)".to_owned());
        }
        lines
    }

    /// Whether the data of a frame are its bytes as they were cut.
    pub(crate) fn is_plain(&self) -> bool {
        self.steps.is_empty() && self.inner.is_empty()
    }

    fn forbids(&self, content: &[u8]) -> bool {
        if self.forbid.bytes.is_empty() && self.forbid.from.is_none() {
            return false;
        }
        let looked_at = content.get(self.forbid.offset..).unwrap_or_default();
        looked_at.iter().any(|byte| {
            self.forbid.bytes.contains(byte) || self.forbid.from.is_some_and(|from| *byte >= from)
        })
    }
}

/// Every check looks at the whole; the last one says what is data.
fn opened(checks: &[Check], content: &[u8]) -> Option<Range<usize>> {
    let mut range = 0..content.len();
    for check in checks {
        range = check.open(content)?;
    }
    Some(range)
}

impl Seal for Guard {
    fn open(&self, content: &[u8]) -> Option<Range<usize>> {
        if self.forbids(content) {
            return None;
        }
        opened(&self.checks, content)
    }

    fn len(&self) -> usize {
        self.checks.iter().map(Seal::len).sum()
    }

    fn apart(&self) -> usize {
        self.checks.iter().map(Seal::apart).sum()
    }

    fn reads(&self, data: &[u8]) -> bool {
        self.is_plain() || self.data(data).is_some()
    }

    fn close(&self, content: &mut Vec<u8>, start: usize) {
        for check in &self.checks {
            check.close(content, start);
        }
    }
}

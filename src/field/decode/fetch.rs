//! Where a field's bytes are.

use super::super::plan::{Action, How, Length, Place, Step};
use super::super::record::Value;
use super::super::split::Parts;
use super::super::{number, unpack};
use super::{Cursor, Fault, Got, Level, Piece, Run, View};
use std::borrow::Cow;

impl Run<'_> {
    pub(super) fn fetch<'v>(
        &mut self,
        step: &Step,
        view: &View<'v>,
        cursor: &mut Cursor,
        level: &Level<'_>,
    ) -> Result<Got<'v>, Fault> {
        self.fetch_nth(step, view, cursor, level, true)
    }

    /// The bytes of a field; those after the first of several follow each other.
    pub(super) fn fetch_nth<'v>(
        &mut self,
        step: &Step,
        view: &View<'v>,
        cursor: &mut Cursor,
        level: &Level<'_>,
        first: bool,
    ) -> Result<Got<'v>, Fault> {
        let got = match view.parts {
            Parts::Binary => self.fetch_binary(step, view, cursor, level, first)?,
            _ => self.fetch_piece(step, view, cursor, level, first)?,
        };
        let Got::Bytes(mut piece) = got else {
            return Ok(got);
        };
        if !step.unpack.is_empty() {
            let at = piece.at;
            let undone = unpack::undo(&step.unpack, piece.bytes);
            let bytes = undone.ok_or_else(|| self.fault(&step.name, at, "its bytes can't be unpacked"))?;
            piece = Piece {
                bytes,
                at: None,
                bits: None,
            };
        }
        Ok(Got::Bytes(piece))
    }

    fn fetch_binary<'v>(
        &mut self,
        step: &Step,
        view: &View<'v>,
        cursor: &mut Cursor,
        level: &Level<'_>,
        first: bool,
    ) -> Result<Got<'v>, Fault> {
        let len = view.bytes.len();
        let from = match &step.at {
            _ if !first => cursor.next,
            Place::Next | Place::Key(_) => cursor.next,
            Place::Offset(n) => {
                let at = if *n < 0 {
                    len.checked_sub(n.unsigned_abs() as usize)
                } else {
                    Some(*n as usize)
                };
                8 * at.ok_or_else(|| self.fault(&step.name, view.base, "the frame is too short for it"))?
            }
            Place::Computed(expr) => {
                let at = expr.amount(&level.scope(&Value::Absent, *cursor, view.bytes));
                let at = at.and_then(|at| usize::try_from(at).ok()).filter(|at| *at <= len);
                8 * at.ok_or_else(|| self.fault(&step.name, view.base, "its place lies outside the frame"))?
            }
        };
        let at = view.base.map(|base| base + from / 8);
        if let Some(find) = &step.find {
            let start = match step.at {
                Place::Next => 0,
                _ => from / 8,
            };
            let area = view.bytes.get(start..).unwrap_or_default();
            let found = find.captures(area).and_then(|all| all.get(1).or(all.get(0)));
            return Ok(match found {
                None => Got::Missing,
                Some(found) => {
                    cursor.last = 8 * (start + found.start());
                    cursor.next = 8 * (start + found.end());
                    Got::Bytes(Piece {
                        bytes: Cow::Borrowed(&area[found.range()]),
                        at: view.base.map(|base| base + start + found.start()),
                        bits: None,
                    })
                }
            });
        }
        if let Length::Bits(count) = step.length
            && (count % 8 != 0 || from % 8 != 0)
        {
            let to = from + count;
            if to > 8 * len {
                return Err(self.fault(&step.name, at, "the frame is too short for it"));
            }
            (cursor.last, cursor.next) = (from, to);
            return Ok(Got::Bytes(Piece {
                bytes: view
                    .bytes
                    .get(from / 8..to.div_ceil(8))
                    .unwrap_or_default()
                    .into(),
                at,
                bits: Some((from % 8, count)),
            }));
        }
        // What is no bits begins at the next whole byte.
        let from = from.div_ceil(8);
        let at = view.base.map(|base| base + from);
        let (to, mut after) = match self.extent(step, view.bytes, from, *cursor, level)? {
            Some(to) => (to, to),
            None => (len, len),
        };
        let mut bytes = view
            .bytes
            .get(from..to)
            .ok_or_else(|| self.fault(&step.name, at, "the frame is too short for it"))?;
        if let Some(until) = &step.until {
            let end = memchr::memmem::find(bytes, until);
            let end = end.ok_or_else(|| self.fault(&step.name, at, "the bytes that end it are missing"))?;
            after = from + end + until.len();
            bytes = &bytes[..end];
        }
        (cursor.last, cursor.next) = (8 * from, 8 * after);
        Ok(Got::Bytes(Piece {
            bytes: Cow::Borrowed(bytes),
            at,
            bits: None,
        }))
    }

    /// Where a field that begins at `from` ends; None: with the bytes.
    fn extent(
        &self,
        step: &Step,
        bytes: &[u8],
        from: usize,
        cursor: Cursor,
        level: &Level<'_>,
    ) -> Result<Option<usize>, Fault> {
        let count = match &step.length {
            Length::Bits(bits) => i64::try_from(bits / 8).unwrap_or(i64::MAX),
            Length::Bytes(n) => i64::from(*n),
            Length::Computed(expr) => expr
                .amount(&level.scope(&Value::Absent, cursor, bytes))
                .ok_or_else(|| self.fault(&step.name, None, "`length` gives no number of bytes"))?,
            Length::Varint => {
                let rest = bytes.get(from..).unwrap_or_default();
                let end = rest.iter().position(|byte| byte & 0x80 == 0);
                let end = end.ok_or_else(|| self.fault(&step.name, None, "no byte ends it"))?;
                return Ok(Some(from + end + 1));
            }
            Length::Rest => return Ok(None),
        };
        let to = match usize::try_from(count) {
            Ok(count) => from.checked_add(count),
            Err(_) => bytes.len().checked_sub(count.unsigned_abs() as usize),
        };
        to.map(Some)
            .ok_or_else(|| self.fault(&step.name, None, "the frame is too short for it"))
    }

    fn fetch_piece<'v>(
        &mut self,
        step: &Step,
        view: &View<'v>,
        cursor: &mut Cursor,
        level: &Level<'_>,
        first: bool,
    ) -> Result<Got<'v>, Fault> {
        let bytes: Cow<'v, [u8]> = match (view.parts, &step.at) {
            (Parts::Columns(columns), place) if step.find.is_none() || !matches!(place, Place::Next) => {
                let number = column(step, view, *cursor, first);
                let found = number.and_then(|n| Some((n, columns.get(view.first.checked_add(n)?)?)));
                let Some((number, column)) = found else {
                    return Ok(Got::Missing);
                };
                (cursor.last, cursor.next) = (number, number + 1);
                Cow::Borrowed(&**column)
            }
            (Parts::Pairs(pairs), Place::Key(key)) => {
                match pairs.iter().rev().find(|(known, _)| **known == **key) {
                    Some((_, bytes)) => Cow::Borrowed(*bytes),
                    None => return Ok(Got::Missing),
                }
            }
            (Parts::Groups(groups), Place::Key(key)) => match groups.iter().find(|(name, _)| *name == &**key)
            {
                Some((_, bytes)) => Cow::Borrowed(*bytes),
                None => return Ok(Got::Missing),
            },
            (Parts::Json(json), Place::Key(key)) => {
                let found = match key.starts_with('/') {
                    true => json.pointer(key),
                    false => json.get(&**key),
                };
                use serde_json::Value as Json;
                match found {
                    None => return Ok(Got::Missing),
                    Some(Json::Null) => Cow::Borrowed(&[][..]),
                    Some(Json::String(text)) => Cow::Borrowed(text.as_bytes()),
                    Some(Json::Bool(yes)) if matches!(&step.action, Action::Read(read) if matches!(read.how, How::Auto)) =>
                    {
                        return Ok(Got::Value(Value::Bool(*yes)));
                    }
                    Some(other) => Cow::Owned(other.to_string().into_bytes()),
                }
            }
            (Parts::Values(values), Place::Key(key)) => {
                let Some((info, value)) = values.iter().find(|(info, _)| *info.name == **key) else {
                    return Ok(Got::Missing);
                };
                let taken_apart = match &step.action {
                    Action::Read(read) => {
                        !matches!(read.how, How::Auto | How::Bytes | How::Text | How::TimeText(..))
                    }
                    _ => true,
                };
                match value {
                    Value::Bytes(bytes) if taken_apart => Cow::Owned(bytes.to_vec()),
                    Value::Text(text) if taken_apart => Cow::Owned(text.as_bytes().to_vec()),
                    value => {
                        return Ok(Got::Value(match self.shift(step, level, info.unit.as_deref()) {
                            0 => value.clone(),
                            tens => number::shifted(value.clone(), tens),
                        }));
                    }
                }
            }
            _ => Cow::Borrowed(view.bytes),
        };
        let bytes = match &step.find {
            None => bytes,
            Some(find) => match find
                .captures(&bytes)
                .and_then(|all| Some(all.get(1).or(all.get(0))?.range()))
            {
                None => return Ok(Got::Missing),
                Some(range) => match bytes {
                    Cow::Borrowed(bytes) => Cow::Borrowed(&bytes[range]),
                    Cow::Owned(bytes) => Cow::Owned(bytes[range].to_vec()),
                },
            },
        };
        let bytes = match step.length {
            Length::Bytes(_) | Length::Computed(_) => {
                let to = self
                    .extent(step, &bytes, 0, *cursor, level)?
                    .unwrap_or(bytes.len());
                if to > bytes.len() {
                    return Err(self.fault(&step.name, None, "it is shorter than it ought to be"));
                }
                match bytes {
                    Cow::Borrowed(bytes) => Cow::Borrowed(&bytes[..to]),
                    Cow::Owned(mut bytes) => {
                        bytes.truncate(to);
                        Cow::Owned(bytes)
                    }
                }
            }
            Length::Bits(_) | Length::Varint | Length::Rest => bytes,
        };
        let inside = |inner: &[u8]| {
            let offset = (inner.as_ptr() as usize).checked_sub(view.bytes.as_ptr() as usize)?;
            (offset + inner.len() <= view.bytes.len()).then_some(offset)
        };
        let at = match &bytes {
            Cow::Borrowed(inner) => view.base.zip(inside(inner)).map(|(base, at)| base + at),
            Cow::Owned(_) => None,
        };
        Ok(Got::Bytes(Piece {
            bytes,
            at,
            bits: None,
        }))
    }
}

/// How many columns there are, from the first that counts.
pub(super) fn columns(view: &View<'_>) -> usize {
    match view.parts {
        Parts::Columns(columns) => columns.len().saturating_sub(view.first),
        _ => 0,
    }
}

/// The column that a field is in; those after the first of several follow each other.
pub(super) fn column(step: &Step, view: &View<'_>, cursor: Cursor, first: bool) -> Option<usize> {
    match step.at {
        Place::Offset(n) if first && n < 0 => columns(view).checked_sub(n.unsigned_abs() as usize),
        Place::Offset(n) if first => usize::try_from(n).ok(),
        _ => Some(cursor.next),
    }
}

pub(super) fn start_of(step: &Step, view: &View<'_>, cursor: &Cursor, first: bool) -> usize {
    match (&step.at, view.parts) {
        (Place::Offset(n), Parts::Binary) if first && *n >= 0 => 8 * *n as usize,
        (Place::Offset(n), _) if first && *n >= 0 => *n as usize,
        _ => cursor.next,
    }
}

//! From what was read to what is meant: scale, names, range; and where it is kept.

use super::super::expr::Scope;
use super::super::number;
use super::super::plan::{Action, Naming, Place, Read, Short, Step};
use super::super::record::{Quality, Record, Value};
use super::super::split::Parts;
use super::read::{masked, number_of};
use super::{Cursor, Fault, Got, Level, Piece, Run, Traced, View};
use std::sync::Arc;

impl Run<'_> {
    #[expect(clippy::too_many_arguments, reason = "the heart of the matter")]
    pub(super) fn value<'v>(
        &mut self,
        read: &Read,
        got: Got<'v>,
        step: &Step,
        cursor: Cursor,
        view: &View<'_>,
        level: &Level<'_>,
        keyed: bool,
    ) -> Result<(Value, Value, Quality, Option<Piece<'v>>), Fault> {
        let (number, piece) = match got {
            Got::Bytes(piece) => {
                let mut number =
                    number_of(read, &piece, keyed).map_err(|why| self.fault(&step.name, piece.at, why))?;
                if let (Parts::Pairs(pairs), Place::Key(key)) = (view.parts, &step.at) {
                    let unit = pairs
                        .iter()
                        .rev()
                        .find(|(known, _)| known.strip_suffix("/unit") == Some(key));
                    let unit = unit.and_then(|(_, unit)| std::str::from_utf8(unit).ok());
                    number = number::shifted(number, self.shift(step, level, unit));
                }
                (number, Some(piece))
            }
            Got::Value(value) => (
                masked(read, value).map_err(|why| self.fault(&step.name, None, why))?,
                None,
            ),
            Got::Missing => return Ok((Value::Absent, Value::Absent, Quality::Absent, None)),
        };
        let scope = level.scope(&Value::Absent, cursor, view.bytes);
        let (value, raw, quality) = self.meaning(read, number, step, &scope)?;
        Ok((value, raw, quality, piece))
    }

    /// How many powers of ten lie between the unit that the device has sent and the field's: what was sent in Wh is
    /// not published in kWh as it is. A field that scales says so itself.
    pub(super) fn shift(&self, step: &Step, level: &Level<'_>, sent: Option<&str>) -> i32 {
        let Action::Read(read) = &step.action else {
            return 0;
        };
        let plain = read.factor.is_none()
            && read.value.is_none()
            && read
                .scale
                .as_ref()
                .is_none_or(super::super::number::Scale::is_plain);
        let info = step.slot.and_then(|slot| level.record.shape().infos().get(slot));
        match (sent, info.and_then(|info| info.unit.as_deref())) {
            (Some(sent), Some(meant)) if plain && sent != meant => super::super::unit::between(sent, meant),
            _ => 0,
        }
    }

    /// From the number that was read to the value that is meant.
    pub(super) fn meaning(
        &mut self,
        read: &Read,
        number: Value,
        step: &Step,
        scope: &Scope<'_>,
    ) -> Result<(Value, Value, Quality), Fault> {
        if !read.is.is_empty() && !read.is.iter().any(|want| want.meets(&number)) {
            let mut found = String::new();
            number.write(None, &mut found);
            return Err(self.fault(&step.name, None, format!("`{found}` is not what must stand here")));
        }
        if read.absent.iter().any(|want| want.meets(&number)) || number == Value::Absent {
            return Ok((Value::Absent, number, Quality::Absent));
        }
        let plain = matches!(read.names, Naming::None) && self.trace.is_none();
        let raw = if plain { Value::Absent } else { number.clone() };
        let mut value = number;
        if read.scale.is_some() || read.factor.is_some() {
            let factor = match &read.factor {
                Some(expr) => match expr
                    .value(&Scope {
                        own: &value,
                        ..*scope
                    })
                    .number()
                {
                    Some(factor) => Some(factor),
                    None => return Ok((Value::Absent, raw, Quality::Absent)),
                },
                None => None,
            };
            value = match (&read.scale, factor) {
                (Some(scale), factor) => scale.value(value, factor),
                (None, Some(factor)) => value
                    .number()
                    .map_or(Value::Absent, |x| Value::Float(number::tidy(x * factor))),
                (None, None) => value,
            };
        }
        if let Some(expr) = &read.value
            && !matches!(step.action, Action::Compute(_))
        {
            let own = value;
            value = expr.value(&Scope { own: &own, ..*scope });
            value = self.computed(read, value);
        } else if read.value.is_some() {
            value = self.computed(read, value);
        }
        let quality = Quality::of(&value, read.range);
        let value = match &read.names {
            Naming::None => value,
            Naming::Labels(numbers, texts, other) => label(value, numbers, texts, other.as_ref()),
            Naming::Flags(shape, bits) => {
                let Some(word) = word(&value) else {
                    return Ok((Value::Absent, raw, Quality::Absent));
                };
                let mut record = Record::new(shape.clone());
                for (place, bit) in bits.iter().enumerate() {
                    record.set(place, Value::Bool(word >> bit & 1 == 1), Quality::Good);
                }
                Value::Record(Box::new(record))
            }
            Naming::Time(count) => value
                .number()
                .and_then(|x| count.time(x))
                .map_or(Value::Absent, Value::Time),
        };
        let quality = if value == Value::Absent {
            Quality::Absent
        } else {
            quality
        };
        Ok((value, raw, quality))
    }

    /// A computed number without the noise of binary fractions, rounded if that is asked for.
    fn computed(&self, read: &Read, value: Value) -> Value {
        match value {
            Value::Float(x) => {
                let tidy = Value::Float(number::tidy(x));
                let decimals = read
                    .scale
                    .as_ref()
                    .and_then(super::super::number::Scale::decimals);
                match decimals {
                    Some(decimals) => super::super::number::Scale::new(0.0, 1.0, None, 0.0, Some(decimals))
                        .value(tidy, None),
                    None => tidy,
                }
            }
            other => other,
        }
    }

    pub(super) fn keep(
        &mut self,
        step: &Step,
        level: &mut Level<'_>,
        value: Value,
        raw: Value,
        quality: Quality,
        piece: Option<Piece<'_>>,
    ) {
        self.show(step, &value, &raw, quality, piece, level);
        if let Some(slot) = step.slot {
            // Only what has a name for its number has another value for expressions.
            let named = matches!(&step.action, Action::Read(read) | Action::Compute(read)
                if !matches!(read.names, Naming::None))
                && !(matches!(value, Value::Int(_) | Value::Float(_) | Value::Bool(_)));
            if let (Some(place), true) = (level.raws.get_mut(slot), named) {
                *place = raw;
            }
            level.record.set(slot, value, quality);
        }
    }

    pub(super) fn show(
        &mut self,
        step: &Step,
        value: &Value,
        raw: &Value,
        quality: Quality,
        piece: Option<Piece<'_>>,
        level: &Level<'_>,
    ) {
        let Some(trace) = &mut self.trace else { return };
        let mut name = self.path.join(".");
        if !step.name.is_empty() {
            if !name.is_empty() {
                name.push('.');
            }
            name.push_str(&step.name);
        }
        let info = step.slot.and_then(|slot| level.record.shape().infos().get(slot));
        trace.push(Traced {
            name,
            at: piece.as_ref().and_then(|piece| piece.at),
            bits: piece.as_ref().and_then(|piece| piece.bits),
            bytes: piece.map(|piece| piece.bytes.into_owned()).unwrap_or_default(),
            raw: raw.clone(),
            value: value.clone(),
            info: info.cloned().unwrap_or_default(),
            quality,
        });
    }
}

/// Reads a whole number at a fixed place; false: there is something about it that takes the long way.
pub(super) fn quick(
    short: &Short,
    read: &Read,
    step: &Step,
    bytes: &[u8],
    cursor: &mut Cursor,
    record: &mut Record,
) -> bool {
    let at = match short.at {
        Some(at) => at,
        None if cursor.next.is_multiple_of(8) => cursor.next / 8,
        None => return false,
    };
    let Some(found) = bytes.get(at..at + short.bytes) else {
        return false;
    };
    let add = |word: u64, byte: &u8| word << 8 | u64::from(*byte);
    let word = match short.little {
        true => found.iter().rev().fold(0, add),
        false => found.iter().fold(0, add),
    };
    let number = match short.signed {
        true => Value::Int(number::twos(word, 8 * short.bytes as u32)),
        false => number::unsigned(word),
    };
    if !read.is.is_empty() && !read.is.iter().any(|want| want.meets(&number)) {
        return false;
    }
    (cursor.last, cursor.next) = (8 * at, 8 * (at + short.bytes));
    let Some(slot) = step.slot else { return true };
    if read.absent.iter().any(|want| want.meets(&number)) {
        record.set(slot, Value::Absent, Quality::Absent);
        return true;
    }
    let value = match &read.scale {
        Some(scale) => scale.value(number, None),
        None => number,
    };
    let quality = match read.range {
        None => Quality::Good,
        range => Quality::of(&value, range),
    };
    record.set(slot, value, quality);
    true
}

pub(super) fn word(value: &Value) -> Option<u64> {
    match value {
        Value::Int(n) => Some(*n as u64),
        Value::Uint(n) => Some(*n),
        Value::Bool(yes) => Some((*yes).into()),
        _ => None,
    }
}

fn label(
    value: Value,
    numbers: &[(i64, i64, Value)],
    texts: &[(Arc<str>, Value)],
    other: Option<&Arc<str>>,
) -> Value {
    let known = match &value {
        Value::Text(text) => texts
            .iter()
            .find(|(from, _)| from == text)
            .map(|(_, label)| label),
        value => value.number().and_then(|x| {
            let after = numbers.partition_point(|(from, ..)| *from as f64 <= x);
            let (_, to, label) = numbers.get(after.checked_sub(1)?)?;
            (x <= *to as f64).then_some(label)
        }),
    };
    match (known, other) {
        (Some(meant), _) => meant.clone(),
        (None, Some(other)) => Value::Text(other.clone()),
        (None, None) => value,
    }
}

//! From a parameter's value to the number that is sent.

use super::super::config::Sign;
use super::super::number;
use super::super::plan::{How, Naming, Read};
use super::super::record::{Quality, Value};
use super::ParameterError;
use serde_json::Value as Json;

pub(super) fn whole(x: f64) -> Value {
    if x.fract() == 0.0 && x.abs() < 9.0e15 {
        Value::Int(x as i64)
    } else {
        Value::Float(x)
    }
}

/// A parameter without a description of its own.
pub(super) fn plain(name: &str, given: &Json) -> Result<Value, ParameterError> {
    match given {
        Json::Bool(yes) => Ok(Value::Bool(*yes)),
        Json::Number(n) => Ok(n
            .as_i64()
            .map_or_else(|| Value::Float(n.as_f64().unwrap_or(0.0)), Value::Int)),
        Json::String(text) => Ok(Value::Text(text.as_str().into())),
        _ => Err(ParameterError::Value {
            name: name.to_owned(),
            why: "expected a number or a text".into(),
        }),
    }
}

/// The number (or text, or bytes) that is sent for a parameter's value.
pub(super) fn number_for(read: &Read, name: &str, given: &Json) -> Result<Value, ParameterError> {
    let wrong = |why: String| ParameterError::Value {
        name: name.to_owned(),
        why,
    };
    let meant = |known: &Value| match (known, given) {
        (Value::Text(known), Json::String(label)) => **known == **label,
        (Value::Bool(known), Json::Bool(yes)) => known == yes,
        (Value::Int(_) | Value::Float(_), Json::Number(n)) => known.number() == n.as_f64(),
        _ => false,
    };
    if let Naming::Labels(numbers, texts, _) = &read.names
        && (given.is_string() || texts.iter().any(|(_, known)| meant(known)))
    {
        let number = numbers
            .iter()
            .find(|(_, _, known)| meant(known))
            .map(|(n, ..)| *n);
        if let Some(number) = number {
            return Ok(match read.how {
                // The key of a text is the text.
                How::Text => {
                    let key = texts.iter().find(|(_, known)| meant(known));
                    Value::Text(key.map(|(key, _)| key.clone()).unwrap_or_default())
                }
                _ => Value::Int(number),
            });
        }
        if let Some((key, _)) = texts.iter().find(|(_, known)| meant(known)) {
            return Ok(Value::Text(key.clone()));
        }
        let mut known = String::new();
        for (n, (_, label)) in texts.iter().enumerate() {
            known.push_str(if n > 0 { ", " } else { "" });
            label.write(None, &mut known);
        }
        let given = given.as_str().unwrap_or_default();
        return Err(wrong(format!("there is no `{given}`; known: {known}")));
    }
    if let (Naming::Flags(shape, bits), Json::Object(flags)) = (&read.names, given) {
        let mut word = 0u64;
        for (flag, on) in flags {
            let place = shape
                .place(flag)
                .ok_or_else(|| wrong(format!("there is no flag `{flag}`")))?;
            let on = on
                .as_bool()
                .ok_or_else(|| wrong(format!("`{flag}` is true or false")))?;
            word |= u64::from(on) << bits[place];
        }
        return Ok(number::unsigned(word));
    }
    let value = match plain(name, given)? {
        // A number may come as text, as many senders have it.
        Value::Text(text) if !matches!(read.how, How::Text | How::Bytes) => {
            number::decimal(text.trim().as_bytes(), b'.')
                .ok_or_else(|| wrong(format!("`{text}` is no number")))?
        }
        value => value,
    };
    if let (Value::Text(_) | Value::Bytes(_), _) = (&value, ()) {
        return Ok(value);
    }
    if Quality::of(&value, read.range) == Quality::OutOfRange {
        let [least, most] = read.range.unwrap_or_default();
        return Err(wrong(format!("it must be from {least} to {most}")));
    }
    let Some(x) = value.number() else { return Ok(value) };
    let raw = match &read.scale {
        Some(scale) => scale.raw(x, 1.0),
        None => x,
    };
    Ok(match read.how {
        How::Float(_) => Value::Float(raw),
        How::Decimal if raw.fract() != 0.0 => Value::Float(number::tidy(raw)),
        _ => match number::tidy(raw).round() {
            rounded if rounded.abs() < 9.2e18 => Value::Int(rounded as i64),
            _ => return Err(wrong("it is too large".into())),
        },
    })
}

/// The bits of a number, with its mask and sign; None: it does not fit.
pub(super) fn word_for(read: &Read, number: &Value, bits: u32) -> Option<u64> {
    let number = match number {
        Value::Bool(yes) => i128::from(u8::from(*yes)),
        Value::Int(n) => (*n).into(),
        Value::Uint(n) => (*n).into(),
        other => other.number().filter(|x| x.fract() == 0.0 && x.abs() < 1.8e19)? as i128,
    };
    let (mask, shift) = read.mask.unwrap_or((u64::MAX, 0));
    let width = match read.mask {
        Some((mask, shift)) => 64 - (mask >> shift).leading_zeros(),
        None => bits,
    };
    let magnitude = u64::try_from(number.unsigned_abs()).ok()?;
    let negative = number < 0;
    let all = u64::MAX >> (64 - width.clamp(1, 64));
    let (within, sign) = match read.sign {
        _ if read.single => (u64::from(number != 0), 0),
        None if !negative && magnitude <= all => (magnitude, 0),
        Some(Sign::Twos) => {
            let half = 1i128 << (width.clamp(1, 64) - 1);
            if number < -half || number >= half {
                return None;
            }
            (number as u64 & all, 0)
        }
        Some(Sign::Ones) if magnitude <= all >> 1 => (if negative { !magnitude & all } else { magnitude }, 0),
        Some(Sign::Magnitude) if magnitude <= all >> 1 => {
            (magnitude | u64::from(negative) << (width.clamp(1, 64) - 1), 0)
        }
        Some(Sign::Zigzag) => {
            let word = u64::try_from(if negative { -2 * number - 1 } else { 2 * number }).ok()?;
            (word, 0)
        }
        Some(Sign::Bit(bit)) if magnitude <= all => (magnitude, u64::from(negative).checked_shl(bit.into())?),
        Some(Sign::ClearBit(bit)) if magnitude <= all => {
            (magnitude, u64::from(!negative).checked_shl(bit.into())?)
        }
        _ => return None,
    };
    Some(within.checked_shl(shift)? & mask | sign)
}

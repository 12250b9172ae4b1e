//! What stands in a field's bytes, before it means anything.

use super::super::config::{Encoding, Order, Sign, Trim};
use super::super::number;
use super::super::plan::{How, Read, Want};
use super::super::record::Value;
use super::Piece;
use super::value::word;

/// What stands in the bytes, before it means anything.
pub(super) fn number_of(read: &Read, piece: &Piece<'_>, keyed: bool) -> Result<Value, String> {
    let bytes = &*piece.bytes;
    let low_first = read.order == Order::Little;
    // What stands for "no value" need not be what values look like.
    let told = |want: &Want| matches!(want, Want::Text(text) if text.as_bytes() == bytes.trim_ascii());
    let written = matches!(
        read.how,
        How::Decimal | How::Digits(_) | How::Word | How::TimeText(..)
    );
    if written && read.absent.iter().any(told) {
        return Ok(Value::Absent);
    }
    let whole = match (&read.how, piece.bits) {
        (How::Uint(_) | How::Bits(_), Some((from, count))) => number::bits(bytes, from, count, low_first),
        (How::Uint(ranks), None) => {
            if bytes.len() != ranks.len() {
                return Err(format!("it has {} bytes, not {}", bytes.len(), ranks.len()));
            }
            number::uint(bytes, ranks)
        }
        (How::Bits(count), None) => {
            if bytes.len() * 8 < usize::from(*count) {
                return Err("it has too few bits".into());
            }
            number::bits(bytes, 0, (*count).into(), low_first)
        }
        (How::UintOf, _) => {
            if bytes.is_empty() {
                return Ok(Value::Absent);
            }
            let ranks = read.order.ranks(bytes.len()).filter(|ranks| ranks.len() <= 8);
            let ranks = ranks.ok_or_else(|| format!("a number can't have {} bytes here", bytes.len()))?;
            let width = 8 * bytes.len() as u32;
            return Ok(signed(read, number::uint(bytes, &ranks), width));
        }
        (How::Varint, _) => number::varint(bytes, low_first).ok_or("it has more than 64 bits")?,
        (How::Digits(base), _) => {
            if bytes.trim_ascii().is_empty() {
                return Ok(Value::Absent);
            }
            number::digits(bytes, *base).ok_or_else(|| unread(bytes, "no such number"))?
        }
        (How::Bcd { swapped }, _) => return bcd(read, bytes, *swapped),
        (How::Float(bits), _) => return float(read, bytes, *bits),
        (How::Decimal, _) => {
            let text = bytes.trim_ascii_start();
            let text = text.trim_ascii_end().trim_suffix_zero();
            if text.is_empty() {
                return Ok(Value::Absent);
            }
            let number = number::decimal(text, read.point).ok_or_else(|| unread(bytes, "no number"))?;
            return masked(read, number);
        }
        (How::Word, _) => return yes(bytes),
        (How::Text, _) => {
            let text = text(read, bytes);
            return Ok(match text.is_empty() && keyed {
                true => Value::Absent,
                false => Value::Text(text.into()),
            });
        }
        (How::Auto, _) => {
            let trimmed = bytes.trim_ascii();
            if trimmed.is_empty() {
                return Ok(Value::Absent);
            }
            return match number::decimal(trimmed, read.point) {
                Some(number) => masked(read, number),
                None => masked(read, Value::Text(text(read, bytes).into())),
            };
        }
        (How::Bytes, _) => {
            return Ok(Value::Bytes(match low_first {
                true => bytes.iter().rev().copied().collect(),
                false => bytes.into(),
            }));
        }
        (How::TimeText(pattern, offset), _) => {
            let text = bytes.trim_ascii();
            if text.is_empty() {
                return Ok(Value::Absent);
            }
            let time = pattern.text(text, *offset);
            return time.map(Value::Time).ok_or_else(|| unread(bytes, "no such time"));
        }
        (How::TimeBytes(pattern, bcd), _) => {
            let turned: Vec<u8>;
            let bytes = if low_first {
                turned = bytes.iter().rev().copied().collect();
                &turned
            } else {
                bytes
            };
            // A clock that was never set is no reason to lose the frame.
            return Ok(pattern.binary(bytes, *bcd).map_or(Value::Absent, Value::Time));
        }
    };
    Ok(signed(read, whole, read.width))
}

/// Yes or no in a text.
pub(super) fn yes(bytes: &[u8]) -> Result<Value, String> {
    let word = bytes.trim_ascii();
    let is = |words: [&str; 4]| {
        words
            .iter()
            .any(|known| word.eq_ignore_ascii_case(known.as_bytes()))
    };
    match number::decimal(word, b'.').and_then(|number| number.number()) {
        Some(number) => Ok(Value::Bool(number != 0.0)),
        None if word.is_empty() => Ok(Value::Absent),
        None if is(["true", "on", "yes", "y"]) => Ok(Value::Bool(true)),
        None if is(["false", "off", "no", "n"]) => Ok(Value::Bool(false)),
        None => Err(unread(bytes, "neither yes nor no")),
    }
}

fn unread(bytes: &[u8], what: &str) -> String {
    let shown = &bytes[..bytes.len().min(40)];
    format!("`{}` is {what}", shown.escape_ascii())
}

/// Mask, shift and sign of a number that was no bits before, such as decimal digits.
pub(super) fn masked(read: &Read, value: Value) -> Result<Value, String> {
    if read.mask.is_none() && read.sign.is_none() && !read.single || value == Value::Absent {
        return Ok(value);
    }
    match word(&value) {
        Some(whole) => Ok(signed(read, whole, read.width)),
        None => {
            let mut shown = String::new();
            value.write(None, &mut shown);
            Err(format!("`{shown}` is no whole number, so it has no bits"))
        }
    }
}

/// Mask, shift and sign.
pub(super) fn signed(read: &Read, whole: u64, width: u32) -> Value {
    let (mask, shift) = read.mask.unwrap_or((u64::MAX, 0));
    let masked = (whole & mask) >> shift;
    if read.single {
        return Value::Bool(masked != 0);
    }
    let width = width.clamp(1, 64);
    let top = masked >> (width - 1) & 1 == 1;
    let below = masked & (u64::MAX >> (64 - width)) & !(1 << (width - 1));
    let with = |negative: bool, magnitude: u64| match i64::try_from(magnitude) {
        Ok(n) if negative => Value::Int(-n),
        _ => number::unsigned(magnitude),
    };
    match read.sign {
        None => number::unsigned(masked),
        Some(Sign::Twos) => Value::Int(number::twos(masked, width)),
        // Every second number is negative: 0, -1, 1, -2, 2.
        Some(Sign::Zigzag) => Value::Int((masked >> 1) as i64 ^ -((masked & 1) as i64)),
        Some(Sign::Ones) if top => with(true, !masked & (u64::MAX >> (64 - width))),
        Some(Sign::Ones) => number::unsigned(masked),
        Some(Sign::Magnitude) => with(top, below),
        Some(Sign::Bit(bit)) => with(bit_of(whole, bit), without(masked, bit, read)),
        Some(Sign::ClearBit(bit)) => with(!bit_of(whole, bit), without(masked, bit, read)),
    }
}

fn bit_of(whole: u64, bit: u8) -> bool {
    whole.checked_shr(bit.into()).unwrap_or(0) & 1 == 1
}

/// A sign's bit is no part of the magnitude.
pub(super) fn without(masked: u64, bit: u8, read: &Read) -> u64 {
    match read.mask {
        Some(_) => masked,
        None => masked & !1u64.checked_shl(bit.into()).unwrap_or(0),
    }
}

fn bcd(read: &Read, bytes: &[u8], swapped: bool) -> Result<Value, String> {
    let not_bcd = || {
        format!(
            "`{}` are no decimal digits",
            data_encoding::HEXLOWER.encode(&bytes[..bytes.len().min(20)])
        )
    };
    let ranks = read.order.ranks(bytes.len());
    let ranks = ranks.ok_or_else(|| format!("this order is not for {} bytes", bytes.len()))?;
    if bytes.len() > 8 {
        let digits = match read.order {
            Order::Little => number::bcd(bytes.iter().rev().copied(), swapped),
            _ => number::bcd(bytes.iter().copied(), swapped),
        };
        return digits.map(number::unsigned).ok_or_else(not_bcd);
    }
    let mut whole = number::uint(bytes, &ranks);
    let mut negative = false;
    if let Some(Sign::Bit(bit) | Sign::ClearBit(bit)) = read.sign {
        negative = bit_of(whole, bit) == matches!(read.sign, Some(Sign::Bit(_)));
        whole &= !1u64.checked_shl(bit.into()).unwrap_or(0);
    }
    let (mask, shift) = read.mask.unwrap_or((u64::MAX, 0));
    whole = (whole & mask) >> shift;
    let wide = whole.to_be_bytes();
    let digits = number::bcd(wide[8 - bytes.len()..].iter().copied(), swapped).ok_or_else(not_bcd)?;
    Ok(match i64::try_from(digits) {
        Ok(n) if negative => Value::Int(-n),
        _ => number::unsigned(digits),
    })
}

fn float(read: &Read, bytes: &[u8], bits: u8) -> Result<Value, String> {
    let ranks = read
        .order
        .ranks(usize::from(bits / 8))
        .filter(|ranks| ranks.len() == bytes.len());
    let ranks = ranks.ok_or_else(|| format!("it has {} bytes, not {}", bytes.len(), bits / 8))?;
    let whole = number::uint(bytes, &ranks);
    let x = match bits {
        16 => number::half(whole as u16),
        32 => {
            let x = f32::from_bits(whole as u32);
            // A value that is rounded anyway needs no shortest form.
            let rounded = read
                .scale
                .as_ref()
                .is_some_and(|scale| scale.decimals().is_some());
            if rounded || !x.is_finite() {
                f64::from(x)
            } else {
                number::shortest(x)
            }
        }
        _ => f64::from_bits(whole),
    };
    Ok(if x.is_finite() {
        Value::Float(x)
    } else {
        Value::Absent
    })
}

pub(super) fn text(read: &Read, bytes: &[u8]) -> String {
    let mut text = characters(read.encoding, bytes);
    let blank = |c: char| c.is_whitespace() || c == '\0';
    let kept = match read.trim {
        Trim::Both => text.trim_matches(blank),
        Trim::Start => text.trim_start_matches(blank),
        Trim::End => text.trim_end_matches(blank),
        Trim::None => return text,
    };
    if kept.len() != text.len() {
        text = kept.to_owned();
    }
    text
}

fn characters(encoding: Encoding, bytes: &[u8]) -> String {
    /// What Windows-1252 has from 0x80 to 0x9F.
    const WINDOWS: [char; 32] = [
        '€', '\u{fffd}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{fffd}', 'Ž', '\u{fffd}',
        '\u{fffd}', '‘', '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{fffd}', 'ž', 'Ÿ',
    ];
    let words = |word: fn([u8; 2]) -> u16| {
        let words = bytes.chunks_exact(2).map(|pair| word([pair[0], pair[1]]));
        char::decode_utf16(words)
            .map(|c| c.unwrap_or('\u{fffd}'))
            .collect()
    };
    match encoding {
        Encoding::Utf8 => String::from_utf8_lossy(bytes).into_owned(),
        Encoding::Ascii => bytes
            .iter()
            .map(|byte| {
                if byte.is_ascii() {
                    char::from(*byte)
                } else {
                    '\u{fffd}'
                }
            })
            .collect(),
        Encoding::Latin1 => bytes.iter().map(|byte| char::from(*byte)).collect(),
        Encoding::Windows1252 => bytes
            .iter()
            .map(|byte| match byte {
                0x80..=0x9f => WINDOWS[usize::from(byte - 0x80)],
                byte => char::from(*byte),
            })
            .collect(),
        Encoding::Utf16Be => words(u16::from_be_bytes),
        Encoding::Utf16Le => words(u16::from_le_bytes),
    }
}

/// Zero bytes at the end of a number in a field of fixed width.
trait TrimZero {
    fn trim_suffix_zero(&self) -> &[u8];
}

impl TrimZero for [u8] {
    fn trim_suffix_zero(&self) -> &[u8] {
        let end = self.iter().rposition(|byte| *byte != 0).map_or(0, |at| at + 1);
        &self[..end]
    }
}

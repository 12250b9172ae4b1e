//! From a number, or a text, to bytes.

use super::super::config::{Encoding, Order};
use super::super::number;
use super::super::plan::{How, Read};
use super::super::record::Value;
use super::given::word_for;
use std::fmt::Write as _;

pub(super) fn bytes_for(read: &Read, number: &Value, length: Option<usize>) -> Result<Vec<u8>, String> {
    let ordered = |word: u64, ranks: &[u8]| -> Vec<u8> {
        let last = ranks.len().saturating_sub(1);
        ranks
            .iter()
            .map(|rank| {
                word.checked_shr(8 * last.saturating_sub(usize::from(*rank)) as u32)
                    .unwrap_or(0) as u8
            })
            .collect()
    };
    let fits = |word: Option<u64>| word.ok_or_else(|| "it does not fit".to_owned());
    Ok(match &read.how {
        How::Uint(ranks) => ordered(fits(word_for(read, number, 8 * ranks.len() as u32))?, ranks),
        How::Bits(bits) => {
            let bytes = usize::from(*bits).div_ceil(8);
            let ranks = read.order.ranks(bytes).unwrap_or_default();
            ordered(fits(word_for(read, number, (*bits).into()))?, &ranks)
        }
        How::UintOf => {
            let length = length
                .filter(|length| (1..=8).contains(length))
                .ok_or("its `length` is missing")?;
            let ranks = read.order.ranks(length).ok_or("this order has another length")?;
            ordered(fits(word_for(read, number, 8 * length as u32))?, &ranks)
        }
        How::Varint => number::to_varint(fits(word_for(read, number, 64))?, read.order == Order::Little),
        How::Float(bits) => {
            let x = number.number().ok_or("expected a number")?;
            let (word, bytes) = match bits {
                32 => (u64::from((x as f32).to_bits()), 4),
                64 => (x.to_bits(), 8),
                _ => return Err("a float of 16 bits can only be read".into()),
            };
            ordered(word, &read.order.ranks(bytes).unwrap_or_default())
        }
        How::Bcd { swapped } => {
            let length = length
                .filter(|length| (1..=8).contains(length))
                .ok_or("its `length` is missing")?;
            let mut rest = match number {
                Value::Int(n) => u64::try_from(*n).map_err(|_| "it does not fit")?,
                Value::Uint(n) => *n,
                _ => return Err("expected a whole number".into()),
            };
            let mut bytes = vec![0; length];
            for byte in bytes.iter_mut().rev() {
                let (two, after) = ((rest % 100) as u8, rest / 100);
                *byte = ((two / 10) << 4) | (two % 10);
                if *swapped {
                    *byte = byte.rotate_left(4);
                }
                rest = after;
            }
            if rest > 0 {
                return Err("it has too many digits".into());
            }
            if read.order == Order::Little {
                bytes.reverse();
            }
            bytes
        }
        How::Bytes => {
            let mut bytes = match number {
                Value::Bytes(bytes) => bytes.to_vec(),
                Value::Text(text) => data_encoding::HEXLOWER_PERMISSIVE
                    .decode(text.as_bytes())
                    .map_err(|_| "expected hexadecimal digits in pairs")?,
                _ => vec![0; length.unwrap_or(0)],
            };
            if read.order == Order::Little {
                bytes.reverse();
            }
            bytes
        }
        How::Text => {
            let mut text = String::new();
            number.write(None, &mut text);
            characters(read.encoding, &text).ok_or("it has characters that the device does not know")?
        }
        How::Decimal => {
            let mut text = String::new();
            if read.mask.is_some() || read.sign.is_some() || read.single {
                number::unsigned(fits(word_for(read, number, 64))?).write(None, &mut text);
            } else {
                number.write(None, &mut text);
            }
            match length {
                Some(length) => padded(&text, length).into_bytes(),
                None => text.into_bytes(),
            }
        }
        How::Word => vec![b'0' + u8::from(number.number().is_some_and(|x| x != 0.0))],
        How::Digits(base) => {
            let word = fits(word_for(read, number, 64))?;
            let text = match base {
                16 => format!("{word:X}"),
                8 => format!("{word:o}"),
                _ => format!("{word:b}"),
            };
            padded(&text, length.unwrap_or(0)).into_bytes()
        }
        How::TimeText(..) | How::TimeBytes(..) | How::Auto => return Err("it can only be read".into()),
    })
}

/// Zeros in front, behind a sign.
fn padded(text: &str, length: usize) -> String {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", text),
    };
    let width = length.saturating_sub(sign.len());
    let mut out = String::from(sign);
    let _ = write!(out, "{digits:0>width$}");
    out
}

fn characters(encoding: Encoding, text: &str) -> Option<Vec<u8>> {
    match encoding {
        Encoding::Utf8 => Some(text.as_bytes().to_vec()),
        Encoding::Ascii => text.is_ascii().then(|| text.as_bytes().to_vec()),
        Encoding::Latin1 | Encoding::Windows1252 => {
            text.chars().map(|c| u8::try_from(u32::from(c)).ok()).collect()
        }
        Encoding::Utf16Be => Some(text.encode_utf16().flat_map(u16::to_be_bytes).collect()),
        Encoding::Utf16Le => Some(text.encode_utf16().flat_map(u16::to_le_bytes).collect()),
    }
}

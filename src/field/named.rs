//! Named decoders: protocols that describe themselves, which no layout of offsets can reach.
//!
//! A decoder takes a frame's data and gives values with names; fields pick them by these names.

use super::config::Decode;
use super::record::{Fixed, Info, Value};
use sml_rs::parser::common::{ListEntry, Value as Sml};
use sml_rs::parser::complete::{File, MessageBody, parse};

/// A decoder, ready for use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Named {
    Sml,
}

impl Named {
    pub(crate) fn new(decode: &Decode) -> Result<Named, String> {
        match decode {
            Decode::Sml => Ok(Named::Sml),
            _ => Err("this is no named decoder".into()),
        }
    }

    /// The values of a frame, in its order.
    pub(crate) fn values(self, bytes: &[u8]) -> Result<Vec<(Info, Value)>, String> {
        match self {
            Named::Sml => sml(bytes),
        }
    }
}

/// SML 1.04: the entries of every list, by OBIS code.
fn sml(bytes: &[u8]) -> Result<Vec<(Info, Value)>, String> {
    let file = sml_file(bytes)?;
    let mut values = Vec::new();
    for message in &file.messages {
        let MessageBody::GetListResponse(list) = &message.message_body else {
            continue;
        };
        values.push((info("server"), Value::Bytes(list.server_id.into())));
        for entry in &list.val_list {
            sml_entry(entry, &mut values);
        }
    }
    Ok(values)
}

/// Up to three zero bytes fill the last four of a transmission.
fn sml_file(bytes: &[u8]) -> Result<File<'_>, String> {
    let mut rest = bytes;
    let mut first = None;
    for _ in 0..4 {
        match parse(rest) {
            Ok(file) => return Ok(file),
            Err(error) => {
                first.get_or_insert(error);
            }
        }
        match rest.strip_suffix(b"\0") {
            Some(shorter) => rest = shorter,
            None => break,
        }
    }
    Err(first.map_or_else(|| "no SML".to_owned(), |error| format!("no SML: {error:?}")))
}

fn sml_entry(entry: &ListEntry<'_>, values: &mut Vec<(Info, Value)>) {
    let [a, b, c, d, e, _] = entry.obj_name else {
        return;
    };
    let name = format!("{a}-{b}:{c}.{d}.{e}");
    let scaler = entry.scaler.unwrap_or(0);
    let (raw, value) = match entry.value {
        Sml::Bool(yes) => (Value::Bool(yes), Value::Bool(yes)),
        Sml::Bytes(bytes) => {
            let readable = !bytes.is_empty() && bytes.iter().all(|byte| (0x20..0x7f).contains(byte));
            let value = match std::str::from_utf8(bytes) {
                Ok(text) if readable => Value::Text(text.into()),
                _ => Value::Bytes(bytes.into()),
            };
            (value.clone(), value)
        }
        Sml::List(_) => return,
        Sml::I8(n) => scaled(n.into(), scaler),
        Sml::I16(n) => scaled(n.into(), scaler),
        Sml::I32(n) => scaled(n.into(), scaler),
        Sml::I64(n) => scaled(n, scaler),
        Sml::U8(n) => scaled(n.into(), scaler),
        Sml::U16(n) => scaled(n.into(), scaler),
        Sml::U32(n) => scaled(n.into(), scaler),
        Sml::U64(n) => match i64::try_from(n) {
            Ok(n) => scaled(n, scaler),
            Err(_) => (Value::Uint(n), Value::Float(n as f64 * 10f64.powi(scaler.into()))),
        },
    };
    let unit = entry.unit.and_then(dlms_unit).map(Into::into);
    values.push((Info { unit, ..info(&name) }, value));
    let part = |part: &str| Info {
        hidden: true,
        ..info(&format!("{name}/{part}"))
    };
    values.push((part("raw"), raw));
    values.push((part("scaler"), Value::Int(scaler.into())));
}

fn scaled(number: i64, scaler: i8) -> (Value, Value) {
    let raw = Value::Int(number);
    let value = match scaler {
        0 => raw.clone(),
        -18..=-1 => Value::Fixed(Fixed {
            digits: number,
            decimals: scaler.unsigned_abs(),
        }),
        1..=18 => match super::record::TENS[usize::from(scaler.unsigned_abs())].checked_mul(number) {
            Some(whole) => Value::Int(whole),
            None => Value::Float(number as f64 * 10f64.powi(scaler.into())),
        },
        _ => Value::Float(number as f64 * 10f64.powi(scaler.into())),
    };
    (raw, value)
}

/// The units of DLMS (IEC 62056-62, table of physical units) that meters send.
fn dlms_unit(code: u8) -> Option<&'static str> {
    Some(match code {
        4 => "d",
        5 => "h",
        6 => "min",
        7 => "s",
        8 => "°",
        9 => "°C",
        13 => "m³",
        15 => "m³/h",
        19 => "l",
        27 => "W",
        28 => "VA",
        29 => "var",
        30 => "Wh",
        31 => "VAh",
        32 => "varh",
        33 => "A",
        35 => "V",
        44 => "Hz",
        _ => return None,
    })
}

fn info(name: &str) -> Info {
    Info {
        name: name.into(),
        ..Info::default()
    }
}

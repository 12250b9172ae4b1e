//! Named decoders: protocols that describe themselves, which no layout of offsets can reach.
//!
//! A decoder takes a frame's data and gives values with names; fields pick them by these names.

use super::config::Decode;
use super::record::{Fixed, Info, Value};
use super::{number, time};
use m_bus_application_layer as mbus;
use mbus::data_information::{DataType, SingleEveryOrInvalid};
use mbus::value_information::{Unit, UnitName};
use sml_rs::parser::common::{ListEntry, Value as Sml};
use sml_rs::parser::complete::{File, MessageBody, parse};

/// A decoder, ready for use.
#[derive(Debug, Clone)]
pub(crate) enum Named {
    Sml,
    Mbus,
    Dlms,
    #[cfg(feature = "script")]
    Script(super::script::Script),
}

impl Named {
    pub(crate) fn new(decode: &Decode) -> Result<Named, String> {
        match decode {
            Decode::Sml => Ok(Named::Sml),
            Decode::Mbus => Ok(Named::Mbus),
            Decode::Dlms => Ok(Named::Dlms),
            #[cfg(feature = "script")]
            Decode::Script(text) => super::script::Script::new(text).map(Named::Script),
            #[cfg(not(feature = "script"))]
            Decode::Script(_) => Err("this mqttyd was built without scripts (feature `script`)".into()),
            _ => Err("this is no named decoder".into()),
        }
    }

    /// The values of a frame, in its order.
    pub(crate) fn values(&self, bytes: &[u8]) -> Result<Vec<(Info, Value)>, String> {
        match self {
            Named::Sml => sml(bytes),
            Named::Dlms => super::dlms::values(bytes),
            // The crate computes with a length of 0 as if there were a highest bit, which is an overflow: harmless in
            // a release, a panic where overflows are checked. Neither may cost more than the frame.
            Named::Mbus => std::panic::catch_unwind(|| mbus(bytes))
                .unwrap_or_else(|_| Err("no M-Bus: a record has a length that no number has".into())),
            #[cfg(feature = "script")]
            Named::Script(script) => script.values(bytes),
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

pub(super) fn scaled(number: i64, scaler: i8) -> (Value, Value) {
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
pub(super) fn dlms_unit(code: u8) -> Option<&'static str> {
    Some(match code {
        4 => "d",
        5 => "h",
        6 => "min",
        7 => "s",
        8 => "°",
        9 => "°C",
        13 | 14 => "m³",
        15 | 16 => "m³/h",
        17 | 18 => "m³/d",
        19 => "l",
        22 => "N",
        23 => "Pa",
        24 => "bar",
        25 => "J",
        26 => "J/h",
        27 => "W",
        28 => "VA",
        29 => "var",
        30 => "Wh",
        31 => "VAh",
        32 => "varh",
        33 => "A",
        35 => "V",
        44 => "Hz",
        52 => "K",
        56 => "%",
        57 => "Ah",
        _ => return None,
    })
}

/// Wired M-Bus (EN 13757-3) from the control information (CI) on: the header's parts by name, then each record as
/// `r0`, `r1` ... in its order.
fn mbus(bytes: &[u8]) -> Result<Vec<(Info, Value)>, String> {
    let (control, rest) = bytes.split_first().ok_or("no M-Bus: there are no bytes")?;
    let mut values = Vec::new();
    let records = match control {
        // The long header.
        0x72 | 0x76 => {
            let (header, records) = rest
                .split_at_checked(12)
                .ok_or("no M-Bus: its header is cut off")?;
            let id: Vec<u8> = header[..4].iter().rev().copied().collect();
            values.push((
                info("id"),
                Value::Text(data_encoding::HEXLOWER.encode(&id).into()),
            ));
            let maker = u16::from_le_bytes([header[4], header[5]]);
            let letter = |shift: u16| char::from(64 + (maker >> shift & 31) as u8);
            let maker: String = [letter(10), letter(5), letter(0)].iter().collect();
            values.push((info("manufacturer"), Value::Text(maker.into())));
            for (name, at) in [("version", 6), ("medium", 7), ("access", 8), ("status", 9)] {
                values.push((info(name), Value::Int(header[at].into())));
            }
            records
        }
        // The short header: access number, status, signature.
        0x7a => {
            let (header, records) = rest
                .split_at_checked(4)
                .ok_or("no M-Bus: its header is cut off")?;
            values.push((info("access"), Value::Int(header[0].into())));
            values.push((info("status"), Value::Int(header[1].into())));
            records
        }
        0x78 => rest,
        other => return Err(format!("no M-Bus data: the control information is 0x{other:02x}")),
    };
    for (n, record) in mbus::parse_data_records(records).enumerate() {
        // What follows a record that is not understood can't be found.
        let Ok(record) = record else { break };
        if n > 1000 {
            return Err("there are more records than a frame may have".into());
        }
        let head = &record.data_record_header.processed_data_record_header;
        let (mut value, mut unit) = (mbus_value(record.data.value.as_ref()), None);
        if let Some(meaning) = &head.value_information {
            let units: Vec<Unit> = meaning.units().collect();
            let (scale, name) = mbus_unit(&units);
            unit = name;
            let exponent = i32::try_from(meaning.decimal_scale_exponent).unwrap_or(0);
            value = mbus_scaled(value, exponent, scale);
        }
        let title = head.data_information.as_ref().map(|data| {
            use mbus::data_information::FunctionField as Function;
            let function = match data.function_field {
                Function::InstantaneousValue => "instantaneous",
                Function::MaximumValue => "maximum",
                Function::MinimumValue => "minimum",
                _ => "during an error",
            };
            let mut title = function.to_owned();
            for (part, number) in [
                ("storage", data.storage_number),
                ("tariff", data.tariff),
                ("device", data.device),
            ] {
                if number > 0 {
                    title.push_str(&format!(", {part} {number}"));
                }
            }
            title.into()
        });
        let unit = unit.map(Into::into);
        values.push((
            Info {
                unit,
                title,
                ..info(&format!("r{n}"))
            },
            value,
        ));
    }
    Ok(values)
}

fn mbus_value(value: Option<&DataType<'_>>) -> Value {
    fn one<T: Copy + Into<i64>>(part: &SingleEveryOrInvalid<T>) -> Option<i64> {
        match part {
            SingleEveryOrInvalid::Single(value) => Some((*value).into()),
            _ => None,
        }
    }
    let which = |month: &SingleEveryOrInvalid<mbus::data_information::Month>| match month {
        SingleEveryOrInvalid::Single(month) => Some(*month as i64 + 1),
        _ => None,
    };
    let at = |parts: [Option<i64>; 6]| {
        let [
            Some(year),
            Some(month),
            Some(day),
            Some(hour),
            Some(minute),
            Some(second),
        ] = parts
        else {
            return Value::Absent;
        };
        time::of_parts([year, month, day, hour, minute, second], 0, None).map_or(Value::Absent, Value::Time)
    };
    match value {
        None => Value::Absent,
        Some(DataType::Number(x) | DataType::LossyNumber(x)) if !x.is_finite() => Value::Absent,
        Some(DataType::Number(x) | DataType::LossyNumber(x)) => {
            if x.fract() == 0.0 && x.abs() < 9.0e15 {
                Value::Int(*x as i64)
            } else {
                Value::Float(*x)
            }
        }
        Some(DataType::Text(text)) => Value::Text(text.to_string().into()),
        Some(DataType::Date(day, month, year)) => {
            at([one(year), which(month), one(day), Some(0), Some(0), Some(0)])
        }
        Some(DataType::DateTime(day, month, year, hour, minute)) => {
            at([one(year), which(month), one(day), one(hour), one(minute), Some(0)])
        }
        Some(DataType::DateTimeWithSeconds(day, month, year, hour, minute, second)) => at([
            one(year),
            which(month),
            one(day),
            one(hour),
            one(minute),
            one(second),
        ]),
        Some(DataType::ManufacturerSpecific(bytes)) => Value::Bytes((*bytes).into()),
        Some(_) => Value::Absent,
    }
}

/// A factor that brings spans of time to seconds, and the unit.
fn mbus_unit(units: &[Unit]) -> (i64, Option<String>) {
    if let [Unit { name, exponent: 1 }] = units {
        match name {
            UnitName::Second => return (1, Some("s".into())),
            UnitName::Minute => return (60, Some("s".into())),
            UnitName::Hour => return (3600, Some("s".into())),
            UnitName::Day => return (86_400, Some("s".into())),
            _ => {}
        }
    }
    let (mut above, mut below) = (String::new(), String::new());
    for unit in units {
        let name = match unit.name {
            UnitName::Hour => "h".to_owned(),
            UnitName::Minute => "min".to_owned(),
            UnitName::Second => "s".to_owned(),
            UnitName::Kelvin => "K".to_owned(),
            UnitName::Kilogram => "kg".to_owned(),
            UnitName::Joul => "J".to_owned(),
            UnitName::Reserved | UnitName::WithoutUnits => continue,
            other => other.to_string(),
        };
        let side = if unit.exponent < 0 { &mut below } else { &mut above };
        side.push_str(&name);
        match unit.exponent.abs() {
            2 => side.push('²'),
            3 => side.push('³'),
            _ => {}
        }
    }
    let name = match (above.is_empty(), below.is_empty()) {
        (true, true) => return (1, None),
        (_, true) => above,
        (true, false) => format!("1/{below}"),
        (false, false) => format!("{above}/{below}"),
    };
    (1, Some(name))
}

fn mbus_scaled(value: Value, exponent: i32, factor: i64) -> Value {
    match value {
        Value::Int(n) => match (n.checked_mul(factor), i8::try_from(exponent)) {
            (Some(n), Ok(exponent)) => scaled(n, exponent).1,
            _ => Value::Float(n as f64 * factor as f64 * 10f64.powi(exponent)),
        },
        Value::Float(x) => Value::Float(number::tidy(x * factor as f64 * 10f64.powi(exponent))),
        other => other,
    }
}

fn info(name: &str) -> Info {
    Info {
        name: name.into(),
        ..Info::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shown(values: &[(Info, Value)], name: &str) -> String {
        let (info, value) = values.iter().find(|(info, _)| *info.name == *name).unwrap();
        let mut out = String::new();
        value.write(None, &mut out);
        format!("{out} {}", info.unit.as_deref().unwrap_or_default())
    }

    /// Kamstrup Multical 601 and Elvaco CMa11 (github.com/rscada/libmbus, test/test-frames).
    #[test]
    fn mbus_records_have_numbers_and_units() {
        let text = "72175885062d2c0804040000000c78175885060406e791000004142cdb00000422d90300000459b92700\
                    00045d081200000461b1150000042d5b010000046d1a2f6511";
        let values = mbus(&data_encoding::HEXLOWER.decode(text.as_bytes()).unwrap()).unwrap();
        for (name, wanted) in [
            ("id", "06855817 "),
            ("manufacturer", "KAM "),
            ("access", "4 "),
            ("r1", "37351000 Wh"),
            ("r2", "561.08 m³"),
            ("r3", "3546000 s"),
            ("r4", "101.69 °C"),
            ("r6", "55.53 K"),
            ("r7", "34700 W"),
            ("r8", "2011-01-05T15:26:00 "),
        ] {
            assert_eq!(shown(&values, name), wanted, "{name}");
        }
        assert!(mbus(&[0x51]).is_err() && mbus(&[]).is_err() && mbus(&[0x72, 1]).is_err());
    }

    proptest! {
        #[test]
        fn never_panics(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = sml(&bytes);
            for control in [0x72, 0x7a, 0x78] {
                let _ = Named::Mbus.values(&[&[control], bytes.as_slice()].concat());
            }
        }
    }
}

//! DLMS notifications: what electricity meters push without being asked (IEC 62056-5-3), by OBIS code.
//!
//! The body describes itself in A-XDR (IEC 61334-6), but not what belongs to what: meters send lists of code, value
//! and scaler, flat lists of codes and values, a list of codes before the values, or values alone, which only their
//! place names. All four are read here.

use super::record::{Info, Time, TimeParts, Value};
use super::time;

/// How deep data may be nested.
const DEPTH: usize = 8;
/// How many pieces of data are read.
const PIECES: usize = 1024;

/// A piece of data.
#[derive(Debug, Clone, PartialEq)]
enum Data<'a> {
    Null,
    /// An array or a structure.
    Many(Vec<Data<'a>>),
    Bool(bool),
    Int(i64),
    Uint(u64),
    Float(f64),
    /// A number that names something: scaler and unit are an integer and such an enumeration.
    Enum(u8),
    Octets(&'a [u8]),
    Text(&'a [u8]),
    Time(Value),
}

/// The values of a notification, by OBIS code, and by place (`0`, `1`, `3/0`) where no code stands beside them.
pub(super) fn values(bytes: &[u8]) -> Result<Vec<(Info, Value)>, String> {
    let told = |what: &str| format!("no DLMS notification: {what}");
    let mut reader = Reader {
        rest: bytes,
        pieces: 0,
    };
    // The sublayer's addresses come first in HDLC.
    for addresses in [[0xe6, 0xe7, 0x00], [0xe6, 0xe6, 0x00]] {
        if let Some(rest) = reader.rest.strip_prefix(&addresses) {
            reader.rest = rest;
        }
    }
    match reader.byte() {
        Some(0x0f) => {}
        Some(0xdb) => {
            return Err(told(
                "it is enciphered: `unpack = { decipher = \"dlms\" }` is missing",
            ));
        }
        Some(other) => return Err(told(&format!("it begins with 0x{other:02x}, not with 0x0f"))),
        None => return Err(told("there are no bytes")),
    }
    let cut = || told("it is cut off, or has a type that is not known");
    reader.take(4).ok_or_else(cut)?;
    let mut values = Vec::new();
    let time = reader.date_time().ok_or_else(cut)?;
    values.push((info("time"), time));
    let body = reader.data(0).ok_or_else(cut)?;
    if !reader.rest.is_empty() {
        return Err(told("more follows than belongs to it"));
    }
    match body {
        Data::Many(all) => list(&all, "", 0, &mut values),
        one => values.push((info("0"), plain(&one))),
    }
    Ok(values)
}

struct Reader<'a> {
    rest: &'a [u8],
    pieces: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(count)?;
        self.rest = rest;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|bytes| bytes[0])
    }

    fn number(&mut self, bytes: usize) -> Option<u64> {
        let bytes = self.take(bytes)?;
        Some(
            bytes
                .iter()
                .fold(0, |number, byte| number << 8 | u64::from(*byte)),
        )
    }

    fn signed(&mut self, bytes: usize) -> Option<Data<'a>> {
        let number = self.number(bytes)?;
        Some(Data::Int(super::number::twos(number, 8 * bytes as u32)))
    }

    /// How many: below 128 in one byte, else behind the number of bytes that say it.
    fn count(&mut self) -> Option<usize> {
        match self.byte()? {
            count @ 0..=0x7f => Some(count.into()),
            long @ 0x81..=0x84 => usize::try_from(self.number((long & 0x7f).into())?).ok(),
            _ => None,
        }
    }

    fn counted(&mut self) -> Option<&'a [u8]> {
        let count = self.count()?;
        self.take(count)
    }

    /// The time of the notification: empty, or twelve bytes, which some meters send as a piece of data.
    fn date_time(&mut self) -> Option<Value> {
        if self.rest.starts_with(&[0x09, 0x0c]) {
            self.byte();
        }
        match self.counted()? {
            [] => Some(Value::Absent),
            bytes => Some(moment(bytes).unwrap_or(Value::Bytes(bytes.into()))),
        }
    }

    fn data(&mut self, depth: usize) -> Option<Data<'a>> {
        self.pieces += 1;
        if depth > DEPTH || self.pieces > PIECES {
            return None;
        }
        Some(match self.byte()? {
            0 | 255 => Data::Null,
            1 | 2 => {
                let count = self.count()?;
                // Each takes a byte at least: what says more is not believed.
                if count > self.rest.len() {
                    return None;
                }
                let all = (0..count).map(|_| self.data(depth + 1));
                Data::Many(all.collect::<Option<_>>()?)
            }
            3 => Data::Bool(self.byte()? != 0),
            4 => {
                let bits = self.count()?;
                Data::Octets(self.take(bits.div_ceil(8))?)
            }
            5 => self.signed(4)?,
            6 => Data::Uint(self.number(4)?),
            9 => Data::Octets(self.counted()?),
            10 | 12 => Data::Text(self.counted()?),
            13 => {
                let byte = self.byte()?;
                Data::Uint(u64::from(byte >> 4) * 10 + u64::from(byte & 15))
            }
            15 => self.signed(1)?,
            16 => self.signed(2)?,
            17 => Data::Uint(self.number(1)?),
            18 => Data::Uint(self.number(2)?),
            20 => self.signed(8)?,
            21 => Data::Uint(self.number(8)?),
            22 => Data::Enum(self.byte()?),
            23 => Data::Float(super::number::shortest(f32::from_bits(self.number(4)? as u32))),
            24 => Data::Float(f64::from_bits(self.number(8)?)),
            25 => Data::Time(moment(self.take(12)?).unwrap_or_default()),
            26 => {
                let date = self.take(5)?;
                let year = u16::from_be_bytes([date[0], date[1]]);
                Data::Time(day(year, date[2], date[3]).unwrap_or_default())
            }
            27 => {
                let clock = self.take(4)?;
                let parts = [1970, 1, 1, clock[0].into(), clock[1].into(), clock[2].into()];
                let time = time::of_parts(parts, 0, None);
                let parts = TimeParts::Clock;
                Data::Time(time.map_or(Value::Absent, |time| Value::Time(Time { parts, ..time })))
            }
            _ => return None,
        })
    }
}

/// Twelve bytes as a point in time: year, month, day, weekday, hour, minute, second, hundredths, deviation, status.
fn moment(bytes: &[u8]) -> Option<Value> {
    let &[
        y,
        ear,
        month,
        date,
        _,
        hour,
        minute,
        second,
        hundredths,
        high,
        low,
        _,
    ] = bytes
    else {
        return None;
    };
    let year = u16::from_be_bytes([y, ear]);
    // The deviation is how far the time lies before UTC, in minutes.
    let offset = match i16::from_be_bytes([high, low]) {
        i16::MIN => None,
        minutes @ -840..=840 => Some(-minutes),
        _ => return None,
    };
    if hour == 0xff {
        return day(year, month, date);
    }
    let known = |part: u8| if part == 0xff { 0 } else { i64::from(part) };
    let parts = [
        year.into(),
        month.into(),
        date.into(),
        hour.into(),
        known(minute),
        known(second),
    ];
    if !(1970..=2200).contains(&year) || !matches!(hundredths, 0..100 | 0xff) {
        return None;
    }
    time::of_parts(parts, known(hundredths) * 10, offset).map(Value::Time)
}

fn day(year: u16, month: u8, date: u8) -> Option<Value> {
    let time = time::of_parts([year.into(), month.into(), date.into(), 0, 0, 0], 0, None)?;
    let parts = TimeParts::Day;
    Some(Value::Time(Time { parts, ..time }))
}

/// The values of an array or a structure; `place` names it.
fn list(all: &[Data<'_>], place: &str, depth: usize, values: &mut Vec<(Info, Value)>) {
    if let Some((codes, first)) = described(all) {
        for (code, data) in codes.iter().zip(&all[first..]).skip(usize::from(first == 0)) {
            value(code, data, None, values);
        }
        return;
    }
    let mut at = 0;
    while let Some(data) = all.get(at) {
        let next = all.get(at + 1).filter(|next| !matches!(next, Data::Many(_)));
        if let (Some(code), Some(next)) = (code(data), next) {
            let unit = all.get(at + 2).and_then(scaler);
            at += 2 + usize::from(unit.is_some());
            value(&code, next, unit, values);
            continue;
        }
        let name = format!("{place}{at}");
        match data {
            Data::Many(inner) if depth < DEPTH => list(inner, &format!("{name}/"), depth + 1, values),
            one => values.push((info(&name), plain(one))),
        }
        at += 1;
    }
}

/// Where the first element lists what the others are (class, code, attribute, index): the codes, and the number of
/// the element that the first code is for. Mostly the list describes itself, too.
fn described(all: &[Data<'_>]) -> Option<(Vec<String>, usize)> {
    let Data::Many(entries) = all.first()? else {
        return None;
    };
    let entry = |entry: &Data<'_>| match entry {
        Data::Many(parts) => match parts.as_slice() {
            [Data::Uint(_), named, Data::Int(attribute), Data::Uint(_)] => {
                let code = code(named)?;
                Some(match attribute {
                    2 => code,
                    other => format!("{code}/{other}"),
                })
            }
            _ => None,
        },
        _ => None,
    };
    let codes: Vec<String> = entries.iter().map(entry).collect::<Option<_>>()?;
    match all.len().checked_sub(codes.len())? {
        _ if codes.is_empty() => None,
        first @ 0..=1 => Some((codes, first)),
        _ => None,
    }
}

/// `1-0:1.8.0` of the six bytes of a code.
fn code(data: &Data<'_>) -> Option<String> {
    match data {
        Data::Octets([a @ 0..=15, b, c, d, e, 0xff]) => Some(format!("{a}-{b}:{c}.{d}.{e}")),
        _ => None,
    }
}

fn scaler(data: &Data<'_>) -> Option<(i8, u8)> {
    let Data::Many(parts) = data else { return None };
    match parts.as_slice() {
        [Data::Int(scaler), Data::Enum(unit)] => Some((i8::try_from(*scaler).ok()?, *unit)),
        _ => None,
    }
}

fn value(name: &str, data: &Data<'_>, unit: Option<(i8, u8)>, values: &mut Vec<(Info, Value)>) {
    let raw = plain(data);
    let Some((scaler, unit)) = unit else {
        values.push((info(name), raw));
        return;
    };
    let value = match &raw {
        Value::Int(n) => super::named::scaled(*n, scaler).1,
        other => match other.number() {
            Some(x) => Value::Float(super::number::tidy(x * 10f64.powi(scaler.into()))),
            None => other.clone(),
        },
    };
    let unit = super::named::dlms_unit(unit).map(Into::into);
    values.push((Info { unit, ..info(name) }, value));
    let part = |part: &str| Info {
        hidden: true,
        ..info(&format!("{name}/{part}"))
    };
    values.push((part("raw"), raw));
    values.push((part("scaler"), Value::Int(scaler.into())));
}

fn plain(data: &Data<'_>) -> Value {
    match data {
        Data::Null | Data::Many(_) => Value::Absent,
        Data::Bool(yes) => Value::Bool(*yes),
        Data::Int(n) => Value::Int(*n),
        Data::Uint(n) => super::number::unsigned(*n),
        Data::Enum(n) => Value::Int((*n).into()),
        Data::Float(x) if x.is_finite() => Value::Float(*x),
        Data::Float(_) => Value::Absent,
        Data::Time(time) => time.clone(),
        Data::Text(text) => match String::from_utf8_lossy(text).trim_matches(['\0', ' ']) {
            "" => Value::Absent,
            text => Value::Text(text.into()),
        },
        Data::Octets([]) => Value::Absent,
        Data::Octets(bytes) => match (moment(bytes), std::str::from_utf8(bytes)) {
            (Some(time), _) => time,
            (None, Ok(text)) if bytes.iter().all(|byte| (0x20..0x7f).contains(byte)) => {
                Value::Text(text.into())
            }
            _ => Value::Bytes((*bytes).into()),
        },
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

    fn bytes(hex: &str) -> Vec<u8> {
        let digits: Vec<u8> = hex.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
        data_encoding::HEXLOWER_PERMISSIVE.decode(&digits).unwrap()
    }

    fn shown(hex: &str) -> Vec<String> {
        let values = values(&bytes(hex)).unwrap();
        let visible = values.iter().filter(|(info, _)| !info.hidden);
        let line = |(info, value): &(Info, Value)| {
            let mut line = format!("{} ", info.name);
            value.write(None, &mut line);
            line.push_str(info.unit.as_deref().unwrap_or_default());
            line
        };
        visible.map(line).collect()
    }

    /// Aidon sends lists of code, value, and scaler with unit (github.com/u9n/hanporten, docs).
    #[test]
    fn lists_of_code_value_and_scaler() {
        let list = "e6e700 0f 40000000 00 0104
            0202 0906 0101000281ff 0a0b 4149444f4e5f5630303031
            0203 0906 0100010700ff 06 00000e90 0202 0f00 161b
            0203 0906 01001f0700ff 10 0091     0202 0fff 1621
            0203 0906 0100200700ff 12 0932     0202 0fff 1623";
        let wanted = [
            "time ",
            "1-1:0.2.129 AIDON_V0001",
            "1-0:1.7.0 3728W",
            "1-0:31.7.0 14.5A",
            "1-0:32.7.0 235.4V",
        ];
        assert_eq!(shown(list), wanted);
    }

    /// Kaifa sends values alone, and its time as a piece of data (github.com/toreamun/amshan, tests).
    #[test]
    fn values_alone_have_places() {
        let list = "e6e700 0f 40000000 090c07e40119060d091eff800000 0204
            09074b464d5f303031 06 00002611 0600000000 090c07e40119060e000aff800000";
        let wanted = [
            "time 2020-01-25T13:09:30",
            "0 KFM_001",
            "1 9745",
            "2 0",
            "3 2020-01-25T14:00:10",
        ];
        assert_eq!(shown(list), wanted);
    }

    /// Kamstrup sends codes and values in turn; its codes have no scaler.
    #[test]
    fn codes_and_values_in_turn() {
        let list = "0f 00000000 0c07e1081003100005ff800000 0205
            0a0e4b616d73747275705f5630303031 09060101010700ff 0600000463 09060001010000ff
            090c07e1081003100005ff800000";
        let wanted = [
            "time 2017-08-16T16:00:05",
            "0 Kamstrup_V0001",
            "1-1:1.7.0 1123",
            "0-1:1.0.0 2017-08-16T16:00:05",
        ];
        assert_eq!(shown(list), wanted);
    }

    /// Landis+Gyr first lists what the values are, itself among them.
    #[test]
    fn a_list_of_codes_before_the_values() {
        let list = "0f 00000001 00 0203
            0103 0204 120028 0906 0008190900ff 0f02 120000
                 0204 120003 0906 0100010700ff 0f02 120000
                 0204 120001 0906 0000600101ff 0f02 120000
            06 00000463 0904 31323334";
        assert_eq!(shown(list), ["time ", "1-0:1.7.0 1123", "0-0:96.1.1 1234"]);
    }

    #[test]
    fn what_is_none_is_told() {
        for (hex, says) in [
            ("", "no bytes"),
            ("c0", "begins with 0xc0"),
            ("db084b46", "enciphered"),
            ("0f 00000000 00 0203 11", "cut off"),
            ("0f 00000000 00 1101 00", "more follows"),
            ("0f 00000000 00 0184ffffffff", "cut off"),
        ] {
            let error = values(&bytes(hex)).unwrap_err();
            assert!(error.contains(says), "{hex}: {error}");
        }
        let deep = [bytes("0f 00000000 00"), [1, 1].repeat(100), vec![0]].concat();
        assert!(values(&deep).is_err());
    }

    proptest! {
        #[test]
        fn never_panics(body in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = values(&body);
            let _ = values(&[&[0x0f, 0, 0, 0, 0, 0][..], &body].concat());
        }

        /// Data of any kind, nested in any way, are read to their end.
        #[test]
        fn what_is_well_formed_is_read(body in any_data()) {
            let bytes = [&[0x0f, 0, 0, 0, 0, 0][..], &body].concat();
            prop_assert!(values(&bytes).is_ok());
        }
    }

    fn any_data() -> impl Strategy<Value = Vec<u8>> {
        let fixed = |tag: u8, len: usize| {
            prop::collection::vec(any::<u8>(), len).prop_map(move |bytes| [vec![tag], bytes].concat())
        };
        let counted = |tag: u8| {
            prop::collection::vec(any::<u8>(), 0..20)
                .prop_map(move |bytes| [vec![tag, bytes.len() as u8], bytes].concat())
        };
        let code = any::<[u8; 5]>().prop_map(|code| [&[9, 6][..], &code, &[0xff]].concat());
        let leaf = prop_oneof![
            Just(vec![0]),
            fixed(3, 1),
            fixed(6, 4),
            fixed(15, 1),
            fixed(22, 1),
            fixed(18, 2),
            fixed(23, 4),
            fixed(25, 12),
            fixed(26, 5),
            fixed(27, 4),
            counted(9),
            counted(10),
            code
        ];
        leaf.prop_recursive(4, 64, 6, |inner| {
            (1u8..3, prop::collection::vec(inner, 0..6))
                .prop_map(|(tag, all)| [vec![tag, all.len() as u8], all.concat()].concat())
        })
    }
}

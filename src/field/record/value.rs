//! One value: a number, a text, a time, several, or a record of them.

use super::Record;
use std::fmt::{self, Write};
use std::sync::Arc;

/// One value. Cheap to move; a clone of text or bytes shares them.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Value {
    /// There is none in this frame: an empty field, a number that means "no sensor", a part that is not there.
    #[default]
    Absent,
    /// Yes or no.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A whole number above the range of `Int`; smaller ones are always `Int`.
    Uint(u64),
    /// A decimal number, exact: what the device sent, moved by a power of ten.
    Fixed(Fixed),
    /// A number that is not a decimal fraction by nature. How many decimals are shown is in [`Info`](super::Info).
    Float(f64),
    /// A text, or the label of an enumeration.
    Text(Arc<str>),
    /// Bytes; shown as lower-case hexadecimal digits.
    Bytes(Arc<[u8]>),
    /// A point in time; shown as in ISO 8601.
    Time(Time),
    /// Several values of one kind, such as the cells of a battery.
    List(Vec<Value>),
    /// Values with names: named flags, a repeated record.
    Record(Box<Record>),
}

/// `digits` / 10 ^ `decimals`: 2302 with one decimal is 230.2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fixed {
    /// All digits, without the point.
    pub digits: i64,
    /// How many of them stand behind the point, at most 18.
    pub decimals: u8,
}

/// A point in time as a device tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Time {
    /// Milliseconds since 1970-01-01T00:00:00 on the clock that `offset` describes.
    pub millis: i64,
    /// Minutes east of UTC, or None: the device's local time, whichever that is.
    pub offset: Option<i16>,
    /// What of it the device tells.
    pub parts: TimeParts,
}

/// What a device tells of a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TimeParts {
    /// Day and time of day.
    #[default]
    Both,
    /// The day alone.
    Day,
    /// The time of day alone; the day of [`Time`] is 1970-01-01.
    Clock,
}

impl Value {
    /// The value as a number, if it is one; true is 1.
    pub fn number(&self) -> Option<f64> {
        match self {
            Value::Bool(yes) => Some(f64::from(u8::from(*yes))),
            Value::Int(n) => Some(*n as f64),
            Value::Uint(n) => Some(*n as f64),
            Value::Fixed(fixed) => Some(fixed.float()),
            Value::Float(x) => Some(*x),
            Value::Absent
            | Value::Text(_)
            | Value::Bytes(_)
            | Value::Time(_)
            | Value::List(_)
            | Value::Record(_) => None,
        }
    }

    /// Appends the value as a person reads it. `decimals` are those of a float.
    pub fn write(&self, decimals: Option<u8>, out: &mut String) {
        // Writing to a String does not fail.
        let _ = match self {
            Value::Absent => Ok(()),
            Value::Text(text) => out.write_str(text),
            Value::Bytes(bytes) => {
                data_encoding::HEXLOWER.encode_append(bytes, out);
                Ok(())
            }
            Value::Time(time) => write!(out, "{time}"),
            Value::Bool(_) | Value::Int(_) | Value::Uint(_) | Value::Fixed(_) | Value::Float(_) => {
                self.write_scalar(decimals, out)
            }
            Value::List(_) | Value::Record(_) => {
                self.write_json(decimals, out);
                Ok(())
            }
        };
    }

    /// Appends the value as JSON.
    pub fn write_json(&self, decimals: Option<u8>, out: &mut String) {
        match self {
            Value::Absent => out.push_str("null"),
            Value::Float(x) if !x.is_finite() => out.push_str("null"),
            Value::Bool(_) | Value::Int(_) | Value::Uint(_) | Value::Fixed(_) | Value::Float(_) => {
                let _ = self.write_scalar(decimals, out);
            }
            Value::Text(text) => write_json_text(text, out),
            Value::Bytes(_) | Value::Time(_) => {
                out.push('"');
                self.write(decimals, out);
                out.push('"');
            }
            Value::List(values) => {
                out.push('[');
                for (n, value) in values.iter().enumerate() {
                    if n > 0 {
                        out.push(',');
                    }
                    value.write_json(decimals, out);
                }
                out.push(']');
            }
            Value::Record(record) => record.write_json(out),
        }
    }

    fn write_scalar(&self, decimals: Option<u8>, out: &mut String) -> fmt::Result {
        match self {
            Value::Bool(yes) => out.write_str(if *yes { "true" } else { "false" }),
            Value::Int(n) => write!(out, "{n}"),
            Value::Uint(n) => write!(out, "{n}"),
            Value::Fixed(fixed) => {
                fixed.write(out);
                Ok(())
            }
            Value::Float(x) => match decimals {
                Some(decimals) => write!(out, "{x:.*}", usize::from(decimals)),
                None => write!(out, "{x}"),
            },
            _ => Ok(()),
        }
    }
}

impl Fixed {
    /// The nearest float.
    pub fn float(self) -> f64 {
        self.digits as f64 / TENS[usize::from(self.decimals.min(18))] as f64
    }

    /// Appends it with its decimals.
    pub fn write(self, out: &mut String) {
        let mut buffer = [0u8; 24];
        let mut at = buffer.len();
        let mut rest = self.digits.unsigned_abs();
        let mut written = 0;
        loop {
            if written == self.decimals.min(18) && written > 0 {
                at -= 1;
                buffer[at] = b'.';
            }
            if rest == 0 && written > self.decimals.min(18) {
                break;
            }
            at -= 1;
            buffer[at] = b'0' + (rest % 10) as u8;
            rest /= 10;
            written += 1;
            if rest == 0 && written > self.decimals.min(18) {
                break;
            }
        }
        if self.digits < 0 {
            at -= 1;
            buffer[at] = b'-';
        }
        out.push_str(std::str::from_utf8(&buffer[at..]).unwrap_or_default());
    }
}

/// The powers of ten that fit.
pub(crate) const TENS: [i64; 19] = {
    let mut tens = [1i64; 19];
    let mut n = 1;
    while n < tens.len() {
        tens[n] = tens[n - 1] * 10;
        n += 1;
    }
    tens
};

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, of_day) = (
            self.millis.div_euclid(86_400_000),
            self.millis.rem_euclid(86_400_000),
        );
        let (year, month, day) = civil(days);
        let (hour, minute) = (of_day / 3_600_000, of_day / 60_000 % 60);
        let (second, milli) = (of_day / 1000 % 60, of_day % 1000);
        if self.parts != TimeParts::Clock {
            write!(f, "{year:04}-{month:02}-{day:02}")?;
        }
        match self.parts {
            TimeParts::Day => return Ok(()),
            TimeParts::Both => f.write_str("T")?,
            TimeParts::Clock => {}
        }
        write!(f, "{hour:02}:{minute:02}:{second:02}")?;
        if milli != 0 {
            write!(f, ".{milli:03}")?;
        }
        match self.offset {
            None => Ok(()),
            Some(0) => f.write_str("Z"),
            Some(minutes) => {
                let sign = if minutes < 0 { '-' } else { '+' };
                let minutes = minutes.unsigned_abs();
                write!(f, "{sign}{:02}:{:02}", minutes / 60, minutes % 60)
            }
        }
    }
}

/// Year, month and day of a number of days since 1970-01-01 (proleptic Gregorian).
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

pub(crate) fn write_json_text(text: &str, out: &mut String) {
    match serde_json::to_string(text) {
        Ok(quoted) => out.push_str(&quoted),
        Err(_) => out.push_str("null"),
    }
}

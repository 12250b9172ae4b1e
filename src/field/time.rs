//! Times as devices write them: parts in digits, bytes or BCD, or a count since a beginning.

use super::config::{Epoch, Step};
use super::record::{Time, TimeParts};

/// A pattern of a time's parts, such as `YYMMDDhhmmss`, `YYYY-MM-DD hh:mm`, `hh:mm:ss.fff`.
///
/// `C` century, `Y` year, `M` month, `D` day, `h` hour, `m` minute, `s` second, `f` fraction of a second,
/// `P` AM or PM, `Z` zone (`Z`, `+hh:mm`, `+hhmm`, `W` winter and `S` summer time as in DSMR), `?` anything;
/// what else stands in it must stand in the text.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Pattern {
    items: Vec<Item>,
    /// Whether a letter may have fewer digits than it is repeated, because something follows that is no digit.
    text: String,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Item {
    Part(Part, usize),
    Literal(u8),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Century,
    Year,
    Month,
    Day,
    Hour,
    Minute,
    Second,
    Fraction,
    Half,
    Zone,
    Any,
}

impl Pattern {
    pub(crate) fn parse(text: &str) -> Result<Pattern, String> {
        let mut items: Vec<Item> = Vec::new();
        for byte in text.bytes() {
            let part = match byte {
                b'C' => Part::Century,
                b'Y' => Part::Year,
                b'M' => Part::Month,
                b'D' => Part::Day,
                b'h' => Part::Hour,
                b'm' => Part::Minute,
                b's' => Part::Second,
                b'f' => Part::Fraction,
                b'P' => Part::Half,
                b'Z' => Part::Zone,
                b'?' => Part::Any,
                other if other.is_ascii() && !other.is_ascii_alphanumeric() || other == b'T' => {
                    items.push(Item::Literal(other));
                    continue;
                }
                other => {
                    return Err(format!(
                        "`{}` is no part of a time: C, Y, M, D, h, m, s, f, P, Z and ? are; signs stand for themselves",
                        char::from(other).escape_debug()
                    ));
                }
            };
            match items.last_mut() {
                Some(Item::Part(last, count)) if *last == part => *count += 1,
                _ => items.push(Item::Part(part, 1)),
            }
        }
        if items.is_empty() || text.len() > 64 {
            return Err("a time's pattern has 1 to 64 characters".into());
        }
        Ok(Pattern {
            items,
            text: text.to_owned(),
        })
    }

    /// How many bytes it has where each two letters are one byte.
    pub(crate) fn bytes(&self) -> usize {
        self.text.len().div_ceil(2)
    }

    /// How many characters it has as text.
    pub(crate) fn chars(&self) -> usize {
        self.text.len()
    }

    /// A time in digits.
    pub(crate) fn text(&self, text: &[u8], offset: Option<i16>) -> Option<Time> {
        let mut fields = Fields::new(offset);
        let mut rest = text;
        for (n, item) in self.items.iter().enumerate() {
            match item {
                Item::Literal(byte) => rest = rest.strip_prefix(std::slice::from_ref(byte))?,
                Item::Part(Part::Any, count) => rest = rest.get(*count..)?,
                Item::Part(Part::Half, _) => {
                    let (half, after) = rest.split_at_checked(2)?;
                    fields.half = Some(half.eq_ignore_ascii_case(b"pm"));
                    rest = after;
                }
                Item::Part(Part::Zone, _) => rest = fields.zone(rest)?,
                Item::Part(part, count) => {
                    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
                    // Between signs a number may be shorter or longer than the pattern shows.
                    let digit = |item: Option<&Item>| matches!(item, Some(Item::Part(part, _)) if !matches!(part, Part::Zone | Part::Half));
                    let before = n.checked_sub(1).and_then(|n| self.items.get(n));
                    let free = !digit(self.items.get(n + 1)) && !digit(before);
                    let digits = match free {
                        true => digits,
                        false => digits.min(*count),
                    };
                    if digits == 0 || (!free && digits < *count) || digits > 9 {
                        return None;
                    }
                    let (digits, after) = rest.split_at_checked(digits)?;
                    rest = after;
                    let value = digits
                        .iter()
                        .fold(0i64, |value, d| value * 10 + i64::from(d - b'0'));
                    fields.put(*part, value, digits.len());
                }
            }
        }
        rest.is_empty().then(|| fields.time()).flatten()
    }

    /// A time in bytes, one for each two letters of a part: `CCYYMMDDhhmm` are six.
    pub(crate) fn binary(&self, bytes: &[u8], bcd: bool) -> Option<Time> {
        let mut fields = Fields::new(None);
        let mut rest = bytes.iter();
        for item in &self.items {
            let Item::Part(part, count) = item else { continue };
            let mut value = 0i64;
            for _ in 0..count.div_ceil(2) {
                let byte = *rest.next()?;
                value = match bcd {
                    true if byte >> 4 > 9 || byte & 15 > 9 => return None,
                    true => value * 100 + i64::from(byte >> 4) * 10 + i64::from(byte & 15),
                    false => value * 256 + i64::from(byte),
                };
            }
            fields.put(*part, value, *count);
        }
        fields.time()
    }
}

struct Fields {
    century: Option<i64>,
    year: i64,
    digits: usize,
    rest: [i64; 5],
    millis: i64,
    half: Option<bool>,
    offset: Option<i16>,
    /// Whether there was a part of the day, and one of the time of day.
    told: (bool, bool),
}

impl Fields {
    fn new(offset: Option<i16>) -> Fields {
        Fields {
            century: None,
            year: 1970,
            digits: 4,
            rest: [1, 1, 0, 0, 0],
            millis: 0,
            half: None,
            offset,
            told: (false, false),
        }
    }

    fn put(&mut self, part: Part, value: i64, digits: usize) {
        match part {
            Part::Century | Part::Year | Part::Month | Part::Day => self.told.0 = true,
            Part::Hour | Part::Minute | Part::Second | Part::Fraction => self.told.1 = true,
            Part::Half | Part::Zone | Part::Any => {}
        }
        match part {
            Part::Century => self.century = Some(value),
            Part::Year => (self.year, self.digits) = (value, digits),
            Part::Month => self.rest[0] = value,
            Part::Day => self.rest[1] = value,
            Part::Hour => self.rest[2] = value,
            Part::Minute => self.rest[3] = value,
            Part::Second => self.rest[4] = value,
            Part::Fraction => {
                let digits = i32::try_from(digits).unwrap_or(9);
                self.millis = (value as f64 / 10f64.powi(digits) * 1000.0) as i64;
            }
            Part::Half | Part::Zone | Part::Any => {}
        }
    }

    fn zone<'a>(&mut self, rest: &'a [u8]) -> Option<&'a [u8]> {
        let (first, after) = rest.split_first()?;
        self.offset = match first {
            b'Z' => Some(0),
            b'W' => Some(60),
            b'S' => Some(120),
            b'+' | b'-' => {
                let digits: Vec<u8> = after.iter().copied().filter(u8::is_ascii_digit).take(4).collect();
                let [a, b, rest @ ..] = digits.as_slice() else {
                    return None;
                };
                let number = |a: &u8, b: &u8| i16::from(a - b'0') * 10 + i16::from(b - b'0');
                let minutes = match rest {
                    [c, d] => number(c, d),
                    _ => 0,
                };
                let minutes = number(a, b) * 60 + minutes;
                self.offset = Some(if *first == b'-' { -minutes } else { minutes });
                return Some(&[]);
            }
            _ => return None,
        };
        Some(after)
    }

    fn time(&self) -> Option<Time> {
        let mut rest = self.rest;
        if let Some(afternoon) = self.half {
            rest[2] = rest[2] % 12 + if afternoon { 12 } else { 0 };
        }
        let year = match (self.century, self.digits) {
            (Some(century), _) => century * 100 + self.year,
            (None, 0..=2) if self.year < 80 => 2000 + self.year,
            (None, 0..=2) => 1900 + self.year,
            _ => self.year,
        };
        let time = of_parts(
            [year, rest[0], rest[1], rest[2], rest[3], rest[4]],
            self.millis,
            self.offset,
        )?;
        let parts = match self.told {
            (true, false) => TimeParts::Day,
            (false, true) => TimeParts::Clock,
            _ => TimeParts::Both,
        };
        Some(Time { parts, ..time })
    }
}

/// The time of year, month, day, hour, minute and second; None: there is no such time.
pub(crate) fn of_parts(parts: [i64; 6], millis: i64, offset: Option<i16>) -> Option<Time> {
    let [year, month, day, hour, minute, second] = parts;
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        _ => return None,
    };
    let within = (0..=9999).contains(&year)
        && (1..=days).contains(&day)
        && (0..24).contains(&hour)
        && (0..60).contains(&minute)
        && (0..=60).contains(&second);
    within.then(|| Time {
        millis: (((days_from_civil(year, month, day) * 24 + hour) * 60 + minute) * 60 + second) * 1000
            + millis,
        offset,
        parts: TimeParts::Both,
    })
}

/// Days since 1970-01-01 (proleptic Gregorian).
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// A count since a beginning, ready for use.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Count {
    start: i64,
    step: f64,
    offset: Option<i16>,
}

impl Count {
    pub(crate) fn new(epoch: &Epoch) -> Result<Count, String> {
        let start = match epoch.epoch.as_str() {
            "unix" => 0,
            "gps" => 315_964_800,
            "ntp" | "1900" => -2_208_988_800,
            "1904" => -2_082_844_800,
            "2000" => 946_684_800,
            date => {
                let pattern = Pattern::parse("YYYY-MM-DD")?;
                let time = pattern.text(date.as_bytes(), None).ok_or_else(|| {
                    format!(
                        "`{}` is no epoch: unix, gps, ntp, 1900, 1904, 2000 or a date such as 2010-01-01",
                        date.escape_debug()
                    )
                })?;
                time.millis / 1000
            }
        };
        let step = match epoch.step {
            Step::S => 1000.0,
            Step::Ms => 1.0,
            Step::Us => 0.001,
            Step::Min => 60_000.0,
            Step::H => 3_600_000.0,
            Step::D => 86_400_000.0,
        };
        Ok(Count {
            start: start * 1000,
            step,
            offset: epoch.zone.0,
        })
    }

    pub(crate) fn time(self, count: f64) -> Option<Time> {
        let millis = self.start as f64 + count * self.step;
        // Up to the year 9999.
        (millis.abs() < 2.5e14).then(|| Time {
            millis: millis.round() as i64,
            offset: self.offset,
            parts: TimeParts::Both,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::field::config::Zone;

    fn text(pattern: &str, text: &str) -> Option<String> {
        let time = Pattern::parse(pattern).unwrap().text(text.as_bytes(), None)?;
        Some(time.to_string())
    }

    #[test]
    fn times_in_digits() {
        for (pattern, from, wanted) in [
            ("YYMMDDhhmmssZ", "161113205757W", "2016-11-13T20:57:57+01:00"),
            ("YYYY-MM-DD hh:mm", "2024-02-29 7:05", "2024-02-29T07:05:00"),
            ("DD.MM.YY", "01.12.99", "1999-12-01"),
            (
                "YYYY-MM-DDThh:mm:ss.fffZ",
                "2024-02-29T07:05:01.25Z",
                "2024-02-29T07:05:01.250Z",
            ),
            ("hh:mm:ss PP", "12:10:00 AM", "00:10:00"),
            (
                "YYYYMMDDhhmmssZ",
                "20240229070501-0330",
                "2024-02-29T07:05:01-03:30",
            ),
        ] {
            assert_eq!(text(pattern, from).as_deref(), Some(wanted), "{from}");
        }
        assert_eq!(text("YYMMDD", "241301"), None);
        assert_eq!(text("YYMMDD", "24021"), None);
        assert_eq!(text("YYMMDD", "2402011"), None);
        assert!(Pattern::parse("YYYY/QQ").is_err());
    }

    #[test]
    fn times_in_bytes_and_counts() {
        let pattern = Pattern::parse("CCYYMMDDhhmm").unwrap();
        assert_eq!(pattern.bytes(), 6);
        let bytes = [0x14, 0x13, 0x01, 0x04, 0x0b, 0x09];
        assert_eq!(
            pattern.binary(&bytes, false).unwrap().to_string(),
            "2019-01-04T11:09:00"
        );
        let bcd = Pattern::parse("YYMMDDhhmm").unwrap();
        let time = bcd.binary(&[0x24, 0x12, 0x31, 0x23, 0x59], true).unwrap();
        assert_eq!(time.to_string(), "2024-12-31T23:59:00");
        let count = |name: &str, step| {
            let epoch = Epoch {
                epoch: name.to_owned(),
                step,
                zone: Zone::default(),
            };
            Count::new(&epoch).unwrap().time(1.0).unwrap().to_string()
        };
        assert_eq!(count("unix", Step::D), "1970-01-02T00:00:00Z");
        assert_eq!(count("2000", Step::Ms), "2000-01-01T00:00:00.001Z");
        assert_eq!(count("gps", Step::S), "1980-01-06T00:00:01Z");
        assert_eq!(count("2010-01-01", Step::Min), "2010-01-01T00:01:00Z");
    }
}

//! Numbers: from bytes, digits and text to a value, and the scaling between what is sent and what is meant.

use super::record::{Fixed, TENS, Value};

/// Seven bits of each byte, the lowest first or last; None: they are more than 64. Protocol Buffers and LEB128 begin
/// with the lowest, MIDI with the highest.
pub(crate) fn varint(bytes: &[u8], low_first: bool) -> Option<u64> {
    let add = |value: u64, byte: &u8| {
        let room = value.leading_zeros() >= 7;
        room.then_some(value << 7 | u64::from(byte & 0x7f))
    };
    match low_first {
        true => bytes.iter().rev().try_fold(0, add),
        false => bytes.iter().try_fold(0, add),
    }
}

/// The fewest bytes that [`varint`] reads as this number.
pub(crate) fn to_varint(mut value: u64, low_first: bool) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        bytes.push((value & 0x7f) as u8);
        value >>= 7;
        if value == 0 {
            break;
        }
    }
    if !low_first {
        bytes.reverse();
    }
    let last = bytes.len() - 1;
    bytes[..last].iter_mut().for_each(|byte| *byte |= 0x80);
    bytes
}

/// The number of bytes with these ranks, 0 being the most significant.
pub(crate) fn uint(bytes: &[u8], ranks: &[u8]) -> u64 {
    let last = bytes.len().saturating_sub(1);
    bytes.iter().zip(ranks).fold(0, |number, (byte, rank)| {
        let shift = 8 * last.saturating_sub(usize::from(*rank)) as u32;
        number | u64::from(*byte).checked_shl(shift).unwrap_or(0)
    })
}

/// `count` bits from bit `from` on. With `low_first` bit 0 is the lowest of the first byte and the first bit the
/// lowest of the number; else bit 0 is the highest of the first byte and the first bit the highest of the number.
pub(crate) fn bits(bytes: &[u8], from: usize, count: usize, low_first: bool) -> u64 {
    let bit = |n: usize| {
        let byte = bytes.get(n / 8).copied().unwrap_or(0);
        let shift = if low_first { n % 8 } else { 7 - n % 8 };
        u64::from(byte >> shift & 1)
    };
    (0..count).fold(0, |number, n| match low_first {
        true => number | bit(from + n) << n,
        false => number << 1 | bit(from + n),
    })
}

/// Two's complement of so many bits.
pub(crate) fn twos(number: u64, bits: u32) -> i64 {
    match bits {
        0 => 0,
        1..=63 => (number << (64 - bits)) as i64 >> (64 - bits),
        _ => number as i64,
    }
}

/// Digits in nibbles, in the order of the bytes; None: one is no digit, or they are too many.
pub(crate) fn bcd(bytes: impl Iterator<Item = u8>, swapped: bool) -> Option<u64> {
    let mut number = 0u64;
    for byte in bytes {
        let (high, low) = (byte >> 4, byte & 15);
        if high > 9 || low > 9 {
            return None;
        }
        let two = if swapped { low * 10 + high } else { high * 10 + low };
        number = number.checked_mul(100)?.checked_add(two.into())?;
    }
    Some(number)
}

/// An unsigned number as a value.
pub(crate) fn unsigned(number: u64) -> Value {
    i64::try_from(number).map_or(Value::Uint(number), Value::Int)
}

/// A decimal number in text: `-12.50`, `+3`, `1e-3`; None: it is none. Decimals are kept.
pub(crate) fn decimal(text: &[u8], point: u8) -> Option<Value> {
    let (negative, digits) = match text.split_first()? {
        (b'-', rest) => (true, rest.trim_ascii_start()),
        (b'+', rest) => (false, rest.trim_ascii_start()),
        _ => (false, text),
    };
    let (mut number, mut decimals, mut seen, mut behind) = (0i64, 0u8, false, false);
    let mut exact = true;
    for (at, byte) in digits.iter().enumerate() {
        match byte {
            b'0'..=b'9' => {
                seen = true;
                let next = number
                    .checked_mul(10)
                    .and_then(|number| number.checked_add(i64::from(byte - b'0')));
                match next {
                    Some(next) if decimals < 18 => {
                        number = next;
                        decimals += u8::from(behind);
                    }
                    _ => exact = false,
                }
            }
            byte if *byte == point && !behind => behind = true,
            b'e' | b'E' if seen && at > 0 => {
                exact = false;
                break;
            }
            _ => return None,
        }
    }
    if !seen {
        return None;
    }
    if exact {
        let digits = if negative { -number } else { number };
        return Some(match decimals {
            0 => Value::Int(digits),
            _ => Value::Fixed(Fixed { digits, decimals }),
        });
    }
    let mut text = std::str::from_utf8(digits).ok()?.to_owned();
    if point != b'.' {
        text = text.replace(char::from(point), ".");
    }
    let number: f64 = text.parse().ok()?;
    number
        .is_finite()
        .then_some(Value::Float(if negative { -number } else { number }))
}

/// The number times a power of ten; exact where it can be. What is no number stays.
pub(crate) fn shifted(value: Value, tens: i32) -> Value {
    let fixed = match value {
        _ if tens == 0 => return value,
        Value::Int(digits) => Fixed { digits, decimals: 0 },
        Value::Fixed(fixed) => fixed,
        ref other => {
            return match other.number() {
                Some(x) => Value::Float(tidy(x * 10f64.powi(tens))),
                None => value,
            };
        }
    };
    let decimals = i32::from(fixed.decimals) - tens;
    match u8::try_from(decimals) {
        Ok(0) => Value::Int(fixed.digits),
        Ok(decimals @ 1..=18) => Value::Fixed(Fixed {
            digits: fixed.digits,
            decimals,
        }),
        _ => {
            let more = usize::try_from(-decimals).ok().and_then(|more| TENS.get(more));
            match more.and_then(|more| fixed.digits.checked_mul(*more)) {
                Some(digits) => Value::Int(digits),
                None => Value::Float(fixed.float() * 10f64.powi(tens)),
            }
        }
    }
}

/// Digits to a base; blanks around them are allowed.
pub(crate) fn digits(text: &[u8], base: u8) -> Option<u64> {
    let mut number = 0u64;
    let text = text.trim_ascii();
    let text = match base {
        16 => text
            .strip_prefix(b"0x")
            .or(text.strip_prefix(b"0X"))
            .unwrap_or(text),
        _ => text,
    };
    for byte in text {
        let digit = char::from(*byte).to_digit(base.into())?;
        number = number.checked_mul(base.into())?.checked_add(digit.into())?;
    }
    (!text.is_empty()).then_some(number)
}

/// IEEE 754 with 16 bits.
pub(crate) fn half(bits: u16) -> f64 {
    let sign = if bits >> 15 == 1 { -1.0 } else { 1.0 };
    let (exponent, fraction) = (i32::from(bits >> 10 & 31), f64::from(bits & 1023));
    sign * match exponent {
        0 => fraction * 2f64.powi(-24),
        31 if fraction == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        _ => (1.0 + fraction / 1024.0) * 2f64.powi(exponent - 15),
    }
}

/// A float of 32 bits, as the shortest decimal that it stands for.
pub(crate) fn shortest(x: f32) -> f64 {
    let wide = f64::from(x);
    if wide.fract() == 0.0 {
        wide
    } else {
        x.to_string().parse().unwrap_or(wide)
    }
}

/// From what is sent to what is meant: value = (number + bias) * scale + offset.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Scale {
    bias: f64,
    scale: f64,
    offset: f64,
    /// The same in whole numbers: (number + bias) * factor + add, with so many decimals.
    exact: Option<Exact>,
    decimals: Option<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Exact {
    bias: i64,
    factor: i64,
    add: i64,
    decimals: u8,
}

impl Scale {
    pub(crate) fn new(
        bias: f64,
        scale: f64,
        divide: Option<f64>,
        offset: f64,
        decimals: Option<u8>,
    ) -> Scale {
        let exact = exact(bias, scale, divide, offset);
        Scale {
            bias,
            scale: scale / divide.unwrap_or(1.0),
            offset,
            exact,
            decimals,
        }
    }

    /// Whether it leaves numbers as they are, but for rounding.
    pub(crate) fn is_plain(&self) -> bool {
        self.bias == 0.0 && self.scale == 1.0 && self.offset == 0.0
    }

    /// How many decimals an exact value has by itself.
    pub(crate) fn decimals(&self) -> Option<u8> {
        self.decimals
    }

    /// The value meant by a number; another factor comes from the frame itself, if there is one.
    pub(crate) fn value(&self, number: Value, factor: Option<f64>) -> Value {
        if let (Some(exact), None) = (self.exact, factor) {
            let done = match number {
                Value::Int(n) => exact.value(n, 0),
                Value::Fixed(fixed) => exact.value(fixed.digits, fixed.decimals),
                _ => None,
            };
            if let Some(done) = done {
                return self.rounded(done);
            }
        }
        let plain = self.scale == 1.0 && self.bias == 0.0 && self.offset == 0.0 && factor.is_none();
        match number.number() {
            Some(_) if plain => self.rounded(number),
            Some(x) => {
                let x = (x + self.bias) * self.scale * factor.unwrap_or(1.0) + self.offset;
                self.rounded(Value::Float(tidy(x)))
            }
            None => number,
        }
    }

    fn rounded(&self, value: Value) -> Value {
        let Some(decimals) = self.decimals else {
            return value;
        };
        let x = match value {
            Value::Fixed(Fixed {
                digits,
                decimals: has,
            }) if has > decimals => {
                let step = TENS[usize::from((has - decimals).min(18))];
                let half = if digits < 0 { -step / 2 } else { step / 2 };
                let digits = digits.saturating_add(half) / step;
                return number_of(digits, decimals);
            }
            Value::Fixed(Fixed {
                digits,
                decimals: has,
            }) => {
                let more = TENS[usize::from((decimals - has).min(18))];
                return match digits.checked_mul(more) {
                    Some(digits) => number_of(digits, decimals),
                    None => value,
                };
            }
            Value::Int(n) if decimals > 0 => {
                return match n.checked_mul(TENS[usize::from(decimals.min(18))]) {
                    Some(digits) => number_of(digits, decimals),
                    None => value,
                };
            }
            Value::Float(x) => x,
            other => return other,
        };
        let scaled = (x * TENS[usize::from(decimals.min(18))] as f64).round();
        if scaled.abs() < 9.0e15 {
            number_of(scaled as i64, decimals)
        } else {
            value
        }
    }

    /// The number to be sent for a value.
    pub(crate) fn raw(&self, value: f64, factor: f64) -> f64 {
        (value - self.offset) / (self.scale * factor) - self.bias
    }
}

fn number_of(digits: i64, decimals: u8) -> Value {
    match decimals {
        0 => Value::Int(digits),
        _ => Value::Fixed(Fixed {
            digits,
            decimals: decimals.min(18),
        }),
    }
}

impl Exact {
    fn value(self, digits: i64, decimals: u8) -> Option<Value> {
        let ten = TENS[usize::from(decimals.min(18))];
        let number = digits.checked_add(self.bias.checked_mul(ten)?)?;
        let digits = number
            .checked_mul(self.factor)?
            .checked_add(self.add.checked_mul(ten)?)?;
        let decimals = decimals.checked_add(self.decimals).filter(|d| *d <= 18)?;
        Some(number_of(digits, decimals))
    }
}

fn exact(bias: f64, scale: f64, divide: Option<f64>, offset: f64) -> Option<Exact> {
    let (bias, 0) = parts(bias)? else { return None };
    let (mut factor, mut decimals) = parts(scale)?;
    if let Some(divide) = divide {
        // A power of ten moves the point; anything else is not exact.
        let power = (0..=9u8).find(|power| divide == TENS[usize::from(*power)] as f64)?;
        decimals = decimals.checked_add(power)?;
    }
    let (add, offset_decimals) = parts(offset)?;
    let all = decimals.max(offset_decimals);
    factor = factor.checked_mul(TENS[usize::from(all - decimals)])?;
    let add = add.checked_mul(TENS[usize::from(all - offset_decimals)])?;
    (all <= 12).then_some(Exact {
        bias,
        factor,
        add,
        decimals: all,
    })
}

/// A number as a person wrote it: all digits, and how many of them are behind the point.
fn parts(x: f64) -> Option<(i64, u8)> {
    if x.abs() >= 1.0e15 || (x != 0.0 && x.abs() < 1.0e-12) {
        return None;
    }
    match decimal(x.to_string().as_bytes(), b'.')? {
        Value::Int(n) => Some((n, 0)),
        Value::Fixed(fixed) if fixed.decimals <= 12 => Some((fixed.digits, fixed.decimals)),
        _ => None,
    }
}

/// Without the noise of binary fractions: 12 digits count.
pub(crate) fn tidy(x: f64) -> f64 {
    if x == 0.0 || !x.is_finite() {
        return x;
    }
    let digits = 11 - x.abs().log10().floor() as i32;
    if !(0..=15).contains(&digits) {
        return x;
    }
    let ten = 10f64.powi(digits);
    (x * ten).round() / ten
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_both_ways() {
        for (bytes, low, number) in [
            (&[0x96, 0x01][..], true, Some(150)),
            (&[0x81, 0x80, 0x80, 0x00], false, Some(0x20_0000)),
            (&[0x7f], true, Some(127)),
            (
                &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
                true,
                Some(u64::MAX),
            ),
            (
                &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02],
                true,
                None,
            ),
        ] {
            assert_eq!(varint(bytes, low), number, "{bytes:x?}");
            if let Some(number) = number {
                assert_eq!(to_varint(number, low), bytes);
            }
        }
    }
    use proptest::prelude::*;

    fn shown(value: &Value) -> String {
        let mut out = String::new();
        value.write(None, &mut out);
        out
    }

    fn scaled(number: Value, bias: f64, scale: f64, offset: f64, decimals: Option<u8>) -> String {
        shown(&Scale::new(bias, scale, None, offset, decimals).value(number, None))
    }

    #[test]
    fn numbers_from_bytes() {
        assert_eq!(uint(&[0x12, 0x34, 0x56], &[0, 1, 2]), 0x12_3456);
        assert_eq!(uint(&[0x12, 0x34, 0x56], &[0, 2, 1]), 0x12_5634);
        assert_eq!(uint(&[0x30, 0, 0x28, 0xc5], &[1, 0, 3, 2]), 0x0030_c528);
        assert_eq!(uint(&[], &[]), 0);
        assert_eq!(bits(&[0xe0, 0x03], 0, 11, true), 992);
        assert_eq!(bits(&[0b1010_0000], 0, 3, false), 5);
        assert_eq!(twos(0xfff6, 16), -10);
        assert_eq!(bcd([0x12, 0x34].into_iter(), false), Some(1234));
        assert_eq!(bcd([0x12, 0x3a].into_iter(), false), None);
        assert_eq!(bcd([0x21].into_iter(), true), Some(12));
        assert_eq!(half(0x3555), 0.333_251_953_125);
        assert_eq!(half(0xc000), -2.0);
    }

    #[test]
    fn numbers_from_text() {
        let read = |text: &str| decimal(text.as_bytes(), b'.').map(|value| shown(&value));
        for (text, wanted) in [
            ("007.50", "7.50"),
            ("-12", "-12"),
            ("+3.14", "3.14"),
            ("- 5", "-5"),
            (".5", "0.5"),
            ("1.5e-3", "0.0015"),
        ] {
            assert_eq!(read(text).as_deref(), Some(wanted), "{text}");
        }
        for wrong in ["", "-", ".", "x", "1.2.3", "e5", "1e", "12a", "--1", "1e999"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
        assert_eq!(digits(b" 0x1f", 16), Some(31));
        assert_eq!(digits(b"00110000", 2), Some(48));
        assert_eq!(digits(b"12", 2), None);
    }

    #[test]
    fn scaling_is_exact_where_it_can_be() {
        assert_eq!(scaled(Value::Int(2302), 0.0, 0.1, 0.0, None), "230.2");
        assert_eq!(scaled(Value::Int(2955), 0.0, 0.1, -273.1, None), "22.4");
        assert_eq!(scaled(Value::Int(-5), 0.0, 0.25, 0.0, None), "-1.25");
        assert_eq!(scaled(Value::Int(7), 0.0, 100.0, 0.0, None), "700");
        assert_eq!(scaled(Value::Int(10), -32.0, 0.1, 0.5, None), "-1.7");
        assert_eq!(scaled(Value::Int(85), 0.0, -0.156_862_745, 40.0, Some(1)), "26.7");
        assert_eq!(
            scaled(
                Value::Fixed(Fixed {
                    digits: 125,
                    decimals: 1
                }),
                0.0,
                0.01,
                0.0,
                None
            ),
            "0.125"
        );
        assert_eq!(scaled(Value::Float(230.2), 0.0, 1.0, 0.0, Some(0)), "230");
        assert_eq!(scaled(Value::Float(0.1), 0.0, 3.0, 0.0, None), "0.3");
        assert_eq!(scaled(Value::Int(-15), 0.0, 0.1, 0.0, Some(0)), "-2");
        assert_eq!(
            shown(&Scale::new(0.0, 1.0, Some(100.0), 0.0, None).value(Value::Int(5), None)),
            "0.05"
        );
    }

    proptest! {
        #[test]
        fn scaling_never_panics(n: i64, bias: f64, scale: f64, offset: f64, decimals in 0u8..30) {
            for number in [Value::Int(n), Value::Float(bias), Value::Uint(u64::MAX)] {
                Scale::new(bias, scale, Some(offset), offset, Some(decimals)).value(number.clone(), None);
                Scale::new(bias, scale, None, offset, None).value(number, Some(scale));
            }
        }

        #[test]
        fn scaled_numbers_come_back(n in -100_000i64..100_000, step in 0u8..4, offset in -50i32..50) {
            let scale = Scale::new(0.0, 10f64.powi(-i32::from(step)), None, f64::from(offset), None);
            let value = scale.value(Value::Int(n), None).number().unwrap();
            prop_assert_eq!(scale.raw(value, 1.0).round(), n as f64);
        }

        #[test]
        fn reading_never_panics(text in ".{0,24}", bytes: Vec<u8>, from in 0usize..100, count in 0usize..65) {
            decimal(text.as_bytes(), b',');
            digits(text.as_bytes(), 16);
            bcd(bytes.iter().copied(), true);
            bits(&bytes, from, count, true);
            bits(&bytes, from, count, false);
            uint(&bytes, &[7, 200, 0, 3]);
        }
    }
}

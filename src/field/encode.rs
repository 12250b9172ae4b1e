//! The field language backwards: parameters become bytes, by the same layout that would read them.

use super::config::{Encoding, Order, Sign};
use super::expr::Scope;
use super::number;
use super::plan::{Action, How, Layout, Length, Naming, Place, Read, Step, Times, Want};
use super::record::{Quality, Record, Value};
use super::unpack;
use serde_json::Value as Json;
use std::fmt::Write as _;

/// How long a command may become.
const LENGTH_MAX: usize = 65_536;

/// Why parameters make no command.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParameterError {
    /// A parameter is missing.
    #[error("`{0}` is missing")]
    Missing(String),
    /// A parameter that the command does not have.
    #[error("there is no parameter `{name}`; known: {known}")]
    Unknown {
        /// What was given.
        name: String,
        /// What there is.
        known: String,
    },
    /// The payload is not what parameters are written in.
    #[error("the payload is no JSON object of parameters, such as {{\"{0}\": ...}}")]
    Payload(String),
    /// A value does not fit.
    #[error("`{name}`: {why}")]
    Value {
        /// The parameter.
        name: String,
        /// Why not.
        why: String,
    },
}

/// The parameters of a layout: the names of what must be given.
pub(crate) fn parameters(layout: &Layout) -> Vec<&str> {
    let mut names = Vec::new();
    steps_parameters(&layout.steps, &mut names);
    names
}

fn steps_parameters<'a>(steps: &'a [Step], names: &mut Vec<&'a str>) {
    for step in steps {
        match &step.action {
            Action::Here(inner) => steps_parameters(inner, names),
            Action::Read(read) if read.is.is_empty() && read.value.is_none() && !step.name.is_empty() => {
                names.push(&step.name);
            }
            Action::Record(_) => names.push(&step.name),
            _ => {}
        }
    }
}

/// What a command can't have.
pub(crate) fn unwritable(layout: &Layout) -> Option<(&str, &'static str)> {
    fn look(steps: &[Step]) -> Option<(&str, &'static str)> {
        steps.iter().find_map(|step| {
            let what = match &step.action {
                Action::Switch(..) | Action::Tags(_) | Action::Inline(..) => {
                    "it can only be read, not written"
                }
                Action::Here(inner) => return look(inner),
                Action::Record(layout) => return look(&layout.steps),
                Action::Read(read)
                    if matches!(read.how, How::TimeText(..) | How::TimeBytes(..) | How::Auto) =>
                {
                    "a time or a value without a type can only be read, not written"
                }
                Action::Read(_) if step.find.is_some() || step.until.is_some() => {
                    "what is found or ends somewhere can only be read, not written"
                }
                _ => return None,
            };
            Some((&*step.name, what))
        })
    }
    look(&layout.steps)
}

/// The parameters of a payload: a JSON object, or the only parameter's value alone.
pub(crate) fn given(names: &[&str], payload: &[u8]) -> Result<serde_json::Map<String, Json>, ParameterError> {
    let text = payload.trim_ascii();
    let object = || ParameterError::Payload(names.first().copied().unwrap_or("name").to_owned());
    let parsed = if text.is_empty() {
        None
    } else {
        serde_json::from_slice::<Json>(text).ok()
    };
    let map = match (parsed, names) {
        (Some(Json::Object(map)), _) => map,
        (None, []) if text.is_empty() => serde_json::Map::new(),
        (Some(value), [only]) => std::iter::once(((*only).to_owned(), value)).collect(),
        (None, [only]) if !text.is_empty() && !text.starts_with(b"{") => {
            let text = std::str::from_utf8(text).map_err(|_| object())?;
            std::iter::once(((*only).to_owned(), Json::String(text.to_owned()))).collect()
        }
        _ => return Err(object()),
    };
    if let Some(name) = map.keys().find(|name| !names.contains(&name.as_str())) {
        let known = match names {
            [] => "none".to_owned(),
            names => names.join(", "),
        };
        return Err(ParameterError::Unknown {
            name: name.clone(),
            known,
        });
    }
    Ok(map)
}

/// The bytes of a command.
pub(crate) fn encode(
    layout: &Layout,
    given: &serde_json::Map<String, Json>,
) -> Result<Vec<u8>, ParameterError> {
    let mut record = Record::new(layout.shape.clone());
    note(&layout.steps, given, &mut record)?;
    // Once to learn how long it is, and once with the length in it.
    let mut writer = Writer {
        given,
        record: &record,
        length: 0,
        bytes: Vec::new(),
        next: 0,
    };
    writer.steps(&layout.steps)?;
    let length = writer.bytes.len();
    let mut writer = Writer {
        length,
        bytes: Vec::with_capacity(length),
        next: 0,
        ..writer
    };
    writer.steps(&layout.steps)?;
    Ok(writer.bytes)
}

/// A parameter as text, for commands that are text: checked like any other.
pub(crate) fn checked(layout: &Layout, name: &str, given: &Json) -> Result<Value, ParameterError> {
    match layout.steps.iter().find(|step| &*step.name == name) {
        Some(Step {
            action: Action::Read(read),
            ..
        }) => number_for(read, name, given),
        _ => plain(name, given),
    }
}

/// The numbers of all parameters, for expressions.
fn note(
    steps: &[Step],
    given: &serde_json::Map<String, Json>,
    record: &mut Record,
) -> Result<(), ParameterError> {
    for step in steps {
        match (&step.action, step.slot) {
            (Action::Here(inner), _) => note(inner, given, record)?,
            (Action::Read(read), Some(slot)) if step.repeat.is_none() => {
                if let Some(value) = given.get(&*step.name) {
                    let number = number_for(read, &step.name, value)?;
                    record.set(slot, number, Quality::Good);
                } else if let Some(Want::Number(x)) = read.is.first() {
                    record.set(slot, Value::Float(*x), Quality::Good);
                }
            }
            _ => {}
        }
    }
    Ok(())
}

struct Writer<'a> {
    given: &'a serde_json::Map<String, Json>,
    record: &'a Record,
    length: usize,
    bytes: Vec<u8>,
    /// In bits.
    next: usize,
}

impl Writer<'_> {
    fn scope(&self) -> Scope<'_> {
        Scope {
            record: self.record,
            raws: &[],
            outer: None,
            own: &Value::Absent,
            next: self.next / 8,
            last: 0,
            length: self.length,
            bytes: &self.bytes,
            index: 0,
        }
    }

    fn steps(&mut self, steps: &[Step]) -> Result<(), ParameterError> {
        for step in steps {
            if step
                .condition
                .as_ref()
                .is_some_and(|condition| !condition.holds(&self.scope()))
            {
                continue;
            }
            if let Place::Offset(at) = step.at
                && let Ok(at) = usize::try_from(at)
            {
                self.next = 8 * at;
            }
            let wrong = |why: &str| ParameterError::Value {
                name: step.name.to_string(),
                why: why.to_owned(),
            };
            match &step.action {
                Action::Here(inner) => self.steps(inner)?,
                Action::Skip => {
                    let zeros = vec![0; self.extent(step).unwrap_or(0)];
                    self.put(&zeros, &wrong)?;
                }
                Action::Record(layout) => {
                    let Some(Json::Object(inner)) = self.given.get(&*step.name) else {
                        return Err(ParameterError::Missing(step.name.to_string()));
                    };
                    let bytes = encode(layout, inner)?;
                    self.put(&bytes, &wrong)?;
                }
                Action::Read(read) if step.repeat.is_some() => {
                    let Some(Json::Array(all)) = self.given.get(&*step.name) else {
                        return Err(wrong("expected a list"));
                    };
                    if matches!(step.repeat, Some(Times::Fixed(n)) if n != all.len()) {
                        return Err(wrong("the list has another length"));
                    }
                    for one in all.clone() {
                        let number = number_for(read, &step.name, &one)?;
                        self.read(step, read, number)?;
                    }
                }
                Action::Read(read) => {
                    let number = self.number(step, read)?;
                    self.read(step, read, number)?;
                }
                Action::Compute(_) => {}
                Action::Inline(..) | Action::Switch(..) | Action::Tags(_) => {
                    return Err(wrong("it can only be read"));
                }
            }
        }
        Ok(())
    }

    /// The number to be sent: a constant, a computed one, or a parameter's.
    fn number(&self, step: &Step, read: &Read) -> Result<Value, ParameterError> {
        if let Some(value) = self.given.get(&*step.name).filter(|_| !step.name.is_empty()) {
            return number_for(read, &step.name, value);
        }
        match read.is.first() {
            Some(Want::Number(x)) => return Ok(whole(*x)),
            Some(Want::Text(text)) => return Ok(Value::Text(text.clone())),
            Some(Want::Bytes(bytes)) => return Ok(Value::Bytes(bytes.as_slice().into())),
            None => {}
        }
        if let Some(expr) = &read.value {
            return match expr.value(&self.scope()) {
                Value::Absent => Err(ParameterError::Value {
                    name: step.name.to_string(),
                    why: "its expression gives no value".into(),
                }),
                value => Ok(value),
            };
        }
        if step.name.is_empty() {
            return Ok(Value::Int(0));
        }
        Err(ParameterError::Missing(step.name.to_string()))
    }

    fn extent(&self, step: &Step) -> Option<usize> {
        match &step.length {
            Length::Bits(bits) => Some(bits / 8),
            Length::Bytes(n) => usize::try_from(*n).ok(),
            Length::Computed(expr) => expr.amount(&self.scope()).and_then(|n| usize::try_from(n).ok()),
            Length::Rest => None,
        }
    }

    fn read(&mut self, step: &Step, read: &Read, number: Value) -> Result<(), ParameterError> {
        let name = step.name.to_string();
        let wrong = |why: &str| ParameterError::Value {
            name: name.clone(),
            why: why.to_owned(),
        };
        if let (How::Bits(count), Length::Bits(_)) = (&read.how, &step.length) {
            let bits = word_for(read, &number, (*count).into()).ok_or_else(|| wrong("it does not fit"))?;
            return self.put_bits(bits, (*count).into(), read.order == Order::Little, &wrong);
        }
        let length = self.extent(step);
        // The length counts packed bytes.
        let inner = if step.unpack.is_empty() { length } else { None };
        let bytes = bytes_for(read, &number, inner).map_err(|why| wrong(&why))?;
        let bytes = unpack::redo(&step.unpack, bytes).ok_or_else(|| wrong("its bytes can't be packed"))?;
        let bytes = match length {
            Some(length) if bytes.len() > length => return Err(wrong("it is too long")),
            Some(length) => {
                let mut bytes = bytes;
                bytes.resize(length, 0);
                bytes
            }
            None => bytes,
        };
        self.put(&bytes, &wrong)
    }

    /// Bytes where the cursor stands; bits that others have set there stay.
    fn put(&mut self, bytes: &[u8], wrong: &dyn Fn(&str) -> ParameterError) -> Result<(), ParameterError> {
        let from = self.next.div_ceil(8);
        let to = from + bytes.len();
        if to > LENGTH_MAX {
            return Err(wrong("the command would be too long"));
        }
        if self.bytes.len() < to {
            self.bytes.resize(to, 0);
        }
        for (place, byte) in self.bytes[from..to].iter_mut().zip(bytes) {
            *place |= byte;
        }
        self.next = 8 * to;
        Ok(())
    }

    fn put_bits(
        &mut self,
        bits: u64,
        count: usize,
        low_first: bool,
        wrong: &dyn Fn(&str) -> ParameterError,
    ) -> Result<(), ParameterError> {
        let to = self.next + count;
        if to.div_ceil(8) > LENGTH_MAX {
            return Err(wrong("the command would be too long"));
        }
        if self.bytes.len() < to.div_ceil(8) {
            self.bytes.resize(to.div_ceil(8), 0);
        }
        for n in 0..count {
            let place = self.next + n;
            let (bit, shift) = match low_first {
                true => (bits >> n & 1, place % 8),
                false => (bits >> (count - 1 - n) & 1, 7 - place % 8),
            };
            self.bytes[place / 8] |= (bit as u8) << shift;
        }
        self.next = to;
        Ok(())
    }
}

fn whole(x: f64) -> Value {
    if x.fract() == 0.0 && x.abs() < 9.0e15 {
        Value::Int(x as i64)
    } else {
        Value::Float(x)
    }
}

/// A parameter without a description of its own.
fn plain(name: &str, given: &Json) -> Result<Value, ParameterError> {
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
fn number_for(read: &Read, name: &str, given: &Json) -> Result<Value, ParameterError> {
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
fn word_for(read: &Read, number: &Value, bits: u32) -> Option<u64> {
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
        Some(Sign::Bit(bit)) if magnitude <= all => (magnitude, u64::from(negative).checked_shl(bit.into())?),
        Some(Sign::ClearBit(bit)) if magnitude <= all => {
            (magnitude, u64::from(!negative).checked_shl(bit.into())?)
        }
        _ => return None,
    };
    Some(within.checked_shl(shift)? & mask | sign)
}

fn bytes_for(read: &Read, number: &Value, length: Option<usize>) -> Result<Vec<u8>, String> {
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

//! The field language backwards: parameters become bytes, by the same layout that would read them.

mod bytes;
mod given;

use super::config::Order;
use super::expr::Scope;
use super::plan::{Action, How, Layout, Length, Place, Read, Step, Times, Want};
use super::record::{Quality, Record, Value};
use super::unpack;
use bytes::bytes_for;
use given::{number_for, plain, whole, word_for};
use serde_json::Value as Json;

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
            Length::Varint | Length::Rest => None,
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

//! The polls, kinds of frame and commands that a device with registers has, whatever they mean.

use super::{ADDRESS, Modbus, Register};
use crate::field::config::{Amount, Field, Label, Labels, Scalar, Scalars, Type};
use crate::modbus::{self, Area, Exception, Limits, Said, Wish};
use crate::octets::Octets;
use crate::profile::asked::Poll;
use crate::profile::config::{Bytes, Command, Kind, Means, Spot, When};
use crate::span::Span;
use std::time::Duration;

/// The requests that read all registers, joined as the device allows.
pub(super) fn polls(polls: &mut Vec<Poll>, registers: &[Register<'_>], settings: &Modbus) {
    let wishes: Vec<Wish<Duration>> = registers
        .iter()
        .map(|register| Wish {
            area: register.area,
            group: register.field.every.unwrap_or(settings.every).0,
        })
        .collect();
    let limits = Limits {
        bits: settings.max_bits,
        registers: settings.max_registers,
        gap: settings.max_gap,
    };
    for joined in modbus::join(&wishes, limits) {
        let name = match joined.wishes[..] {
            [only] => registers[only].field.name.clone(),
            _ => None,
        };
        let mut name = name.unwrap_or_else(|| format!("{}-{}", joined.area.table.name(), joined.area.first));
        if polls.iter().any(|poll| poll.name == name) {
            name = format!("{name}-{}", Span(joined.group)).replace(' ', "");
        }
        let part = |number: &usize| Poll {
            optional: true,
            ..poll(registers[*number].area, joined.group, name.clone())
        };
        let parts = match joined.wishes[..] {
            [_] => Vec::new(),
            _ => joined.wishes.iter().map(part).collect(),
        };
        polls.push(Poll {
            parts,
            ..poll(joined.area, joined.group, name.clone())
        });
    }
}

pub(super) fn poll(area: Area, every: Duration, name: String) -> Poll {
    let [function, a, b, c, d] = area.request();
    let word = |high, low| i64::from(u16::from_be_bytes([high, low]));
    Poll {
        name,
        every: Some(Span(every)),
        fields: vec![
            address(),
            number(8, function.into()),
            number(16, word(a, b)),
            number(16, word(c, d)),
        ],
        // Address, function, count and check.
        reply_length: Some(5 + area.bytes()),
        // A device that is busy now has them later.
        lasting: [Exception::FUNCTION, Exception::ADDRESS, Exception::VALUE]
            .map(|why| why.to_string())
            .to_vec(),
        ..Poll::default()
    }
}

/// The device's own address, a parameter that the port gives.
pub(super) fn address() -> Field {
    Field {
        name: Some(ADDRESS.to_owned()),
        kind: Some(Type::Uint(8)),
        range: Some([0.0, 255.0]),
        ..Field::default()
    }
}

/// A number that never changes.
pub(super) fn number(bits: u8, is: i64) -> Field {
    Field {
        kind: Some(Type::Uint(bits)),
        is: Scalars(vec![Scalar::Int(is)]),
        ..Field::default()
    }
}

/// A word of what the request said.
pub(super) fn word(name: &str) -> Field {
    Field {
        name: Some(name.to_owned()),
        kind: Some(Type::Uint(16)),
        hidden: true,
        ..Field::default()
    }
}

pub(super) fn named(name: &str, kind: Type) -> Field {
    Field {
        name: Some(name.to_owned()),
        kind: Some(kind),
        ..Field::default()
    }
}

/// The device's address in what it says.
pub(super) fn hidden_address() -> Field {
    Field {
        hidden: true,
        ..named(ADDRESS, Type::Uint(8))
    }
}

/// The device says no (section 7).
pub(super) fn exception() -> Kind {
    let names = Exception::NAMES.map(|(code, name)| (code.to_string(), Label::Name(name.to_owned())));
    Kind {
        name: "exception".into(),
        means: Means::Error,
        when: When {
            length: Some(crate::profile::config::Bounds(3, 3)),
            bytes: Bytes(vec![Spot {
                at: 1,
                is: Octets::from(vec![0x80]),
                mask: Some(Octets::from(vec![0x80])),
                not: false,
            }]),
            ..When::default()
        },
        fields: vec![
            hidden_address(),
            Field {
                mask: Some(0x7f),
                ..named("function", Type::Uint(8))
            },
            Field {
                values: Labels(names.to_vec()),
                ..named("exception", Type::Uint(8))
            },
        ],
        modbus: Some(Said::Refused),
        ..Kind::default()
    }
}

/// Something was written: functions 5, 6, 15, 16 and 22.
pub(super) fn written() -> Kind {
    Kind {
        name: "written".into(),
        means: Means::Ack,
        fields: vec![
            hidden_address(),
            named("function", Type::Uint(8)),
            named("register", Type::Uint(16)),
        ],
        modbus: Some(Said::Done),
        ..Kind::default()
    }
}

/// Any other reply to a request: what a raw command is answered with.
pub(super) fn reply() -> Kind {
    Kind {
        name: "reply".into(),
        means: Means::Ack,
        fields: vec![
            hidden_address(),
            named("function", Type::Uint(8)),
            named("data", Type::Bytes),
        ],
        modbus: Some(Said::Any),
        ..Kind::default()
    }
}

/// Any function with any data.
pub(super) fn raw() -> Command {
    Command {
        name: "raw".into(),
        title: "any function, with its data in hexadecimal digits".into(),
        fields: vec![
            address(),
            Field {
                range: Some([1.0, 127.0]),
                ..named("function", Type::Uint(8))
            },
            named("data", Type::Bytes),
        ],
        ..Command::default()
    }
}

/// Function 23: writes registers and reads others in one request (section 6.17).
pub(super) fn read_write() -> Command {
    let computed = |bits, text: &str| Field {
        kind: Some(Type::Uint(bits)),
        value: Some(text.to_owned()),
        ..Field::default()
    };
    Command {
        name: "read-write".into(),
        title: "writes registers and reads others in one request".into(),
        fields: vec![
            address(),
            number(8, 23),
            named("read", Type::Uint(16)),
            Field {
                range: Some([1.0, 125.0]),
                ..named("count", Type::Uint(16))
            },
            named("write", Type::Uint(16)),
            computed(16, "div(max(length - 11, 0), 2)"),
            computed(8, "max(length - 11, 0)"),
            Field {
                repeat: Some(Amount::Rest),
                ..named("values", Type::Uint(16))
            },
        ],
        ..Command::default()
    }
}

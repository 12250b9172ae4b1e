//! Registers of a Modbus device: fields that name one become kinds of frame, polls and commands.
//!
//! A reply says only how many bytes follow, so what it means depends on what was asked. Each table of the device
//! becomes one kind, whose fields are there as far as the request has asked for them: so a joined read, its parts,
//! and what another master asks for all give the same values.

mod made;

use super::ADDRESS;
use super::asked::{Address, Place};
use super::config::{Command, Config, Kind};
use crate::field::Mistake;
use crate::field::config::{Amount, At, Field, Label, Labels, Type};
use crate::frame;
use crate::modbus::{self, Area, BROADCAST, LEAD, Said, Table};
use crate::span::Span;
use made::{address, exception, number, polls, raw, read_write, reply, word, written};
use schemars::JsonSchema;
use serde::Deserialize;
use std::borrow::Cow;

/// What a Modbus device allows. Fields at the top name a register (`input`, `holding`, `coil`, `discrete`, or
/// `register` by its number) instead of a place; polls and commands are made of them.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
#[schemars(rename = "ModbusDevice")]
pub struct Modbus {
    /// The most registers that the device gives at once. Default 125, as the specification allows.
    #[schemars(range(min = 1, max = 125))]
    pub max_registers: u16,
    /// The most bits that it gives at once. Default 2000, as the specification allows.
    #[schemars(range(min = 1, max = 2000))]
    pub max_bits: u16,
    /// So many registers (or bits) that no field names may be read along, to save a request. Default 0: only
    /// direct neighbours are read together. A device that refuses such a read is asked for each value by itself.
    pub max_gap: u16,
    /// How often fields are asked for that do not say so themselves. Default `"10s"`.
    #[schemars(extend("default" = "10s"))]
    pub every: Span,
}

impl Default for Modbus {
    fn default() -> Modbus {
        Modbus {
            max_registers: modbus::REGISTERS_MAX,
            max_bits: modbus::BITS_MAX,
            max_gap: 0,
            every: Span::millis(10_000),
        }
    }
}

/// Names for what the request said, which no field of a profile has.
const FIRST: &str = "modbus-first";
const COUNT: &str = "modbus-count";
/// A profile with all that its registers mean, and where it was said.
pub(super) struct Expanded<'a> {
    pub(super) config: Cow<'a, Config>,
    /// Paths of what was made, and of what it was made of.
    places: Vec<(String, String)>,
}

impl Expanded<'_> {
    /// The mistake where a person has made it.
    pub(super) fn placed(&self, mut mistake: Mistake) -> Mistake {
        let found = self.places.iter().find_map(|(made, said)| {
            let rest = mistake.path.strip_prefix(made.as_str())?;
            Some(format!("{said}{rest}"))
        });
        mistake.path = found.unwrap_or(mistake.path);
        mistake
    }
}

/// A computed field, there as far as what it is computed of.
fn computed(field: &Field) -> Field {
    let present = field.value.as_ref().map(|value| format!("present({value})"));
    let condition = match (&field.condition, present) {
        (Some(own), Some(present)) => Some(format!("{present} and ({own})")),
        (own, present) => present.or(own.clone()),
    };
    Field {
        condition,
        ..field.clone()
    }
}

/// A field that names a register.
pub(super) struct Register<'a> {
    pub(super) field: &'a Field,
    pub(super) area: Area,
    /// Its place among the fields at the top.
    pub(super) number: usize,
}

/// The profile as it is at work; what is wrong with it is told where it is compiled.
pub(crate) fn expanded(config: &Config) -> Cow<'_, Config> {
    expand(config, &mut Vec::new()).config
}

/// Mistakes in what registers mean, where a person has made them.
pub(crate) fn placed(config: &Config, mistakes: Vec<Mistake>) -> Vec<Mistake> {
    let expanded = expand(config, &mut Vec::new());
    mistakes
        .into_iter()
        .map(|mistake| expanded.placed(mistake))
        .collect()
}

/// The profile without registers: kinds, polls and commands in their place. One that names none stays as it is.
pub(super) fn expand<'a>(config: &'a Config, mistakes: &mut Vec<Mistake>) -> Expanded<'a> {
    let named = |field: &Field| !field.registers().is_empty();
    if config.modbus.is_none() && !config.fields.iter().any(named) {
        return Expanded {
            config: Cow::Borrowed(config),
            places: Vec::new(),
        };
    }
    let settings = config.modbus.clone().unwrap_or_default();
    settings.look(mistakes);
    let mut out = Config {
        fields: Vec::new(),
        ..config.clone()
    };
    if out.frame == frame::Config::default() {
        out.frame = frame::Config::ModbusRtu(frame::modbus::rtu::Config::default());
    }
    if out.bus.address.is_none() {
        out.bus.address = Some(Place::Data(Box::new(Field {
            at: Some(At::Number(0)),
            kind: Some(Type::Uint(8)),
            ..Field::default()
        })));
    }
    if out.bus.broadcast.is_empty() {
        out.bus.broadcast = vec![Address::Number(BROADCAST.into())];
    }
    if !config.require.is_empty() {
        mistakes.push(Mistake {
            path: "require".into(),
            what: "a reply has only some of the registers: what must hold stands in a `[[kind]]`".into(),
        });
        out.require = Vec::new();
    }
    let mut places = Vec::new();
    let (registers, others) = registers(config, &settings, mistakes);
    out.kind.push(exception());
    for table in Table::ALL {
        let mut fields = vec![word(FIRST), word(COUNT)];
        let at = out.kind.len();
        // A computed field goes with the register before it.
        for (n, field) in config.fields.iter().enumerate() {
            let made = match registers.iter().find(|register| register.number == n) {
                Some(register) if register.area.table == table => register.read(),
                None if others.contains(&(n, table)) => computed(field),
                _ => continue,
            };
            places.push((
                format!("kind[{at}].fields[{}]", fields.len()),
                format!("fields[{n}]"),
            ));
            fields.push(made);
        }
        if fields.len() > 2 {
            out.kind.push(Kind {
                name: table.name().to_owned(),
                fields,
                modbus: Some(Said::Read(table)),
                ..Kind::default()
            });
        }
    }
    out.kind.extend([written(), reply()]);
    for register in registers.iter().filter(|register| register.field.writable) {
        match register.command() {
            Ok(command) => {
                let last = command.fields.len() - 1;
                let said = format!("fields[{}]", register.number);
                places.push((
                    format!("command[{}].fields[{last}]", out.command.len()),
                    said.clone(),
                ));
                places.push((format!("command[{}]", out.command.len()), said));
                out.command.push(command);
            }
            Err((key, what)) => mistakes.push(Mistake {
                path: format!("fields[{}].{key}", register.number),
                what: what.to_owned(),
            }),
        }
    }
    for command in [raw(), read_write()] {
        if !out.command.iter().any(|known| known.name == command.name) {
            out.command.push(command);
        }
    }
    polls(&mut out.poll, &registers, &settings);
    Expanded {
        config: Cow::Owned(out),
        places,
    }
}

impl Modbus {
    fn look(&self, mistakes: &mut Vec<Mistake>) {
        let mut within = |key: &str, given: u16, most: u16| {
            if given == 0 || given > most {
                mistakes.push(Mistake {
                    path: format!("modbus.{key}"),
                    what: format!("it is from 1 to {most}"),
                });
            }
        };
        within("max-registers", self.max_registers, modbus::REGISTERS_MAX);
        within("max-bits", self.max_bits, modbus::BITS_MAX);
        if self.every.0.is_zero() {
            mistakes.push(Mistake {
                path: "modbus.every".into(),
                what: "nothing can be asked for all the time".into(),
            });
        }
    }
}

/// The fields that name registers; and the others, with the table that they go with.
pub(super) fn registers<'a>(
    config: &'a Config,
    settings: &Modbus,
    mistakes: &mut Vec<Mistake>,
) -> (Vec<Register<'a>>, Vec<(usize, Table)>) {
    let (mut registers, mut others) = (Vec::new(), Vec::new());
    let mut before = None;
    for (number, field) in config.fields.iter().enumerate() {
        match area(field, settings) {
            Ok(Some(area)) => {
                before = Some(area.table);
                registers.push(Register { field, area, number });
            }
            Ok(None) => match before {
                Some(table) => others.push((number, table)),
                None => mistakes.push(Mistake {
                    path: format!("fields[{number}]"),
                    what: "a computed field stands behind the registers that it is computed of".into(),
                }),
            },
            Err((key, what)) => mistakes.push(Mistake {
                path: format!("fields[{number}].{key}"),
                what,
            }),
        }
    }
    (registers, others)
}

/// Which registers a field has. `None`: it names none, and is computed.
fn area(field: &Field, settings: &Modbus) -> Result<Option<Area>, (&'static str, String)> {
    let wrong = |key, what: &str| Err((key, what.to_owned()));
    let (table, first) = match field.registers()[..] {
        [] if field.value.is_some() && field.at.is_none() => return Ok(None),
        [] => {
            return wrong(
                "at",
                "a field of a Modbus device names a register: `input`, `holding`, `coil`, `discrete` or `register`",
            );
        }
        [one] => one,
        _ => return wrong("at", "a field names one register"),
    };
    if field.name.as_deref() == Some(ADDRESS) {
        return wrong(
            "name",
            "`address` is the device's own on the bus: the register needs another name",
        );
    }
    if field.at.is_some() {
        return wrong("at", "the register says where it lies");
    }
    if field.switch.is_some() || field.inline {
        return wrong(
            "switch",
            "it has no register of its own: put it into a field with `length` and `fields`",
        );
    }
    let one = match table.is_bits() {
        true => match field.kind {
            None | Some(Type::Bool | Type::Uint(1)) => 1,
            Some(_) => return wrong("type", "it is one bit; several are a list, with `repeat`"),
        },
        false => words(field)?,
    };
    let times = match &field.repeat {
        None => 1,
        Some(Amount::Number(n)) => u32::try_from(*n).unwrap_or(0),
        Some(_) => return wrong("repeat", "registers are read so often as a number says"),
    };
    let count = one.saturating_mul(times);
    let most = match table.is_bits() {
        true => settings.max_bits,
        false => settings.max_registers,
    };
    match u16::try_from(count) {
        Ok(0) => wrong("repeat", "it has no register"),
        Ok(count) if count > most => Err((
            "length",
            format!("the device gives at most {most} at once, and it has {count}"),
        )),
        Ok(count) if u32::from(first) + u32::from(count) <= 0x1_0000 => {
            Ok(Some(Area { table, first, count }))
        }
        _ => wrong("at", "there are 65536 registers, and it goes beyond"),
    }
}

/// How many registers one value has.
fn words(field: &Field) -> Result<u32, (&'static str, String)> {
    let bytes = match (&field.length, field.kind) {
        (Some(Amount::Number(n)), _) if *n > 0 => n.unsigned_abs(),
        (Some(_), _) => return Err(("length", "it is a number of bytes".to_owned())),
        (None, None) if field.fields.is_empty() && field.tags.is_none() => 2,
        (None, Some(Type::Uint(bits) | Type::Int(bits) | Type::Float(bits))) if bits % 16 == 0 => {
            u32::from(bits) / 8
        }
        (None, Some(Type::Uint(_) | Type::Int(_))) => {
            let what =
                "a register has 16 bits: name a type such as `u16`, and `bits = [0, 7]` for some of them";
            return Err(("type", what.to_owned()));
        }
        (None, _) => return Err(("length", "how many bytes it has must be said".to_owned())),
    };
    Ok(bytes.div_ceil(2))
}

impl Register<'_> {
    /// The field without what is only said of registers.
    fn plain(&self) -> Field {
        Field {
            input: None,
            holding: None,
            coil: None,
            discrete: None,
            register: None,
            every: None,
            writable: false,
            function: None,
            ..self.field.clone()
        }
    }

    /// The field over the bytes of its own registers alone; a bit has a byte of its own.
    pub(super) fn alone(&self) -> Field {
        let Area { table, count, .. } = self.area;
        let mut field = self.plain();
        if table.is_bits() {
            match (count, field.values.0.is_empty()) {
                (1, true) if field.repeat.is_none() => {
                    (field.kind, field.bit) = (Some(Type::Uint(8)), Some(0));
                }
                (_, true) => field.kind = Some(Type::Bool),
                (_, false) => field.kind = Some(Type::Uint(8)),
            }
        } else if field.kind.is_none() && field.fields.is_empty() && field.tags.is_none() {
            field.kind = Some(Type::Uint(16));
        }
        field
    }

    /// The field as it stands in a reply that is laid out: there if it was asked for.
    fn read(&self) -> Field {
        let Area { table, first, .. } = self.area;
        let mut field = self.alone();
        let step = if table.is_bits() { 1 } else { 2 };
        field.at = Some(At::Key(format!("{LEAD} + {step} * ({first} - `{FIRST}`)")));
        let asked = format!(
            "`{FIRST}` <= {first} and {} <= `{FIRST}` + `{COUNT}`",
            self.area.end()
        );
        field.condition = Some(match field.condition {
            Some(own) => format!("{asked} and ({own})"),
            None => asked,
        });
        field
    }

    /// The command that writes it, its value last.
    fn command(&self) -> Result<Command, (&'static str, &'static str)> {
        let Area { table, first, count } = self.area;
        let Some(name) = self.field.name.clone().filter(|name| !name.is_empty()) else {
            return Err(("name", "what can be written needs a name"));
        };
        if !matches!(table, Table::Coil | Table::Holding) {
            return Err(("writable", "only coils and holding registers can be written"));
        }
        if self.field.value.is_some() || !self.field.fields.is_empty() || self.field.tags.is_some() {
            return Err(("writable", "a computed value or a record can only be read"));
        }
        let part = self.field.bit.is_some() || self.field.bits.is_some() || self.field.mask.is_some();
        let function = match (table, self.field.function) {
            (Table::Coil, _) if self.field.repeat.is_some() => {
                return Err((
                    "writable",
                    "several coils are written one by one: give each a field",
                ));
            }
            (Table::Coil, None | Some(5)) => 5,
            (Table::Coil, Some(15)) => 15,
            (_, Some(22)) if part && count == 1 => 22,
            (_, _) if part => {
                return Err((
                    "writable",
                    "some bits of a register are written with `function = 22` (mask write), if the device has it: reading the register, changing it and writing it back would undo what happens between",
                ));
            }
            (Table::Holding, None | Some(6)) if count == 1 => 6,
            (Table::Holding, None | Some(16)) => 16,
            _ => {
                return Err((
                    "function",
                    "it is 5 or 15 for coils, 6 or 16 for registers, 22 for bits of one",
                ));
            }
        };
        let mut value = self.plain();
        (value.condition, value.hidden) = (None, false);
        let mut fields = vec![address(), number(8, function.into()), number(16, first.into())];
        match function {
            5 => {
                (value.kind, value.divide) = (Some(Type::Uint(16)), Some(f64::from(COIL_ON)));
                value.values = Labels(value.values.0.into_iter().map(coil_label).collect());
            }
            15 => {
                fields.extend([number(16, 1), number(8, 1)]);
                value.kind = Some(Type::Uint(8));
            }
            16 => fields.extend([number(16, count.into()), number(8, 2 * i64::from(count))]),
            22 => fields.push(number(16, i64::from(!self.bits()))),
            _ => {}
        }
        value.kind = value.kind.or(Some(Type::Uint(16)));
        fields.push(value);
        Ok(Command {
            name,
            title: self.field.title.clone().unwrap_or_default(),
            fields,
            ..Command::default()
        })
    }

    /// Which bits of its register a field means.
    pub(super) fn bits(&self) -> u16 {
        let upto = |bit: u8| u64::MAX >> (63 - u32::from(bit.min(63)));
        let bits = match (self.field.bit, self.field.bits, self.field.mask) {
            (Some(bit), ..) => upto(bit) & !(upto(bit) >> 1),
            (_, Some([from, to]), _) => upto(to) & (u64::MAX << from.min(63)),
            (.., Some(mask)) => mask,
            _ => u64::MAX,
        };
        bits as u16
    }
}

/// What stands in a request for a coil that is on (section 6.5).
const COIL_ON: u16 = 0xff00;

fn coil_label((key, label): (String, Label)) -> (String, Label) {
    let key = if key.trim() == "1" {
        COIL_ON.to_string()
    } else {
        key
    };
    (key, label)
}

#[cfg(test)]
mod tests;

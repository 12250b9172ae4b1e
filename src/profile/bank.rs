//! A device's registers with values: what answers where this side is the one that is asked.
//!
//! The same fields that read a device's registers are read backwards here: values become registers, and what a
//! master writes becomes values.

use super::config::Config;
use super::registers::{Modbus, Register, registers};
use crate::field::cipher::Keys;
use crate::field::config::{Decode, Field, Order};
use crate::field::decode::Run;
use crate::field::encode::{self, ParameterError};
use crate::field::plan::{self, Layout, Mistake, Source};
use crate::field::record::{Quality, Record};
use crate::modbus::{self, Area, BROADCAST, Exception, Registers, Table};
use std::collections::BTreeMap;

/// The registers, and what stands in them.
#[derive(Debug)]
pub(crate) struct Bank {
    cells: Vec<Cell>,
    words: BTreeMap<(Table, u16), u16>,
    /// What has been written since it was asked for, by the number of the field.
    written: Vec<usize>,
    /// What a register holds that no value has come for yet; none: it is not known.
    unknown: Option<u16>,
}

/// One field and its registers.
#[derive(Debug)]
struct Cell {
    name: String,
    area: Area,
    writable: bool,
    /// Which bits of its register are its own.
    mask: u16,
    layout: Layout,
}

impl Bank {
    /// The registers of these fields. `zero`: those without a value hold 0, and are not refused.
    pub(crate) fn new(fields: &[Field], order: Option<&Order>, zero: bool) -> Result<Bank, Vec<Mistake>> {
        let config = Config {
            fields: fields.to_vec(),
            ..Config::default()
        };
        let mut mistakes = Vec::new();
        let (registers, others) = registers(&config, &Modbus::default(), &mut mistakes);
        for (number, _) in others {
            mistakes.push(Mistake {
                path: format!("fields[{number}]"),
                what: "a computed field has no register".into(),
            });
        }
        let order = order.unwrap_or(&Order::Big);
        let mut cells: Vec<Cell> = Vec::new();
        for register in &registers {
            match cell(register, order, &mut mistakes) {
                Ok(cell) => cells.push(cell),
                Err(what) => mistakes.push(Mistake {
                    path: format!("fields[{}]", register.number),
                    what: what.to_owned(),
                }),
            }
        }
        match mistakes.is_empty() {
            true => Ok(Bank {
                cells,
                words: BTreeMap::new(),
                written: Vec::new(),
                unknown: zero.then_some(0),
            }),
            false => Err(mistakes),
        }
    }

    /// The names of the values, in the order of the fields.
    #[cfg(test)]
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.cells.iter().map(|cell| cell.name.as_str())
    }

    /// A value came for the field of this number: as a message's payload has it.
    pub(crate) fn set(&mut self, number: usize, payload: &[u8]) -> Result<(), ParameterError> {
        let Some(cell) = self.cells.get(number) else {
            return Ok(());
        };
        let given = encode::given(&[&cell.name], payload)?;
        let bytes = encode::encode(&cell.layout, &given)?;
        for (at, word) in (cell.area.first..).zip(words(cell.area.table, &bytes)) {
            let own = self.words.entry((cell.area.table, at)).or_default();
            *own = *own & !cell.mask | word & cell.mask;
        }
        Ok(())
    }

    /// The answer to a frame for the device of this address, address and all; none where there is none to be given.
    pub(crate) fn answer(&mut self, address: u8, frame: &[u8]) -> Option<Vec<u8>> {
        let (&to, pdu) = frame.split_first()?;
        if to != address && to != BROADCAST {
            return None;
        }
        let reply = modbus::serve(pdu, self);
        (to == address).then(|| [&[address][..], &reply].concat())
    }

    /// What has been written since this was asked: the number of the field, and a record of its value.
    pub(crate) fn written(&mut self) -> Vec<(usize, Record)> {
        let mut written = std::mem::take(&mut self.written);
        written.sort_unstable();
        written.dedup();
        let value = |number: usize| Some((number, self.cells[number].value(self)?));
        written.into_iter().filter_map(value).collect()
    }

    fn get(&self, table: Table, at: u16) -> Option<u16> {
        self.words.get(&(table, at)).copied().or(self.unknown)
    }

    /// The fields that have the register.
    fn at(&self, table: Table, at: u16) -> impl Iterator<Item = (usize, &Cell)> {
        let has = move |cell: &Cell| {
            cell.area.table == table && cell.area.first <= at && u32::from(at) < cell.area.end()
        };
        self.cells.iter().enumerate().filter(move |(_, cell)| has(cell))
    }
}

impl Cell {
    /// Its value, as the registers have it.
    fn value(&self, bank: &Bank) -> Option<Record> {
        let Area { table, first, count } = self.area;
        let words: Option<Vec<u16>> = (first..=first + (count - 1))
            .map(|at| bank.get(table, at))
            .collect();
        self.of(&words?)
    }

    fn of(&self, words: &[u16]) -> Option<Record> {
        let bytes: Vec<u8> = match self.area.table.is_bits() {
            true => words.iter().map(|word| *word as u8).collect(),
            false => words.iter().flat_map(|word| word.to_be_bytes()).collect(),
        };
        Run::new(None).frame(&self.layout, &bytes).ok()
    }
}

impl Registers for Bank {
    fn value(&self, table: Table, at: u16) -> Result<u16, Exception> {
        match self.at(table, at).next() {
            None => Err(Exception::ADDRESS),
            Some(_) => self.get(table, at).ok_or(Exception::FAILURE),
        }
    }

    fn accepts(&self, table: Table, at: u16, values: &[u16]) -> Result<(), Exception> {
        let new = |place: u16| {
            let n = place.checked_sub(at)?;
            values.get(usize::from(n)).copied()
        };
        for place in (at..).take(values.len()) {
            let mut any = false;
            for (_, cell) in self.at(table, place) {
                let before = self.get(table, place).unwrap_or(0);
                let same = new(place).is_some_and(|value| (value ^ before) & cell.mask == 0);
                if !cell.writable && !same {
                    return Err(Exception::ADDRESS);
                }
                any |= cell.writable;
                let Area { first, count, .. } = cell.area;
                let after: Option<Vec<u16>> = (first..=first + (count - 1))
                    .map(|place| new(place).or_else(|| self.get(table, place)))
                    .collect();
                // What is written in parts is looked at when it is whole.
                let whole = first >= at && cell.area.end() <= u32::from(at) + values.len() as u32;
                let fits = |record: Record| record.iter().all(|entry| entry.quality != Quality::OutOfRange);
                let known = after.and_then(|after| cell.of(&after));
                if cell.writable && whole && !known.is_some_and(fits) {
                    return Err(Exception::VALUE);
                }
            }
            if !any {
                return Err(Exception::ADDRESS);
            }
        }
        Ok(())
    }

    fn write(&mut self, table: Table, at: u16, values: &[u16]) {
        for (place, value) in (at..).zip(values) {
            self.words.insert((table, place), *value);
            let written: Vec<usize> = self
                .at(table, place)
                .filter(|(_, cell)| cell.writable)
                .map(|(n, _)| n)
                .collect();
            self.written.extend(written);
        }
    }
}

fn words(table: Table, bytes: &[u8]) -> Vec<u16> {
    match table.is_bits() {
        true => bytes.iter().map(|byte| u16::from(*byte)).collect(),
        false => bytes
            .chunks(2)
            .map(|word| u16::from_be_bytes([word[0], word.get(1).copied().unwrap_or(0)]))
            .collect(),
    }
}

fn cell(register: &Register<'_>, order: &Order, mistakes: &mut Vec<Mistake>) -> Result<Cell, &'static str> {
    let Some(name) = register.field.name.clone().filter(|name| !name.is_empty()) else {
        return Err("it needs a name, by which its values come");
    };
    if register.field.value.is_some() || !register.field.fields.is_empty() || register.field.tags.is_some() {
        return Err("a computed value or a record has no registers of its own");
    }
    if register.field.writable && matches!(register.area.table, Table::Input | Table::Discrete) {
        return Err("only coils and holding registers can be written");
    }
    let number = register.number;
    let mut found = Vec::new();
    let layout = plan::compile(
        &Source {
            kind: &name,
            keys: &Keys::default(),
            decode: &Decode::Binary,
            order,
            collect: None,
            fields: &[register.alone()],
            require: &[],
            stop: None,
            path: String::new(),
            fields_key: "fields",
        },
        &mut found,
    );
    mistakes.extend(found.into_iter().map(|mistake| {
        Mistake {
            path: mistake
                .path
                .replacen(".fields[0]", &format!("fields[{number}]"), 1),
            what: mistake.what,
        }
    }));
    if encode::unwritable(&layout).is_some() {
        return Err("values of its type can't be made");
    }
    Ok(Cell {
        name,
        area: register.area,
        writable: register.field.writable,
        mask: match register.area.table.is_bits() {
            true => 1,
            false => register.bits(),
        },
        layout,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::device;

    const FIELDS: &str = r#"fields = [
        { name = "power", input = 0, type = "f32" },
        { name = "label", input = 2, type = "text", length = 4 },
        { name = "level", holding = 10, type = "i16", scale = 0.1, range = [-100, 100], writable = true },
        { name = "total", holding = 11, type = "u32", order = "word-swapped", writable = true },
        { name = "fan", holding = 13, bits = [4, 7], writable = true, function = 22 },
        { name = "fixed", holding = 13, bit = 0 },
        { name = "mode", holding = 14, values = { 0 = "off", 1 = "on" }, writable = true },
        { name = "lamp", coil = 3, writable = true },
        { name = "door", discrete = 0 },
    ]"#;

    fn bank(zero: bool) -> Bank {
        let device =
            device::parse(FIELDS, "bank").unwrap_or_else(|faults| panic!("{}", faults.render(false)));
        Bank::new(&device.config.fields, None, zero).unwrap()
    }

    fn set(bank: &mut Bank, name: &str, payload: &str) -> Result<(), String> {
        let number = bank.names().position(|known| known == name).unwrap();
        bank.set(number, payload.as_bytes())
            .map_err(|error| error.to_string())
    }

    fn ask(bank: &mut Bank, frame: &str) -> Option<String> {
        let frame = data_encoding::HEXLOWER
            .decode(frame.replace(' ', "").as_bytes())
            .unwrap();
        bank.answer(17, &frame)
            .map(|reply| data_encoding::HEXLOWER.encode(&reply))
    }

    fn written(bank: &mut Bank) -> Vec<String> {
        let json = |(_, record): (usize, Record)| {
            let mut out = String::new();
            record.write_json(&mut out);
            out
        };
        bank.written().into_iter().map(json).collect()
    }

    #[test]
    fn values_become_registers() {
        let bank = &mut bank(false);
        assert_eq!(
            ask(bank, "1104 0000 0002"),
            Some("118404".into()),
            "nothing is known yet"
        );
        set(bank, "power", "230.2").unwrap();
        set(bank, "label", "AB").unwrap();
        set(bank, "level", "-1.5").unwrap();
        set(bank, "total", r#"{"total": 305419896}"#).unwrap();
        set(bank, "fan", "9").unwrap();
        set(bank, "fixed", "true").unwrap();
        set(bank, "mode", "on").unwrap();
        set(bank, "lamp", "true").unwrap();
        set(bank, "door", "1").unwrap();
        assert_eq!(ask(bank, "1104 0000 0004"), Some("1104084366333341420000".into()));
        assert_eq!(
            ask(bank, "1103 000a 0005"),
            Some("11030afff15678123400910001".into())
        );
        assert_eq!(ask(bank, "1101 0003 0001"), Some("11010101".into()));
        assert_eq!(ask(bank, "1102 0000 0001"), Some("11020101".into()));
        assert_eq!(ask(bank, "1104 0003 0002"), Some("118402".into()));
        assert_eq!(ask(bank, "1204 0000 0002"), None, "another device");
        assert_eq!(written(bank), Vec::<String>::new());
        assert!(
            set(bank, "level", "101")
                .unwrap_err()
                .contains("from -100 to 100")
        );
        assert!(set(bank, "mode", "dry").unwrap_err().contains("dry"));
    }

    #[test]
    fn what_a_master_writes_becomes_values() {
        let bank = &mut bank(true);
        assert_eq!(ask(bank, "1106 000a fff1"), Some("1106000afff1".into()));
        assert_eq!(
            ask(bank, "1110 000b 0002 04 56781234"),
            Some("1110000b0002".into())
        );
        assert_eq!(ask(bank, "1105 0003 ff00"), Some("11050003ff00".into()));
        assert_eq!(ask(bank, "1116 000d ff0f 0090"), Some("1116000dff0f0090".into()));
        let wanted = [
            r#"{"level":-1.5}"#,
            r#"{"total":305419896}"#,
            r#"{"fan":9}"#,
            r#"{"lamp":true}"#,
        ];
        assert_eq!(written(bank), wanted);
        assert_eq!(written(bank), Vec::<String>::new(), "each is told once");
        // For all: it is done, and nobody answers.
        assert_eq!(ask(bank, "0006 000e 0001"), None);
        assert_eq!(written(bank), [r#"{"mode":"on"}"#]);
        assert_eq!(
            ask(bank, "1106 000a 03e9"),
            Some("118603".into()),
            "100.1 is out of its range"
        );
        assert_eq!(
            ask(bank, "1106 000d 0001"),
            Some("118602".into()),
            "a bit that nobody may write"
        );
        assert_eq!(ask(bank, "1106 0000 0001"), Some("118602".into()));
        assert_eq!(ask(bank, "1107"), Some("118701".into()));
        assert_eq!(written(bank), Vec::<String>::new());
    }

    #[test]
    fn what_has_no_registers_is_refused() {
        for (fields, says) in [
            ("{ input = 0 }", "needs a name"),
            ("{ name = 'a', input = 0, value = 'x + 1' }", "computed"),
            (
                "{ name = 'a', input = 0 }, { name = 'b', value = 'a + 1' }",
                "no register",
            ),
            ("{ name = 'a', input = 0, writable = true }", "only coils"),
        ] {
            let config: Config = toml::from_str(&format!("fields = [{fields}]")).unwrap();
            let mistakes = Bank::new(&config.fields, None, false).unwrap_err();
            assert!(
                mistakes.iter().any(|mistake| mistake.what.contains(says)),
                "{says}: {mistakes:?}"
            );
        }
    }
}

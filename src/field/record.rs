//! What a frame says, as named values: the result of decoding, and what publishing and commands work with.
//!
//! A [`Shape`] is made once, when a profile is compiled: the names, units and decimals of everything that a kind
//! of frame can hold. A [`Record`] is one frame's values by the shape's places, so no name is copied or looked
//! up per frame. Names that only the frame knows (OBIS codes, tags) follow as extra entries with their own
//! [`Info`]. The time of the frame is passed beside the record, never in it.

mod value;

use std::collections::HashMap;
use std::fmt::Write;
use std::sync::Arc;
pub use value::{Fixed, Time, TimeParts, Value};
pub(crate) use value::{TENS, write_json_text};

/// Whether a value may be relied on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Quality {
    /// It may.
    #[default]
    Good,
    /// There is no value: [`Value::Absent`].
    Absent,
    /// The value lies outside the range that the profile calls plausible: it is not published, and counted.
    OutOfRange,
}

/// What is known of a value before it comes.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Info {
    /// Its name.
    pub name: Arc<str>,
    /// Its unit, as the profile writes it.
    pub unit: Option<Arc<str>>,
    /// How many decimals a `Float` is shown with. Default: as many as tell it from its neighbours.
    pub decimals: Option<u8>,
    /// What it is, in words, if the profile says so.
    pub title: Option<Arc<str>>,
    /// Every label of an enumeration, in the order of the profile; empty where there is none.
    pub labels: Vec<Arc<str>>,
    /// Whether it is left out when values are published; other fields and templates still have it.
    pub hidden: bool,
}

/// The values that a kind of frame can hold.
#[derive(Debug, Default)]
pub struct Shape {
    kind: Arc<str>,
    infos: Vec<Info>,
    places: HashMap<Arc<str>, usize>,
}

/// A value in its place.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Slot {
    /// The value, also one that is out of range.
    pub value: Value,
    /// Whether it may be relied on.
    pub quality: Quality,
}

/// The values of one frame.
#[derive(Debug, Clone)]
pub struct Record {
    shape: Arc<Shape>,
    /// None: this frame is of a kind, or has a part less, in which the value does not occur.
    slots: Vec<Option<Slot>>,
    extra: Vec<(Info, Slot)>,
}

/// A value with what is known of it.
#[derive(Debug, Clone, Copy)]
pub struct Entry<'a> {
    /// What is known of it.
    pub info: &'a Info,
    /// The value, also one that is out of range.
    pub value: &'a Value,
    /// Whether it may be relied on.
    pub quality: Quality,
}

impl Shape {
    /// The shape of a kind of frame. Of two values with one name the first is found by it.
    pub fn new(kind: impl Into<Arc<str>>, infos: Vec<Info>) -> Shape {
        let mut places = HashMap::with_capacity(infos.len());
        for (place, info) in infos.iter().enumerate() {
            places.entry(info.name.clone()).or_insert(place);
        }
        Shape {
            kind: kind.into(),
            infos,
            places,
        }
    }

    /// The name of the kind of frame.
    pub fn kind(&self) -> &Arc<str> {
        &self.kind
    }

    /// What is known of each value, by place.
    pub fn infos(&self) -> &[Info] {
        &self.infos
    }

    /// The place of the value of this name: to be asked once, not per frame.
    pub fn place(&self, name: &str) -> Option<usize> {
        self.places.get(name).copied()
    }
}

impl Record {
    /// A record without any value yet.
    pub fn new(shape: Arc<Shape>) -> Record {
        let mut slots = Vec::with_capacity(shape.infos.len());
        slots.resize_with(shape.infos.len(), || None);
        Record {
            shape,
            slots,
            extra: Vec::new(),
        }
    }

    /// Its shape.
    pub fn shape(&self) -> &Arc<Shape> {
        &self.shape
    }

    /// The name of the kind of frame that it came from.
    pub fn kind(&self) -> &str {
        &self.shape.kind
    }

    /// The value at a place of the shape; None: this frame has no such part.
    pub fn at(&self, place: usize) -> Option<Entry<'_>> {
        let (info, slot) = (self.shape.infos.get(place)?, self.slots.get(place)?.as_ref()?);
        Some(Entry::of(info, slot))
    }

    /// Every value of this frame, absent ones too, in the order of the profile; then those that only the frame
    /// named.
    pub fn iter(&self) -> impl Iterator<Item = Entry<'_>> {
        let known = self.shape.infos.iter().zip(&self.slots);
        let known = known.filter_map(|(info, slot)| Some((info, slot.as_ref()?)));
        let extra = self.extra.iter().map(|(info, slot)| (info, slot));
        known.chain(extra).map(|(info, slot)| Entry::of(info, slot))
    }

    /// The value of this name.
    pub fn get(&self, name: &str) -> Option<Entry<'_>> {
        if let Some(place) = self.shape.place(name) {
            return self.at(place);
        }
        let (info, slot) = self.extra.iter().find(|(info, _)| &*info.name == name)?;
        Some(Entry::of(info, slot))
    }

    /// The value at a path of names and numbers, such as `modules.0.voltage`. A name that holds points itself,
    /// such as `1-0:1.8.0`, is found first.
    pub fn find(&self, path: &str) -> Option<Entry<'_>> {
        if let Some(entry) = self.get(path) {
            return Some(entry);
        }
        for (cut, _) in path.match_indices('.') {
            if let Some(entry) = self.get(&path[..cut])
                && let Some(found) = entry.within(&path[cut + 1..])
            {
                return Some(found);
            }
        }
        None
    }

    /// Puts a value at its place.
    pub fn set(&mut self, place: usize, value: Value, quality: Quality) {
        if let Some(slot) = self.slots.get_mut(place) {
            *slot = Some(Slot { value, quality });
        }
    }

    /// Adds a value that only the frame has named. A second one of the same name takes the place of the first.
    pub fn push(&mut self, info: Info, value: Value) {
        let quality = match value {
            Value::Absent => Quality::Absent,
            _ => Quality::Good,
        };
        if let Some(place) = self.shape.place(&info.name) {
            return self.set(place, value, quality);
        }
        let slot = Slot { value, quality };
        match self.extra.iter_mut().find(|(known, _)| known.name == info.name) {
            Some(known) => *known = (info, slot),
            None => self.extra.push((info, slot)),
        }
    }

    /// Shows every single value with its path: lists and records are gone into, with `separator` between names.
    pub fn leaves<'a>(&'a self, separator: &str, each: &mut dyn FnMut(&str, Entry<'a>)) {
        let mut path = String::new();
        for entry in self.iter() {
            leaf(entry, &mut path, separator, each);
        }
    }

    /// Appends the record as one JSON object: good values only, hidden ones left out, absent ones `null`.
    pub fn write_json(&self, out: &mut String) {
        out.push('{');
        let mut first = true;
        for entry in self.iter() {
            if entry.info.hidden || entry.quality == Quality::OutOfRange {
                continue;
            }
            if !std::mem::take(&mut first) {
                out.push(',');
            }
            write_json_text(&entry.info.name, out);
            out.push(':');
            entry.write_json(out);
        }
        out.push('}');
    }
}

/// Records are equal when they say the same, whoever made their shape.
impl PartialEq for Record {
    fn eq(&self, other: &Record) -> bool {
        let pairs = |record: &Record| record.iter().count();
        self.kind() == other.kind()
            && pairs(self) == pairs(other)
            && self
                .iter()
                .zip(other.iter())
                .all(|(a, b)| a.info.name == b.info.name && a.value == b.value && a.quality == b.quality)
    }
}

impl<'a> Entry<'a> {
    fn of(info: &'a Info, slot: &'a Slot) -> Entry<'a> {
        Entry {
            info,
            value: &slot.value,
            quality: slot.quality,
        }
    }

    /// The value, unless it is absent or out of range.
    pub fn good(&self) -> Option<&'a Value> {
        (self.quality == Quality::Good).then_some(self.value)
    }

    /// The value's unit, or an empty text.
    pub fn unit(&self) -> &'a str {
        self.info.unit.as_deref().unwrap_or_default()
    }

    /// Appends the value as a person reads it: `230.2`, `on`, `0a1b`. Lists and records become JSON.
    pub fn write(&self, out: &mut String) {
        self.value.write(self.info.decimals, out);
    }

    /// Appends the value as JSON.
    pub fn write_json(&self, out: &mut String) {
        self.value.write_json(self.info.decimals, out);
    }

    /// What lies further in: `0`, `voltage`, `0.voltage`.
    fn within(&self, path: &str) -> Option<Entry<'a>> {
        match self.value {
            Value::Record(record) => record.find(path),
            Value::List(values) => {
                let (number, rest) = path.split_once('.').unwrap_or((path, ""));
                let value = values.get(number.parse::<usize>().ok()?)?;
                let entry = Entry { value, ..*self };
                if rest.is_empty() {
                    Some(entry)
                } else {
                    entry.within(rest)
                }
            }
            _ => None,
        }
    }
}

fn leaf<'a>(entry: Entry<'a>, path: &mut String, separator: &str, each: &mut dyn FnMut(&str, Entry<'a>)) {
    let before = path.len();
    if before > 0 {
        path.push_str(separator);
    }
    path.push_str(&entry.info.name);
    leaf_value(entry, path, separator, each);
    path.truncate(before);
}

fn leaf_value<'a>(
    entry: Entry<'a>,
    path: &mut String,
    separator: &str,
    each: &mut dyn FnMut(&str, Entry<'a>),
) {
    match entry.value {
        Value::Record(record) => {
            for inner in record.iter() {
                leaf(inner, path, separator, each);
            }
        }
        Value::List(values) => {
            for (n, value) in values.iter().enumerate() {
                let before = path.len();
                let _ = write!(path, "{separator}{n}");
                leaf_value(Entry { value, ..entry }, path, separator, each);
                path.truncate(before);
            }
        }
        _ => each(path, entry),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn info(name: &str) -> Info {
        Info {
            name: name.into(),
            ..Info::default()
        }
    }

    fn shown(value: Value, decimals: Option<u8>) -> String {
        let mut out = String::new();
        value.write(decimals, &mut out);
        out
    }

    #[test]
    fn numbers_are_shown_with_their_decimals() {
        let fixed = |digits, decimals| shown(Value::Fixed(Fixed { digits, decimals }), None);
        assert_eq!(fixed(2302, 1), "230.2");
        assert_eq!(fixed(-5, 2), "-0.05");
        assert_eq!(fixed(0, 2), "0.00");
        assert_eq!(fixed(7, 0), "7");
        assert_eq!(fixed(i64::MIN, 18), "-9.223372036854775808");
        assert_eq!(shown(Value::Float(1.0 / 3.0), Some(2)), "0.33");
        assert_eq!(shown(Value::Float(0.1), None), "0.1");
        assert_eq!(shown(Value::Bytes([1, 0xab].as_slice().into()), None), "01ab");
    }

    #[test]
    fn times_are_iso_8601() {
        let time = |millis, offset| {
            shown(
                Value::Time(Time {
                    millis,
                    offset,
                    parts: TimeParts::Both,
                }),
                None,
            )
        };
        assert_eq!(time(0, Some(0)), "1970-01-01T00:00:00Z");
        assert_eq!(time(1_479_063_477_000, Some(60)), "2016-11-13T18:57:57+01:00");
        assert_eq!(time(951_782_400_250, None), "2000-02-29T00:00:00.250");
        assert_eq!(time(-1000, Some(-90)), "1969-12-31T23:59:59-01:30");
    }

    #[test]
    fn values_are_found_by_name_and_path() {
        let inner = Arc::new(Shape::new("module", vec![info("voltage")]));
        let mut module = Record::new(inner);
        module.set(0, Value::Int(5), Quality::Good);
        let mut record = Record::new(Arc::new(Shape::new(
            "frame",
            vec![info("modules"), info("cells")],
        )));
        record.set(0, Value::List(vec![Value::Record(module.into())]), Quality::Good);
        record.set(
            1,
            Value::List(vec![Value::Int(1), Value::Int(2)]),
            Quality::OutOfRange,
        );
        record.push(info("1-0:1.8.0"), Value::Bool(true));
        assert_eq!(record.find("modules.0.voltage").unwrap().value, &Value::Int(5));
        assert_eq!(record.find("cells.1").unwrap().value, &Value::Int(2));
        assert!(record.find("cells.1").unwrap().good().is_none());
        assert_eq!(record.find("1-0:1.8.0").unwrap().value, &Value::Bool(true));
        assert!(record.find("modules.1.voltage").is_none());
        let mut out = String::new();
        record.write_json(&mut out);
        assert_eq!(out, r#"{"modules":[{"voltage":5}],"1-0:1.8.0":true}"#);
        let mut paths = Vec::new();
        record.leaves("/", &mut |path, _| paths.push(path.to_owned()));
        assert_eq!(paths, ["modules/0/voltage", "cells/0", "cells/1", "1-0:1.8.0"]);
    }

    proptest! {
        #[test]
        fn a_fixed_number_reads_back(digits: i64, decimals in 0u8..19) {
            let text = shown(Value::Fixed(Fixed { digits, decimals }), None);
            prop_assert_eq!(text.replace('.', "").parse::<i64>().unwrap(), digits);
            prop_assert_eq!(text.split_once('.').map_or(0, |(_, after)| after.len()), usize::from(decimals));
        }
    }
}

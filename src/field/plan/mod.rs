//! The field language compiled: names are places, texts are parsed, and what can't be is told with its path.

mod cases;
mod fields;
mod read;

use super::cipher::Keys;
use super::config::{Decode, Encoding, Field, Label, Order, Sign, Trim, UnknownTag, Unpack};
use super::expr::{Expr, Names, Var};
use super::number::Scale;
use super::record::{Info, Quality, Shape, Value};
use super::split::Split;
use super::time;
use crate::octets::Octets;
use regex::bytes::Regex;
use std::sync::Arc;

/// How deep fields may be nested.
const DEPTH_MAX: usize = 12;

/// What is wrong with a description.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// Where: `kind[0].fields[2].at`.
    pub path: String,
    /// What.
    pub what: String,
}

/// Fields of one record, compiled.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    pub(crate) shape: Arc<Shape>,
    pub(crate) split: Split,
    pub(crate) steps: Vec<Step>,
    /// What must hold when all is read.
    pub(crate) require: Vec<(Expr, Arc<str>)>,
    /// Whether a list of such records ends behind this one.
    pub(crate) stop: Option<Expr>,
    /// Whether what no field names is given on.
    pub(crate) collect: bool,
    /// Whether the numbers behind names are kept for expressions.
    pub(crate) raws: bool,
    /// Whether it is some of the columns around it.
    pub(crate) across: bool,
}

/// One thing to do with the bytes.
#[derive(Debug, Clone)]
pub(crate) struct Step {
    pub(crate) name: Arc<str>,
    pub(crate) slot: Option<usize>,
    pub(crate) at: Place,
    pub(crate) length: Length,
    pub(crate) until: Option<Octets>,
    pub(crate) find: Option<Regex>,
    pub(crate) unpack: Vec<Unpack>,
    pub(crate) condition: Option<Expr>,
    pub(crate) repeat: Option<Times>,
    /// Whether the list ends behind this element. Of records their layout knows it.
    pub(crate) stop: Option<Expr>,
    pub(crate) required: bool,
    pub(crate) action: Action,
    /// Most fields are whole numbers at a fixed place: they need no more than this.
    pub(crate) short: Option<Short>,
}

/// A whole number in bytes, with nothing about it that takes time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Short {
    /// Where, if not behind the field before.
    pub(crate) at: Option<usize>,
    pub(crate) bytes: usize,
    pub(crate) little: bool,
    pub(crate) signed: bool,
}

impl Step {
    /// With what makes it quick, if it is as simple as that.
    fn quick(mut self) -> Step {
        self.short = self.shortened();
        self
    }

    fn shortened(&self) -> Option<Short> {
        let Action::Read(read) = &self.action else {
            return None;
        };
        let How::Uint(ranks) = &read.how else { return None };
        let at = match self.at {
            Place::Next => None,
            Place::Offset(at) => Some(usize::try_from(at).ok()?),
            Place::Key(_) | Place::Computed(_) => return None,
        };
        let simple = self.find.is_none()
            && self.until.is_none()
            && self.unpack.is_empty()
            && self.condition.is_none()
            && self.repeat.is_none()
            && matches!(self.length, Length::Bits(bits) if bits == 8 * ranks.len())
            && read.mask.is_none()
            && !read.single
            && read.factor.is_none()
            && read.value.is_none()
            && matches!(read.names, Naming::None)
            && matches!(read.sign, None | Some(Sign::Twos));
        let big = Order::Big.ranks(ranks.len())? == *ranks;
        let little = Order::Little.ranks(ranks.len())? == *ranks;
        (simple && (big || little)).then_some(Short {
            at,
            bytes: ranks.len(),
            little: !big,
            signed: read.sign.is_some(),
        })
    }
}

#[derive(Debug, Clone)]
pub(crate) enum Place {
    Next,
    Offset(i32),
    Key(Box<str>),
    Computed(Expr),
}

#[derive(Debug, Clone)]
pub(crate) enum Length {
    /// So many bits, as the type says.
    Bits(usize),
    Bytes(i32),
    Computed(Expr),
    /// As the bytes themselves say: a `varint`.
    Varint,
    Rest,
}

#[derive(Debug, Clone)]
pub(crate) enum Times {
    Fixed(usize),
    Computed(Expr),
    /// To the end.
    Rest,
    /// Until an element stops the list.
    Stop,
}

#[derive(Debug, Clone)]
pub(crate) enum Action {
    Read(Box<Read>),
    /// A value made of others.
    Compute(Box<Read>),
    Skip,
    /// A record of its own.
    Record(Box<Layout>),
    /// Fields of this record, in a part of the bytes.
    Inline(Box<Split>, Vec<Step>),
    /// Fields of this record, where the cursor stands.
    Here(Vec<Step>),
    Switch(Expr, Box<Choice>),
    Tags(Box<TagPlan>),
}

/// Fields for values.
#[derive(Debug, Clone, Default)]
pub(crate) struct Choice {
    pub(crate) cases: Vec<(Match, Vec<Step>)>,
    pub(crate) other: Option<Vec<Step>>,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Match {
    Range(i64, i64),
    Text(Arc<str>),
}

#[derive(Debug, Clone)]
pub(crate) struct TagPlan {
    pub(crate) tag: Uint,
    pub(crate) length: Option<Uint>,
    pub(crate) adjust: i32,
    pub(crate) end: Option<u64>,
    pub(crate) count: Option<Times>,
    pub(crate) unknown: UnknownTag,
    pub(crate) choice: Choice,
}

/// An unsigned number in bytes.
#[derive(Debug, Clone)]
pub(crate) struct Uint {
    pub(crate) bytes: usize,
    pub(crate) ranks: Vec<u8>,
}

/// From bytes to a value.
#[derive(Debug, Clone)]
pub(crate) struct Read {
    pub(crate) how: How,
    pub(crate) order: Order,
    /// Mask and shift.
    pub(crate) mask: Option<(u64, u32)>,
    pub(crate) single: bool,
    pub(crate) sign: Option<Sign>,
    /// How many bits the number has behind the mask.
    pub(crate) width: u32,
    pub(crate) scale: Option<Scale>,
    pub(crate) factor: Option<Expr>,
    pub(crate) value: Option<Expr>,
    pub(crate) names: Naming,
    pub(crate) absent: Vec<Want>,
    pub(crate) is: Vec<Want>,
    pub(crate) range: Option<[f64; 2]>,
    pub(crate) trim: Trim,
    pub(crate) encoding: Encoding,
    pub(crate) point: u8,
}

#[derive(Debug, Clone)]
pub(crate) enum How {
    /// Whole bytes in this order of ranks.
    Uint(Vec<u8>),
    /// Bits at the cursor.
    Bits(u8),
    /// As many bytes as there are.
    UintOf,
    /// Seven bits to a byte.
    Varint,
    Float(u8),
    Bcd {
        swapped: bool,
    },
    Bytes,
    Text,
    Decimal,
    /// `1`, `true`, `on` or `yes`, and their opposites.
    Word,
    Digits(u8),
    TimeText(time::Pattern, Option<i16>),
    TimeBytes(time::Pattern, bool),
    /// Text or number, whichever it is.
    Auto,
}

#[derive(Debug, Clone)]
pub(crate) enum Naming {
    None,
    Labels(Vec<(i64, i64, Value)>, Vec<(Arc<str>, Value)>, Option<Arc<str>>),
    Flags(Arc<Shape>, Vec<u8>),
    Time(time::Count),
}

/// What a value is compared with.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Want {
    Number(f64),
    Text(Arc<str>),
    Bytes(Vec<u8>),
}

impl Want {
    pub(crate) fn meets(&self, value: &Value) -> bool {
        match (self, value) {
            (Want::Text(wanted), Value::Text(text)) => wanted == text,
            (Want::Text(wanted), Value::Bytes(bytes)) => wanted.as_bytes() == &**bytes,
            (Want::Bytes(wanted), Value::Bytes(bytes)) => wanted == &**bytes,
            (Want::Number(wanted), value) => value.number().is_some_and(|x| (x - wanted).abs() < 1e-9),
            _ => false,
        }
    }
}

/// What a layout is compiled from.
pub(crate) struct Source<'a> {
    pub(crate) kind: &'a str,
    pub(crate) decode: &'a Decode,
    pub(crate) order: &'a Order,
    pub(crate) collect: Option<bool>,
    pub(crate) fields: &'a [Field],
    pub(crate) require: &'a [String],
    pub(crate) stop: Option<&'a String>,
    pub(crate) path: String,
    pub(crate) fields_key: &'static str,
    pub(crate) keys: &'a Keys,
}

/// Compiles the fields of a kind of frame.
pub(crate) fn compile(source: &Source<'_>, mistakes: &mut Vec<Mistake>) -> Layout {
    let mut compiler = Compiler {
        mistakes,
        levels: Vec::new(),
        keys: source.keys.clone(),
    };
    compiler.layout(source)
}

struct Compiler<'m> {
    mistakes: &'m mut Vec<Mistake>,
    levels: Vec<Level>,
    keys: Keys,
}

#[derive(Default)]
struct Level {
    infos: Vec<Info>,
    /// Whether a value of this name may be missing, so that another may take its place.
    loose: Vec<bool>,
    raws: bool,
    /// What the records among the values hold, by their place.
    shapes: Vec<(usize, Arc<Shape>)>,
}

impl Names for Vec<Level> {
    fn var(&self, name: &str) -> Option<Var> {
        self.iter().rev().enumerate().find_map(|(depth, level)| {
            let place = level.infos.iter().position(|info| &*info.name == name)?;
            Some(Var { depth, place })
        })
    }
    fn inside(&self, var: Var) -> Option<Arc<Shape>> {
        let level = self.iter().rev().nth(var.depth)?;
        let (_, shape) = level.shapes.iter().find(|(slot, _)| *slot == var.place)?;
        Some(shape.clone())
    }
    fn known(&self) -> Vec<String> {
        self.iter()
            .flat_map(|level| level.infos.iter().map(|info| info.name.to_string()))
            .collect()
    }
}

/// Where and among what a field stands.
#[derive(Clone, Copy)]
struct Site<'a> {
    split: &'a Split,
    order: &'a Order,
    /// Whether the field may not be there.
    loose: bool,
}

impl Compiler<'_> {
    fn wrong(&mut self, path: impl Into<String>, what: impl Into<String>) {
        let (path, what) = (path.into(), what.into());
        self.mistakes.push(Mistake { path, what });
    }

    fn layout(&mut self, source: &Source<'_>) -> Layout {
        let split = Split::new(source.decode).unwrap_or_else(|what| {
            self.wrong(format!("{}.decode", source.path), what);
            Split::Binary
        });
        self.layout_of(source, split)
    }

    fn layout_of(&mut self, source: &Source<'_>, split: Split) -> Layout {
        self.levels.push(Level::default());
        let site = Site {
            split: &split,
            order: source.order,
            loose: false,
        };
        let steps = self.steps(
            source.fields,
            site,
            &format!("{}.{}", source.path, source.fields_key),
        );
        let mut require = Vec::new();
        for (n, text) in source.require.iter().enumerate() {
            if let Some(expr) = self.expr(text, &format!("{}.require[{n}]", source.path)) {
                require.push((expr, Arc::from(text.as_str())));
            }
        }
        let stop = self.maybe(source.stop, &source.path, "stop");
        let level = self.levels.pop().unwrap_or_default();
        let named = matches!(split, Split::Named(_));
        Layout {
            shape: Arc::new(Shape::new(source.kind, level.infos)),
            collect: source.collect.unwrap_or(named),
            split,
            steps,
            require,
            stop,
            raws: level.raws,
            across: false,
        }
    }

    fn steps(&mut self, fields: &[Field], site: Site<'_>, path: &str) -> Vec<Step> {
        let mut steps = Vec::with_capacity(fields.len());
        for (n, field) in fields.iter().enumerate() {
            steps.extend(self.step(field, site, &format!("{path}[{n}]")));
        }
        steps
    }

    fn expr(&mut self, text: &str, path: &str) -> Option<Expr> {
        match Expr::parse(text, &self.levels) {
            Ok(expr) => Some(expr),
            Err(what) => {
                self.wrong(path, what);
                None
            }
        }
    }

    fn maybe(&mut self, text: Option<&String>, path: &str, key: &str) -> Option<Expr> {
        text.and_then(|text| self.expr(text, &format!("{path}.{key}")))
    }

    /// The value at this place is a record, or a list of such.
    fn inside(&mut self, slot: Option<usize>, shape: Arc<Shape>) {
        if let (Some(level), Some(slot)) = (self.levels.last_mut(), slot) {
            level.shapes.push((slot, shape));
        }
    }

    /// A place for a value of this name.
    fn slot(&mut self, field: &Field, loose: bool, path: &str) -> Option<usize> {
        let name = field.name.as_ref()?;
        if name.is_empty() || name.len() > 100 || name.chars().any(char::is_control) {
            self.wrong(format!("{path}.name"), "a name has 1 to 100 characters");
            return None;
        }
        let info = Info {
            name: name.as_str().into(),
            unit: field.unit.as_deref().map(Arc::from),
            decimals: field.decimals,
            title: field.title.as_deref().map(Arc::from),
            labels: field
                .values
                .0
                .iter()
                .filter_map(|(_, label)| match label {
                    Label::Name(name) => Some(name.as_str().into()),
                    _ => None,
                })
                .collect(),
            hidden: field.hidden,
        };
        let level = self.levels.last_mut()?;
        let known = level.infos.iter().position(|known| known.name == info.name);
        match known {
            Some(place) if loose || level.loose[place] => {
                level.loose[place] = true;
                if level.infos[place].unit != info.unit {
                    let what =
                        format!("another field `{name}` has another unit: give one of them another name");
                    self.wrong(format!("{path}.unit"), what);
                }
                Some(place)
            }
            Some(_) => {
                let what = format!("there is a field `{name}` already");
                self.wrong(format!("{path}.name"), what);
                None
            }
            None => {
                level.infos.push(info);
                level.loose.push(loose);
                Some(level.infos.len() - 1)
            }
        }
    }
}

impl Quality {
    /// The quality of a value within this range, or outside.
    pub(crate) fn of(value: &Value, range: Option<[f64; 2]>) -> Quality {
        match (value, range) {
            (Value::Absent, _) => Quality::Absent,
            (Value::List(values), Some(_)) => {
                let out = values
                    .iter()
                    .any(|value| Quality::of(value, range) == Quality::OutOfRange);
                if out { Quality::OutOfRange } else { Quality::Good }
            }
            (value, Some([least, most])) => match value.number() {
                Some(x) if x.is_nan() || x < least || x > most => Quality::OutOfRange,
                _ => Quality::Good,
            },
            (_, None) => Quality::Good,
        }
    }
}

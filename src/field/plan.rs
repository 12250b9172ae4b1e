//! The field language compiled: names are places, texts are parsed, and what can't be is told with its path.

use super::cipher::Keys;
use super::config::{
    Amount, At, Cases, Decode, Encoding, Factor, Field, Label, Labels, Order, Scalar, Sign, TimeForm, Trim,
    Type, UnknownTag, Unpack, number,
};
use super::expr::{Expr, Names, Var};
use super::number::Scale;
use super::record::{Info, Quality, Shape, Value};
use super::split::{Split, regex};
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
    Rest,
}

#[derive(Debug, Clone)]
pub(crate) enum Times {
    Fixed(usize),
    Computed(Expr),
    Rest,
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
        let level = self.levels.pop().unwrap_or_default();
        let named = matches!(split, Split::Named(_));
        Layout {
            shape: Arc::new(Shape::new(source.kind, level.infos)),
            collect: source.collect.unwrap_or(named),
            split,
            steps,
            require,
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

    fn step(&mut self, field: &Field, site: Site<'_>, path: &str) -> Option<Step> {
        if self.levels.len() > DEPTH_MAX || path.matches("[").count() > 2 * DEPTH_MAX {
            self.wrong(path, "fields are nested too deeply");
            return None;
        }
        let condition = self.maybe(field.condition.as_ref(), path, "if");
        let loose = site.loose || condition.is_some();
        let site = Site { loose, ..site };
        let at = self.at(field, site, path);
        let find = field.find.as_ref().and_then(|text| match regex(text) {
            Ok(regex) => Some(regex),
            Err(what) => {
                self.wrong(format!("{path}.find"), what);
                None
            }
        });
        let repeat = field
            .repeat
            .as_ref()
            .and_then(|times| self.times(times, &format!("{path}.repeat")));
        let mut length = field.length.as_ref().and_then(|amount| match amount {
            Amount::Number(n) => Some(Length::Bytes(*n)),
            Amount::Rest => Some(Length::Rest),
            Amount::Expression(text) => self.expr(text, &format!("{path}.length")).map(Length::Computed),
        });
        for (n, step) in field.unpack.0.iter().enumerate() {
            if let Unpack::KeepBits(0 | 9..)
            | Unpack::JoinBits(0 | 9..)
            | Unpack::Septets(super::config::Septets { size: 0 | 8.., .. }) = step
            {
                self.wrong(
                    format!("{path}.unpack[{n}]"),
                    "this is 1 to 8 bits, or 1 to 7 bytes",
                );
            }
        }
        let bodies = [
            !field.fields.is_empty(),
            field.switch.is_some(),
            field.tags.is_some(),
        ];
        if bodies.iter().filter(|there| **there).count() > 1 {
            self.wrong(
                path,
                "only one of `fields`, `switch` and `tags` can stand in a field",
            );
            return None;
        }
        if field.switch.is_none() && field.tags.is_none() && !field.cases.0.is_empty() {
            self.wrong(
                format!("{path}.cases"),
                "`cases` needs `switch` or `tags` beside it",
            );
        }
        let placed = field.at.is_some()
            || field.find.is_some()
            || field.length.is_some()
            || field.until.is_some()
            || !field.unpack.0.is_empty()
            || field.decode.is_some();
        let (slot, action) = if let Some(tags) = &field.tags {
            (None, self.tags(tags, field, site, path)?)
        } else if let Some(switch) = &field.switch {
            let on = self.expr(switch, &format!("{path}.switch"));
            let choice = self.choice(&field.cases, site, path);
            (None, Action::Switch(on?, Box::new(choice)))
        } else if !field.fields.is_empty() {
            self.group(field, site, placed, path)
        } else if field.decode.is_some() {
            // The bytes are taken apart, and what is found makes one value.
            let inner = Field {
                at: None,
                find: None,
                length: None,
                until: None,
                decode: None,
                condition: None,
                unpack: Default::default(),
                ..field.clone()
            };
            let split = self.split(field, path);
            let inner_site = Site {
                split: &split,
                ..site
            };
            let steps = self.step(&inner, inner_site, path).into_iter().collect();
            return Some(Step {
                name: field.name.as_deref().unwrap_or_default().into(),
                slot: None,
                at,
                length: length.unwrap_or(Length::Rest),
                until: field.until.clone(),
                find,
                unpack: field.unpack.keyed(&self.keys),
                condition,
                repeat: None,
                required: field.required,
                action: Action::Inline(Box::new(split), steps),
                short: None,
            });
        } else {
            let computed = field.value.is_some() && field.kind.is_none() && !placed;
            let own = field
                .value
                .as_ref()
                .and_then(|text| Expr::parse(text, &self.levels).ok());
            let own = computed && own.is_some_and(|expr| expr.has_own());
            // With keys, what was read at the field's name.
            let computed = computed && !(own && site.split.keyed());
            if own && computed {
                self.wrong(
                    format!("{path}.value"),
                    "`x` is what was read at the field's own place, and this one has none: give it `at` or `type`",
                );
            }
            let read = self.read(field, site, computed, path)?;
            if length.is_none() {
                length = own_length(field, &read);
            }
            let slot = self.slot(field, loose, path);
            if let Naming::Flags(shape, _) = &read.names {
                self.inside(slot, shape.clone());
            }
            match (computed, field.kind) {
                (true, _) => (slot, Action::Compute(Box::new(read))),
                (false, Some(Type::Skip)) => (None, Action::Skip),
                (false, _) => (slot, Action::Read(Box::new(read))),
            }
        };
        let action = match action {
            Action::Switch(..) | Action::Tags(_) if placed => {
                let split = self.split(field, path);
                let inner = Step {
                    name: Arc::default(),
                    slot: None,
                    at: Place::Next,
                    length: Length::Rest,
                    until: None,
                    find: None,
                    unpack: Vec::new(),
                    condition: None,
                    repeat: None,
                    required: false,
                    action,
                    short: None,
                };
                Action::Inline(Box::new(split), vec![inner])
            }
            action => action,
        };
        if matches!((&action, &repeat), (Action::Compute(_), Some(Times::Rest))) {
            self.wrong(
                format!("{path}.repeat"),
                "what is computed takes no bytes, so it could come without end: say how often",
            );
        }
        let computed = matches!(action, Action::Compute(_));
        if repeat.is_some()
            && !computed
            && site.split.keyed()
            && find.is_none()
            && !matches!(action, Action::Inline(..))
        {
            self.wrong(
                format!("{path}.repeat"),
                "what is named by key has no order in which it could repeat",
            );
        }
        let step = Step {
            name: field.name.as_deref().unwrap_or_default().into(),
            slot,
            at,
            length: length.unwrap_or(Length::Rest),
            until: field.until.clone(),
            find,
            unpack: field.unpack.keyed(&self.keys),
            condition,
            repeat,
            required: field.required,
            action,
            short: None,
        };
        Some(step.quick())
    }

    fn split(&mut self, field: &Field, path: &str) -> Split {
        let decode = field.decode.clone().unwrap_or_default();
        Split::new(&decode).unwrap_or_else(|what| {
            self.wrong(format!("{path}.decode"), what);
            Split::Binary
        })
    }

    fn at(&mut self, field: &Field, site: Site<'_>, path: &str) -> Place {
        match (&field.at, site.split) {
            (Some(At::Number(n)), split) if split.ordered() => Place::Offset(*n),
            (Some(At::Number(n)), _) => Place::Key(n.to_string().into()),
            (Some(At::Key(text)), Split::Binary) => match self.expr(text, &format!("{path}.at")) {
                Some(expr) => Place::Computed(expr),
                None => Place::Next,
            },
            (Some(At::Key(name)), Split::Columns(columns)) => {
                match columns.header.iter().position(|known| known == name) {
                    Some(place) => Place::Offset(place as i32),
                    None => {
                        self.wrong(format!("{path}.at"), format!("`header` has no column `{name}`"));
                        Place::Next
                    }
                }
            }
            (Some(At::Key(name)), _) => Place::Key(name.as_str().into()),
            (None, split) if split.keyed() && field.find.is_none() => {
                Place::Key(field.name.as_deref().unwrap_or_default().into())
            }
            (None, Split::Columns(columns)) if !columns.header.is_empty() => {
                let name = field.name.as_deref().unwrap_or_default();
                match columns.header.iter().position(|known| known == name) {
                    Some(place) => Place::Offset(place as i32),
                    None => Place::Next,
                }
            }
            (None, _) => Place::Next,
        }
    }

    fn times(&mut self, times: &Amount, path: &str) -> Option<Times> {
        match times {
            Amount::Number(n) => match usize::try_from(*n) {
                Ok(n) => Some(Times::Fixed(n)),
                Err(_) => {
                    self.wrong(path, "a field can't come less than 0 times");
                    None
                }
            },
            Amount::Rest => Some(Times::Rest),
            Amount::Expression(text) => self.expr(text, path).map(Times::Computed),
        }
    }

    fn group(&mut self, field: &Field, site: Site<'_>, placed: bool, path: &str) -> (Option<usize>, Action) {
        if field.inline {
            if field.repeat.is_some() {
                self.wrong(
                    format!("{path}.inline"),
                    "fields that repeat make records, so they can't be inline",
                );
            }
            let inner_path = format!("{path}.fields");
            if !placed {
                return (None, Action::Here(self.steps(&field.fields, site, &inner_path)));
            }
            let split = self.split(field, path);
            let order = field.order.as_ref().unwrap_or(site.order);
            let inner = Site {
                split: &split,
                order,
                ..site
            };
            let steps = self.steps(&field.fields, inner, &inner_path);
            return (None, Action::Inline(Box::new(split), steps));
        }
        if field.name.is_none() {
            self.wrong(path, "fields within a field need its `name`, or `inline = true`");
        }
        let decode = field.decode.clone().unwrap_or_default();
        // Fields of columns that say nothing else are so many columns.
        let across = match site.split {
            Split::Columns(columns)
                if field.decode.is_none()
                    && field.length.is_none()
                    && field.until.is_none()
                    && field.find.is_none()
                    && field.unpack.0.is_empty() =>
            {
                Some(Split::Columns(super::config::Columns {
                    header: Vec::new(),
                    ..columns.clone()
                }))
            }
            _ => None,
        };
        let source = Source {
            kind: field.name.as_deref().unwrap_or_default(),
            decode: &decode,
            order: field.order.as_ref().unwrap_or(site.order),
            collect: None,
            fields: &field.fields,
            require: &[],
            path: path.to_owned(),
            fields_key: "fields",
            keys: &self.keys.clone(),
        };
        let layout = match across {
            Some(split) => Layout {
                across: true,
                ..self.layout_of(&source, split)
            },
            None => self.layout(&source),
        };
        let slot = self.slot(field, site.loose, path);
        self.inside(slot, layout.shape.clone());
        (slot, Action::Record(Box::new(layout)))
    }

    fn choice(&mut self, cases: &Cases, site: Site<'_>, path: &str) -> Choice {
        let mut choice = Choice::default();
        let site = Site { loose: true, ..site };
        for (key, fields) in &cases.0 {
            let at = format!("{path}.cases.{key}");
            let steps = self.steps(fields, site, &at);
            if key == "other" {
                choice.other = Some(steps);
                continue;
            }
            for one in key.split('|') {
                choice.cases.push((matching(one), steps.clone()));
            }
        }
        choice
    }

    fn tags(
        &mut self,
        tags: &super::config::Tags,
        field: &Field,
        site: Site<'_>,
        path: &str,
    ) -> Option<Action> {
        let order = tags.order.as_ref().unwrap_or(site.order);
        let tag = self.plain(tags.kind, order, &format!("{path}.tags.type"))?;
        let length = match tags.length {
            Some(kind) => Some(self.plain(kind, order, &format!("{path}.tags.length"))?),
            None => None,
        };
        let count = tags
            .count
            .as_ref()
            .and_then(|times| self.times(times, &format!("{path}.tags.count")));
        let choice = self.choice(
            &field.cases,
            Site {
                split: &Split::Binary,
                ..site
            },
            path,
        );
        let unknown = match length {
            Some(_) => UnknownTag::Skip,
            None => UnknownTag::Stop,
        };
        if tags.unknown == Some(UnknownTag::Skip) && length.is_none() {
            self.wrong(
                format!("{path}.tags.unknown"),
                "an item can be skipped only where it has a length",
            );
        }
        Some(Action::Tags(Box::new(TagPlan {
            tag,
            length,
            adjust: tags.adjust,
            end: tags.end,
            count,
            unknown: tags.unknown.unwrap_or(unknown),
            choice,
        })))
    }

    fn plain(&mut self, kind: Type, order: &Order, path: &str) -> Option<Uint> {
        let Type::Uint(bits) = kind else {
            self.wrong(path, "tags and lengths are `u8`, `u16`, `u24` or `u32`");
            return None;
        };
        let bytes = usize::from(bits) / 8;
        if bits % 8 != 0 || bits > 32 {
            self.wrong(path, "tags and lengths are `u8`, `u16`, `u24` or `u32`");
            return None;
        }
        Some(Uint {
            bytes,
            ranks: self.ranks(order, bytes, path)?,
        })
    }

    fn ranks(&mut self, order: &Order, bytes: usize, path: &str) -> Option<Vec<u8>> {
        let ranks = match order {
            // An order of the whole kind is for the numbers that it fits.
            Order::Ranks(_) | Order::WordSwapped | Order::ByteSwapped if bytes == 1 => Some(vec![0]),
            order => order.ranks(bytes),
        };
        if ranks.is_none() {
            self.wrong(path, format!("this order is not for numbers of {bytes} bytes"));
        }
        ranks
    }

    fn read(&mut self, field: &Field, site: Site<'_>, computed: bool, path: &str) -> Option<Read> {
        let kind = match field.kind {
            Some(kind) => Some(kind),
            None if computed => None,
            None if field.bit.is_some() || field.bits.is_some() => match site.split {
                Split::Binary => Some(Type::Uint(8)),
                Split::Json | Split::Named(_) => None,
                // A number in text is written with digits.
                _ => Some(Type::Decimal),
            },
            None if field.time.is_some() => Some(Type::Time),
            None if matches!(site.split, Split::Binary) && field.find.is_none() => {
                self.wrong(path, "`type` is missing: how is the value written?");
                return None;
            }
            None if matches!(site.split, Split::Json | Split::Named(_)) => None,
            None => Some(Type::Text),
        };
        let order = field.order.as_ref().unwrap_or(site.order);
        let text = !matches!(site.split, Split::Binary) || field.find.is_some();
        let (how, width) = self.how(kind, field, order, text, path)?;
        let number = matches!(
            how,
            How::Uint(_)
                | How::Bits(_)
                | How::UintOf
                | How::Bcd { .. }
                | How::Digits(_)
                | How::Decimal
                | How::Auto
        );
        let mask = self.mask(field, path);
        if (mask.is_some() || field.sign.is_some()) && !number {
            self.wrong(path, "`bit`, `bits`, `mask` and `sign` are for whole numbers");
        }
        let width = match mask {
            Some((mask, shift)) => 64 - (mask >> shift).leading_zeros(),
            None => width,
        };
        let sign = field.sign.or(match kind {
            Some(Type::Int(_) | Type::IntOf) => Some(Sign::Twos),
            _ => None,
        });
        let scale = self.scale(field, path);
        let factor = match &field.scale {
            Some(Factor::Expression(text)) => self.expr(text, &format!("{path}.scale")),
            _ => None,
        };
        let value = self.maybe(field.value.as_ref(), path, "value");
        let names = self.naming(field, path);
        if !matches!(names, Naming::None)
            && let Some(level) = self.levels.last_mut()
        {
            level.raws = true;
        }
        let bytes = matches!(how, How::Bytes);
        if let Some([least, most]) = field.range
            && least > most
        {
            self.wrong(format!("{path}.range"), "the least comes first: [least, most]");
        }
        Some(Read {
            how,
            order: order.clone(),
            mask,
            single: field.bit.is_some() || kind == Some(Type::Bool),
            sign,
            width,
            scale,
            factor,
            value,
            names,
            absent: wants(&field.absent.0, bytes),
            is: wants(&field.is.0, bytes),
            range: field.range,
            trim: field.trim.unwrap_or_default(),
            encoding: field.encoding.unwrap_or_default(),
            point: field
                .point
                .and_then(|point| u8::try_from(point).ok())
                .unwrap_or(b'.'),
        })
    }

    fn how(
        &mut self,
        kind: Option<Type>,
        field: &Field,
        order: &Order,
        text: bool,
        path: &str,
    ) -> Option<(How, u32)> {
        let pattern = match &field.time {
            Some(TimeForm::Pattern(text)) => match time::Pattern::parse(text) {
                Ok(pattern) => Some(pattern),
                Err(what) => {
                    self.wrong(format!("{path}.time"), what);
                    return None;
                }
            },
            _ => None,
        };
        let Some(kind) = kind else {
            return Some((How::Auto, 64));
        };
        Some(match (kind, pattern) {
            (Type::Time | Type::Text, Some(pattern)) => (How::TimeText(pattern, None), 0),
            (Type::Time, None) => {
                self.wrong(path, "`time` is missing: how is the time written?");
                return None;
            }
            (Type::Bcd { swapped: false }, Some(pattern)) => (How::TimeBytes(pattern, true), 0),
            (Type::Bytes, Some(pattern)) => (How::TimeBytes(pattern, false), 0),
            (_, Some(_)) => {
                self.wrong(
                    format!("{path}.time"),
                    "a pattern is for the types `time`, `bcd` and `bytes`",
                );
                return None;
            }
            (Type::Uint(bits) | Type::Int(bits), None) if bits % 8 == 0 => {
                let ranks = self.ranks(order, usize::from(bits / 8), &format!("{path}.order"))?;
                (How::Uint(ranks), bits.into())
            }
            (Type::Uint(bits) | Type::Int(bits), None) => (How::Bits(bits), bits.into()),
            (Type::UintOf | Type::IntOf, None) => (How::UintOf, 0),
            (Type::Float(bits), None) => {
                self.ranks(order, usize::from(bits / 8), &format!("{path}.order"))?;
                (How::Float(bits), 0)
            }
            (Type::Bool, None) if text => (How::Word, 1),
            (Type::Bool, None) => (How::Uint(vec![0]), 8),
            (Type::Bcd { swapped }, None) => (How::Bcd { swapped }, 64),
            (Type::Text, None) => (How::Text, 0),
            (Type::Bytes | Type::Skip, None) => (How::Bytes, 0),
            (Type::Decimal, None) => (How::Decimal, 64),
            (Type::Digits(base), None) => (How::Digits(base), 64),
        })
    }

    fn mask(&mut self, field: &Field, path: &str) -> Option<(u64, u32)> {
        let ones = |count: u32| u64::MAX.checked_shr(64 - count).unwrap_or(0);
        match (field.bit, field.bits, field.mask) {
            (None, None, None) => {
                if field.shift.is_some() {
                    self.wrong(format!("{path}.shift"), "`shift` goes with `mask`");
                }
                None
            }
            (Some(bit @ 0..=63), None, None) => Some((1 << bit, bit.into())),
            (None, Some([low, high]), None) if low <= high && high < 64 => {
                Some((ones(u32::from(high - low) + 1) << low, low.into()))
            }
            (None, None, Some(mask)) if mask != 0 => {
                let shift = field.shift.map_or(mask.trailing_zeros(), u32::from);
                Some((mask, shift.min(63)))
            }
            (Some(_), None, None) => {
                self.wrong(format!("{path}.bit"), "bits are counted from 0 to 63");
                None
            }
            (None, Some(_), None) => {
                self.wrong(
                    format!("{path}.bits"),
                    "the lower bit comes first, both from 0 to 63: [4, 7]",
                );
                None
            }
            (None, None, Some(_)) => {
                self.wrong(format!("{path}.mask"), "the mask leaves no bit");
                None
            }
            _ => {
                self.wrong(path, "only one of `bit`, `bits` and `mask` can stand in a field");
                None
            }
        }
    }

    fn scale(&mut self, field: &Field, path: &str) -> Option<Scale> {
        let scale = match &field.scale {
            Some(Factor::Number(scale)) => *scale,
            _ => 1.0,
        };
        if scale == 0.0 || field.divide == Some(0.0) {
            self.wrong(
                format!("{path}.scale"),
                "a factor of 0 leaves nothing of the value",
            );
        }
        if field.scale.is_some() && field.divide.is_some() {
            self.wrong(
                format!("{path}.divide"),
                "`scale` and `divide` can't stand together",
            );
        }
        if field.decimals.is_some_and(|decimals| decimals > 15) {
            self.wrong(format!("{path}.decimals"), "there are 0 to 15 decimals");
        }
        let plain = field.scale.is_none()
            && field.divide.is_none()
            && field.bias.is_none()
            && field.offset.is_none()
            && field.decimals.is_none();
        (!plain).then(|| {
            let (bias, offset) = (field.bias.unwrap_or(0.0), field.offset.unwrap_or(0.0));
            Scale::new(
                bias,
                scale,
                field.divide,
                offset,
                field.decimals.map(|decimals| decimals.min(15)),
            )
        })
    }

    fn naming(&mut self, field: &Field, path: &str) -> Naming {
        let labels = !field.values.0.is_empty() || field.other.is_some();
        let count = match &field.time {
            Some(TimeForm::Count(epoch)) => Some(epoch),
            _ => None,
        };
        match (&field.flags, labels, count) {
            (None, false, None) => Naming::None,
            (Some(flags), false, None) => {
                let infos = flags.0.iter().map(|(name, _)| Info {
                    name: name.as_str().into(),
                    ..Info::default()
                });
                let name = field.name.as_deref().unwrap_or_default();
                let shape = Arc::new(Shape::new(name, infos.collect()));
                Naming::Flags(shape, flags.0.iter().map(|(_, bit)| *bit).collect())
            }
            (None, true, None) => self.labels(&field.values, field.other.as_deref(), path),
            (None, false, Some(epoch)) => match time::Count::new(epoch) {
                Ok(count) => Naming::Time(count),
                Err(what) => {
                    self.wrong(format!("{path}.time.epoch"), what);
                    Naming::None
                }
            },
            _ => {
                self.wrong(
                    path,
                    "only one of `values`, `flags` and `time` can stand in a field",
                );
                Naming::None
            }
        }
    }

    fn labels(&mut self, labels: &Labels, other: Option<&str>, _path: &str) -> Naming {
        let (mut numbers, mut texts) = (Vec::new(), Vec::new());
        for (key, label) in &labels.0 {
            let label = match label {
                Label::Name(name) => Value::Text(name.as_str().into()),
                Label::Bool(yes) => Value::Bool(*yes),
                Label::Int(n) => Value::Int(*n),
                Label::Float(x) => Value::Float(*x),
            };
            match matching(key) {
                Match::Range(from, to) => {
                    numbers.push((from, to, label.clone()));
                    texts.push((key.as_str().into(), label));
                }
                Match::Text(text) => texts.push((text, label)),
            }
        }
        numbers.sort_by_key(|(from, ..)| *from);
        Naming::Labels(numbers, texts, other.map(Arc::from))
    }
}

/// What a key of `cases` or `values` stands for: a number, a range of them, or a text.
fn matching(key: &str) -> Match {
    let key = key.trim();
    if let Some((from, to)) = key.split_once("..")
        && let (Some(from), Some(to)) = (number(from), number(to.trim_start_matches('=')))
    {
        return Match::Range(from, to);
    }
    match number(key) {
        Some(n) => Match::Range(n, n),
        None => match key {
            "true" => Match::Range(1, 1),
            "false" => Match::Range(0, 0),
            text => Match::Text(text.into()),
        },
    }
}

fn wants(scalars: &[Scalar], bytes: bool) -> Vec<Want> {
    let octet = |scalar: &Scalar| match scalar {
        Scalar::Int(n) => u8::try_from(*n).ok(),
        _ => None,
    };
    if bytes
        && !scalars.is_empty()
        && let Some(octets) = scalars.iter().map(octet).collect()
    {
        return vec![Want::Bytes(octets)];
    }
    scalars
        .iter()
        .map(|scalar| match scalar {
            Scalar::Int(n) => Want::Number(*n as f64),
            Scalar::Float(x) => Want::Number(*x),
            Scalar::Text(text) => Want::Text(text.as_str().into()),
        })
        .collect()
}

/// How long the type is by itself.
fn own_length(field: &Field, read: &Read) -> Option<Length> {
    if field.until.is_some() {
        return None;
    }
    match &read.how {
        How::Uint(ranks) => Some(Length::Bits(8 * ranks.len())),
        How::Bits(bits) | How::Float(bits) => Some(Length::Bits((*bits).into())),
        How::TimeBytes(pattern, _) => Some(Length::Bytes(pattern.bytes() as i32)),
        How::TimeText(pattern, _) if field.kind == Some(Type::Time) && field.find.is_none() => {
            Some(Length::Bytes(pattern.chars() as i32))
        }
        _ => None,
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

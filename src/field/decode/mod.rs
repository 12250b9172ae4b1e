//! Runs a compiled description over a frame's bytes: a record comes out, or the first thing that does not fit.
//!
//! Time and memory are bounded: each thing read costs one of a fixed number of steps, and repeats end with the
//! bytes or with a limit.

mod collect;
mod fetch;
mod read;
mod repeat;
mod value;

use super::expr::{Expr, Scope};
use super::plan::{Action, Choice, Layout, Length, Match, Step};
use super::record::{Info, Quality, Record, Value};
use super::split::Parts;
use collect::collect;
use fetch::{column, columns};
use std::borrow::Cow;
use std::sync::Arc;
use value::quick;

/// How many things are read of one frame at most.
const BUDGET: u32 = 20_000;
/// How often a field may come in one frame.
const REPEAT_MAX: usize = 4096;

/// Why a frame is not what its description says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{}{why}", .field, if .field.is_empty() { "" } else { ": " })]
pub struct Fault {
    /// The field, by its path.
    pub field: String,
    /// Where in the data, if that is known.
    pub at: Option<usize>,
    /// What does not fit, in words.
    pub why: String,
}

/// One thing that was read, for those who want to see it all.
#[derive(Debug, Clone, PartialEq)]
pub struct Traced {
    /// The field's path, empty without a name.
    pub name: String,
    /// Where its bytes begin in the data; None: they were unpacked first, or it has none.
    pub at: Option<usize>,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// The bits meant, if they are not whole bytes.
    pub bits: Option<(usize, usize)>,
    /// The number or text as it was read.
    pub raw: Value,
    /// What it means.
    pub value: Value,
    /// Decimals and unit.
    pub info: Info,
    /// Whether the value may be relied on.
    pub quality: Quality,
}

/// A run over one frame.
pub(crate) struct Run<'t> {
    pub(crate) trace: Option<&'t mut Vec<Traced>>,
    path: Vec<Arc<str>>,
    budget: u32,
    /// Whether the record that was read last stops its list.
    stopped: bool,
}

/// Bytes, taken apart.
struct View<'a> {
    bytes: &'a [u8],
    /// Where they begin in the frame's data.
    base: Option<usize>,
    parts: &'a Parts<'a>,
    /// The first column that counts, for a record that is some of them.
    first: usize,
}

/// Where the next field lies: in bits, or in columns.
#[derive(Debug, Default, Clone, Copy)]
struct Cursor {
    next: usize,
    last: usize,
}

/// A record in the making.
struct Level<'a> {
    record: Record,
    raws: Vec<Value>,
    outer: Option<&'a Scope<'a>>,
    index: usize,
}

/// What lies at a field's place.
enum Got<'a> {
    Bytes(Piece<'a>),
    Value(Value),
    Missing,
}

struct Piece<'a> {
    bytes: Cow<'a, [u8]>,
    at: Option<usize>,
    /// The bits meant, where they are not whole bytes: from the first byte's begin, how many.
    bits: Option<(usize, usize)>,
}

impl<'t> Run<'t> {
    pub(crate) fn new(trace: Option<&'t mut Vec<Traced>>) -> Run<'t> {
        Run {
            trace,
            path: Vec::new(),
            budget: BUDGET,
            stopped: false,
        }
    }

    /// Reads a whole record.
    pub(crate) fn frame(&mut self, layout: &Layout, bytes: &[u8]) -> Result<Record, Fault> {
        self.layout(layout, bytes, Some(0), None, 0)
            .map(|(record, _)| record)
    }

    fn fault(&self, name: &str, at: Option<usize>, why: impl Into<String>) -> Fault {
        let mut field = self.path.join(".");
        if !name.is_empty() {
            if !field.is_empty() {
                field.push('.');
            }
            field.push_str(name);
        }
        Fault {
            field,
            at,
            why: why.into(),
        }
    }

    fn layout(
        &mut self,
        layout: &Layout,
        bytes: &[u8],
        base: Option<usize>,
        outer: Option<&Scope<'_>>,
        index: usize,
    ) -> Result<(Record, usize), Fault> {
        let parts = layout
            .split
            .apart(bytes)
            .map_err(|error| self.fault("", base, error.to_string()))?;
        let view = View {
            bytes,
            base,
            parts: &parts,
            first: 0,
        };
        let mut level = Level::new(layout, outer, index);
        let mut cursor = Cursor::default();
        self.steps(&layout.steps, &view, &mut cursor, &mut level)?;
        for (expr, text) in &layout.require {
            if !expr.holds(&level.scope(&Value::Absent, cursor, bytes)) {
                return Err(self.fault("", base, format!("`{text}` does not hold")));
            }
        }
        self.stopped = stops(&layout.stop, &level.scope(&Value::Absent, cursor, bytes));
        if layout.collect {
            collect(&layout.steps, parts, &mut level.record);
        }
        Ok((level.record, cursor.next.div_ceil(8).min(bytes.len())))
    }

    /// A record that is some of the columns around it, from `first` on; and how many it has taken.
    fn across(
        &mut self,
        layout: &Layout,
        step: &Step,
        view: &View<'_>,
        first: usize,
        level: &Level<'_>,
        index: usize,
    ) -> Result<(Record, usize), Fault> {
        let scope = level.scope(&Value::Absent, Cursor::default(), view.bytes);
        let mut inner = Level::new(layout, Some(&scope), index);
        let view = View { first, ..*view };
        let mut cursor = Cursor::default();
        let depth = self.enter(step, index);
        let read = self.steps(&layout.steps, &view, &mut cursor, &mut inner);
        self.path.truncate(depth);
        self.stopped = stops(&layout.stop, &inner.scope(&Value::Absent, cursor, view.bytes));
        read.map(|()| (inner.record, cursor.next.max(1)))
    }

    fn steps(
        &mut self,
        steps: &[Step],
        view: &View<'_>,
        cursor: &mut Cursor,
        level: &mut Level<'_>,
    ) -> Result<(), Fault> {
        let plain = self.trace.is_none() && matches!(view.parts, Parts::Binary);
        for step in steps {
            if let (Some(short), Action::Read(read), true) = (&step.short, &step.action, plain)
                && quick(short, read, step, view.bytes, cursor, &mut level.record)
            {
                self.spend(step)?;
                continue;
            }
            if let Some(condition) = &step.condition
                && !condition.holds(&level.scope(&Value::Absent, *cursor, view.bytes))
            {
                continue;
            }
            match &step.repeat {
                None => self.once(step, view, cursor, level)?,
                Some(times) => self.repeat(step, times, view, cursor, level)?,
            }
        }
        Ok(())
    }

    fn spend(&mut self, step: &Step) -> Result<(), Fault> {
        match self.budget.checked_sub(1) {
            Some(left) => {
                self.budget = left;
                Ok(())
            }
            None => Err(self.fault(&step.name, None, "the frame has more parts than may be read")),
        }
    }

    fn once(
        &mut self,
        step: &Step,
        view: &View<'_>,
        cursor: &mut Cursor,
        level: &mut Level<'_>,
    ) -> Result<(), Fault> {
        self.spend(step)?;
        match &step.action {
            Action::Compute(read) => {
                let scope = level.scope(&Value::Absent, *cursor, view.bytes);
                let value = read
                    .value
                    .as_ref()
                    .map_or(Value::Absent, |expr| expr.value(&scope));
                let (value, raw, quality) = self.meaning(read, value, step, &scope)?;
                self.keep(step, level, value, raw, quality, None);
                return Ok(());
            }
            Action::Here(steps) => return self.steps(steps, view, cursor, level),
            Action::Switch(on, choice) => {
                let value = on.value(&level.scope(&Value::Absent, *cursor, view.bytes));
                return match choose(choice, &value) {
                    Some(steps) => self.steps(steps, view, cursor, level),
                    None => Ok(()),
                };
            }
            Action::Tags(plan) => return self.tags(plan, step, view, cursor, level),
            Action::Record(layout) if layout.across => {
                let first = column(step, view, *cursor, true).unwrap_or(usize::MAX);
                if first >= columns(view) {
                    return match step.required {
                        true => Err(self.fault(&step.name, view.base, "it is missing")),
                        false => Ok(()),
                    };
                }
                let (record, used) =
                    self.across(layout, step, view, view.first + first, level, level.index)?;
                *cursor = Cursor {
                    last: first,
                    next: first + used,
                };
                if let Some(slot) = step.slot {
                    level
                        .record
                        .set(slot, Value::Record(Box::new(record)), Quality::Good);
                }
                return Ok(());
            }
            Action::Read(_) | Action::Skip | Action::Record(_) | Action::Inline(..) => {}
        }
        let got = self.fetch(step, view, cursor, level)?;
        match (&step.action, got) {
            (_, Got::Missing) if step.required => Err(self.fault(&step.name, view.base, "it is missing")),
            (_, Got::Missing) => Ok(()),
            (Action::Read(read), got) => {
                let keyed = !matches!(view.parts, Parts::Binary);
                let (value, raw, quality, piece) =
                    self.value(read, got, step, *cursor, view, level, keyed)?;
                self.keep(step, level, value, raw, quality, piece);
                Ok(())
            }
            (Action::Record(layout), Got::Bytes(piece)) => {
                let record = self.record(layout, step, &piece, view, cursor, level, level.index)?;
                if let Some(slot) = step.slot {
                    level
                        .record
                        .set(slot, Value::Record(Box::new(record)), Quality::Good);
                }
                Ok(())
            }
            (Action::Inline(split, steps), Got::Bytes(piece)) => {
                let parts = split
                    .apart(&piece.bytes)
                    .map_err(|error| self.fault(&step.name, piece.at, error.to_string()))?;
                let inner = View {
                    bytes: &piece.bytes,
                    base: piece.at,
                    parts: &parts,
                    first: 0,
                };
                let mut within = Cursor::default();
                self.steps(steps, &inner, &mut within, level)?;
                self.advance(step, view, cursor, within.next.div_ceil(8));
                Ok(())
            }
            (_, _) => Ok(()),
        }
    }

    /// Goes into a record, by its name and, in a list, its number. Gives how deep it was before.
    fn enter(&mut self, step: &Step, index: usize) -> usize {
        let depth = self.path.len();
        self.path.push(step.name.clone());
        if step.repeat.is_some() {
            self.path.push(index.to_string().into());
        }
        depth
    }

    /// What was read without a length ends where its last field ends.
    fn advance(&self, step: &Step, view: &View<'_>, cursor: &mut Cursor, used: usize) {
        let open = matches!(step.length, Length::Rest) && step.until.is_none() && step.find.is_none();
        if open && matches!(view.parts, Parts::Binary) && step.unpack.is_empty() {
            cursor.next = cursor.last + 8 * used;
        }
    }

    #[expect(clippy::too_many_arguments, reason = "one place calls it from two")]
    fn record(
        &mut self,
        layout: &Layout,
        step: &Step,
        piece: &Piece<'_>,
        view: &View<'_>,
        cursor: &mut Cursor,
        level: &Level<'_>,
        index: usize,
    ) -> Result<Record, Fault> {
        let scope = level.scope(&Value::Absent, *cursor, view.bytes);
        let depth = self.enter(step, index);
        let read = self.layout(layout, &piece.bytes, piece.at, Some(&scope), index);
        self.path.truncate(depth);
        let (record, used) = read?;
        self.advance(step, view, cursor, used);
        Ok(record)
    }
}

impl<'a> Level<'a> {
    fn new(layout: &Layout, outer: Option<&'a Scope<'a>>, index: usize) -> Level<'a> {
        let mut raws = Vec::new();
        if layout.raws {
            raws.resize(layout.shape.infos().len(), Value::Absent);
        }
        Level {
            record: Record::new(layout.shape.clone()),
            raws,
            outer,
            index,
        }
    }

    fn scope<'s>(&'s self, own: &'s Value, cursor: Cursor, bytes: &'s [u8]) -> Scope<'s> {
        Scope {
            record: &self.record,
            raws: &self.raws,
            outer: self.outer,
            own,
            next: cursor.next / 8,
            last: cursor.last / 8,
            length: bytes.len(),
            bytes,
            index: self.index,
        }
    }
}

/// Whether a list ends here.
fn stops(stop: &Option<Expr>, scope: &Scope<'_>) -> bool {
    stop.as_ref().is_some_and(|stop| stop.holds(scope))
}

/// The steps for this value.
fn choose<'a>(choice: &'a Choice, value: &Value) -> Option<&'a [Step]> {
    let meets = |wanted: &Match| match (wanted, value) {
        (Match::Range(from, to), Value::Int(n)) => (from..=to).contains(&n),
        (Match::Range(from, to), value) => value
            .number()
            .is_some_and(|x| x >= *from as f64 && x <= *to as f64),
        (Match::Text(text), Value::Text(found)) => text == found,
        (Match::Text(text), Value::Bytes(found)) => text.as_bytes() == &**found,
        _ => false,
    };
    let text_number = match value {
        Value::Text(text) => super::config::number(text),
        _ => None,
    };
    let found = choice.cases.iter().find(|(wanted, _)| {
        meets(wanted)
            || matches!((wanted, text_number), (Match::Range(from, to), Some(n)) if (from..=to).contains(&&n))
    });
    found
        .map(|(_, steps)| steps.as_slice())
        .or(choice.other.as_deref())
}

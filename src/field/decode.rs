//! Runs a compiled description over a frame's bytes: a record comes out, or the first thing that does not fit.
//!
//! Time and memory are bounded: each thing read costs one of a fixed number of steps, and repeats end with the
//! bytes or with a limit.

use super::config::{Encoding, Order, Sign, Trim, UnknownTag};
use super::expr::Scope;
use super::number;
use super::plan::{
    Action, Choice, How, Layout, Length, Match, Naming, Place, Read, Short, Step, TagPlan, Times,
};
use super::record::{Info, Quality, Record, Value};
use super::split::Parts;
use super::unpack;
use std::borrow::Cow;
use std::sync::Arc;

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
        self.path.push(step.name.clone());
        let read = self.steps(&layout.steps, &view, &mut cursor, &mut inner);
        self.path.pop();
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
                self.advance(step, &piece, view, cursor, within.next.div_ceil(8));
                Ok(())
            }
            (_, _) => Ok(()),
        }
    }

    /// What was read without a length ends where its last field ends.
    fn advance(&self, step: &Step, piece: &Piece<'_>, view: &View<'_>, cursor: &mut Cursor, used: usize) {
        let open = matches!(step.length, Length::Rest) && step.until.is_none() && step.find.is_none();
        if open && matches!(view.parts, Parts::Binary) && step.unpack.is_empty() && piece.at.is_some() {
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
        self.path.push(step.name.clone());
        let read = self.layout(layout, &piece.bytes, piece.at, Some(&scope), index);
        self.path.pop();
        let (record, used) = read?;
        self.advance(step, piece, view, cursor, used);
        Ok(record)
    }

    fn repeat(
        &mut self,
        step: &Step,
        times: &Times,
        view: &View<'_>,
        cursor: &mut Cursor,
        level: &mut Level<'_>,
    ) -> Result<(), Fault> {
        let most = match times {
            Times::Fixed(n) => Some(*n),
            Times::Rest => None,
            Times::Computed(expr) => {
                let n = expr.amount(&level.scope(&Value::Absent, *cursor, view.bytes));
                let n = n.and_then(|n| usize::try_from(n).ok());
                let n =
                    n.ok_or_else(|| self.fault(&step.name, view.base, "`repeat` gives no number of times"))?;
                Some(n)
            }
        };
        if most.is_some_and(|n| n > REPEAT_MAX) {
            return Err(self.fault(&step.name, view.base, "it would come too often"));
        }
        let mut all = Vec::new();
        let mut quality = Quality::Good;
        if let (Some(find), Action::Read(read)) = (&step.find, &step.action) {
            for captures in find.captures_iter(view.bytes).take(most.unwrap_or(REPEAT_MAX)) {
                self.spend(step)?;
                let Some(found) = captures.get(1).or(captures.get(0)) else {
                    continue;
                };
                let piece = Piece {
                    bytes: found.as_bytes().into(),
                    at: view.base.map(|base| base + found.start()),
                    bits: None,
                };
                let (value, raw, one, piece) =
                    self.value(read, Got::Bytes(piece), step, *cursor, view, level, true)?;
                self.show(step, &value, &raw, one, piece, level);
                worse(&mut quality, one);
                all.push(value);
            }
        } else if let Action::Compute(read) = &step.action {
            for n in 0..most.unwrap_or(0) {
                self.spend(step)?;
                let scope = Scope {
                    index: n,
                    ..level.scope(&Value::Absent, *cursor, view.bytes)
                };
                let value = match &read.value {
                    Some(expr) => expr.value(&scope),
                    None => Value::Absent,
                };
                let (value, raw, one) = self.meaning(read, value, step, &scope)?;
                self.show(step, &value, &raw, one, None, level);
                worse(&mut quality, one);
                all.push(value);
            }
        } else if let Action::Record(layout) = &step.action
            && layout.across
        {
            let end = columns(view);
            while most.is_none_or(|n| all.len() < n) && all.len() < REPEAT_MAX {
                let first = column(step, view, *cursor, all.is_empty()).unwrap_or(usize::MAX);
                if first >= end {
                    break;
                }
                self.spend(step)?;
                self.path.push(all.len().to_string().into());
                let read = self.across(layout, step, view, view.first + first, level, all.len());
                self.path.pop();
                let (record, used) = read?;
                *cursor = Cursor {
                    last: first,
                    next: first + used,
                };
                all.push(Value::Record(Box::new(record)));
            }
        } else {
            let end = match view.parts {
                Parts::Columns(_) => columns(view),
                _ => 8 * view.bytes.len(),
            };
            while most.is_none_or(|n| all.len() < n) && all.len() < REPEAT_MAX {
                let before = cursor.next;
                if most.is_none() && before >= end && !all.is_empty() {
                    break;
                }
                // Only the first lies at `at`; the others follow.
                let first = all.is_empty();
                let mut here = *cursor;
                self.spend(step)?;
                let got = self.fetch_nth(step, view, &mut here, level, first);
                let got = match got {
                    Ok(Got::Missing) if most.is_none() => break,
                    Ok(got) => got,
                    // Nothing is left where everything was to be taken.
                    Err(_) if most.is_none() && start_of(step, view, cursor, first) >= end => break,
                    Err(fault) => return Err(fault),
                };
                match (&step.action, got) {
                    (Action::Read(read), got) => {
                        let keyed = !matches!(view.parts, Parts::Binary);
                        let (value, raw, one, piece) =
                            self.value(read, got, step, here, view, level, keyed)?;
                        self.show(step, &value, &raw, one, piece, level);
                        worse(&mut quality, one);
                        all.push(value);
                    }
                    (Action::Record(layout), Got::Bytes(piece)) => {
                        if most.is_none() && piece.bytes.is_empty() {
                            break;
                        }
                        let n = all.len();
                        self.path.push(n.to_string().into());
                        let record = self.record(layout, step, &piece, view, &mut here, level, n);
                        self.path.pop();
                        all.push(Value::Record(Box::new(record?)));
                    }
                    (Action::Skip, _) => all.push(Value::Absent),
                    _ => break,
                }
                if here.next == before && most.is_none() {
                    return Err(self.fault(
                        &step.name,
                        view.base,
                        "it takes no bytes, so it could come without end",
                    ));
                }
                *cursor = here;
            }
        }
        if let (Some(slot), false) = (step.slot, matches!(step.action, Action::Skip)) {
            level.record.set(slot, Value::List(all), quality);
        }
        Ok(())
    }

    fn tags(
        &mut self,
        plan: &TagPlan,
        step: &Step,
        view: &View<'_>,
        cursor: &mut Cursor,
        level: &mut Level<'_>,
    ) -> Result<(), Fault> {
        let most = match &plan.count {
            None | Some(Times::Rest) => REPEAT_MAX,
            Some(Times::Fixed(n)) => *n,
            Some(Times::Computed(expr)) => expr
                .amount(&level.scope(&Value::Absent, *cursor, view.bytes))
                .and_then(|n| usize::try_from(n).ok())
                .unwrap_or(0),
        };
        let mut at = cursor.next.div_ceil(8);
        for _ in 0..most.min(REPEAT_MAX) {
            self.spend(step)?;
            if at >= view.bytes.len() {
                break;
            }
            let number = |at: usize, uint: &super::plan::Uint| {
                let bytes = view.bytes.get(at..at + uint.bytes)?;
                Some((number::uint(bytes, &uint.ranks), at + uint.bytes))
            };
            let short =
                |run: &Self| run.fault(&step.name, view.base.map(|base| base + at), "an item is cut off");
            let (tag, after) = number(at, &plan.tag).ok_or_else(|| short(self))?;
            if plan.end == Some(tag) {
                at = after;
                break;
            }
            let steps = choose(&plan.choice, &number::unsigned(tag));
            let name = format!("0x{tag:02x}");
            match &plan.length {
                Some(length) => {
                    let (length, begin) = number(after, length).ok_or_else(|| short(self))?;
                    let length = i64::try_from(length)
                        .unwrap_or(i64::MAX)
                        .saturating_add(plan.adjust.into());
                    let end = usize::try_from(length)
                        .ok()
                        .and_then(|length| begin.checked_add(length));
                    let item = end
                        .and_then(|end| view.bytes.get(begin..end))
                        .ok_or_else(|| short(self))?;
                    match (steps, plan.unknown) {
                        (Some(steps), _) => {
                            let inner = View {
                                bytes: item,
                                base: view.base.map(|base| base + begin),
                                parts: &Parts::Binary,
                                first: 0,
                            };
                            self.steps(steps, &inner, &mut Cursor::default(), level)?;
                        }
                        (None, UnknownTag::Skip) => {}
                        (None, UnknownTag::Stop) => break,
                        (None, UnknownTag::Refuse) => {
                            return Err(self.fault(
                                &name,
                                view.base.map(|base| base + at),
                                "no case is for this tag",
                            ));
                        }
                    }
                    at = begin + item.len();
                }
                None => {
                    let Some(steps) = steps else {
                        if plan.unknown == UnknownTag::Refuse {
                            return Err(self.fault(
                                &name,
                                view.base.map(|base| base + at),
                                "no case is for this tag",
                            ));
                        }
                        break;
                    };
                    let inner = View {
                        bytes: view.bytes.get(after..).unwrap_or_default(),
                        base: view.base.map(|base| base + after),
                        parts: &Parts::Binary,
                        first: 0,
                    };
                    let mut within = Cursor::default();
                    self.steps(steps, &inner, &mut within, level)?;
                    at = after + within.next.div_ceil(8);
                }
            }
        }
        *cursor = Cursor {
            next: 8 * at,
            last: cursor.next,
        };
        Ok(())
    }

    fn fetch<'v>(
        &mut self,
        step: &Step,
        view: &View<'v>,
        cursor: &mut Cursor,
        level: &Level<'_>,
    ) -> Result<Got<'v>, Fault> {
        self.fetch_nth(step, view, cursor, level, true)
    }

    /// The bytes of a field; those after the first of several follow each other.
    fn fetch_nth<'v>(
        &mut self,
        step: &Step,
        view: &View<'v>,
        cursor: &mut Cursor,
        level: &Level<'_>,
        first: bool,
    ) -> Result<Got<'v>, Fault> {
        let got = match view.parts {
            Parts::Binary => self.fetch_binary(step, view, cursor, level, first)?,
            _ => self.fetch_piece(step, view, cursor, level, first)?,
        };
        let Got::Bytes(mut piece) = got else {
            return Ok(got);
        };
        if !step.unpack.is_empty() {
            let at = piece.at;
            let undone = unpack::undo(&step.unpack, piece.bytes);
            let bytes = undone.ok_or_else(|| self.fault(&step.name, at, "its bytes can't be unpacked"))?;
            piece = Piece {
                bytes,
                at: None,
                bits: None,
            };
        }
        Ok(Got::Bytes(piece))
    }

    fn fetch_binary<'v>(
        &mut self,
        step: &Step,
        view: &View<'v>,
        cursor: &mut Cursor,
        level: &Level<'_>,
        first: bool,
    ) -> Result<Got<'v>, Fault> {
        let len = view.bytes.len();
        let from = match &step.at {
            _ if !first => cursor.next,
            Place::Next | Place::Key(_) => cursor.next,
            Place::Offset(n) => {
                let at = if *n < 0 {
                    len.checked_sub(n.unsigned_abs() as usize)
                } else {
                    Some(*n as usize)
                };
                8 * at.ok_or_else(|| self.fault(&step.name, view.base, "the frame is too short for it"))?
            }
            Place::Computed(expr) => {
                let at = expr.amount(&level.scope(&Value::Absent, *cursor, view.bytes));
                let at = at.and_then(|at| usize::try_from(at).ok()).filter(|at| *at <= len);
                8 * at.ok_or_else(|| self.fault(&step.name, view.base, "its place lies outside the frame"))?
            }
        };
        let at = view.base.map(|base| base + from / 8);
        if let Some(find) = &step.find {
            let start = match step.at {
                Place::Next => 0,
                _ => from / 8,
            };
            let area = view.bytes.get(start..).unwrap_or_default();
            let found = find.captures(area).and_then(|all| all.get(1).or(all.get(0)));
            return Ok(match found {
                None => Got::Missing,
                Some(found) => {
                    cursor.last = 8 * (start + found.start());
                    cursor.next = 8 * (start + found.end());
                    Got::Bytes(Piece {
                        bytes: Cow::Borrowed(&area[found.range()]),
                        at: view.base.map(|base| base + start + found.start()),
                        bits: None,
                    })
                }
            });
        }
        if let Length::Bits(count) = step.length
            && (count % 8 != 0 || from % 8 != 0)
        {
            let to = from + count;
            if to > 8 * len {
                return Err(self.fault(&step.name, at, "the frame is too short for it"));
            }
            (cursor.last, cursor.next) = (from, to);
            return Ok(Got::Bytes(Piece {
                bytes: view
                    .bytes
                    .get(from / 8..to.div_ceil(8))
                    .unwrap_or_default()
                    .into(),
                at,
                bits: Some((from % 8, count)),
            }));
        }
        let from = from.div_ceil(8);
        let (to, mut after) = match self.extent(step, view.bytes, from, *cursor, level)? {
            Some(to) => (to, to),
            None => (len, len),
        };
        let mut bytes = view
            .bytes
            .get(from..to)
            .ok_or_else(|| self.fault(&step.name, at, "the frame is too short for it"))?;
        if let Some(until) = &step.until {
            let end = memchr::memmem::find(bytes, until);
            let end = end.ok_or_else(|| self.fault(&step.name, at, "the bytes that end it are missing"))?;
            after = from + end + until.len();
            bytes = &bytes[..end];
        }
        (cursor.last, cursor.next) = (8 * from, 8 * after);
        Ok(Got::Bytes(Piece {
            bytes: Cow::Borrowed(bytes),
            at,
            bits: None,
        }))
    }

    /// Where a field that begins at `from` ends; None: with the bytes.
    fn extent(
        &self,
        step: &Step,
        bytes: &[u8],
        from: usize,
        cursor: Cursor,
        level: &Level<'_>,
    ) -> Result<Option<usize>, Fault> {
        let count = match &step.length {
            Length::Bits(bits) => i64::try_from(bits / 8).unwrap_or(i64::MAX),
            Length::Bytes(n) => i64::from(*n),
            Length::Computed(expr) => expr
                .amount(&level.scope(&Value::Absent, cursor, bytes))
                .ok_or_else(|| self.fault(&step.name, None, "`length` gives no number of bytes"))?,
            Length::Rest => return Ok(None),
        };
        let to = match usize::try_from(count) {
            Ok(count) => from.checked_add(count),
            Err(_) => bytes.len().checked_sub(count.unsigned_abs() as usize),
        };
        to.map(Some)
            .ok_or_else(|| self.fault(&step.name, None, "the frame is too short for it"))
    }

    fn fetch_piece<'v>(
        &mut self,
        step: &Step,
        view: &View<'v>,
        cursor: &mut Cursor,
        level: &Level<'_>,
        first: bool,
    ) -> Result<Got<'v>, Fault> {
        let bytes: Cow<'v, [u8]> = match (view.parts, &step.at) {
            (Parts::Columns(columns), place) if step.find.is_none() || !matches!(place, Place::Next) => {
                let number = column(step, view, *cursor, first);
                let found = number.and_then(|n| Some((n, columns.get(view.first.checked_add(n)?)?)));
                let Some((number, column)) = found else {
                    return Ok(Got::Missing);
                };
                (cursor.last, cursor.next) = (number, number + 1);
                Cow::Borrowed(&**column)
            }
            (Parts::Pairs(pairs), Place::Key(key)) => {
                match pairs.iter().rev().find(|(known, _)| **known == **key) {
                    Some((_, bytes)) => Cow::Borrowed(*bytes),
                    None => return Ok(Got::Missing),
                }
            }
            (Parts::Groups(groups), Place::Key(key)) => match groups.iter().find(|(name, _)| *name == &**key)
            {
                Some((_, bytes)) => Cow::Borrowed(*bytes),
                None => return Ok(Got::Missing),
            },
            (Parts::Json(json), Place::Key(key)) => {
                let found = match key.starts_with('/') {
                    true => json.pointer(key),
                    false => json.get(&**key),
                };
                use serde_json::Value as Json;
                match found {
                    None => return Ok(Got::Missing),
                    Some(Json::Null) => Cow::Borrowed(&[][..]),
                    Some(Json::String(text)) => Cow::Borrowed(text.as_bytes()),
                    Some(Json::Bool(yes)) if matches!(&step.action, Action::Read(read) if matches!(read.how, How::Auto)) =>
                    {
                        return Ok(Got::Value(Value::Bool(*yes)));
                    }
                    Some(other) => Cow::Owned(other.to_string().into_bytes()),
                }
            }
            (Parts::Values(values), Place::Key(key)) => {
                let Some((info, value)) = values.iter().find(|(info, _)| *info.name == **key) else {
                    return Ok(Got::Missing);
                };
                let taken_apart = match &step.action {
                    Action::Read(read) => {
                        !matches!(read.how, How::Auto | How::Bytes | How::Text | How::TimeText(..))
                    }
                    _ => true,
                };
                match value {
                    Value::Bytes(bytes) if taken_apart => Cow::Owned(bytes.to_vec()),
                    Value::Text(text) if taken_apart => Cow::Owned(text.as_bytes().to_vec()),
                    value => {
                        return Ok(Got::Value(match self.shift(step, level, info.unit.as_deref()) {
                            0 => value.clone(),
                            tens => number::shifted(value.clone(), tens),
                        }));
                    }
                }
            }
            _ => Cow::Borrowed(view.bytes),
        };
        let bytes = match &step.find {
            None => bytes,
            Some(find) => match find
                .captures(&bytes)
                .and_then(|all| Some(all.get(1).or(all.get(0))?.range()))
            {
                None => return Ok(Got::Missing),
                Some(range) => match bytes {
                    Cow::Borrowed(bytes) => Cow::Borrowed(&bytes[range]),
                    Cow::Owned(bytes) => Cow::Owned(bytes[range].to_vec()),
                },
            },
        };
        let bytes = match step.length {
            Length::Bytes(_) | Length::Computed(_) => {
                let to = self
                    .extent(step, &bytes, 0, *cursor, level)?
                    .unwrap_or(bytes.len());
                if to > bytes.len() {
                    return Err(self.fault(&step.name, None, "it is shorter than it ought to be"));
                }
                match bytes {
                    Cow::Borrowed(bytes) => Cow::Borrowed(&bytes[..to]),
                    Cow::Owned(mut bytes) => {
                        bytes.truncate(to);
                        Cow::Owned(bytes)
                    }
                }
            }
            Length::Bits(_) | Length::Rest => bytes,
        };
        let inside = |inner: &[u8]| {
            let offset = (inner.as_ptr() as usize).checked_sub(view.bytes.as_ptr() as usize)?;
            (offset + inner.len() <= view.bytes.len()).then_some(offset)
        };
        let at = match &bytes {
            Cow::Borrowed(inner) => view.base.zip(inside(inner)).map(|(base, at)| base + at),
            Cow::Owned(_) => None,
        };
        Ok(Got::Bytes(Piece {
            bytes,
            at,
            bits: None,
        }))
    }

    #[expect(clippy::too_many_arguments, reason = "the heart of the matter")]
    fn value<'v>(
        &mut self,
        read: &Read,
        got: Got<'v>,
        step: &Step,
        cursor: Cursor,
        view: &View<'_>,
        level: &Level<'_>,
        keyed: bool,
    ) -> Result<(Value, Value, Quality, Option<Piece<'v>>), Fault> {
        let (number, piece) = match got {
            Got::Bytes(piece) => {
                let mut number =
                    number_of(read, &piece, keyed).map_err(|why| self.fault(&step.name, piece.at, why))?;
                if let (Parts::Pairs(pairs), Place::Key(key)) = (view.parts, &step.at) {
                    let unit = pairs
                        .iter()
                        .rev()
                        .find(|(known, _)| known.strip_suffix("/unit") == Some(key));
                    let unit = unit.and_then(|(_, unit)| std::str::from_utf8(unit).ok());
                    number = number::shifted(number, self.shift(step, level, unit));
                }
                (number, Some(piece))
            }
            Got::Value(value) => (
                masked(read, value).map_err(|why| self.fault(&step.name, None, why))?,
                None,
            ),
            Got::Missing => return Ok((Value::Absent, Value::Absent, Quality::Absent, None)),
        };
        let scope = level.scope(&Value::Absent, cursor, view.bytes);
        let (value, raw, quality) = self.meaning(read, number, step, &scope)?;
        Ok((value, raw, quality, piece))
    }

    /// How many powers of ten lie between the unit that the device has sent and the field's: what was sent in Wh is
    /// not published in kWh as it is. A field that scales says so itself.
    fn shift(&self, step: &Step, level: &Level<'_>, sent: Option<&str>) -> i32 {
        let Action::Read(read) = &step.action else {
            return 0;
        };
        let plain = read.factor.is_none()
            && read.value.is_none()
            && read.scale.as_ref().is_none_or(super::number::Scale::is_plain);
        let info = step.slot.and_then(|slot| level.record.shape().infos().get(slot));
        match (sent, info.and_then(|info| info.unit.as_deref())) {
            (Some(sent), Some(meant)) if plain && sent != meant => super::unit::between(sent, meant),
            _ => 0,
        }
    }

    /// From the number that was read to the value that is meant.
    fn meaning(
        &mut self,
        read: &Read,
        number: Value,
        step: &Step,
        scope: &Scope<'_>,
    ) -> Result<(Value, Value, Quality), Fault> {
        if !read.is.is_empty() && !read.is.iter().any(|want| want.meets(&number)) {
            let mut found = String::new();
            number.write(None, &mut found);
            return Err(self.fault(&step.name, None, format!("`{found}` is not what must stand here")));
        }
        if read.absent.iter().any(|want| want.meets(&number)) || number == Value::Absent {
            return Ok((Value::Absent, number, Quality::Absent));
        }
        let plain = matches!(read.names, Naming::None) && self.trace.is_none();
        let raw = if plain { Value::Absent } else { number.clone() };
        let mut value = number;
        if read.scale.is_some() || read.factor.is_some() {
            let factor = match &read.factor {
                Some(expr) => match expr
                    .value(&Scope {
                        own: &value,
                        ..*scope
                    })
                    .number()
                {
                    Some(factor) => Some(factor),
                    None => return Ok((Value::Absent, raw, Quality::Absent)),
                },
                None => None,
            };
            value = match (&read.scale, factor) {
                (Some(scale), factor) => scale.value(value, factor),
                (None, Some(factor)) => value
                    .number()
                    .map_or(Value::Absent, |x| Value::Float(number::tidy(x * factor))),
                (None, None) => value,
            };
        }
        if let Some(expr) = &read.value
            && !matches!(step.action, Action::Compute(_))
        {
            let own = value;
            value = expr.value(&Scope { own: &own, ..*scope });
            value = self.computed(read, value);
        } else if read.value.is_some() {
            value = self.computed(read, value);
        }
        let quality = Quality::of(&value, read.range);
        let value = match &read.names {
            Naming::None => value,
            Naming::Labels(numbers, texts, other) => label(value, numbers, texts, other.as_ref()),
            Naming::Flags(shape, bits) => {
                let Some(word) = word(&value) else {
                    return Ok((Value::Absent, raw, Quality::Absent));
                };
                let mut record = Record::new(shape.clone());
                for (place, bit) in bits.iter().enumerate() {
                    record.set(place, Value::Bool(word >> bit & 1 == 1), Quality::Good);
                }
                Value::Record(Box::new(record))
            }
            Naming::Time(count) => value
                .number()
                .and_then(|x| count.time(x))
                .map_or(Value::Absent, Value::Time),
        };
        let quality = if value == Value::Absent {
            Quality::Absent
        } else {
            quality
        };
        Ok((value, raw, quality))
    }

    /// A computed number without the noise of binary fractions, rounded if that is asked for.
    fn computed(&self, read: &Read, value: Value) -> Value {
        match value {
            Value::Float(x) => {
                let tidy = Value::Float(number::tidy(x));
                let decimals = read.scale.as_ref().and_then(super::number::Scale::decimals);
                match decimals {
                    Some(decimals) => {
                        super::number::Scale::new(0.0, 1.0, None, 0.0, Some(decimals)).value(tidy, None)
                    }
                    None => tidy,
                }
            }
            other => other,
        }
    }

    fn keep(
        &mut self,
        step: &Step,
        level: &mut Level<'_>,
        value: Value,
        raw: Value,
        quality: Quality,
        piece: Option<Piece<'_>>,
    ) {
        self.show(step, &value, &raw, quality, piece, level);
        if let Some(slot) = step.slot {
            // Only what has a name for its number has another value for expressions.
            let named = matches!(&step.action, Action::Read(read) | Action::Compute(read)
                if !matches!(read.names, Naming::None))
                && !(matches!(value, Value::Int(_) | Value::Float(_) | Value::Bool(_)));
            if let (Some(place), true) = (level.raws.get_mut(slot), named) {
                *place = raw;
            }
            level.record.set(slot, value, quality);
        }
    }

    fn show(
        &mut self,
        step: &Step,
        value: &Value,
        raw: &Value,
        quality: Quality,
        piece: Option<Piece<'_>>,
        level: &Level<'_>,
    ) {
        let Some(trace) = &mut self.trace else { return };
        let mut name = self.path.join(".");
        if !step.name.is_empty() {
            if !name.is_empty() {
                name.push('.');
            }
            name.push_str(&step.name);
        }
        let info = step.slot.and_then(|slot| level.record.shape().infos().get(slot));
        trace.push(Traced {
            name,
            at: piece.as_ref().and_then(|piece| piece.at),
            bits: piece.as_ref().and_then(|piece| piece.bits),
            bytes: piece.map(|piece| piece.bytes.into_owned()).unwrap_or_default(),
            raw: raw.clone(),
            value: value.clone(),
            info: info.cloned().unwrap_or_default(),
            quality,
        });
    }
}

/// Reads a whole number at a fixed place; false: there is something about it that takes the long way.
fn quick(
    short: &Short,
    read: &Read,
    step: &Step,
    bytes: &[u8],
    cursor: &mut Cursor,
    record: &mut Record,
) -> bool {
    let at = match short.at {
        Some(at) => at,
        None if cursor.next.is_multiple_of(8) => cursor.next / 8,
        None => return false,
    };
    let Some(found) = bytes.get(at..at + short.bytes) else {
        return false;
    };
    let add = |word: u64, byte: &u8| word << 8 | u64::from(*byte);
    let word = match short.little {
        true => found.iter().rev().fold(0, add),
        false => found.iter().fold(0, add),
    };
    let number = match short.signed {
        true => Value::Int(number::twos(word, 8 * short.bytes as u32)),
        false => number::unsigned(word),
    };
    if !read.is.is_empty() && !read.is.iter().any(|want| want.meets(&number)) {
        return false;
    }
    (cursor.last, cursor.next) = (8 * at, 8 * (at + short.bytes));
    let Some(slot) = step.slot else { return true };
    if read.absent.iter().any(|want| want.meets(&number)) {
        record.set(slot, Value::Absent, Quality::Absent);
        return true;
    }
    let value = match &read.scale {
        Some(scale) => scale.value(number, None),
        None => number,
    };
    let quality = match read.range {
        None => Quality::Good,
        range => Quality::of(&value, range),
    };
    record.set(slot, value, quality);
    true
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

fn worse(quality: &mut Quality, one: Quality) {
    if one == Quality::OutOfRange {
        *quality = one;
    }
}

/// How many columns there are, from the first that counts.
fn columns(view: &View<'_>) -> usize {
    match view.parts {
        Parts::Columns(columns) => columns.len().saturating_sub(view.first),
        _ => 0,
    }
}

/// The column that a field is in; those after the first of several follow each other.
fn column(step: &Step, view: &View<'_>, cursor: Cursor, first: bool) -> Option<usize> {
    match step.at {
        Place::Offset(n) if first && n < 0 => columns(view).checked_sub(n.unsigned_abs() as usize),
        Place::Offset(n) if first => usize::try_from(n).ok(),
        _ => Some(cursor.next),
    }
}

fn start_of(step: &Step, view: &View<'_>, cursor: &Cursor, first: bool) -> usize {
    match (&step.at, view.parts) {
        (Place::Offset(n), Parts::Binary) if first && *n >= 0 => 8 * *n as usize,
        (Place::Offset(n), _) if first && *n >= 0 => *n as usize,
        _ => cursor.next,
    }
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

fn word(value: &Value) -> Option<u64> {
    match value {
        Value::Int(n) => Some(*n as u64),
        Value::Uint(n) => Some(*n),
        Value::Bool(yes) => Some((*yes).into()),
        _ => None,
    }
}

fn label(
    value: Value,
    numbers: &[(i64, i64, Value)],
    texts: &[(Arc<str>, Value)],
    other: Option<&Arc<str>>,
) -> Value {
    let known = match &value {
        Value::Text(text) => texts
            .iter()
            .find(|(from, _)| from == text)
            .map(|(_, label)| label),
        value => value.number().and_then(|x| {
            let after = numbers.partition_point(|(from, ..)| *from as f64 <= x);
            let (_, to, label) = numbers.get(after.checked_sub(1)?)?;
            (x <= *to as f64).then_some(label)
        }),
    };
    match (known, other) {
        (Some(meant), _) => meant.clone(),
        (None, Some(other)) => Value::Text(other.clone()),
        (None, None) => value,
    }
}

/// What stands in the bytes, before it means anything.
fn number_of(read: &Read, piece: &Piece<'_>, keyed: bool) -> Result<Value, String> {
    let bytes = &*piece.bytes;
    let low_first = read.order == Order::Little;
    let whole = match (&read.how, piece.bits) {
        (How::Uint(_) | How::Bits(_), Some((from, count))) => number::bits(bytes, from, count, low_first),
        (How::Uint(ranks), None) => {
            if bytes.len() != ranks.len() {
                return Err(format!("it has {} bytes, not {}", bytes.len(), ranks.len()));
            }
            number::uint(bytes, ranks)
        }
        (How::Bits(count), None) => {
            if bytes.len() * 8 < usize::from(*count) {
                return Err("it has too few bits".into());
            }
            number::bits(bytes, 0, (*count).into(), low_first)
        }
        (How::UintOf, _) => {
            if bytes.is_empty() {
                return Ok(Value::Absent);
            }
            let ranks = read.order.ranks(bytes.len()).filter(|ranks| ranks.len() <= 8);
            let ranks = ranks.ok_or_else(|| format!("a number can't have {} bytes here", bytes.len()))?;
            let width = 8 * bytes.len() as u32;
            return Ok(signed(read, number::uint(bytes, &ranks), width));
        }
        (How::Digits(base), _) => {
            if bytes.trim_ascii().is_empty() {
                return Ok(Value::Absent);
            }
            number::digits(bytes, *base).ok_or_else(|| unread(bytes, "no such number"))?
        }
        (How::Bcd { swapped }, _) => return bcd(read, bytes, *swapped),
        (How::Float(bits), _) => return float(read, bytes, *bits),
        (How::Decimal, _) => {
            let text = bytes.trim_ascii_start();
            let text = text.trim_ascii_end().trim_suffix_zero();
            if text.is_empty() {
                return Ok(Value::Absent);
            }
            let number = number::decimal(text, read.point).ok_or_else(|| unread(bytes, "no number"))?;
            return masked(read, number);
        }
        (How::Word, _) => return yes(bytes),
        (How::Text, _) => {
            let text = text(read, bytes);
            return Ok(match text.is_empty() && keyed {
                true => Value::Absent,
                false => Value::Text(text.into()),
            });
        }
        (How::Auto, _) => {
            let trimmed = bytes.trim_ascii();
            if trimmed.is_empty() {
                return Ok(Value::Absent);
            }
            return match number::decimal(trimmed, read.point) {
                Some(number) => masked(read, number),
                None => masked(read, Value::Text(text(read, bytes).into())),
            };
        }
        (How::Bytes, _) => {
            return Ok(Value::Bytes(match low_first {
                true => bytes.iter().rev().copied().collect(),
                false => bytes.into(),
            }));
        }
        (How::TimeText(pattern, offset), _) => {
            let text = bytes.trim_ascii();
            if text.is_empty() {
                return Ok(Value::Absent);
            }
            let time = pattern.text(text, *offset);
            return time.map(Value::Time).ok_or_else(|| unread(bytes, "no such time"));
        }
        (How::TimeBytes(pattern, bcd), _) => {
            let turned: Vec<u8>;
            let bytes = if low_first {
                turned = bytes.iter().rev().copied().collect();
                &turned
            } else {
                bytes
            };
            // A clock that was never set is no reason to lose the frame.
            return Ok(pattern.binary(bytes, *bcd).map_or(Value::Absent, Value::Time));
        }
    };
    Ok(signed(read, whole, read.width))
}

/// Yes or no in a text.
fn yes(bytes: &[u8]) -> Result<Value, String> {
    let word = bytes.trim_ascii();
    let is = |words: [&str; 4]| {
        words
            .iter()
            .any(|known| word.eq_ignore_ascii_case(known.as_bytes()))
    };
    match number::decimal(word, b'.').and_then(|number| number.number()) {
        Some(number) => Ok(Value::Bool(number != 0.0)),
        None if word.is_empty() => Ok(Value::Absent),
        None if is(["true", "on", "yes", "y"]) => Ok(Value::Bool(true)),
        None if is(["false", "off", "no", "n"]) => Ok(Value::Bool(false)),
        None => Err(unread(bytes, "neither yes nor no")),
    }
}

fn unread(bytes: &[u8], what: &str) -> String {
    let shown = &bytes[..bytes.len().min(40)];
    format!("`{}` is {what}", shown.escape_ascii())
}

/// Mask, shift and sign of a number that was no bits before, such as decimal digits.
fn masked(read: &Read, value: Value) -> Result<Value, String> {
    if read.mask.is_none() && read.sign.is_none() && !read.single || value == Value::Absent {
        return Ok(value);
    }
    match word(&value) {
        Some(whole) => Ok(signed(read, whole, read.width)),
        None => {
            let mut shown = String::new();
            value.write(None, &mut shown);
            Err(format!("`{shown}` is no whole number, so it has no bits"))
        }
    }
}

/// Mask, shift and sign.
fn signed(read: &Read, whole: u64, width: u32) -> Value {
    let (mask, shift) = read.mask.unwrap_or((u64::MAX, 0));
    let masked = (whole & mask) >> shift;
    if read.single {
        return Value::Bool(masked != 0);
    }
    let width = width.clamp(1, 64);
    let top = masked >> (width - 1) & 1 == 1;
    let below = masked & (u64::MAX >> (64 - width)) & !(1 << (width - 1));
    let with = |negative: bool, magnitude: u64| match i64::try_from(magnitude) {
        Ok(n) if negative => Value::Int(-n),
        _ => number::unsigned(magnitude),
    };
    match read.sign {
        None => number::unsigned(masked),
        Some(Sign::Twos) => Value::Int(number::twos(masked, width)),
        Some(Sign::Ones) if top => with(true, !masked & (u64::MAX >> (64 - width))),
        Some(Sign::Ones) => number::unsigned(masked),
        Some(Sign::Magnitude) => with(top, below),
        Some(Sign::Bit(bit)) => with(bit_of(whole, bit), without(masked, bit, read)),
        Some(Sign::ClearBit(bit)) => with(!bit_of(whole, bit), without(masked, bit, read)),
    }
}

fn bit_of(whole: u64, bit: u8) -> bool {
    whole.checked_shr(bit.into()).unwrap_or(0) & 1 == 1
}

/// A sign's bit is no part of the magnitude.
fn without(masked: u64, bit: u8, read: &Read) -> u64 {
    match read.mask {
        Some(_) => masked,
        None => masked & !1u64.checked_shl(bit.into()).unwrap_or(0),
    }
}

fn bcd(read: &Read, bytes: &[u8], swapped: bool) -> Result<Value, String> {
    let not_bcd = || {
        format!(
            "`{}` are no decimal digits",
            data_encoding::HEXLOWER.encode(&bytes[..bytes.len().min(20)])
        )
    };
    let ranks = read.order.ranks(bytes.len());
    let ranks = ranks.ok_or_else(|| format!("this order is not for {} bytes", bytes.len()))?;
    if bytes.len() > 8 {
        let digits = match read.order {
            Order::Little => number::bcd(bytes.iter().rev().copied(), swapped),
            _ => number::bcd(bytes.iter().copied(), swapped),
        };
        return digits.map(number::unsigned).ok_or_else(not_bcd);
    }
    let mut whole = number::uint(bytes, &ranks);
    let mut negative = false;
    if let Some(Sign::Bit(bit) | Sign::ClearBit(bit)) = read.sign {
        negative = bit_of(whole, bit) == matches!(read.sign, Some(Sign::Bit(_)));
        whole &= !1u64.checked_shl(bit.into()).unwrap_or(0);
    }
    let (mask, shift) = read.mask.unwrap_or((u64::MAX, 0));
    whole = (whole & mask) >> shift;
    let wide = whole.to_be_bytes();
    let digits = number::bcd(wide[8 - bytes.len()..].iter().copied(), swapped).ok_or_else(not_bcd)?;
    Ok(match i64::try_from(digits) {
        Ok(n) if negative => Value::Int(-n),
        _ => number::unsigned(digits),
    })
}

fn float(read: &Read, bytes: &[u8], bits: u8) -> Result<Value, String> {
    let ranks = read
        .order
        .ranks(usize::from(bits / 8))
        .filter(|ranks| ranks.len() == bytes.len());
    let ranks = ranks.ok_or_else(|| format!("it has {} bytes, not {}", bytes.len(), bits / 8))?;
    let whole = number::uint(bytes, &ranks);
    let x = match bits {
        16 => number::half(whole as u16),
        32 => {
            let x = f32::from_bits(whole as u32);
            // A value that is rounded anyway needs no shortest form.
            let rounded = read
                .scale
                .as_ref()
                .is_some_and(|scale| scale.decimals().is_some());
            if rounded || !x.is_finite() {
                f64::from(x)
            } else {
                number::shortest(x)
            }
        }
        _ => f64::from_bits(whole),
    };
    Ok(if x.is_finite() {
        Value::Float(x)
    } else {
        Value::Absent
    })
}

fn text(read: &Read, bytes: &[u8]) -> String {
    let mut text = characters(read.encoding, bytes);
    let blank = |c: char| c.is_whitespace() || c == '\0';
    let kept = match read.trim {
        Trim::Both => text.trim_matches(blank),
        Trim::Start => text.trim_start_matches(blank),
        Trim::End => text.trim_end_matches(blank),
        Trim::None => return text,
    };
    if kept.len() != text.len() {
        text = kept.to_owned();
    }
    text
}

fn characters(encoding: Encoding, bytes: &[u8]) -> String {
    /// What Windows-1252 has from 0x80 to 0x9F.
    const WINDOWS: [char; 32] = [
        '€', '\u{fffd}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{fffd}', 'Ž', '\u{fffd}',
        '\u{fffd}', '‘', '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{fffd}', 'ž', 'Ÿ',
    ];
    let words = |word: fn([u8; 2]) -> u16| {
        let words = bytes.chunks_exact(2).map(|pair| word([pair[0], pair[1]]));
        char::decode_utf16(words)
            .map(|c| c.unwrap_or('\u{fffd}'))
            .collect()
    };
    match encoding {
        Encoding::Utf8 => String::from_utf8_lossy(bytes).into_owned(),
        Encoding::Ascii => bytes
            .iter()
            .map(|byte| {
                if byte.is_ascii() {
                    char::from(*byte)
                } else {
                    '\u{fffd}'
                }
            })
            .collect(),
        Encoding::Latin1 => bytes.iter().map(|byte| char::from(*byte)).collect(),
        Encoding::Windows1252 => bytes
            .iter()
            .map(|byte| match byte {
                0x80..=0x9f => WINDOWS[usize::from(byte - 0x80)],
                byte => char::from(*byte),
            })
            .collect(),
        Encoding::Utf16Be => words(u16::from_be_bytes),
        Encoding::Utf16Le => words(u16::from_le_bytes),
    }
}

/// What no field has named, as it came.
fn collect(steps: &[Step], parts: Parts<'_>, record: &mut Record) {
    let named = |key: &str| {
        steps
            .iter()
            .any(|step| matches!(&step.at, Place::Key(known) if **known == *key))
    };
    let text = |bytes: &[u8]| match bytes.trim_ascii() {
        [] => Value::Absent,
        text => Value::Text(String::from_utf8_lossy(text).into()),
    };
    let auto = |bytes: &[u8]| match number::decimal(bytes.trim_ascii(), b'.') {
        Some(number) if !is_label(bytes.trim_ascii()) => number,
        _ => text(bytes),
    };
    let info = |name: &str| Info {
        name: name.into(),
        ..Info::default()
    };
    match parts {
        Parts::Values(values) => {
            for (info, value) in values {
                if !named(&info.name) {
                    record.push(info, value);
                }
            }
        }
        Parts::Pairs(pairs) => {
            let unit = |key: &str| {
                let unit = pairs
                    .iter()
                    .find(|(known, _)| known.strip_suffix("/unit") == Some(key))?;
                Some(Arc::from(String::from_utf8_lossy(unit.1).as_ref()))
            };
            for (key, bytes) in &pairs {
                if !named(key) && !key.contains('/') {
                    let unit = unit(key);
                    let value = match number::decimal(bytes.trim_ascii(), b'.') {
                        // What has a unit is a number, however it is written.
                        Some(number) if unit.is_some() => number,
                        _ => auto(bytes),
                    };
                    record.push(Info { unit, ..info(key) }, value);
                }
            }
        }
        Parts::Groups(groups) => {
            for (key, bytes) in groups.into_iter().filter(|(key, _)| !named(key)) {
                record.push(info(key), auto(bytes));
            }
        }
        Parts::Json(serde_json::Value::Object(entries)) => {
            for (key, value) in entries.iter().filter(|(key, _)| !named(key)) {
                let value = match value {
                    serde_json::Value::Null => Value::Absent,
                    serde_json::Value::Bool(yes) => Value::Bool(*yes),
                    serde_json::Value::String(text) => Value::Text(text.as_str().into()),
                    serde_json::Value::Number(number) => {
                        number::decimal(number.to_string().as_bytes(), b'.').unwrap_or_default()
                    }
                    other => auto(other.to_string().as_bytes()),
                };
                record.push(info(key), value);
            }
        }
        Parts::Json(_) | Parts::Columns(_) | Parts::Binary => {}
    }
}

/// Whether digits name something, such as a meter: as a number they would lose zeros in front, or some of so many.
fn is_label(digits: &[u8]) -> bool {
    let whole = digits.iter().all(u8::is_ascii_digit);
    whole && (digits.len() > 15 || digits.len() > 1 && digits.starts_with(b"0"))
}

/// Zero bytes at the end of a number in a field of fixed width.
trait TrimZero {
    fn trim_suffix_zero(&self) -> &[u8];
}

impl TrimZero for [u8] {
    fn trim_suffix_zero(&self) -> &[u8] {
        let end = self.iter().rposition(|byte| *byte != 0).map_or(0, |at| at + 1);
        &self[..end]
    }
}

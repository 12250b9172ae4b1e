//! What comes several times: repeated fields, and items that begin with a tag.

use super::super::config::UnknownTag;
use super::super::expr::Scope;
use super::super::number;
use super::super::plan::{Action, Naming, Step, TagPlan, Times};
use super::super::record::{Quality, Value};
use super::super::split::Parts;
use super::fetch::{column, columns, start_of};
use super::{Cursor, Fault, Got, Level, Piece, REPEAT_MAX, Run, View, choose, stops};

impl Run<'_> {
    pub(super) fn repeat(
        &mut self,
        step: &Step,
        times: &Times,
        view: &View<'_>,
        cursor: &mut Cursor,
        level: &mut Level<'_>,
    ) -> Result<(), Fault> {
        let most = match times {
            Times::Fixed(n) => Some(*n),
            Times::Rest | Times::Stop => None,
            Times::Computed(expr) => {
                let n = expr.amount(&level.scope(&Value::Absent, *cursor, view.bytes));
                let n = n.and_then(|n| usize::try_from(n).ok());
                let n =
                    n.ok_or_else(|| self.fault(&step.name, view.base, "`repeat` gives no number of times"))?;
                Some(n)
            }
        };
        if most.is_some_and(|n| n > REPEAT_MAX) {
            return Err(self.too_often(step, view));
        }
        let rest = matches!(times, Times::Rest);
        let mut all = Vec::new();
        let mut quality = Quality::Good;
        if let (Some(find), Action::Read(read)) = (&step.find, &step.action) {
            for captures in find.captures_iter(view.bytes).take(most.unwrap_or(usize::MAX)) {
                if all.len() >= REPEAT_MAX {
                    return Err(self.too_often(step, view));
                }
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
            while most.is_none_or(|n| all.len() < n) {
                let first = column(step, view, *cursor, all.is_empty()).unwrap_or(usize::MAX);
                if first >= end {
                    break;
                }
                if all.len() >= REPEAT_MAX {
                    return Err(self.too_often(step, view));
                }
                self.spend(step)?;
                let read = self.across(layout, step, view, view.first + first, level, all.len());
                let (record, used) = read?;
                *cursor = Cursor {
                    last: first,
                    next: first + used,
                };
                all.push(Value::Record(Box::new(record)));
                if std::mem::take(&mut self.stopped) {
                    break;
                }
            }
        } else {
            let end = match view.parts {
                Parts::Columns(_) => columns(view),
                _ => 8 * view.bytes.len(),
            };
            while most.is_none_or(|n| all.len() < n) {
                let before = cursor.next;
                if rest && before >= end && !all.is_empty() {
                    break;
                }
                if all.len() >= REPEAT_MAX {
                    return Err(self.too_often(step, view));
                }
                // Only the first lies at `at`; the others follow.
                let first = all.is_empty();
                let mut stop = false;
                let mut here = *cursor;
                self.spend(step)?;
                let got = self.fetch_nth(step, view, &mut here, level, first);
                let got = match got {
                    Ok(Got::Missing) if rest => break,
                    Ok(got) => got,
                    // Nothing is left where everything was to be taken.
                    Err(_) if rest && start_of(step, view, cursor, first) >= end => break,
                    Err(fault) => return Err(fault),
                };
                match (&step.action, got) {
                    (Action::Read(read), got) => {
                        let keyed = !matches!(view.parts, Parts::Binary);
                        let outer = std::mem::replace(&mut level.index, all.len());
                        let got = self.value(read, got, step, here, view, level, keyed);
                        level.index = outer;
                        let (value, raw, one, piece) = got?;
                        self.show(step, &value, &raw, one, piece, level);
                        worse(&mut quality, one);
                        let number = if matches!(read.names, Naming::None) {
                            &value
                        } else {
                            &raw
                        };
                        stop = stops(&step.stop, &level.scope(number, here, view.bytes));
                        all.push(value);
                    }
                    (Action::Record(layout), Got::Bytes(piece)) => {
                        if rest && piece.bytes.is_empty() {
                            break;
                        }
                        let n = all.len();
                        let record = self.record(layout, step, &piece, view, &mut here, level, n);
                        all.push(Value::Record(Box::new(record?)));
                        stop = std::mem::take(&mut self.stopped);
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
                if stop {
                    break;
                }
            }
        }
        if let (Some(slot), false) = (step.slot, matches!(step.action, Action::Skip)) {
            level.record.set(slot, Value::List(all), quality);
        }
        Ok(())
    }

    /// More of a repeated field than is taken.
    fn too_often(&self, step: &Step, view: &View<'_>) -> Fault {
        self.fault(&step.name, view.base, "it would come too often")
    }

    pub(super) fn tags(
        &mut self,
        plan: &TagPlan,
        step: &Step,
        view: &View<'_>,
        cursor: &mut Cursor,
        level: &mut Level<'_>,
    ) -> Result<(), Fault> {
        let most = match &plan.count {
            None | Some(Times::Rest | Times::Stop) => REPEAT_MAX,
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
            let number = |at: usize, uint: &super::super::plan::Uint| {
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
}

fn worse(quality: &mut Quality, one: Quality) {
    if one == Quality::OutOfRange {
        *quality = one;
    }
}

//! Fields become steps, each with its place.

use super::super::config::{Amount, At, Field, Type, Unpack};
use super::super::expr::Expr;
use super::super::split::{Split, regex};
use super::read::own_length;
use super::{Action, Compiler, DEPTH_MAX, Layout, Length, Naming, Place, Site, Source, Step, Times};
use std::sync::Arc;

impl Compiler<'_> {
    pub(super) fn step(&mut self, field: &Field, site: Site<'_>, path: &str) -> Option<Step> {
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
            .and_then(|times| self.times(times, &format!("{path}.repeat")))
            .or(field.stop.as_ref().map(|_| Times::Stop));
        let mut length = field.length.as_ref().and_then(|amount| match amount {
            Amount::Number(n) => Some(Length::Bytes(*n)),
            Amount::Rest => Some(Length::Rest),
            Amount::Expression(text) => self.expr(text, &format!("{path}.length")).map(Length::Computed),
        });
        for (n, step) in field.unpack.0.iter().enumerate() {
            if let Unpack::KeepBits(0 | 9..)
            | Unpack::JoinBits(0 | 9..)
            | Unpack::Septets(super::super::config::Septets { size: 0 | 8.., .. }) = step
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
                stop: None,
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
                    stop: None,
                    required: false,
                    action,
                    short: None,
                };
                Action::Inline(Box::new(split), vec![inner])
            }
            action => action,
        };
        let stop = match (&action, &field.stop) {
            (Action::Read(_) | Action::Skip, Some(_)) if find.is_none() => {
                self.maybe(field.stop.as_ref(), path, "stop")
            }
            (Action::Record(_), _) | (_, None) => None,
            (_, Some(_)) => {
                self.wrong(
                    format!("{path}.stop"),
                    "`stop` is for what lies one behind the other: it needs a `type`, or `fields` and a `name`",
                );
                None
            }
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
            stop,
            required: field.required,
            action,
            short: None,
        };
        Some(step.quick())
    }

    pub(super) fn split(&mut self, field: &Field, path: &str) -> Split {
        let decode = field.decode.clone().unwrap_or_default();
        Split::new(&decode).unwrap_or_else(|what| {
            self.wrong(format!("{path}.decode"), what);
            Split::Binary
        })
    }

    pub(super) fn at(&mut self, field: &Field, site: Site<'_>, path: &str) -> Place {
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

    pub(super) fn times(&mut self, times: &Amount, path: &str) -> Option<Times> {
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
                Some(Split::Columns(super::super::config::Columns {
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
            stop: field.stop.as_ref(),
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
}

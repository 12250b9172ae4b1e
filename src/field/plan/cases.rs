//! Fields that a value or a tag chooses.

use super::super::config::{Cases, Field, Order, Type, UnknownTag, number};
use super::super::split::Split;
use super::{Action, Choice, Compiler, Match, Site, TagPlan, Uint};

impl Compiler<'_> {
    pub(super) fn choice(&mut self, cases: &Cases, site: Site<'_>, path: &str) -> Choice {
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

    pub(super) fn tags(
        &mut self,
        tags: &super::super::config::Tags,
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

    pub(super) fn plain(&mut self, kind: Type, order: &Order, path: &str) -> Option<Uint> {
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

    pub(super) fn ranks(&mut self, order: &Order, bytes: usize, path: &str) -> Option<Vec<u8>> {
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
}

/// What a key of `cases` or `values` stands for: a number, a range of them, or a text.
pub(super) fn matching(key: &str) -> Match {
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

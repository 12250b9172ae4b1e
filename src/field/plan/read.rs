//! How one value is read, and what it means.

use super::super::config::{Factor, Field, Label, Labels, Order, Scalar, Sign, TimeForm, Type};
use super::super::number::Scale;
use super::super::record::{Info, Shape, Value};
use super::super::split::Split;
use super::super::time;
use super::cases::matching;
use super::{Compiler, How, Length, Match, Naming, Read, Site, Want};
use data_encoding::HEXLOWER_PERMISSIVE;
use std::sync::Arc;

impl Compiler<'_> {
    pub(super) fn read(&mut self, field: &Field, site: Site<'_>, computed: bool, path: &str) -> Option<Read> {
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
                | How::Varint
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

    pub(super) fn how(
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
            (Type::Varint, None) => {
                if !matches!(order, Order::Big | Order::Little) {
                    self.wrong(
                        format!("{path}.order"),
                        "the bytes of a `varint` come in `big` or `little` order",
                    );
                }
                (How::Varint, 64)
            }
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

    pub(super) fn mask(&mut self, field: &Field, path: &str) -> Option<(u64, u32)> {
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

    pub(super) fn scale(&mut self, field: &Field, path: &str) -> Option<Scale> {
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

    pub(super) fn labels(&mut self, labels: &Labels, other: Option<&str>, _path: &str) -> Naming {
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
            // Bytes are written as digits; what are none stands for itself.
            Scalar::Text(text) if bytes => {
                let digits = HEXLOWER_PERMISSIVE.decode(text.as_bytes());
                Want::Bytes(digits.unwrap_or_else(|_| text.as_bytes().to_vec()))
            }
            Scalar::Int(n) => Want::Number(*n as f64),
            Scalar::Float(x) => Want::Number(*x),
            Scalar::Text(text) => Want::Text(text.as_str().into()),
        })
        .collect()
}

/// How long the type is by itself.
pub(super) fn own_length(field: &Field, read: &Read) -> Option<Length> {
    if field.until.is_some() {
        return None;
    }
    match &read.how {
        How::Uint(ranks) => Some(Length::Bits(8 * ranks.len())),
        How::Bits(bits) | How::Float(bits) => Some(Length::Bits((*bits).into())),
        How::Varint => Some(Length::Varint),
        How::TimeBytes(pattern, _) => Some(Length::Bytes(pattern.bytes() as i32)),
        How::TimeText(pattern, _) if field.kind == Some(Type::Time) && field.find.is_none() => {
            Some(Length::Bytes(pattern.chars() as i32))
        }
        _ => None,
    }
}

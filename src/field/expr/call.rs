//! The functions of expressions.

use super::super::record::Value;
use super::super::time;
use super::value::{finite, integer};
use super::{Node, Scope};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Call {
    Abs,
    Min,
    Max,
    Sum,
    Average,
    Count,
    Round,
    Floor,
    Ceil,
    Truncate,
    Sqrt,
    Exp,
    Ln,
    Log10,
    Sin,
    Cos,
    Atan2,
    Bits,
    Signed,
    Div,
    Present,
    Default,
    Number,
    Hex,
    Text,
    Length,
    Part,
    Time,
    Ddmm,
    Item,
    Chars,
    Gray,
    Pick,
    Byte,
    Interpolate,
}

pub(super) const CALLS: [(&str, Call, usize, usize); 35] = [
    ("abs", Call::Abs, 1, 1),
    ("min", Call::Min, 1, 16),
    ("max", Call::Max, 1, 16),
    ("sum", Call::Sum, 1, 16),
    ("average", Call::Average, 1, 16),
    ("count", Call::Count, 1, 1),
    ("round", Call::Round, 1, 2),
    ("floor", Call::Floor, 1, 1),
    ("ceil", Call::Ceil, 1, 1),
    ("truncate", Call::Truncate, 1, 1),
    ("sqrt", Call::Sqrt, 1, 1),
    ("exp", Call::Exp, 1, 1),
    ("ln", Call::Ln, 1, 1),
    ("log10", Call::Log10, 1, 1),
    ("sin", Call::Sin, 1, 1),
    ("cos", Call::Cos, 1, 1),
    ("atan2", Call::Atan2, 2, 2),
    ("bits", Call::Bits, 1, 1),
    ("signed", Call::Signed, 2, 2),
    ("div", Call::Div, 2, 2),
    ("present", Call::Present, 1, 1),
    ("default", Call::Default, 2, 2),
    ("number", Call::Number, 1, 1),
    ("hex", Call::Hex, 1, 1),
    ("text", Call::Text, 1, 1),
    ("len", Call::Length, 1, 1),
    ("part", Call::Part, 3, 3),
    ("time", Call::Time, 3, 6),
    ("ddmm", Call::Ddmm, 1, 1),
    ("item", Call::Item, 2, 2),
    ("chars", Call::Chars, 1, 1),
    ("gray", Call::Gray, 1, 1),
    ("pick", Call::Pick, 2, 64),
    ("byte", Call::Byte, 1, 1),
    ("interpolate", Call::Interpolate, 5, 65),
];

/// Every function's name, for the reference page's test.
#[cfg(test)]
pub(crate) fn functions() -> impl Iterator<Item = &'static str> {
    CALLS.iter().map(|(name, ..)| *name).chain(["if", "check"])
}

impl Call {
    pub(super) fn value(self, arguments: &[Node], scope: &Scope<'_>) -> Value {
        let first = arguments.first().map_or(Value::Absent, |node| node.value(scope));
        let second = || arguments.get(1).map_or(Value::Absent, |node| node.value(scope));
        let real = |f: fn(f64) -> f64| first.number().map_or(Value::Absent, |x| finite(f(x)));
        let whole = |f: fn(f64) -> f64| match &first {
            Value::Int(n) => Value::Int(*n),
            other => other.number().map_or(Value::Absent, |x| {
                let x = f(x);
                if x.abs() < 9.0e18 {
                    Value::Int(x as i64)
                } else {
                    Value::Float(x)
                }
            }),
        };
        match self {
            Call::Abs => match first {
                Value::Int(n) => n.checked_abs().map_or(Value::Absent, Value::Int),
                _ => real(f64::abs),
            },
            Call::Floor => whole(f64::floor),
            Call::Ceil => whole(f64::ceil),
            Call::Truncate => whole(f64::trunc),
            Call::Round => match integer(&second()) {
                Some(decimals @ 0..=12) => {
                    let ten = 10f64.powi(decimals as i32);
                    first
                        .number()
                        .map_or(Value::Absent, |x| finite((x * ten).round() / ten))
                }
                _ => whole(f64::round),
            },
            Call::Sqrt => real(f64::sqrt),
            Call::Exp => real(f64::exp),
            Call::Ln => real(f64::ln),
            Call::Log10 => real(f64::log10),
            Call::Sin => real(f64::sin),
            Call::Cos => real(f64::cos),
            Call::Atan2 => {
                let both = first.number().zip(second().number());
                both.map_or(Value::Absent, |(y, x)| finite(y.atan2(x)))
            }
            Call::Bits => integer(&first).map_or(Value::Absent, |n| Value::Int(i64::from(n.count_ones()))),
            Call::Signed => match (integer(&first), integer(&second())) {
                (Some(n), Some(bits @ 1..=63)) => Value::Int((n << (64 - bits)) >> (64 - bits)),
                (Some(n), Some(64)) => Value::Int(n),
                _ => Value::Absent,
            },
            Call::Div => match (integer(&first), integer(&second())) {
                (Some(a), Some(b)) => a.checked_div_euclid(b).map_or(Value::Absent, Value::Int),
                _ => Value::Absent,
            },
            Call::Present => Value::Bool(first != Value::Absent),
            Call::Default => match first {
                Value::Absent => second(),
                there => there,
            },
            Call::Number => match &first {
                Value::Text(text) => {
                    super::super::number::decimal(text.trim().as_bytes(), b'.').unwrap_or_default()
                }
                _ => first,
            },
            Call::Hex => match &first {
                Value::Text(text) => i64::from_str_radix(text.trim(), 16).map_or(Value::Absent, Value::Int),
                _ => Value::Absent,
            },
            Call::Text => match first {
                Value::Absent => Value::Absent,
                there => {
                    let mut text = String::new();
                    there.write(None, &mut text);
                    Value::Text(text.into())
                }
            },
            Call::Length => match &first {
                Value::Text(text) => Value::Int(text.chars().count() as i64),
                Value::Bytes(bytes) => Value::Int(bytes.len() as i64),
                Value::List(values) => Value::Int(values.len() as i64),
                _ => Value::Absent,
            },
            Call::Part => {
                let third = arguments.get(2).map_or(Value::Absent, |node| node.value(scope));
                match (&first, integer(&second()), integer(&third)) {
                    (Value::Text(text), Some(from @ 0..), Some(count @ 0..)) => {
                        // No text is longer than a machine's addresses reach.
                        let amount = |n: i64| usize::try_from(n).unwrap_or(usize::MAX);
                        let part: String = text.chars().skip(amount(from)).take(amount(count)).collect();
                        Value::Text(part.into())
                    }
                    _ => Value::Absent,
                }
            }
            Call::Time => {
                let mut parts = [0i64; 6];
                for (part, node) in parts.iter_mut().zip(arguments) {
                    match integer(&node.value(scope)) {
                        Some(n) => *part = n,
                        None => return Value::Absent,
                    }
                }
                time::of_parts(parts, 0, None).map_or(Value::Absent, Value::Time)
            }
            Call::Ddmm => first.number().map_or(Value::Absent, |x| {
                let degrees = (x / 100.0).trunc();
                finite(degrees + (x - degrees * 100.0) / 60.0)
            }),
            Call::Item => match (first, integer(&second())) {
                (Value::List(mut values), Some(n)) => match usize::try_from(n) {
                    Ok(n) if n < values.len() => values.swap_remove(n),
                    _ => Value::Absent,
                },
                _ => Value::Absent,
            },
            Call::Chars => match &first {
                Value::List(codes) => {
                    let codes = codes.iter().map_while(|code| match integer(code) {
                        None | Some(0) => None,
                        Some(code) => u32::try_from(code).ok().and_then(char::from_u32),
                    });
                    let text: String = codes.collect();
                    Value::Text(text.trim().into())
                }
                _ => Value::Absent,
            },
            Call::Gray => integer(&first).map_or(Value::Absent, |gray| {
                let halves = [32, 16, 8, 4, 2, 1];
                let plain = halves
                    .iter()
                    .fold(gray as u64, |plain, half| plain ^ plain >> half);
                super::super::number::unsigned(plain)
            }),
            Call::Byte => {
                let at = integer(&first).and_then(|at| match at {
                    0.. => usize::try_from(at).ok(),
                    _ => scope
                        .bytes
                        .len()
                        .checked_sub(usize::try_from(at.unsigned_abs()).ok()?),
                });
                let byte = at.and_then(|at| scope.bytes.get(at));
                byte.map_or(Value::Absent, |byte| Value::Int((*byte).into()))
            }
            Call::Interpolate => {
                let (points, _) = arguments[1..].as_chunks::<2>();
                let number = |node: &Node| node.value(scope).number();
                let between = first.number().and_then(|x| {
                    points.windows(2).find_map(|pair| {
                        let [[x0, y0], [x1, y1]] = &pair else { return None };
                        let (x0, x1) = (number(x0)?, number(x1)?);
                        let inside = x0 != x1 && (x0.min(x1)..=x0.max(x1)).contains(&x);
                        let (y0, y1) = (number(y0)?, number(y1)?);
                        inside.then(|| y0 + (x - x0) / (x1 - x0) * (y1 - y0))
                    })
                });
                between.map_or(Value::Absent, |y| finite(super::super::number::tidy(y)))
            }
            Call::Pick => {
                let n = integer(&first).and_then(|n| usize::try_from(n).ok());
                let node = n.and_then(|n| arguments.get(n.checked_add(1)?));
                node.map_or(Value::Absent, |node| node.value(scope))
            }
            Call::Count => match &first {
                Value::List(values) => Value::Int(values.len() as i64),
                _ => Value::Absent,
            },
            Call::Min | Call::Max | Call::Sum | Call::Average => self.many(arguments, scope),
        }
    }

    /// Over all arguments, and over what lists among them hold.
    pub(super) fn many(self, arguments: &[Node], scope: &Scope<'_>) -> Value {
        let mut all: Vec<f64> = Vec::new();
        let mut whole = true;
        let mut add = |value: &Value| {
            whole &= matches!(value, Value::Int(_));
            all.extend(value.number());
        };
        for node in arguments {
            match node.value(scope) {
                Value::List(values) => values.iter().for_each(&mut add),
                one => add(&one),
            }
        }
        if all.is_empty() {
            return Value::Absent;
        }
        let result = match self {
            Call::Min => all.iter().copied().fold(f64::INFINITY, f64::min),
            Call::Max => all.iter().copied().fold(f64::NEG_INFINITY, f64::max),
            Call::Sum => all.iter().sum(),
            _ => all.iter().sum::<f64>() / all.len() as f64,
        };
        if whole && result.fract() == 0.0 && result.abs() < 9.0e15 {
            Value::Int(result as i64)
        } else {
            finite(result)
        }
    }
}

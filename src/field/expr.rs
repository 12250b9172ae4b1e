//! Expressions over the values of a frame: `x / 2`, `if(power_factor == 0, 1, power_factor)`.
//!
//! Parsed once, when a profile is compiled: names become places, so evaluating looks nothing up. An expression
//! has no loops and no side effects; its cost is bounded by its text. What has no value (an absent field, a
//! division by zero, a number asked of a text) makes the whole absent.

use super::record::{Record, Shape, Value};
use super::time;
use crate::check::{Algorithm, Digest};
use std::sync::Arc;

/// The longest text of an expression.
const TEXT_MAX: usize = 2000;
/// How deep parentheses and operators may be nested.
const DEPTH_MAX: usize = 48;

/// An expression, ready to be evaluated.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Expr(Node);

#[derive(Debug, Clone, PartialEq)]
enum Node {
    Const(Value),
    Var(Var),
    Own(Own),
    Not(Box<Node>),
    Negate(Box<Node>),
    Complement(Box<Node>),
    Binary(Op, Box<Node>, Box<Node>),
    If(Box<[Node; 3]>),
    Call(Call, Vec<Node>),
    /// A value in a record or a list.
    Inside(Box<Node>, Arc<str>),
    /// The check over so many bytes from a place on.
    Check(Digest, Box<[Node; 2]>),
}

/// A field: how many records further out, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Var {
    pub(crate) depth: usize,
    pub(crate) place: usize,
}

/// What is not a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Own {
    /// What was read at the field's own place.
    X,
    /// The place behind the field before.
    Next,
    /// The place of the field before.
    Last,
    /// The length of what is being taken apart.
    Length,
    /// The number of the record in its list.
    Index,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Op {
    Or,
    And,
    Equal,
    Unequal,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    BitOr,
    BitXor,
    BitAnd,
    ShiftLeft,
    ShiftRight,
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
    Power,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Call {
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
}

const CALLS: [(&str, Call, usize, usize); 34] = [
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
];

/// Every function's name, for the reference page's test.
#[cfg(test)]
pub(crate) fn functions() -> impl Iterator<Item = &'static str> {
    CALLS.iter().map(|(name, ..)| *name).chain(["if", "check"])
}

/// What an expression is evaluated against.
#[derive(Clone, Copy)]
pub(crate) struct Scope<'a> {
    /// The values read so far.
    pub(crate) record: &'a Record,
    /// The numbers behind names, by place; shorter where there are none.
    pub(crate) raws: &'a [Value],
    /// What lies around this record.
    pub(crate) outer: Option<&'a Scope<'a>>,
    /// What was read at the field's own place.
    pub(crate) own: &'a Value,
    pub(crate) next: usize,
    pub(crate) last: usize,
    pub(crate) length: usize,
    /// What is being taken apart.
    pub(crate) bytes: &'a [u8],
    pub(crate) index: usize,
}

/// Finds the place of a name.
pub(crate) trait Names {
    /// The field of this name that has been read by then.
    fn var(&self, name: &str) -> Option<Var>;
    /// What a record at this place holds, if it is one, or a list of such.
    fn inside(&self, var: Var) -> Option<Arc<Shape>>;
    /// Every name, for a message about one that is not there.
    fn known(&self) -> Vec<String>;
}

impl Expr {
    /// Reads an expression.
    pub(crate) fn parse(text: &str, names: &dyn Names) -> Result<Expr, String> {
        if text.len() > TEXT_MAX {
            return Err(format!("an expression has at most {TEXT_MAX} characters"));
        }
        let mut parser = Parser {
            text,
            at: 0,
            names,
            depth: 0,
        };
        let node = parser.binary(0)?;
        parser.blanks();
        if parser.at < text.len() {
            return Err(format!("`{}` is not expected here", parser.rest()));
        }
        Ok(Expr(node))
    }

    /// Its value.
    pub(crate) fn value(&self, scope: &Scope<'_>) -> Value {
        self.0.value(scope)
    }

    /// Whether it holds: a number other than 0, true, a text that is not empty.
    pub(crate) fn holds(&self, scope: &Scope<'_>) -> bool {
        truth(&self.0.value(scope)) == Some(true)
    }

    /// Whether it asks for what was read at the field's own place.
    pub(crate) fn has_own(&self) -> bool {
        fn look(node: &Node) -> bool {
            match node {
                Node::Own(own) => *own == Own::X,
                Node::Const(_) | Node::Var(_) => false,
                Node::Not(a) | Node::Negate(a) | Node::Complement(a) | Node::Inside(a, _) => look(a),
                Node::Binary(_, a, b) => look(a) || look(b),
                Node::If(parts) => parts.iter().any(look),
                Node::Check(_, place) => place.iter().any(look),
                Node::Call(_, arguments) => arguments.iter().any(look),
            }
        }
        look(&self.0)
    }

    /// Its value as a number of bytes or times.
    pub(crate) fn amount(&self, scope: &Scope<'_>) -> Option<i64> {
        integer(&self.0.value(scope))
    }
}

/// A number of bytes, bits or times; a fraction is none.
fn integer(value: &Value) -> Option<i64> {
    match value {
        Value::Int(n) => Some(*n),
        Value::Bool(yes) => Some((*yes).into()),
        Value::Uint(n) => i64::try_from(*n).ok(),
        other => other
            .number()
            .filter(|x| x.fract() == 0.0 && x.abs() < 9.0e18)
            .map(|x| x as i64),
    }
}

fn truth(value: &Value) -> Option<bool> {
    match value {
        Value::Absent => None,
        Value::Text(text) => Some(!text.is_empty()),
        Value::Bytes(bytes) => Some(!bytes.is_empty()),
        Value::List(values) => Some(!values.is_empty()),
        other => other.number().map(|x| x != 0.0),
    }
}

impl Node {
    fn value(&self, scope: &Scope<'_>) -> Value {
        match self {
            Node::Const(value) => value.clone(),
            Node::Var(var) => scope.var(*var),
            Node::Own(own) => match own {
                Own::X => scope.own.clone(),
                Own::Next => Value::Int(scope.next as i64),
                Own::Last => Value::Int(scope.last as i64),
                Own::Length => Value::Int(scope.length as i64),
                Own::Index => Value::Int(scope.index as i64),
            },
            Node::Not(inner) => truth(&inner.value(scope)).map_or(Value::Absent, |yes| Value::Bool(!yes)),
            Node::Negate(inner) => match inner.value(scope) {
                Value::Int(n) => n.checked_neg().map_or(Value::Absent, Value::Int),
                other => other.number().map_or(Value::Absent, |x| Value::Float(-x)),
            },
            Node::Complement(inner) => integer(&inner.value(scope)).map_or(Value::Absent, |n| Value::Int(!n)),
            Node::Binary(Op::Or, a, b) => match truth(&a.value(scope)) {
                Some(true) => Value::Bool(true),
                _ => truth(&b.value(scope)).map_or(Value::Absent, Value::Bool),
            },
            Node::Binary(Op::And, a, b) => match truth(&a.value(scope)) {
                Some(true) => truth(&b.value(scope)).map_or(Value::Absent, Value::Bool),
                Some(false) => Value::Bool(false),
                None => Value::Absent,
            },
            Node::Binary(op, a, b) => op.value(&a.value(scope), &b.value(scope)),
            Node::If(parts) => match truth(&parts[0].value(scope)) {
                Some(true) => parts[1].value(scope),
                Some(false) => parts[2].value(scope),
                None => Value::Absent,
            },
            Node::Call(call, arguments) => call.value(arguments, scope),
            Node::Inside(node, name) => inside(node.value(scope), name),
            Node::Check(digest, place) => {
                let [from, count] = &**place;
                let number = |node: &Node| usize::try_from(integer(&node.value(scope))?).ok();
                let bytes = number(from).zip(number(count));
                let bytes = bytes.and_then(|(from, count)| scope.bytes.get(from..from.checked_add(count)?));
                bytes.map_or(Value::Absent, |bytes| super::number::unsigned(digest.over(bytes)))
            }
        }
    }
}

/// The value of this name or number; of a list's records, a list of their values.
fn inside(value: Value, name: &str) -> Value {
    match value {
        Value::Record(record) => record
            .get(name)
            .map_or(Value::Absent, |entry| entry.value.clone()),
        Value::List(mut values) => match name.parse::<usize>() {
            Ok(n) if n < values.len() => values.swap_remove(n),
            Ok(_) => Value::Absent,
            Err(_) => Value::List(values.into_iter().map(|value| inside(value, name)).collect()),
        },
        _ => Value::Absent,
    }
}

impl Scope<'_> {
    fn var(&self, var: Var) -> Value {
        let mut scope = self;
        for _ in 0..var.depth {
            match scope.outer {
                Some(outer) => scope = outer,
                None => return Value::Absent,
            }
        }
        match scope.raws.get(var.place) {
            Some(raw) if *raw != Value::Absent => raw.clone(),
            _ => scope
                .record
                .at(var.place)
                .map_or(Value::Absent, |entry| entry.value.clone()),
        }
    }
}

impl Op {
    fn value(self, a: &Value, b: &Value) -> Value {
        if matches!((a, b), (Value::Absent, _) | (_, Value::Absent)) {
            return Value::Absent;
        }
        match self {
            Op::Equal => return Value::Bool(same(a, b)),
            Op::Unequal => return Value::Bool(!same(a, b)),
            Op::Less | Op::LessEqual | Op::Greater | Op::GreaterEqual => {
                let order = match (a, b) {
                    (Value::Text(a), Value::Text(b)) => Some(a.cmp(b)),
                    (Value::Int(a), Value::Int(b)) => Some(a.cmp(b)),
                    _ => a.number().zip(b.number()).and_then(|(a, b)| a.partial_cmp(&b)),
                };
                return order.map_or(Value::Absent, |order| {
                    Value::Bool(match self {
                        Op::Less => order.is_lt(),
                        Op::LessEqual => order.is_le(),
                        Op::Greater => order.is_gt(),
                        _ => order.is_ge(),
                    })
                });
            }
            Op::BitOr | Op::BitXor | Op::BitAnd | Op::ShiftLeft | Op::ShiftRight => {
                let both = integer(a).zip(integer(b));
                return both.map_or(Value::Absent, |(a, b)| {
                    let shift = u32::try_from(b).ok().filter(|shift| *shift < 64);
                    Value::Int(match (self, shift) {
                        (Op::BitOr, _) => a | b,
                        (Op::BitXor, _) => a ^ b,
                        (Op::BitAnd, _) => a & b,
                        (Op::ShiftLeft, Some(shift)) => a << shift,
                        (_, Some(shift)) => a >> shift,
                        (_, None) => 0,
                    })
                });
            }
            Op::Add if matches!((a, b), (Value::Text(_), _) | (_, Value::Text(_))) => {
                let mut text = String::new();
                a.write(None, &mut text);
                b.write(None, &mut text);
                return Value::Text(text.into());
            }
            _ => {}
        }
        if let (Value::Int(a), Value::Int(b)) = (a, b) {
            let exact = match self {
                Op::Add => a.checked_add(*b),
                Op::Subtract => a.checked_sub(*b),
                Op::Multiply => a.checked_mul(*b),
                Op::Divide if *b != 0 && a.checked_rem(*b) == Some(0) => a.checked_div(*b),
                Op::Remainder => a.checked_rem_euclid(*b),
                Op::Power => u32::try_from(*b).ok().and_then(|b| a.checked_pow(b)),
                _ => None,
            };
            if let Some(exact) = exact {
                return Value::Int(exact);
            }
        }
        let Some((a, b)) = a.number().zip(b.number()) else {
            return Value::Absent;
        };
        finite(match self {
            Op::Add => a + b,
            Op::Subtract => a - b,
            Op::Multiply => a * b,
            Op::Divide => a / b,
            Op::Remainder => a.rem_euclid(b),
            _ => a.powf(b),
        })
    }
}

fn finite(x: f64) -> Value {
    if x.is_finite() {
        Value::Float(x)
    } else {
        Value::Absent
    }
}

fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Text(a), Value::Text(b)) => a == b,
        (Value::Int(a), Value::Int(b)) => a == b,
        (Value::Bytes(a), Value::Bytes(b)) => a == b,
        // Bytes are shown, and compared, as hexadecimal digits.
        (Value::Bytes(bytes), Value::Text(text)) | (Value::Text(text), Value::Bytes(bytes)) => {
            data_encoding::HEXLOWER.encode(bytes).eq_ignore_ascii_case(text)
        }
        _ => a.number().zip(b.number()).is_some_and(|(a, b)| a == b),
    }
}

impl Call {
    fn value(self, arguments: &[Node], scope: &Scope<'_>) -> Value {
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
                Value::Text(text) => super::number::decimal(text.trim().as_bytes(), b'.').unwrap_or_default(),
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
                        let part: String = text.chars().skip(from as usize).take(count as usize).collect();
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
                (Value::List(mut values), Some(n @ 0..)) if (n as usize) < values.len() => {
                    values.swap_remove(n as usize)
                }
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
                super::number::unsigned(plain)
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
    fn many(self, arguments: &[Node], scope: &Scope<'_>) -> Value {
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

struct Parser<'a> {
    text: &'a str,
    at: usize,
    names: &'a dyn Names,
    depth: usize,
}

/// Operators by how strongly they bind, the weakest first. Longer ones before those that they begin with.
const OPS: [&[(&str, Op)]; 9] = [
    &[("||", Op::Or), ("or", Op::Or)],
    &[("&&", Op::And), ("and", Op::And)],
    &[
        ("==", Op::Equal),
        ("!=", Op::Unequal),
        ("<=", Op::LessEqual),
        (">=", Op::GreaterEqual),
        ("<", Op::Less),
        (">", Op::Greater),
    ],
    &[("|", Op::BitOr)],
    &[("xor", Op::BitXor)],
    &[("&", Op::BitAnd)],
    &[("<<", Op::ShiftLeft), (">>", Op::ShiftRight)],
    &[("+", Op::Add), ("-", Op::Subtract)],
    &[("*", Op::Multiply), ("/", Op::Divide), ("%", Op::Remainder)],
];

impl Parser<'_> {
    fn rest(&self) -> &str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn blanks(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start().len();
    }

    fn takes(&mut self, sign: &str) -> bool {
        self.blanks();
        let there = self.rest().starts_with(sign);
        if there {
            self.at += sign.len();
        }
        there
    }

    fn op(&mut self, level: usize) -> Option<Op> {
        self.blanks();
        let rest = self.rest();
        for (sign, op) in OPS.get(level)?.iter() {
            let Some(after) = rest.strip_prefix(sign) else {
                continue;
            };
            let word = sign.starts_with(|c: char| c.is_ascii_alphabetic());
            if word && after.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_') {
                continue;
            }
            // A single sign is not the first half of another operator.
            let other = match *sign {
                "|" => after.starts_with('|'),
                "&" => after.starts_with('&'),
                "<" | ">" => after.starts_with(sign),
                _ => false,
            };
            if other {
                continue;
            }
            self.at += sign.len();
            return Some(*op);
        }
        None
    }

    fn binary(&mut self, level: usize) -> Result<Node, String> {
        if level == OPS.len() {
            return self.unary();
        }
        let mut left = self.binary(level + 1)?;
        let mut chain = 0;
        while let Some(op) = self.op(level) {
            chain += 1;
            if chain > DEPTH_MAX {
                return Err("the expression is nested too deeply".into());
            }
            let right = self.binary(level + 1)?;
            left = Node::Binary(op, Box::new(left), Box::new(right));
        }
        Ok(left)
    }

    fn unary(&mut self) -> Result<Node, String> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err("the expression is nested too deeply".into());
        }
        self.blanks();
        let rest = self.rest();
        let node = if rest.starts_with('-') {
            self.at += 1;
            Node::Negate(Box::new(self.unary()?))
        } else if rest.starts_with('~') {
            self.at += 1;
            Node::Complement(Box::new(self.unary()?))
        } else if rest.starts_with('!') && !rest.starts_with("!=") {
            self.at += 1;
            Node::Not(Box::new(self.unary()?))
        } else if rest.starts_with("not ") || rest.starts_with("not(") {
            self.at += 3;
            Node::Not(Box::new(self.unary()?))
        } else {
            let base = self.primary()?;
            if self.takes("^") || self.takes("**") {
                Node::Binary(Op::Power, Box::new(base), Box::new(self.unary()?))
            } else {
                base
            }
        };
        self.depth -= 1;
        Ok(node)
    }

    fn primary(&mut self) -> Result<Node, String> {
        self.blanks();
        let rest = self.rest();
        let Some(first) = rest.chars().next() else {
            return Err("the expression ends where a value is expected".into());
        };
        if first == '(' {
            self.at += 1;
            let inner = self.binary(0)?;
            return if self.takes(")") {
                Ok(inner)
            } else {
                Err("a `(` is not closed".into())
            };
        }
        if let '\'' | '"' | '`' = first {
            let inner = &rest[1..];
            let Some(end) = inner.find(first) else {
                return Err(format!("a {first} is not closed"));
            };
            let text = &inner[..end];
            let node = match first {
                '`' => {
                    let name = text.to_owned();
                    self.at += end + 2;
                    return self.path(&name);
                }
                _ => Node::Const(Value::Text(Arc::from(text))),
            };
            self.at += end + 2;
            return Ok(node);
        }
        if first.is_ascii_digit() || first == '.' {
            return self.digits();
        }
        if first.is_alphabetic() || first == '_' {
            let end = rest
                .find(|c: char| !(c.is_alphanumeric() || c == '_'))
                .unwrap_or(rest.len());
            let name = rest[..end].to_owned();
            self.at += end;
            self.blanks();
            if self.rest().starts_with('(') {
                self.at += 1;
                return self.call(&name);
            }
            return match name.as_str() {
                "true" => Ok(Node::Const(Value::Bool(true))),
                "false" => Ok(Node::Const(Value::Bool(false))),
                _ => self.path(&name),
            };
        }
        Err(format!("`{rest}` is not expected here"))
    }

    fn digits(&mut self) -> Result<Node, String> {
        let rest = self.rest();
        let end = rest
            .char_indices()
            .find(|(at, c)| {
                let exponent =
                    matches!(c, '+' | '-') && rest[..*at].ends_with(['e', 'E']) && !rest.starts_with("0x");
                !(c.is_ascii_alphanumeric() || *c == '.' || exponent)
            })
            .map_or(rest.len(), |(at, _)| at);
        let digits = &rest[..end];
        let value = match super::config::number(digits) {
            Some(n) => Value::Int(n),
            None => match digits.parse::<f64>() {
                Ok(x) if x.is_finite() => Value::Float(x),
                _ => return Err(format!("`{digits}` is no number")),
            },
        };
        self.at += end;
        Ok(Node::Const(value))
    }

    /// A field, and what lies in it: `phase.voltage`, `cells.0`, `modules.voltage`.
    fn path(&mut self, name: &str) -> Result<Node, String> {
        let mut node = self.named(name)?;
        let mut shape = match node {
            Node::Var(var) => self.names.inside(var),
            _ => None,
        };
        while let Some(rest) = self.rest().strip_prefix('.') {
            let end = rest
                .find(|c: char| !(c.is_alphanumeric() || c == '_'))
                .unwrap_or(rest.len());
            let part = &rest[..end];
            if part.is_empty() {
                break;
            }
            if part.parse::<usize>().is_err()
                && let Some(shape) = shape.take()
                && shape.place(part).is_none()
            {
                let known = shape.infos().iter().map(|info| &*info.name);
                return Err(match crate::config::nearest(part, known) {
                    Some(near) => format!("`{name}` has no `{part}`; did you mean `{near}`?"),
                    None => format!("`{name}` has no `{part}`"),
                });
            }
            node = Node::Inside(Box::new(node), part.into());
            self.at += 1 + end;
        }
        Ok(node)
    }

    fn named(&self, name: &str) -> Result<Node, String> {
        if let Some(var) = self.names.var(name) {
            return Ok(Node::Var(var));
        }
        Ok(Node::Own(match name {
            "absent" => return Ok(Node::Const(Value::Absent)),
            "x" => Own::X,
            "next" => Own::Next,
            "last" => Own::Last,
            "length" => Own::Length,
            "index" => Own::Index,
            _ => {
                let known = self.names.known();
                let near = crate::config::nearest(name, known.iter().map(String::as_str));
                return Err(match near {
                    Some(near) => {
                        format!("there is no field `{name}` before this one; did you mean `{near}`?")
                    }
                    None => format!("there is no field `{name}` before this one"),
                });
            }
        }))
    }

    fn call(&mut self, name: &str) -> Result<Node, String> {
        let mut arguments = Vec::new();
        if !self.takes(")") {
            loop {
                arguments.push(self.binary(0)?);
                if self.takes(")") {
                    break;
                }
                if !self.takes(",") {
                    return Err(format!("the `(` of `{name}` is not closed"));
                }
            }
        }
        if name == "check" {
            return check(arguments);
        }
        if name == "if" {
            let parts: [Node; 3] = arguments
                .try_into()
                .map_err(|_| "`if` has three parts: if(condition, then, else)".to_owned())?;
            return Ok(Node::If(Box::new(parts)));
        }
        let Some((_, call, least, most)) = CALLS.iter().find(|(known, ..)| *known == name) else {
            let near = crate::config::nearest(name, CALLS.iter().map(|(known, ..)| *known));
            return Err(match near {
                Some(near) => format!("there is no function `{name}`; did you mean `{near}`?"),
                None => format!("there is no function `{name}`"),
            });
        };
        if !(*least..=*most).contains(&arguments.len()) {
            let many = if least == most {
                format!("{least}")
            } else {
                format!("{least} to {most}")
            };
            return Err(format!(
                "`{name}` takes {many} values, here are {}",
                arguments.len()
            ));
        }
        Ok(Node::Call(*call, arguments))
    }
}

fn check(arguments: Vec<Node>) -> Result<Node, String> {
    let mut arguments = arguments.into_iter();
    let parts = [
        arguments.next(),
        arguments.next(),
        arguments.next(),
        arguments.next(),
    ];
    let [
        Some(Node::Const(Value::Text(name))),
        Some(from),
        Some(count),
        None,
    ] = parts
    else {
        return Err("`check` has three parts: check('CRC-16/MODBUS', from, count)".into());
    };
    let algorithm = Algorithm::parse(&name).map_err(|unknown| unknown.to_string())?;
    Ok(Node::Check(Digest::new(algorithm), Box::new([from, count])))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::field::record::{Info, Quality, Shape};
    use proptest::prelude::*;

    struct Few;
    impl Names for Few {
        fn var(&self, name: &str) -> Option<Var> {
            let place = ["a", "b", "no", "cells", "t-1"]
                .iter()
                .position(|known| *known == name)?;
            Some(Var { depth: 0, place })
        }
        fn inside(&self, _: Var) -> Option<Arc<Shape>> {
            None
        }
        fn known(&self) -> Vec<String> {
            vec!["cells".into()]
        }
    }

    fn value(text: &str) -> Value {
        let infos = (0..5).map(|_| Info::default()).collect();
        let mut record = Record::new(Arc::new(Shape::new("k", infos)));
        record.set(0, Value::Int(7), Quality::Good);
        record.set(1, Value::Float(2.5), Quality::Good);
        record.set(3, Value::List(vec![Value::Int(3), Value::Int(5)]), Quality::Good);
        record.set(4, Value::Text("NW".into()), Quality::Good);
        let scope = Scope {
            record: &record,
            raws: &[],
            outer: None,
            own: &Value::Int(120),
            next: 0,
            last: 0,
            length: 9,
            bytes: b"123456789",
            index: 0,
        };
        Expr::parse(text, &Few).unwrap().value(&scope)
    }

    #[test]
    fn what_expressions_give() {
        for (text, wanted) in [
            ("1 + 2 * 3", Value::Int(7)),
            ("(1 + 2) * 3", Value::Int(9)),
            ("-2 ^ 2", Value::Int(-4)),
            ("10 ^ -2", Value::Float(0.01)),
            ("a / 2", Value::Float(3.5)),
            ("6 / 2", Value::Int(3)),
            ("a * b", Value::Float(17.5)),
            ("if(x > 100, 100 - x, x)", Value::Int(-20)),
            ("a & 0x3 == 3", Value::Bool(true)),
            ("a == 7 and not (b > 3)", Value::Bool(true)),
            ("bits(0xff) % 2", Value::Int(0)),
            ("check('CRC-16/MODBUS', 0, length)", Value::Int(0x4b37)),
            ("check('CRC-16/MODBUS', 5, 5)", Value::Absent),
            ("byte(-1) - byte(0)", Value::Int(8)),
            ("sum(cells)", Value::Int(8)),
            ("max(cells) - min(cells)", Value::Int(2)),
            ("average(cells, 1)", Value::Int(3)),
            ("no + 1", Value::Absent),
            ("default(no, 4)", Value::Int(4)),
            ("present(no) or length == 9", Value::Bool(true)),
            ("`t-1` == 'NW'", Value::Bool(true)),
            ("part(`t-1`, 0, 1)", Value::Text("N".into())),
            ("number('12.50') + 0", Value::Float(12.5)),
            ("ddmm(4916.45)", Value::Float(49.0 + 16.45 / 60.0)),
            ("signed(0xfff6, 16)", Value::Int(-10)),
            ("1 / 0", Value::Absent),
            ("1 << 4 | 1", Value::Int(17)),
            ("a xor 1", Value::Int(6)),
            ("1.5e2 + 0b11", Value::Float(153.0)),
        ] {
            assert_eq!(value(text), wanted, "{text}");
        }
    }

    #[test]
    fn mistakes_are_told() {
        for (text, says) in [
            ("1 +", "ends where a value is expected"),
            ("cell + 1", "did you mean `cells`"),
            ("sun(a)", "did you mean `sum`"),
            ("(1", "is not closed"),
            ("a b", "`b` is not expected"),
            ("if(1, 2)", "three parts"),
            ("0xzz", "no number"),
        ] {
            let error = Expr::parse(text, &Few).unwrap_err();
            assert!(error.contains(says), "{text}: {error}");
        }
        assert!(Expr::parse(&"(".repeat(1000), &Few).is_err());
        assert!(Expr::parse(&"-".repeat(1000), &Few).is_err());
    }

    proptest! {
        #[test]
        fn never_panics(text in "[-+*/%^&|<>=!~()a-z0-9,. '`]{0,40}") {
            if Expr::parse(&text, &Few).is_ok() {
                value(&text);
            }
        }
    }
}

//! What an expression gives.

use super::super::record::Value;
use super::{Node, Op, Own, Scope, Var};

/// The longest text that joining gives, in bytes: texts that double from field to field would fill the memory.
const TEXT_MAX: usize = 64 * 1024;

/// A number of bytes, bits or times; a fraction is none.
pub(super) fn integer(value: &Value) -> Option<i64> {
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

pub(super) fn truth(value: &Value) -> Option<bool> {
    match value {
        Value::Absent => None,
        Value::Text(text) => Some(!text.is_empty()),
        Value::Bytes(bytes) => Some(!bytes.is_empty()),
        Value::List(values) => Some(!values.is_empty()),
        other => other.number().map(|x| x != 0.0),
    }
}

impl Node {
    pub(super) fn value(&self, scope: &Scope<'_>) -> Value {
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
                bytes.map_or(Value::Absent, |bytes| {
                    super::super::number::unsigned(digest.over(bytes))
                })
            }
        }
    }
}

/// The value of this name or number; of a list's records, a list of their values.
pub(super) fn inside(value: Value, name: &str) -> Value {
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
    pub(super) fn var(&self, var: Var) -> Value {
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
    pub(super) fn value(self, a: &Value, b: &Value) -> Value {
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
                if text.len() > TEXT_MAX {
                    return Value::Absent;
                }
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

pub(super) fn finite(x: f64) -> Value {
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

//! Expressions over the values of a frame: `x / 2`, `if(power_factor == 0, 1, power_factor)`.
//!
//! Parsed once, when a profile is compiled: names become places, so evaluating looks nothing up. An expression
//! has no loops and no side effects; its cost is bounded by its text. What has no value (an absent field, a
//! division by zero, a number asked of a text) makes the whole absent.

mod call;
mod parse;
mod value;

use super::record::{Record, Shape, Value};
use crate::check::Digest;
use call::Call;
use std::sync::Arc;
use value::{integer, truth};

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

#[cfg(test)]
pub(crate) use call::functions;

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
        parse::whole(text, names).map(Expr)
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
            (
                "check('{ crc = { width = 16, poly = 0x8005, init = 0xffff, refin = true } }', 0, length)",
                Value::Int(0x4b37),
            ),
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

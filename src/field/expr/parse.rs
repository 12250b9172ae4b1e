//! From an expression's text to what is evaluated.

use super::super::record::Value;
use super::call::{CALLS, Call};
use super::{Names, Node, Op, Own};
use crate::check::{Algorithm, Digest};
use std::sync::Arc;

/// The longest text of an expression.
const TEXT_MAX: usize = 2000;

/// How deep parentheses and operators may be nested.
const DEPTH_MAX: usize = 48;

/// Reads a whole expression.
pub(super) fn whole(text: &str, names: &dyn Names) -> Result<Node, String> {
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
    Ok(node)
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
        let value = match super::super::config::number(digits) {
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
        if *call == Call::Interpolate && arguments.len().is_multiple_of(2) {
            return Err(format!(
                "`{name}` takes a value, and then pairs: the last x has no y"
            ));
        }
        Ok(Node::Call(*call, arguments))
    }
}

/// An algorithm by its parameters, as they are written for `check`.
#[derive(serde::Deserialize)]
struct ByParameters {
    algorithm: Algorithm,
}

pub(super) fn check(arguments: Vec<Node>) -> Result<Node, String> {
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
    let algorithm = match name.trim_start().starts_with('{') {
        true => {
            toml::from_str::<ByParameters>(&format!("algorithm = {name}"))
                .map_err(|error| error.message().to_owned())?
                .algorithm
        }
        false => Algorithm::parse(&name).map_err(|unknown| unknown.to_string())?,
    };
    Ok(Node::Check(Digest::new(algorithm), Box::new([from, count])))
}

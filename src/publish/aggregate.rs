//! One value made of those of a window.

use super::Take;
use crate::field::record::{Fixed, Value};

/// So many values are held for a median; beyond, every second is left out.
const HELD: usize = 8192;

/// The values of one field in a window.
#[derive(Debug, Clone, Default)]
pub(super) struct Aggregate {
    count: u64,
    sum: f64,
    least: Option<Value>,
    most: Option<Value>,
    last: Value,
    decimals: u8,
    float: bool,
    held: Vec<f64>,
    /// Of so many values one is held.
    stride: u64,
}

impl Aggregate {
    /// Takes a value in.
    pub(super) fn add(&mut self, value: &Value, take: Take) {
        self.last = value.clone();
        let number = match value {
            Value::Bool(_) => None,
            _ => value.number().filter(|x| x.is_finite()),
        };
        let Some(x) = number else { return };
        match value {
            Value::Fixed(fixed) => self.decimals = self.decimals.max(fixed.decimals),
            Value::Float(_) => self.float = true,
            _ => {}
        }
        match take {
            Take::Mean => self.sum += x,
            Take::Median if self.count.is_multiple_of(self.stride.max(1)) => {
                self.held.push(x);
                if self.held.len() > HELD {
                    let mut keep = false;
                    self.held.retain(|_| {
                        keep = !keep;
                        keep
                    });
                    self.stride = self.stride.max(1) * 2;
                }
            }
            Take::Min => keep(&mut self.least, value, |known| x < known),
            Take::Max => keep(&mut self.most, value, |known| x > known),
            Take::Median | Take::Last => {}
        }
        self.count += 1;
    }

    /// The value of the window.
    pub(super) fn value(mut self, take: Take) -> Value {
        let made = match take {
            _ if self.count == 0 => None,
            Take::Last => None,
            Take::Min => self.least.take(),
            Take::Max => self.most.take(),
            Take::Mean => Some(self.number(self.sum / self.count as f64)),
            Take::Median => self.median().map(|middle| self.number(middle)),
        };
        made.unwrap_or(self.last)
    }

    fn median(&mut self) -> Option<f64> {
        self.held.sort_by(f64::total_cmp);
        let half = self.held.len() / 2;
        let upper = *self.held.get(half)?;
        if self.held.len() % 2 == 1 {
            return Some(upper);
        }
        let lower = *self.held.get(half.checked_sub(1)?)?;
        Some(lower / 2.0 + upper / 2.0)
    }

    /// With one decimal more than the values had, so that rounding costs nothing that was there.
    fn number(&self, x: f64) -> Value {
        let decimals = self.decimals.min(17) + 1;
        let digits = x * 10f64.powi(i32::from(decimals));
        if self.float || digits.abs() > 9e15 {
            return Value::Float(x);
        }
        Value::Fixed(Fixed {
            digits: digits.round() as i64,
            decimals,
        })
    }
}

fn keep(kept: &mut Option<Value>, value: &Value, better: impl Fn(f64) -> bool) {
    if kept.as_ref().and_then(Value::number).is_none_or(better) {
        *kept = Some(value.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn fixed(digits: i64, decimals: u8) -> Value {
        Value::Fixed(Fixed { digits, decimals })
    }

    fn of(values: &[Value], take: Take) -> String {
        let mut aggregate = Aggregate::default();
        for value in values {
            aggregate.add(value, take);
        }
        let mut out = String::new();
        aggregate.value(take).write(None, &mut out);
        out
    }

    #[test]
    fn each_way_to_take() {
        let values = [fixed(215, 1), fixed(200, 1), fixed(218, 1), fixed(217, 1)];
        assert_eq!(of(&values, Take::Mean), "21.25");
        assert_eq!(of(&values, Take::Median), "21.60");
        assert_eq!(of(&values, Take::Min), "20.0");
        assert_eq!(of(&values, Take::Max), "21.8");
        assert_eq!(of(&values, Take::Last), "21.7");
        assert_eq!(of(&[Value::Int(1), Value::Int(2)], Take::Mean), "1.5");
        assert_eq!(
            of(&[Value::Text("a".into()), Value::Text("b".into())], Take::Mean),
            "b"
        );
        assert_eq!(of(&[Value::Bool(true), Value::Bool(false)], Take::Max), "false");
    }

    proptest! {
        #[test]
        fn what_is_taken_lies_among_the_values(values in prop::collection::vec(-1_000_000i64..1_000_000, 1..40)) {
            let (least, most) = (*values.iter().min().unwrap() as f64, *values.iter().max().unwrap() as f64);
            let all: Vec<Value> = values.iter().map(|digits| fixed(*digits, 0)).collect();
            for take in [Take::Mean, Take::Median, Take::Min, Take::Max, Take::Last] {
                let taken: f64 = of(&all, take).parse().unwrap();
                prop_assert!(taken >= least - 0.05 && taken <= most + 0.05, "{take:?} {taken}");
            }
            prop_assert_eq!(of(&all, Take::Min).parse::<f64>().unwrap(), least);
            prop_assert_eq!(of(&all, Take::Max).parse::<f64>().unwrap(), most);
        }
    }

    #[test]
    fn a_long_window_holds_a_bounded_number() {
        let mut aggregate = Aggregate::default();
        for n in 0..100_000 {
            aggregate.add(&Value::Int(n), Take::Median);
        }
        assert!(aggregate.held.len() <= HELD);
        let middle = aggregate.value(Take::Median).number().unwrap();
        assert!((middle - 50_000.0).abs() < 100.0, "{middle}");
    }
}

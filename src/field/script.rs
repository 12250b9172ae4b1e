//! The last resort: a frame's bytes read by a script, in a sandbox that ends.
//!
//! The language is Rhai. A script has no files, no clock, no modules and no memory from frame to frame; its
//! steps, its depth and the size of what it makes are bounded. One that fails costs its frame.

use super::record::{Info, Quality, Record, Shape, Value};
use rhai::{AST, Blob, Dynamic, Engine, EvalAltResult, Module, Scope};
use rustix::time::{ClockId, clock_gettime};
use std::any::TypeId;
use std::cell::Cell;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// How many steps a script may make for one frame.
const STEPS: u64 = 200_000;
/// How much of the processor's time it may take for one frame. Steps alone don't bound it: each may look at all that a long list holds.
const TIME: Duration = Duration::from_millis(500);
/// So many steps are between two looks at the clock.
const LOOK: u64 = 32;
/// How long a text that it makes may become, and how many bytes or elements a list.
const LONGEST: usize = 65_536;
/// How many values it may give.
const VALUES: usize = 1024;
/// How deep its values may be nested.
const DEPTH: usize = 8;

/// A script, compiled.
#[derive(Clone)]
pub(crate) struct Script(Arc<(Engine, AST)>);

impl Script {
    pub(crate) fn new(text: &str) -> Result<Script, String> {
        let mut engine = Engine::new();
        engine.set_max_operations(STEPS);
        engine.set_max_call_levels(16);
        engine.set_max_expr_depths(64, 32);
        engine.set_max_string_size(LONGEST);
        engine.set_max_array_size(LONGEST);
        engine.set_max_map_size(VALUES);
        engine.set_max_variables(256);
        engine.set_max_functions(64);
        engine.set_max_modules(0);
        engine.register_fn("be", |data: Blob, at: i64, count: i64| {
            number(&data, at, count, false)
        });
        engine.register_fn("le", |data: Blob, at: i64, count: i64| {
            number(&data, at, count, true)
        });
        // A byte of a loop is the same kind of number as any other.
        let mut module = Module::new();
        module.set_iter(TypeId::of::<Blob>(), |data: Dynamic| {
            let bytes = data.into_blob().unwrap_or_default();
            Box::new(bytes.into_iter().map(|byte| Dynamic::from_int(byte.into())))
        });
        engine.register_global_module(module.into());
        engine.disable_symbol("eval");
        engine.on_progress(|steps| {
            let late = steps.is_multiple_of(LOOK) && processor() > BEGUN.get() + TIME;
            late.then_some(Dynamic::UNIT)
        });
        engine.on_print(|_| ());
        engine.on_debug(|_, _, _| ());
        let ast = engine
            .compile(text)
            .map_err(|error| format!("the script can't be read: {error}"))?;
        Ok(Script(Arc::new((engine, ast))))
    }

    /// What the script gives for a frame.
    pub(crate) fn values(&self, bytes: &[u8]) -> Result<Vec<(Info, Value)>, String> {
        let (engine, ast) = &*self.0;
        let mut scope = Scope::new();
        scope.push("data", Dynamic::from_blob(bytes.to_vec()));
        BEGUN.set(processor());
        let given: Dynamic = engine
            .eval_ast_with_scope(&mut scope, ast)
            .map_err(|error| match *error {
                EvalAltResult::ErrorTerminated(..) => {
                    format!("the script fails: it takes more than {TIME:?} for one frame")
                }
                error => format!("the script fails: {error}"),
            })?;
        let map = given
            .try_cast::<rhai::Map>()
            .ok_or("the script gives no map of values")?;
        map.into_iter()
            .map(|(name, value)| Ok((info(&name), converted(&name, value, 0)?)))
            .collect()
    }
}

thread_local! {
    /// What this thread had taken when its script began.
    static BEGUN: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

/// The processor's time that this thread has had: what others take meanwhile is no fault of the script.
fn processor() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(
        time.tv_sec.try_into().unwrap_or(0),
        time.tv_nsec.try_into().unwrap_or(0),
    )
}

/// `be(data, at, count)` and `le(data, at, count)`: a number of so many bytes.
fn number(data: &[u8], at: i64, count: i64, low_first: bool) -> Result<i64, Box<EvalAltResult>> {
    let range = usize::try_from(at)
        .ok()
        .zip(usize::try_from(count).ok().filter(|count| *count <= 8));
    let bytes = range.and_then(|(at, count)| data.get(at..at.checked_add(count)?));
    let bytes = bytes.ok_or_else(|| format!("there are no {count} bytes (8 at most) at {at}"))?;
    let add = |number: i64, byte: &u8| number << 8 | i64::from(*byte);
    Ok(match low_first {
        true => bytes.iter().rev().fold(0, add),
        false => bytes.iter().fold(0, add),
    })
}

fn info(name: &str) -> Info {
    Info {
        name: name.into(),
        ..Info::default()
    }
}

fn converted(name: &str, value: Dynamic, depth: usize) -> Result<Value, String> {
    if depth > DEPTH {
        return Err(format!("`{name}` is nested too deeply"));
    }
    if value.is_unit() {
        return Ok(Value::Absent);
    }
    if let Ok(yes) = value.as_bool() {
        return Ok(Value::Bool(yes));
    }
    if let Ok(n) = value.as_int() {
        return Ok(Value::Int(n));
    }
    if let Ok(x) = value.as_float() {
        return Ok(if x.is_finite() {
            Value::Float(super::number::tidy(x))
        } else {
            Value::Absent
        });
    }
    if value.is_string() || value.is_char() {
        return Ok(Value::Text(value.to_string().into()));
    }
    if value.is_blob() {
        return Ok(Value::Bytes(value.into_blob().unwrap_or_default().into()));
    }
    if value.is_array() {
        let all = value.into_array().unwrap_or_default().into_iter();
        return all
            .map(|one| converted(name, one, depth + 1))
            .collect::<Result<_, _>>()
            .map(Value::List);
    }
    match value.try_cast::<rhai::Map>() {
        Some(map) => {
            let infos = map.keys().map(|key| info(key)).collect();
            let mut record = Record::new(Arc::new(Shape::new(name, infos)));
            for (place, (key, value)) in map.into_iter().enumerate() {
                let value = converted(&key, value, depth + 1)?;
                let quality = if value == Value::Absent {
                    Quality::Absent
                } else {
                    Quality::Good
                };
                record.set(place, value, quality);
            }
            Ok(Value::Record(Box::new(record)))
        }
        None => Err(format!(
            "`{name}` is no value: give numbers, texts, lists or maps"
        )),
    }
}

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Script")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(text: &str, bytes: &[u8]) -> Result<String, String> {
        let values = Script::new(text)?.values(bytes)?;
        let mut out = String::new();
        for (info, value) in values {
            out.push_str(&info.name);
            out.push('=');
            value.write(None, &mut out);
            out.push(' ');
        }
        Ok(out)
    }

    #[test]
    fn a_script_reads_bytes() {
        let text = "let n = data.be(0, 2); #{ n: n, half: n / 2.0, all: [data[0], data[1]], inner: #{ a: true }, raw: data }";
        assert_eq!(
            given(text, &[1, 3]).unwrap(),
            "all=[1,3] half=129.5 inner={\"a\":true} n=259 raw=0103 "
        );
    }

    /// A loop gave bytes of another kind than `data[0]`, which no number was equal to.
    #[test]
    fn a_byte_of_a_loop_is_a_number() {
        let text = "let n = 0; for byte in data { if byte == 0x2c { n += 1; } } #{ n: n }";
        assert_eq!(given(text, &[0x2c, 1, 0x2c]).unwrap(), "n=2 ");
    }

    #[test]
    fn a_script_that_fails_or_runs_on_costs_its_frame() {
        for (text, says) in [
            ("throw \"no\"", "no"),
            ("loop { }", "operations"),
            ("let s = \"x\"; loop { s += s; }", "too large"),
            ("let a = [0]; loop { a += a; }", "too large"),
            // Found by fuzzing: each step looks at the whole list.
            ("let a = []; loop { a.push(data) }", "takes more than 500ms"),
            ("fn f() { f() } f()", "overflow"),
            ("data[100]", "out of bounds"),
            ("42", "no map"),
        ] {
            let error = given(text, &[1]).unwrap_err();
            assert!(error.contains(says), "{text}: {error}");
        }
        for text in ["let x = ", "eval(\"1\")", "import \"x\" as x;"] {
            assert!(given(text, &[1]).is_err(), "{text}");
        }
    }
}

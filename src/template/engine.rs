//! The template engine behind formulas and whole templates. The only file that names minijinja's environment.

use super::Values;
use minijinja::{Environment, ErrorKind, Expression, UndefinedBehavior, Value};
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, OnceLock};

/// Steps of one use, after which it is given up: a formula takes ten or so, a loop over a hundred values a thousand.
const FUEL: u64 = 20_000;
/// The longest text that one template makes.
pub(super) const LONGEST: usize = 1 << 20;
/// How deep templates and values may be nested.
const DEPTH: usize = 32;

/// What is wrong with a template, in one line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Mistake(String);

/// One `{{ ... }}` that is more than a name.
#[derive(Debug, Clone)]
pub(crate) struct Formula {
    text: Arc<str>,
    compiled: Arc<Expression<'static, 'static>>,
    names: Arc<[String]>,
}

/// A template with statements (`{% if %}`).
#[derive(Debug, Clone)]
pub(super) struct Page {
    environment: Arc<Environment<'static>>,
    names: Arc<[String]>,
}

fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    environment.set_fuel(Some(FUEL));
    environment.set_recursion_limit(DEPTH);
    environment
}

/// The one that formulas are compiled in; it holds nothing of theirs.
fn shared() -> &'static Environment<'static> {
    static SHARED: OnceLock<Environment<'static>> = OnceLock::new();
    SHARED.get_or_init(environment)
}

/// Names that a template gets from the engine itself.
fn own(name: &str) -> bool {
    shared().globals().any(|(known, _)| known == name)
}

fn mistake(error: &minijinja::Error) -> Mistake {
    let text = match error.detail() {
        Some(detail) => detail.to_owned(),
        None => error.kind().to_string(),
    };
    Mistake(text.lines().collect::<Vec<_>>().join(" "))
}

/// Compiles what stands between `{{` and `}}`.
pub(crate) fn formula(text: &str) -> Result<Formula, Mistake> {
    let compiled = shared()
        .compile_expression_owned(text.to_owned())
        .map_err(|error| mistake(&error))?;
    let mut names: Vec<String> = compiled.undeclared_variables(false).into_iter().collect();
    names.retain(|name| !own(name));
    names.sort();
    probe(&names, |values| compiled.eval(values).map(|_| ()))?;
    Ok(Formula {
        text: text.into(),
        compiled: Arc::new(compiled),
        names: names.into(),
    })
}

/// Filters, tests and functions are looked up only when they are used. So it is used, with what values may be: the
/// names that it asks for and that don't exist show themselves, whatever else goes wrong.
fn probe(
    names: &[String],
    mut eval: impl FnMut(Value) -> Result<(), minijinja::Error>,
) -> Result<(), Mistake> {
    let likely = [
        Value::from(1.5),
        Value::from("1"),
        Value::from(true),
        Value::from(vec![1, 2]),
    ];
    for value in likely {
        let values: BTreeMap<String, Value> =
            names.iter().map(|name| (name.clone(), value.clone())).collect();
        if let Err(error) = eval(Value::from(values))
            && matches!(
                error.kind(),
                ErrorKind::UnknownFilter | ErrorKind::UnknownTest | ErrorKind::UnknownFunction
            )
        {
            return Err(mistake(&error));
        }
    }
    Ok(())
}

impl Formula {
    /// The text between the braces.
    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    /// The names of the values that it needs.
    pub(crate) fn names(&self) -> &[String] {
        &self.names
    }

    /// Appends what it gives.
    pub(crate) fn render(&self, values: &dyn Values, out: &mut String) -> Result<(), Mistake> {
        let given = self
            .compiled
            .eval(context(&self.names, values))
            .map_err(|error| mistake(&error))?;
        if given.is_undefined() {
            return Err(Mistake("it gives no value".into()));
        }
        let text = given.to_string();
        if text.len() > LONGEST {
            return Err(Mistake(format!("it gives a text of {} bytes", text.len())));
        }
        out.push_str(&text);
        Ok(())
    }
}

const NAME: &str = "template";

impl Page {
    pub(super) fn parse(text: &str) -> Result<Page, Mistake> {
        let mut environment = environment();
        environment
            .add_template_owned(NAME, text.to_owned())
            .map_err(|error| match error.line() {
                Some(line) if text.contains('\n') => Mistake(format!("{} (line {line})", mistake(&error))),
                _ => mistake(&error),
            })?;
        let template = environment.get_template(NAME).map_err(|error| mistake(&error))?;
        let mut names: Vec<String> = template.undeclared_variables(false).into_iter().collect();
        names.retain(|name| !own(name));
        names.sort();
        probe(&names, |values| {
            let bounded = &mut Bounded(Vec::new());
            template.render_captured_to(values, bounded).map(|_| ())
        })?;
        Ok(Page {
            environment: Arc::new(environment),
            names: names.into(),
        })
    }

    pub(super) fn names(&self) -> &[String] {
        &self.names
    }

    pub(super) fn render(&self, values: &dyn Values, out: &mut String) -> Result<(), Mistake> {
        let template = self
            .environment
            .get_template(NAME)
            .map_err(|error| mistake(&error))?;
        let mut bounded = Bounded(Vec::new());
        template
            .render_captured_to(context(&self.names, values), &mut bounded)
            .map_err(|error| mistake(&error))?;
        out.push_str(&String::from_utf8_lossy(&bounded.0));
        Ok(())
    }
}

/// Only what is named is made: most templates look at one or two of many values.
fn context(names: &[String], values: &dyn Values) -> Value {
    let known = names
        .iter()
        .filter_map(|name| Some((name.clone(), values.value(name)?)));
    Value::from(known.collect::<BTreeMap<String, Value>>())
}

/// Text up to a length.
struct Bounded(Vec<u8>);

impl io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > LONGEST {
            return Err(io::Error::other("the text grows too long"));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

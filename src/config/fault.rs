//! A fault of the configuration file, shown as a compiler would: the line, a caret, and what would be right.

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use std::fmt;
use std::ops::Range;

/// At most so many faults are shown; who has more mends these first.
const MOST: usize = 50;

/// One thing that is wrong (or, as a warning, doubtful) in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// What is wrong, in a few words.
    pub title: String,
    /// Where: bytes of the text. None if it is about the file as a whole.
    pub span: Option<Range<usize>>,
    /// What stands beside the caret.
    pub label: String,
    /// Other places that have to do with it.
    pub also: Vec<(Range<usize>, String)>,
    /// What would be right.
    pub help: Vec<String>,
}

/// What was found in one file, in the file's order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Faults {
    name: String,
    text: String,
    list: Vec<Fault>,
    warning: bool,
}

impl Fault {
    /// A fault at a place of the text.
    pub fn at(span: Range<usize>, title: impl Into<String>, label: impl Into<String>) -> Fault {
        Fault {
            title: title.into(),
            span: Some(span),
            label: label.into(),
            also: vec![],
            help: vec![],
        }
    }

    /// A fault of the file as a whole.
    pub fn whole(title: impl Into<String>) -> Fault {
        Fault {
            title: title.into(),
            span: None,
            label: String::new(),
            also: vec![],
            help: vec![],
        }
    }

    /// With a line that says what would be right.
    #[must_use]
    pub fn help(mut self, line: impl Into<String>) -> Fault {
        self.help.push(line.into());
        self
    }

    /// With lines that say what would be right, if there are any.
    #[must_use]
    pub(crate) fn helps(mut self, lines: impl IntoIterator<Item = String>) -> Fault {
        self.help.extend(lines);
        self
    }

    /// With another place that has to do with it.
    #[must_use]
    pub fn also(mut self, span: Range<usize>, label: impl Into<String>) -> Fault {
        self.also.push((span, label.into()));
        self
    }
}

impl Faults {
    /// Puts the faults of a file in order. Every place is brought inside the text.
    pub(crate) fn new(name: &str, text: &str, mut list: Vec<Fault>, warning: bool) -> Faults {
        for fault in &mut list {
            let also = fault.also.iter_mut().map(|(_, label)| label);
            for words in [&mut fault.title, &mut fault.label]
                .into_iter()
                .chain(also)
                .chain(&mut fault.help)
            {
                shorten(words);
            }
            fault.span = fault.span.take().map(|span| within(text, span));
            fault
                .also
                .iter_mut()
                .for_each(|(span, _)| *span = within(text, span.clone()));
        }
        list.sort_by_key(|fault| fault.span.as_ref().map(|span| (span.start, span.end)));
        list.dedup();
        Faults {
            name: name.to_string(),
            text: text.to_string(),
            list,
            warning,
        }
    }

    /// A file that could not even be read.
    pub(crate) fn unread(name: &str, fault: Fault) -> Faults {
        Faults::new(name, "", vec![fault], false)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &Fault> {
        self.list.iter()
    }

    /// All of them as text for a terminal that shows colour, or as plain text.
    pub fn render(&self, colour: bool) -> String {
        let renderer = if colour {
            Renderer::styled()
        } else {
            Renderer::plain()
        };
        let mut out = String::new();
        for fault in self.list.iter().take(MOST) {
            out.push_str(&renderer.render(&[self.group(fault)]));
            out.push_str("\n\n");
        }
        if self.list.len() > MOST {
            out.push_str(&format!("... and {} more\n\n", self.list.len() - MOST));
        }
        out
    }

    /// The first few of them in one line, for a log: where each is, and what.
    pub fn brief(&self) -> String {
        const FEW: usize = 5;
        let told = self.list.iter().take(FEW).map(|fault| match &fault.span {
            Some(span) => {
                let before = &self.text[..span.start];
                let start = before.rfind('\n').map_or(0, |at| at + 1);
                let (line, column) = (
                    before.matches('\n').count() + 1,
                    before[start..].chars().count() + 1,
                );
                format!("{}:{line}:{column}: {}", self.name, fault.title)
            }
            None => fault.title.clone(),
        });
        let more = self.list.len().saturating_sub(FEW);
        let more = (more > 0).then(|| format!("and {more} more"));
        told.chain(more).collect::<Vec<_>>().join("; ")
    }

    fn group<'a>(&'a self, fault: &'a Fault) -> Group<'a> {
        let level = if self.warning {
            Level::WARNING
        } else {
            Level::ERROR
        };
        let mut group = Group::with_title(level.primary_title(fault.title.as_str()));
        if let Some(span) = &fault.span {
            let label = (!fault.label.is_empty()).then_some(fault.label.as_str());
            let snippet =
                Snippet::source(self.text.as_str())
                    .path(self.name.as_str())
                    .annotation(AnnotationKind::Primary.span(span.clone()).label(label))
                    .annotations(fault.also.iter().map(|(span, label)| {
                        AnnotationKind::Context.span(span.clone()).label(label.as_str())
                    }));
            group = group.element(snippet);
        }
        group.elements(fault.help.iter().map(|line| Level::HELP.message(line.as_str())))
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.render(false).trim_end())
    }
}

impl std::error::Error for Faults {}

/// Words that quote an endless value lose its middle.
fn shorten(words: &mut String) {
    const LONGEST: usize = 400;
    let count = words.chars().count();
    if count > LONGEST {
        let (head, tail) = (
            words.chars().take(LONGEST / 2),
            words.chars().skip(count - LONGEST / 4),
        );
        *words = head.chain(" ... ".chars()).chain(tail).collect();
    }
}

/// The span, cut to the text and to whole characters.
fn within(text: &str, span: Range<usize>) -> Range<usize> {
    let floor = |mut at: usize| {
        at = at.min(text.len());
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        at
    };
    let start = floor(span.start);
    start..floor(span.end).max(start)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn for_a_log_they_are_one_line() {
        let text = "a = 1\nä b\nc\n";
        let faults = |n: usize| {
            let places = (0..n).map(|_| Fault::at(9..10, "no `b`", "here").help("say so"));
            let whole = std::iter::once(Fault::whole("too long"));
            let list = whole.chain(places.enumerate().map(|(n, fault)| fault.help(n.to_string())));
            Faults::new("x.toml", text, list.collect(), false).brief()
        };
        assert_eq!(faults(1), "too long; x.toml:2:3: no `b`");
        assert!(
            faults(6).ends_with("x.toml:2:3: no `b`; and 2 more"),
            "{}",
            faults(6)
        );
        assert_eq!(faults(6).lines().count(), 1);
    }
}

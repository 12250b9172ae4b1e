//! What is wrong between the parts of a file that was read: found in the values, shown in the text.

use super::fault::Fault;
use super::load::Loaded;

/// Something that does not fit together, by the paths of the values that it is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issue {
    path: String,
    part: Option<String>,
    needs: Option<String>,
    title: String,
    label: String,
    also: Vec<(String, String)>,
    help: Vec<String>,
    warning: bool,
}

impl Issue {
    /// An issue with the value at `path`, such as `port[2].publish[0].topic`.
    pub fn at(path: impl Into<String>, title: impl Into<String>, label: impl Into<String>) -> Issue {
        Issue {
            path: path.into(),
            part: None,
            needs: None,
            title: title.into(),
            label: label.into(),
            also: vec![],
            help: vec![],
            warning: false,
        }
    }

    /// With another value that has to do with it.
    #[must_use]
    pub fn also(mut self, path: impl Into<String>, label: impl Into<String>) -> Issue {
        self.also.push((path.into(), label.into()));
        self
    }

    /// With the caret under this part of the value, where it stands in it word for word.
    #[must_use]
    pub fn part(mut self, part: impl Into<String>) -> Issue {
        self.part = Some(part.into());
        self
    }

    /// Only if this value, too, is as it was written.
    #[must_use]
    pub fn needs(mut self, path: impl Into<String>) -> Issue {
        self.needs = Some(path.into());
        self
    }

    /// With a line that says what would be right.
    #[must_use]
    pub fn help(mut self, line: impl Into<String>) -> Issue {
        self.help.push(line.into());
        self
    }

    /// As something doubtful that is no fault.
    #[must_use]
    pub fn warning(mut self) -> Issue {
        self.warning = true;
        self
    }

    /// Whether this is no fault, only doubtful.
    pub fn is_warning(&self) -> bool {
        self.warning
    }

    /// The issue at its place in the text; none if it only follows from a fault that is told anyway.
    pub(crate) fn fault<T>(&self, loaded: &Loaded<T>, text: &str) -> Option<Fault> {
        if let Some(needed) = &self.needs {
            loaded.place(needed)?;
        }
        let mut span = loaded.place(&self.path)?;
        let value = text.get(span.clone()).unwrap_or("");
        if let Some((part, at)) = self
            .part
            .as_ref()
            .and_then(|part| Some((part, value.find(part)?)))
        {
            span = span.start + at..span.start + at + part.len();
        }
        let mut fault = Fault::at(span, self.title.as_str(), self.label.as_str());
        for (path, label) in &self.also {
            fault = fault.also(loaded.place(path)?, label.as_str());
        }
        Some(
            self.help
                .iter()
                .fold(fault, |fault, line| fault.help(line.as_str())),
        )
    }
}

//! What is wrong with a configuration, in a form for people and for machines: which file, where in
//! it, which key, what was seen, what would be accepted.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::file::Text;

/// Characters of one source line that a snippet shows.
const SNIPPET_WIDTH: usize = 96;
/// Characters of a seen value that a message repeats.
const SEEN_WIDTH: usize = 60;

/// Every problem of a configuration, by file and place. Never empty when returned as an error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Problems(pub Vec<Problem>);

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    #[serde(serialize_with = "lossy")]
    pub file: PathBuf,
    /// `None`: the problem is the file itself, or something that is missing in all of it.
    #[serde(flatten)]
    pub at: Option<Box<Place>>,
    /// Key path such as `origin[1].port`; empty for the file itself.
    pub path: String,
    /// What is wrong, with the value seen.
    pub what: String,
    /// What would be accepted, or the way out.
    pub accepted: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Place {
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
    /// The part of the line that is shown, and where in it the carets stand.
    #[serde(skip)]
    snippet: Snippet,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Snippet {
    text: String,
    indent: usize,
    width: usize,
}

impl Problem {
    /// A problem with a file as a whole.
    pub fn of_file(file: &Path, what: impl Into<String>, accepted: Option<String>) -> Problem {
        Problem {
            file: file.to_owned(),
            at: None,
            path: String::new(),
            what: what.into(),
            accepted,
        }
    }

    /// A problem at `span` (bytes) of `text`.
    pub fn at(text: &Text, span: Range<usize>, path: &str, what: String) -> Problem {
        Problem {
            file: text.path.clone(),
            at: Some(Box::new(place(&text.text, span))),
            path: path.to_owned(),
            what,
            accepted: None,
        }
    }

    pub fn accepted(mut self, accepted: impl Into<String>) -> Problem {
        self.accepted = Some(accepted.into());
        self
    }

    fn order(&self) -> (&Path, usize, usize) {
        let (line, column) = self.at.as_ref().map_or((0, 0), |at| (at.line, at.column));
        (&self.file, line, column)
    }
}

impl Problems {
    /// `Ok` when there is none.
    pub fn none_or<T>(mut problems: Vec<Problem>, value: T) -> Result<T, Problems> {
        if problems.is_empty() {
            return Ok(value);
        }
        problems.sort_by(|a, b| a.order().cmp(&b.order()));
        Err(Problems(problems))
    }
}

impl std::error::Error for Problems {}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for problem in &self.0 {
            writeln!(f, "{problem}")?;
        }
        let files: std::collections::BTreeSet<&Path> =
            self.0.iter().map(|p| p.file.as_path()).collect();
        let plural =
            |n: usize, one: &str| if n == 1 { format!("1 {one}") } else { format!("{n} {one}s") };
        write!(f, "{} in {}", plural(self.0.len(), "problem"), plural(files.len(), "file"))
    }
}

/// Ends with a line feed.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some(at) = &self.at {
            write!(f, ":{}:{}", at.line, at.column)?;
        }
        write!(f, ": ")?;
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        writeln!(f, "{}", self.what)?;
        let gutter = self.at.as_ref().map_or(2, |at| at.line.to_string().len() + 2);
        if let Some(at) = &self.at {
            let Snippet { text, indent, width } = &at.snippet;
            writeln!(f, "{:>gutter$} | {text}", at.line)?;
            writeln!(f, "{:>gutter$} | {:indent$}{}", "", "", "^".repeat(*width))?;
        }
        if let Some(accepted) = &self.accepted {
            writeln!(f, "{:>gutter$} = accepted: {accepted}", "")?;
        }
        Ok(())
    }
}

/// Any name can be a file's; the list of problems must come through all the same.
fn lossy<S: serde::Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&path.display())
}

/// The text of a value as the operator wrote it, on one line and not too long.
pub fn seen(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    let mut shown: String = line.chars().map(printable).take(SEEN_WIDTH).collect();
    if shown.len() < text.trim_end().len() && text.chars().count() > shown.chars().count() {
        shown.push('…');
    }
    shown
}

fn place(text: &str, span: Range<usize>) -> Place {
    let start = floor(text, span.start);
    let end = floor(text, span.end).max(start);
    let line_start = text[..start].rfind('\n').map_or(0, |i| i + 1);
    let line_end = text[start..].find('\n').map_or(text.len(), |i| start + i);
    let line = text[..start].bytes().filter(|b| *b == b'\n').count() + 1;
    let before = text[line_start..start].chars().count();
    let marked = text[start..end.min(line_end)].trim_end().chars().count();
    let shown_from = before.saturating_sub(SNIPPET_WIDTH / 2);
    let shown: String = text[line_start..line_end]
        .chars()
        .skip(shown_from)
        .take(SNIPPET_WIDTH)
        .map(printable)
        .collect();
    let indent = before - shown_from;
    let width = marked.clamp(1, SNIPPET_WIDTH.saturating_sub(indent).max(1));
    let snippet = Snippet { text: shown.trim_end().to_owned(), indent, width };
    Place { line, column: before + 1, snippet }
}

/// The nearest character boundary at or before `at`.
fn floor(text: &str, at: usize) -> usize {
    let at = at.min(text.len());
    (0..=at).rev().find(|i| text.is_char_boundary(*i)).unwrap_or(0)
}

/// A file may hold anything; a terminal must not be told to do anything.
fn printable(c: char) -> char {
    match c {
        '\t' => ' ',
        c if c.is_control() => '\u{fffd}',
        c => c,
    }
}

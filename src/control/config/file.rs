//! What was written: bytes of a file, and the TOML document in them with the position of every key
//! and value. Not here: what the keys mean (`check`).

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::DeTable;

use super::problem::{Problem, seen};
use crate::limits::{CONFIG_FILE_BYTES_MAX, CONFIG_PROBLEMS_MAX};

/// A text and where it came from; the path is empty when it came from no file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Text {
    pub path: PathBuf,
    pub text: String,
}

impl Text {
    /// Reads a file; refuses what cannot be a configuration.
    pub fn read(path: &Path) -> Result<Text, Problem> {
        let problem = |what: String, accepted: Option<&str>| {
            Problem::of_file(path, what, accepted.map(str::to_owned))
        };
        let unreadable = |error: io::Error| match error.kind() {
            io::ErrorKind::NotFound => problem("there is no such file".to_owned(), None),
            io::ErrorKind::PermissionDenied => problem(
                "not readable: permission denied".to_owned(),
                Some("a file that the user who runs hawser may read"),
            ),
            _ => problem(format!("not readable: {error}"), None),
        };
        // Asked before opening: opening a named pipe would wait for its writer.
        let metadata = std::fs::metadata(path).map_err(unreadable)?;
        if metadata.is_dir() {
            return Err(problem("is a directory".to_owned(), Some("a TOML file")));
        }
        if !metadata.is_file() {
            return Err(problem("is not a regular file".to_owned(), Some("a TOML file")));
        }
        let mut bytes = Vec::new();
        let file = File::open(path).map_err(unreadable)?;
        file.take(CONFIG_FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(unreadable)?;
        if bytes.len() as u64 > CONFIG_FILE_BYTES_MAX {
            return Err(too_large(path));
        }
        match String::from_utf8(bytes) {
            Ok(text) => Ok(Text { path: path.to_owned(), text }),
            Err(error) => Err(not_utf8(path, &error)),
        }
    }

    /// A text that is to stand in this file; refuses what could not be read back.
    pub fn of(path: PathBuf, text: String) -> Result<Text, Problem> {
        if text.len() as u64 > CONFIG_FILE_BYTES_MAX {
            return Err(too_large(&path));
        }
        Ok(Text { path, text })
    }

    /// The document, or every syntax error in it.
    pub fn parse(&self) -> Result<Spanned<DeTable<'_>>, Vec<Problem>> {
        let (document, errors) = DeTable::parse_recoverable(&self.text);
        if errors.is_empty() {
            return Ok(document);
        }
        let mut problems: Vec<Problem> = Vec::new();
        for error in errors.into_iter().take(CONFIG_PROBLEMS_MAX) {
            let span = error.span().unwrap_or(0..0);
            let problem = Problem::at(self, span, "", format!("TOML: {}", error.message()));
            // One slip makes the recovering parser stumble several times on the same line.
            let line = |p: &Problem| p.at.as_ref().map(|at| at.line);
            if problems.iter().all(|known| line(known) != line(&problem)) {
                problems.push(problem);
            }
        }
        Err(problems)
    }

    /// The value at `span` as it was written.
    pub fn seen(&self, span: std::ops::Range<usize>) -> String {
        seen(self.text.get(span).unwrap_or_default())
    }
}

fn too_large(path: &Path) -> Problem {
    let what = format!("is larger than {CONFIG_FILE_BYTES_MAX} bytes");
    Problem::of_file(path, what, Some("a file of at most 1 MiB".to_owned()))
}

fn not_utf8(path: &Path, error: &std::string::FromUtf8Error) -> Problem {
    let good = error.utf8_error().valid_up_to();
    let text = String::from_utf8_lossy(error.as_bytes()).into_owned();
    let byte = error.as_bytes()[good];
    let text = Text { path: path.to_owned(), text };
    Problem::at(&text, good..good + 1, "", format!("byte 0x{byte:02x} is not UTF-8"))
        .accepted("a text in UTF-8")
}

//! The document as a file.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::Path;

use anyhow::{Context as _, bail, ensure};
use serde::{Deserialize, Serialize};

use super::{Curve, Figure, Machine};

/// Raised when a reader of the older one would misunderstand it.
const SCHEMA: u32 = 1;

#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Document {
    pub schema: u32,
    /// When it was begun, in UTC.
    pub measured: jiff::Timestamp,
    /// What repeats it, from the top of the repository.
    pub commands: Vec<String>,
    pub machine: Machine,
    /// Of the programs that were measured, by their names.
    pub versions: BTreeMap<String, String>,
    pub figures: Vec<Figure>,
    pub curves: Vec<Curve>,
    /// What a reader has to know of this measurement apart from others.
    pub notes: Vec<String>,
}

impl Document {
    /// An empty one, of this machine and now.
    pub fn begun(commands: Vec<String>, versions: BTreeMap<String, String>) -> Document {
        Document {
            schema: SCHEMA,
            // To the second; nobody needs more.
            measured: jiff::Timestamp::from_second(jiff::Timestamp::now().as_second())
                .unwrap_or(jiff::Timestamp::UNIX_EPOCH),
            commands,
            machine: Machine::here(),
            versions,
            figures: Vec::new(),
            curves: Vec::new(),
            notes: Vec::new(),
        }
    }

    pub fn read(path: &Path) -> anyhow::Result<Document> {
        let shown = path.display();
        let text = fs::read_to_string(path).with_context(|| {
            format!("read {shown}; `loadtest/compare` writes such a file, or name another folder")
        })?;
        Document::parse(&text).with_context(|| format!("{shown}"))
    }

    fn parse(text: &str) -> anyhow::Result<Document> {
        #[derive(Deserialize)]
        struct Head {
            schema: u32,
        }
        let head: Head = serde_json::from_str(text).context("not a document of figures")?;
        let schema = head.schema;
        ensure!(
            schema == SCHEMA,
            "schema {schema}; this program reads {SCHEMA}: use the program of that release"
        );
        let document: Document = serde_json::from_str(text)?;
        document.check()?;
        Ok(document)
    }

    /// Whole or not at all: an earlier file stays until the new one is written.
    pub fn write(&self, path: &Path) -> anyhow::Result<()> {
        self.check()?;
        let mut text = serde_json::to_string_pretty(self)?;
        text.push('\n');
        write_whole(path, text.as_bytes())
    }

    fn check(&self) -> anyhow::Result<()> {
        for figure in &self.figures {
            figure.check()?;
        }
        for curve in &self.curves {
            curve.check()?;
        }
        let mut names: Vec<&str> = self.figures.iter().map(|figure| &*figure.name).collect();
        names.extend(self.curves.iter().map(|curve| &*curve.name));
        names.sort_unstable();
        match names.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => bail!("two figures or curves are called {}", pair[0]),
            None => Ok(()),
        }
    }
}

/// Replaces a file by a rename, so that a reader sees the old one or the new one.
pub fn write_whole(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let write = || -> anyhow::Result<()> {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new("."));
        fs::create_dir_all(folder)?;
        // Readable by everybody, as a file made in the ordinary way.
        let mut file = tempfile::Builder::new()
            .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))
            .tempfile_in(folder)?;
        file.write_all(bytes)?;
        file.persist(path)?;
        Ok(())
    };
    write().with_context(|| format!("write {}", path.display()))
}

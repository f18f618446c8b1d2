//! `report`: what people read of a folder with a `result.json`: tables in Markdown, plots as PNG,
//! and one page that needs nothing but itself. Not here: measuring.

mod chart;
mod drawing;
pub mod look;
mod markdown;
mod page;
mod png;
mod scale;
mod sections;

use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::figures::{Document, write_whole};
use sections::sections;

#[derive(clap::Args)]
pub struct Options {
    /// Folder with a `result.json`, as `loadtest/compare` leaves it. README.md, index.html and the
    /// plots are written beside it.
    folder: PathBuf,
}

pub fn run(options: &Options) -> anyhow::Result<()> {
    let document = Document::read(&options.folder.join("result.json"))?;
    for path in write(&document, &options.folder)? {
        println!("{}", path.display());
    }
    Ok(())
}

/// Everything of a report, and the paths of its files.
pub fn write(document: &Document, folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let title = title(folder);
    let sections = sections(document);
    let mut files: Vec<(String, Vec<u8>)> = vec![
        ("README.md".into(), markdown::text(&title, document, &sections).into_bytes()),
        ("index.html".into(), page::text(&title, document, &sections).into_bytes()),
    ];
    for section in &sections {
        let plot = png::sheet(&section.drawings()).context(section.name.clone())?;
        files.push((section.plot_name(), plot));
    }
    let mut paths = Vec::new();
    for (name, bytes) in files {
        let path = folder.join(name);
        write_whole(&path, &bytes)?;
        paths.push(path);
    }
    Ok(paths)
}

/// The folder's own name, which is a release's.
fn title(folder: &Path) -> String {
    let whole = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    whole.file_name().map_or_else(|| "results".into(), |name| name.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests;

//! The files of the repository: what belongs to it, which module each one is, and where links lead.
//! Not here: the rules.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::facts::{Facts, PathFact};

pub struct RustFile {
    /// Path below the root, with `/`.
    pub name: String,
    pub text: String,
    pub facts: Facts,
    /// Some target compiles it.
    pub reached: bool,
    /// Every way to it leads through `#[cfg(test)]`.
    pub only_in_tests: bool,
}

pub struct Tree {
    pub files: Vec<RustFile>,
}

impl Tree {
    pub fn read() -> Tree {
        let mut files: Vec<RustFile> = walk(&root(), "rs")
            .into_iter()
            .map(|name| {
                let text =
                    fs::read_to_string(root().join(&name)).expect("a listed file is readable");
                let facts = Facts::of(&text).unwrap_or_else(|e| panic!("{name} {e}"));
                RustFile { name, text, facts, reached: false, only_in_tests: true }
            })
            .collect();
        let targets: Vec<usize> = (0..files.len()).filter(|&i| is_target(&files[i].name)).collect();
        for i in targets {
            reach(&mut files, i, false);
        }
        // The insides of a file that only tests compile are test code altogether.
        for file in files.iter_mut().filter(|file| file.only_in_tests || !file.in_src()) {
            file.facts.paths.iter_mut().for_each(|path| path.in_test = true);
        }
        Tree { files }
    }
}

impl RustFile {
    pub fn in_src(&self) -> bool {
        self.name.starts_with("src/")
    }

    /// The part of `src/` that it belongs to; `lib.rs` belongs to none.
    pub fn area(&self) -> Option<String> {
        let first = self.name.strip_prefix("src/")?.split('/').next()?;
        let area = first.trim_end_matches(".rs");
        (area != "lib").then(|| area.to_owned())
    }

    /// The path from the crate's root, or `None` for what is outside the crate.
    pub fn resolve(&self, path: &PathFact) -> Option<String> {
        let segments = &path.segments;
        let supers = segments.iter().take_while(|s| *s == "super" || *s == "self").count();
        let climbs =
            segments.iter().take_while(|s| *s != "crate").filter(|s| *s == "super").count();
        match segments[0].as_str() {
            "crate" | "hawser" => Some(segments[1..].join("::")),
            "super" => {
                let module = self.module();
                let keep = (module.len() + path.depth).checked_sub(climbs)?;
                // What `super` reaches inside this file is its own.
                let base = module.iter().take(keep).cloned();
                Some(base.chain(segments[supers..].iter().cloned()).collect::<Vec<_>>().join("::"))
            }
            _ => None,
        }
    }

    /// A module of that name in this file, which then is what the word means.
    pub fn declares(&self, name: &str) -> bool {
        self.facts.modules.iter().any(|module| module.name == name)
    }

    /// The comment that ends right above the statement which holds `line`.
    pub fn comment_above(&self, line: usize) -> String {
        let lines: Vec<&str> = self.text.lines().collect();
        let mut comment = lines[line - 1].split_once("//").map_or("", |c| c.1).to_owned();
        for text in lines[..line - 1].iter().rev().map(|text| text.trim()) {
            let ends_another = text.is_empty() || text.ends_with([';', '}', '{', ',']);
            if text.starts_with("//") || text.starts_with('#') {
                comment.push_str(text);
            } else if ends_another || comment.contains("//") {
                break;
            }
        }
        comment
    }

    /// Plain comments (not documentation) that have a line of their own.
    pub fn comments(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.lines().enumerate().filter_map(|(i, text)| {
            let inside = |&(from, to): &(usize, usize)| from <= i + 1 && i < to;
            let comment = text.trim_start().strip_prefix("//")?;
            let documentation = comment.starts_with(['/', '!']);
            let literal = self.facts.long_literals.iter().any(inside);
            (!documentation && !literal).then_some((i + 1, comment))
        })
    }

    fn module(&self) -> Vec<String> {
        let path = self.name.trim_start_matches("src/").trim_end_matches(".rs");
        let mut module: Vec<String> = path.split('/').map(str::to_owned).collect();
        if matches!(module.last().map(String::as_str), Some("mod" | "lib" | "main")) {
            module.pop();
        }
        module
    }
}

pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Names under `[dependencies]`, as code writes them.
pub fn dependencies(manifest: &str) -> BTreeSet<String> {
    let section = manifest.split("\n[dependencies]\n").nth(1).unwrap_or_default();
    let section = section.split("\n[").next().unwrap_or_default();
    let names = section.lines().filter(|line| !line.starts_with('#'));
    names.filter_map(|line| Some(line.split_once(" = ")?.0.replace('-', "_"))).collect()
}

/// Every Markdown file with its text.
pub fn documents() -> Vec<(String, String)> {
    let names = walk(&root(), "md").into_iter();
    names.map(|n| (n.clone(), fs::read_to_string(root().join(n)).expect("is readable"))).collect()
}

/// Inline links of a Markdown text, code left out, with their lines.
pub fn links(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut fenced = false;
    for (i, line) in text.lines().enumerate() {
        fenced ^= line.trim_start().starts_with("```");
        if fenced {
            continue;
        }
        let prose: String = line.split('`').step_by(2).collect::<Vec<_>>().join("``");
        for after in prose.split("](").skip(1) {
            let target = after.split([')', ' ']).next().unwrap_or_default();
            found.push((i + 1, target.to_owned()));
        }
    }
    found
}

/// Whether a link of document `from` leads to a file of the tree and a heading in it. Other sites
/// are not asked.
pub fn resolves(from: &str, target: &str) -> Result<(), String> {
    if target.contains("://") || target.starts_with("mailto:") {
        return Ok(());
    }
    let (path, heading) = target.split_once('#').map_or((target, None), |(p, h)| (p, Some(h)));
    let folder = Path::new(from).parent().unwrap_or(Path::new(""));
    let file = match path {
        "" => root().join(from),
        absolute if absolute.starts_with('/') => return Err("is absolute".into()),
        relative => root().join(folder).join(relative),
    };
    if !file.exists() {
        return Err("no such file".into());
    }
    let Some(heading) = heading else { return Ok(()) };
    let text = fs::read_to_string(&file).map_err(|e| e.to_string())?;
    let mut headings = text.lines().filter(|line| line.starts_with('#')).map(anchor);
    if headings.any(|h| h == heading) { Ok(()) } else { Err("no such heading".into()) }
}

/// A heading as the usual renderers name it.
fn anchor(heading: &str) -> String {
    let text = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = text.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

/// Files below `from` with this extension, build products and hidden folders left out.
fn walk(from: &Path, extension: &str) -> Vec<String> {
    const NOT_OURS: &[&str] = &["target", "node_modules", "artifacts", "corpus"];
    let mut found = Vec::new();
    let mut folders = vec![from.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a listed folder is readable").flatten() {
            let (path, name) = (entry.path(), entry.file_name());
            let name = name.to_string_lossy();
            if path.is_dir() && !name.starts_with('.') && !NOT_OURS.contains(&&*name) {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == extension) {
                let below = path.strip_prefix(from).expect("was found below it");
                found.push(below.to_string_lossy().replace('\\', "/"));
            }
        }
    }
    found.sort();
    found
}

/// Roots that Cargo compiles by themselves.
fn is_target(name: &str) -> bool {
    let parts: Vec<&str> = name.split('/').collect();
    matches!(
        *parts,
        [.., "src", "main.rs" | "lib.rs"]
            | ["build.rs"]
            | [.., "src", "bin", _]
            | ["tests" | "benches" | "examples", _]
            | [_, "tests" | "benches", _]
            | ["tests", _, "main.rs"]
            | ["fuzz", "fuzz_targets", _]
    )
}

/// Marks file `i` and all that its `mod` declarations lead to.
fn reach(files: &mut Vec<RustFile>, i: usize, in_test: bool) {
    if files[i].reached && (in_test || !files[i].only_in_tests) {
        return;
    }
    files[i].reached = true;
    files[i].only_in_tests &= in_test;
    let name = files[i].name.clone();
    let (folder, file) = name.rsplit_once('/').unwrap_or(("", &name));
    let own_folder = match file {
        "mod.rs" => folder.to_owned(),
        _ if is_target(&name) => folder.to_owned(),
        _ => name.trim_end_matches(".rs").to_owned(),
    };
    let declared: Vec<(Vec<String>, bool)> = files[i]
        .facts
        .modules
        .iter()
        .map(|module| {
            let base = [std::slice::from_ref(&own_folder), &*module.inside].concat().join("/");
            let name = &module.name;
            let candidates = match &module.path {
                Some(path) => vec![format!("{folder}/{path}")],
                None => vec![format!("{base}/{name}.rs"), format!("{base}/{name}/mod.rs")],
            };
            (candidates, in_test || module.in_test)
        })
        .collect();
    for (candidates, in_test) in declared {
        if let Some(next) = files.iter().position(|file| candidates.contains(&file.name)) {
            reach(files, next, in_test);
        }
    }
}

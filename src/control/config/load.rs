//! From files to a whole configuration: which files there are, and what holds across them.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::file::Text;
use super::keys;
use super::problem::{Problem, Problems};
use super::{DomainConfig, Loaded, ServerConfig, check, render};
use crate::control::billing::prices::Prices;
use crate::limits::DOMAINS_MAX;

/// Read when no file is named and it exists.
pub const DEFAULT_FILE: &str = "/etc/hawser/hawser.toml";

/// Texts of domains that stand in for their files; `None` is no file. Empty: the files as they are.
pub type WouldBe = BTreeMap<Arc<str>, Option<String>>;

/// Where a configuration is read from, again at every reload.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Source {
    /// `None`: [`DEFAULT_FILE`] if it exists, else all defaults.
    pub file: Option<PathBuf>,
    /// Instead of `server.state_dir`.
    pub state_dir: Option<PathBuf>,
}

impl Source {
    /// Reads and checks everything.
    pub fn load(&self) -> Result<Loaded, Problems> {
        self.load_with(&WouldBe::new())
    }

    /// Reads and checks everything as it would be.
    pub fn load_with(&self, would_be: &WouldBe) -> Result<Loaded, Problems> {
        let mut problems = Vec::new();
        let (server, state_dir) = self.server(&mut problems);
        let domains =
            state_dir.map(|dir| domains(&dir, would_be, &mut problems)).unwrap_or_default();
        finish(server, domains, problems)
    }

    /// The state directory alone, so that a running edge can be found however bad its new
    /// configuration is.
    pub fn state_dir(&self) -> Result<PathBuf, Problems> {
        let mut problems = Vec::new();
        match self.server(&mut problems).1 {
            Some(dir) => Ok(dir),
            None => Problems::none_or(problems, PathBuf::new()),
        }
    }

    /// What concerns the process, without any domain.
    pub fn server_config(&self) -> Result<ServerConfig, Problems> {
        let mut problems = Vec::new();
        let server = self.server(&mut problems).0;
        Problems::none_or(problems, server).map(|server| server.expect("refused with a problem"))
    }

    /// The server part, with its state directory; the latter also when the former is refused for
    /// another reason.
    fn server(&self, problems: &mut Vec<Problem>) -> (Option<ServerConfig>, Option<PathBuf>) {
        let text = match self.text() {
            Ok(text) => text,
            Err(problem) => {
                problems.push(problem);
                return (None, self.state_dir.clone());
            }
        };
        let mut config = check::server(&text, problems);
        if let Some(billing) = config.as_mut().map(|config| &mut config.billing) {
            let read = billing.price_file.as_deref().map(Prices::read).transpose();
            let prices = read.map_err(|problem| problems.push(problem)).ok().flatten();
            billing.prices = prices.map(Arc::new);
        }
        let dir = match &self.state_dir {
            Some(dir) => override_dir(dir).map_err(|problem| problems.push(problem)).ok(),
            None => check::state_dir(&text),
        };
        let config = config.zip(dir.clone());
        (config.map(|(config, state_dir)| ServerConfig { state_dir, ..config }), dir)
    }

    /// The file that is read, if any.
    pub fn path(&self) -> Option<&Path> {
        let default = Path::new(DEFAULT_FILE);
        self.file.as_deref().or_else(|| default.exists().then_some(default))
    }

    fn text(&self) -> Result<Text, Problem> {
        self.path().map_or_else(|| Ok(Text::default()), Text::read)
    }
}

/// Reads and checks everything; `None` as in [`Source::file`].
pub fn load(file: Option<&Path>) -> Result<Loaded, Problems> {
    Source { file: file.map(Path::to_owned), state_dir: None }.load()
}

/// Reads and checks the domain files of a state directory.
pub fn load_domains(state_dir: &Path) -> Result<Vec<DomainConfig>, Problems> {
    let mut problems = Vec::new();
    let domains = domains(state_dir, &WouldBe::new(), &mut problems);
    Problems::none_or(problems, domains)
}

/// A configuration that is in no files: one server text and any number of domain texts.
pub fn from_texts(server: &Text, domains: &[Text]) -> Result<Loaded, Problems> {
    let mut problems = Vec::new();
    let server = check::server(server, &mut problems);
    let checked = domains.iter().filter_map(|text| check::domain(text, &mut problems)).collect();
    let domains = without_twins(checked, &mut problems);
    finish(server, domains, problems)
}

/// Checks a list of `[[domain]]` tables.
pub fn check_list(text: &Text) -> Result<Vec<DomainConfig>, Problems> {
    let mut problems = Vec::new();
    let checked = check::domain_list(text, &mut problems);
    let domains = without_twins(checked, &mut problems);
    Problems::none_or(problems, domains)
}

/// The directory of the domain files.
pub fn domains_dir(state_dir: &Path) -> PathBuf {
    state_dir.join("domains")
}

/// The domain files of a state directory, by name. None when the directory does not exist yet.
pub fn domain_files(state_dir: &Path) -> Result<Vec<PathBuf>, Problem> {
    let dir = domains_dir(state_dir);
    let unreadable = |error: io::Error| {
        let accepted = "a directory that the user who runs hawser may list".to_owned();
        Problem::of_file(&dir, format!("not readable: {error}"), Some(accepted))
    };
    let entries = match std::fs::read_dir(&dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(unreadable)?,
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.map_err(unreadable)?.path();
        // Hidden files are half-written ones, of ours and of editors.
        let hidden = path.file_name().is_some_and(|n| n.as_encoded_bytes().starts_with(b"."));
        if path.extension().is_some_and(|e| e == "toml") && !hidden {
            files.push(path);
        }
    }
    bounded(files.len(), &dir)?;
    files.sort();
    Ok(files)
}

fn bounded(files: usize, dir: &Path) -> Result<(), Problem> {
    if files <= DOMAINS_MAX {
        return Ok(());
    }
    let what = format!("has {files} domain files");
    Err(Problem::of_file(dir, what, Some(format!("at most {DOMAINS_MAX}"))))
}

fn domains(state_dir: &Path, would_be: &WouldBe, problems: &mut Vec<Problem>) -> Vec<DomainConfig> {
    let mut files = domain_files(state_dir).unwrap_or_else(|problem| {
        problems.push(problem);
        Vec::new()
    });
    let dir = domains_dir(state_dir);
    let would_be: BTreeMap<PathBuf, Option<&String>> =
        would_be.iter().map(|(n, t)| (dir.join(format!("{n}.toml")), t.as_ref())).collect();
    files.extend(would_be.keys().cloned());
    files.sort();
    files.dedup();
    files.retain(|file| would_be.get(file).is_none_or(Option::is_some));
    problems.extend(bounded(files.len(), &dir).err());
    let mut domains = Vec::new();
    for file in files {
        let text = match would_be.get(&file) {
            Some(Some(text)) => Text::of(file, (*text).clone()),
            _ => Text::read(&file),
        };
        match text {
            Ok(text) => domains.extend(domain_file(&text, problems)),
            Err(problem) => problems.push(problem),
        }
    }
    without_twins(domains, problems)
}

/// Checks a text as the domain file of its path. A wrong file name does not hide the domain, so
/// that two files with one name are told of together.
pub fn domain_file(text: &Text, problems: &mut Vec<Problem>) -> Option<DomainConfig> {
    let config = check::domain(text, problems);
    check::file_name(text, problems);
    config
}

/// By name; a name that two files claim is a problem that names both.
fn without_twins(domains: Vec<DomainConfig>, problems: &mut Vec<Problem>) -> Vec<DomainConfig> {
    let mut by_name: BTreeMap<Arc<str>, DomainConfig> = BTreeMap::new();
    for domain in domains {
        if let Some(first) = by_name.get(&domain.name) {
            let what = format!("\"{}\" is the domain of {} too", domain.name, first.file.display());
            let problem = Problem::of_file(&domain.file, what, Some("one file per name".into()));
            problems.push(Problem { path: keys::domain::NAME.name.to_owned(), ..problem });
            continue;
        }
        by_name.insert(Arc::clone(&domain.name), domain);
    }
    by_name.into_values().collect()
}

fn finish(
    server: Option<ServerConfig>,
    domains: Vec<DomainConfig>,
    problems: Vec<Problem>,
) -> Result<Loaded, Problems> {
    let loaded = server.map(|server| {
        let hash = render::hash(&server, &domains);
        Loaded { server, domains, hash }
    });
    Problems::none_or(problems, loaded).map(|loaded| loaded.expect("refused only with a problem"))
}

/// The `--state-dir` flag, under the rules of the key.
fn override_dir(dir: &Path) -> Result<PathBuf, Problem> {
    let whole = std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned());
    let text = whole.to_str().ok_or(Some("not UTF-8".to_owned()));
    text.and_then(|text| (super::words::STATE_DIR.read)(text)).map_err(|why| {
        let accepted = super::words::STATE_DIR.accepts.to_owned();
        Problem::of_file(&whole, why.unwrap_or_default(), Some(accepted))
    })
}

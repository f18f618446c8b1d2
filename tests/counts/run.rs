//! Builds the program of cases and runs it under valgrind's callgrind. Not here: what the counts
//! are compared with.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::baseline::{Count, Counts, Made};

/// Optimised as a release is, but for what would take minutes and does not belong to the code that
/// is counted: link-time optimisation over all crates, and crates that no case runs through.
const OPTIMISED: [&str; 5] = [
    "opt-level=3",
    "codegen-units=1",
    "debug-assertions=false",
    "overflow-checks=false",
    "debug=0",
];

pub struct NoValgrind;

/// What was counted, and the program that was.
///
/// # Errors
/// Without valgrind nothing is built either.
pub fn count() -> Result<(Counts, PathBuf), NoValgrind> {
    let version = Command::new("valgrind").arg("--version").stdin(Stdio::null()).output();
    let Ok(version) = version else { return Err(NoValgrind) };
    let program = build();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let said = callgrind(&program, folder.path());
    let rustc = succeeds(Command::new(beside_cargo("rustc")).arg("-vV"));
    let mut made = Made {
        rustc: field(&rustc, "release: "),
        target: field(&rustc, "host: "),
        cpu: String::new(),
        libc: libc(),
        valgrind: String::from_utf8_lossy(&version.stdout).trim().to_owned(),
    };
    if let Some(flags) = std::env::var("RUSTFLAGS").ok().filter(|flags| !flags.is_empty()) {
        made.target += &format!(" with RUSTFLAGS={flags}");
    }
    let mut counts = Vec::new();
    for line in said.lines() {
        match *line.split('\t').collect::<Vec<_>>() {
            ["cpu", cpu] => made.cpu = cpu.to_owned(),
            ["case", name, per, units] => {
                let units: u64 = units.parse().expect("a number of units");
                let total = instructions(folder.path(), counts.len() + 1);
                let each = total as f64 / units as f64;
                counts.push(Count { name: name.to_owned(), per: per.to_owned(), each });
            }
            _ => panic!("the program of cases said: {line}"),
        }
    }
    assert!(!counts.is_empty(), "no case was run:\n{said}");
    Ok((Counts { made, counts }, program))
}

/// The program, made from what the build of the tests has made already: of the crates only hawser
/// itself is compiled again. For that the same features have to be chosen, so the whole workspace,
/// and a bench, as tests have the dependencies of tests.
fn build() -> PathBuf {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(env!("CARGO_MANIFEST_DIR")).env("CARGO_INCREMENTAL", "0");
    cargo.args(["build", "--workspace", "--bench", "counts", "--locked", "--quiet"]);
    cargo.arg("--message-format=json-render-diagnostics");
    for package in ["hawser", "hawser-counts"] {
        for setting in OPTIMISED {
            cargo.arg("--config").arg(format!("profile.dev.package.{package}.{setting}"));
        }
    }
    let said = succeeds(&mut cargo);
    let messages = said.lines().map(|line| {
        serde_json::from_str::<serde_json::Value>(line).expect("cargo prints an object a line")
    });
    let made = messages
        .filter(|m| m["target"]["name"] == "counts")
        .find_map(|message| Some(PathBuf::from(message["executable"].as_str()?)));
    made.unwrap_or_else(|| panic!("cargo named no program:\n{said}"))
}

/// Counts only inside the one function of the program, and writes a file behind the other. The
/// environment is empty, so that nothing in it matters.
fn callgrind(program: &Path, folder: &Path) -> String {
    let mut valgrind = Command::new("valgrind");
    valgrind.env_clear().current_dir(folder);
    if let Some(path) = std::env::var_os("PATH") {
        valgrind.env("PATH", path);
    }
    valgrind.args(["--tool=callgrind", "--quiet", "--vgdb=no", "--callgrind-out-file=counted"]);
    valgrind.arg("--toggle-collect=*instructions_counted_in*");
    valgrind.arg("--dump-after=*counts_written_behind*");
    succeeds(valgrind.arg(program))
}

/// Of the case that was run as number `part`.
fn instructions(folder: &Path, part: usize) -> u64 {
    let file = folder.join(format!("counted.{part}"));
    let text = std::fs::read_to_string(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    let total = field(&text, "totals: ");
    total.parse().unwrap_or_else(|_| panic!("{}: no total of one event in it", file.display()))
}

/// Allocation and copies are the C library's.
fn libc() -> String {
    let said = Command::new("getconf").arg("GNU_LIBC_VERSION").stdin(Stdio::null()).output();
    let said = said.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    said.ok().filter(|said| !said.is_empty()).unwrap_or_else(|| "another libc".to_owned())
}

fn beside_cargo(name: &str) -> PathBuf {
    let cargo = std::env::var_os("CARGO").map(PathBuf::from);
    let beside = cargo.and_then(|cargo| Some(cargo.parent()?.join(name)));
    beside.filter(|path| path.exists()).unwrap_or_else(|| name.into())
}

/// What follows `name` at the start of a line.
fn field(text: &str, name: &str) -> String {
    let found = text.lines().find_map(|line| line.strip_prefix(name));
    found.unwrap_or_else(|| panic!("no {name:?} in:\n{text}")).trim().to_owned()
}

fn succeeds(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let (said, errors) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?}: {}\n{said}\n{errors}", output.status);
    said.into_owned()
}

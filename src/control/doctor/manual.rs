//! Rows of the table as the pages of `tuning/` have them.

use std::collections::BTreeSet;
use std::fmt::Write;

use super::table::{TABLE, Wanted};
use super::{Scale, grouped};
use crate::net::probe::FileKind;

/// Sizes that the document has a column for, each with the workers that it takes.
const SCALES: [(&str, Scale); 3] = [
    ("100 k", Scale { connections: 100_000, workers: 4, files: FileKind::Registered }),
    ("1 M", Scale { connections: 1_000_000, workers: 8, files: FileKind::Registered }),
    ("10 M", Scale { connections: 10_000_000, workers: 32, files: FileKind::Registered }),
];

/// The rows of those checks, whose names stand apart by `; `; they are added to `told`.
pub fn markdown(names: &str, told: &mut BTreeSet<&str>) -> String {
    let columns = SCALES.map(|(name, _)| name).join(" | ");
    let mut text = format!("| setting | does | {columns} | verify | care |\n");
    text += "|---|---|---|---|---|---|---|\n";
    for name in names.split("; ") {
        let check = TABLE.iter().find(|check| check.name == name);
        let check = check.unwrap_or_else(|| panic!("doctor has no check of the name {name:?}"));
        told.insert(check.name);
        let values = SCALES.map(|(_, scale)| value(&(check.wanted)(scale)));
        let values = values.join(" | ");
        let (name, does, verify, care) = (check.name, check.does, check.verify, check.care);
        let name = if name.contains(['.', '=']) { format!("`{name}`") } else { name.to_owned() };
        let line = format!("| {name} | {does} | {values} | {verify} | {care} |");
        let _ = writeln!(text, "{}", line.replace("|  |", "| |"));
    }
    text
}

fn value(wanted: &Wanted) -> String {
    match wanted {
        Wanted::AtLeast(least) => format!("≥ {}", grouped(*least)),
        Wanted::AtMost(most) => format!("≤ {}", grouped(*most)),
        Wanted::OneOf(_) | Wanted::Said(_) => wanted.to_string(),
    }
}

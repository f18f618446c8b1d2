//! The reference of all keys, from their own definitions: as Markdown for docs/configuration.md and
//! as a manual page.

use std::fmt::Write;

use super::keys::{AnyKey, DOMAIN_FILE, SERVER_FILE, Section};

const SERVER: &str = "\
`hawser.toml` holds what concerns the whole process. Every key has a default, so an empty file, \
or no file at all, is a valid configuration.";
const DOMAIN: &str = "\
A domain is one file, `STATE_DIR/domains/NAME.toml`, called as the domain itself: \
`live.example.com.toml`, `*.example.com.toml`. Edit it and run `hawser reload`, or let `hawser \
domain` do both.";

/// For docs/configuration.md.
pub fn markdown() -> String {
    let mut text = String::from(
        "# Configuration\n\n<!-- Written from src/control/config/keys.rs; a test compares. -->\n",
    );
    for (title, about, sections) in
        [("hawser.toml", SERVER, SERVER_FILE), ("Domain files", DOMAIN, DOMAIN_FILE)]
    {
        let _ = write!(text, "\n## {title}\n\n{about}\n");
        for section in sections {
            let _ = write!(text, "\n### {}\n\n{}\n", header(section), prose(section.doc));
            for key in section.keys {
                let default =
                    default(*key).map_or_else(String::new, |d| format!(" Default: `{d}`."));
                let doc = prose(key.doc());
                let _ = write!(
                    text,
                    "\n#### `{}`\n\n{doc}\n\nAccepted: {}.{default}\n",
                    key.name(),
                    key.accepts()
                );
            }
        }
    }
    text
}

/// `hawser.toml(5)`.
pub fn roff() -> String {
    let mut text = String::from(
        ".TH hawser.toml 5\n.SH NAME\nhawser.toml \\- configuration of hawser and its domains\n",
    );
    for (title, about, sections) in
        [("HAWSER.TOML", SERVER, SERVER_FILE), ("DOMAIN FILES", DOMAIN, DOMAIN_FILE)]
    {
        let _ = write!(text, ".SH \"{title}\"\n{}\n", plain(about));
        for section in sections {
            let _ = write!(text, ".SS \"{}\"\n{}\n", header(section), plain(&prose(section.doc)));
            for key in section.keys {
                let default = default(*key).map_or_else(String::new, |d| format!(" Default: {d}."));
                let _ = write!(
                    text,
                    ".TP\n.B {}\n{}\n.br\nAccepted: {}.{}\n",
                    key.name(),
                    plain(&prose(key.doc())),
                    plain(&key.accepts()),
                    plain(&default)
                );
            }
        }
    }
    text
}

fn header(section: &Section) -> String {
    match (section.name, section.repeated) {
        ("", _) => "Top of the file".to_owned(),
        (name, true) => format!("[[{name}]]"),
        (name, false) => format!("[{name}]"),
    }
}

fn default(key: &dyn AnyKey) -> Option<String> {
    key.default_text()
}

/// The lines of a doc comment as one paragraph.
fn prose(lines: &[&str]) -> String {
    lines.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ")
}

/// Text that roff leaves alone: no escapes, and no line that begins like a request.
fn plain(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('`', "").replace('-', "\\-");
    if text.starts_with(['.', '\'']) { format!("\\&{text}") } else { text }
}

//! Holds the layout and the habits that ARCHITECTURE.md describes: every rule is one test, and
//! every failure names file, line, rule and the way out. Not here: what rustfmt and clippy check.

#[path = "tidy/facts.rs"]
mod facts;
#[path = "tidy/tree.rs"]
mod tree;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::LazyLock;

use facts::{Facts, UnsafeKind};
use tree::{RustFile, Tree};

/// Read once for all rules.
static TREE: LazyLock<Tree> = LazyLock::new(Tree::read);

const FUNCTION_LINES_MAX: usize = 70;
const FILE_LINES_MAX: usize = 800;
const COLUMNS_MAX: usize = 100;

/// What each part of `src/` may import from the others; a longer path allows only what is below it.
/// Its own folder is always allowed, and `lib.rs` names them all.
const IMPORTS: &[(&str, &[&str])] = &[
    ("limits", &[]),
    ("proto", &["limits"]),
    ("tunnel", &["limits", "proto", "snapshot", "stats"]),
    ("snapshot", &["limits", "stats"]),
    ("stats", &["limits", "snapshot"]),
    ("net", &["limits", "snapshot::certs"]),
    ("worker", &["limits", "proto", "tunnel", "snapshot", "stats", "net"]),
    ("control", &["limits", "proto::h1::target", "snapshot", "stats", "net::probe"]),
    (
        "cli",
        &[
            "limits",
            "snapshot",
            "stats",
            "net::probe",
            "net::process",
            "net::listener",
            "net::runtime",
            "worker",
            "control",
        ],
    ),
    ("main", &["cli"]),
];

/// Where each dependency may be named. A file, or a folder with everything below it.
const HOMES: &[(&str, &[&str])] = &[
    ("anyhow", &["src/cli"]),
    ("arc_swap", &["src/snapshot"]),
    ("aws_lc_rs", &["src/net/records.rs", "src/net/records", "src/control"]),
    ("axum", &["src/control", "src/cli"]),
    ("base64", &["src/proto/h1", "src/control"]),
    (
        "bytes",
        &[
            "src/net/buffers.rs",
            "src/net/stream.rs",
            "src/net/tls",
            "src/worker",
            "src/control",
            "src/cli",
        ],
    ),
    ("clap", &["src/cli"]),
    ("clap_complete", &["src/cli"]),
    ("clap_mangen", &["src/cli"]),
    ("cookie", &["src/control/sessions.rs", "src/control/console"]),
    ("core_affinity", &["src/net"]),
    ("crossbeam_utils", &["src/stats"]),
    ("csv", &["src/control", "src/cli"]),
    ("flate2", &["src/control/console"]),
    ("form_urlencoded", &["src/control"]),
    ("futures_util", &["src/control", "src/cli"]),
    ("governor", &["src/control/dcdn", "src/control/api"]),
    ("hickory_resolver", &["src/control"]),
    ("http_body_util", &["src/control", "src/cli"]),
    ("httparse", &["src/proto/h1/head.rs"]),
    ("httpdate", &["src/proto/h1/date.rs"]),
    ("hyper", &["src/control", "src/cli"]),
    ("hyper_rustls", &["src/control/acme"]),
    ("hyper_util", &["src/control", "src/cli"]),
    ("instant_acme", &["src/control/acme"]),
    ("io_uring", &["src/net"]),
    ("io_uring_monoio", &["src/net"]),
    ("jiff", &["src/control", "src/cli"]),
    ("libc", &["src/net"]),
    ("libmimalloc_sys", &["src/net/runtime.rs"]),
    ("maud", &["src/control/console"]),
    ("maxminddb", &["src/control/geo.rs", "src/control/geo"]),
    ("md5", &["src/control/dcdn"]),
    ("mimalloc", &["src/main.rs"]),
    ("monoio", &["src/net"]),
    ("percent_encoding", &["src/control"]),
    ("postcard", &["src/control/statistics"]),
    ("prometheus_client", &["src/control"]),
    ("quick_xml", &["src/control/dcdn"]),
    ("rand", &["src/worker", "src/control", "src/cli"]),
    ("rcgen", &["src/control", "src/cli"]),
    ("rtrb", &["src/stats", "src/worker", "src/control", "src/cli"]),
    ("rusqlite", &["src/control"]),
    ("rustc_hash", &["src/stats", "src/snapshot", "src/worker"]),
    (
        "rustls",
        &[
            "src/net/tls.rs",
            "src/net/tls",
            "src/net/records.rs",
            "src/net/records",
            "src/snapshot/certs.rs",
            "src/control",
        ],
    ),
    ("sd_notify", &["src/control", "src/cli"]),
    ("serde", &["src/control", "src/cli"]),
    ("serde_json", &["src/control", "src/cli"]),
    ("serde_path_to_error", &["src/control"]),
    ("sha1", &["src/proto/h1", "src/control/config"]),
    ("similar", &["src/cli", "src/control/api"]),
    ("slab", &["src/worker/table.rs"]),
    ("socket2", &["src/net"]),
    ("strsim", &["src/control/config"]),
    ("thiserror", &["src/control", "src/cli"]),
    ("tokio", &["src/control", "src/cli"]),
    ("tokio_rustls", &["src/control"]),
    ("tokio_tungstenite", &["src/control/demo"]),
    ("toml", &["src/control", "src/cli"]),
    ("toml_edit", &["src/control", "src/cli"]),
    ("tracing", &["src/control", "src/cli"]),
    ("tracing_subscriber", &["src/control", "src/cli"]),
    ("utoipa", &["src/control"]),
    ("utoipa_axum", &["src/control/api"]),
    ("uuid", &["src/control"]),
    ("webpki_roots", &["src/control"]),
    ("x509_parser", &["src/net/tls", "src/control"]),
    ("zeroize", &["src/net/records.rs", "src/net/records", "src/control"]),
];

/// Folders and files in which `unsafe` may stand.
const UNSAFE: &[&str] = &["src/net", "loadtest/src/bin"];

/// A panic here ends a core with all its connections.
const DATA_PLANE: &[&str] =
    &["src/proto", "src/tunnel", "src/snapshot", "src/stats", "src/net", "src/worker"];

#[test]
fn folders_import_only_what_the_table_allows() {
    check(|file, say| {
        let Some(area) = file.area() else { return };
        let (_, allowed) = IMPORTS.iter().find(|(name, _)| *name == area).unwrap_or_else(|| {
            panic!("src/{area} has no row in IMPORTS of tests/tidy.rs: decide what it may import")
        });
        for path in &file.facts.paths {
            let Some(target) = file.resolve(path) else { continue };
            let own = target == area || target.starts_with(&format!("{area}::"));
            // A test beside the code may look at any type, as long as the planes stay apart.
            let planes = !matches!(
                (&*area, target.split("::").next()),
                ("control", Some("worker"))
                    | ("proto" | "tunnel" | "net" | "worker", Some("control"))
            );
            let listed = allowed.iter().any(|a| covers(a, &target));
            let excused = path.in_test && planes;
            if !(own || listed || excused) {
                let list = allowed.join(", ");
                say(path.line, format!("{area} may not import crate::{target} (allowed: {list})"));
            }
        }
    });
}

#[test]
fn each_dependency_is_named_only_in_its_home() {
    let known: BTreeSet<&str> = HOMES.iter().map(|(name, _)| *name).collect();
    let declared = tree::dependencies(&read("Cargo.toml"));
    let missing: Vec<_> = declared.iter().filter(|name| !known.contains(&***name)).collect();
    assert!(missing.is_empty(), "no home in HOMES of tests/tidy.rs for {missing:?}: give each one");
    let stale: Vec<_> = known.iter().filter(|name| !declared.contains(**name)).collect();
    assert!(stale.is_empty(), "HOMES of tests/tidy.rs lists {stale:?}, Cargo.toml does not");

    check(|file, say| {
        if !file.in_src() {
            return;
        }
        for path in file.facts.paths.iter().filter(|path| !path.in_test) {
            let Some((name, homes)) = HOMES.iter().find(|(name, _)| *name == path.segments[0])
            else {
                continue;
            };
            if !homes.iter().any(|home| is_below(&file.name, home)) && !file.declares(name) {
                say(path.line, format!("{name} has its home in {}", homes.join(", ")));
            }
        }
    });
}

#[test]
fn unsafe_stands_in_net_and_says_why_it_is_sound() {
    check(|file, say| {
        for &(line, kind) in &file.facts.unsafes {
            if !UNSAFE.iter().any(|home| is_below(&file.name, home)) {
                say(line, format!("unsafe belongs in {}", UNSAFE.join(", ")));
            }
            let (wanted, said) = match kind {
                UnsafeKind::Use => ("// SAFETY:", file.comment_above(line).contains("SAFETY:")),
                UnsafeKind::Declaration => {
                    ("/// # Safety", file.comment_above(line).contains("# Safety"))
                }
            };
            if !said {
                say(line, format!("no `{wanted}` above that names the invariant and who keeps it"));
            }
        }
    });
}

#[test]
fn files_open_with_their_purpose() {
    check(|file, say| {
        if !file.text.starts_with("//! ") {
            say(1, "open with `//!`: what it is for, and what is deliberately not in it".into());
        }
    });
}

#[test]
fn functions_fit_a_screen() {
    check(|file, say| {
        for function in file.facts.functions.iter().filter(|f| f.lines > FUNCTION_LINES_MAX) {
            let (name, lines) = (&function.name, function.lines);
            say(function.line, format!("{name} has {lines} lines, at most {FUNCTION_LINES_MAX}"));
        }
    });
}

#[test]
fn files_and_lines_stay_short() {
    check(|file, say| {
        let lines = file.text.lines().count();
        if lines > FILE_LINES_MAX {
            say(1, format!("{lines} lines, at most {FILE_LINES_MAX}: split it, or move its tests"));
        }
        for (i, text) in file.text.lines().enumerate() {
            let columns = text.chars().count();
            if columns > COLUMNS_MAX {
                say(i + 1, format!("{columns} columns, at most {COLUMNS_MAX}"));
            }
        }
    });
}

#[test]
fn nothing_is_unfinished_or_printed_in_passing() {
    check(|file, say| {
        for call in &file.facts.macros {
            let may_print = !file.in_src() || is_below(&file.name, "src/cli");
            match &*call.name {
                "todo" | "dbg" | "unimplemented" => say(call.line, format!("{}!", call.name)),
                "println" | "eprintln" | "print" | "eprint" if !may_print => {
                    say(call.line, format!("{}! belongs in src/cli", call.name));
                }
                _ => {}
            }
        }
    });
}

#[test]
fn nothing_is_commented_out() {
    check(|file, say| {
        for (line, text) in file.comments() {
            if looks_like_code(text) {
                say(line, format!("commented-out code (git remembers it): {text}"));
            }
        }
    });
}

#[test]
fn names_say_what_a_thing_is() {
    const FILES: &[&str] = &["util", "utils", "common", "misc", "helper", "helpers", "manager"];
    check(|file, say| {
        let stem = Path::new(&file.name).file_stem().and_then(|s| s.to_str()).unwrap_or_default();
        if FILES.contains(&stem) {
            say(1, format!("{stem} says nothing about what is inside"));
        }
        for named in &file.facts.named {
            let name = &named.name;
            let vague =
                ["Manager", "Helper", "Util", "Utils"].iter().any(|end| name.ends_with(end));
            if vague || (named.kind == "fn" && name.starts_with("get_")) {
                say(named.line, format!("{} {name}: no get_, Manager, Helper, Util", named.kind));
            }
        }
    });
}

#[test]
fn the_data_plane_does_not_unwrap() {
    check(|file, say| {
        if !file.only_in_tests && DATA_PLANE.iter().any(|folder| is_below(&file.name, folder)) {
            for &line in &file.facts.unwraps {
                say(line, "unwrap() ends a core; handle it, or expect(\"why it holds\")".into());
            }
        }
    });
}

#[test]
fn every_file_is_reachable() {
    let lost: Vec<_> = TREE.files.iter().filter(|f| !f.reached).map(|f| &f.name).collect();
    assert!(lost.is_empty(), "no `mod` declares these files, so nothing compiles them: {lost:?}");
}

#[test]
fn every_limit_says_its_reason() {
    let facts = Facts::of(&read("src/limits.rs")).expect("limits.rs compiles");
    let bare: Vec<_> = facts.constants.iter().filter(|c| !c.documented).collect();
    let list = bare.iter().map(|c| format!("src/limits.rs:{}: {}", c.line, c.name));
    let list: Vec<_> = list.collect();
    assert!(list.is_empty(), "limits without a doc comment (reason, and what happens): {list:#?}");
    assert!(!facts.constants.is_empty());
}

#[test]
fn links_in_documents_resolve() {
    let mut wrong = String::new();
    for (name, text) in tree::documents() {
        for (line, target) in tree::links(&text) {
            if let Err(why) = tree::resolves(&name, &target) {
                let _ = writeln!(wrong, "{name}:{line}: link to {target}: {why}");
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn the_map_names_every_folder() {
    let map = read("ARCHITECTURE.md");
    for (area, _) in IMPORTS.iter().filter(|(area, _)| tree::root().join("src").join(area).is_dir())
    {
        assert!(
            map.contains(&format!("src/{area}")),
            "ARCHITECTURE.md does not mention src/{area}"
        );
    }
    for (name, homes) in HOMES {
        let name = name.replace('_', "-");
        assert!(
            map.contains(&format!("`{name}`")),
            "ARCHITECTURE.md gives no home to {name}: {homes:?}"
        );
    }
}

/// Runs one rule over every Rust file and fails with all that it said.
fn check(rule: impl Fn(&RustFile, &mut dyn FnMut(usize, String))) {
    let mut wrong = String::new();
    for file in &TREE.files {
        rule(file, &mut |line, what| {
            let _ = writeln!(wrong, "{}:{line}: {what}", file.name);
        });
    }
    assert!(TREE.files.len() > 20, "the tree was not found");
    assert!(wrong.is_empty(), "{} places:\n{wrong}", wrong.lines().count());
}

fn read(name: &str) -> String {
    std::fs::read_to_string(tree::root().join(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
}

/// `allowed` is the path itself or a prefix of it, by whole segments.
fn covers(allowed: &str, target: &str) -> bool {
    target.strip_prefix(allowed).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

fn is_below(file: &str, home: &str) -> bool {
    file.strip_prefix(home).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// A comment that is a statement, the head of a block or its end. Sentences that end in a semicolon
/// are let through.
fn looks_like_code(comment: &str) -> bool {
    let comment = comment.trim();
    let block = comment.ends_with(" {") || matches!(comment, "}" | "};" | "})" | "});");
    let statement = comment.ends_with(';')
        && (comment.contains(" = ")
            || comment.contains("::")
            || comment.ends_with(");")
            || ["use ", "return", "let "].iter().any(|word| comment.starts_with(word)));
    block || statement || comment.starts_with("#[")
}

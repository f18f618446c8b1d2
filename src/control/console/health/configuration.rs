//! What is live, on which cores, and what a reload of the files would change.

use maud::{Markup, html};

use super::super::ROOT;
use super::super::parts::{self, Tone};
use super::super::rest::{Refusal, part};
use super::super::units;
use super::super::viewer::Viewer;
use super::answers::{Changed, Differences, Snapshot, Status};
use crate::control::keys::Role;

/// `reload`: why the last one of this page was refused.
pub async fn card(
    viewer: &Viewer,
    status: &Status,
    reload: Option<&Refusal>,
) -> Result<Markup, Refusal> {
    let snapshot: Snapshot = viewer.rest.read("/snapshot").await?;
    // Files that are not accepted are what this page is for.
    let files = match viewer.rest.read::<Differences>("/snapshot/diff").await {
        Err(refusal) if refusal.status != 422 => return Err(refusal),
        files => files,
    };
    let may = viewer.may(Role::Operate) && status.is_serving();
    let body = html! {
        (parts::facts(&[
            ("Generation", html! { (units::count(snapshot.generation)) }),
            ("Hash", html! { code { (snapshot.hash) } }),
            ("On the cores", by_core(&snapshot)),
        ]))
        @match (&files, reload) {
            (Err(refusal), _) => {
                p { strong { "The files are not accepted." } " What was live before stays live, \
                     and a reload changes nothing until they are." }
                (refused(refusal))
            }
            (Ok(_), Some(refusal)) => (refused(refusal)),
            (Ok(differences), None) => (shown(differences)),
        }
    };
    let button = html! {
        @if may {
            (parts::form(viewer, "/health/reload", html! { button { "Reload the files" } }))
        }
    };
    Ok(parts::card_with("Configuration", button, body))
}

/// Problems of files come in lines, with the place underlined.
fn refused(refusal: &Refusal) -> Markup {
    html! {
        @if refusal.detail.contains('\n') {
            div.banner.bad role="alert" {
                p { strong { (refusal.title) } }
                pre tabindex="0" role="region" aria-label="Problems" { (refusal.detail) }
            }
        } @else {
            (parts::refusal(refusal, &[]))
        }
    }
}

fn by_core(snapshot: &Snapshot) -> Markup {
    let behind: Vec<(usize, u64)> = snapshot
        .generation_by_core
        .iter()
        .copied()
        .enumerate()
        .filter(|(_, generation)| *generation != snapshot.generation)
        .collect();
    let cores = units::count(snapshot.generation_by_core.len() as u64);
    html! {
        @if behind.is_empty() {
            (parts::badge(Tone::Good, "All")) " " (cores) " use it"
        } @else {
            (parts::badge(Tone::Notice, "Behind")) " "
            @for (n, (core, generation)) in behind.iter().enumerate() {
                @if n > 0 { ", " }
                "core " (core) " uses " (units::count(*generation))
            }
            ". For longer than a second it means a core that hangs."
        }
    }
}

fn shown(differences: &Differences) -> Markup {
    html! {
        @if differences.is_empty() {
            p { "The files say what is live: a reload would change nothing." }
        } @else {
            p { strong { "The files say something else than what is live." }
                " A reload takes over what follows." }
            (names("Domains that come", &differences.added))
            (names("Domains that go", &differences.removed))
            @if let Some(diff) = &differences.server { (change("hawser.toml", None, diff)) }
            @for Changed { name, diff } in &differences.changed {
                (change(name, Some(name), diff))
            }
            @if differences.truncated { p.hint { "More domains differ than are shown." } }
        }
    }
}

fn names(title: &str, list: &[String]) -> Markup {
    html! {
        @if !list.is_empty() {
            p { (title) " (" (units::count(list.len() as u64)) "): "
                @for (n, name) in list.iter().enumerate() {
                    @if n > 0 { ", " }
                    code { (name) }
                }
            }
        }
    }
}

fn change(title: &str, domain: Option<&str>, diff: &str) -> Markup {
    html! {
        details.more open {
            summary { (title) }
            (parts::difference(diff))
            @if let Some(domain) = domain {
                p { a href={ (ROOT) "/domains/" (part(domain)) } { "Go to " (domain) } }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cores_that_are_behind_are_named() {
        let shown = |generation_by_core: &[u64]| {
            let generation_by_core = generation_by_core.to_vec();
            let snapshot = Snapshot { generation: 7, hash: "ab".to_owned(), generation_by_core };
            by_core(&snapshot).into_string()
        };
        assert!(shown(&[7, 7, 7]).contains("3 use it"));
        let behind = shown(&[7, 5, 6]);
        assert!(behind.contains("core 1 uses 5, core 2 uses 6"), "{behind}");
        assert!(!behind.contains("core 0"), "{behind}");
    }
}

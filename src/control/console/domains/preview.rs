//! From a form to a change, in two steps: what it would change, as a difference of the file; then,
//! on the word of whoever saw that, the change itself, of the revision that was shown and no other.
//! The fields of the form come along, so that nothing that was typed is lost on the way.
//!
//! Not here: what the forms are of, and how a change is made (the REST API).

use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::Value;

use super::super::layout::{Page, Section};
use super::super::parts::{self, Tone};
use super::super::rest::{ABSENT, Refusal};
use super::super::viewer::{Fields, Submitted, Viewer};
use super::super::{Console, ROOT};
use super::FILES;

/// How far a form has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    Preview,
    Apply,
    /// Back from the preview to the form.
    Back,
    /// One row more, in forms with rows.
    Row,
}

impl Step {
    pub fn of(fields: &Fields) -> Step {
        match fields.text("step") {
            "apply" => Step::Apply,
            "back" => Step::Back,
            "row" => Step::Row,
            _ => Step::Preview,
        }
    }
}

/// A change that somebody may want.
pub struct Proposal {
    pub domain: String,
    pub method: Method,
    /// Below `/api/v1`.
    pub path: String,
    pub body: Option<Value>,
    /// Where the form was sent to, below `/console`.
    pub action: String,
    pub title: String,
    /// What it means beyond the text.
    pub note: Markup,
    pub verb: Verb,
    /// What is said when it is done, and where.
    pub done: String,
    pub to: String,
}

/// What the button says that does it.
#[derive(Debug, Clone, Copy)]
pub struct Verb {
    pub text: &'static str,
    pub tone: Tone,
}

pub const APPLY: Verb = Verb { text: "Apply", tone: Tone::Plain };

/// What the API says of a change.
#[derive(Debug, Clone, Deserialize)]
pub struct Changed {
    pub domains: Vec<ChangedDomain>,
}

#[derive(Debug, Clone, Deserialize)]
pub struct ChangedDomain {
    pub name: String,
    pub action: String,
    pub before_revision: Option<String>,
    pub diff: String,
}

impl Changed {
    pub fn is_nothing(&self) -> bool {
        self.domains.iter().all(|domain| domain.action == "unchanged")
    }
}

/// Shows what the proposal would change or, when that was seen and agreed to, changes it.
///
/// # Errors
/// Why it is refused: for the form to show.
pub async fn walk(
    console: &Console,
    form: &Submitted,
    proposal: &Proposal,
) -> Result<Response, Refusal> {
    if Step::of(&form.fields) != Step::Apply {
        return show(console, form, proposal, StatusCode::OK).await;
    }
    let seen = form.fields.text("revision");
    match send(&form.viewer, proposal, seen).await {
        Ok(()) => {
            console.sessions.leave_notice(&form.viewer.token, proposal.done.clone());
            Ok(Redirect::to(&format!("{ROOT}{}", proposal.to)).into_response())
        }
        Err(refusal) if refusal.status == StatusCode::PRECONDITION_FAILED => {
            show(console, form, proposal, StatusCode::PRECONDITION_FAILED).await
        }
        Err(refusal) => Err(refusal),
    }
}

async fn send(viewer: &Viewer, proposal: &Proposal, seen: &str) -> Result<(), Refusal> {
    let Proposal { method, path, body, .. } = proposal;
    // Nothing seen is a domain that was not there: it must not be there now either.
    let seen = if seen.is_empty() { ABSENT } else { seen };
    viewer.rest.send::<Value>(method.clone(), path, Some(seen), body.as_ref()).await.map(drop)
}

async fn show(
    console: &Console,
    form: &Submitted,
    proposal: &Proposal,
    status: StatusCode,
) -> Result<Response, Refusal> {
    let Proposal { method, path, body, .. } = proposal;
    let whatever = (*method != Method::POST).then_some("*");
    let dry = format!("{path}?dry_run=true");
    let changed: Changed =
        form.viewer.rest.send(method.clone(), &dry, whatever, body.as_ref()).await?;
    if changed.domains.iter().any(|domain| domain.name != proposal.domain) {
        return Err(Refusal::unknown("That is of another domain. Nothing was changed."));
    }
    let revision = changed.domains.first().and_then(|domain| domain.before_revision.clone());
    let revision = revision.unwrap_or_default();
    // Of a form, what it was filled from.
    let known = form.fields.text("seen");
    let moved =
        status == StatusCode::PRECONDITION_FAILED || (!known.is_empty() && known != revision);
    let fields = [("revision", revision.as_str()), ("seen", revision.as_str())];
    let sheet = Sheet { changed: &changed, proposal, form, fields: &fields, moved };
    Ok((status, sheet.page(console)).into_response())
}

/// The page that shows a difference and asks.
pub struct Sheet<'a> {
    pub changed: &'a Changed,
    pub proposal: &'a Proposal,
    pub form: &'a Submitted,
    /// What goes along beside the fields of the form.
    pub fields: &'a [(&'a str, &'a str)],
    /// Somebody changed something since the form was opened.
    pub moved: bool,
}

impl Sheet<'_> {
    pub fn page(&self, console: &Console) -> Markup {
        let title = &self.proposal.title;
        let body = html! {
            (parts::trail(&[("Domain names", "/domains")]))
            (parts::heading(title, "", html! {}))
            div.stack data-sheet { (self.body()) }
        };
        let page =
            Page { section: Some(Section::Domains), title, files: FILES, charts: false, body };
        page.show(console, &self.form.viewer)
    }

    fn body(&self) -> Markup {
        let Proposal { note, verb, action, .. } = self.proposal;
        html! {
            @if self.moved {
                (parts::banner(Tone::Notice, html! {
                    p {
                        strong { "Somebody changed it meanwhile." }
                        " Nothing of yours was applied or lost. This is what your change would "
                        "do to what is there now."
                    }
                }))
            }
            @if self.changed.is_nothing() {
                (parts::banner(Tone::Plain, html! { "Nothing would change." }))
            } @else {
                @for domain in &self.changed.domains { (difference(domain)) }
                (note)
            }
            (parts::form(&self.form.viewer, action, html! {
                @for (name, value) in self.kept() {
                    input type="hidden" name=(name) value=(value);
                }
                div.actions {
                    @if !self.changed.is_nothing() {
                        @let danger = (verb.tone == Tone::Bad).then_some("primary danger");
                        button class=(danger.unwrap_or("primary")) name="step" value="apply" {
                            (verb.text)
                        }
                    }
                    button name="step" value="back" data-back { "Back" }
                }
            }))
        }
    }

    /// The form's own fields, and those that go along; of the latter the form may have some too.
    fn kept(&self) -> impl Iterator<Item = (&str, &str)> {
        let own = |name: &str| {
            !matches!(name, "csrf" | "step") && self.fields.iter().all(|(known, _)| *known != name)
        };
        let typed = self.form.fields.pairs().filter(move |(name, _)| own(name));
        typed.chain(self.fields.iter().copied())
    }
}

fn difference(domain: &ChangedDomain) -> Markup {
    let (tone, what) = match domain.action.as_str() {
        "created" => (Tone::Good, "new"),
        "removed" => (Tone::Bad, "removed"),
        "unchanged" => (Tone::Plain, "stays as it is"),
        _ => (Tone::Plain, "changed"),
    };
    html! {
        section.card {
            header {
                h2 { (domain.name) }
                (parts::badge(tone, what))
            }
            @if !domain.diff.is_empty() { (parts::difference(&domain.diff)) }
        }
    }
}

/// What a change of settings means.
pub fn settings_note() -> Markup {
    html! {
        p.soft {
            "It holds for new handshakes at once. Tunnels that are open keep the rules that they "
            "were opened with. Comments and order of the file stay."
        }
    }
}

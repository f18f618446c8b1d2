//! Pages of a domain that are a form of keys of its file and nothing else. Not here: which keys
//! (`limits`, `access`, `websocket`), how one is asked for (`fields`).

use axum::http::Method;
use axum::response::Response;
use maud::html;

use super::super::Console;
use super::super::parts;
use super::super::rest::Refusal;
use super::super::viewer::{Submitted, Viewer};
use super::fields::{self, Group, Input, Source};
use super::frame::{Framed, Subject, Tab, api, review, state_badge};
use super::preview::{self, APPLY, Proposal, Step};
use crate::control::keys::Role;

/// Such a page.
pub struct Settings {
    pub tab: Tab,
    pub groups: &'static [Group],
}

impl Settings {
    fn inputs(&self) -> impl Iterator<Item = &'static Input> {
        self.groups.iter().flat_map(|group| group.inputs)
    }

    pub async fn show(
        &self,
        console: &Console,
        viewer: &Viewer,
        name: &str,
    ) -> Result<Response, Refusal> {
        let subject = Subject::read(viewer, name).await?;
        let source = Source::Document(&subject.document);
        Ok(self.page(console, viewer, &subject, source, None))
    }

    pub async fn submit(
        &self,
        console: &Console,
        form: &Submitted,
        name: &str,
    ) -> Result<Response, Refusal> {
        let refusal = match Step::of(&form.fields) {
            Step::Back => None,
            _ => {
                let patch = fields::patch(self.inputs(), &form.fields);
                match preview::walk(console, form, &change(name, self.tab, patch)).await {
                    Ok(response) => return Ok(response),
                    Err(refusal) => Some(fields::told(refusal, self.inputs())),
                }
            }
        };
        let subject = Subject::read(&form.viewer, name).await?;
        let source = Source::Typed(&form.fields);
        Ok(self.page(console, &form.viewer, &subject, source, refusal.as_ref()))
    }

    fn page(
        &self,
        console: &Console,
        viewer: &Viewer,
        subject: &Subject,
        source: Source<'_>,
        refusal: Option<&Refusal>,
    ) -> Response {
        let body = html! {
            (fields::refused(refusal, &fields::pointers(self.inputs())))
            (parts::form(viewer, &self.tab.path(&subject.name), html! {
                (seen(subject, source))
                fieldset.stack disabled[!viewer.may(Role::Operate)] {
                    @for group in self.groups { (group.show(source, refusal)) }
                    (review(viewer))
                }
            }))
        };
        let badges = state_badge(subject.is_online());
        Framed { domain: &subject.name, tab: self.tab, badges, body }
            .answer(console, viewer, refusal)
    }
}

/// The revision that the form was filled from: a preview says when there is another by then.
pub fn seen(subject: &Subject, source: Source<'_>) -> maud::Markup {
    let seen = match source {
        Source::Document(_) => subject.revision(),
        Source::Typed(fields) => fields.text("seen"),
    };
    html! { input type="hidden" name="seen" value=(seen); }
}

/// A merge patch of a domain, from one of its pages.
pub fn change(name: &str, tab: Tab, patch: serde_json::Value) -> Proposal {
    Proposal {
        domain: name.to_owned(),
        method: Method::PATCH,
        path: api(name),
        body: Some(patch),
        action: tab.path(name),
        title: format!("{}: check the change", tab.text()),
        note: preview::settings_note(),
        verb: APPLY,
        done: format!("{name} was changed; it holds for new handshakes."),
        to: tab.path(name),
    }
}

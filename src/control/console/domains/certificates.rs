//! The page "Certificates" of a domain: those in use and when they end; upload and removal of a
//! pair; where certificates come from. A private key goes in and is never shown, also not in a form
//! that is shown again: so an upload has no preview. Not here: how pairs are checked (the API).

use axum::extract::{Path, State};
use axum::http::Method;
use axum::response::{IntoResponse, Redirect, Response};
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::layout::{Page, Section};
use super::super::parts::{self, Field, Tone};
use super::super::rest::Refusal;
use super::super::viewer::{Submitted, Viewer};
use super::super::{Console, ROOT};
use super::FILES;
use super::fields::{self, Group, Input, Kind, Source};
use super::frame::{Framed, Node, Subject, Tab, api, review, state_badge};
use super::preview::{self, Step};
use super::settings::{change, seen};
use crate::control::keys::Role;

const SOURCE: Group = Group {
    title: "Source",
    lead: "",
    inputs: &[
        Input {
            key: "tls.certificate",
            label: "Certificates come from",
            unit: "",
            kind: Kind::WordOrLines(&[
                ("uploaded", "Upload, on this page"),
                ("acme", "ACME: issued and renewed by the server in hawser.toml"),
            ]),
            hint: "Or PEM files on the node with chains, leaf first, read again at every reload: \
                   one to four absolute paths, one on each line.",
        },
        Input {
            key: "tls.key",
            label: "Files with the private keys",
            unit: "",
            kind: Kind::Lines,
            hint: "In the order of the files above; empty: they stand in the same files.",
        },
        Input {
            key: "tls.ocsp",
            label: "Files with OCSP responses",
            unit: "",
            kind: Kind::Lines,
            hint: "DER, in the same order; stapled as they are, read again at every reload.",
        },
    ],
};

/// Fewer days than these are worth a word.
const SOON_DAYS: i64 = 30;

#[derive(Deserialize)]
struct Certificates {
    items: Vec<Certificate>,
    /// Fingerprint of the uploaded one, in use or not.
    kept: Option<String>,
}

#[derive(Deserialize)]
struct Certificate {
    source: String,
    names: Vec<String>,
    fingerprint: String,
    issuer: String,
    kind: String,
    not_before: String,
    not_after: String,
    days_left: i64,
}

impl Certificates {
    async fn read(viewer: &Viewer, name: &str) -> Result<Certificates, Refusal> {
        viewer.rest.read(&path(name)).await
    }

    fn uploaded(&self) -> Option<&Certificate> {
        self.items.iter().find(|certificate| certificate.source == "uploaded")
    }
}

fn path(name: &str) -> String {
    format!("{}/certificate", api(name))
}

pub async fn show(
    State(console): State<Console>,
    Path(name): Path<String>,
    viewer: Viewer,
) -> Result<Response, Refusal> {
    Shown::default().answer(&console, &viewer, &name).await
}

/// The source.
pub async fn submit(
    State(console): State<Console>,
    Path(name): Path<String>,
    form: Submitted,
) -> Result<Response, Refusal> {
    let refusal = match Step::of(&form.fields) {
        Step::Back => None,
        _ => {
            let patch = fields::patch(SOURCE.inputs, &form.fields);
            let proposal = change(&name, Tab::Certificates, patch);
            match preview::walk(&console, &form, &proposal).await {
                Ok(response) => return Ok(response),
                Err(refusal) => Some(fields::told(refusal, SOURCE.inputs)),
            }
        }
    };
    let shown = Shown { typed: Some(&form), refusal, ..Shown::default() };
    shown.answer(&console, &form.viewer, &name).await
}

pub async fn upload(
    State(console): State<Console>,
    Path(name): Path<String>,
    form: Submitted,
) -> Result<Response, Refusal> {
    let (chain, key) = (form.fields.text("certificate"), form.fields.text("key"));
    let pair = json!({ "certificate": chain, "key": key });
    // Empty: nothing was uploaded when the page was shown, and so it must still be.
    let known = form.fields.text("known");
    let sent: Result<Value, Refusal> =
        form.viewer.rest.send(Method::PUT, &path(&name), Some(known), Some(&pair)).await;
    match sent {
        Ok(_) => {
            let notice = format!("The certificate of {name} holds for new connections.");
            console.sessions.leave_notice(&form.viewer.token, notice);
            Ok(to_page(&name))
        }
        Err(refusal) => {
            let shown = Shown { chain, refusal: Some(refusal), ..Shown::default() };
            shown.answer(&console, &form.viewer, &name).await
        }
    }
}

pub async fn remove(
    State(console): State<Console>,
    Path(name): Path<String>,
    form: Submitted,
) -> Result<Response, Refusal> {
    let known = form.fields.text("known");
    match Step::of(&form.fields) {
        Step::Back => Ok(to_page(&name)),
        Step::Apply => {
            let sent: Result<Value, Refusal> =
                form.viewer.rest.send(Method::DELETE, &path(&name), Some(known), None).await;
            if let Err(refusal) = sent {
                let shown = Shown { refusal: Some(refusal), ..Shown::default() };
                return shown.answer(&console, &form.viewer, &name).await;
            }
            let notice = format!("The uploaded certificate of {name} is gone.");
            console.sessions.leave_notice(&form.viewer.token, notice);
            Ok(to_page(&name))
        }
        Step::Preview | Step::Row => {
            let (all, node) =
                (Certificates::read(&form.viewer, &name).await?, Node::read(&form.viewer).await?);
            Ok(match (all.uploaded(), &all.kept) {
                (Some(certificate), _) => {
                    let shown = certificate.show(node, html! {});
                    ask(&console, &form.viewer, &name, &certificate.fingerprint, shown)
                }
                (None, Some(kept)) => {
                    let shown = html! { p { "Fingerprint (SHA-256): " code { (kept) } } };
                    ask(&console, &form.viewer, &name, kept, shown)
                }
                (None, None) => to_page(&name),
            })
        }
    }
}

fn to_page(name: &str) -> Response {
    Redirect::to(&format!("{ROOT}{}", Tab::Certificates.path(name))).into_response()
}

/// Before a certificate is taken away.
fn ask(
    console: &Console,
    viewer: &Viewer,
    name: &str,
    fingerprint: &str,
    certificate: Markup,
) -> Response {
    let title = format!("Remove the certificate of {name}");
    let action = format!("{}/remove", Tab::Certificates.path(name));
    let body = html! {
        (parts::trail(&[("Domain names", "/domains")]))
        (parts::heading(&title, "", html! {}))
        div.stack data-sheet {
            (certificate)
            p.soft {
                "New TLS connections to this domain get the default certificate of the node, or "
                "none. Its private key is removed with it and cannot be brought back."
            }
            (parts::form(viewer, &action, html! {
                input type="hidden" name="known" value=(fingerprint);
                div.actions {
                    button.primary.danger name="step" value="apply" { "Remove" }
                    button name="step" value="back" data-back { "Back" }
                }
            }))
        }
    };
    let page =
        Page { section: Some(Section::Domains), title: &title, files: FILES, charts: false, body };
    page.show(console, viewer).into_response()
}

impl Certificate {
    fn show(&self, node: Node, actions: Markup) -> Markup {
        let tone = match self.days_left {
            ..0 => Tone::Bad,
            0..SOON_DAYS => Tone::Notice,
            _ => Tone::Good,
        };
        let days = match self.days_left {
            days if days < 0 => format!("ended {} days ago", days.unsigned_abs()),
            1 => "1 day left".to_owned(),
            days => format!("{days} days left"),
        };
        let title = self.names.first().map_or("Certificate", String::as_str);
        let id = format!("fingerprint-{}", self.fingerprint.get(..12).unwrap_or_default());
        html! {
            section.card {
                header {
                    div.line { h2 { (title) } (parts::badge(tone, &days)) }
                    div.actions { (actions) }
                }
                (parts::facts(&[
                    ("Names", html! { (self.names.join(", ")) }),
                    ("Issuer", html! { (self.issuer) }),
                    ("Valid", html! {
                        (node.time(&self.not_before)) " to " (node.time(&self.not_after))
                    }),
                    ("Source", html! { (self.source) }),
                    ("Key", html! { (self.kind) }),
                    ("Fingerprint (SHA-256)", html! {
                        code id=(id) { (self.fingerprint) } " "
                        button.quiet.small type="button" data-copy=(id) hidden { "Copy" }
                    }),
                ]))
            }
        }
    }
}

/// The page, and what it comes back with.
#[derive(Default)]
struct Shown<'a> {
    /// The form of the source.
    typed: Option<&'a Submitted>,
    /// The chain of an upload that was refused.
    chain: &'a str,
    refusal: Option<Refusal>,
}

const CHAIN: Field<'_> = Field {
    name: "certificate",
    label: "Certificate chain",
    hint: "PEM, the certificate of the domain first, then what it was issued by.",
    unit: "",
    pointer: "/certificate",
};

const KEY: Field<'_> = Field {
    name: "key",
    label: "Private key",
    hint: "PEM: RSA, ECDSA or Ed25519. It is kept on the node and never shown again.",
    unit: "",
    pointer: "/key",
};

impl Shown<'_> {
    async fn answer(
        &self,
        console: &Console,
        viewer: &Viewer,
        name: &str,
    ) -> Result<Response, Refusal> {
        let subject = Subject::read(viewer, name).await?;
        let (all, node) = (Certificates::read(viewer, name).await?, Node::read(viewer).await?);
        let may = viewer.may(Role::Operate);
        let refusal = self.refusal.as_ref();
        let mut shown = fields::pointers(SOURCE.inputs);
        shown.extend([CHAIN.pointer.to_owned(), KEY.pointer.to_owned()]);
        let body = html! {
            (fields::refused(refusal, &shown))
            @if all.items.is_empty() { (none(&subject)) }
            @if let (Some(kept), None, true) = (&all.kept, all.uploaded(), may) {
                (unused(viewer, name, kept))
            }
            @for certificate in &all.items {
                @let own = may && certificate.source == "uploaded";
                @let removal = own.then(|| removal(viewer, name, &certificate.fingerprint));
                (certificate.show(node, removal.unwrap_or_default()))
            }
            @if may { (self.upload(viewer, name, &all)) }
            (self.source(viewer, &subject))
        };
        let badges = state_badge(subject.is_online());
        let framed = Framed { domain: name, tab: Tab::Certificates, badges, body };
        Ok(framed.answer(console, viewer, refusal))
    }

    fn upload(&self, viewer: &Viewer, name: &str, all: &Certificates) -> Markup {
        let known = all.kept.as_deref().unwrap_or_default();
        let action = format!("{}/upload", Tab::Certificates.path(name));
        let title = if known.is_empty() { "Upload a certificate" } else { "Replace it" };
        let area = |field: Field<'_>, text: &str| {
            field.around(self.refusal.as_ref(), |tie| {
                html! {
                    textarea.code id=(tie.id) name=(field.name) rows="6" spellcheck="false"
                        autocomplete="off" required placeholder="-----BEGIN"
                        aria-describedby=(tie.described) aria-invalid=[tie.invalid] { (text) }
                    label.file hidden {
                        "From a file: "
                        input type="file" accept=".pem,.crt,.cer,.key" data-into=(tie.id)
                            aria-label={ (field.label) ", from a file" };
                    }
                }
            })
        };
        parts::card(
            title,
            parts::form(
                viewer,
                &action,
                html! {
                    input type="hidden" name="known" value=(known);
                    div.stack {
                        (area(CHAIN, self.chain))
                        (area(KEY, ""))
                        div.actions { button.primary { "Upload" } }
                    }
                },
            ),
        )
    }

    fn source(&self, viewer: &Viewer, subject: &Subject) -> Markup {
        let source = match self.typed {
            Some(form) => Source::Typed(&form.fields),
            None => Source::Document(&subject.document),
        };
        parts::form(
            viewer,
            &Tab::Certificates.path(&subject.name),
            html! {
                (seen(subject, source))
                fieldset.stack disabled[!viewer.may(Role::Operate)] {
                    (SOURCE.show(source, self.refusal.as_ref()))
                    (review(viewer))
                }
            },
        )
    }
}

fn none(subject: &Subject) -> Markup {
    parts::card(
        "Certificate",
        parts::empty(
            "No certificate",
            html! {
                p {
                    "TLS connections to " (subject.name) " get the default certificate of the "
                    "node, or none at all. Upload one below, or let ACME issue it."
                }
            },
        ),
    )
}

/// A pair that is kept while another source is in use.
fn unused(viewer: &Viewer, name: &str, fingerprint: &str) -> Markup {
    let body = html! {
        p.soft { "One was uploaded and is not in use: the source below is another." }
        p { "Fingerprint (SHA-256): " code { (fingerprint) } }
    };
    parts::card_with("Uploaded certificate", removal(viewer, name, fingerprint), body)
}

fn removal(viewer: &Viewer, name: &str, fingerprint: &str) -> Markup {
    let action = format!("{}/remove", Tab::Certificates.path(name));
    parts::form(
        viewer,
        &action,
        html! {
            input type="hidden" name="known" value=(fingerprint);
            button.small.danger data-preview { "Remove" }
        },
    )
}

//! What pages are put together from. Looks are those of `assets/console.css`, behaviour that needs
//! a script is that of `assets/console.js`; each part works without either. Not here: what is shown.

use maud::{Markup, html};

use super::rest::Refusal;
use super::viewer::Viewer;

/// What a colour means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    Plain,
    Good,
    Notice,
    Bad,
}

impl Tone {
    pub fn class(self) -> &'static str {
        match self {
            Tone::Plain => "plain",
            Tone::Good => "good",
            Tone::Notice => "notice",
            Tone::Bad => "bad",
        }
    }
}

/// The top of a page; `actions` are links and buttons beside it.
pub fn heading(title: &str, lead: &str, actions: Markup) -> Markup {
    html! {
        header.heading {
            div {
                h1 { (title) }
                @if !lead.is_empty() { p.lead { (lead) } }
            }
            div.actions { (actions) }
        }
    }
}

/// A part of a page with a heading of its own.
pub fn card(title: &str, body: Markup) -> Markup {
    html! { section.card { h2 { (title) } (body) } }
}

/// One figure. `live` names it for scripts that keep it up to date (`data-live`).
pub fn figure(label: &str, value: &str, unit: &str, live: &str) -> Markup {
    html! {
        div.figure {
            dt { (label) }
            dd { span.value data-live=(live) { (value) } " " span.unit { (unit) } }
        }
    }
}

/// A word with a colour; the word says it all.
pub fn badge(tone: Tone, text: &str) -> Markup {
    html! { span.badge.(tone.class()) { (text) } }
}

/// A line that matters.
pub fn banner(tone: Tone, body: Markup) -> Markup {
    let role = if tone == Tone::Bad { "alert" } else { "status" };
    html! { div.banner.(tone.class()) role=(role) { (body) } }
}

/// Instead of an empty list: why it is empty and what to do.
pub fn empty(title: &str, body: Markup) -> Markup {
    html! { div.empty { p.title { (title) } (body) } }
}

/// A table that scrolls within itself where it is too wide. `heads`: texts of the columns.
pub fn table(caption: &str, heads: &[&str], rows: Markup) -> Markup {
    html! {
        div.table role="region" aria-label=(caption) tabindex="0" {
            table {
                caption.unseen { (caption) }
                thead { tr { @for head in heads { th scope="col" { (head) } } } }
                tbody { (rows) }
            }
        }
    }
}

/// A form that only a page of this session can send. `action` is below `/console`.
pub fn form(viewer: &Viewer, action: &str, body: Markup) -> Markup {
    html! {
        form method="post" action={ (super::ROOT) (action) } {
            input type="hidden" name="csrf" value=(*viewer.session.csrf);
            (body)
        }
    }
}

/// One input with its label, what it takes, and what is wrong with it.
pub struct Field<'a> {
    pub name: &'a str,
    pub label: &'a str,
    /// What would be accepted, in words.
    pub hint: &'a str,
    /// Beside the input, such as `seconds`.
    pub unit: &'a str,
    /// The place in the JSON of the API that it becomes: a refusal names it (RFC 6901).
    pub pointer: &'a str,
}

impl Field<'_> {
    /// `control` gets the attributes that tie it to its texts.
    pub fn around(
        &self,
        refusal: Option<&Refusal>,
        control: impl FnOnce(&Tie) -> Markup,
    ) -> Markup {
        let wrong = refusal.and_then(|refusal| refusal.at(self.pointer));
        let tie = Tie {
            id: format!("f-{}", self.name),
            described: format!("f-{0}-hint f-{0}-wrong", self.name),
            invalid: wrong.map(|_| "true"),
        };
        html! {
            div.field.wrong[wrong.is_some()] {
                label for=(tie.id) { (self.label) }
                div.control {
                    (control(&tie))
                    @if !self.unit.is_empty() { span.unit { (self.unit) } }
                }
                p.hint id={ "f-" (self.name) "-hint" } { (self.hint) }
                p.error id={ "f-" (self.name) "-wrong" } {
                    @if let Some(wrong) = wrong {
                        (wrong.detail)
                        @if let Some(accepted) = &wrong.accepted { "; accepted: " (accepted) }
                    }
                }
            }
        }
    }

    /// A line of text or a number.
    pub fn input(&self, kind: &str, value: &str, refusal: Option<&Refusal>) -> Markup {
        self.around(refusal, |tie| {
            html! {
                input id=(tie.id) type=(kind) name=(self.name) value=(value)
                    aria-describedby=(tie.described) aria-invalid=[tie.invalid];
            }
        })
    }

    /// One of several; `options` are values with their texts.
    pub fn select(
        &self,
        options: &[(&str, &str)],
        value: &str,
        refusal: Option<&Refusal>,
    ) -> Markup {
        self.around(refusal, |tie| {
            html! {
                select id=(tie.id) name=(self.name) aria-describedby=(tie.described)
                    aria-invalid=[tie.invalid] {
                    @for (option, text) in options {
                        option value=(option) selected[*option == value] { (text) }
                    }
                }
            }
        })
    }

    /// Several lines of text.
    pub fn area(&self, rows: usize, value: &str, refusal: Option<&Refusal>) -> Markup {
        self.around(refusal, |tie| {
            html! {
                textarea id=(tie.id) name=(self.name) rows=(rows) spellcheck="false"
                    aria-describedby=(tie.described) aria-invalid=[tie.invalid] { (value) }
            }
        })
    }
}

/// What ties an input to its texts.
pub struct Tie {
    pub id: String,
    pub described: String,
    pub invalid: Option<&'static str>,
}

/// Why a form was not done, above it; what belongs to a field of `shown` stands there.
pub fn refusal(refusal: &Refusal, shown: &[&str]) -> Markup {
    let beside = |pointer: &Option<String>| {
        pointer.as_deref().is_some_and(|pointer| shown.contains(&pointer))
    };
    html! {
        div.banner.bad role="alert" {
            p { strong { (refusal.title) } ": " (refusal.detail) }
            @let others = refusal.errors.iter().filter(|wrong| !beside(&wrong.pointer));
            ul {
                @for wrong in others {
                    li {
                        @if let Some(place) = wrong.pointer.as_ref().or(wrong.file.as_ref()) {
                            code { (place) } ": "
                        }
                        (wrong.detail)
                        @if let Some(accepted) = &wrong.accepted { "; accepted: " (accepted) }
                    }
                }
            }
        }
    }
}

/// A difference of two texts as `diff -u` has it.
pub fn difference(diff: &str) -> Markup {
    let class = |line: &str| match line.as_bytes().first() {
        Some(b'+') => "added",
        Some(b'-') => "removed",
        Some(b'@') => "place",
        _ => "same",
    };
    html! {
        pre.diff tabindex="0" role="region" aria-label="Difference" {
            @for line in diff.lines() { span.(class(line)) { (line) "\n" } }
        }
    }
}

//! What pages are put together from. Looks are those of `assets/console.css`, behaviour that needs
//! a script is that of `assets/console.js`; each part works without either. Not here: what is
//! shown.

use std::fmt::Write as _;

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

/// A card with links, buttons or a choice beside its heading.
pub fn card_with(title: &str, actions: Markup, body: Markup) -> Markup {
    html! {
        section.card {
            header { h2 { (title) } div.actions { (actions) } }
            (body)
        }
    }
}

/// The way to a page below another: texts with their paths below `/console`.
pub fn trail(above: &[(&str, &str)]) -> Markup {
    html! {
        nav aria-label="Above this page" {
            ol.trail {
                @for (text, path) in above { li { a href={ (super::ROOT) (path) } { (text) } } }
            }
        }
    }
}

/// Figures side by side.
pub fn figures(all: Markup) -> Markup {
    html! { dl.figures { (all) } }
}

/// One figure. `live` names it for scripts that keep it up to date (`data-live`).
pub fn figure(label: &str, value: &str, unit: &str, live: &str) -> Markup {
    figure_with(label, value, unit, live, html! {})
}

/// One figure with something under it, such as `p.note` or a [`sparkline`].
pub fn figure_with(label: &str, value: &str, unit: &str, live: &str, under: Markup) -> Markup {
    html! {
        div.figure {
            dt { (label) }
            dd {
                span.reading {
                    span.value data-live=[(!live.is_empty()).then_some(live)] { (value) }
                    @if !unit.is_empty() { " " span.unit { (unit) } }
                }
                (under)
            }
        }
    }
}

/// Names with what they are.
pub fn facts(rows: &[(&str, Markup)]) -> Markup {
    html! { dl.facts { @for (name, what) in rows { dt { (name) } dd { (what) } } } }
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

/// A column of a table.
#[derive(Debug, Clone, Copy)]
pub enum Column<'a> {
    Text(&'a str),
    /// Its cells are `td.num`.
    Number(&'a str),
    /// Its head is for screen readers only, such as that of buttons.
    Unseen(&'a str),
    /// One that can be sorted by, the largest first: what its head leads to, and whether it is
    /// sorted by now.
    Sorted {
        text: &'a str,
        number: bool,
        href: &'a str,
        now: bool,
    },
}

/// A table that scrolls within itself where it is too wide. `heads`: texts of the columns.
pub fn table(caption: &str, heads: &[&str], rows: Markup) -> Markup {
    let columns: Vec<Column<'_>> = heads.iter().copied().map(Column::Text).collect();
    table_of(caption, &columns, rows)
}

/// A table of columns that are not all text. A cell with `a.row` makes its whole row a link.
pub fn table_of(caption: &str, columns: &[Column<'_>], rows: Markup) -> Markup {
    html! {
        div.table role="region" aria-label=(caption) tabindex="0" {
            table {
                caption.unseen { (caption) }
                thead { tr { @for column in columns { (head(column)) } } }
                tbody { (rows) }
            }
        }
    }
}

fn head(column: &Column<'_>) -> Markup {
    match *column {
        Column::Text(text) => html! { th scope="col" { (text) } },
        Column::Number(text) => html! { th.num scope="col" { (text) } },
        Column::Unseen(text) => html! { th scope="col" { span.unseen { (text) } } },
        Column::Sorted { text, number, href, now } => {
            let sort = now.then_some("descending");
            html! { th.num[number] scope="col" aria-sort=[sort] { a href=(href) { (text) } } }
        }
    }
}

/// Links to the parts of a list before and after this one; `text` says what is shown.
pub fn pager(text: &str, before: Option<&str>, after: Option<&str>) -> Markup {
    html! {
        nav.pager aria-label="Pages" {
            span { (text) }
            div.actions {
                @if let Some(href) = before { a.button href=(href) rel="prev" { "Previous" } }
                @if let Some(href) = after { a.button href=(href) rel="next" { "Next" } }
            }
        }
    }
}

/// Pages that belong together: texts with their paths below `/console`.
pub fn tabs(label: &str, entries: &[(&str, &str)], current: &str) -> Markup {
    html! { nav.tabs aria-label=(label) { (choices(entries, current)) } }
}

/// The same page seen in one of few ways: texts with their paths below `/console`.
pub fn segments(label: &str, entries: &[(&str, &str)], current: &str) -> Markup {
    html! { nav.segments aria-label=(label) { (choices(entries, current)) } }
}

fn choices(entries: &[(&str, &str)], current: &str) -> Markup {
    html! {
        @for (text, path) in entries {
            a href={ (super::ROOT) (path) } aria-current=[(*path == current).then_some("page")] {
                (text)
            }
        }
    }
}

/// A form that only asks: its fields become the query of the page at `action` below `/console`.
pub fn filters(action: &str, body: Markup) -> Markup {
    html! {
        form.filters role="search" action={ (super::ROOT) (action) } {
            (body)
            button { "Apply" }
        }
    }
}

/// A bar of which a share from 0 to 1 is full. `label` says it in words.
pub fn meter(tone: Tone, share: f64, label: &str) -> Markup {
    let full = (share.clamp(0.0, 1.0) * 1000.0).round() / 10.0;
    html! {
        svg.meter.(tone.class()) role="img" aria-label=(label) viewBox="0 0 100 6"
            preserveAspectRatio="none" {
            rect.track width="100" height="6" {}
            rect.fill width=(full) height="6" {}
        }
    }
}

/// A line of values over time, the oldest first. `label` says in words what it shows.
pub fn sparkline(label: &str, values: &[f64]) -> Markup {
    const WIDTH: f64 = 120.0;
    const HEIGHT: f64 = 32.0;
    let top = values.iter().copied().fold(0.0, f64::max);
    let top = if top > 0.0 { top } else { 1.0 };
    let step = WIDTH / (values.len().max(2) - 1) as f64;
    let mut line = String::new();
    for (n, value) in values.iter().enumerate() {
        let y = HEIGHT - 1.0 - value.max(0.0) / top * (HEIGHT - 2.0);
        let _ = write!(line, "{}{:.1} {y:.1}", if n == 0 { "M" } else { "L" }, n as f64 * step);
    }
    let under = format!("{line}L{WIDTH} {HEIGHT}L0 {HEIGHT}Z");
    html! {
        svg.spark role="img" aria-label=(label) viewBox={ "0 0 " (WIDTH) " " (HEIGHT) }
            preserveAspectRatio="none" {
            @if values.len() > 1 {
                path.under d=(under) {}
                path.stroke d=(line) {}
            }
        }
    }
}

/// A secret that is shown this once, with a button that copies it.
pub fn secret(id: &str, value: &str) -> Markup {
    html! {
        span.secret {
            output id=(id) { (value) }
            button.small type="button" data-copy=(id) hidden { "Copy" }
        }
    }
}

/// A page that asks before something is done that cannot be taken back; browsers without scripts
/// see it (with scripts `data-confirm` of the first form has asked already). `fields`: what the
/// first form sent, to be sent once more.
pub fn confirmation(
    viewer: &Viewer,
    title: &str,
    text: &str,
    action: &str,
    verb: &str,
    back: &str,
    fields: &[(&str, &str)],
) -> Markup {
    html! {
        (heading(title, text, html! {}))
        (form(viewer, action, html! {
            @for (name, value) in fields { input type="hidden" name=(name) value=(value); }
            input type="hidden" name=(CONFIRMED) value="yes";
            div.actions {
                button.danger.primary { (verb) }
                a.button href={ (super::ROOT) (back) } { "Cancel" }
            }
        }))
    }
}

/// The field that says that whoever sent a form was asked before.
pub const CONFIRMED: &str = "confirmed";

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
                    aria-describedby=(tie.described) aria-invalid=[tie.invalid]
                    autofocus[tie.invalid.is_some()];
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
                    aria-invalid=[tie.invalid] autofocus[tie.invalid.is_some()] {
                    @for (option, text) in options {
                        option value=(option) selected[*option == value] { (text) }
                    }
                }
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
            @let others: Vec<_> =
                refusal.errors.iter().filter(|wrong| !beside(&wrong.pointer)).collect();
            @if !others.is_empty() { ul {
                @for wrong in others {
                    li {
                        @if let Some(place) = wrong.pointer.as_ref().or(wrong.file.as_ref()) {
                            code { (place) } ": "
                        }
                        (wrong.detail)
                        @if let Some(accepted) = &wrong.accepted { "; accepted: " (accepted) }
                    }
                }
            } }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sparkline_stays_within_its_box() {
        let drawn = |values: &[f64]| sparkline("Messages", values).into_string();
        let shown = drawn(&[0.0, 5.0, 10.0]);
        assert!(shown.contains(r#"d="M0.0 31.0L60.0 16.0L120.0 1.0""#), "{shown}");
        assert!(drawn(&[0.0, 0.0]).contains("M0.0 31.0L120.0 31.0"), "nothing at all is a floor");
        for few in [&[][..], &[1.0]] {
            assert!(!drawn(few).contains("path"), "no line of less than two points");
        }
    }

    #[test]
    fn a_meter_is_full_at_most() {
        for (share, width) in [(-1.0, "0"), (0.256, "25.6"), (1.0, "100"), (7.0, "100")] {
            let shown = meter(Tone::Good, share, "x").into_string();
            assert!(shown.contains(&format!(r#"class="fill" width="{width}""#)), "{shown}");
        }
    }

    #[test]
    fn lines_of_a_difference_say_what_they_are() {
        let shown = difference("@@ -1 +1 @@\n-a\n+b\n c").into_string();
        for class in ["place", "removed", "added", "same"] {
            assert!(shown.contains(&format!(r#"<span class="{class}">"#)), "{class}: {shown}");
        }
    }

    #[test]
    fn a_head_tells_how_its_column_is_sorted() {
        let href = "?sort=bytes";
        let column = Column::Sorted { text: "Bytes", number: true, href, now: true };
        let shown = table_of("Connections", &[column, Column::Text("Id")], html! {}).into_string();
        let head = r#"<th class="num" scope="col" aria-sort="descending"><a href="?sort=bytes">"#;
        assert!(shown.contains(head) && shown.contains(r#"<th scope="col">Id</th>"#), "{shown}");
    }
}

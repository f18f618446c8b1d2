//! The page "Statistics": what WebSocket did over time, by domain, region and provider.
//!
//! The form is the question (`form`, `question`), the REST API answers (`answers`), and the server
//! shows it all: figures, charts (`drawing`), tables (`tables`). Scripts redraw the charts and zoom
//! (`assets/chart.js`, `assets/statistics.js`). Not here: what is counted (`control::statistics`).

mod answers;
mod drawing;
mod form;
mod question;
mod tables;

use axum::Router;
use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use jiff::Timestamp;
use maud::{Markup, html};

use self::answers::{Answer, Unit};
use self::form::Known;
use self::question::{Asked, PATH, Question, View, granularity};
use super::layout::{Page, Section};
use super::rest::Refusal;
use super::viewer::Viewer;
use super::{Console, ROOT, parts, units};
use crate::control::statistics::SLOT;
use crate::control::statistics::window::format;
use crate::limits::{CONSOLE_STATISTICS_DOMAINS_MAX, CONSOLE_STATISTICS_TOP};

pub fn routes() -> Router<Console> {
    Router::new().route(PATH, get(show))
}

async fn show(
    State(console): State<Console>,
    viewer: Viewer,
    RawQuery(query): RawQuery,
) -> Result<Response, Refusal> {
    let now = Timestamp::now().as_second();
    let offset = console.edge.billing.settings().utc_offset.seconds();
    let mut asked = Asked::read(query.as_deref().unwrap_or_default());
    let known = Known::read(&viewer.rest).await?;
    let mut question = asked.question(now, offset);
    let mut unknown = match asked.domains.len() <= CONSOLE_STATISTICS_DOMAINS_MAX {
        true => known.unknown(&viewer.rest, &asked).await,
        false => Vec::new(),
    };
    if !unknown.is_empty() {
        let refusal = question.err().unwrap_or_else(question::refusal);
        unknown.extend(refusal.errors.iter().cloned());
        question = Err(Refusal { errors: unknown, ..refusal });
    }
    let question = match question {
        Ok(question) => question,
        Err(refusal) => {
            let body = refused(&mut asked, &known, &refusal, (now, offset));
            return Ok((StatusCode::BAD_REQUEST, page(&console, &viewer, body)).into_response());
        }
    };
    // From now on the URL is a link to just this.
    if asked.last.is_some() || (!asked.from.is_empty() && asked.from != format(question.start)) {
        return Ok(Redirect::to(&format!("{ROOT}{}", question.url())).into_response());
    }
    let answer = answers::of(&viewer.rest, &question, now).await?;
    let body = html! {
        (parts::heading("Statistics", LEAD, copy_link(&question)))
        (tabs(&question))
        (form::show(&asked, Some(&question), &known, None, offset))
        div.stack.answer data-part="answer" {
            (figures(&answer))
            (charts(&answer, &question, now))
            @if let Some(shares) = &answer.shares { (tables::shares(shares)) }
            @if question.view == View::Traffic { (breakdown(&viewer, &question, &known).await?) }
            (tables::values(&answer, &question, now))
        }
        p.unseen role="status" data-said {}
    };
    Ok(page(&console, &viewer, body).into_response())
}

const LEAD: &str = "What WebSocket connections carried, and how their handshakes were answered.";

fn page(console: &Console, viewer: &Viewer, body: Markup) -> Markup {
    let files = &["statistics.css", "statistics.js"];
    let section = Some(Section::Statistics);
    Page { section, title: "Statistics", files, charts: true, body }.show(console, viewer)
}

fn refused(
    asked: &mut Asked,
    known: &Known,
    refusal: &Refusal,
    (now, offset): (i64, i64),
) -> Markup {
    asked.span = asked.times(now, offset).ok().map(|(start, end)| end - start);
    html! {
        (parts::heading("Statistics", LEAD, html! {}))
        (parts::refusal(refusal, form::POINTERS))
        (form::show(asked, None, known, Some(refusal), offset))
    }
}

/// Works with scripts only; without them the address of the page is the link.
fn copy_link(question: &Question) -> Markup {
    html! {
        button type="button" data-copy-link={ (ROOT) (question.url()) } hidden { "Copy link" }
    }
}

fn tabs(question: &Question) -> Markup {
    let paths = View::ALL.map(|view| (view.text(), question.with_view(view).url()));
    let entries: Vec<(&str, &str)> = paths.iter().map(|(text, path)| (*text, &**path)).collect();
    let current = question.with_view(question.view).url();
    html! { div data-part="tabs" { (parts::tabs("Views", &entries, &current)) } }
}

/// The totals and peaks of all lines.
fn figures(answer: &Answer) -> Markup {
    let all = answer.charts.iter().flat_map(|chart| chart.lines.iter().map(move |l| (chart, l)));
    html! {
        (parts::figures(html! {
            @for (chart, line) in all {
                @let label = match &*answer.charts {
                    [_] => line.label.clone(),
                    _ => format!("{}: {}", chart.title, line.label.to_lowercase()),
                };
                @let peak = line.peak();
                @let peak_text = peak.map_or("–".to_owned(), |(_, value)| chart.unit.text(value));
                @let at = peak.filter(|(_, value)| *value > 0.0).map(|(slot, _)| {
                    units::time(chart.start + chart.step * slot as i64, chart.offset as i32)
                });
                @if line.adds {
                    @let (value, unit) = split(chart.unit, line.total());
                    (parts::figure_with(&label, &value, &unit, "", html! {
                        p.note { "peak " (peak_text) @if let Some(at) = at { " at " (at) } }
                    }))
                } @else {
                    @let (value, unit) = peak_text.split_once(' ').unwrap_or((&peak_text, ""));
                    (parts::figure_with(&label, value, unit, "", html! {
                        p.note { "peak" @if let Some(at) = at { " at " (at) } }
                    }))
                }
            }
        }))
    }
}

fn split(unit: Unit, value: f64) -> (String, String) {
    let text = unit.text(value);
    let (value, unit) = text.split_once(' ').unwrap_or((&text, ""));
    (value.to_owned(), unit.to_owned())
}

fn charts(answer: &Answer, question: &Question, now: i64) -> Markup {
    let (start, end) = question.slots();
    let offset = question.offset as i32;
    let counting = (start..end).contains(&now).then(|| question.slot_of(now));
    html! {
        section.card data-charts data-url={ (ROOT) (question.url()) } {
            header {
                h2 { (question.view.text()) }
                div.actions data-zoom hidden {
                    button.small type="button" data-do="in" { "Zoom in" }
                    button.small type="button" data-do="undo" disabled { "Undo zoom" }
                    button.small type="button" data-do="reset" disabled { "Reset zoom" }
                }
            }
            @if answer.is_empty() {
                (parts::empty("Nothing was counted in this range", html! {
                    p {
                        "Choose another range, or fewer filters. What new connections do is "
                        "counted within ten seconds."
                    }
                }))
            } @else {
                @for chart in &answer.charts { (drawing::figure(chart)) }
            }
            p.hint {
                "Slots of " (granularity(question.step)) ", "
                time datetime=(format(start)) { (units::time(start, offset)) } " to "
                time datetime=(format(end)) { (units::time(end, offset)) } ". "
                @if let Some(from) = counting {
                    "The slot that began at " (units::time(from, offset))
                    " is still being counted; it is shaded. "
                }
                @if end > now + question.step { "What has not come yet is left out. " }
                @if question.view == View::Times { "Slots without a handshake have no value." }
                @else {
                    "While the edge does not run, nothing is counted: such slots are 0, like quiet "
                    "ones."
                }
                @if question.step > SLOT {
                    @match question.view {
                        View::Traffic => " Bandwidth is that of a slot's busiest five minutes.",
                        View::Connections => " Open are the most at once within a slot.",
                        View::Codes | View::Messages | View::Times => {}
                    }
                }
            }
        }
    }
}

async fn breakdown(viewer: &Viewer, question: &Question, known: &Known) -> Result<Markup, Refusal> {
    let places: tables::Places = viewer.rest.read(&question.whole("places?")).await?;
    let path = question.whole(&format!("top?by=domain&limit={CONSOLE_STATISTICS_TOP}&"));
    let top: tables::Top = viewer.rest.read(&path).await?;
    Ok(html! {
        (tables::places(&places, known))
        (tables::top(&top, question))
    })
}

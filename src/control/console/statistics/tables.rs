//! Tables below the charts: values by slot, parts of a whole, places, the largest domains. Not
//! here: charts (`drawing`).

use maud::{Markup, html};
use serde::Deserialize;

use super::super::parts::{self, Column, Tone};
use super::super::{ROOT, units};
use super::answers::{Answer, Shares};
use super::drawing::time_in;
use super::form::Known;
use super::question::Question;
use crate::control::api;
use crate::limits::CONSOLE_STATISTICS_ROWS_MAX;

/// A link to the CSV of one call: the same series, the same slots.
pub fn csv(question: &Question, what: &str) -> Markup {
    let href = format!("{}{}&format=csv", api::ROOT, question.series(what));
    html! {
        a.button href=(href) download=(question.file_name(what)) {
            "CSV of " (what.replace('-', " "))
        }
    }
}

/// One part of the slots, the oldest first.
pub fn values(answer: &Answer, question: &Question, now: i64) -> Markup {
    let (start, _) = question.slots();
    let pages = answer.slots().div_ceil(CONSOLE_STATISTICS_ROWS_MAX).max(1);
    let page = question.page.min(pages);
    let first = (page - 1) * CONSOLE_STATISTICS_ROWS_MAX;
    let last = (first + CONSOLE_STATISTICS_ROWS_MAX).min(answer.slots());
    let mut columns = vec![Column::Text("Start of slot")];
    columns.extend(answer.columns.iter().map(|(_, line)| Column::Number(&line.label)));
    let rows = html! {
        @for slot in first..last {
            @let at = start + question.step * slot as i64;
            tr {
                th scope="row" {
                    time datetime=(time_of(at)) { (time_in(at, question.step, question.offset)) }
                    @if (at..at + question.step).contains(&now) {
                        " " (parts::badge(Tone::Notice, "counting"))
                    }
                }
                @for (unit, line) in &answer.columns {
                    td.num {
                        @match line.values.get(slot).copied().flatten() {
                            Some(value) => (unit.text(value)),
                            None => span.soft title="No value" { "–" },
                        }
                    }
                }
            }
        }
    };
    let link = |page: usize| format!("{ROOT}{}#values", question.with_page(page).url());
    let before = (page > 1).then(|| link(page - 1));
    let after = (page < pages).then(|| link(page + 1));
    let shown = format!("Slots {} to {} of {}", first + 1, last, answer.slots());
    let actions = html! { @for what in &answer.sources { (csv(question, what)) } };
    html! {
        div #values {
            (parts::card_with("Values", actions, html! {
                (parts::table_of("Values by slot", &columns, rows))
                (parts::pager(&shown, before.as_deref(), after.as_deref()))
            }))
        }
    }
}

fn time_of(time: i64) -> String {
    crate::control::statistics::window::format(time)
}

/// Parts of a whole over the range.
pub fn shares(shares: &Shares) -> Markup {
    let all: u64 = shares.parts.iter().map(|(_, _, n)| n).sum();
    let columns = [
        Column::Text(shares.what),
        Column::Number("Count"),
        Column::Number("Share"),
        Column::Unseen("Bar"),
    ];
    let rows = html! {
        @for (name, colour, n) in &shares.parts {
            @let share = *n as f64 / all.max(1) as f64;
            tr {
                th scope="row" { span.swatch.{ "c-" (colour) } {} " " (name) }
                td.num { (units::count(*n)) }
                td.num { (percent(share)) }
                @let label = format!("{name}: {}", percent(share));
                td.wide { (parts::meter(tone(colour), share, &label)) }
            }
        }
    };
    parts::card(
        shares.title,
        html! {
            @if shares.parts.is_empty() { p.soft { "Nothing was counted." } }
            @else { (parts::table_of(shares.title, &columns, rows)) }
        },
    )
}

fn tone(colour: &str) -> Tone {
    match colour {
        "ok" => Tone::Good,
        "notice" => Tone::Notice,
        "bad" => Tone::Bad,
        _ => Tone::Plain,
    }
}

/// `12.3 %`.
fn percent(share: f64) -> String {
    match share * 100.0 {
        percent if percent > 0.0 && percent < 0.05 => "< 0.1 %".to_owned(),
        percent => format!("{percent:.1} %"),
    }
}

#[derive(Deserialize)]
pub struct Places {
    bytes_out: u64,
    regions: Vec<Total>,
    isps: Vec<Total>,
    items: Vec<Place>,
    truncated: bool,
}

#[derive(Deserialize)]
pub struct Total {
    name: String,
    bytes_out: u64,
    share_percent: f64,
    peak_bps_out: f64,
}

#[derive(Deserialize)]
struct Place {
    region: String,
    isp: String,
    bytes_out: u64,
}

/// Regions by providers, the largest first in both.
pub fn places(places: &Places, known: &Known) -> Markup {
    let most = places.items.iter().map(|place| place.bytes_out).max().unwrap_or(0).max(1);
    let of = |region: &str, isp: &str| {
        places.items.iter().find(|place| place.region == region && place.isp == isp)
    };
    let body = html! {
        @if places.regions.is_empty() {
            p.soft { "No traffic in this range." }
        } @else {
            p.hint {
                "Bytes sent to clients over the range, by where clients are. A full bar is the "
                "largest cell."
                @if places.truncated { " Only the largest regions and providers are shown." }
            }
            div.table role="region" aria-label="Traffic by region and provider" tabindex="0" {
                table.heat {
                    caption.unseen { "Traffic by region and provider" }
                    thead { tr {
                        th scope="col" { "Region" }
                        th.num scope="col" { "All" }
                        @for isp in &places.isps { th.num scope="col" { (name(&isp.name, known)) } }
                    } }
                    tbody {
                        @for region in &places.regions {
                            tr {
                                th scope="row" { (name(&region.name, known)) }
                                td.num {
                                    strong { (units::bytes(region.bytes_out as f64)) }
                                    span.share { (percent(region.share_percent / 100.0)) }
                                }
                                @for isp in &places.isps {
                                    td.num { (cell(of(&region.name, &isp.name), most)) }
                                }
                            }
                        }
                    }
                    tfoot { tr {
                        th scope="row" { "All" }
                        td.num { (units::bytes(places.bytes_out as f64)) }
                        @for isp in &places.isps {
                            td.num {
                                (units::bytes(isp.bytes_out as f64))
                                span.share { (percent(isp.share_percent / 100.0)) }
                            }
                        }
                    } }
                }
            }
        }
    };
    parts::card("Traffic by region and provider", body)
}

fn cell(place: Option<&Place>, most: u64) -> Markup {
    html! {
        @match place {
            Some(place) => {
                @let share = place.bytes_out as f64 / most as f64;
                (units::bytes(place.bytes_out as f64))
                (parts::meter(Tone::Plain, share, &format!("{} of the largest", percent(share))))
            }
            None => span.soft { "–" },
        }
    }
}

fn name(name: &str, known: &Known) -> Markup {
    html! {
        (name)
        @if let Some(chinese) = known.chinese(name) { " " span.soft lang="zh" { (chinese) } }
    }
}

#[derive(Deserialize)]
pub struct Top {
    items: Vec<Total>,
}

/// Domains with the most traffic; each leads to its own figures.
pub fn top(top: &Top, question: &Question) -> Markup {
    let columns = [
        Column::Text("Domain"),
        Column::Number("Sent to clients"),
        Column::Number("Peak bandwidth"),
        Column::Number("Share"),
        Column::Unseen("Bar"),
    ];
    let rows = html! {
        @for item in top.items.iter().filter(|item| item.bytes_out > 0) {
            @let share = item.share_percent / 100.0;
            tr {
                th scope="row" {
                    a.row href={ (ROOT) (question.with_domain(&item.name).url()) } { (item.name) }
                }
                td.num { (units::bytes(item.bytes_out as f64)) }
                td.num { (units::bits_per_second(item.peak_bps_out)) }
                td.num { (percent(share)) }
                @let label = format!("{}: {}", item.name, percent(share));
                td.wide { (parts::meter(Tone::Plain, share, &label)) }
            }
        }
    };
    let none = top.items.iter().all(|item| item.bytes_out == 0);
    parts::card(
        "Top domains",
        html! {
            @if none { p.soft { "No traffic in this range." } }
            @else { (parts::table_of("Domains with the most traffic", &columns, rows)) }
        },
    )
}

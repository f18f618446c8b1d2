//! The form that asks: what can be chosen, and what was. It works without scripts; with them the
//! list of domains can be searched and the granularity follows the range (`assets/statistics.js`).
//!
//! Not here: what the texts mean (`question`).

use std::collections::{BTreeMap, BTreeSet};

use maud::{Markup, html};
use serde::Deserialize;

use super::super::ROOT;
use super::super::parts::Field;
use super::super::rest::{Refusal, Rest, Wrong, part};
use super::question::{Asked, PATH, Preset, Question, granularity, local};
use crate::control::statistics::window::offered;
use crate::limits::CONSOLE_STATISTICS_LISTED_MAX;

/// Names that can be asked for.
pub struct Known {
    domains: BTreeSet<String>,
    names: Names,
    is_whole: bool,
}

#[derive(Deserialize)]
struct Names {
    domains: Vec<String>,
    regions: Vec<String>,
    isps: Vec<String>,
    truncated: bool,
    chinese: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Domains {
    items: Vec<Domain>,
    next: Option<String>,
}

#[derive(Deserialize)]
struct Domain {
    name: String,
}

impl Known {
    /// What there is, and what there was and is still in the statistics.
    pub async fn read(rest: &Rest) -> Result<Known, Refusal> {
        let names: Names = rest.read("/statistics/names").await?;
        let listed: Domains = rest.read("/domains?limit=500").await?;
        let is_whole = listed.next.is_none() && !names.truncated;
        let listed = listed.items.into_iter().map(|domain| domain.name);
        let domains = names.domains.iter().cloned().chain(listed).collect();
        Ok(Known { domains, names, is_whole })
    }

    /// The Chinese name of a region or provider.
    pub fn chinese(&self, name: &str) -> Option<&str> {
        self.names.chinese.get(name).map(String::as_str)
    }

    /// Names of nobody.
    pub async fn unknown(&self, rest: &Rest, asked: &Asked) -> Vec<Wrong> {
        let mut wrong = Vec::new();
        for domain in &asked.domains {
            if self.domains.contains(domain) {
                continue;
            }
            let path = format!("/domains/{}", part(domain));
            if !self.is_whole && rest.read::<Domain>(&path).await.is_ok() {
                continue;
            }
            wrong.push(unknown("/domain", domain, self.domains.iter()));
        }
        let places = [
            ("/region", &asked.region, &self.names.regions),
            ("/isp", &asked.isp, &self.names.isps),
        ];
        for (pointer, name, known) in places {
            if !name.is_empty() && !known.contains(name) && !self.names.truncated {
                wrong.push(unknown(pointer, name, known.iter()));
            }
        }
        wrong
    }

    fn option(&self, name: &str) -> String {
        match self.chinese(name) {
            Some(chinese) => format!("{name} ({chinese})"),
            None => name.to_owned(),
        }
    }
}

fn unknown<'a>(pointer: &str, name: &str, known: impl Iterator<Item = &'a String>) -> Wrong {
    const SHOWN: usize = 5;
    let known: Vec<&str> = known.map(String::as_str).take(SHOWN + 1).collect();
    let accepted = match known.len() {
        0 => "nothing yet: nothing was counted".to_owned(),
        n if n > SHOWN => format!("a name of the list, such as {}", known[..SHOWN].join(", ")),
        _ => known.join(", "),
    };
    Wrong {
        pointer: Some(pointer.to_owned()),
        detail: format!("there are no statistics of {name:?}"),
        accepted: Some(accepted),
        ..Wrong::default()
    }
}

/// The pointers of all fields.
pub const POINTERS: &[&str] = &["/domain", "/region", "/isp", "/from", "/to", "/interval"];

/// `question` is what the form shows, unless it is refused.
pub fn show(
    asked: &Asked,
    question: Option<&Question>,
    known: &Known,
    refusal: Option<&Refusal>,
    offset: i64,
) -> Markup {
    let typed = |text: &str, time: Option<i64>| match time {
        Some(time) => local(time, offset),
        None => text.to_owned(),
    };
    let from = typed(&asked.from, question.map(|question| question.start));
    let to = typed(&asked.to, question.map(|question| question.end));
    let preset = question.and_then(|question| question.preset);
    html! {
        form #ask .card.ask role="search" aria-label="What is shown" action={ (ROOT) (PATH) }
            data-part="form" data-offset=(offset) {
            input type="hidden" name="view" value=(asked.view.name());
            div.filters {
                (domains(asked, known, refusal))
                (place("region", "Region", &asked.region, &known.names.regions, known, refusal))
                (place("isp", "Provider", &asked.isp, &known.names.isps, known, refusal))
                (time("from", "From", &from, refusal))
                (time("to", "To", &to, refusal))
            }
            div.filters {
                (interval(asked, question, refusal))
                // The first button is the one that Enter presses.
                button.primary { "Apply" }
                div.segments.presets role="group" aria-label="Range" {
                    @for known in Preset::ALL {
                        @let (name, text) = known.facts();
                        button name="last" value=(name)
                            aria-pressed=(if preset == Some(known) { "true" } else { "false" }) {
                            (text)
                        }
                    }
                }
            }
        }
    }
}

fn domains(asked: &Asked, known: &Known, refusal: Option<&Refusal>) -> Markup {
    let wrong: Vec<&Wrong> = refusal.iter().flat_map(|r| &r.errors).collect();
    let wrong = wrong.into_iter().filter(|w| w.pointer.as_deref() == Some("/domain"));
    let wrong: Vec<&Wrong> = wrong.collect();
    let shown = match &*asked.domains {
        [] => "All domains".to_owned(),
        [one] => one.clone(),
        several => format!("{} domains", several.len()),
    };
    let listed: Vec<&String> = asked
        .domains
        .iter()
        .chain(known.domains.iter().filter(|name| !asked.domains.contains(name)))
        .take(CONSOLE_STATISTICS_LISTED_MAX.max(asked.domains.len()))
        .collect();
    html! {
        div.field.domains.wrong[!wrong.is_empty()] {
            span.label #domains-label { "Domains" }
            details.picker data-picker {
                summary aria-labelledby="domains-label domains-shown"
                    aria-describedby="domains-wrong" {
                    span #domains-shown data-shown { (shown) }
                }
                div.panel {
                    input type="search" data-search hidden aria-label="Find a domain"
                        placeholder="Find a domain" autocomplete="off" spellcheck="false";
                    ul aria-labelledby="domains-label" {
                        @for name in &listed {
                            li { label.choice {
                                input type="checkbox" name="domain" value=(name)
                                    checked[asked.domains.contains(name)];
                                (name)
                            } }
                        }
                    }
                    @if known.domains.is_empty() { p.hint { "No domain yet." } }
                    @if listed.len() < known.domains.len() {
                        label.choice for="another" { "Another one" }
                        input #another name="domain" autocomplete="off" spellcheck="false";
                    }
                    p.hint { "None chosen means all." }
                    button { "Apply domains" }
                }
            }
            p.error #domains-wrong {
                @for wrong in &wrong {
                    (wrong.detail) "; accepted: " (wrong.accepted.as_deref().unwrap_or_default())
                    " "
                }
            }
        }
    }
}

fn place(
    name: &str,
    label: &str,
    value: &str,
    names: &[String],
    known: &Known,
    refusal: Option<&Refusal>,
) -> Markup {
    let texts: Vec<String> = names.iter().map(|name| known.option(name)).collect();
    let mut options = vec![("", "All")];
    options.extend(names.iter().map(String::as_str).zip(texts.iter().map(String::as_str)));
    if !value.is_empty() && !names.iter().any(|name| name == value) {
        options.push((value, value));
    }
    let pointer = format!("/{name}");
    Field { name, label, hint: "", unit: "", pointer: &pointer }.select(&options, value, refusal)
}

fn time(name: &str, label: &str, value: &str, refusal: Option<&Refusal>) -> Markup {
    let pointer = format!("/{name}");
    let wrong = refusal.is_some_and(|refusal| refusal.at(&pointer).is_some());
    // A browser shows nothing of a text that is no time.
    let kind = if wrong { "text" } else { "datetime-local" };
    Field { name, label, hint: "", unit: "", pointer: &pointer }.around(refusal, |tie| {
        html! {
            input id=(tie.id) type=(kind) step="any" name=(name) value=(value)
                aria-describedby=(tie.described) aria-invalid=[tie.invalid]
                autofocus[tie.invalid.is_some()];
        }
    })
}

fn interval(asked: &Asked, question: Option<&Question>, refusal: Option<&Refusal>) -> Markup {
    // Of a range that cannot be told, all there are.
    let range = question.map(|question| question.end - question.start).or(asked.span);
    let intervals = range.map_or(&[300, 3600, 86_400][..], offered);
    let texts: Vec<String> = intervals.iter().map(i64::to_string).collect();
    let names = intervals.iter().map(|step| granularity(*step));
    let options: Vec<(&str, &str)> = texts.iter().map(String::as_str).zip(names).collect();
    let step = question.map(|question| question.step.to_string());
    let value = step.as_deref().unwrap_or(&asked.interval);
    let field =
        Field { name: "interval", label: "Granularity", hint: "", unit: "", pointer: "/interval" };
    field.select(&options, value, refusal)
}

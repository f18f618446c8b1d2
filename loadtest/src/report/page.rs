//! The report as one HTML page: no script, no picture, no font, no request to anywhere.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::chart;
use super::drawing::Drawing;
use super::look::{css, number, shown, unit};
use super::sections::{READING, Section, Verdict, machine, notes, seen, spread, summary, wanted};
use crate::figures::{Document, Figure};

/// Styles besides those of colours.
const STYLE: &str = include_str!("page.css");

/// Says to the browser what the page promises: it asks nobody for anything.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; img-src data:";

pub fn text(title: &str, document: &Document, sections: &[Section<'_>]) -> String {
    let heading = format!("Hawser load tests: {title}");
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                link rel="icon" href="data:,";
                title { (heading) }
                style { (PreEscaped(css())) (PreEscaped(STYLE)) }
            }
            body {
                header {
                    h1 { (heading) }
                    p {
                        "Measured " time datetime=(document.measured) { (document.measured) }
                        " on Linux " (document.machine.kernel) ", " (document.machine.cpu) ", "
                        (document.machine.cpus) " processors."
                    }
                    p { (READING) }
                    @if !document.notes.is_empty() {
                        details {
                            summary { "Notes on this measurement: " (document.notes.len()) }
                            ul { @for note in notes(document) { li { (note) } } }
                        }
                    }
                    (contents(sections))
                }
                main {
                    (goals(document))
                    @for part in sections { (section(part)) }
                    (circumstances(document))
                }
            }
        }
    };
    page.into_string() + "\n"
}

fn contents(sections: &[Section<'_>]) -> Markup {
    html! {
        nav aria-label="Contents" {
            a href="#goals" { "Goals" }
            @for part in sections { a href={ "#" (part.name) } { (part.title) } }
            a href="#machine" { "Machine, versions, commands" }
        }
    }
}

fn goals(document: &Document) -> Markup {
    let goals = document.figures.iter().flat_map(|f| f.goals.iter().map(move |goal| (f, goal)));
    html! {
        section id="goals" {
            h2 { "Goals" }
            p { (summary(document)) }
            div.wide tabindex="0" role="region" aria-label="Goals" {
                table {
                    thead { tr { th { "" } th { "Figure" } th { "Goal" } th.n { "Reached" } } }
                    tbody {
                        @for (figure, goal) in goals {
                            @let verdict = Verdict::of(goal);
                            tr {
                                td { span class=(class(verdict)) { (verdict.words()) } }
                                th scope="row" { (figure.title) }
                                td { (wanted(figure, goal)) }
                                td.n { (seen(figure, goal)) }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn class(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Met => "met",
        Verdict::Missed => "missed",
        Verdict::NotMeasured => "unmeasured",
    }
}

fn section(section: &Section<'_>) -> Markup {
    html! {
        section id=(section.name) {
            h2 { (section.title) }
            div.plots {
                @for figure in &section.figures {
                    div.plot {
                        (plot(&figure.name, &chart::bars(figure)))
                        (values(figure))
                    }
                }
                @for curve in &section.curves {
                    div.plot {
                        (plot(&curve.name, &chart::lines(curve)))
                        details {
                            summary { "Points" }
                            p { (chart::heard_curve(curve)) }
                        }
                    }
                }
            }
        }
    }
}

fn plot(name: &str, drawing: &Drawing) -> Markup {
    html! { figure { (PreEscaped(drawing.svg(name))) } }
}

/// The values of a plot, its ratios, and all rounds for who wants them.
fn values(figure: &Figure) -> Markup {
    let first = shown(figure.first());
    let label = format!("{}: values", figure.title);
    html! {
        details {
            summary { "Values, ratios and rounds" }
            div.wide tabindex="0" role="region" aria-label=(label) {
                table {
                    thead {
                        tr {
                            th { "" }
                            th.n { (unit(&figure.unit)) }
                            th.n { (first) " over it" }
                            th { "Rounds" }
                        }
                    }
                    tbody {
                        @for (name, values) in &figure.rounds {
                            tr {
                                th scope="row" { (shown(name)) }
                                td.n { (spread(&figure.spread[name])) }
                                td.n {
                                    @match figure.ratios.get(name) {
                                        Some(ratio) => (spread(ratio)),
                                        None => "–",
                                    }
                                }
                                td.rounds { (listed(values)) }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn listed(values: &[f64]) -> String {
    values.iter().map(|value| number(*value)).collect::<Vec<_>>().join(" ")
}

fn circumstances(document: &Document) -> Markup {
    html! {
        section id="machine" {
            h2 { "Machine, versions, commands" }
            div.wide tabindex="0" role="region" aria-label="Machine" {
                table {
                    tbody {
                        @for (name, value) in machine(document) {
                            tr { th scope="row" { (name) } td { (value) } }
                        }
                        @for (name, version) in &document.versions {
                            tr { th scope="row" { (shown(name)) } td { (version) } }
                        }
                    }
                }
            }
            details {
                summary { "What the kernel does about faults of the processor" }
                table {
                    tbody {
                        @for (fault, state) in &document.machine.mitigations {
                            tr { th scope="row" { (fault) } td { (state) } }
                        }
                    }
                }
            }
            h3 { "Commands, from the top of the repository" }
            pre tabindex="0" { code { (document.commands.join("\n")) } }
        }
    }
}

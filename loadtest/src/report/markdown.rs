//! The report as Markdown, with the plots as pictures beside it.

use std::fmt::{Result, Write as _};

use super::chart;
use super::look::{shown, unit};
use super::sections::{READING, Section, Verdict, machine, notes, seen, spread, summary, wanted};
use crate::figures::{Better, Document, Figure, Spread};

pub fn text(title: &str, document: &Document, sections: &[Section<'_>]) -> String {
    let mut text = String::new();
    write_all(&mut text, title, document, sections).expect("a String takes everything");
    text
}

fn write_all(
    out: &mut String,
    title: &str,
    document: &Document,
    sections: &[Section<'_>],
) -> Result {
    writeln!(out, "<!-- Made from result.json by `loadtest/report`; not to be edited. -->\n")?;
    writeln!(out, "# Results: {title}\n")?;
    writeln!(
        out,
        "Measured {}. The same as one page: [index.html](index.html). How it is done: \
         [loadtest](../../README.md); what may be compared with what: [results](../README.md).\n",
        document.measured
    )?;
    writeln!(out, "{READING}\n")?;
    for note in notes(document) {
        writeln!(out, "- {note}")?;
    }
    goals(out, document)?;
    for section in sections {
        self::section(out, section)?;
    }
    writeln!(out, "\n## Machine\n\n| | |\n|---|---|")?;
    for (name, value) in machine(document) {
        writeln!(out, "| {name} | {value} |")?;
    }
    for (fault, state) in &document.machine.mitigations {
        writeln!(out, "| {fault} | {state} |")?;
    }
    writeln!(out, "\n## Versions\n\n| program | version |\n|---|---|")?;
    for (name, version) in &document.versions {
        writeln!(out, "| {} | {version} |", shown(name))?;
    }
    writeln!(out, "\n## Commands\n\nFrom the top of the repository:\n\n```sh")?;
    for command in &document.commands {
        writeln!(out, "{command}")?;
    }
    writeln!(out, "```")
}

fn goals(out: &mut String, document: &Document) -> Result {
    if document.figures.iter().all(|figure| figure.goals.is_empty()) {
        return Ok(());
    }
    writeln!(out, "\n## Goals\n\n{}\n", summary(document))?;
    writeln!(out, "| | figure | goal | reached |\n|---|---|---|---|")?;
    for figure in &document.figures {
        for goal in &figure.goals {
            let (wanted, seen) = (wanted(figure, goal), seen(figure, goal));
            let verdict = match Verdict::of(goal) {
                Verdict::Missed => "**MISSED**",
                other => other.words(),
            };
            writeln!(out, "| {verdict} | {} | {wanted} | {seen} |", figure.title)?;
        }
    }
    Ok(())
}

fn section(out: &mut String, section: &Section<'_>) -> Result {
    writeln!(out, "\n## {}\n", section.title)?;
    let heard: Vec<String> = section.figures.iter().map(|f| chart::heard(f)).collect();
    let alternative = match &heard[..] {
        [one] => one.clone(),
        _ => format!("{}: the values are in the table below", section.title),
    };
    writeln!(out, "![{}]({})", alternative.replace(['[', ']'], ""), section.plot_name())?;
    if !section.figures.is_empty() {
        let proxies = section.proxies();
        table(out, section, &proxies, |figure, proxy| figure.spread.get(proxy), values_head)?;
        let others = &proxies[1..];
        if !others.is_empty() {
            let first = shown(proxies[0]);
            writeln!(out, "\n{first} over the others, within each round:")?;
            table(out, section, others, |figure, proxy| figure.ratios.get(proxy), ratios_head)?;
        }
    }
    for curve in &section.curves {
        writeln!(out, "\n{}: {}", curve.title, chart::heard_curve(curve))?;
    }
    Ok(())
}

fn table(
    out: &mut String,
    section: &Section<'_>,
    proxies: &[&str],
    value: impl for<'a> Fn(&'a Figure, &str) -> Option<&'a Spread>,
    head: impl Fn(&Figure) -> String,
) -> Result {
    let names: Vec<&str> = proxies.iter().map(|name| shown(name)).collect();
    writeln!(out, "\n| figure | {} |", names.join(" | "))?;
    writeln!(out, "|---|{}", "---|".repeat(names.len()))?;
    for figure in &section.figures {
        let values: Vec<String> =
            proxies.iter().map(|p| value(figure, p).map_or("–".into(), spread)).collect();
        writeln!(out, "| {} | {} |", head(figure), values.join(" | "))?;
    }
    Ok(())
}

fn values_head(figure: &Figure) -> String {
    format!("{}, {}", figure.title, unit(&figure.unit))
}

fn ratios_head(figure: &Figure) -> String {
    let better = match figure.better {
        Better::Less => "less is better",
        Better::More => "more is better",
    };
    format!("{} ({better})", figure.title)
}

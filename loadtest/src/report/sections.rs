//! How a document is divided for its readers, and the texts that Markdown and page share.

use super::chart;
use super::drawing::Drawing;
use super::look::{number, shown, unit};
use crate::figures::{Against, Bound, Curve, Document, Figure, Goal, Spread};

/// What a reader has to know once to read any table or plot.
pub const READING: &str = "Each proxy was measured once in every round, in a turned order. A \
    figure is the median of the rounds, with the least and the most in brackets. A ratio is made \
    within a round, Hawser over the other; below 1 is better where less is better. Floors relay \
    bytes and do nothing else; they are no peers.";

/// Names of groups; another group is called by its own.
const TITLES: [(&str, &str); 8] = [
    ("cpu", "CPU per message"),
    ("push", "Push"),
    ("memory", "Memory per connection"),
    ("latency", "Added latency"),
    ("throughput", "Throughput"),
    ("handshakes", "Handshakes"),
    ("herd", "Everybody comes back at once"),
    ("idle", "Idle connections"),
];

/// Figures and curves of one group.
pub struct Section<'a> {
    pub name: String,
    pub title: String,
    pub figures: Vec<&'a Figure>,
    pub curves: Vec<&'a Curve>,
}

/// In the order in which their groups come first.
pub fn sections(document: &Document) -> Vec<Section<'_>> {
    let mut sections: Vec<Section<'_>> = Vec::new();
    for figure in &document.figures {
        section(&mut sections, figure.group()).figures.push(figure);
    }
    for curve in &document.curves {
        section(&mut sections, curve.group()).curves.push(curve);
    }
    sections
}

fn section<'a, 'b>(sections: &'b mut Vec<Section<'a>>, name: &str) -> &'b mut Section<'a> {
    let found = sections.iter().position(|section| section.name == name);
    let index = found.unwrap_or_else(|| {
        let title = TITLES.iter().find(|(group, _)| *group == name).map_or(name, |(_, t)| t);
        let (name, title) = (name.to_owned(), title.to_owned());
        sections.push(Section { name, title, figures: Vec::new(), curves: Vec::new() });
        sections.len() - 1
    });
    &mut sections[index]
}

impl Section<'_> {
    pub fn drawings(&self) -> Vec<Drawing> {
        let bars = self.figures.iter().map(|figure| chart::bars(figure));
        bars.chain(self.curves.iter().map(|curve| chart::lines(curve))).collect()
    }

    pub fn plot_name(&self) -> String {
        format!("{}.png", self.name)
    }

    /// Names of all proxies of its figures, in the order of the measurement.
    pub fn proxies(&self) -> Vec<&str> {
        let mut proxies: Vec<&str> = Vec::new();
        for name in self.figures.iter().flat_map(|figure| figure.rounds.keys()) {
            if !proxies.contains(&name.as_str()) {
                proxies.push(name);
            }
        }
        proxies
    }
}

/// `4.71 (4.20–5.31)`, or the value alone where nothing differs.
pub fn spread(Spread { min, median, max }: &Spread) -> String {
    if min == max {
        return number(*median);
    }
    format!("{} ({}–{})", number(*median), number(*min), number(*max))
}

/// What was to be reached, in words.
pub fn wanted(figure: &Figure, goal: &Goal) -> String {
    let (words, value) = match goal.bound {
        Bound::AtMost(value) => ("at most", value),
        Bound::AtLeast(value) => ("at least", value),
    };
    // As it was written, not rounded to three figures: it is a definition.
    match &goal.against {
        Against::Absolute => format!("{words} {} {}", exact(value), unit(&figure.unit)),
        Against::BestPeer => match figure.best_peer() {
            Some(best) => format!("{words} {value} × best peer ({})", shown(best)),
            None => format!("{words} {value} × best peer"),
        },
        Against::Proxy(name) => format!("{words} {value} × {}", shown(name)),
    }
}

/// What was reached, in the terms of the goal.
pub fn seen(figure: &Figure, goal: &Goal) -> String {
    match (goal.seen, &goal.against) {
        (None, _) => "–".into(),
        (Some(seen), Against::Absolute) => format!("{} {}", number(seen), unit(&figure.unit)),
        (Some(seen), _) => format!("{seen:.3} ×"),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Met,
    Missed,
    NotMeasured,
}

impl Verdict {
    pub fn of(goal: &Goal) -> Verdict {
        match goal.met {
            Some(true) => Verdict::Met,
            Some(false) => Verdict::Missed,
            None => Verdict::NotMeasured,
        }
    }

    pub fn words(self) -> &'static str {
        match self {
            Verdict::Met => "met",
            Verdict::Missed => "MISSED",
            Verdict::NotMeasured => "not measured",
        }
    }
}

/// `12 of 15 goals met, 2 missed, 1 not measured.`
pub fn summary(document: &Document) -> String {
    let goals = document.figures.iter().flat_map(|figure| &figure.goals);
    let verdicts: Vec<Verdict> = goals.map(Verdict::of).collect();
    let count = |verdict| verdicts.iter().filter(|other| **other == verdict).count();
    let mut text = format!("{} of {} goals met", count(Verdict::Met), verdicts.len());
    for (verdict, words) in [(Verdict::Missed, "missed"), (Verdict::NotMeasured, "not measured")] {
        if count(verdict) > 0 {
            text.push_str(&format!(", {} {words}", count(verdict)));
        }
    }
    text + "."
}

/// Longer notes end in `…`; the whole text is in the document.
const NOTE_CHARS: usize = 240;

/// What a reader has to know of this measurement apart from others.
pub fn notes(document: &Document) -> Vec<String> {
    let shortened = |note: &String| match note.char_indices().nth(NOTE_CHARS) {
        Some((end, _)) => format!("{}…", &note[..end]),
        None => note.clone(),
    };
    document.notes.iter().map(shortened).collect()
}

/// Name and value of what the figures depend on.
pub fn machine(document: &Document) -> Vec<(&'static str, String)> {
    let machine = &document.machine;
    let gib = machine.memory_bytes as f64 / f64::from(1 << 30);
    vec![
        ("CPU", format!("{}, {} processors", machine.cpu, machine.cpus)),
        ("last cache", machine.last_cache.clone()),
        ("memory", format!("{gib:.1} GiB")),
        ("kernel", machine.kernel.clone()),
        ("distribution", machine.distribution.clone()),
        ("virtualised", machine.virtualised.clone()),
        ("governor", machine.governor.clone()),
    ]
}

fn exact(value: f64) -> String {
    if value.fract() == 0.0 { number(value) } else { value.to_string() }
}

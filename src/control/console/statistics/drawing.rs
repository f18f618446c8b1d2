//! Charts as the server draws them: what there is without scripts, and until they have loaded
//! (`assets/chart.js` draws the same from `data-chart`). The drawing is stretched to its box, so
//! texts stand around it.

use std::fmt::Write as _;

use maud::{Markup, html};

use super::super::units;
use super::answers::{Chart, Kind, Line};
use super::question::zone;

const WIDTH: f64 = 600.0;
const HEIGHT: f64 = 160.0;
/// Points of a line; of more slots the largest of neighbours are drawn.
const POINTS_MAX: usize = 150;

/// A chart with its legend.
pub fn figure(chart: &Chart) -> Markup {
    let top = top(chart);
    let slots = chart.lines.first().map_or(0, |line| line.values.len());
    let end = chart.start + chart.step * slots as i64;
    let spec = serde_json::to_string(chart).unwrap_or_default();
    html! {
        figure.chart.stacked[chart.kind == Kind::Stack] data-chart=(spec) {
            figcaption { (chart.title) }
            div.plot data-plot {
                div.scale aria-hidden="true" {
                    span { (chart.unit.text(top)) }
                    span { (chart.unit.text(top / 2.0)) }
                    span { (chart.unit.text(0.0)) }
                }
                (drawing(chart, top, slots))
                div.times aria-hidden="true" {
                    span { (short_time(chart.start, chart)) }
                    span { (short_time(end, chart)) }
                }
            }
            ul.legend data-legend { @for line in &chart.lines { li { (entry(chart, line)) } } }
        }
    }
}

/// What a line is, with its total and its peak.
fn entry(chart: &Chart, line: &Line) -> Markup {
    html! {
        span.swatch.{ "c-" (line.colour) }.dashed[line.dashed] {}
        span.name { (line.label) }
        @if line.adds { " " span { "total " strong { (chart.unit.text(line.total())) } } }
        @if let Some((slot, peak)) = line.peak() {
            @let at = chart.start + chart.step * slot as i64;
            " " span {
                "peak " strong { (chart.unit.text(peak)) }
                @if peak > 0.0 { " at " (short_time(at, chart)) }
            }
        }
    }
}

fn summary(chart: &Chart) -> String {
    let mut text = chart.title.to_owned();
    for line in &chart.lines {
        let peak = line.peak().map_or("no value".to_owned(), |(_, v)| chart.unit.text(v));
        let _ = write!(text, "; {}: peak {peak}", line.label);
    }
    text
}

fn drawing(chart: &Chart, top: f64, slots: usize) -> Markup {
    let x = |slot: f64| slot / slots.max(1) as f64 * WIDTH;
    let y = |value: f64| HEIGHT - value / top * HEIGHT;
    let paths = match chart.kind {
        Kind::Lines => lines(chart, x, y),
        Kind::Stack => stack(chart, slots, x, y),
    };
    let counting = (chart.now - chart.start).div_euclid(chart.step);
    html! {
        svg role="img" aria-label=(summary(chart)) viewBox={ "0 0 " (WIDTH) " " (HEIGHT) }
            preserveAspectRatio="none" {
            @for n in 0..5 {
                @let at = HEIGHT / 4.0 * f64::from(n);
                line.grid x1="0" x2=(WIDTH) y1=(at) y2=(at) {}
            }
            @if (0..slots as i64).contains(&counting) {
                @let width = x(1.0).max(2.0);
                rect.counting x=(x(counting as f64)) y="0" width=(width) height=(HEIGHT) {}
            }
            @for (line, path) in paths {
                path.{ "c-" (line.colour) }.dashed[line.dashed].filled[chart.kind == Kind::Stack]
                    d=(path) {}
            }
        }
    }
}

/// Slots with the largest of their neighbours' values, where there are too many to be seen.
fn thinned(values: &[Option<f64>]) -> Vec<(usize, Option<f64>)> {
    let width = values.len().div_ceil(POINTS_MAX).max(1);
    let largest = |(n, part): (usize, &[Option<f64>])| {
        let most = part.iter().flatten().copied().reduce(f64::max);
        (n * width, most)
    };
    values.chunks(width).enumerate().map(largest).collect()
}

fn lines(chart: &Chart, x: impl Fn(f64) -> f64, y: impl Fn(f64) -> f64) -> Vec<(&Line, String)> {
    let path = |line: &Line| {
        let mut path = String::new();
        let mut pen = 'M';
        for (slot, value) in thinned(&line.values) {
            let Some(value) = value else {
                pen = 'M';
                continue;
            };
            let _ = write!(path, "{pen}{:.1} {:.1}", x(slot as f64), y(value));
            if pen == 'M' {
                // A value without neighbours is seen, too.
                path.push_str("h1");
            }
            pen = 'L';
        }
        path
    };
    chart.lines.iter().map(|line| (line, path(line))).collect()
}

/// Each line stands on those before it: drawn from the highest down, so that each hides what is not
/// its own.
fn stack(
    chart: &Chart,
    slots: usize,
    x: impl Fn(f64) -> f64,
    y: impl Fn(f64) -> f64,
) -> Vec<(&Line, String)> {
    let mut sums = vec![None; slots];
    let mut paths = Vec::new();
    for line in &chart.lines {
        add(&mut sums, &line.values);
        let mut path = format!("M0 {HEIGHT}");
        let points = thinned(&sums);
        let ends = points.iter().skip(1).map(|(slot, _)| *slot).chain([slots]);
        for ((slot, value), end) in points.iter().zip(ends) {
            let height = y(value.unwrap_or(0.0));
            let _ = write!(path, "L{:.1} {height:.1}H{:.1}", x(*slot as f64), x(end as f64));
        }
        let _ = write!(path, "V{HEIGHT}Z");
        paths.push((line, path));
    }
    paths.reverse();
    paths
}

fn add(sums: &mut [Option<f64>], values: &[Option<f64>]) {
    for (sum, value) in sums.iter_mut().zip(values) {
        if let Some(value) = value {
            *sum = Some(sum.unwrap_or(0.0) + value);
        }
    }
}

/// The value at the upper edge: round, and not below any.
fn top(chart: &Chart) -> f64 {
    let slots = chart.lines.first().map_or(0, |line| line.values.len());
    let mut sums = vec![None; slots];
    let most = |values: &[Option<f64>]| values.iter().flatten().copied().fold(0.0, f64::max);
    let largest = match chart.kind {
        Kind::Lines => chart.lines.iter().map(|line| most(&line.values)).fold(0.0, f64::max),
        Kind::Stack => {
            chart.lines.iter().for_each(|line| add(&mut sums, &line.values));
            most(&sums)
        }
    };
    if largest <= 0.0 {
        return 1.0;
    }
    let magnitude = 10_f64.powf(largest.log10().floor());
    let round = [1.0, 2.0, 4.0, 5.0, 8.0, 10.0].map(|n| n * magnitude);
    round.into_iter().find(|round| *round >= largest).unwrap_or(largest)
}

/// `11-23 12:05`, or the day alone where slots are days.
fn short_time(time: i64, chart: &Chart) -> String {
    time_in(time, chart.step, chart.offset)
}

/// The start of a slot, as far as its length asks for.
pub fn time_in(time: i64, step: i64, offset: i64) -> String {
    let Ok(at) = jiff::Timestamp::from_second(time) else { return units::time(time, 0) };
    let at = at.to_zoned(zone(offset));
    let shape = if step >= crate::control::statistics::DAY { "%Y-%m-%d" } else { "%m-%d %H:%M" };
    at.strftime(shape).to_string()
}

#[cfg(test)]
mod tests {
    use super::super::answers::Unit;
    use super::*;

    fn chart(kind: Kind, lines: Vec<Vec<Option<f64>>>) -> Chart {
        let line = |values| Line {
            label: "To clients".to_owned(),
            colour: "ok",
            dashed: false,
            adds: true,
            values,
        };
        let lines = lines.into_iter().map(line).collect();
        let (title, unit, details) = ("Traffic", Unit::Bytes, Vec::new());
        Chart { title, unit, kind, start: 0, step: 300, offset: 0, now: 700, lines, details }
    }

    #[test]
    fn a_gap_is_a_gap() {
        let chart = chart(Kind::Lines, vec![vec![Some(0.0), Some(10.0), None, Some(5.0)]]);
        let drawn = figure(&chart).into_string();
        assert!(drawn.contains(r#"d="M0.0 160.0h1L150.0 0.0M450.0 80.0h1""#), "{drawn}");
        // 700 s is in the third of four slots.
        assert!(drawn.contains(r#"class="counting" x="300""#), "{drawn}");
        assert!(
            drawn.contains("<strong>15 B</strong>") && drawn.contains("at 01-01 00:05"),
            "{drawn}"
        );
    }

    #[test]
    fn a_stack_is_as_high_as_its_sum() {
        let chart = chart(Kind::Stack, vec![vec![Some(4.0)], vec![Some(6.0)]]);
        assert_eq!(top(&chart), 10.0);
        let drawn = figure(&chart).into_string();
        let paths: Vec<_> = drawn.match_indices(" d=\"M0 160L0.0 ").map(|(at, _)| at).collect();
        assert_eq!(paths.len(), 2, "{drawn}");
        assert!(drawn[paths[0]..].starts_with(" d=\"M0 160L0.0 0.0H600.0V160Z\""), "{drawn}");
        assert!(drawn[paths[1]..].starts_with(" d=\"M0 160L0.0 96.0H600.0V160Z\""), "{drawn}");
    }

    #[test]
    fn however_many_slots_a_path_stays_short() {
        let many = chart(Kind::Lines, vec![(0..26_784).map(|n| Some(f64::from(n))).collect()]);
        assert!(lines(&many, |x| x, |y| y)[0].1.matches('L').count() < POINTS_MAX);
        for (largest, edge) in [(0.0, 1.0), (0.3, 0.4), (1.0, 1.0), (4.1, 5.0), (999.0, 1000.0)] {
            assert_eq!(top(&chart(Kind::Lines, vec![vec![Some(largest)]])), edge, "{largest}");
        }
    }
}

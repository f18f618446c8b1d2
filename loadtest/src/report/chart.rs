//! One figure as bars, one curve as lines, each a drawing of the same width that stays legible on a
//! phone. Bars begin at zero, whiskers go from the least round to the most, axes have units.

use super::drawing::{Anchor, Drawing, Shape, Stroke, Weight};
use super::look::{Ink, number, shown, tick, unit};
use super::png::text_width;
use super::scale::Scale;
use crate::figures::{Against, Better, Bound, Curve, Figure, Spread};

const WIDTH: f32 = 360.0;
const TITLE: f32 = 13.0;
const LABEL: f32 = 12.0;
const SMALL: f32 = 11.0;
const ROW: f32 = 22.0;
const BAR: f32 = 12.0;
const PLOT: f32 = 170.0;
/// Between two texts that stand beside each other.
const GAP: f32 = 8.0;
/// A browser may write in a wider font than the one that is measured with.
const WIDER: f32 = 1.2;
/// Of the largest median; rounds beyond leave the plot, or one outlier would make all bars small.
const CUT: f64 = 2.5;

/// Horizontal bars of the medians, with whiskers.
pub fn bars(figure: &Figure) -> Drawing {
    let mut sketch = Sketch::titled(&figure.title, &subtitle(figure));
    let (goal, scale) = (absolute_goal(figure), scale_of(figure));
    let left = figure.spread.keys().map(|name| room(shown(name), LABEL, Weight::Bold));
    let left = left.fold(0.0, f32::max) + GAP;
    let right = figure.spread.values().map(|s| room(&number(s.median), LABEL, Weight::Bold));
    let right = WIDTH - right.fold(0.0, f32::max) - GAP;
    // A slope of noise may be negative; a bar is not.
    let at = |value: f64| left + (right - left) * scale.fraction(value).clamp(0.0, 1.0);

    let top = sketch.y;
    let bottom = top + ROW * figure.spread.len() as f32;
    let every = labels_every(&scale.ticks(), right - left);
    for (i, value) in scale.ticks().into_iter().enumerate() {
        sketch.line(&[(at(value), top), (at(value), bottom)], Ink::Grid, 1.0, Stroke::Solid);
        let place = (at(value), bottom + 14.0);
        if i % every == 0 {
            sketch.text(place, SMALL, Ink::Muted, Anchor::Middle, &tick(value));
        }
    }
    for (row, (name, spread)) in figure.spread.iter().enumerate() {
        let middle = top + ROW * (row as f32 + 0.5);
        let weight = if row == 0 { Weight::Bold } else { Weight::Regular };
        sketch.words((0.0, middle + 4.0), LABEL, Ink::Text, Anchor::Start, weight, shown(name));
        let (y, width) = (middle - BAR / 2.0, at(spread.median) - at(0.0));
        sketch.shape(Shape::Rect { x: at(0.0), y, width, height: BAR, ink: Ink::of(name) });
        // Of one round there is no spread to show.
        if figure.rounds[name].len() > 1 {
            let end = if leaves(scale, spread) { End::Arrow } else { End::Cap };
            sketch.whisker(at(spread.min), at(spread.max), middle, end);
        }
        let value = number(spread.median);
        sketch.words((WIDTH, middle + 4.0), LABEL, Ink::Text, Anchor::End, weight, &value);
    }
    if let Some(goal) = goal {
        let ends = [(at(goal), top - 2.0), (at(goal), top + ROW)];
        sketch.line(&ends, Ink::Text, 1.5, Stroke::Dashed);
    }
    sketch.line(&[(at(0.0), top), (at(0.0), bottom)], Ink::Muted, 1.0, Stroke::Solid);
    sketch.y = bottom + 20.0;
    sketch.finished(&figure.title, &heard(figure))
}

/// Lines with marks, a legend below.
pub fn lines(curve: &Curve) -> Drawing {
    let points = curve.lines.values().flatten();
    let xs = Scale::covering(points.clone().map(|point| point[0]));
    let ys = Scale::covering(points.map(|point| point[1]));
    let y_label = format!("{}{}", curve.y_label, ys.remark());
    let mut sketch = Sketch::titled(&curve.title, &y_label);
    let widths = ys.ticks().into_iter().map(|value| room(&tick(value), SMALL, Weight::Regular));
    let (left, right) = (widths.fold(0.0, f32::max) + GAP, WIDTH - 12.0);
    let (top, bottom) = (sketch.y + 4.0, sketch.y + 4.0 + PLOT);
    let x_at = |value: f64| left + (right - left) * xs.fraction(value);
    let y_at = |value: f64| bottom - (bottom - top) * ys.fraction(value);

    for value in ys.ticks() {
        let y = y_at(value);
        sketch.line(&[(left, y), (right, y)], Ink::Grid, 1.0, Stroke::Solid);
        sketch.text((left - 5.0, y + 4.0), SMALL, Ink::Muted, Anchor::End, &tick(value));
    }
    for value in xs.ticks() {
        let x = x_at(value);
        sketch.line(&[(x, bottom), (x, bottom + 4.0)], Ink::Muted, 1.0, Stroke::Solid);
        sketch.text((x, bottom + 16.0), SMALL, Ink::Muted, Anchor::Middle, &tick(value));
    }
    sketch.line(&[(left, bottom), (right, bottom)], Ink::Muted, 1.0, Stroke::Solid);
    let x_label = format!("{}{}", curve.x_label, xs.remark());
    let middle = f32::midpoint(left, right);
    sketch.text((middle, bottom + 31.0), SMALL, Ink::Muted, Anchor::Middle, &x_label);
    // The first one last, so that it lies on top.
    for (i, (name, points)) in curve.lines.iter().enumerate().rev() {
        let points: Vec<_> = points.iter().map(|[x, y]| (x_at(*x), y_at(*y))).collect();
        let width = if i == 0 { 2.5 } else { 1.5 };
        sketch.line(&points, Ink::of(name), width, Stroke::Solid);
        for point in points {
            sketch.shape(mark(i, point, Ink::of(name)));
        }
    }
    sketch.y = bottom + 50.0;
    sketch.legend(curve.lines.keys().map(String::as_str));
    sketch.finished(&curve.title, &heard_curve(curve))
}

/// What stands below the title of a figure.
pub fn subtitle(figure: &Figure) -> String {
    let better = match figure.better {
        Better::Less => "less is better",
        Better::More => "more is better",
    };
    let goal = match absolute_goal(figure) {
        Some(_) => "; dashed: the goal",
        None => "",
    };
    let scale = scale_of(figure);
    let beyond = match figure.spread.values().any(|spread| leaves(scale, spread)) {
        true => "; arrows: rounds beyond the plot",
        false => "",
    };
    format!("{}; {better}{goal}{beyond}", unit(&figure.unit))
}

/// The figure in words.
pub fn heard(figure: &Figure) -> String {
    let each = figure.spread.iter().map(|(name, Spread { min, median, max })| {
        let (name, median) = (shown(name), number(*median));
        match min == max {
            true => format!("{name} {median}"),
            false => format!("{name} {median} ({} to {})", number(*min), number(*max)),
        }
    });
    let each: Vec<String> = each.collect();
    format!("Medians with least and most in {}: {}.", subtitle(figure), each.join(", "))
}

/// The curve in words.
pub fn heard_curve(curve: &Curve) -> String {
    let each = curve.lines.iter().map(|(name, points)| {
        let points: Vec<String> =
            points.iter().map(|[x, y]| format!("{} at {}", number(*y), tick(*x))).collect();
        format!("{}: {}", shown(name), points.join(", "))
    });
    let each: Vec<String> = each.collect();
    format!("Lines of {} over {}. {}.", curve.y_label, curve.x_label, each.join("; "))
}

/// Up to all rounds, or to so much that the medians are still seen.
fn scale_of(figure: &Figure) -> Scale {
    let most = |of: fn(&Spread) -> f64| figure.spread.values().map(of).fold(0.0, f64::max);
    let shown = most(|spread| spread.max).min(CUT * most(|spread| spread.median));
    Scale::linear(shown.max(absolute_goal(figure).unwrap_or(0.0)))
}

fn leaves(scale: Scale, spread: &Spread) -> bool {
    scale.fraction(spread.max) > 1.0
}

/// Only every so many steps has a label, so that labels stand apart.
fn labels_every(ticks: &[f64], width: f32) -> usize {
    let widest = ticks.iter().map(|value| room(&tick(*value), SMALL, Weight::Regular));
    let needed = (widest.fold(0.0, f32::max) + GAP) * (ticks.len() - 1) as f32;
    (needed / width).ceil().max(1.0) as usize
}

fn absolute_goal(figure: &Figure) -> Option<f64> {
    let goal = figure.goals.iter().find(|goal| goal.against == Against::Absolute)?;
    match goal.bound {
        Bound::AtMost(value) | Bound::AtLeast(value) => Some(value),
    }
}

/// A mark that differs from its neighbours in shape, for who cannot tell the colours.
fn mark(index: usize, (x, y): (f32, f32), ink: Ink) -> Shape {
    let (corners, turned, radius) = match index % 6 {
        0 => (16, 0.0, 4.0),
        1 => (4, 0.125, 4.6),
        2 => (3, -0.25, 4.8),
        3 => (4, 0.0, 4.8),
        4 => (3, 0.25, 4.8),
        _ => (5, -0.25, 4.6),
    };
    let corner = |i: usize| {
        let angle = (i as f32 / corners as f32 + turned) * std::f32::consts::TAU;
        (x + radius * angle.cos(), y + radius * angle.sin())
    };
    Shape::Polygon { points: (0..corners).map(corner).collect(), ink }
}

/// Of a whisker.
#[derive(Clone, Copy)]
enum End {
    Cap,
    Arrow,
}

/// A drawing that grows downwards.
struct Sketch {
    shapes: Vec<Shape>,
    y: f32,
}

impl Sketch {
    fn titled(title: &str, below: &str) -> Sketch {
        let mut sketch = Sketch { shapes: Vec::new(), y: 0.0 };
        for line in wrapped(title, TITLE, Weight::Bold) {
            sketch.y += 17.0;
            let y = sketch.y - 4.0;
            sketch.words((0.0, y), TITLE, Ink::Text, Anchor::Start, Weight::Bold, &line);
        }
        for line in wrapped(below, SMALL, Weight::Regular) {
            sketch.y += 15.0;
            let y = sketch.y - 3.0;
            sketch.text((0.0, y), SMALL, Ink::Muted, Anchor::Start, &line);
        }
        sketch.y += 8.0;
        sketch
    }

    fn shape(&mut self, shape: Shape) {
        self.shapes.push(shape);
    }

    fn line(&mut self, points: &[(f32, f32)], ink: Ink, width: f32, stroke: Stroke) {
        self.shape(Shape::Line { points: points.to_vec(), ink, width, stroke });
    }

    fn text(&mut self, place: (f32, f32), size: f32, ink: Ink, anchor: Anchor, text: &str) {
        self.words(place, size, ink, anchor, Weight::Regular, text);
    }

    fn words(
        &mut self,
        (x, y): (f32, f32),
        size: f32,
        ink: Ink,
        anchor: Anchor,
        weight: Weight,
        text: &str,
    ) {
        self.shape(Shape::Text { x, y, size, ink, anchor, weight, text: text.into() });
    }

    /// With an edge of paper, so that it is seen on the bar too.
    fn whisker(&mut self, from: f32, to: f32, y: f32, end: End) {
        let ends = |x: f32| [(x, y - 3.5), (x, y + 3.5)];
        for (ink, width) in [(Ink::Paper, 3.5), (Ink::Text, 1.5)] {
            self.line(&[(from, y), (to, y)], ink, width, Stroke::Solid);
            self.line(&ends(from), ink, width, Stroke::Solid);
            if let End::Cap = end {
                self.line(&ends(to), ink, width, Stroke::Solid);
            }
        }
        if let End::Arrow = end {
            let points = vec![(to, y - 4.0), (to + 6.0, y), (to, y + 4.0)];
            self.shape(Shape::Polygon { points, ink: Ink::Text });
        }
    }

    fn legend<'a>(&mut self, names: impl Iterator<Item = &'a str>) {
        let mut x = 0.0;
        for (i, name) in names.enumerate() {
            let width = 26.0 + room(shown(name), LABEL, Weight::Regular);
            if x > 0.0 && x + width > WIDTH {
                (x, self.y) = (0.0, self.y + 18.0);
            }
            let y = self.y;
            self.line(&[(x, y - 4.0), (x + 20.0, y - 4.0)], Ink::of(name), 2.0, Stroke::Solid);
            self.shape(mark(i, (x + 10.0, y - 4.0), Ink::of(name)));
            self.text((x + 25.0, y), LABEL, Ink::Text, Anchor::Start, shown(name));
            x += width + 2.0 * GAP;
        }
        self.y += 8.0;
    }

    fn finished(self, title: &str, description: &str) -> Drawing {
        Drawing {
            width: WIDTH,
            height: self.y,
            title: title.into(),
            description: description.into(),
            shapes: self.shapes,
        }
    }
}

fn room(text: &str, size: f32, weight: Weight) -> f32 {
    text_width(text, size, weight) * WIDER
}

/// Lines that fit the width of a drawing.
fn wrapped(text: &str, size: f32, weight: Weight) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let line = lines.last_mut().expect("there is a first line");
        let longer = if line.is_empty() { word.to_owned() } else { format!("{line} {word}") };
        if line.is_empty() || room(&longer, size, weight) <= WIDTH {
            *line = longer;
        } else {
            lines.push(word.to_owned());
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_stay_within_the_drawing() {
        let text =
            "CPU of the proxy per forwarded message of 64 bytes, 200 busy connections in the clear";
        let lines = wrapped(text, TITLE, Weight::Bold);
        assert!(lines.len() > 1);
        assert_eq!(lines.join(" "), text);
        for line in lines {
            assert!(room(&line, TITLE, Weight::Bold) <= WIDTH, "{line}");
        }
    }
}

//! A picture as a list of shapes, and what it looks like as SVG. One list makes the SVG of the page
//! and the PNG, so that both say the same. Not here: what is drawn, see `chart`; pixels, see `png`.

use std::fmt::Write as _;

use super::look::Ink;

#[derive(Clone, Debug)]
pub struct Drawing {
    pub width: f32,
    pub height: f32,
    /// What somebody hears who does not see it: what it is, then what it shows.
    pub title: String,
    pub description: String,
    pub shapes: Vec<Shape>,
}

#[derive(Clone, Debug)]
pub enum Shape {
    Rect { x: f32, y: f32, width: f32, height: f32, ink: Ink },
    Line { points: Vec<(f32, f32)>, ink: Ink, width: f32, stroke: Stroke },
    Polygon { points: Vec<(f32, f32)>, ink: Ink },
    Text { x: f32, y: f32, size: f32, ink: Ink, anchor: Anchor, weight: Weight, text: String },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stroke {
    Solid,
    Dashed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anchor {
    Start,
    Middle,
    End,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weight {
    Regular,
    Bold,
}

impl Drawing {
    /// For a page that has the styles of `look::css`; `id` is unique on it.
    pub fn svg(&self, id: &str) -> String {
        let (width, height) = (self.width, self.height);
        let mut svg = format!(
            "<svg viewBox=\"0 0 {width} {height}\" role=\"img\" \
             aria-labelledby=\"{id}-t {id}-d\">\n<title id=\"{id}-t\">{}</title>\
             <desc id=\"{id}-d\">{}</desc>\n",
            escaped(&self.title),
            escaped(&self.description)
        );
        for shape in &self.shapes {
            shape.write(&mut svg);
        }
        svg.push_str("</svg>");
        svg
    }
}

impl Shape {
    fn write(&self, svg: &mut String) {
        let done = match self {
            Shape::Rect { x, y, width, height, ink } => writeln!(
                svg,
                "<rect class=\"f-{}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" \
                 height=\"{height:.1}\"/>",
                ink.class()
            ),
            Shape::Line { points, ink, width, stroke } => {
                let dash = match stroke {
                    Stroke::Solid => "",
                    Stroke::Dashed => " stroke-dasharray=\"4 3\"",
                };
                writeln!(
                    svg,
                    "<polyline class=\"s-{}\" points=\"{}\" stroke-width=\"{width}\"{dash}/>",
                    ink.class(),
                    listed(points)
                )
            }
            Shape::Polygon { points, ink } => {
                writeln!(
                    svg,
                    "<polygon class=\"f-{}\" points=\"{}\"/>",
                    ink.class(),
                    listed(points)
                )
            }
            Shape::Text { x, y, size, ink, anchor, weight, text } => {
                let anchor = match anchor {
                    Anchor::Start => "",
                    Anchor::Middle => " text-anchor=\"middle\"",
                    Anchor::End => " text-anchor=\"end\"",
                };
                let weight = match weight {
                    Weight::Regular => "",
                    Weight::Bold => " font-weight=\"700\"",
                };
                writeln!(
                    svg,
                    "<text class=\"f-{}\" x=\"{x:.1}\" y=\"{y:.1}\" \
                     font-size=\"{size}\"{anchor}{weight}>{}</text>",
                    ink.class(),
                    escaped(text)
                )
            }
        };
        done.expect("a String takes everything");
    }
}

fn listed(points: &[(f32, f32)]) -> String {
    points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect::<Vec<_>>().join(" ")
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

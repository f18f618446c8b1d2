//! Drawings as pixels. The letters are outlines of a font that a crate carries, so that a host
//! needs no fonts and every host makes the same picture.

use anyhow::Context as _;
use tiny_skia::{
    Color, FillRule, LineCap, LineJoin, Paint, Path, PathBuilder, Pixmap, Rect, StrokeDash,
    Transform,
};
use ttf_parser::{Face, OutlineBuilder};

use super::drawing::{Anchor, Drawing, Shape, Stroke, Weight};
use super::look::Ink;

/// Pixels of a unit of a drawing, so that letters are sharp on any screen.
const SCALE: f32 = 2.0;
const MARGIN: f32 = 16.0;
const COLUMNS: usize = 2;

/// Drawings of one width beside and below each other on white.
pub fn sheet(drawings: &[Drawing]) -> anyhow::Result<Vec<u8>> {
    let cells = rows(drawings);
    let width = drawings.iter().map(|d| d.width).fold(0.0, f32::max);
    let columns = drawings.len().min(COLUMNS) as f32;
    let heights: f32 = cells.iter().map(|row| height(row) + MARGIN).sum();
    let (w, h) = (columns * (width + MARGIN) + MARGIN, heights + MARGIN);
    let pixels = Pixmap::new((w * SCALE).ceil() as u32, (h * SCALE).ceil() as u32);
    let mut pixels = pixels.context("nothing to draw")?;
    pixels.fill(colour(Ink::Paper));
    let mut y = MARGIN;
    for row in cells {
        for (column, drawing) in row.iter().enumerate() {
            let x = MARGIN + column as f32 * (width + MARGIN);
            let place = Transform::from_scale(SCALE, SCALE).pre_translate(x, y);
            for shape in &drawing.shapes {
                draw(&mut pixels, place, shape);
            }
        }
        y += height(row) + MARGIN;
    }
    pixels.encode_png().context("encode PNG")
}

/// Width of a text in units of a drawing.
pub fn text_width(text: &str, size: f32, weight: Weight) -> f32 {
    let face = face(weight);
    let scale = size / f32::from(face.units_per_em());
    text.chars().map(|c| f32::from(advance(&face, c))).sum::<f32>() * scale
}

fn rows(drawings: &[Drawing]) -> Vec<&[Drawing]> {
    drawings.chunks(COLUMNS).collect()
}

fn height(row: &[Drawing]) -> f32 {
    row.iter().map(|drawing| drawing.height).fold(0.0, f32::max)
}

fn draw(pixels: &mut Pixmap, place: Transform, shape: &Shape) {
    match shape {
        Shape::Rect { x, y, width, height, ink } => {
            // A bar of nothing has no area.
            if let Some(rect) = Rect::from_xywh(*x, *y, *width, *height) {
                pixels.fill_rect(rect, &paint(*ink), place, None);
            }
        }
        Shape::Line { points, ink, width, stroke } => {
            let Some(path) = path(points, Ends::Open) else { return };
            let stroke = tiny_skia::Stroke {
                width: *width,
                line_cap: LineCap::Butt,
                line_join: LineJoin::Round,
                dash: match stroke {
                    Stroke::Solid => None,
                    Stroke::Dashed => StrokeDash::new(vec![4.0, 3.0], 0.0),
                },
                ..tiny_skia::Stroke::default()
            };
            pixels.stroke_path(&path, &paint(*ink), &stroke, place, None);
        }
        Shape::Polygon { points, ink } => {
            let Some(path) = path(points, Ends::Joined) else { return };
            pixels.fill_path(&path, &paint(*ink), FillRule::Winding, place, None);
        }
        Shape::Text { x, y, size, ink, anchor, weight, text } => {
            let width = text_width(text, *size, *weight);
            let from = match anchor {
                Anchor::Start => *x,
                Anchor::Middle => x - width / 2.0,
                Anchor::End => x - width,
            };
            if let Some(path) = letters(text, *size, *weight) {
                let place = place.pre_translate(from, *y);
                pixels.fill_path(&path, &paint(*ink), FillRule::Winding, place, None);
            }
        }
    }
}

enum Ends {
    Open,
    Joined,
}

fn path(points: &[(f32, f32)], ends: Ends) -> Option<Path> {
    let mut path = PathBuilder::new();
    for (i, (x, y)) in points.iter().enumerate() {
        match i {
            0 => path.move_to(*x, *y),
            _ => path.line_to(*x, *y),
        }
    }
    if matches!(ends, Ends::Joined) {
        path.close();
    }
    path.finish()
}

/// The outline of a text whose baseline begins at 0, 0.
fn letters(text: &str, size: f32, weight: Weight) -> Option<Path> {
    let face = face(weight);
    let scale = size / f32::from(face.units_per_em());
    let mut outline = Outline { path: PathBuilder::new(), x: 0.0, scale };
    for c in text.chars() {
        face.outline_glyph(face.glyph_index(c).unwrap_or_default(), &mut outline);
        outline.x += f32::from(advance(&face, c)) * scale;
    }
    outline.path.finish()
}

fn advance(face: &Face<'_>, c: char) -> u16 {
    let glyph = face.glyph_index(c).unwrap_or_default();
    face.glyph_hor_advance(glyph).unwrap_or(0)
}

fn face(weight: Weight) -> Face<'static> {
    let bytes = match weight {
        Weight::Regular => notosans::REGULAR_TTF,
        Weight::Bold => notosans::BOLD_TTF,
    };
    Face::parse(bytes, 0).expect("the font of the crate is one")
}

/// Turns the outlines of a font, whose y grows upwards, into those of a drawing.
struct Outline {
    path: PathBuilder,
    x: f32,
    scale: f32,
}

impl Outline {
    fn at(&self, x: f32, y: f32) -> (f32, f32) {
        (self.x + x * self.scale, -y * self.scale)
    }
}

impl OutlineBuilder for Outline {
    fn move_to(&mut self, x: f32, y: f32) {
        let (x, y) = self.at(x, y);
        self.path.move_to(x, y);
    }

    fn line_to(&mut self, x: f32, y: f32) {
        let (x, y) = self.at(x, y);
        self.path.line_to(x, y);
    }

    fn quad_to(&mut self, x1: f32, y1: f32, x: f32, y: f32) {
        let ((x1, y1), (x, y)) = (self.at(x1, y1), self.at(x, y));
        self.path.quad_to(x1, y1, x, y);
    }

    fn curve_to(&mut self, x1: f32, y1: f32, x2: f32, y2: f32, x: f32, y: f32) {
        let ((x1, y1), (x2, y2), (x, y)) = (self.at(x1, y1), self.at(x2, y2), self.at(x, y));
        self.path.cubic_to(x1, y1, x2, y2, x, y);
    }

    fn close(&mut self) {
        self.path.close();
    }
}

fn paint(ink: Ink) -> Paint<'static> {
    let mut paint = Paint::default();
    paint.set_color(colour(ink));
    paint
}

fn colour(ink: Ink) -> Color {
    let [r, g, b] = ink.rgb();
    Color::from_rgba8(r, g, b, 255)
}

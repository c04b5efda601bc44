//! A sheet of paper with a title, axes and a foot, on which the pictures draw. Everything is placed in pixels, so that nothing overlaps by accident.

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

/// Ours, then peers in this order.
pub(super) const COLOURS: [RGBColor; 6] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
];
pub(super) const INK: RGBColor = RGBColor(34, 34, 34);
pub(super) const FAINT: RGBColor = RGBColor(119, 119, 119);
const GRID: RGBColor = RGBColor(224, 224, 224);

/// Pixels.
pub(super) type At = (i32, i32);
type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;
/// What drawing may fail with, in words.
pub(super) type Drawn = Result<(), String>;

/// Where a text stands relative to its place.
#[derive(Clone, Copy)]
pub(super) enum Side {
    Left,
    Middle,
    Right,
}

pub(super) struct Canvas<'a> {
    area: Area<'a>,
    height: i32,
}

/// Draws a sheet of this size and returns it as SVG.
pub(super) fn sheet(width: i32, height: i32, draw: impl FnOnce(&Canvas<'_>) -> Drawn) -> Result<String, String> {
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, (width as u32, height as u32)).into_drawing_area();
        area.fill(&WHITE).map_err(|error| error.to_string())?;
        let canvas = Canvas { area, height };
        draw(&canvas)?;
        canvas.area.present().map_err(|error| error.to_string())?;
    }
    Ok(svg)
}

impl Canvas<'_> {
    /// Title and what it means, above; how it was obtained, below.
    pub fn frame(&self, title: &str, subtitle: &str, foot: &[String]) -> Drawn {
        self.text((24, 30), title, 22, INK, Side::Left)?;
        self.text((24, 56), subtitle, 14, FAINT, Side::Left)?;
        for (line, text) in foot.iter().rev().enumerate() {
            self.text((24, self.height - 16 - 17 * line as i32), text, 12, FAINT, Side::Left)?;
        }
        Ok(())
    }

    pub fn text(&self, at: At, text: &str, size: i32, colour: RGBColor, side: Side) -> Drawn {
        let side = match side {
            Side::Left => HPos::Left,
            Side::Middle => HPos::Center,
            Side::Right => HPos::Right,
        };
        let style = ("sans-serif", size).into_font().color(&colour).pos(Pos::new(side, VPos::Center));
        self.area.draw(&Text::new(text.to_owned(), at, style)).map_err(|error| error.to_string())
    }

    pub fn line(&self, points: Vec<At>, colour: RGBColor, width: u32) -> Drawn {
        self.area.draw(&PathElement::new(points, colour.stroke_width(width))).map_err(|error| error.to_string())
    }

    pub fn bar(&self, from: At, to: At, colour: RGBColor) -> Drawn {
        self.area.draw(&Rectangle::new([from, to], colour.filled())).map_err(|error| error.to_string())
    }

    pub fn dot(&self, at: At, radius: i32, colour: RGBColor) -> Drawn {
        self.area.draw(&Circle::new(at, radius, colour.filled())).map_err(|error| error.to_string())
    }

    /// A square on its corner.
    pub fn diamond(&self, (x, y): At, radius: i32, colour: RGBColor) -> Drawn {
        let corners = vec![(x, y - radius), (x + radius, y), (x, y + radius), (x - radius, y)];
        self.area.draw(&Polygon::new(corners, colour.filled())).map_err(|error| error.to_string())
    }

    /// Grid lines across, and a label below each.
    pub fn x_axis(&self, scale: &Scale, (top, bottom): (i32, i32), label: impl Fn(f64) -> String) -> Drawn {
        for mark in &scale.marks {
            let x = scale.at(*mark);
            self.line(vec![(x, top), (x, bottom)], GRID, 1)?;
            self.text((x, bottom + 14), &label(*mark), 13, INK, Side::Middle)?;
        }
        Ok(())
    }

    /// The same to the left.
    pub fn y_axis(&self, scale: &Scale, (left, right): (i32, i32), label: impl Fn(f64) -> String) -> Drawn {
        for mark in &scale.marks {
            let y = scale.at(*mark);
            self.line(vec![(left, y), (right, y)], GRID, 1)?;
            self.text((left - 8, y), &label(*mark), 13, INK, Side::Right)?;
        }
        Ok(())
    }
}

/// From values to pixels.
pub(super) struct Scale {
    log: bool,
    from: f64,
    to: f64,
    pixels: (i32, i32),
    /// Where an axis is labelled.
    pub marks: Vec<f64>,
}

impl Scale {
    /// Logarithmic over these values, labelled at 1, 2 and 5 of each decade, or at decades alone where there are many.
    pub fn log(values: impl Iterator<Item = f64>, pixels: (i32, i32)) -> Self {
        // What is zero or below has no place on it, and what came of dividing by zero none either.
        let (least, most) = values
            .filter(|value| value.is_finite() && *value > 0.0)
            .fold((f64::MAX, f64::MIN), |(a, b), value| (a.min(value), b.max(value)));
        let (least, most) = if least > most { (1.0, 10.0) } else { (least, most.max(least * 1.5)) };
        let steps: &[f64] = if most / least > 300.0 { &[1.0] } else { &[1.0, 2.0, 5.0] };
        let decades = (least.log10().floor() as i32 - 1)..=(most.log10().ceil() as i32);
        let all: Vec<f64> = decades.flat_map(|decade| steps.iter().map(move |step| step * 10f64.powi(decade))).collect();
        let from = all.iter().copied().rfind(|mark| *mark <= least * 1.001).unwrap_or(least);
        let to = all.iter().copied().find(|mark| *mark >= most * 0.999).unwrap_or(most);
        Scale { log: true, from, to, pixels, marks: all.into_iter().filter(|mark| (from..=to).contains(mark)).collect() }
    }

    /// From 0 to 1.
    pub fn share(pixels: (i32, i32)) -> Self {
        Scale { log: false, from: 0.0, to: 1.0, pixels, marks: vec![0.0, 0.25, 0.5, 0.75, 1.0] }
    }

    /// Of whole numbers from 0, labelled at every fifth.
    pub fn even(values: impl Iterator<Item = f64>, pixels: (i32, i32)) -> Self {
        let to = values.fold(1.0, f64::max);
        let marks = (0..).map(|mark| f64::from(mark) * 5.0).take_while(|mark| *mark <= to).collect();
        Scale { log: false, from: 0.0, to, pixels, marks }
    }

    /// Labelled at these values instead.
    pub fn marked(mut self, marks: &[f64]) -> Self {
        self.marks = marks.iter().copied().filter(|mark| (self.from..=self.to).contains(mark)).collect();
        self
    }

    /// The pixel of a value, within the scale.
    pub fn at(&self, value: f64) -> i32 {
        let place = |value: f64| if self.log { value.max(self.from).log10() } else { value };
        let share = (place(value) - place(self.from)) / (place(self.to) - place(self.from));
        self.pixels.0 + (f64::from(self.pixels.1 - self.pixels.0) * share.clamp(0.0, 1.0)).round() as i32
    }
}

/// Three significant digits, no more zeros than needed.
pub(super) fn short(value: f64) -> String {
    match value.abs() {
        0.0 => "0".into(),
        1e6.. => format!("{} M", short(value / 1e6)),
        1e4.. => format!("{} k", short(value / 1e3)),
        100.0.. => format!("{value:.0}"),
        10.0.. => trimmed(format!("{value:.1}")),
        1.0.. => trimmed(format!("{value:.2}")),
        _ => trimmed(format!("{value:.3}")),
    }
}

fn trimmed(text: String) -> String {
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scale_holds_all_its_values_between_labels() {
        let scale = Scale::log([0.13, 4.2].into_iter(), (100, 500));
        assert_eq!(scale.marks, [0.1, 0.2, 0.5, 1.0, 2.0, 5.0]);
        assert_eq!((scale.at(0.1), scale.at(5.0), scale.at(0.0001)), (100, 500, 100));
        let odd = Scale::log([0.13, f64::INFINITY, f64::NAN, -1.0, 0.0, 4.2].into_iter(), (100, 500));
        assert_eq!((&odd.marks, odd.at(f64::INFINITY), odd.at(-1.0)), (&scale.marks, 500, 100));
        assert_eq!(Scale::log([3.0, 40_000.0].into_iter(), (0, 1)).marks, [1.0, 10.0, 100.0, 1e3, 1e4, 1e5]);
    }

    #[test]
    fn numbers_are_short() {
        assert_eq!([0.0, 0.098, 1.5, 24.9, 3_000.0, 25_000_000.0].map(short), ["0", "0.098", "1.5", "24.9", "3000", "25 M"]);
    }
}

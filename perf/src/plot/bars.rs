//! Bars: every figure with a target, in times of what it must be, so that ratios of all sizes stand in one picture.
//!
//! ```text
//!                        0.5     1 = must    2
//! url_b100_vs_memcached  ████████│██──┤      ◆      4.97   must ≥ 4   aim ≥ 10        ◆ aim   ├─┤ least to most of the runs
//! ```

use super::canvas::{COLOURS, Drawn, FAINT, INK, Scale, Side, sheet, short};
use crate::report::Figure;
use crate::targets::Target;

const ROW: i32 = 44;
const TOP: i32 = 96;

/// One bar a target.
pub(super) fn draw(title: &str, rows: &[(Target, Figure)], foot: &[String]) -> Result<String, String> {
    let (left, right, width) = (260, 690, 960);
    let bottom = TOP + ROW * rows.len() as i32;
    let values = rows.iter().flat_map(|(target, figure)| {
        [figure.min, figure.median, figure.max, target.aim].map(|value| target.times_must(value)).into_iter().chain([0.5, 2.0])
    });
    let scale = Scale::log(values, (left, right));
    let one = scale.at(1.0);
    sheet(width, bottom + 110, |canvas| {
        canvas.frame(title, "times of what it must be, logarithmic; further right is better", foot)?;
        canvas.x_axis(&scale, (TOP - 10, bottom), |mark| format!("{}×", short(mark)))?;
        for (row, (target, figure)) in rows.iter().enumerate() {
            let y = TOP + ROW * row as i32 + ROW / 2;
            let times = |value: f64| scale.at(target.times_must(value));
            let good = target.times_must(figure.median) >= 1.0;
            let colour = if good { COLOURS[0] } else { COLOURS[1] };
            canvas.bar((left, y - 10), (times(figure.median), y + 10), colour)?;
            let (least, most) = (times(figure.min), times(figure.max));
            canvas.line(vec![(least, y), (most, y)], INK, 1)?;
            for x in [least, most] {
                canvas.line(vec![(x, y - 5), (x, y + 5)], INK, 1)?;
            }
            canvas.diamond((times(target.aim), y), 6, COLOURS[2])?;
            canvas.text((left - 10, y - 8), &figure.name, 14, INK, Side::Right)?;
            canvas.text((left - 10, y + 9), &beside(figure), 11, FAINT, Side::Right)?;
            let sense = if target.at_most { '≤' } else { '≥' };
            canvas.text((right + 16, y - 8), &format!("{} {}", short(figure.median), unit(figure)), 15, colour, Side::Left)?;
            let wanted = format!("must {sense} {}, aim {sense} {} ({})", target.must, target.aim, target.reached(figure));
            canvas.text((right + 16, y + 9), &wanted, 11, FAINT, Side::Left)?;
        }
        canvas.line(vec![(one, TOP - 10), (one, bottom)], INK, 2)?;
        legend(canvas, bottom + 40, left)
    })
}

fn legend(canvas: &super::canvas::Canvas<'_>, y: i32, left: i32) -> Drawn {
    canvas.line(vec![(left, y - 8), (left, y + 8)], INK, 2)?;
    canvas.text((left + 8, y), "must", 12, INK, Side::Left)?;
    canvas.diamond((left + 70, y), 6, COLOURS[2])?;
    canvas.text((left + 82, y), "aim", 12, INK, Side::Left)?;
    canvas.line(vec![(left + 140, y), (left + 170, y)], INK, 1)?;
    canvas.line(vec![(left + 140, y - 5), (left + 140, y + 5)], INK, 1)?;
    canvas.line(vec![(left + 170, y - 5), (left + 170, y + 5)], INK, 1)?;
    canvas.text((left + 178, y), "least to most of the runs; the bar ends at the median", 12, INK, Side::Left)
}

fn unit(figure: &Figure) -> &str {
    if figure.unit == "ratio" { "×" } else { &figure.unit }
}

fn beside(figure: &Figure) -> String {
    if figure.peer.is_empty() { String::new() } else { format!("beside {}", figure.peer) }
}

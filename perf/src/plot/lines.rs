//! Lines: percentiles of latency, latency by load, CPU time a key by batch. Each line is named at its right end.

use super::canvas::{COLOURS, FAINT, INK, Scale, Side, sheet, short};
use crate::bench::Curve;

/// What a kind of picture says about itself.
pub(super) struct Kind {
    pub subtitle: &'static str,
    pub x: &'static str,
    pub y: &'static str,
    unit: &'static str,
    /// Of the x axis.
    scale: fn(&[&Curve], (i32, i32)) -> Scale,
    label: fn(f64) -> String,
}

/// By the name in a curve's `plot`.
pub(super) fn kind(plot: &str) -> Option<Kind> {
    Some(match plot {
        "percentiles" => Kind {
            subtitle: "latency from the intended start of a frame to its whole reply, by percentile; both axes logarithmic",
            x: "percentile of frames",
            y: "microseconds",
            unit: "µs at the last point",
            scale: |curves, pixels| Scale::log(xs(curves), pixels).marked(&[2.0, 10.0, 100.0, 1e3, 1e4, 1e5]),
            label: percentile,
        },
        "load" => Kind {
            subtitle: "latency from the intended start of a frame to its whole reply, open loop; logarithmic",
            x: "share of saturation that is asked",
            y: "microseconds",
            unit: "µs at the last point",
            scale: |_, pixels| Scale::share(pixels),
            label: |share| format!("{:.0} %", 100.0 * share),
        },
        "cost_by_batch" => Kind {
            subtitle: "the server's own CPU time (user and system) for a key, by keys in a frame; both axes logarithmic",
            x: "keys in a frame",
            y: "CPU nanoseconds a key",
            unit: "ns at the last point",
            scale: |curves, pixels| {
                let mut marks: Vec<f64> = xs(curves).collect();
                marks.sort_by(f64::total_cmp);
                marks.dedup();
                Scale::log(xs(curves), pixels).marked(&marks)
            },
            label: short,
        },
        "churn" => updates("rules that one list has and the one before has not, or the other way round", "rules", "rules in the last one"),
        "resent" => updates("size of the snapshot, and of its parts that were not published yet", "bytes", "bytes in the last one"),
        "adopted" => {
            updates("compiling with all gates; and from the manifest's name to the first reply of it", "milliseconds", "ms in the last one")
        }
        _ => return None,
    })
}

/// One update after another.
fn updates(subtitle: &'static str, y: &'static str, unit: &'static str) -> Kind {
    Kind { subtitle, x: "number of the list", y, unit, scale: |curves, pixels| Scale::even(xs(curves), pixels), label: short }
}

fn xs(curves: &[&Curve]) -> impl Iterator<Item = f64> {
    curves.iter().flat_map(|curve| curve.points.iter().map(|(x, _)| *x))
}

/// 1 / (1 - quantile), as a percentage.
fn percentile(tail: f64) -> String {
    let digits = (tail.log10().round() as usize).saturating_sub(2);
    format!("{:.digits$} %", 100.0 - 100.0 / tail)
}

/// All curves of one group.
pub(super) fn draw(title: &str, kind: &Kind, curves: &[&Curve], foot: &[String]) -> Result<String, String> {
    let (width, height, left, right, top, bottom) = (960, 540, 90, 780, 100, 420);
    let x = (kind.scale)(curves, (left, right));
    let y = Scale::log(curves.iter().flat_map(|curve| curve.points.iter().map(|(_, y)| *y)), (bottom, top));
    sheet(width, height, |canvas| {
        canvas.frame(title, kind.subtitle, foot)?;
        canvas.x_axis(&x, (top, bottom), kind.label)?;
        canvas.y_axis(&y, (left, right), short)?;
        canvas.text((left, top - 18), kind.y, 13, FAINT, Side::Left)?;
        canvas.text((right, bottom + 36), kind.x, 13, FAINT, Side::Right)?;
        for (curve, colour) in curves.iter().zip(COLOURS.into_iter().cycle()) {
            let points: Vec<_> = curve.points.iter().map(|point| (x.at(point.0), y.at(point.1))).collect();
            canvas.line(points.clone(), colour, 2)?;
            points.iter().try_for_each(|point| canvas.dot(*point, 3, colour))?;
        }
        let ends: Vec<f64> = curves.iter().map(|curve| curve.points.last().map_or(0.0, |(_, value)| *value)).collect();
        let places = apart(&ends.iter().map(|value| y.at(*value)).collect::<Vec<_>>(), 32);
        for ((curve, colour), (end, place)) in curves.iter().zip(COLOURS.into_iter().cycle()).zip(ends.iter().zip(places)) {
            let from = curve.points.last().map_or(right, |(last, _)| x.at(*last));
            canvas.line(vec![(from + 6, y.at(*end)), (right + 12, place)], FAINT, 1)?;
            canvas.text((right + 16, place - 7), &curve.name, 13, colour, Side::Left)?;
            canvas.text((right + 16, place + 8), &format!("{} {}", short(*end), kind.unit), 11, INK, Side::Left)?;
        }
        Ok(())
    })
}

/// The same order, at least so far from each other.
fn apart(places: &[i32], distance: i32) -> Vec<i32> {
    let mut order: Vec<usize> = (0..places.len()).collect();
    order.sort_by_key(|at| places[*at]);
    let mut moved = places.to_vec();
    for pair in order.windows(2) {
        moved[pair[1]] = moved[pair[1]].max(moved[pair[0]] + distance);
    }
    // What was pushed down as a whole goes up by half of it.
    let pushed = order.last().map_or(0, |last| moved[*last] - places[*last]);
    moved.iter().map(|place| place - pushed / 2).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keep_their_distance_and_their_order() {
        let places = apart(&[100, 102, 300, 99], 20);
        assert!(places[3] < places[0] && places[0] < places[1] && places[1] < places[2]);
        assert!(places[0] - places[3] >= 20 && places[1] - places[0] >= 20);
    }

    #[test]
    fn percentiles_are_written_as_people_do() {
        assert_eq!([1.0, 2.0, 10.0, 100.0, 1e3, 1e5].map(percentile), ["0 %", "50 %", "90 %", "99 %", "99.9 %", "99.999 %"]);
    }
}

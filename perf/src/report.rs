//! Figures as JSON and as a table: name, median, least, most, runs, unit, how it was come by, beside which peer.
//!
//! `how` keeps apart what a clock said on this machine (`measured`), what an emulator let pass (`emulated`), what was counted
//! (bytes, instructions: `counted`) and what a model says (`modelled`). Ratios are taken run by run between neighbours in time, so that
//! their spread is that of the ratio and not of the machine's mood.

use serde::{Deserialize, Serialize};

/// How a figure was come by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum How {
    /// By a clock, on the machine that it speaks of.
    Measured,
    /// On an emulated machine.
    Emulated,
    /// Without a clock.
    Counted,
    /// Calculated from a model of a machine.
    Modelled,
}

/// One figure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    /// As issues and documents name it.
    pub name: String,
    /// Of the runs.
    pub median: f64,
    /// Of the runs.
    pub min: f64,
    /// Of the runs.
    pub max: f64,
    /// How many.
    pub runs: usize,
    /// Of median, min and max; `ratio` for a quotient.
    pub unit: String,
    /// How it was come by.
    pub how: How,
    /// What it is compared with, or what else was run beside it; empty for neither.
    pub peer: String,
    /// One value per run, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub samples: Vec<f64>,
}

impl Figure {
    /// From one value per run; there is at least one.
    pub fn new(name: impl Into<String>, unit: &str, how: How, peer: &str, samples: Vec<f64>) -> Self {
        assert!(!samples.is_empty(), "a figure needs a run");
        let mut sorted = samples.clone();
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        let median = if sorted.len() % 2 == 1 { sorted[middle] } else { (sorted[middle - 1] + sorted[middle]) / 2.0 };
        let (min, max) = (sorted[0], sorted[sorted.len() - 1]);
        Figure { name: name.into(), median, min, max, runs: sorted.len(), unit: unit.into(), how, peer: peer.into(), samples }
    }

    /// `ours / theirs`, run by run.
    pub fn ratio(name: impl Into<String>, peer: &str, ours: &Figure, theirs: &Figure) -> Self {
        let samples = ours.samples.iter().zip(&theirs.samples).map(|(ours, theirs)| ours / theirs).collect();
        Figure::new(name, "ratio", ours.how, peer, samples)
    }
}

/// Columns for people.
pub fn table(figures: &[Figure]) -> String {
    let mut out =
        format!("{:<34} {:>12} {:>12} {:>12} {:>5}  {:<16} {:<9} {}\n", "name", "median", "min", "max", "runs", "unit", "how", "peer");
    for figure in figures {
        let how = format!("{:?}", figure.how).to_lowercase();
        let [median, min, max] = [figure.median, figure.min, figure.max].map(significant);
        out += &format!(
            "{:<34} {median:>12} {min:>12} {max:>12} {:>5}  {:<16} {how:<9} {}\n",
            figure.name, figure.runs, figure.unit, figure.peer
        );
    }
    out
}

/// Four significant digits, or whole from a thousand up.
fn significant(value: f64) -> String {
    match value.abs() {
        1000.0.. => format!("{value:.0}"),
        100.0.. => format!("{value:.1}"),
        10.0.. => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_is_written_with_the_agreed_fields() {
        let figure = Figure::new("url_b100_vs_memcached", "ratio", How::Measured, "memcached 1.6", vec![4.0, 6.0, 5.0]);
        let json = serde_json::to_value(&figure).unwrap();
        for (key, value) in [("name", "url_b100_vs_memcached"), ("unit", "ratio"), ("how", "measured"), ("peer", "memcached 1.6")] {
            assert_eq!(json[key], value);
        }
        for (key, value) in [("median", 5.0), ("min", 4.0), ("max", 6.0), ("runs", 3.0)] {
            assert_eq!(json[key].as_f64(), Some(value), "{key}");
        }
        assert_eq!(serde_json::from_value::<Figure>(json).unwrap(), figure);
    }

    #[test]
    fn the_median_of_an_even_number_lies_between_the_two_in_the_middle() {
        assert_eq!(Figure::new("n", "u", How::Counted, "", vec![4.0, 1.0, 3.0, 100.0]).median, 3.5);
    }

    #[test]
    fn a_ratio_is_taken_run_by_run() {
        let ours = Figure::new("o", "u", How::Measured, "", vec![10.0, 30.0]);
        let theirs = Figure::new("t", "u", How::Measured, "", vec![5.0, 10.0]);
        assert_eq!(Figure::ratio("r", "t", &ours, &theirs).samples, [2.0, 3.0]);
    }

    #[test]
    fn the_table_keeps_four_digits() {
        assert_eq!([0.1234, 12.345, 123.45, 12345.6].map(significant), ["0.123", "12.35", "123.5", "12346"].map(String::from));
        assert!(table(&[Figure::new("n", "ns", How::Measured, "", vec![1.5])]).contains("1.500"));
    }
}

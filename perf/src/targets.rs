//! What figures are to reach, as perf/definitions/targets.toml says: held against results on the terminal and in plots.

use std::io;

use serde::Deserialize;

use crate::report::Figure;

/// Of one figure.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// Its name.
    pub figure: String,
    /// Good enough.
    pub must: f64,
    /// As good as we think it can be.
    pub aim: f64,
    /// Less is better.
    #[serde(default)]
    pub at_most: bool,
}

/// All of them, in the order of the file.
pub fn all() -> io::Result<Vec<Target>> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Targets {
        target: Vec<Target>,
    }
    let targets: Targets = toml::from_str(include_str!("../definitions/targets.toml")).map_err(io::Error::other)?;
    Ok(targets.target)
}

impl Target {
    /// Times as good as must be: 1 where a value just reaches it.
    pub fn times_must(&self, value: f64) -> f64 {
        if self.at_most { self.must / value } else { value / self.must }
    }

    /// What the median reached, in a word.
    pub fn reached(&self, figure: &Figure) -> &'static str {
        let reaches = |wanted: f64| if self.at_most { figure.median <= wanted } else { figure.median >= wanted };
        match (reaches(self.must), reaches(self.aim)) {
            (_, true) => "aim reached",
            (true, false) => "must reached",
            (false, false) => "MISSED",
        }
    }
}

/// Lines for people: every figure that has a target, and whether it is reached.
pub fn lines(figures: &[Figure]) -> io::Result<String> {
    let targets = all()?;
    let found = targets.iter().filter_map(|target| Some((target, figures.iter().find(|figure| figure.name == target.figure)?)));
    Ok(found
        .map(|(target, figure)| {
            let sense = if target.at_most { "<=" } else { ">=" };
            let Figure { name, median, .. } = figure;
            let (must, aim) = (target.must, target.aim);
            format!("  {name:<28} {median:>9.3}   must {sense} {must:<5}  aim {sense} {aim:<5}  {}\n", target.reached(figure))
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::How;

    #[test]
    fn every_target_lies_between_its_must_and_its_aim() {
        let targets = all().unwrap();
        assert!(targets.len() >= 12);
        for target in targets {
            assert!(target.times_must(target.aim) > 1.0, "{target:?}");
        }
    }

    #[test]
    fn a_figure_is_judged_in_the_sense_of_its_target() {
        let figure = |median| Figure::new("p999_vs_echo", "ratio", How::Measured, "", vec![median]);
        let target = Target { figure: "p999_vs_echo".into(), must: 3.0, aim: 1.3, at_most: true };
        assert_eq!([3.5, 2.0, 1.2].map(|median| target.reached(&figure(median))), ["MISSED", "must reached", "aim reached"]);
        assert!(lines(&[figure(3.5)]).unwrap().contains("MISSED"));
        assert_eq!(lines(&[]).unwrap(), "");
    }
}

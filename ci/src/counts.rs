//! How many tests ran, read from the closing lines of those who ran them.
//!
//! ```text
//!  cargo test          test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; …
//!  ours, plain         12 passed, 0 failed, 1 skipped
//!  verdictctl ask      15 questions, 15 as expected, generation 1b2c…
//! ```
//! A line in none of these forms counts nothing; a step that prints none counts as one test, itself.

use std::ops::AddAssign;

/// Individual tests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// As they should be.
    pub passed: usize,
    /// Not.
    pub failed: usize,
    /// Not run, and said so.
    pub skipped: usize,
}

impl Counts {
    /// The sum over all closing lines in a log.
    pub fn read(log: &str) -> Self {
        let mut sum = Counts::default();
        for line in log.lines().filter_map(of_line) {
            sum += line;
        }
        sum
    }

    /// All of them.
    pub fn total(self) -> usize {
        self.passed + self.failed + self.skipped
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

impl std::fmt::Display for Counts {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped)
    }
}

fn of_line(line: &str) -> Option<Counts> {
    let line = line.trim();
    if let Some(rest) = line.strip_prefix("test result: ") {
        return labelled(rest.split_once(". ")?.1, ';');
    }
    if let Some((asked, met)) = line.split_once(" as expected").and_then(|(counts, _)| counts.split_once(", ")) {
        let (asked, what) = asked.split_once(' ')?;
        let (asked, met) = (asked.parse::<usize>().ok()?, met.parse::<usize>().ok()?);
        return what.starts_with("question").then_some(Counts { passed: met, failed: asked.checked_sub(met)?, skipped: 0 });
    }
    labelled(line, ',')
}

/// `12 passed; 0 failed; 1 ignored; …`: the first two are a must, other words are passed over.
fn labelled(text: &str, separator: char) -> Option<Counts> {
    let mut counts = Counts::default();
    let mut seen = 0;
    for part in text.split(separator) {
        let mut words = part.split_whitespace();
        let number = words.next().and_then(|number| number.parse::<usize>().ok());
        match (number, words.next()) {
            (Some(number), Some("passed")) => (counts.passed, seen) = (number, seen + 1),
            (Some(number), Some("failed")) => (counts.failed, seen) = (number, seen + 1),
            (Some(number), Some("ignored" | "skipped")) => counts.skipped = number,
            _ => {}
        }
    }
    (seen == 2).then_some(counts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(log: &str, passed: usize, failed: usize, skipped: usize) {
        assert_eq!(Counts::read(log), Counts { passed, failed, skipped }, "{log:?}");
    }

    #[test]
    fn reads_the_closing_line_of_cargo_test() {
        check("test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 3 filtered out; finished in 0.01s", 12, 0, 1);
        check("test result: FAILED. 2 passed; 3 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1s", 2, 3, 0);
    }

    #[test]
    fn adds_the_lines_of_several_runners() {
        check("running 2 tests\ntest result: ok. 2 passed; 0 failed; 0 ignored\n\n5 passed, 1 failed, 2 skipped\n", 7, 1, 2);
    }

    #[test]
    fn reads_questions_as_tests() {
        check("15 questions, 14 as expected, generation 00ff\r\n", 14, 1, 0);
        check("1 question, 1 as expected, generation 00ff", 1, 0, 0);
    }

    #[test]
    fn other_lines_count_nothing() {
        check("test a ... ok\n3 passed by\nrows read 5, kept 3\nall as expected\n2 questions, 3 as expected\n12 passed\n", 0, 0, 0);
    }
}

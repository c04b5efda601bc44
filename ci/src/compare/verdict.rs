//! Better, worse, or noise: one rule for every figure.
//!
//! ```text
//! B differs from A     if the two-sided Mann-Whitney test says p < 0.05, exact, and the medians are more than 1 % apart
//! better or worse      by the figure's unit, or by its name for ratios; `differs` where neither tells
//! too few              with fewer than four samples on a side no order of them could reach p < 0.05
//! ```
//! The test looks at ranks only: one run that a neighbour on the machine spoiled counts as one high rank, however spoiled it is.

use serde::Serialize;

/// Below this, chance is not blamed.
const P_MAX: f64 = 0.05;
/// Nobody would change code for less.
const CHANGE_MIN: f64 = 0.01;
/// Two sides of four have 70 orders; the two extreme ones are p = 0.029.
const SAMPLES_MIN: usize = 4;
/// Beyond these, counts of orders are sums of too many terms, and samples beyond are not looked at.
const SAMPLES_MAX: usize = 40;

/// What is said of a figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Word {
    /// B is better.
    Better,
    /// B is worse.
    Worse,
    /// B is something else; which is better the name does not tell.
    Differs,
    /// No difference that chance would not make.
    WithinNoise,
    /// Nothing can be said.
    TooFewSamples,
}

/// One figure of both.
#[derive(Clone, Debug, Serialize)]
pub struct Compared {
    pub name: String,
    unit: String,
    a: Spread,
    b: Spread,
    /// Of the medians: 0.1 is ten percent more.
    change: f64,
    p: f64,
    pub verdict: Word,
}

#[derive(Clone, Copy, Debug, Serialize)]
struct Spread {
    median: f64,
    min: f64,
    max: f64,
    runs: usize,
}

impl Spread {
    fn of(samples: &[f64]) -> Self {
        let mut sorted = samples.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (runs, at) = (sorted.len(), |place: usize| sorted.get(place).copied().unwrap_or(f64::NAN));
        Spread { median: (at((runs.max(1) - 1) / 2) + at(runs / 2)) / 2.0, min: at(0), max: at(runs.max(1) - 1), runs }
    }
}

impl Compared {
    pub fn new(name: &str, unit: &str, a: &[f64], b: &[f64]) -> Self {
        let (a, b) = (&a[..a.len().min(SAMPLES_MAX)], &b[..b.len().min(SAMPLES_MAX)]);
        let (p, spread_a, spread_b) = (mann_whitney(a, b), Spread::of(a), Spread::of(b));
        let change = spread_b.median / spread_a.median - 1.0;
        let verdict = match (a.len().min(b.len()) < SAMPLES_MIN, p < P_MAX && change.abs() > CHANGE_MIN, more_is_better(name, unit)) {
            (true, _, _) => Word::TooFewSamples,
            (_, false, _) => Word::WithinNoise,
            (_, _, None) => Word::Differs,
            (_, _, Some(more)) => {
                if more == (change > 0.0) {
                    Word::Better
                } else {
                    Word::Worse
                }
            }
        };
        Compared { name: name.into(), unit: unit.into(), a: spread_a, b: spread_b, change, p, verdict }
    }
}

/// Rates are better high, times and sizes low; of ratios the name tells, as the issue and the definitions use them.
fn more_is_better(name: &str, unit: &str) -> Option<bool> {
    const HIGH: [&str; 6] = ["_vs_memcached", "_vs_redis", "_vs_limit", "_vs_hashbrown", "_vs_null", "echo_cpu_ratio"];
    const LOW: [&str; 6] = ["p999_", "p99_", "swap_", "keys_vs_", "hash_vs_", "_instructions"];
    let holds = |parts: &[&str]| parts.iter().any(|part| name.contains(part));
    match unit.split('/').next().unwrap_or_default() {
        "ratio" if holds(&LOW) => Some(false),
        "ratio" if holds(&HIGH) => Some(true),
        "ns" | "us" | "ms" | "s" | "bytes" | "instructions" | "cycles" => Some(false),
        _ if unit.ends_with("/s") || unit.ends_with("/CPU-s") => Some(true),
        _ => None,
    }
}

/// The two-sided p of the Mann-Whitney test: of all orders in which these many samples can come, how many are at least as lopsided. Exact; ties count half.
fn mann_whitney(a: &[f64], b: &[f64]) -> f64 {
    let twice: usize = a.iter().flat_map(|a| b.iter().map(move |b| if b > a { 2 } else { usize::from(b == a) })).sum();
    let (most, orders) = (a.len() * b.len(), orders(a.len(), b.len()));
    let far = twice.min(2 * most - twice).div_ceil(2); // pairs won by the side that won fewer
    let tail: f64 = orders.iter().take(far + 1).sum();
    (2.0 * tail / orders.iter().sum::<f64>()).min(1.0)
}

/// How many orders of `a` and `b` samples have each number of pairs won by b: 1, 1, 2, 1, 1 for two and two.
fn orders(a: usize, b: usize) -> Vec<f64> {
    // counts[j][u]: orders of the samples of a so far and j of b. The last one is of b and beats all of a, or is of a.
    let mut counts: Vec<Vec<f64>> = (0..=b).map(|_| vec![1.0]).collect();
    for taken in 1..=a {
        let mut next: Vec<Vec<f64>> = vec![vec![1.0]];
        for j in 1..=b {
            let mut sum = vec![0.0; taken * j + 1];
            counts[j].iter().enumerate().for_each(|(won, count)| sum[won] += count);
            next[j - 1].iter().enumerate().for_each(|(won, count)| sum[won + taken] += count);
            next.push(sum);
        }
        counts = next;
    }
    counts.pop().unwrap_or_default()
}

/// Columns for people.
pub fn table(a: &str, b: &str, compared: &[Compared]) -> String {
    let mut out = format!("A is {a}, B is {b}; a difference counts with Mann-Whitney p < {P_MAX} and medians more than 1 % apart\n\n");
    out += &format!(
        "{:<36} {:>12} {:>12} {:>8} {:>7}  {:<25} {:<25} {}\n",
        "name", "A", "B", "change", "p", "A least..most", "B least..most", "verdict"
    );
    for Compared { name, unit, a, b, change, p, verdict } in compared {
        let spread = |spread: &Spread| format!("{}..{}", short(spread.min), short(spread.max));
        let word = format!("{verdict:?}").chain_words();
        out += &format!(
            "{name:<36} {:>12} {:>12} {:>7.1}% {p:>7.3}  {:<25} {:<25} {word}, {unit}\n",
            short(a.median),
            short(b.median),
            100.0 * change,
            spread(a),
            spread(b)
        );
    }
    let count = |word: Word| compared.iter().filter(|compared| compared.verdict == word).count();
    out + &format!(
        "\n{} better, {} worse, {} differ, {} within noise, {} with too few samples",
        count(Word::Better),
        count(Word::Worse),
        count(Word::Differs),
        count(Word::WithinNoise),
        count(Word::TooFewSamples)
    )
}

fn short(value: f64) -> String {
    if value.abs() >= 1000.0 { format!("{value:.0}") } else { format!("{value:.3}") }
}

/// `WithinNoise` as words.
trait ChainWords {
    fn chain_words(&self) -> String;
}

impl ChainWords for String {
    fn chain_words(&self) -> String {
        let spaced = self.chars().flat_map(|c| c.is_uppercase().then_some(' ').into_iter().chain(c.to_lowercase()));
        spaced.collect::<String>().trim().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_are_those_of_the_books() {
        assert_eq!(orders(2, 2), [1.0, 1.0, 2.0, 1.0, 1.0]);
        assert_eq!(orders(4, 4).iter().sum::<f64>(), 70.0);
        assert_eq!(orders(3, 2), orders(2, 3));
    }

    #[test]
    fn p_is_that_of_the_tables() {
        let p = |a: &[f64], b: &[f64]| (mann_whitney(a, b) * 10_000.0).round() / 10_000.0;
        assert_eq!(p(&[1.0, 2.0, 3.0, 4.0], &[5.0, 6.0, 7.0, 8.0]), 0.0286);
        assert_eq!(p(&[5.0, 6.0, 7.0, 8.0], &[1.0, 2.0, 3.0, 4.0]), 0.0286);
        assert_eq!(p(&[1.0, 3.0, 5.0], &[2.0, 4.0, 6.0]), 0.7);
        assert_eq!(p(&[1.0; 5], &[1.0; 5]), 1.0);
    }

    fn check(name: &str, unit: &str, a: &[f64], b: &[f64], verdict: Word) {
        assert_eq!(Compared::new(name, unit, a, b).verdict, verdict, "{name}");
    }

    #[test]
    fn a_clear_difference_is_named_by_the_units_direction() {
        let (low, high) = ([10.0, 10.1, 10.2, 10.3, 10.4], [12.0, 12.1, 12.2, 12.3, 99.0]);
        check("hash_ns", "ns/text", &low, &high, Word::Worse);
        check("hash_ns", "ns/text", &high, &low, Word::Better);
        check("url_verdictd", "keys/CPU-s", &low, &high, Word::Better);
        check("p999_vs_echo", "ratio", &low, &high, Word::Worse);
        check("url_b100_vs_memcached", "ratio", &low, &high, Word::Better);
        check("keys_per_url", "keys", &low, &high, Word::Differs);
    }

    #[test]
    fn what_overlaps_or_is_tiny_is_noise() {
        check("a", "ns", &[1.0, 5.0, 2.0, 6.0], &[1.5, 5.5, 2.5, 6.5], Word::WithinNoise);
        check("a", "ns", &[100.0, 100.1, 100.2, 100.3], &[100.4, 100.5, 100.6, 100.7], Word::WithinNoise);
    }

    #[test]
    fn three_runs_say_nothing() {
        check("a", "ns", &[1.0, 1.0, 1.0], &[9.0, 9.0, 9.0], Word::TooFewSamples);
    }

    #[test]
    fn the_table_names_the_rule_and_the_verdict() {
        let text = table("x", "y", &[Compared::new("a", "ns", &[1.0, 1.1, 1.2, 1.3], &[1.0, 1.2, 1.1, 1.3])]);
        assert!(text.contains("within noise, ns") && text.contains("Mann-Whitney"), "{text}");
    }
}

//! How sure several sources are together.
//!
//! ```text
//! doubt = 1 · (1 - c1) · (1 - c2 / 2) · (1 - c3 / 2) · …          c1 ≥ c2 ≥ …: the confidence of each source, the surest first
//! confidence = 1 - doubt, rounded down
//! ```
//! The surest counts in full, each further one for half: feeds copy from one another, so a second name on a rule is less than a second witness.
//! In integers, in millionths of doubt, each product rounded up: the same on every machine, and never surer than the formula.
//! One source alone is as sure as it says. A source more, or a surer one, never makes the whole less sure; the order of sources cannot show.

const WHOLE: u32 = 1_000_000;
/// So many sources are heard, the surest ones: what a ninth could add to eight is for the most part what it copied.
pub const SOURCES_HEARD: usize = 8;

/// The confidence, 0 to 100, of sources that each have one from 0 to 100. Leaves them in descending order; none is 0.
///
/// ```
/// assert_eq!(verdict_tables::corroboration(&mut [80]), 80);
/// assert_eq!(verdict_tables::corroboration(&mut [50, 80]), 85); // 1 - 0.2 · 0.75
/// assert_eq!(verdict_tables::corroboration(&mut [50, 50, 50]), 71);
/// ```
pub fn corroboration(confidences: &mut [u8]) -> u8 {
    confidences.sort_unstable_by(|one, other| other.cmp(one));
    let mut doubt = WHOLE;
    for (place, confidence) in confidences.iter().take(SOURCES_HEARD).enumerate() {
        let halves = if place == 0 { 2 } else { 1 };
        doubt = (doubt * (200 - halves * u32::from((*confidence).min(100)))).div_ceil(200);
    }
    ((WHOLE - doubt) / (WHOLE / 100)) as u8
}

const _: () = assert!((WHOLE as u64) * 200 < u32::MAX as u64);

#[cfg(test)]
mod tests {
    use super::*;

    /// Vectors: docs/verdicts.md has the same.
    #[test]
    fn the_documented_vectors_hold() {
        for (confidences, whole) in [
            (&[][..], 0),
            (&[0], 0),
            (&[1], 1),
            (&[100], 100),
            (&[90, 50], 92),
            (&[50, 90], 92),
            (&[50, 50], 62),
            (&[50, 50, 50, 50], 78),
            (&[70, 0, 0], 70),
            (&[99, 99], 99),
            (&[100, 1], 100),
        ] {
            assert_eq!(corroboration(&mut confidences.to_vec()), whole, "{confidences:?}");
        }
    }

    #[test]
    fn one_source_alone_is_as_sure_as_it_says() {
        (0..=100).for_each(|confidence| assert_eq!(corroboration(&mut [confidence]), confidence));
    }

    #[test]
    fn a_surer_source_or_one_more_never_makes_the_whole_less_sure() {
        // Every pair and a third, in steps: all orders come out alike, and all steps go up.
        for one in 0..=100 {
            for other in 0..=100 {
                let pair = corroboration(&mut [one, other]);
                assert_eq!(pair, corroboration(&mut [other, one]));
                assert!(pair >= one.max(other) && pair <= 100);
                if other < 100 {
                    assert!(corroboration(&mut [one, other + 1]) >= pair, "{one} {other}");
                }
                for third in (0..=100).step_by(9) {
                    let three = corroboration(&mut [other, third, one]);
                    assert!(three >= pair && three <= 100, "{one} {other} {third}");
                    assert!(third == 99 || corroboration(&mut [other, third + 1, one]) >= three, "{one} {other} {third}");
                }
            }
        }
    }
}

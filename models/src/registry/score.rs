//! From a logit to a number of 0 to 100, without computing a logarithm or exponential: the same on every machine.
//!
//! ```text
//! score = how many of  logit(0.5 %), logit(1.5 %), … logit(99.5 %)  are not above the logit          0.0 ─► 50, 5.82 ─► 100
//! ```

/// `logit((k - 0.5) / 100)` for k = 51 to 100; those below are their negatives.
#[rustfmt::skip]
const UPPER: [f32; 50] = [
    0.020000666, 0.06001801, 0.100083455, 0.14022934, 0.18048838, 0.22089383, 0.2614797, 0.30228087, 0.34333333, 0.38467434, 0.4263427,
    0.46837893, 0.51082563, 0.5537276, 0.5971325, 0.6410908, 0.6856565, 0.73088753, 0.7768462, 0.82360005, 0.87122244, 0.91979337,
    0.9694006, 1.0201406, 1.0721207, 1.1254596, 1.1802903, 1.2367626, 1.2950457, 1.3553321, 1.4178427, 1.4828323, 1.5505974, 1.6214863,
    1.6959115, 1.7743677, 1.8574548, 1.9459101, 2.0406556, 2.1428633, 2.2540581, 2.376273, 2.5123057, 2.6661592, 2.8438518, 3.055049,
    3.31678, 3.6635616, 4.1845913, 5.293305,
];

/// All of them, ascending.
const STEPS: [f32; 100] = {
    let (mut steps, mut at) = ([0.0; 100], 0);
    while at < 50 {
        steps[49 - at] = -UPPER[at];
        steps[50 + at] = UPPER[at];
        at += 1;
    }
    steps
};

/// The probability that a logit stands for, in hundredths; 0 for what is no number.
#[inline]
pub fn score_of(logit: f32) -> u8 {
    // At most 100.
    STEPS.partition_point(|&step| step <= logit) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_score_is_the_nearest_hundredth_of_the_probability() {
        assert!(STEPS.is_sorted_by(|a, b| a < b));
        for (at, &step) in STEPS.iter().enumerate() {
            let exact = ((at as f64 + 0.5) / (99.5 - at as f64)).ln();
            assert!((f64::from(step) - exact).abs() < 3e-7, "{at}: {step}, {exact}");
        }
        for tenths in -80..=80 {
            let logit = f64::from(tenths) / 10.0;
            let probability = 1.0 / (1.0 + (-logit).exp());
            assert_eq!(f64::from(score_of(logit as f32)), (probability * 100.0).round(), "{logit}");
        }
    }

    #[test]
    fn the_ends_and_what_is_no_number() {
        let scores = [f32::NEG_INFINITY, f32::MIN, 0.0, f32::MAX, f32::INFINITY, f32::NAN].map(score_of);
        assert_eq!(scores, [0, 0, 50, 100, 100, 0]);
    }
}

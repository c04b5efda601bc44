//! When a feed is asked again.
//!
//! ```text
//! answered        every ± 5 %, so that a fleet does not ask in step
//! failed n times  a random moment within min(60 s · 2^n, 1 h, every): full jitter
//! Retry-After     not before it
//! needs a person  every: asking a server sooner does not make a secret right
//! ```

use crate::Error;

const FIRST_RETRY_S: u64 = 60;
const RETRY_S_MAX: u64 = 3600;
/// What a server may ask for at most: a mistake there must not end a feed here.
const RETRY_AFTER_S_MAX: u64 = 7 * 86_400;

/// After an answer.
pub fn after_success(now_s: u64, every_s: u64, random: &mut impl FnMut(u64) -> u64) -> u64 {
    let spread = every_s / 20;
    now_s + every_s - spread + random(2 * spread + 1)
}

/// After `failures` failures in a row, this one included.
pub fn after_failure(now_s: u64, every_s: u64, failures: u32, error: &Error, random: &mut impl FnMut(u64) -> u64) -> u64 {
    if error.needs_a_person() {
        return after_success(now_s, every_s, random);
    }
    let cap = FIRST_RETRY_S.saturating_mul(1 << failures.min(20)).min(RETRY_S_MAX).min(every_s);
    let asked = error.retry_after().map_or(0, |wait| wait.as_secs().min(RETRY_AFTER_S_MAX));
    now_s + asked + 1 + random(cap)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn unreachable() -> Error {
        Error::Unreachable("no".into())
    }

    #[test]
    fn an_answer_is_asked_for_again_after_every_with_jitter() {
        assert_eq!(after_success(1000, 3600, &mut |_| 0), 1000 + 3420);
        assert_eq!(after_success(1000, 3600, &mut |bound| bound - 1), 1000 + 3780);
        assert_eq!(after_success(1000, 10, &mut |bound| bound - 1), 1010);
    }

    #[test]
    fn failures_back_off_up_to_an_hour_and_never_beyond_every() {
        let latest = |every, failures| after_failure(0, every, failures, &unreachable(), &mut |bound| bound - 1);
        assert_eq!([1, 2, 3, 6, 40].map(|failures| latest(86_400, failures)), [120, 240, 480, 3600, 3600]);
        assert_eq!(latest(300, 5), 300);
        assert_eq!(after_failure(0, 300, 5, &unreachable(), &mut |_| 0), 1);
    }

    #[test]
    fn a_server_s_wish_is_kept_and_a_person_s_matter_is_not_hurried() {
        let busy = |seconds| Error::Status { status: 429, retry_after: Some(Duration::from_secs(seconds)) };
        assert_eq!(after_failure(0, 3600, 1, &busy(900), &mut |_| 0), 901);
        assert_eq!(after_failure(0, 3600, 1, &busy(u64::MAX), &mut |_| 0), 7 * 86_400 + 1);
        let refused = Error::Unauthorised { status: 401, had_secret: true };
        assert_eq!(after_failure(0, 3600, 1, &refused, &mut |_| 180), 3600);
    }
}

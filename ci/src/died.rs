//! Test programs that a signal ended, read from the log of `cargo test --no-fail-fast`: no test of theirs failed, and none said anything.
//!
//! ```text
//! error: test failed, to rerun pass `-p verdict-intel --test store`
//!
//! Caused by:
//!   process didn't exit successfully: `qemu-aarch64-static … /…/store-0a1b` (signal: 11, SIGSEGV: invalid memory reference)
//! ```

/// Every program whose tests did not all pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    /// What cargo says to pass to run it again, such as `-p`, `verdict-intel`, `--test`, `store`.
    pub rerun: Vec<String>,
    /// What it died of; none if a test of it failed.
    pub signal: Option<String>,
}

/// In the order of the log.
pub fn failed(log: &str) -> Vec<Failed> {
    let lines: Vec<&str> = log.lines().collect();
    let told = |(at, line): (usize, &&str)| {
        let rerun = line.strip_prefix("error: test failed, to rerun pass `")?.strip_suffix('`')?;
        let cause = lines[at + 1..].iter().take(3).find(|line| line.contains("process didn't exit successfully"));
        let signal = cause.and_then(|cause| Some(cause.rsplit_once("(signal: ")?.1.trim_end_matches(')').to_owned()));
        Some(Failed { rerun: rerun.split_whitespace().map(str::to_owned).collect(), signal })
    };
    lines.iter().enumerate().filter_map(told).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_death_is_told_from_a_failure() {
        let log = "running 1 test\nerror: test failed, to rerun pass `-p a --test b`\n\nCaused by:\n  process didn't exit successfully: \
                   `qemu (x) /t/b-1` (signal: 11, SIGSEGV: invalid memory reference)\n     Running tests/c.rs\nfailures:\n    c\n\n\
                   error: test failed, to rerun pass `-p a --lib`\n   Doc-tests a\n";
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(
            failed(log),
            [
                Failed { rerun: words("-p a --test b"), signal: Some("11, SIGSEGV: invalid memory reference".into()) },
                Failed { rerun: words("-p a --lib"), signal: None }
            ]
        );
        assert_eq!(failed("test result: ok. 1 passed; 0 failed\n"), []);
    }
}

//! The live page of the admin listener, and the two things that it asks.
//!
//! | path | what |
//! |---|---|
//! | `/` | the page: one file, nothing from elsewhere; it shows no number that the next two do not have |
//! | `/status` | what the daemon does now, JSON (status.rs) |
//! | `/explain?key=…` | one key, explained by a shard, as the API's `/v1/explain` tells it (ask.rs) |
//!
//! The page computes rates and percentiles from two looks at counters, so that whoever looks costs the daemon nothing between looks. Its policy lets the
//! browser speak to this origin alone and run this script alone; what strangers wrote is shown as text, never as markup.

pub mod ask;
pub mod status;

/// The page.
pub const PAGE: &str = include_str!("page.html");

/// SHA-256 of the script, as the policy names it; a test holds it, and says what it must be.
const SCRIPT_SHA256: &str = "PzrBCcPtg+llIlGbC4ZB+J8oMXNmth4f/Cv9uP8H/b8=";

/// `Content-Security-Policy` of the page.
pub fn policy() -> String {
    format!(
        "default-src 'none'; connect-src 'self'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{SCRIPT_SHA256}'; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use sha2::{Digest, Sha256};

    fn between<'a>(text: &'a str, from: &str, to: &str) -> &'a str {
        text.split_once(from).and_then(|(_, rest)| rest.split_once(to)).unwrap().0
    }

    fn base64(bytes: &[u8]) -> String {
        const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let mut text = String::new();
        for chunk in bytes.chunks(3) {
            let word = chunk.iter().fold(0u32, |word, byte| word << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
            (0..4).for_each(|place| match place <= chunk.len() {
                true => text.push(DIGITS[(word >> (18 - 6 * place) & 63) as usize] as char),
                false => text.push('='),
            });
        }
        text
    }

    #[test]
    fn the_policy_lets_this_script_run_and_no_other() {
        assert_eq!(PAGE.matches("<script").count(), 1);
        let script = between(PAGE, "<script>", "</script>");
        assert_eq!(SCRIPT_SHA256, base64(&Sha256::digest(script)), "the script has changed: this is its hash, for SCRIPT_SHA256");
        assert!(policy().contains(SCRIPT_SHA256));
    }

    #[test]
    fn nothing_is_fetched_from_elsewhere_and_nothing_is_written_as_markup() {
        for word in ["http:", "https:", "//", "src=", "@import", "url(", "innerHTML", "insertAdjacentHTML", "document.write", "eval("] {
            assert!(!PAGE.contains(word), "the page has `{word}`");
        }
    }
}

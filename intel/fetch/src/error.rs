//! Why a feed was not brought. No text here holds a secret: addresses are those of feeds.toml, `{secret}` unfilled.

use std::path::PathBuf;
use std::time::Duration;

/// What went wrong with one feed; its last good file stays.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The secret is not to be had here.
    #[error("the secret {}: {reason}", path.display())]
    Secret {
        /// Where it was looked for.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// Certificates that are none, or a system without any.
    #[error("TLS: {0}")]
    Tls(String),
    /// No answer.
    #[error("{0}")]
    Unreachable(String),
    /// The server knows us not, or not well enough.
    #[error("status {status}: {}", if *.had_secret { "the secret is wrong, expired, or not enough for this" } else { "it asks for a secret: secret_file or credential" })]
    Unauthorised {
        /// 401 or 403.
        status: u16,
        /// One was sent.
        had_secret: bool,
    },
    /// Another status than 200 and 304.
    #[error("status {status}{}", .retry_after.map_or_else(String::new, |wait| format!(", again in {} s", wait.as_secs())))]
    Status {
        /// As the server said.
        status: u16,
        /// Its `Retry-After`.
        retry_after: Option<Duration>,
    },
    /// It redirects where we do not follow.
    #[error("redirected to {0}")]
    Redirect(String),
    /// Larger than `bytes_max`, which for a feed of several documents holds for all of them together.
    #[error("more than fetch.bytes_max ({0} bytes)")]
    TooLarge(u64),
    /// It took longer than `timeout`.
    #[error("not done within timeout ({0} s)")]
    TimedOut(u64),
    /// What came is no feed.
    #[error("{0}")]
    NotAFeed(String),
    /// One document of a feed that has many.
    #[error("{name}: {error}")]
    Part {
        /// Its name.
        name: String,
        /// What went wrong with it.
        error: Box<Error>,
    },
    /// A TAXII server that does not keep to the protocol.
    #[error("taxii: page {page}: {reason}")]
    Taxii {
        /// Counted from 1.
        page: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// There is no runtime to be had.
    #[error("no runtime: {0}")]
    Runtime(std::io::Error),
    /// The disk.
    #[error("{}: {error}", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        error: std::io::Error,
    },
}

impl Error {
    pub(crate) fn file(path: &std::path::Path) -> impl FnOnce(std::io::Error) -> Error {
        let path = path.to_owned();
        |error| Error::File { path, error }
    }

    /// Asking sooner than usual would not help: a person must act.
    pub(crate) fn needs_a_person(&self) -> bool {
        match self {
            Error::Part { error, .. } => error.needs_a_person(),
            Error::Secret { .. } | Error::Unauthorised { .. } | Error::Tls(_) | Error::Redirect(_) | Error::TooLarge(_) => true,
            _ => false,
        }
    }

    /// For how long the server wants to be left alone.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Error::Status { retry_after, .. } => *retry_after,
            Error::Part { error, .. } => error.retry_after(),
            _ => None,
        }
    }
}

/// Of an error of the client: all causes, and no address, which may hold the secret.
impl From<reqwest::Error> for Error {
    fn from(error: reqwest::Error) -> Self {
        let error = error.without_url();
        let mut text = error.to_string();
        let mut cause = std::error::Error::source(&error);
        while let Some(inner) = cause {
            let said = inner.to_string();
            if !text.contains(&said) {
                text += ": ";
                text += &said;
            }
            cause = inner.source();
        }
        if error.is_redirect() { Error::Redirect(text) } else { Error::Unreachable(text) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_wrong_with_a_part_is_judged_as_if_it_were_the_whole() {
        let part = |error| Error::Part { name: "a.json".into(), error: Box::new(error) };
        let refused = part(Error::Unauthorised { status: 403, had_secret: true });
        assert!(refused.needs_a_person() && part(Error::TooLarge(9)).needs_a_person() && !part(Error::TimedOut(9)).needs_a_person());
        assert_eq!(refused.to_string(), "a.json: status 403: the secret is wrong, expired, or not enough for this");
        let busy = part(Error::Status { status: 503, retry_after: Some(Duration::from_secs(90)) });
        assert_eq!(busy.retry_after(), Some(Duration::from_secs(90)));
        assert_eq!(part(Error::TooLarge(9)).to_string(), "a.json: more than fetch.bytes_max (9 bytes)");
    }
}

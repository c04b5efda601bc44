//! Where a feed is brought from, for those that are fetched: `[feed.fetch]`.
//!
//! ```toml
//! [feed.fetch]
//! url = "https://feeds.example/{secret}/recent.csv"  # {secret} where the server wants it in the path
//! protocol = "http"             # or "taxii": the address of a TAXII 2.1 collection; or "misp": of a feed's directory
//! every = "1h"                  # not asked more often
//! timeout = "5m"                # from the request to the last byte
//! bytes_max = 268435456         # more is an attack or a mistake
//! secret_file = "partner.key"   # relative to feeds.toml; or credential = "partner": of systemd, $CREDENTIALS_DIRECTORY/partner
//! header = "Auth-Key"           # which header carries it; default Authorization
//! user = "me"                   # the secret is a password: HTTP basic authentication
//! ca_file = "ca.pem"            # besides the system's authorities
//! resync = "7d"                 # taxii: how often the whole collection is read again, since deletions are not told
//! ```
//! Nothing is read or asked here: secrets are opened when they are needed, and are never shown.

use super::walk::{Value, Walk, duration_s, integer};
use std::path::PathBuf;
use toml::de::{DeTable, DeValue};

/// `[feed.fetch]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetch {
    /// `http://` or `https://`; may hold `{secret}` once.
    pub url: String,
    /// How it is asked.
    pub protocol: Protocol,
    /// Seconds between two requests, at least. Default one hour.
    pub every_s: u64,
    /// Seconds for the whole transfer. Default five minutes.
    pub timeout_s: u64,
    /// Bytes taken, at most. Default 256 MiB.
    pub bytes_max: u64,
    /// Where the secret is, if there is one.
    pub secret: Option<Secret>,
    /// The header that carries the secret. Default `Authorization`.
    pub header: Option<String>,
    /// The user whose password the secret is.
    pub user: Option<String>,
    /// PEM certificates of authorities to trust besides the system's.
    pub ca_file: Option<PathBuf>,
    /// Seconds between two full readings of a TAXII collection. Default seven days.
    pub resync_s: u64,
}

/// How a feed is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// One document, by a conditional GET.
    Http,
    /// A TAXII 2.1 collection, page by page.
    Taxii,
    /// A MISP feed: the directory of a manifest and its events.
    Misp,
}

/// Where a secret is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Secret {
    /// A file.
    File(PathBuf),
    /// A systemd credential, by name.
    Credential(String),
}

const DAY_S: u64 = 86_400;
const EVERY_S: std::ops::RangeInclusive<u64> = 60..=30 * DAY_S;
const TIMEOUT_S: std::ops::RangeInclusive<u64> = 1..=DAY_S;
const BYTES_MAX: std::ops::RangeInclusive<u64> = 1..=1 << 40;

impl Fetch {
    /// A document at `url`, with all defaults.
    pub fn new(url: impl Into<String>) -> Self {
        Fetch {
            url: url.into(),
            protocol: Protocol::Http,
            every_s: 3600,
            timeout_s: 300,
            bytes_max: 256 << 20,
            secret: None,
            header: None,
            user: None,
            ca_file: None,
            resync_s: 7 * DAY_S,
        }
    }
}

impl Walk<'_> {
    pub(super) fn fetch(&mut self, value: &Value<'_>) -> Option<Fetch> {
        let Some(table) = value.get_ref().as_table() else {
            self.mistake(value, "fetch is a table: [feed.fetch]".into());
            return None;
        };
        const KNOWN: [&str; 11] =
            ["url", "protocol", "every", "timeout", "bytes_max", "secret_file", "credential", "header", "user", "ca_file", "resync"];
        let mut fetch = Fetch::new("");
        self.each(table, "[feed.fetch]", &KNOWN, |walk, key, value| match key {
            "url" => fetch.url = walk.url(value),
            "protocol" => {
                let words = [("http", Protocol::Http), ("taxii", Protocol::Taxii), ("misp", Protocol::Misp)];
                fetch.protocol = walk.word(value, key, &words).unwrap_or(Protocol::Http);
            }
            "every" => fetch.every_s = walk.seconds(value, key, &EVERY_S),
            "timeout" => fetch.timeout_s = walk.seconds(value, key, &TIMEOUT_S),
            "resync" => fetch.resync_s = walk.seconds(value, key, &EVERY_S),
            "bytes_max" => match integer(value).filter(|bytes| BYTES_MAX.contains(bytes)) {
                Some(bytes) => fetch.bytes_max = bytes,
                None => walk.mistake(value, "bytes_max is a whole number of bytes, at least 1".into()),
            },
            "secret_file" => fetch.secret = walk.path(value, key).map(Secret::File),
            "credential" => fetch.secret = walk.credential(value),
            "header" => fetch.header = walk.header(value),
            "user" => fetch.user = walk.string(value, key),
            _ => fetch.ca_file = walk.path(value, key),
        });
        self.check_fetch(&fetch, table, value);
        Some(fetch)
    }

    /// What fits only together.
    fn check_fetch(&mut self, fetch: &Fetch, table: &DeTable<'_>, place: &Value<'_>) {
        let mut refuse = |wrong: bool, message: &str| {
            if wrong {
                self.mistake(place, message.to_owned());
            }
        };
        let in_url = fetch.url.contains("{secret}");
        refuse(!table.contains_key("url"), "[feed.fetch] needs url");
        refuse(
            table.contains_key("secret_file") && table.contains_key("credential"),
            "a secret is in secret_file or in credential, not both",
        );
        let carried = in_url || fetch.header.is_some() || fetch.user.is_some();
        refuse(carried && fetch.secret.is_none(), "a header, a user or {secret} needs secret_file or credential");
        let ways = [in_url, fetch.header.is_some(), fetch.user.is_some()].iter().filter(|way| **way).count();
        refuse(ways > 1, "a secret goes into the url, into a header, or with a user: one of them");
        let open = fetch.secret.is_some() && fetch.url.starts_with("http://") && !is_loopback(&fetch.url);
        refuse(open, "a secret is not sent over http://, which anyone on the way can read: https://");
    }

    fn url(&mut self, value: &Value<'_>) -> String {
        let url = self.string(value, "url").unwrap_or_default();
        let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://")).unwrap_or_default();
        let fits = url.bytes().all(|byte| byte.is_ascii_graphic()) && !rest.is_empty() && !rest.starts_with('/');
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        if !fits || url.matches("{secret}").count() > 1 {
            self.mistake(value, "url is http:// or https:// with a host, in ASCII, with {secret} at most once".into());
        } else if authority.contains('@') || authority.contains('{') {
            self.mistake(
                value,
                "no secret stands before the host of a url: use secret_file with user, header or {secret} in the path".into(),
            );
        }
        url
    }

    fn seconds(&mut self, value: &Value<'_>, key: &str, range: &std::ops::RangeInclusive<u64>) -> u64 {
        let seconds = match value.get_ref() {
            DeValue::Integer(_) => integer(value),
            DeValue::String(text) => duration_s(text),
            _ => None,
        };
        seconds.filter(|seconds| range.contains(seconds)).unwrap_or_else(|| {
            let (least, most) = (range.start(), range.end() / DAY_S);
            self.mistake(value, format!("{key} is seconds or a number with s, m, h or d, from {least}s to {most}d: \"1h\""));
            *range.start()
        })
    }

    fn path(&mut self, value: &Value<'_>, key: &str) -> Option<PathBuf> {
        Some(self.directory().join(self.string(value, key)?))
    }

    fn credential(&mut self, value: &Value<'_>) -> Option<Secret> {
        let name = self.string(value, "credential")?;
        let fits = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte)) && !name.starts_with('.');
        if !fits {
            self.mistake(value, "credential is a name of letters, digits, `.`, `_` and `-`".into());
        }
        fits.then_some(Secret::Credential(name))
    }

    fn header(&mut self, value: &Value<'_>) -> Option<String> {
        let name = self.string(value, "header")?;
        let fits = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        if !fits {
            self.mistake(value, "header is the name of an HTTP header".into());
        }
        fits.then_some(name)
    }
}

/// For a proxy or a test on this machine.
fn is_loopback(url: &str) -> bool {
    let rest = url.strip_prefix("http://").unwrap_or_default();
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.strip_prefix('[').and_then(|host| host.split(']').next()).or_else(|| authority.split(':').next());
    host.is_some_and(|host| host == "localhost" || host == "::1" || host.parse::<std::net::Ipv4Addr>().is_ok_and(|host| host.is_loopback()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Mistakes};
    use std::path::Path;

    fn parse(fetch: &str) -> Result<Fetch, Mistakes> {
        let text = format!("[[feed]]\nname = \"a\"\npath = \"a\"\n[feed.fetch]\n{fetch}");
        Config::parse(&text, "feeds.toml", Path::new("/etc/verdict")).map(|mut config| config.feeds.remove(0).fetch.unwrap())
    }

    #[test]
    fn reads_every_key() {
        let text = "url = \"https://feeds.example/api/collections/1/\"\nprotocol = \"taxii\"\nevery = \"5m\"\ntimeout = 30\nbytes_max = 1000\n\
                    secret_file = \"key\"\nuser = \"me\"\nca_file = \"/ca.pem\"\nresync = \"1d\"\n";
        let expected = Fetch {
            protocol: Protocol::Taxii,
            every_s: 300,
            timeout_s: 30,
            bytes_max: 1000,
            secret: Some(Secret::File("/etc/verdict/key".into())),
            user: Some("me".into()),
            ca_file: Some("/ca.pem".into()),
            resync_s: 86_400,
            ..Fetch::new("https://feeds.example/api/collections/1/")
        };
        assert_eq!(parse(text).unwrap(), expected);
        assert_eq!(parse("url = \"http://127.0.0.1:80/a\"").unwrap(), Fetch::new("http://127.0.0.1:80/a"));
    }

    #[test]
    fn a_secret_has_one_way_and_never_an_open_one() {
        for (wrong, said) in [
            ("every = \"1h\"", "needs url"),
            ("url = \"ftp://a.example/\"", "url is http"),
            ("url = \"https:///x\"", "url is http"),
            ("url = \"https://me:word@a.example/\"", "no secret stands before the host"),
            ("url = \"https://{secret}.example/\"\nsecret_file = \"k\"", "no secret stands before the host"),
            ("url = \"https://a.example/{secret}\"", "needs secret_file"),
            ("url = \"https://a.example/{secret}\"\nsecret_file = \"k\"\nheader = \"Auth-Key\"", "one of them"),
            ("url = \"https://a.example/\"\nsecret_file = \"k\"\ncredential = \"k\"", "not both"),
            ("url = \"http://a.example/\"\nsecret_file = \"k\"", "not sent over http"),
            ("url = \"http://127.0.0.1.example/\"\nsecret_file = \"k\"", "not sent over http"),
            ("url = \"https://a.example/\"\ncredential = \"../k\"", "credential is a name"),
            ("url = \"https://a.example/\"\nsecret_file = \"k\"\nheader = \"a: b\"", "header is the name"),
            ("url = \"https://a.example/\"\nevery = \"1s\"", "every is seconds"),
            ("url = \"https://a.example/\"\nbytes_max = 0", "bytes_max is"),
            ("url = \"https://a.example/\"\nproxy = \"x\"", "unknown key \"proxy\""),
        ] {
            let mistakes = parse(wrong).unwrap_err().to_string();
            assert!(mistakes.contains(said), "{wrong}: {mistakes}");
        }
        assert!(parse("url = \"http://[::1]:8080/\"\nsecret_file = \"k\"").is_ok());
    }
}

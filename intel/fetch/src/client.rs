//! The HTTP client of one feed: its authorities, its secret, and where it may be sent.

use crate::Error;
use reqwest::header::{ACCEPT_ENCODING, AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, RequestBuilder, Response, StatusCode, Url};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};
use verdict_intel::config::fetch::{Fetch, Secret};

const CONNECT_S: u64 = 15;
/// Without a byte.
const SILENCE_S: u64 = 30;
const REDIRECTS_MAX: usize = 5;
const SECRET_BYTES_MAX: u64 = 4096;

/// Asks for one feed.
pub struct Asker {
    client: Client,
    url: Url,
    headers: HeaderMap,
    /// User and password.
    basic: Option<(String, String)>,
    has_secret: bool,
}

impl Asker {
    pub fn new(fetch: &Fetch) -> Result<Self, Error> {
        let secret = fetch.secret.as_ref().map(read).transpose()?;
        let filled = secret.as_ref().map_or_else(|| fetch.url.clone(), |secret| fetch.url.replace("{secret}", &escaped(secret)));
        // The text of an error would show what was filled in.
        let url = Url::parse(&filled).map_err(|_| Error::Unreachable(format!("{} is no address", fetch.url)))?;
        let (mut headers, mut basic) = (HeaderMap::new(), None);
        if let Some(secret) = secret.filter(|_| !fetch.url.contains("{secret}")) {
            match &fetch.user {
                Some(user) => basic = Some((user.clone(), secret)),
                None => headers.extend([header(fetch, &secret)?]),
            }
        }
        let stays = fetch.secret.is_some();
        let mut client = Client::builder()
            .user_agent(concat!("verdictctl/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(Duration::from_secs(CONNECT_S))
            .read_timeout(Duration::from_secs(SILENCE_S))
            .referer(false)
            .redirect(redirects(stays));
        if let Some(path) = &fetch.ca_file {
            let pem = std::fs::read(path).map_err(Error::file(path))?;
            let certificates =
                Certificate::from_pem_bundle(&pem).map_err(|_| Error::Tls(format!("{} holds no PEM certificates", path.display())))?;
            client = client.tls_certs_merge(certificates);
        }
        // An error only means that it is there already.
        let _ = rustls_graviola::default_provider().install_default();
        let client = client.build().map_err(|error| {
            let why = Error::from(error);
            Error::Tls(format!("{why}; the system's authorities are in the Debian package ca-certificates"))
        })?;
        Ok(Asker { client, url, headers, basic, has_secret: stays })
    }

    pub fn url(&self) -> &Url {
        &self.url
    }

    /// A file in the directory that the address is.
    pub fn below(&self, name: &str) -> Url {
        let mut url = self.url.clone();
        let path = format!("{}/{name}", url.path().trim_end_matches('/'));
        url.set_path(&path);
        url
    }

    /// A GET, with the secret where it goes.
    pub fn get(&self, url: Url) -> RequestBuilder {
        // What comes is stored as it comes: readers know gzip, and bound what it grows to.
        let request = self.client.get(url).headers(self.headers.clone()).header(ACCEPT_ENCODING, "gzip");
        match &self.basic {
            Some((user, password)) => request.basic_auth(user, Some(password)),
            None => request,
        }
    }

    /// An answer with a body, or "not modified"; everything else is an error.
    pub fn accepted(&self, response: Response) -> Result<Response, Error> {
        let status = response.status();
        match status {
            StatusCode::OK | StatusCode::NOT_MODIFIED => Ok(response),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                Err(Error::Unauthorised { status: status.as_u16(), had_secret: self.has_secret })
            }
            _ if status.is_redirection() => {
                let to =
                    response.headers().get("location").map_or("nowhere".into(), |to| String::from_utf8_lossy(to.as_bytes()).into_owned());
                Err(Error::Redirect(format!("{}, which is not followed", without_query(&to))))
            }
            _ => Err(Error::Status { status: status.as_u16(), retry_after: retry_after(response.headers()) }),
        }
    }
}

/// Five at most, never from TLS to plain, and nowhere else with a secret: custom headers would travel along, and so would a path.
fn redirects(stays: bool) -> Policy {
    Policy::custom(move |attempt| {
        let from = attempt.previous().last();
        let down = from.is_some_and(|from| from.scheme() == "https") && attempt.url().scheme() != "https";
        let away = from.is_some_and(|from| from.origin() != attempt.url().origin());
        if attempt.previous().len() > REDIRECTS_MAX || down || stays && away { attempt.stop() } else { attempt.follow() }
    })
}

fn header(fetch: &Fetch, secret: &str) -> Result<(HeaderName, HeaderValue), Error> {
    let name = match &fetch.header {
        Some(name) => HeaderName::from_bytes(name.as_bytes()).map_err(|_| Error::Unreachable(format!("{name} is no header")))?,
        None => AUTHORIZATION,
    };
    let wrong = |_| Error::Secret { path: fetch.secret.as_ref().map(place).unwrap_or_default(), reason: "holds what no header may".into() };
    let mut value = HeaderValue::from_str(secret).map_err(wrong)?;
    value.set_sensitive(true);
    Ok((name, value))
}

fn place(secret: &Secret) -> PathBuf {
    match secret {
        Secret::File(path) => path.clone(),
        Secret::Credential(name) => std::env::var_os("CREDENTIALS_DIRECTORY")
            .map_or_else(|| PathBuf::from("$CREDENTIALS_DIRECTORY").join(name), |directory| PathBuf::from(directory).join(name)),
    }
}

/// One line of text.
fn read(secret: &Secret) -> Result<String, Error> {
    let path = place(secret);
    let wrong = |reason: String| Error::Secret { path: path.clone(), reason };
    let length = std::fs::metadata(&path).map_err(|error| wrong(error.to_string()))?.len();
    if length > SECRET_BYTES_MAX {
        return Err(wrong(format!("longer than {SECRET_BYTES_MAX} bytes")));
    }
    let text = std::fs::read_to_string(&path).map_err(|error| wrong(error.to_string()))?;
    let text = text.trim_end_matches(['\r', '\n']);
    if text.is_empty() || text.contains(char::is_control) {
        return Err(wrong("is not one line of text".into()));
    }
    Ok(text.to_owned())
}

/// As a segment of a path.
fn escaped(secret: &str) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~".contains(byte);
    secret.bytes().map(|byte| if plain(&byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

/// Of an address that is shown: what stands behind `?` may be somebody's.
fn without_query(url: &str) -> &str {
    url.split(['?', '#']).next().unwrap_or_default()
}

/// Seconds, or a date (RFC 9110, section 10.2.3).
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get("retry-after")?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let at = httpdate::parse_http_date(text).ok()?;
    Some(at.duration_since(SystemTime::now()).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_in_a_path_stays_one_segment() {
        assert_eq!(escaped("a/b?c#d%\u{e9}"), "a%2Fb%3Fc%23d%25%C3%A9");
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let of = |text: &str| retry_after(&HeaderMap::from_iter([(reqwest::header::RETRY_AFTER, text.parse().unwrap())]));
        assert_eq!(of("120"), Some(Duration::from_secs(120)));
        assert_eq!(of("Sun, 06 Nov 1994 08:49:37 GMT"), Some(Duration::ZERO));
        assert_eq!(of("soon"), None);
    }
}

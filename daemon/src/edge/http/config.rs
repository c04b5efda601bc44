//! Section `[http]`: what authorization asks and what its answers mean; bounds of the JSON API.

use serde::{Deserialize, Serialize};
use verdict_wire as wire;

/// A part of a request that is asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ask {
    /// Its URL, which meets rules of its host and address too.
    Url,
    /// Its host alone.
    Host,
    /// The address of the client, as the balancer tells it.
    Src,
}

impl Ask {
    /// As in `X-Verdict-Key`.
    pub const fn name(self) -> &'static str {
        match self {
            Ask::Url => "url",
            Ask::Host => "host",
            Ask::Src => "src",
        }
    }
}

/// Where the client's address stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SrcFrom {
    /// The last address of `X-Forwarded-For`: the one that the balancer itself has added. Those before it are its client's word.
    XForwardedFor,
    /// `X-Real-IP`, as nginx is usually told to set it.
    XRealIp,
    /// What the connection's PROXY header says (`[proxy]`), for balancers that pass connections on and write no fields.
    Connection,
}

/// What an answer means for the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Act {
    /// 200: the balancer lets the request through.
    Allow,
    /// 403: the balancer refuses it.
    Deny,
    /// 503: the balancer does what it does when authorization fails.
    Error,
}

/// Section `[http]`. What is malicious is refused, what is clean or unknown passes; the rest can be chosen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HttpConfig {
    /// What is asked of a request: "url", "host", "src"; the worst answer decides. Default ["url"].
    pub ask: Vec<Ask>,
    /// Where the client's address stands: "x-forwarded-for" (its last address), "x-real-ip", or "connection": of its PROXY header. Default "x-forwarded-for".
    pub src_from: SrcFrom,
    /// What *suspicious* means: "allow" or "deny". Default "allow", and X-Verdict says it.
    pub suspicious: Act,
    /// What a request means whose URL or address cannot be read, or reads differently to different readers: "deny", "error", "allow". Default "deny".
    pub unparseable: Act,
    /// What it means that there is no verdict: too busy, or the balancer did not send what it is asked with: "error", "deny", "allow". Default "error".
    pub failed: Act,
    /// Seconds that a balancer may keep a verdict, at most, whatever its feed allows: until then it does not hear of a change. Default 60; 0 = never.
    pub cache_s_max: u32,
    /// Seconds that a balancer may keep *unknown*, or a verdict without a record. Default 5; 0 = never.
    pub cache_unlisted_s: u32,
    /// The JSON API (/v1/lookup, /v1/explain, /openapi.json) is served beside authorization. Default true.
    pub api: bool,
    /// Bytes of a request body. Default and most: 1048576. A longer one is refused with 413.
    pub body_bytes_max: usize,
    /// Keys of one POST to /v1/lookup. Default 1000, at most 4096.
    pub keys_per_request_max: usize,
}

impl Default for HttpConfig {
    fn default() -> Self {
        HttpConfig {
            ask: vec![Ask::Url],
            src_from: SrcFrom::XForwardedFor,
            suspicious: Act::Allow,
            unparseable: Act::Deny,
            failed: Act::Error,
            cache_s_max: 60,
            cache_unlisted_s: 5,
            api: true,
            body_bytes_max: wire::FRAME_BYTES_MAX,
            keys_per_request_max: 1000,
        }
    }
}

impl HttpConfig {
    /// What is wrong with it, all of it.
    pub fn check(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        let mut hold = |ok: bool, why: String| {
            if !ok {
                wrong.push(why);
            }
        };
        let twice = self.ask.iter().enumerate().any(|(at, ask)| self.ask[..at].contains(ask));
        hold(!self.ask.is_empty() && !twice, "http.ask names at least one of \"url\", \"host\" and \"src\", each once".into());
        hold(self.suspicious != Act::Error, "http.suspicious is \"allow\" or \"deny\": a verdict is no failure".into());
        hold(self.body_bytes_max <= wire::FRAME_BYTES_MAX, format!("http.body_bytes_max exceeds {}", wire::FRAME_BYTES_MAX));
        hold(
            (1..=wire::KEYS_MAX).contains(&self.keys_per_request_max),
            format!("http.keys_per_request_max is not within 1..={}", wire::KEYS_MAX),
        );
        wrong
    }

    /// What of it goes along with each question.
    pub fn policy(&self) -> Policy {
        Policy {
            suspicious: self.suspicious,
            unparseable: self.unparseable,
            failed: self.failed,
            cache_s_max: self.cache_s_max,
            cache_unlisted_s: self.cache_unlisted_s,
        }
    }
}

/// What answers mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// As in `HttpConfig`.
    pub suspicious: Act,
    /// Likewise.
    pub unparseable: Act,
    /// Likewise.
    pub failed: Act,
    /// Likewise.
    pub cache_s_max: u32,
    /// Likewise.
    pub cache_unlisted_s: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_hold_and_what_is_wrong_is_named() {
        assert_eq!(HttpConfig::default().check(), Vec::<String>::new());
        let config = HttpConfig {
            ask: vec![Ask::Url, Ask::Url],
            suspicious: Act::Error,
            body_bytes_max: 1 << 30,
            keys_per_request_max: 0,
            ..HttpConfig::default()
        };
        let wrong = config.check().join("\n");
        for key in ["http.ask", "http.suspicious", "http.body_bytes_max", "http.keys_per_request_max"] {
            assert!(wrong.contains(key), "{key} in {wrong}");
        }
    }

    #[test]
    fn names_in_the_file_are_those_of_the_documentation() {
        let config: HttpConfig =
            toml::from_str("ask = [\"url\", \"src\"]\nsrc_from = \"x-real-ip\"\nsuspicious = \"deny\"\nfailed = \"allow\"\n").unwrap();
        assert_eq!(config.ask, [Ask::Url, Ask::Src]);
        assert_eq!((config.src_from, config.suspicious, config.failed), (SrcFrom::XRealIp, Act::Deny, Act::Allow));
        assert!(toml::from_str::<HttpConfig>("asks = []").is_err());
    }
}

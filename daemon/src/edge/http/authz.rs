//! Authorization: from what a balancer tells of a request to the keys that are asked.
//!
//! | path | URL is made of | for |
//! |---|---|---|
//! | `/auth/nginx` | `Host` + `X-Original-URI` | nginx `auth_request` |
//! | `/auth/ingress-nginx` | `X-Original-URL` | Kubernetes' ingress-nginx |
//! | `/auth/traefik`, `/auth/caddy`, `/auth/apisix` | `X-Forwarded-Host` + `X-Forwarded-Uri` | as named |
//! | `/auth/envoy` + path | `Host` + the rest of the request line | Envoy's `path_prefix` |
//! | `/auth` | the first of these that is there | who sets or strips all of them |
//!
//! Each path reads the fields that its balancer sets, and no others: nginx sends along whatever its client sent, so what it does not overwrite is its
//! client's word. The scheme decides nothing, no key holds one. A field that is there twice, a host or path with a character that ends it for some
//! readers and not for others: *unparseable*. A field that is not there at all is the balancer's configuration: *failed*.

use super::config::{Ask, HttpConfig, SrcFrom};
use super::head::{Field, Told};
use std::net::{IpAddr, SocketAddr};
use verdict_keys::Kind;

/// Where the URL stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// `Host` and `X-Original-URI`.
    OriginalUri,
    /// `X-Original-URL`.
    OriginalUrl,
    /// `X-Forwarded-Host` and `X-Forwarded-Uri`.
    Forwarded,
    /// `Host` and the request line, behind so many bytes.
    Line(usize),
    /// Whichever is there.
    Any,
}

const ENVOY: &str = "/auth/envoy";

impl Form {
    /// Of a request line's target, if that is for authorization.
    pub fn of(target: &str) -> Option<Form> {
        if !target.starts_with("/auth") {
            return None;
        }
        if let Some(rest) = target.strip_prefix(ENVOY)
            && (rest.is_empty() || rest.starts_with(['/', '?']))
        {
            return Some(Form::Line(ENVOY.len()));
        }
        Some(match target.split('?').next().unwrap_or_default() {
            "/auth" => Form::Any,
            "/auth/nginx" => Form::OriginalUri,
            "/auth/ingress-nginx" => Form::OriginalUrl,
            "/auth/traefik" | "/auth/caddy" | "/auth/apisix" => Form::Forwarded,
            _ => return None,
        })
    }

    /// Whether the balancer shows its client what a refusal says. nginx' `auth_request` reads the head alone, and closes a connection on
    /// which a body stays unread, since the next response would come behind it.
    pub fn shows_bodies(self, told: &Told<'_>) -> bool {
        !matches!(self.resolved(told), Form::OriginalUri | Form::OriginalUrl)
    }

    /// Where any will do, the one whose fields are there.
    fn resolved(self, told: &Told<'_>) -> Form {
        match self {
            Form::Any if told.forwarded_uri != Field::Absent || told.forwarded_host != Field::Absent => Form::Forwarded,
            Form::Any if told.original_url != Field::Absent => Form::OriginalUrl,
            Form::Any => Form::OriginalUri,
            form => form,
        }
    }
}

/// Why nothing is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The balancer does not send this field.
    Missing(&'static str),
    /// It can be read in more than one way, or not at all.
    Unreadable(&'static str),
}

/// Keys of one request, at most one for each `Ask`.
pub const KEYS_MAX: usize = 3;

/// The keys of a request, in buffers that are used again.
#[derive(Debug, Default)]
pub struct Scratch {
    /// On whose behalf the connection was opened.
    pub source: Option<IpAddr>,
    url: Vec<u8>,
    octets: [u8; 16],
    keys: [Option<(Kind, Ask)>; KEYS_MAX],
    host_bytes: usize,
}

impl Scratch {
    /// Notes the keys that the operator wants asked.
    pub fn fill(&mut self, config: &HttpConfig, form: Form, target: &str, told: &Told<'_>) -> Result<(), Trouble> {
        self.keys = [None; KEYS_MAX];
        if config.ask.iter().any(|ask| *ask != Ask::Src) {
            self.read_url(form, target, told)?;
        }
        for (place, ask) in self.keys.iter_mut().zip(&config.ask) {
            let kind = match ask {
                Ask::Url => Kind::Url,
                Ask::Host => Kind::Host,
                Ask::Src => match client(config.src_from, told, self.source)? {
                    IpAddr::V4(address) => {
                        self.octets[..4].copy_from_slice(&address.octets());
                        Kind::Ipv4
                    }
                    IpAddr::V6(address) => {
                        self.octets = address.octets();
                        Kind::Ipv6
                    }
                },
            };
            *place = Some((kind, *ask));
        }
        Ok(())
    }

    /// What is asked, in the order of the configuration.
    pub fn keys(&self) -> impl Iterator<Item = (Option<Kind>, &[u8])> + Clone {
        self.keys.iter().flatten().map(|(kind, _)| {
            let bytes = match kind {
                Kind::Ipv4 => &self.octets[..4],
                Kind::Ipv6 => &self.octets[..],
                Kind::Host => &self.url[SCHEME.len()..SCHEME.len() + self.host_bytes],
                _ => &self.url[..],
            };
            (Some(*kind), bytes)
        })
    }

    /// What each key is a part of.
    pub fn asked(&self) -> [Option<Ask>; KEYS_MAX] {
        self.keys.map(|key| key.map(|(_, ask)| ask))
    }

    fn read_url(&mut self, form: Form, target: &str, told: &Told<'_>) -> Result<(), Trouble> {
        match form.resolved(told) {
            Form::Forwarded => {
                let host = one(told.forwarded_host, "X-Forwarded-Host")?;
                self.write_url(host, one(told.forwarded_uri, "X-Forwarded-Uri")?)
            }
            Form::OriginalUri | Form::Any => {
                let path = one(told.original_uri, "X-Original-URI")?;
                self.write_url(one(told.host, "Host")?, path)
            }
            Form::OriginalUrl => {
                let (host, path) = split(one(told.original_url, "X-Original-URL")?).ok_or(Trouble::Unreadable("X-Original-URL"))?;
                self.write_url(host, path)
            }
            Form::Line(prefix) => self.write_url(one(told.host, "Host")?, target.as_bytes().get(prefix..).unwrap_or_default()),
        }
    }

    /// A path may be a whole URL, as a proxy's client sends it; then that is what is asked for.
    fn write_url(&mut self, host: &[u8], path: &[u8]) -> Result<(), Trouble> {
        let (host, path) = split(path).unwrap_or((host, path));
        let ends_a_host = |byte: &u8| matches!(byte, 0..=b' ' | 0x7F | b'/' | b'\\' | b'?' | b'#' | b'@' | b',' | b'%');
        if host.is_empty() || host.iter().any(ends_a_host) {
            return Err(Trouble::Unreadable("the host"));
        }
        let ends_a_path = |byte: &u8| matches!(byte, 0..=b' ' | 0x7F | b'#');
        if !(path.is_empty() || matches!(path[0], b'/' | b'?') || path == b"*") || path.iter().any(ends_a_path) {
            return Err(Trouble::Unreadable("the path"));
        }
        self.url.clear();
        self.url.extend_from_slice(SCHEME);
        self.url.extend_from_slice(host);
        self.host_bytes = host.len();
        if path != b"*" {
            self.url.extend_from_slice(path);
        }
        Ok(())
    }
}

const SCHEME: &[u8] = b"http://";

/// Host with port, and the rest, of a URL.
fn split(url: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = url.iter().take(6).position(|byte| *byte == b':')?;
    let rest = url[colon..].strip_prefix(b"://")?;
    let scheme = &url[..colon];
    if !(scheme.eq_ignore_ascii_case(b"http") || scheme.eq_ignore_ascii_case(b"https")) {
        return None;
    }
    Some(rest.split_at(rest.iter().position(|byte| matches!(byte, b'/' | b'?')).unwrap_or(rest.len())))
}

fn one<'a>(field: Field<'a>, name: &'static str) -> Result<&'a [u8], Trouble> {
    match field {
        Field::Absent => Err(Trouble::Missing(name)),
        Field::One(value) => Ok(value),
        Field::Many => Err(Trouble::Unreadable(name)),
    }
}

/// The client's address, with or without a port.
fn client(from: SrcFrom, told: &Told<'_>, source: Option<IpAddr>) -> Result<IpAddr, Trouble> {
    let (name, value) = match from {
        SrcFrom::Connection => return source.ok_or(Trouble::Missing("PROXY header")),
        SrcFrom::XForwardedFor => ("X-Forwarded-For", told.forwarded_for.rsplit(|byte| *byte == b',').next().unwrap_or_default()),
        SrcFrom::XRealIp => ("X-Real-IP", if told.real_ip == Field::Absent { &b""[..] } else { one(told.real_ip, "X-Real-IP")? }),
    };
    let text = str::from_utf8(value.trim_ascii()).map_err(|_| Trouble::Unreadable(name))?;
    if text.is_empty() {
        return Err(Trouble::Missing(name));
    }
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    bare.parse().or_else(|_| text.parse().map(|address: SocketAddr| address.ip())).map_err(|_| Trouble::Unreadable(name))
}

#[cfg(test)]
mod tests {
    use super::super::head;
    use super::*;

    fn asked(config: &HttpConfig, request: &str) -> Result<Vec<(Kind, Vec<u8>)>, Trouble> {
        let bytes = request.replace('\n', "\r\n");
        let head = head::read(bytes.as_bytes()).unwrap();
        let mut scratch = Scratch::default();
        scratch.fill(config, Form::of(head.target).unwrap(), head.target, &head.told)?;
        Ok(scratch.keys().map(|(kind, bytes)| (kind.unwrap(), bytes.to_vec())).collect())
    }

    /// The URL that is asked for.
    fn url(request: &str) -> Result<String, Trouble> {
        asked(&HttpConfig::default(), request).map(|keys| String::from_utf8(keys[0].1.clone()).unwrap())
    }

    #[test]
    fn each_path_reads_the_fields_of_its_balancer() {
        let nginx = "GET /auth/nginx HTTP/1.0\nHost: shop.example\nX-Original-URI: /a?b=c\n\n";
        assert_eq!(url(nginx).unwrap(), "http://shop.example/a?b=c");
        let ingress = "GET /auth/ingress-nginx HTTP/1.1\nHost: verdict\nX-Original-URL: https://shop.example:8443/a?b\n\n";
        assert_eq!(url(ingress).unwrap(), "http://shop.example:8443/a?b");
        let traefik =
            "GET /auth/traefik HTTP/1.1\nHost: verdict\nX-Forwarded-Proto: https\nX-Forwarded-Host: shop.example\nX-Forwarded-Uri: /a\n\n";
        assert_eq!(url(traefik).unwrap(), "http://shop.example/a");
        assert_eq!(url(&traefik.replace("traefik", "caddy")).unwrap(), "http://shop.example/a");
        let envoy = "DELETE /auth/envoy/a/../b?c HTTP/1.1\nHost: shop.example\nContent-Length: 0\n\n";
        assert_eq!(url(envoy).unwrap(), "http://shop.example/a/../b?c");
        assert_eq!(url("GET /auth/envoy?c HTTP/1.1\nHost: shop.example\n\n").unwrap(), "http://shop.example?c");
    }

    #[test]
    fn a_client_of_nginx_cannot_choose_what_is_asked() {
        let spoofed = "GET /auth/nginx HTTP/1.1\nHost: evil.test\nX-Original-URI: /bad\nX-Forwarded-Host: good.test\nX-Forwarded-Uri: /good\n\
                       X-Original-URL: http://good.test/\n\n";
        assert_eq!(url(spoofed).unwrap(), "http://evil.test/bad");
        let envoy =
            "GET /auth/envoy/bad HTTP/1.1\nHost: evil.test\nX-Forwarded-Host: good.test\nX-Forwarded-Uri: /good\nX-Original-URI: /good\n\n";
        assert_eq!(url(envoy).unwrap(), "http://evil.test/bad");
        let reserved = "GET /auth/envoy/../traefik HTTP/1.1\nHost: evil.test\n\n";
        assert_eq!(url(reserved).unwrap(), "http://evil.test/../traefik");
    }

    #[test]
    fn without_a_name_the_first_form_that_is_there_counts() {
        let all = "GET /auth HTTP/1.1\nHost: a.test\nX-Original-URI: /2\nX-Forwarded-Host: b.test\nX-Forwarded-Uri: /1\n\n";
        assert_eq!(url(all).unwrap(), "http://b.test/1");
        assert_eq!(url("GET /auth HTTP/1.1\nHost: a.test\nX-Original-URI: /2\n\n").unwrap(), "http://a.test/2");
        assert_eq!(url("GET /auth HTTP/1.1\nHost: a.test\nX-Original-URL: http://c.test/3\n\n").unwrap(), "http://c.test/3");
        assert_eq!(url("GET /auth HTTP/1.1\nHost: a.test\n\n"), Err(Trouble::Missing("X-Original-URI")));
    }

    #[test]
    fn what_two_readers_could_read_differently_is_unreadable() {
        let of = |fields: &str| {
            url(&format!("GET /auth/traefik HTTP/1.1\nHost: v\n{fields}\n\n")).map_err(|trouble| matches!(trouble, Trouble::Unreadable(_)))
        };
        for fields in [
            "X-Forwarded-Host: a.test\nX-Forwarded-Host: b.test\nX-Forwarded-Uri: /",
            "X-Forwarded-Host: a.test\nX-Forwarded-Uri: /\nX-Forwarded-Uri: /bad",
            "X-Forwarded-Host: a.test, b.test\nX-Forwarded-Uri: /",
            "X-Forwarded-Host: good.test/x?\nX-Forwarded-Uri: /",
            "X-Forwarded-Host: good.test#\nX-Forwarded-Uri: /",
            "X-Forwarded-Host: user@a.test\nX-Forwarded-Uri: /",
            "X-Forwarded-Host: a.test%2fx\nX-Forwarded-Uri: /",
            "X-Forwarded-Host: a.test\nX-Forwarded-Uri: bad",
            "X-Forwarded-Host: a.test\nX-Forwarded-Uri: /good#/../bad",
            "X-Forwarded-Host: a.test\nX-Forwarded-Uri: /a b",
            "X-Forwarded-Host: a.test\nX-Forwarded-Uri: ftp://b.test/",
        ] {
            assert_eq!(of(fields), Err(true), "{fields}");
        }
        assert_eq!(of("X-Forwarded-Host: a.test"), Err(false));
        assert_eq!(of("X-Forwarded-Host: a.test\nX-Forwarded-Uri: *").unwrap(), "http://a.test");
        assert_eq!(of("X-Forwarded-Host: a.test\nX-Forwarded-Uri: HTTP://b.test:80/x").unwrap(), "http://b.test:80/x");
    }

    #[test]
    fn a_client_is_the_last_address_that_was_added() {
        let config = HttpConfig { ask: vec![Ask::Src], ..HttpConfig::default() };
        let of = |fields: &str| asked(&config, &format!("GET /auth HTTP/1.1\nHost: v\n{fields}\n\n"));
        let v4 = |address: [u8; 4]| vec![(Kind::Ipv4, address.to_vec())];
        assert_eq!(of("X-Forwarded-For: 203.0.113.1, 192.0.2.7").unwrap(), v4([192, 0, 2, 7]));
        assert_eq!(of("X-Forwarded-For: 203.0.113.1\nX-Forwarded-For: 192.0.2.7:4711").unwrap(), v4([192, 0, 2, 7]));
        let v6 = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1].to_vec();
        for text in ["2001:db8::1", "[2001:db8::1]", "[2001:db8::1]:4711"] {
            assert_eq!(of(&format!("X-Forwarded-For: {text}")).unwrap(), [(Kind::Ipv6, v6.clone())]);
        }
        assert_eq!(of("X-Real-IP: 192.0.2.7"), Err(Trouble::Missing("X-Forwarded-For")));
        assert_eq!(of("X-Forwarded-For: 192.0.2.7,"), Err(Trouble::Missing("X-Forwarded-For")));
        assert_eq!(of("X-Forwarded-For: unknown"), Err(Trouble::Unreadable("X-Forwarded-For")));
        let config = HttpConfig { ask: vec![Ask::Host, Ask::Src], src_from: SrcFrom::XRealIp, ..HttpConfig::default() };
        let both = asked(&config, "GET /auth/envoy/a HTTP/1.1\nHost: a.test:80\nX-Real-IP: 192.0.2.7\n\n").unwrap();
        assert_eq!(both, [(Kind::Host, b"a.test:80".to_vec()), (Kind::Ipv4, vec![192, 0, 2, 7])]);
    }
}

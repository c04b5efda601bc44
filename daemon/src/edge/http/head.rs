//! The head of a request, read strictly: what two readers could read differently is refused, never repaired.
//!
//! ```text
//!  GET /auth/caddy HTTP/1.1 CRLF         ◄ httparse
//!  Host: balancer.example CRLF           ◄ exactly one
//!  X-Forwarded-Uri: /a?b CRLF            ◄ noted where authorization reads it: absent, once, or more than once
//!  CRLF                                  ◄ looked for first, from where the last look ended: a head that trickles is read once
//! ```
//! Refused, with the connection (RFC 9112 lets a server do so): a line that ends without CR, a folded line, a name with a space before its colon, no Host
//! or two, a target that is no path, Content-Length twice or beside Transfer-Encoding or not all digits, a Transfer-Encoding other than `chunked` or in HTTP/1.0.

use memchr::memchr;
use std::mem::MaybeUninit;

/// Bytes of a head with its empty line. Cookies are sent along by some balancers; nginx takes 32 KiB of a client.
pub const HEAD_BYTES_MAX: usize = 32 * 1024;
/// Fields of a head. Traefik and Caddy send along all that their client sent.
const FIELDS_MAX: usize = 128;

/// Why a request is not taken, and what is said instead; the connection ends with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Of the reply.
    pub status: u16,
    /// For people.
    pub why: &'static str,
}

impl Refusal {
    /// A request that is none.
    pub const fn bad(why: &'static str) -> Self {
        Self { status: 400, why }
    }
}

/// How the body is delimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// So many bytes.
    Length(usize),
    /// In chunks.
    Chunked,
}

/// A field of which there should be one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Field<'a> {
    /// It is not there, or empty.
    #[default]
    Absent,
    /// Once.
    One(&'a [u8]),
    /// More than once: whoever reads the first and whoever reads the last read different requests.
    Many,
}

impl<'a> Field<'a> {
    fn note(&mut self, value: &'a [u8]) {
        *self = match self {
            Field::Absent if value.is_empty() => Field::Absent,
            Field::Absent => Field::One(value),
            Field::One(_) | Field::Many => Field::Many,
        };
    }
}

/// What a balancer says of the request that it asks about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Told<'a> {
    /// `Host`; once, or the head is refused.
    pub host: Field<'a>,
    /// `X-Forwarded-Host`.
    pub forwarded_host: Field<'a>,
    /// `X-Forwarded-Uri`.
    pub forwarded_uri: Field<'a>,
    /// `X-Original-URI`.
    pub original_uri: Field<'a>,
    /// `X-Original-URL`.
    pub original_url: Field<'a>,
    /// `X-Forwarded-For`, the last one: a list may stand in several.
    pub forwarded_for: &'a [u8],
    /// `X-Real-IP`.
    pub real_ip: Field<'a>,
}

/// A head that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head<'a> {
    /// As sent; case matters.
    pub method: &'a str,
    /// As in the request line.
    pub target: &'a str,
    /// The connection ends with this request.
    pub close: bool,
    /// Waits for `100 Continue` before it sends its body.
    pub expects: bool,
    /// How long the body is.
    pub framing: Framing,
    /// `Content-Type`.
    pub content_type: Field<'a>,
    /// For authorization.
    pub told: Told<'a>,
}

/// Where the head at the start of `input` ends, behind its empty line; `None` until it has arrived. `seen`: the bytes that an earlier look has seen, from which
/// this one goes on. Empty lines before it are not for here.
pub fn end(input: &[u8], seen: &mut usize) -> Result<Option<usize>, Refusal> {
    let within = &input[..input.len().min(HEAD_BYTES_MAX)];
    while let Some(found) = memchr(b'\n', &within[*seen..]) {
        let newline = *seen + found;
        if newline == 0 || within[newline - 1] != b'\r' {
            return Err(Refusal::bad("a line ends without CR"));
        }
        *seen = newline + 1;
        if newline >= 3 && within[newline - 3..newline] == *b"\r\n\r" {
            return Ok(Some(newline + 1));
        }
    }
    *seen = within.len();
    if within.len() == HEAD_BYTES_MAX {
        return Err(Refusal { status: 431, why: "the head is too long" });
    }
    Ok(None)
}

/// Reads a whole head, as `end` found it.
pub fn read(head: &[u8]) -> Result<Head<'_>, Refusal> {
    let mut fields = [const { MaybeUninit::uninit() }; FIELDS_MAX];
    let mut request = httparse::Request::new(&mut []);
    match request.parse_with_uninit_headers(head, &mut fields) {
        Ok(httparse::Status::Complete(bytes)) if bytes == head.len() => {}
        Ok(_) => return Err(Refusal::bad("the head ends early")),
        Err(httparse::Error::TooManyHeaders) => return Err(Refusal { status: 431, why: "too many fields" }),
        Err(httparse::Error::Version) => return Err(Refusal { status: 505, why: "only HTTP/1.1 and 1.0" }),
        Err(_) => return Err(Refusal::bad("this is no HTTP request")),
    }
    let (method, target) = (request.method.unwrap_or_default(), request.path.unwrap_or_default());
    if method == "CONNECT" || !(target.starts_with('/') || target == "*") {
        return Err(Refusal::bad("a target is a path"));
    }
    let modern = request.version == Some(1);
    let mut noted = Noted::default();
    for field in request.headers.iter() {
        noted.note(field.name.as_bytes(), field.value)?;
    }
    if noted.told.host == Field::Many || (modern && noted.hosts != 1) {
        return Err(Refusal::bad("Host must be there, once"));
    }
    Ok(Head {
        method,
        target,
        close: noted.closes || (!modern && !noted.keeps),
        expects: noted.expects && modern,
        framing: noted.framing(modern)?,
        content_type: noted.content_type,
        told: noted.told,
    })
}

/// What was seen so far.
#[derive(Default)]
struct Noted<'a> {
    told: Told<'a>,
    hosts: u32,
    closes: bool,
    keeps: bool,
    expects: bool,
    content_type: Field<'a>,
    length: Option<usize>,
    chunked: bool,
}

impl<'a> Noted<'a> {
    /// By length first: most fields are none of ours, and that is seen without reading them.
    fn note(&mut self, name: &[u8], value: &'a [u8]) -> Result<(), Refusal> {
        let is = |wanted: &str| name.eq_ignore_ascii_case(wanted.as_bytes());
        match name.len() {
            4 if is("host") => {
                self.hosts += 1;
                self.told.host.note(value);
            }
            6 if is("expect") => {
                if !value.eq_ignore_ascii_case(b"100-continue") {
                    return Err(Refusal { status: 417, why: "Expect can be 100-continue only" });
                }
                self.expects = true;
            }
            9 if is("x-real-ip") => self.told.real_ip.note(value),
            10 if is("connection") => self.connection(value),
            12 if is("content-type") => self.content_type.note(value),
            14 if is("content-length") => self.length(value)?,
            14 if is("x-original-uri") => self.told.original_uri.note(value),
            14 if is("x-original-url") => self.told.original_url.note(value),
            15 if is("x-forwarded-uri") => self.told.forwarded_uri.note(value),
            15 if is("x-forwarded-for") => self.told.forwarded_for = value,
            16 if is("x-forwarded-host") => self.told.forwarded_host.note(value),
            17 if is("transfer-encoding") => {
                if self.chunked || !value.eq_ignore_ascii_case(b"chunked") {
                    return Err(Refusal { status: 501, why: "Transfer-Encoding can be chunked only" });
                }
                self.chunked = true;
            }
            _ => {}
        }
        Ok(())
    }

    fn connection(&mut self, value: &[u8]) {
        for option in value.split(|byte| *byte == b',') {
            let option = option.trim_ascii();
            self.closes |= option.eq_ignore_ascii_case(b"close");
            self.keeps |= option.eq_ignore_ascii_case(b"keep-alive");
        }
    }

    fn length(&mut self, value: &[u8]) -> Result<(), Refusal> {
        if self.length.is_some() {
            return Err(Refusal::bad("Content-Length twice"));
        }
        if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
            return Err(Refusal::bad("Content-Length is no number"));
        }
        let digits = str::from_utf8(value).unwrap_or_default();
        self.length = Some(digits.parse().map_err(|_| Refusal { status: 413, why: "the body is too long" })?);
        Ok(())
    }

    fn framing(&self, modern: bool) -> Result<Framing, Refusal> {
        match (self.length, self.chunked) {
            (Some(_), true) => Err(Refusal::bad("Content-Length beside Transfer-Encoding")),
            (None, true) if !modern => Err(Refusal::bad("Transfer-Encoding in HTTP/1.0")),
            (None, true) => Ok(Framing::Chunked),
            (length, false) => Ok(Framing::Length(length.unwrap_or(0))),
        }
    }
}

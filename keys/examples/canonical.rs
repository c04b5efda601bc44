//! `canonical url|host < lines > lines`: the canonical text of each line, an empty line where there is none.
//!
//! The trainer of models reads its corpora through this, so that a model learns from the very bytes it will be asked about.
#![forbid(unsafe_code)]

use std::io::{BufRead, BufWriter, Write};
use verdict_keys::Canonicalizer;

fn main() -> std::io::Result<()> {
    let hosts = match std::env::args().nth(1).as_deref() {
        Some("host") => true,
        Some("url") => false,
        _ => return Err(std::io::Error::other("usage: canonical url|host < lines > lines")),
    };
    let mut canonicalizer = Canonicalizer::new();
    let mut out = BufWriter::new(std::io::stdout().lock());
    for line in std::io::stdin().lock().split(b'\n') {
        let line = line?;
        if hosts {
            out.write_all(canonicalizer.host(&line).map_or("", |(_, text)| text).as_bytes())?;
        } else if let Ok(url) = canonicalizer.url(&line) {
            out.write_all(url.host_text.as_bytes())?;
            out.write_all(url.path_query.as_bytes())?;
        }
        out.write_all(b"\n")?;
    }
    out.flush()
}

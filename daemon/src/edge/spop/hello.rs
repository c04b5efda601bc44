//! HELLO and DISCONNECT: what is agreed at the start, and how it ends.
//!
//! ```text
//!  HAProxy ─► supported-versions "2.0" │ max-frame-size │ capabilities "pipelining,async" │ healthcheck? │ engine-id?
//!        ◄─── version "2.0"            │ max-frame-size, the smaller of both │ capabilities "pipelining", if HAProxy has it
//! ```
//! `engine-id` and `capabilities` may be missing, and what HAProxy may say later is skipped.

use super::data::{Reader, Value, put_text, put_value};
use super::frame::{AGENT_DISCONNECT, AGENT_HELLO, FRAME_BYTES_MIN, Status, begin, finish};

/// What HAProxy said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hello {
    /// Of its frames and ours, without their length.
    pub frame_bytes_max: usize,
    /// It takes answers in any order.
    pub pipelining: bool,
    /// It only wants to know whether somebody is there.
    pub healthcheck: bool,
}

impl Hello {
    /// Of the payload of HAPROXY-HELLO, by an agent that takes frames of `own_bytes_max`.
    ///
    /// # Errors
    /// Why there is nothing to agree upon.
    pub fn read(payload: &[u8], own_bytes_max: usize) -> Result<Self, Status> {
        let (mut version, mut frame_bytes) = (None, None);
        let mut hello = Hello { frame_bytes_max: 0, pipelining: false, healthcheck: false };
        let mut reader = Reader::new(payload);
        while !reader.is_empty() {
            let (Some(name), Some(value)) = (reader.text(), reader.value()) else { return Err(Status::Invalid) };
            match (name, value) {
                (b"supported-versions", Value::Text(versions)) => version = Some(list(versions).any(|version| version.starts_with(b"2."))),
                (b"max-frame-size", Value::Number(bytes)) => frame_bytes = Some(usize::try_from(bytes).unwrap_or(usize::MAX)),
                (b"capabilities", Value::Text(names)) => hello.pipelining = list(names).any(|name| name == b"pipelining"),
                (b"healthcheck", Value::Bool(flag)) => hello.healthcheck = flag,
                _ => {}
            }
        }
        if !version.ok_or(Status::NoVersion)? {
            return Err(Status::BadVersion);
        }
        hello.frame_bytes_max = frame_bytes.ok_or(Status::NoFrameSize)?.min(own_bytes_max);
        if hello.frame_bytes_max < FRAME_BYTES_MIN {
            return Err(Status::BadFrameSize);
        }
        Ok(hello)
    }

    /// Appends AGENT-HELLO.
    pub fn answer(&self, out: &mut Vec<u8>) {
        let start = begin(out, AGENT_HELLO, 0, 0);
        put_text(out, b"version");
        put_value(out, Value::Text(b"2.0"));
        put_text(out, b"max-frame-size");
        put_value(out, Value::Number(self.frame_bytes_max as u64));
        put_text(out, b"capabilities");
        put_value(out, Value::Text(if self.pipelining { b"pipelining" } else { b"" }));
        finish(out, start);
    }
}

/// Appends AGENT-DISCONNECT.
pub fn disconnect(out: &mut Vec<u8>, status: Status) {
    let start = begin(out, AGENT_DISCONNECT, 0, 0);
    put_text(out, b"status-code");
    put_value(out, Value::Number(status as u64));
    put_text(out, b"message");
    put_value(out, Value::Text(status.message().as_bytes()));
    finish(out, start);
}

/// `a, b,c`.
fn list(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|byte| *byte == b',').map(<[u8]>::trim_ascii)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payload(pairs: &[(&str, Value<'_>)]) -> Vec<u8> {
        let mut out = Vec::new();
        for (name, value) in pairs {
            put_text(&mut out, name.as_bytes());
            put_value(&mut out, *value);
        }
        out
    }

    const VERSIONS: (&str, Value<'_>) = ("supported-versions", Value::Text(b"2.0"));
    const SIZE: (&str, Value<'_>) = ("max-frame-size", Value::Number(16_380));

    #[test]
    fn agrees_upon_the_smaller_frame_and_upon_pipelining_where_haproxy_has_it() {
        let hello = Hello::read(&payload(&[VERSIONS, SIZE, ("capabilities", Value::Text(b"async, pipelining"))]), 65_536);
        assert_eq!(hello, Ok(Hello { frame_bytes_max: 16_380, pipelining: true, healthcheck: false }));
        let hello = Hello::read(&payload(&[VERSIONS, SIZE, ("healthcheck", Value::Bool(true)), ("x", Value::Null)]), 1000);
        assert_eq!(hello, Ok(Hello { frame_bytes_max: 1000, pipelining: false, healthcheck: true }));
    }

    #[test]
    fn says_what_is_missing() {
        let check = |pairs: &[_], status| assert_eq!(Hello::read(&payload(pairs), 65_536), Err(status));
        check(&[SIZE], Status::NoVersion);
        check(&[("supported-versions", Value::Text(b"1.0")), SIZE], Status::BadVersion);
        check(&[VERSIONS], Status::NoFrameSize);
        check(&[VERSIONS, ("max-frame-size", Value::Number(255))], Status::BadFrameSize);
        assert_eq!(Hello::read(b"\x05abc", 65_536), Err(Status::Invalid));
    }
}

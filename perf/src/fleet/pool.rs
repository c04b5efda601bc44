//! Requests encoded before the run, and what each of their keys must be answered.
//!
//! ```text
//! bytes     │ request 0 │ request 1 │ ...        one memory, cut by (at, bytes)
//! expected  │ b b b ... │ b b b ... │ ...        one byte a key, or none at all where nobody foretold the answers
//! ```
//! The byte is the first of an answer (status and class) for the daemon; for a cache 0 says that the key is not there.

/// Requests, used in turn.
#[derive(Clone, Debug, Default)]
pub struct Pool {
    bytes: Vec<u8>,
    expected: Vec<u8>,
    requests: Vec<Request>,
}

#[derive(Clone, Copy, Debug)]
struct Request {
    at: usize,
    bytes: usize,
    keys: u32,
    expected_at: usize,
}

impl Pool {
    /// Appends what `encode` writes: one request of `keys` keys, whose answers nobody foretells.
    pub fn push(&mut self, keys: usize, encode: impl FnOnce(&mut Vec<u8>)) {
        let at = self.bytes.len();
        encode(&mut self.bytes);
        let expected_at = self.expected.len();
        self.requests.push(Request { at, bytes: self.bytes.len() - at, keys: keys as u32, expected_at });
    }

    /// The same with the answer of each key. All requests of a pool are pushed the one way or the other.
    pub fn push_expecting(&mut self, expected: &[u8], encode: impl FnOnce(&mut Vec<u8>)) {
        self.push(expected.len(), encode);
        self.expected.extend_from_slice(expected);
    }

    /// How many requests.
    pub fn len(&self) -> usize {
        self.requests.len()
    }

    /// None at all?
    pub fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }

    /// Mean keys of a request.
    pub fn keys_per_request(&self) -> f64 {
        self.requests.iter().map(|request| f64::from(request.keys)).sum::<f64>() / self.requests.len().max(1) as f64
    }

    /// Mean bytes of a request.
    pub fn bytes_per_request(&self) -> f64 {
        self.bytes.len() as f64 / self.requests.len().max(1) as f64
    }

    /// One request as it is sent, and how many keys it holds.
    pub fn request(&self, index: usize) -> (&[u8], u32) {
        let request = self.requests[index];
        (&self.bytes[request.at..request.at + request.bytes], request.keys)
    }

    /// What its keys must be answered; empty where nobody foretold it.
    pub(super) fn expected(&self, index: usize) -> &[u8] {
        let request = self.requests[index];
        self.expected.get(request.expected_at..request.expected_at + request.keys as usize).unwrap_or_default()
    }
}

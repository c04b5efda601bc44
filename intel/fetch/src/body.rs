//! A body that is needed in memory: bounded as it comes, and as what it unpacks to.

use crate::Error;
use flate2::read::MultiGzDecoder;
use reqwest::Response;
use std::io::Read;

/// The body without its transfer's gzip, and how many bytes came; at most `bytes_max` of either.
pub async fn whole(response: &mut Response, bytes_max: u64) -> Result<(Vec<u8>, u64), Error> {
    let mut body = Vec::new();
    while let Some(bytes) = response.chunk().await? {
        body.extend_from_slice(&bytes);
        if body.len() as u64 > bytes_max {
            return Err(Error::TooLarge(bytes_max));
        }
    }
    let came = body.len() as u64;
    if !body.starts_with(&[0x1f, 0x8b]) {
        return Ok((body, came));
    }
    let mut plain = Vec::new();
    let unpacked = MultiGzDecoder::new(body.as_slice()).take(bytes_max + 1).read_to_end(&mut plain);
    unpacked.map_err(|error| Error::NotAFeed(format!("its gzip is damaged: {error}")))?;
    if plain.len() as u64 > bytes_max { Err(Error::TooLarge(bytes_max)) } else { Ok((plain, came)) }
}

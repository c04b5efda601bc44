//! Decodes a frame and encodes what it said; shared by the fuzz targets and the tests.

use verdict_wire::{
    ClientHello, DescriptionsWriter, ErrorCode, FileQuestion, FilesWriter, Frame, LookupWriter, Reply, Request, encode_answers,
    encode_describe, encode_error, encode_explain, encode_explanation, encode_hello, encode_hello_reply, encode_lookup_hashed, encode_ping,
    encode_pong,
};

/// The request in `frame`, written again; `None` if it is refused.
pub fn request_again(frame: &Frame<'_>) -> Option<Vec<u8>> {
    let id = frame.header.request_id;
    let mut out = vec![0xEE; 3]; // encoders append, and need no alignment
    match frame.request().ok()? {
        Request::Hello(ClientHello { version_min, version_max, name }) => {
            encode_hello(&mut out, id, &ClientHello { version_min, version_max, name })
        }
        Request::Lookup(mut keys) => {
            let mut writer = LookupWriter::new(&mut out, id).budget_us(keys.budget_us());
            keys.try_for_each(|(kind, key)| writer.push(kind, key)).ok()?;
            writer.finish().map(drop)
        }
        Request::LookupHashed(lookup) => {
            // 0 names no generation, so such keys are never handed out.
            let keys: Vec<_> = lookup.keys(lookup.generation()).ok()?.collect();
            encode_lookup_hashed(&mut out, id, lookup.generation(), &keys, lookup.place())
        }
        Request::LookupFiles(files) => {
            let mut writer = FilesWriter::new(&mut out, id).budget_us(files.budget_us());
            for file in files {
                let count = file.values.len();
                let values: Vec<i64> = file.values.collect();
                assert_eq!(values.len(), count, "values run out with their number");
                writer.push(&FileQuestion { sha256: *file.sha256, features: file.features, values: &values }).expect("it was in a frame");
            }
            writer.finish().map(drop)
        }
        Request::Describe(describe) => {
            let ids: Vec<_> = describe.ids(describe.generation()).ok()?.collect();
            encode_describe(&mut out, id, describe.generation(), &ids)
        }
        Request::Explain { kind, key } => encode_explain(&mut out, id, kind, key),
        Request::Ping(payload) => encode_ping(&mut out, id, payload),
    }
    .expect("what was decoded can be encoded");
    Some(out.split_off(3))
}

/// The reply in `frame`, written again; `None` if it is malformed or has a code that only a newer server knows.
pub fn reply_again(frame: &Frame<'_>) -> Option<Vec<u8>> {
    let id = frame.header.request_id;
    let mut out = vec![0xEE; 3];
    match frame.reply().ok()? {
        Reply::Hello(hello) => encode_hello_reply(&mut out, id, &hello),
        Reply::Answers(list) => encode_answers(&mut out, id, list.generation, list.answers),
        Reply::Descriptions(list) => {
            let mut writer = DescriptionsWriter::new(&mut out, id, list.generation, list.len());
            for (description, sources) in list {
                writer.push(description, sources);
            }
        }
        Reply::Explanation(explanation) => encode_explanation(&mut out, id, &explanation),
        Reply::Pong(pong) => encode_pong(&mut out, id, pong.generation, pong.payload),
        Reply::Error(error) => {
            let code = ErrorCode::from_raw(error.code_raw)?;
            encode_error(&mut out, id, error.generation, code, error.detail, error.message, error.closing);
        }
    }
    Some(out.split_off(3))
}

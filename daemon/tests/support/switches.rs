//! What an operator switches off and on, over the real control socket.

use std::io::Write;
use std::os::unix::net::UnixStream;
use verdict_wire as wire;
use verdictd::config::Config;
use wire::{Act, ActRequest, Outcome, TOLD_BYTES_MAX, Told};

/// One act, what came of it, and the entries that came before it.
pub fn act(config: &Config, act: Act, part: &str) -> (Outcome, String, Vec<String>) {
    let mut stream = UnixStream::connect(&config.listen.control).unwrap();
    let reason = if act == Act::Switches { "" } else { "a test" };
    let mut message = Vec::new();
    ActRequest { act, kind: None, class: wire::Class::Unknown, ttl_s: 0, key: part.as_bytes(), reason }.encode(&mut message);
    stream.write_all(&message).unwrap();
    let mut entries = Vec::new();
    loop {
        let message = wire::read_message(&mut stream, TOLD_BYTES_MAX).unwrap();
        let told = Told::decode(&message).unwrap();
        if told.outcome != Outcome::Entry {
            return (told.outcome, told.text.to_owned(), entries);
        }
        assert_eq!((told.text, u32::from_le_bytes(told.head.pid)), ("a test", std::process::id()));
        entries.push(format!("{} {}", Act::from_raw(told.head.act).unwrap().name(), String::from_utf8_lossy(told.key)));
    }
}

pub fn done(config: &Config, which: Act, part: &str) -> String {
    let (outcome, text, _) = act(config, which, part);
    assert_eq!(outcome, Outcome::Done, "{} {part}: {text}", which.name());
    text
}

pub fn not_done(config: &Config, which: Act, part: &str, expected: Outcome, why: &str) {
    let (outcome, text, _) = act(config, which, part);
    assert!(outcome == expected && text.contains(why), "{} {part}: {outcome}, {text}", which.name());
}

pub fn listed(config: &Config) -> Vec<String> {
    act(config, Act::Switches, "").2
}

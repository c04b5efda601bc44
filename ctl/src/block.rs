//! `verdictctl block KEY` and `verdictctl unblock KEY`: an operator's word over whatever the snapshot says, at once and for a while.
//!
//! It returns when the daemon has it on disk and every shard answers by it; exit status 0 means enforced.

use crate::answer::write_json;
use crate::control::{Control, Done, request};
use crate::exit::{Failure, Outcome};
use crate::question::{KindChoice, Question};
use crate::text;
use std::ffi::OsString;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;
use verdict_wire::{Act, Class, KEY_BYTES_MAX, REASON_BYTES_MAX, TTL_S_MAX};

/// What both have.
#[derive(Debug, clap::Args)]
pub struct ActArguments {
    /// URL, host, IPv4 or IPv6 address, SHA-256, SHA-1 or MD5: exactly that, nothing below it
    key: OsString,
    /// For how long: 30m, 2h, at most 24h
    #[arg(long, value_name = "TIME", value_parser = parse_ttl)]
    ttl: u32,
    /// Why, for whoever asks later: one line, at most 128 bytes
    #[arg(long, value_name = "TEXT", value_parser = parse_reason)]
    reason: String,
    /// Take the key as this kind instead of by its look
    #[arg(long, value_enum, default_value_t = KindChoice::Auto)]
    kind: KindChoice,
    /// One JSON document
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    control: Control,
}

/// Block a URL, host, address or file on this node, at once and for a while
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  verdictctl block http://files.example.test/dropper.exe --ttl 2h --reason 'ticket 4711: dropper'
  verdictctl block --class suspicious 192.0.2.7 --ttl 30m --reason 'odd traffic'

It is enforced, and on disk, when the command returns. A host stands for itself and every URL on it, not for names below it; a URL without a query
for every query. An unblock that covers the key beats it, so then the block is refused.

Exit status: 0 enforced; 3 the daemon refuses it; 69 the daemon cannot be reached; 75 it could not be written down.")]
pub struct BlockArguments {
    /// What to answer
    #[arg(long, value_enum, default_value_t = ClassChoice::Malicious)]
    class: ClassChoice,
    #[command(flatten)]
    act: ActArguments,
}

/// Let a URL, host, address or file through on this node, whatever else says otherwise, at once and for a while
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  verdictctl unblock www.example.test --ttl 4h --reason 'false alarm, ticket 4712'
  verdictctl unblock 44d88612fea8a8f36de82e1278abb02f --ttl 24h --reason 'our own test file'

It beats every rule of the snapshot, overrides too, and every block; it takes the place of a block of the same key. A host stands for itself and every
URL on it, not for names below it.

Exit status: 0 enforced; 3 the daemon refuses it; 69 the daemon cannot be reached; 75 it could not be written down.")]
pub struct UnblockArguments {
    #[command(flatten)]
    act: ActArguments,
}

/// What a block may answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum ClassChoice {
    Malicious,
    Suspicious,
}

fn parse_ttl(given: &str) -> Result<u32, String> {
    let split = given.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(given.len());
    let unit = match &given[split..] {
        "s" | "" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return Err("a time is a number and s, m, h or d: 90s, 30m, 2h".to_owned()),
    };
    let seconds = given[..split].parse::<u64>().ok().and_then(|number| number.checked_mul(unit)).filter(|seconds| *seconds > 0);
    let seconds = seconds.ok_or("a time is a number and s, m, h or d: 90s, 30m, 2h")?;
    let limit = || format!("at most {} h: what should hold for longer belongs into a feed", TTL_S_MAX / 3600);
    u32::try_from(seconds).ok().filter(|seconds| *seconds <= TTL_S_MAX).ok_or_else(limit)
}

/// As the daemon takes it.
pub fn parse_reason(given: &str) -> Result<String, String> {
    match given {
        _ if given.trim().is_empty() => Err("a reason must say something".to_owned()),
        _ if given.len() > REASON_BYTES_MAX => Err(format!("{} bytes: at most {REASON_BYTES_MAX} are kept", given.len())),
        _ if given.chars().any(char::is_control) => Err("a reason is one line without control characters".to_owned()),
        _ => Ok(given.to_owned()),
    }
}

/// A key that fits into a message.
pub fn question(typed: &OsString, kind: KindChoice) -> Result<Question, Failure> {
    let question = Question::new(typed.as_bytes(), kind)?;
    match question.unparseable() {
        Some(why) => Err(Failure::Data(format!("`{}` is no key: {why}", question.visible()))),
        None if question.key.len() > KEY_BYTES_MAX => Err(Failure::Data(format!("a key of more than {KEY_BYTES_MAX} bytes"))),
        None => Ok(question),
    }
}

/// Blocks and tells.
pub fn block(arguments: &BlockArguments, out: &mut dyn Write) -> Result<Outcome, Failure> {
    let class = match arguments.class {
        ClassChoice::Malicious => Class::Malicious,
        ClassChoice::Suspicious => Class::Suspicious,
    };
    act(Act::Block, class, &arguments.act, out)
}

/// Unblocks and tells.
pub fn unblock(arguments: &UnblockArguments, out: &mut dyn Write) -> Result<Outcome, Failure> {
    act(Act::Unblock, Class::Unknown, &arguments.act, out)
}

fn act(act: Act, class: Class, arguments: &ActArguments, out: &mut dyn Write) -> Result<Outcome, Failure> {
    let question = question(&arguments.key, arguments.kind)?;
    let done = arguments.control.act(&request(act, class, &question, arguments.ttl, &arguments.reason), |_| ())?;
    tell(&done, arguments.json, out)
}

/// What was done, and how fast.
pub fn tell(done: &Done, json: bool, out: &mut dyn Write) -> Result<Outcome, Failure> {
    if json {
        write_json(out, done)?;
    } else {
        writeln!(out, "{}", done.text)?;
        let took = text::duration(Duration::from_micros(done.took_us.into()));
        writeln!(out, "enforced by every shard after {took}; {} in force", text::counted(done.entries as usize, "act"))?;
    }
    Ok(Outcome::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_a_unit_and_a_bound() {
        for (given, seconds) in [("90", 90), ("90s", 90), ("30m", 1800), ("2h", 7200), ("24h", 86_400), ("1d", 86_400)] {
            assert_eq!(parse_ttl(given), Ok(seconds), "{given}");
        }
        for given in ["", "0", "0h", "h", "2 h", "-1h", "2w", "99999999999999999999h"] {
            assert!(parse_ttl(given).unwrap_err().starts_with("a time is"), "{given}");
        }
        for given in ["25h", "2d", "86401", "99999999999h"] {
            assert!(parse_ttl(given).unwrap_err().starts_with("at most 24 h"), "{given}");
        }
    }

    #[test]
    fn a_reason_is_a_line_of_some_words() {
        assert_eq!(parse_reason("ticket 7, größer"), Ok("ticket 7, größer".to_owned()));
        for odd in ["", "  ", "a\nb", "a\x1b[2J", &"x".repeat(129)] {
            assert!(parse_reason(odd).is_err(), "{odd:?}");
        }
    }
}

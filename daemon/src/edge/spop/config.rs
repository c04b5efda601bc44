//! Section `[spop]`: which arguments of HAProxy's messages are keys, and which variables it gets.
//!
//! ```toml
//! [listen]
//! spop = ["127.0.0.1:7703"]
//!
//! [spop]
//! arguments = { url = "url", host = "host", src = "address" }
//!
//! [[spop.message]]
//! name = "upload"
//! arguments = { body = "sha256" }
//! ```

use super::frame::FRAME_BYTES_MIN;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The longest name of an argument or message.
const NAME_BYTES_MAX: usize = 64;
/// Of one message.
const ARGUMENTS_MAX: usize = 32;
/// With arguments of their own.
const MESSAGES_MAX: usize = 7;
/// The most that `frame_bytes_max` may be.
pub const FRAME_BYTES_MOST: usize = 64 * 1024;

/// What HAProxy is told, and how its messages are understood.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SpopConfig {
    /// Bytes of one frame, either way; HAProxy offers `tune.bufsize` less 4, and the smaller holds. Default 16384, at most 65536: so much may lie in each
    /// connection while its frame is incomplete.
    pub frame_bytes_max: usize,
    /// Where variables are set: `proc`, `sess`, `txn`, `req` or `res`. Default `txn`; before a request is there (`event on-client-session`) it must be `sess`.
    pub scope: Scope,
    /// Microseconds that models may take, as in `models.budget_us`; 0 = as that says. Default 0.
    pub budget_us: u32,
    /// Arguments that are keys, of any message, and what they are; all others are passed over. A `url` that begins with a slash is completed by the `host`
    /// of its message, and a `host` beside a `url` is asked by no other way. Default url, host, src, sha256, sha1 and md5, each as it is called.
    pub arguments: BTreeMap<String, Argument>,
    /// Variables that are set. Default status, class, score, categories, source, generation and key.
    pub variables: Vec<Variable>,
    /// Messages that are understood otherwise, by name; at most 7.
    pub message: Vec<MessageConfig>,
}

/// One of `[[spop.message]]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MessageConfig {
    /// As in `spoe-message`.
    pub name: String,
    /// Default: as `spop.scope`.
    #[serde(default)]
    pub scope: Option<Scope>,
    /// In place of `spop.arguments`.
    pub arguments: BTreeMap<String, Argument>,
}

/// What an argument is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Argument {
    /// Text of a URL, or from its path on.
    Url,
    /// Text of a host, perhaps with a port.
    Host,
    /// An address, typed or as text.
    Address,
    /// A digest, as bytes or in hexadecimal.
    Sha256,
    /// Likewise.
    Sha1,
    /// Likewise.
    Md5,
}

/// Which of HAProxy's variables live for how long.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum Scope {
    /// The process.
    Proc = 0,
    /// The client's connection.
    Sess = 1,
    /// Request and response.
    #[default]
    Txn = 2,
    /// The request.
    Req = 3,
    /// The response.
    Res = 4,
}

/// What can be told; each is a variable of that name, behind `option var-prefix`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Variable {
    /// Text: `ok`, or the worst of `none` (no argument was a key), `unparseable`, `unsupported`, `overloaded`, `error`.
    Status,
    /// Text: `unknown`, `clean`, `suspicious` or `malicious`, of the key that is worst; unset where no key was judged.
    Class,
    /// Number: 0 to 100.
    Score,
    /// Text: `malware,phishing`.
    Categories,
    /// Text: the first source of that verdict; `operator` for what was blocked by hand.
    Source,
    /// Text: the generation that answered, 16 hexadecimal digits.
    Generation,
    /// Text: the argument of that verdict.
    Key,
    /// Text: the kind of its rule, such as `host-below`.
    Rule,
    /// Number: seconds for which that verdict may be kept.
    Ttl,
    /// Text: `stale,from-model`.
    Flags,
    /// Text: all sources of that verdict, with commas, as many as 239 bytes hold.
    Sources,
    /// For each key `url_class`, `url_score`, by the name of its argument.
    Each,
}

impl Variable {
    /// As HAProxy calls it.
    pub const fn name(self) -> &'static str {
        match self {
            Variable::Status => "status",
            Variable::Class => "class",
            Variable::Score => "score",
            Variable::Categories => "categories",
            Variable::Source => "source",
            Variable::Generation => "generation",
            Variable::Key => "key",
            Variable::Rule => "rule",
            Variable::Ttl => "ttl",
            Variable::Flags => "flags",
            Variable::Sources => "sources",
            Variable::Each => "each",
        }
    }
}

impl Default for SpopConfig {
    fn default() -> Self {
        use Argument::{Address, Host, Md5, Sha1, Sha256, Url};
        let arguments = [("url", Url), ("host", Host), ("src", Address), ("sha256", Sha256), ("sha1", Sha1), ("md5", Md5)];
        use Variable::{Categories, Class, Generation, Key, Score, Source, Status};
        SpopConfig {
            frame_bytes_max: 16 * 1024,
            scope: Scope::Txn,
            budget_us: 0,
            arguments: arguments.map(|(name, kind)| (name.to_owned(), kind)).into(),
            variables: vec![Status, Class, Score, Categories, Source, Generation, Key],
            message: Vec::new(),
        }
    }
}

impl SpopConfig {
    /// What is wrong with it, all of it.
    pub fn check(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        if !(FRAME_BYTES_MIN..=FRAME_BYTES_MOST).contains(&self.frame_bytes_max) {
            wrong.push(format!("spop.frame_bytes_max = {} is not within {FRAME_BYTES_MIN}..={FRAME_BYTES_MOST}", self.frame_bytes_max));
        }
        if self.message.len() > MESSAGES_MAX {
            wrong.push(format!("spop.message: {} of them, and {MESSAGES_MAX} is the most", self.message.len()));
        }
        check_arguments("spop.arguments", &self.arguments, &mut wrong);
        for (place, message) in self.message.iter().enumerate() {
            check_name(&format!("spop.message[{place}].name"), &message.name, &mut wrong);
            check_arguments(&format!("spop.message[{place}].arguments"), &message.arguments, &mut wrong);
            if self.message[..place].iter().any(|before| before.name == message.name) {
                wrong.push(format!("spop.message[{place}].name = {:?} is there twice", message.name));
            }
        }
        wrong
    }
}

fn check_arguments(key: &str, arguments: &BTreeMap<String, Argument>, wrong: &mut Vec<String>) {
    if arguments.len() > ARGUMENTS_MAX {
        wrong.push(format!("{key}: {} of them, and {ARGUMENTS_MAX} is the most", arguments.len()));
    }
    for name in arguments.keys() {
        check_name(key, name, wrong);
    }
}

/// Names become parts of HAProxy's variables.
fn check_name(key: &str, name: &str, wrong: &mut Vec<String>) {
    let sound = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
    if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.bytes().all(sound) {
        wrong.push(format!("{key}: {name:?} is not a name of 1 to {NAME_BYTES_MAX} letters, digits, '_', '.' and '-'"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_header_shows_and_names_all_that_is_wrong() {
        let text = "arguments = { url = \"url\", src = \"address\" }\n[[message]]\nname = \"upload\"\nscope = \"sess\"\narguments = { body = \"sha256\" }";
        let config: SpopConfig = toml::from_str(text).unwrap();
        assert_eq!((config.check(), config.message[0].scope), (vec![], Some(Scope::Sess)));
        assert_eq!(SpopConfig::default().check(), Vec::<String>::new());
        let text = "frame_bytes_max = 255\narguments = { \"a b\" = \"url\" }\n[[message]]\nname = \"\"\narguments = {}";
        let wrong = toml::from_str::<SpopConfig>(text).unwrap().check().join("\n");
        assert!(["frame_bytes_max = 255", "\"a b\"", "message[0].name"].iter().all(|part| wrong.contains(part)), "{wrong}");
        assert!(toml::from_str::<SpopConfig>("arguments = { a = \"verdict\" }").is_err());
    }
}

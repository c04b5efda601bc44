//! The subcommands that ask a daemon, against a daemon of a few lines.

use crate::fake::{Book, daemon, file, verdictctl, verdictctl_reading};
use serde_json::Value;
use verdict_wire::ErrorCode;

fn json_lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).expect("a JSON document a line")).collect()
}

/// Times differ from run to run, and the width of their column with them.
fn without_times(text: &str) -> String {
    let is_time = |word: &str| word.parse::<f64>().is_ok();
    let mut lines = Vec::new();
    for line in text.lines() {
        let (rest, unit) = line.rsplit_once(' ').unwrap_or((line, ""));
        let timed = matches!(unit, "ns" | "µs" | "ms" | "s").then(|| rest.rsplit_once(' ')).flatten();
        lines.push(match timed {
            Some((rest, word)) if is_time(word) => format!("{} TIME", rest.trim_end()),
            _ => line.strip_suffix("TIME").map_or(line.to_owned(), |rest| format!("{} TIME", rest.trim_end())),
        });
    }
    lines.join("\n")
}

#[test]
fn lookup_prints_what_why_and_from_which_generation() {
    let address = daemon(Book::sample()).to_string();
    let keys = ["http://bad.test/dropper.exe", "evil.test", "192.0.2.7", "nothing.test"];
    let ran = verdictctl(&[&["lookup", "--connect", &address][..], &keys].concat());
    assert_eq!(ran.stderr, "");
    assert_eq!(
        without_times(&ran.stdout),
        "\
KEY                          KIND  ANSWER     SCORE  CATEGORIES  FLAGS  ID  WHY
http://bad.test/dropper.exe  url   malicious     90  malware     -       1  URL rule of sample-urls, second-urls
evil.test                    host  malicious     90  malware     -       2  host rule with subdomains of sample-hosts
192.0.2.7                    ipv4  malicious     90  malware     -       5  address rule of sample-nets
nothing.test                 host  unknown        0  -           -       -  no rule matches
4 keys, generation 0123456789abcdef, TIME"
    );
    assert_eq!(ran.status, 1);
}

#[test]
fn lookup_exits_like_grep() {
    let address = daemon(Book::sample()).to_string();
    let status = |keys: &[&str]| verdictctl(&[&["lookup", "--connect", &address][..], keys].concat()).status;
    assert_eq!(status(&["good.test", "nothing.test"]), 0);
    assert_eq!(status(&["good.test", "maybe.test"]), 1);
    assert_eq!(status(&["a]b"]), 65);
    assert_eq!(status(&["busy.test", "a]b"]), 75);
    assert_eq!(status(&["busy.test", "evil.test"]), 1);
}

#[test]
fn lookup_json_is_stable() {
    let address = daemon(Book::sample()).to_string();
    let ran = verdictctl(&["lookup", "--json", "--connect", &address, "http://bad.test/dropper.exe", "a]b"]);
    let mut lines = json_lines(&ran.stdout);
    for line in &mut lines {
        assert!(line["time_us"].as_f64().is_some_and(|time| time > 0.0));
        line["time_us"] = Value::from(0);
    }
    assert_eq!(
        lines[0],
        serde_json::json!({
            "question": "http://bad.test/dropper.exe", "kind": "url", "status": "ok", "class": "malicious", "score": 90,
            "categories": ["malware"], "flags": [], "verdict_id": 1, "generation": "0123456789abcdef", "time_us": 0,
            "record": {
                "rule": "url", "class": "malicious", "score": 90, "confidence": 80, "categories": ["malware"], "flags": [],
                "sources": ["sample-urls", "second-urls"], "sources_complete": true,
                "first_seen": "2025-03-01", "last_seen": "2025-04-21", "ttl_s": 3600,
            },
        })
    );
    assert_eq!(
        lines[1],
        serde_json::json!({
            "question": "a]b", "kind": "host", "status": "unparseable", "class": null, "score": 0, "categories": [], "flags": [],
            "verdict_id": 0, "generation": "0123456789abcdef", "time_us": 0, "record": null,
        })
    );
    assert_eq!(ran.status, 1);
}

#[test]
fn lookup_reads_keys_from_standard_input() {
    let address = daemon(Book::sample()).to_string();
    let input = b"evil.test\r\n\nnothing.test\n192.0.2.7";
    let ran = verdictctl_reading(&["lookup", "--json", "--connect", &address, "-"], input);
    let classes: Vec<Value> = json_lines(&ran.stdout).iter().map(|line| line["class"].clone()).collect();
    assert_eq!(classes, ["malicious", "unknown", "malicious"]);
    assert_eq!((ran.status, ran.stderr.as_str()), (1, ""));
}

#[test]
fn lookup_takes_any_number_of_lines_and_any_length() {
    let address = daemon(Book::sample()).to_string();
    let mut input = b"nothing.test\n".repeat(5_000);
    input.extend_from_slice(&b"x".repeat(100_000));
    input.extend_from_slice(b"\nevil.test\n");
    let ran = verdictctl_reading(&["lookup", "--json", "--connect", &address, "-"], &input);
    assert_eq!(ran.stderr, "");
    assert_eq!(json_lines(&ran.stdout).len(), 5_002);
    assert_eq!(ran.status, 1);
}

#[test]
fn lookup_names_the_line_of_a_bad_key() {
    let address = daemon(Book::sample()).to_string();
    let ran = verdictctl_reading(&["lookup", "--connect", &address, "-"], b"nothing.test\n192.0.2.0/24\n");
    assert_eq!(ran.status, 2);
    assert!(ran.stderr.contains("standard input, line 2: `192.0.2.0/24` is an address prefix"), "{}", ran.stderr);
    assert!(ran.stdout.contains("nothing.test"), "what came before is answered");
}

#[test]
fn lookup_shows_control_characters_and_obeys_none() {
    let address = daemon(Book::sample()).to_string();
    let ran = verdictctl(&["lookup", "--connect", &address, "maybe.test", "x\x1b[2J\n.test"]);
    assert!(!ran.stdout.contains('\x1b'), "{}", ran.stdout);
    assert!(ran.stdout.contains("x\\x1b[2J\\n.test"), "{}", ran.stdout);
    assert!(ran.stdout.contains("host rule of evil\\x1b[31mname"), "{}", ran.stdout);
}

#[test]
fn lookup_describes_each_record_once() {
    let address = daemon(Book::sample()).to_string();
    let ran = verdictctl(&["lookup", "--describe", "--connect", &address, "evil.test", "evil.test"]);
    let blocks: Vec<&str> = ran.stdout.split("\n\n").skip(1).collect();
    assert_eq!(
        blocks,
        ["\
verdict 2: malicious, score 90, confidence 80
  rule        host rule with subdomains
  sources     sample-hosts
  categories  malware
  flags       -
  seen        2025-03-01 to 2025-04-21
  keep for    3600 s
  generation  0123456789abcdef
"]
    );
}

#[test]
fn lookup_says_when_the_record_went_with_its_snapshot() {
    let address = daemon(Book { describe_is_stale: true, ..Book::sample() }).to_string();
    let ran = verdictctl(&["lookup", "--connect", &address, "evil.test"]);
    assert!(ran.stdout.contains("malicious") && ran.stdout.contains("its snapshot was replaced meanwhile"), "{}", ran.stdout);
    assert_eq!(ran.status, 1);
}

#[test]
fn ask_is_content_when_every_answer_is_as_expected() {
    let address = daemon(Book::sample()).to_string();
    let questions = "# a comment\n\nhttp://bad.test/dropper.exe\tmalicious\tlisted\nevil.test\tmalicious\ngood.test\tclean\tallowed\na]b\tunparseable\n";
    let ran = verdictctl(&["ask", &file("content.tsv", questions.as_bytes()), "--connect", &address]);
    assert_eq!(
        without_times(&ran.stdout),
        "    QUESTION                     ANSWER       EXPECTED     WHY TIME
ok  http://bad.test/dropper.exe  malicious    malicious    URL rule of sample-urls, second-urls TIME
ok  evil.test                    malicious    malicious    host rule with subdomains of sample-hosts TIME
ok  good.test                    clean        clean        host rule of allow TIME
ok  a]b                          unparseable  unparseable  a character that cannot be in a host TIME
4 questions, 4 as expected, generation 0123456789abcdef, in all TIME"
    );
    assert_eq!((ran.status, ran.stderr.as_str()), (0, ""));
}

#[test]
fn ask_marks_what_differs_and_says_where_it_was_expected() {
    let address = daemon(Book::sample()).to_string();
    let path = file("differs.tsv", b"evil.test\tclean\tthe operator allowed it\nnothing.test\tunknown\n");
    let ran = verdictctl(&["ask", &path, "--connect", &address]);
    assert!(ran.stdout.contains("\nDIFFERS  evil.test"), "{}", ran.stdout);
    assert!(ran.stdout.contains(&format!("{path}:1: evil.test: malicious, expected clean: the operator allowed it")), "{}", ran.stdout);
    assert!(ran.stdout.contains("2 questions, 1 as expected"), "{}", ran.stdout);
    assert_eq!(ran.status, 1);
    let ran = verdictctl(&["ask", &path, "--connect", &address, "--json"]);
    let document = &json_lines(&ran.stdout)[0];
    assert_eq!((document["asked"].as_u64(), document["differing"].as_u64()), (Some(2), Some(1)));
    assert_eq!(document["questions"][0]["as_expected"], false);
    assert_eq!(document["questions"][0]["answer"]["class"], "malicious");
    assert_eq!(ran.status, 1);
}

#[test]
fn ask_keeps_more_questions_than_it_sends_at_a_time_in_order() {
    let address = daemon(Book::sample()).to_string();
    let questions: String = (0..200).map(|n| if n % 3 == 0 { "evil.test\tmalicious\n" } else { "nothing.test\tunknown\n" }).collect();
    let ran = verdictctl(&["ask", &file("many.tsv", questions.as_bytes()), "--connect", &address]);
    assert!(ran.stdout.contains("200 questions, 200 as expected"), "{}", ran.stdout);
    assert_eq!(ran.status, 0);
}

#[test]
fn ask_refuses_a_file_that_it_does_not_understand() {
    let check = |name: &str, content: &[u8], status: i32, message: &str| {
        let path = file(name, content);
        let ran = verdictctl(&["ask", &path, "--connect", "127.0.0.1:1"]);
        assert_eq!(ran.status, status, "{}", ran.stderr);
        assert!(ran.stderr.contains(&format!("{path}{message}")), "{}", ran.stderr);
    };
    check("no-tab.tsv", b"# x\na.test\n", 65, ":2: no tab and expected answer");
    check("no-answer.tsv", b"a.test\tbad\x07\n", 65, ":1: `bad\\x07` is no answer; known are unknown, clean");
    check("prefix.tsv", b"192.0.2.0/24\tunknown\n", 65, ":1: `192.0.2.0/24` is an address prefix");
    check("empty.tsv", b"# nothing\n", 65, ": no questions in it");
    assert_eq!(verdictctl(&["ask", "/nonexistent/file"]).status, 66);
}

#[test]
fn nobody_listening_is_unavailable_and_says_where() {
    let ran = verdictctl(&["lookup", "--connect", "127.0.0.1:1", "a.test"]);
    assert_eq!(ran.status, 69);
    assert!(ran.stderr.contains("tcp:127.0.0.1:1") && ran.stderr.contains("is verdictd running there?"), "{}", ran.stderr);
    let ran = verdictctl(&["ping", "--connect", "/nonexistent/socket"]);
    assert_eq!(ran.status, 69);
    assert!(ran.stderr.contains("unix:/nonexistent/socket"), "{}", ran.stderr);
}

#[test]
fn refusals_and_strangers_have_statuses_of_their_own() {
    let check = |book: Book, status: i32, message: &str| {
        let address = daemon(book).to_string();
        let ran = verdictctl(&["lookup", "--connect", &address, "--timeout-ms", "300", "a.test"]);
        assert_eq!(ran.status, status, "{}", ran.stderr);
        assert!(ran.stderr.contains(message) && ran.stderr.contains(&address), "{}", ran.stderr);
    };
    check(Book { error: Some((ErrorCode::Overloaded, "full")), ..Book::sample() }, 75, "full");
    check(Book { error: Some((ErrorCode::Draining, "going\x1b[2J")), ..Book::sample() }, 75, "going\\x1b[2J");
    check(Book { error: Some((ErrorCode::UnsupportedVersion, "too new")), ..Book::sample() }, 76, "too new");
    check(Book { garbage: Some(b"HTTP/1.1 400 Bad Request\r\n\r\n"), ..Book::sample() }, 76, "length");
    check(Book { garbage: Some(b""), ..Book::sample() }, 69, "timed out");
}

#[test]
fn describe_tells_all_and_exits_1_for_an_id_that_is_not_there() {
    let address = daemon(Book::sample()).to_string();
    let ran = verdictctl(&["describe", "--connect", &address, "1", "77"]);
    assert!(ran.stdout.starts_with("verdict 1: malicious, score 90, confidence 80\n  rule        URL rule\n"), "{}", ran.stdout);
    assert!(ran.stdout.ends_with("\nverdict 77: no such id in generation 0123456789abcdef\n"), "{}", ran.stdout);
    assert_eq!(ran.status, 1);
    let ran = verdictctl(&["describe", "--json", "--connect", &address, "4"]);
    assert_eq!(json_lines(&ran.stdout)[0]["record"]["flags"], serde_json::json!(["allowlisted"]));
    assert_eq!(ran.status, 0);
    assert_eq!(verdictctl(&["describe", "--connect", &address, "--generation", "1", "4"]).status, 75);
    assert_eq!(verdictctl(&["describe", "--connect", &address, "0"]).status, 2);
}

#[test]
fn ping_measures_and_hello_tells_without_the_hash_key() {
    let address = daemon(Book::sample()).to_string();
    let ran = verdictctl(&["ping", "--count", "5", "--connect", &address]);
    assert!(ran.stdout.contains("5 round trips, min ") && ran.stdout.contains("generation 0123456789abcdef"), "{}", ran.stdout);
    let ran = verdictctl(&["ping", "--json", "--connect", &address]);
    let times = &json_lines(&ran.stdout)[0];
    let time = |name: &str| times[name].as_f64().expect("a number");
    assert!(0.0 < time("min_us") && time("min_us") <= time("median_us") && time("median_us") <= time("max_us"));
    let ran = verdictctl(&["hello", "--connect", &address]);
    assert!(ran.stdout.contains("server          fake/1.0\n"), "{}", ran.stdout);
    assert!(ran.stdout.contains("profile         full, host labels up to 5, path prefixes up to 3\n"), "{}", ran.stdout);
    let ran = verdictctl(&["hello", "--json", "--connect", &address]);
    assert!(!ran.stdout.to_lowercase().contains("aaaaaaaa"), "the hash key stays where it is: {}", ran.stdout);
}

#[test]
fn explain_asks_the_daemon_and_uses_a_store_of_its_generation_only() {
    let directory = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{}-daemon-store", std::process::id()));
    std::fs::create_dir_all(&directory).expect("cargo gives tests a directory");
    let path = |name: &str| directory.join(name).to_str().expect("a plain path").to_owned();
    std::fs::write(path("bad.txt"), "# bad\nevil.test\n").expect("the directory can be written");
    let ran = verdictctl(&["compile", &path("bad.txt"), "--format", "host-list", "-o", &path("out.snap")]);
    assert_eq!(ran.status, 0, "{}", ran.stderr);
    let store = path("out.snap.explain");
    let inspected: Value = serde_json::from_str(&verdictctl(&["inspect", "--json", &store]).stdout).expect("one document");
    let generation = u64::from_str_radix(inspected["generation"].as_str().expect("hexadecimal"), 16).expect("hexadecimal");

    let of_other = daemon(Book::sample()).to_string();
    let ran = verdictctl(&["explain", "--connect", &of_other, "--store", &store, "evil.test"]);
    assert_eq!((ran.status, ran.stderr.as_str()), (1, ""));
    for told in [
        "asked       daemon tcp:127.0.0.1:",
        "answer      malicious, score 90, malware, verdict 2\n",
        "wins  evil.test  host+subdomains  malicious     90  malware     -       2  sample-hosts\n",
        "its lines are not told",
    ] {
        assert!(ran.stdout.contains(told), "{told:?} is not in\n{}", ran.stdout);
    }
    let same = daemon(Book { generation, ..Book::sample() }).to_string();
    let ran = verdictctl(&["explain", "--connect", &same, "--store", &store, "evil.test"]);
    assert!(ran.stdout.contains("bad.txt:2  bad.txt says malicious") && ran.stdout.contains("        | evil.test\n"), "{}", ran.stdout);
    let ran = verdictctl(&["explain", "--connect", &same, "nothing.test"]);
    assert!(ran.status == 0 && ran.stdout.contains("unknown: no rule matches"), "{}", ran.stdout);
    assert_eq!(verdictctl(&["explain", "--connect", "127.0.0.1:1", "evil.test"]).status, 69);
}

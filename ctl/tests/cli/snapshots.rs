//! The subcommands that make and read snapshots: compile, inspect, verify, explain. Reserved names and documentation addresses only.

use crate::fake::{Ran, file, verdictctl};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// A directory with feeds of several kinds and a feeds.toml.
fn feeds(name: &str) -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{}-{name}", std::process::id()));
    std::fs::create_dir_all(&directory).expect("cargo gives tests a directory");
    let write = |name: &str, content: &str| std::fs::write(directory.join(name), content).expect("the directory can be written");
    write("urls.txt", "# bad pages\nhttp://files.test/a/bad.exe\nhttp://files.test/a/worse.exe?v=2\nhttp://10.0.0.1/local\n");
    write("domains.txt", "evil.test\nworse.test\ncom\n");
    write("nets.netset", "198.51.100.0/24\n203.0.113.7\n192.0.2.1/24\n10.0.0.0/8\n");
    write("allow.txt", "good.evil.test\n");
    write(
        "feeds.toml",
        r#"
        [[feed]]
        name = "urls"
        path = "urls.txt"
        categories = ["malware"]
        licence = "CC0-1.0"
        [[feed]]
        name = "domains"
        path = "domains.txt"
        format = "host-list"
        class = "suspicious"
        [[feed]]
        name = "nets"
        path = "nets.netset"
        [[feed]]
        name = "allow"
        path = "allow.txt"
        format = "host-list"
        action = "allow"
        "#,
    );
    directory
}

fn path(directory: &Path, name: &str) -> String {
    directory.join(name).to_str().expect("a plain path").to_owned()
}

/// Compiles the feeds.toml of `directory` and returns the snapshot's path.
fn compiled(directory: &Path) -> String {
    let output = path(directory, "out.snap");
    let ran = verdictctl(&["compile", &path(directory, "feeds.toml"), "-o", &output]);
    assert_eq!(ran.status, 0, "{}", ran.stderr);
    output
}

fn explain(snapshot: &str, key: &str) -> Ran {
    verdictctl(&["explain", "--snapshot", snapshot, key])
}

#[test]
fn compile_accounts_for_every_row_and_names_the_rejected() {
    let directory = feeds("accounts");
    let (toml, output, rejects) = (path(&directory, "feeds.toml"), path(&directory, "out.snap"), path(&directory, "rejects.jsonl"));
    let ran = verdictctl(&["compile", &toml, "-o", &output, "--rejects", &rejects, "--as-of", "2026-06-01"]);
    assert_eq!(ran.status, 0, "{}", ran.stderr);
    let cells = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let row = |feed: &str| ran.stdout.lines().map(cells).find(|row| row.first().is_some_and(|cell| cell == feed)).expect(feed);
    assert_eq!(row("urls")[1..6], ["url-list", "4", "2", "1", "2"]);
    assert_eq!(row("domains")[1..6], ["host-list", "3", "2", "1", "2"]);
    assert_eq!(row("nets")[1..6], ["netset", "4", "2", "2", "2"]);
    for told in ["urls.txt:4: ", "domains.txt:3: ", "nets.netset:3: ", "nets.netset:4: ", "private-address", "host-bits"] {
        assert!(ran.stdout.contains(told), "{told} is not in\n{}", ran.stdout);
    }
    assert!(ran.stdout.contains("as of       2026-06-01T00:00:00Z"), "{}", ran.stdout);
    assert!(ran.stdout.contains("rules       7: host+subdomains 3, url 2, ipv4 2"), "{}", ran.stdout);
    let rejected = std::fs::read_to_string(rejects).expect("the file was asked for");
    let rejected: Vec<Value> = rejected.lines().map(|line| serde_json::from_str(line).expect("a document a line")).collect();
    assert_eq!(rejected.len(), 4);
    let of_urls = rejected.iter().find(|rejected| rejected["feed"] == "urls").expect("one of its rows");
    assert_eq!((&of_urls["line"], &of_urls["reason"], &of_urls["part"]), (&4.into(), &"private-address".into(), &false.into()));
    assert_eq!(of_urls["excerpt"], "http://10.0.0.1/local");
    assert!(!ran.stderr.contains('\x1b') && ran.stderr.contains("read urls: 4 rows, 2 kept"), "plain lines: {}", ran.stderr);
}

#[test]
fn compile_gives_the_same_bytes_again_and_others_for_other_rules() {
    let directory = feeds("same");
    let first = std::fs::read(compiled(&directory)).expect("written");
    let second = std::fs::read(compiled(&directory)).expect("written");
    assert!(first == second);
    let output = path(&directory, "more.snap");
    let more = file("more.txt", b"more.test\n");
    let ran = verdictctl(&["compile", &path(&directory, "feeds.toml"), &more, "--format", "host-list", "-o", &output]);
    assert_eq!(ran.status, 0, "{}", ran.stderr);
    assert!(first != std::fs::read(&output).expect("written"));
    assert_eq!(explain(&output, "www.more.test").status, 1);
}

#[test]
fn compile_json_tells_the_same() {
    let directory = feeds("json");
    let output = path(&directory, "out.snap");
    let ran = verdictctl(&["compile", "--json", &path(&directory, "feeds.toml"), "-o", &output]);
    let document: Value = serde_json::from_str(&ran.stdout).expect("one document");
    assert_eq!(document["written"], true);
    assert_eq!(document["snapshot"]["rules"], 7);
    assert_eq!(document["report"]["counts"]["rows"], 12);
    assert_eq!(document["examples"]["urls"]["private-address"][0]["line"], 4);
    let inspected = verdictctl(&["inspect", "--json", &output]).stdout;
    let inspected: Value = serde_json::from_str(&inspected).expect("one document");
    assert_eq!(document["snapshot"], inspected);
    assert_eq!(ran.status, 0);
}

#[test]
fn compile_refuses_feeds_without_rules_and_leaves_the_old_snapshot() {
    let directory = feeds("refuses");
    let output = compiled(&directory);
    let before = std::fs::read(&output).expect("written");
    let empty = file("empty.txt", b"# all gone\ncom\nlocalhost\n");
    let ran = verdictctl(&["compile", &empty, "--format", "host-list", "-o", &output]);
    assert_eq!(ran.status, 3, "{}", ran.stderr);
    assert!(
        ran.stderr.contains(&empty) && ran.stderr.contains("gives no rule") && ran.stderr.contains("nothing was written"),
        "{}",
        ran.stderr
    );
    assert!(ran.stdout.contains("REFUSED"), "{}", ran.stdout);
    assert!(before == std::fs::read(&output).expect("still there"));
    let ran = verdictctl(&["compile", &empty, "--format", "host-list", "-o", &path(&directory, "new.snap")]);
    assert_eq!((ran.status, directory.join("new.snap").exists()), (3, false));
}

#[test]
fn compile_failures_have_statuses_of_their_own() {
    let directory = feeds("failures");
    let toml = path(&directory, "feeds.toml");
    let output = path(&directory, "out.snap");
    let status = |arguments: &[&str]| verdictctl(&[&["compile"][..], arguments, &["-o", &output]].concat());
    assert_eq!(status(&["/nonexistent/feed.txt"]).status, 66);
    assert_eq!(status(&["/nonexistent/feeds.toml"]).status, 66);
    let undecided = status(&[&file("undecided.bin", b"\x00\x01\x02\x03")]);
    assert_eq!(undecided.status, 65, "{}", undecided.stderr);
    let broken = file("broken.toml", b"[[feed]]\nname = \"x\"\npath = \"y\"\ncolour = \"red\"\nscore = 900\n");
    let broken = status(&[&broken]);
    assert_eq!(broken.status, 65);
    assert!(broken.stderr.contains("broken.toml:4: ") && broken.stderr.contains("broken.toml:5: "), "all at once: {}", broken.stderr);
    assert_eq!(status(&[&toml, &toml]).status, 2);
    assert_eq!(status(&[&toml, "--format", "list"]).status, 2);
    assert_eq!(status(&[&toml, "--as-of", "yesterday"]).status, 2);
    assert_eq!(status(&[&toml, "--rejects", "/nonexistent/x"]).status, 73);
    let nowhere = verdictctl(&["compile", &toml, "-o", "/nonexistent/out.snap"]);
    assert_eq!(nowhere.status, 73, "{}", nowhere.stderr);
    assert!(!Path::new(&output).exists());
}

#[test]
fn compile_shows_escape_sequences_of_a_feed_and_obeys_none() {
    let hostile = file("hostile.txt", b"good.test\n\x1b[2J.test/x\nother.test\nthird.test\nfourth.test\n");
    let output = file("hostile.snap", b"");
    let ran = verdictctl(&["compile", &hostile, "--format", "host-list", "-o", &output]);
    assert!(!ran.stdout.contains('\x1b') && ran.stdout.contains("\\x1b[2J"), "{}", ran.stdout);
}

#[test]
fn inspect_prints_counts_profile_sections_and_sources() {
    let snapshot = compiled(&feeds("inspect"));
    let ran = verdictctl(&["inspect", &snapshot]);
    assert_eq!((ran.status, ran.stderr.as_str()), (0, ""));
    for told in [
        "rules       7: host+subdomains 3, url 2, ipv4 2\n",
        "profile     full, host suffixes of up to 3 labels, 1 path prefixes\n",
        "  buckets ",
        "  urls (CC0-1.0)\n",
        "  nets (no licence stated)\n",
        "as of       not stated\n",
    ] {
        assert!(ran.stdout.contains(told), "{told:?} is not in\n{}", ran.stdout);
    }
}

#[test]
fn verify_names_section_and_offset_of_the_first_wrong_byte() {
    let snapshot = compiled(&feeds("verify"));
    let ran = verdictctl(&["verify", &snapshot]);
    assert_eq!(ran.status, 0);
    assert!(ran.stdout.contains(": ok, generation ") && ran.stdout.contains(", 7 rules"), "{}", ran.stdout);
    let mut bytes = std::fs::read(&snapshot).expect("written");
    bytes[4096 + 100] ^= 1;
    let flipped = file("flipped.snap", &bytes);
    let ran = verdictctl(&["verify", &flipped]);
    assert_eq!(ran.status, 65);
    assert!(
        ran.stderr.contains(&flipped) && ran.stderr.contains("corrupt snapshot: ") && ran.stderr.contains(" at byte "),
        "{}",
        ran.stderr
    );
    assert_eq!(verdictctl(&["inspect", &flipped]).status, 65);
    assert_eq!(verdictctl(&["explain", "--snapshot", &flipped, "a.test"]).status, 65);
    let cut = file("cut.snap", &bytes[..bytes.len() / 2]);
    assert_eq!(verdictctl(&["verify", &cut]).status, 65);
    assert_eq!(verdictctl(&["verify", "/nonexistent/file"]).status, 66);
}

#[test]
fn explain_shows_the_way_to_the_answer() {
    let snapshot = compiled(&feeds("explain"));
    let ran = explain(&snapshot, "HTTP://user@FILES.test:80/x/../a/%62ad.exe?q#top");
    assert_eq!(ran.status, 1);
    for told in [
        "kind        url\n",
        "canonical   http://files.test/a/bad.exe?q\n",
        "expressions files.test  listed for what stands under it\n            files.test/a/bad.exe?q\n            files.test/a/bad.exe  matches\n",
        "not asked   1 pair of host and path",
        "answer      malicious, score 90, malware, verdict ",
        "urls.txt:2  urls says malicious, score 90, confidence",
        "        | http://files.test/a/bad.exe\n",
        "because no other rule matches",
        "wins  files.test/a/bad.exe  url   malicious     90  malware     -",
    ] {
        assert!(ran.stdout.contains(told), "{told:?} is not in\n{}", ran.stdout);
    }
}

#[test]
fn explain_lists_losers_below_the_winner() {
    let snapshot = compiled(&feeds("losers"));
    let ran = explain(&snapshot, "http://www.good.evil.test/");
    let lines: Vec<&str> = ran.stdout.lines().skip_while(|line| !line.contains("MATCHES")).collect();
    let [_, winner, loser] = lines[..3] else { panic!("two matches: {}", ran.stdout) };
    assert!(winner.starts_with("wins  good.evil.test  host+subdomains  clean"), "{}", ran.stdout);
    assert!(loser.trim_start().starts_with("evil.test       host+subdomains  suspicious"), "{}", ran.stdout);
    assert_eq!(ran.status, 0, "the allow rule wins");
    for told in [
        "because an allow rule beats every listing, here: suspicious",
        "allow.txt:1  allow says allow",
        "domains.txt:1  domains says suspicious",
    ] {
        assert!(ran.stdout.contains(told), "{told:?} is not in\n{}", ran.stdout);
    }
}

#[test]
fn explain_knows_addresses_hashes_misses_and_what_is_no_key() {
    let snapshot = compiled(&feeds("kinds"));
    let network = explain(&snapshot, "198.51.100.77");
    assert!(network.stdout.contains("wins  198.51.100.0/24  ipv4"), "{}", network.stdout);
    assert_eq!(network.status, 1);
    assert!(explain(&snapshot, "http://0xc6.51.0x6401/").stdout.contains("canonical   http://198.51.100.1/"));
    let miss = explain(&snapshot, "44d88612fea8a8f36de82e1278abb02f");
    assert!(miss.stdout.contains("kind        md5\n") && miss.stdout.contains("unknown: no rule matches"), "{}", miss.stdout);
    assert_eq!(miss.status, 0);
    let none = explain(&snapshot, "http://[2001:db8::g]/");
    assert!(none.stdout.contains("canonical   none: malformed IPv6 address"), "{}", none.stdout);
    assert_eq!(none.status, 65);
}

#[test]
fn explain_needs_no_snapshot_to_show_the_canonical_form() {
    let ran = verdictctl(&["explain", "--offline", "--json", "http://A.test/b/../c"]);
    let document: Value = serde_json::from_str(&ran.stdout).expect("one document");
    assert_eq!(document["canonical"], "http://a.test/c");
    assert_eq!((&document["generation"], &document["matches"]), (&Value::Null, &Value::Array(vec![])));
    assert_eq!(ran.status, 0);
}

/// Feeds whose votes and prefixes contradict each other; `bad` holds what would repaint a terminal.
fn contradictions(name: &str) -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{}-{name}", std::process::id()));
    std::fs::create_dir_all(&directory).expect("cargo gives tests a directory");
    let write = |name: &str, content: &str| std::fs::write(directory.join(name), content).expect("the directory can be written");
    write("bad", "evil.test # \x1b[2J\n198.51.100.0/24\n198.51.100.64/26\n");
    write("odd", "evil.test\n198.51.100.64/28\n");
    write("own", "198.51.0.0/16\n");
    let mut toml = String::new();
    for (name, said) in [("bad", "comments"), ("odd", "class = \"suspicious\""), ("own", "action = \"allow\"")] {
        let said = if said == "comments" { "" } else { said };
        toml += &format!("[[feed]]\nname = \"{name}\"\npath = \"{name}\"\nformat = \"list\"\n{said}\n");
    }
    write("feeds.toml", &toml);
    directory
}

fn explained(arguments: &[&str]) -> Value {
    let ran = verdictctl(&[&["explain", "--json"], arguments].concat());
    serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {}{}", ran.stdout, ran.stderr))
}

#[test]
fn explain_tells_every_vote_on_a_rule_and_why_some_do_not_count() {
    let directory = contradictions("votes");
    let snapshot = compiled(&directory);
    let found = explained(&["--snapshot", &snapshot, "http://evil.test/"]);
    let votes = found["matches"][0]["votes"].as_array().expect("a list");
    let told: Vec<_> = votes.iter().map(|vote| (vote["feed"].as_str(), vote["line"].as_u64(), vote["counts"].as_bool())).collect();
    assert_eq!(told, [(Some("bad"), Some(1), Some(true)), (Some("odd"), Some(1), Some(false))]);
    assert_eq!(votes[1]["why"], "overruled: malicious beats suspicious");
    assert_eq!(votes[0]["text"], "evil.test # \\x1b[2J", "strangers' text is escaped");
    assert_eq!(found["matches"][0]["note"], Value::Null, "the lines come to what the snapshot says");
}

#[test]
fn explain_tells_where_each_row_says_to_read_about_it_the_losers_too() {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{}-references", std::process::id()));
    std::fs::create_dir_all(&directory).expect("cargo gives tests a directory");
    let write = |name: &str, text: &str| std::fs::write(directory.join(name), text).expect("the directory can be written");
    write(
        "urls.csv",
        "id,url,url_status,threat,urlhaus_link\n9,http://evil.test/x,online,malware_download,https://urls.example/url/4711/\n",
    );
    write("odd.ndjson", "{\"indicator\":\"http://evil.test/x\",\"class\":\"suspicious\",\"reference\":\"case \\u001b[2J 7\"}\n");
    write("plain.txt", "http://evil.test/x\n");
    let feed = |name: &str| format!("[[feed]]\nname = \"{name}\"\npath = \"{name}\"\n");
    write("feeds.toml", &["urls.csv", "odd.ndjson", "plain.txt"].map(feed).concat());
    let snapshot = compiled(&directory);
    let found = explained(&["--snapshot", &snapshot, "http://evil.test/x"]);
    let told =
        |key: &str| -> Vec<&Value> { found["matches"][0]["votes"].as_array().expect("a list").iter().map(|vote| &vote[key]).collect() };
    assert_eq!(told("feed"), ["plain.txt", "urls.csv", "odd.ndjson"]);
    assert_eq!(told("counts"), [true, true, false]);
    assert_eq!(told("reference"), [&Value::Null, &"https://urls.example/url/4711/".into(), &"case \\x1b[2J 7".into()]);
    let shown = explain(&snapshot, "http://evil.test/x").stdout;
    assert!(
        shown.contains("\n        see https://urls.example/url/4711/\n") && shown.contains("\n        see case \\x1b[2J 7\n"),
        "{shown}"
    );
    std::fs::remove_file(directory.join("urls.csv")).expect("it was written");
    let offline = explain(&snapshot, "http://evil.test/x").stdout;
    assert!(offline.contains("        see https://urls.example/url/4711/\n"), "the store has it when the file is gone: {offline}");
    let inspected = verdictctl(&["inspect", &format!("{snapshot}.explain")]).stdout;
    assert!(inspected.contains("references  2\n"), "{inspected}");
}

/// The signatures of the sample: a mark of a kit in any URL, a word of a host name.
#[test]
fn explain_tells_which_signature_stands_where_and_which_line_it_is_from() {
    let snapshot = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{}-sample.snap", std::process::id())).display().to_string();
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("../intel/sample/feeds.toml").display().to_string();
    assert_eq!(verdictctl(&["compile", &sample, "-o", &snapshot]).status, 0);
    let cases = [
        ("http://fresh.example.net/a/QX7-kitpanel/gate.php?x", "url-substring", "…/qx7-kitpanel/gate.php…", "/qx7-kitpanel/gate.php"),
        ("secure.examplebank-login.example.org", "host-token", "…examplebank-login…", "examplebank-login"),
    ];
    for (question, rule, on, text) in cases {
        let found = explained(&["--snapshot", &snapshot, question]);
        let winner = &found["matches"][0];
        assert_eq!((winner["rule"].as_str(), winner["on"].as_str()), (Some(rule), Some(on)), "{question}");
        assert_eq!((winner["wins"].as_bool(), winner["class"].as_str()), (Some(true), Some("suspicious")), "{question}");
        let vote = &winner["votes"][0];
        assert_eq!((vote["line"].as_u64(), vote["text"].as_str()), (Some(2), Some(text)), "{question}");
    }
    assert_eq!(explained(&["--snapshot", &snapshot, "myexamplebank-login.example.org"])["matches"], Value::Array(vec![]));
}

#[test]
fn explain_lists_all_prefixes_of_an_address_though_the_snapshot_keeps_the_winner() {
    let directory = contradictions("prefixes");
    let snapshot = compiled(&directory);
    let told = |key: &str| -> Vec<String> {
        let found = explained(&["--snapshot", &snapshot, key]);
        let on = |one: &Value| format!("{} {}", one["on"].as_str().unwrap_or_default(), one["class"].as_str().unwrap_or_default());
        found["matches"].as_array().expect("a list").iter().map(on).collect()
    };
    let all = ["198.51.0.0/16 clean", "198.51.100.64/26 malicious", "198.51.100.0/24 malicious", "198.51.100.64/28 suspicious"];
    assert_eq!(told("198.51.100.65"), all);
    assert_eq!(told("http://0xc6.51.100.65/"), all, "also as the host of a URL");
    assert_eq!(told("198.51.100.1"), ["198.51.0.0/16 clean", "198.51.100.0/24 malicious"]);
    assert_eq!(told("203.0.113.1"), [""; 0]);
}

#[test]
fn explain_says_why_lines_are_missing() {
    let directory = contradictions("missing");
    let snapshot = compiled(&directory);
    std::fs::write(directory.join("bad"), "changed.test\n").expect("written");
    let found = explained(&["--snapshot", &snapshot, "evil.test"]);
    let vote = &found["matches"][0]["votes"][0];
    assert_eq!((&vote["line"], &vote["text"], &vote["text_note"]), (&1.into(), &Value::Null, &"the file has changed since".into()));
    let other = compiled(&contradictions("missing-other"));
    std::fs::write(directory.join("bad"), "one-more.test\nevil.test\n").expect("written");
    let newer = path(&directory, "newer.snap");
    assert_eq!(verdictctl(&["compile", "--no-store", &path(&directory, "feeds.toml"), "-o", &newer]).status, 0);
    assert!(!Path::new(&format!("{newer}.explain")).exists(), "it was switched off");
    let none = explained(&["--snapshot", &newer, "evil.test"]);
    assert!(none["store"].is_null() && none["store_note"].as_str().expect("a note").contains("no explain store"));
    let stale = explained(&["--snapshot", &newer, "--store", &format!("{other}.explain"), "evil.test"]);
    assert!(stale["store_note"].as_str().expect("a note").contains("is of generation"), "{stale}");
    assert_eq!(stale["matches"][0]["votes"], Value::Array(vec![]));
    let broken = file("broken.explain", b"VEXPLAIN but not really");
    assert_eq!(verdictctl(&["explain", "--snapshot", &newer, "--store", &broken, "evil.test"]).status, 65);
}

#[test]
fn verify_and_inspect_know_the_store() {
    let snapshot = compiled(&contradictions("known"));
    let store = format!("{snapshot}.explain");
    let ran = verdictctl(&["verify", &snapshot]);
    assert!(ran.status == 0 && ran.stdout.contains(&format!("{store}: ok, 6 votes of 3 feeds")), "{}{}", ran.stdout, ran.stderr);
    let ran = verdictctl(&["inspect", &store]);
    assert!(ran.status == 0 && ran.stdout.contains("votes       6") && ran.stdout.contains("  odd"), "{}", ran.stdout);
    let mut bytes = std::fs::read(&store).expect("written");
    bytes[5000] ^= 1;
    std::fs::write(&store, &bytes).expect("written");
    let ran = verdictctl(&["verify", &snapshot]);
    assert!(ran.status == 65 && ran.stderr.contains("corrupt explain store: page at byte 4096"), "{}", ran.stderr);
    assert_eq!(verdictctl(&["verify", &store]).status, 65);
}

/// Compiles one rule, as a line of a feed of this format, and tells whether each key meets it.
fn meets(name: &str, format: &str, line: &str, keys: [&str; 2]) -> [bool; 2] {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{}-{name}", std::process::id()));
    std::fs::create_dir_all(&directory).expect("cargo gives tests a directory");
    std::fs::write(directory.join("rule"), format!("{line}\n")).expect("the directory can be written");
    let toml = format!("[[feed]]\nname = \"rule\"\npath = \"rule\"\nformat = \"{format}\"\nprefixes = true\n");
    std::fs::write(directory.join("feeds.toml"), toml).expect("the directory can be written");
    let snapshot = compiled(&directory);
    keys.map(|key| explain(&snapshot, key).status == 1)
}

/// The first table of docs/lookup.md, row by row.
#[test]
fn what_matches_what_is_as_the_document_says() {
    let keys = ["http://a.b.example.test/dir/file?x=1", "a.b.example.test"];
    let check = |name: &str, format: &str, line: &str, want: [bool; 2]| assert_eq!(meets(name, format, line, keys), want, "{line}");
    check("host", "hosts", "0.0.0.0 a.b.example.test", [true, true]);
    check("below", "host-list", "example.test", [true, true]);
    check("this-only", "hosts", "0.0.0.0 example.test", [false, false]);
    check("query", "url-list", "http://a.b.example.test/dir/file?x=1", [true, false]);
    check("no-query", "url-list", "http://a.b.example.test/dir/file", [true, false]);
    check("other-query", "url-list", "http://a.b.example.test/dir/file?x=2", [false, false]);
    check("prefix", "url-list", "http://a.b.example.test/dir/*", [true, false]);
    check("no-prefix", "url-list", "http://a.b.example.test/dir/", [false, false]);
    check("network", "netset", "192.0.2.0/24", [false, false]);
    let addresses = ["http://3221225991/x", "http://[::ffff:192.0.2.7]/"];
    assert_eq!(meets("address", "netset", "192.0.2.0/24", addresses), [true, true]);
    assert_eq!(meets("address-url", "url-list", "http://192.0.2.7/x", addresses), [true, false]);
    assert_eq!(meets("address-host", "host-list", "192.0.2.7", addresses), [true, true]);
}

/// "Which rule wins" of docs/lookup.md.
#[test]
fn the_winner_is_as_the_document_says() {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{}-winner", std::process::id()));
    std::fs::create_dir_all(&directory).expect("cargo gives tests a directory");
    let mut toml = String::new();
    let mut feed = |name: &str, content: &str, said: &str| {
        std::fs::write(directory.join(name), content).expect("the directory can be written");
        toml += &format!("[[feed]]\nname = \"{name}\"\npath = \"{name}\"\nprefixes = true\n{said}\n");
    };
    feed("override", "http://www.example.test/o/file\n", "format = \"url-list\"\naction = \"override\"");
    feed("allow", "http://www.example.test/o/*\nhttp://www.example.test/a/*\n", "format = \"url-list\"\naction = \"allow\"");
    feed("bad-file", "http://www.example.test/a/file\nhttp://www.example.test/s/file\n", "format = \"url-list\"");
    feed("bad-host", "example.test\n", "format = \"host-list\"");
    feed("odd", "http://www.example.test/x/y?z\n", "format = \"url-list\"\nclass = \"suspicious\"");
    feed("odd-below", "http://www.example.test/x/*\nwww.other.test\n", "format = \"list\"\nclass = \"suspicious\"");
    std::fs::write(directory.join("feeds.toml"), toml).expect("the directory can be written");
    let snapshot = compiled(&directory);
    let check = |key: &str, want: &[&str]| {
        let ran = verdictctl(&["explain", "--json", "--snapshot", &snapshot, key]);
        let document: Value = serde_json::from_str(&ran.stdout).expect("one document");
        let got: Vec<&str> =
            document["matches"].as_array().expect("a list").iter().filter_map(|found| found["sources"][0].as_str()).collect();
        assert_eq!(got, want, "{key}");
    };
    check("http://www.example.test/o/file", &["override", "allow", "bad-host"]);
    check("http://www.example.test/a/file", &["allow", "bad-file", "bad-host"]);
    check("http://www.example.test/s/file", &["bad-file", "bad-host"]);
    check("http://www.example.test/x/y?z", &["bad-host", "odd", "odd-below"]);
    check("http://www.other.test/", &["odd-below"]);
    check("http://other.test/", &[]);
}

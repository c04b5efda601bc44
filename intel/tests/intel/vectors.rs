//! Feed line in, indicator out: every file of vectors/<format>/*.txt is read and compared, line by line, with the NDJSON beside it.
//!
//! A `.toml` beside a vector is a feeds.toml that says how to read it. `VERDICT_BLESS=1 cargo test -p verdict-intel --test vectors` rewrites
//! the NDJSON; then read the difference, because that is the test. `vectors/poison.txt` holds lines that no format may turn into a rule.

use serde_json::{Value, json};
use std::io::Write;
use std::path::{Path, PathBuf};
use verdict_intel::config::Feed;
use verdict_intel::limits::LINE_BYTES_MAX;
use verdict_intel::read::Said;
use verdict_intel::read::table::{Column, Columns, Header, Role};
use verdict_intel::scan::{Visitor, scan};
use verdict_intel::{Config, Counts, Format, Reason, judge::Expect, plan, vote};
use verdict_keys::Digest;
use verdict_tables::{Rule, Vote, category};

fn vectors() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors")
}

/// Writes one JSON object per rule and rejection.
struct Recorder<'a> {
    feed: &'a Feed,
    format: Format,
    lines: Vec<Value>,
}

impl Visitor for Recorder<'_> {
    fn rule(&mut self, line: u64, rule: Rule<'_>, said: &Said, reference: Option<&[u8]>) -> Result<(), Reason> {
        let mut object = described(rule);
        let Vote { class, score, confidence, categories, first_seen_day, last_seen_day, ttl_s, allow, overrides, .. } =
            vote(self.feed, self.format, 0, said);
        let names: Vec<&str> =
            category::NAMES.iter().enumerate().filter(|(bit, _)| categories & (1 << bit) != 0).map(|(_, name)| *name).collect();
        let about = json!({
            "line": line, "class": class.name(), "score": score, "confidence": confidence, "categories": names,
            "first_seen_day": first_seen_day, "last_seen_day": last_seen_day, "ttl_s": ttl_s, "allow": allow, "overrides": overrides,
        });
        object.as_object_mut().unwrap().extend(about.as_object().unwrap().clone());
        let further = [
            ("valid_from_s", (said.valid_from_s > 0).then(|| json!(said.valid_from_s))),
            ("valid_until_s", (said.valid_until_s > 0).then(|| json!(said.valid_until_s))),
            ("revoked", said.revoked.then_some(Value::Bool(true))),
            ("tlp", said.tlp.map(|tlp| json!(tlp.name()))),
            ("reference", reference.map(|text| json!(String::from_utf8_lossy(text)))),
        ];
        object.as_object_mut().unwrap().extend(further.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
        self.lines.push(object);
        Ok(())
    }

    fn rejected(&mut self, line: u64, reason: Reason, part: bool, excerpt: &[u8]) {
        self.lines.push(json!({"line": line, "rejected": reason.code(), "part": part, "excerpt": excerpt.escape_ascii().to_string()}));
    }
}

fn described(rule: Rule<'_>) -> Value {
    match rule {
        Rule::Host { host, subdomains } => json!({"host": host, "subdomains": subdomains}),
        Rule::Url { host, path_query, prefix, .. } => json!({"url": format!("{host}{path_query}"), "prefix": prefix}),
        Rule::Net { network, bits } => json!({"net": format!("{network}/{bits}")}),
        Rule::File(Digest::Sha256(bytes)) => json!({"sha256": hex(&bytes)}),
        Rule::File(Digest::Sha1(bytes)) => json!({"sha1": hex(&bytes)}),
        Rule::File(Digest::Md5(bytes)) => json!({"md5": hex(&bytes)}),
        Rule::Signature { text, part, token } => json!({"signature": text, "part": format!("{part:?}"), "token": token}),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn run(feed: &Feed, format: Format, bytes: &[u8]) -> (Vec<Value>, Counts) {
    let mut recorder = Recorder { feed, format, lines: Vec::new() };
    let (counts, outcome) = scan(plan(feed, format), bytes, &mut recorder);
    if let Err(error) = outcome {
        recorder.lines.push(json!({"error": error.to_string()}));
    }
    assert!(counts.adds_up(), "{counts:?}");
    (recorder.lines, counts)
}

#[test]
fn every_vector_gives_its_indicators() {
    let bless = std::env::var_os("VERDICT_BLESS").is_some();
    let mut lines_checked = 0;
    for format in Format::ALL {
        let mut files: Vec<PathBuf> =
            std::fs::read_dir(vectors().join(format.name())).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        let inputs: Vec<&PathBuf> = files.iter().filter(|path| path.extension().is_some_and(|extension| extension == "txt")).collect();
        assert!(!inputs.is_empty(), "no vectors for {format}");
        for input in inputs {
            let config = input.with_extension("toml");
            let feed = match config.exists() {
                true => Config::load(&config).unwrap_or_else(|mistakes| panic!("{mistakes}")).feeds.remove(0),
                false => Feed::new("vector", input),
            };
            let (lines, counts) = run(&feed, format, &std::fs::read(input).unwrap());
            let mut text = String::new();
            lines.iter().for_each(|line| text.push_str(&format!("{line}\n")));
            text.push_str(&format!("{}\n", serde_json::to_value(&counts).unwrap()));
            lines_checked += counts.rows;
            let expected = input.with_extension("ndjson");
            if bless {
                std::fs::File::create(&expected).unwrap().write_all(text.as_bytes()).unwrap();
            }
            let expected_text = std::fs::read_to_string(&expected).unwrap();
            for (got, want) in text.lines().zip(expected_text.lines()) {
                assert_eq!(got, want, "{}", input.display());
            }
            assert_eq!(text.lines().count(), expected_text.lines().count(), "{}", input.display());
        }
    }
    assert!(lines_checked >= 300, "{lines_checked}");
}

/// Each format with a column, field or comment for it; docs/feeds.md has the same list.
#[test]
fn rows_say_where_to_read_about_them() {
    let uuid = "00000000-0000-4000-8000-000000000001";
    let stix = |more: &str| {
        format!(r#"[{{"type": "indicator", "id": "indicator--{uuid}", "pattern": "[url:value = 'http://a.example/']"{more}}}]"#)
    };
    let attribute = format!(r#"{{"uuid": "{uuid}", "type": "domain", "value": "a.example", "to_ids": true}}"#);
    let rule = |more: &str| format!("alert dns any any -> any any (dns.query; content:\"a.example\"; {more}sid:17;)");
    let url = "https://report.example/1";
    let cases: [(Format, String, &str); 19] = [
        (Format::UrlhausCsv, format!("id,url,url_status,threat,urlhaus_link\n1,http://a.example/,online,x,{url}\n"), url),
        (Format::UrlhausJson, format!(r#"{{"urls": [{{"url": "http://a.example/", "urlhaus_reference": "{url}"}}]}}"#), url),
        (Format::ThreatfoxCsv, format!("# ioc_id, ioc_value, ioc_type, threat_type, reference\n1, a.example, domain, x, {url}\n"), url),
        (Format::ThreatfoxCsv, "# ioc_id, ioc_value, ioc_type, threat_type\n1, a.example, domain, x\n".into(), "ThreatFox IOC 1"),
        (Format::ThreatfoxJson, format!(r#"[{{"ioc": "a.example", "ioc_type": "domain", "malware_malpedia": "{url}"}}]"#), url),
        (Format::PhishtankCsv, format!("phish_id,url,phish_detail_url\n1,http://a.example/,{url}\n"), url),
        (Format::PhishtankJson, format!(r#"[{{"phish_id": "1", "url": "http://a.example/", "phish_detail_url": "{url}"}}]"#), url),
        (Format::MaltrailTsv, format!("class\tfamily\tindicator\treference\nmalware\tx\ta.example\t{url}\n"), url),
        (Format::MaltrailList, format!("# Reference: {url}\n\na.example\n"), url),
        (Format::HashComment, format!("44d88612fea8a8f36de82e1278abb02f;a test file {url}\n"), "a test file https://report.example/1"),
        (Format::IdsRules, rule("reference:url,report.example/1; "), "url,report.example/1"),
        (Format::IdsRules, rule(""), "sid:17"),
        (Format::Stix, stix(""), "indicator--00000000-0000-4000-8000-000000000001"),
        (Format::Stix, stix(&format!(r#", "external_references": [{{"url": "{url}"}}]"#)), url),
        (Format::Misp, format!(r#"{{"uuid": "e-1", "info": "a report", "Attribute": [{attribute}], "Tag": []}}"#), "event e-1: a report"),
        (Format::Misp, format!(r#"{{"Tag": [], "Attribute": [{attribute}]}}"#), "attribute 00000000-0000-4000-8000-000000000001"),
        (Format::MispCsv, "uuid,event_id,category,type,value,to_ids\nu,4,x,domain,a.example,1\n".into(), "event 4"),
        (Format::Ndjson, format!(r#"{{"indicator": "a.example", "reference": "{url}", "id": "x"}}"#), url),
        (Format::Ndjson, r#"{"indicator": "a.example", "id": "x"}"#.into(), "id x"),
    ];
    for (format, text, want) in cases {
        let (lines, _) = run(&Feed::new("reference", "reference"), format, text.as_bytes());
        assert_eq!(lines[0]["reference"], want, "{format}: {text}: {lines:?}");
    }
}

#[test]
fn formats_without_references_give_none() {
    let none =
        [(Format::Hosts, "0.0.0.0 a.example # see x\n"), (Format::Adblock, "||a.example^\n"), (Format::HostList, "a.example # see x\n")];
    for (format, text) in none {
        let (lines, _) = run(&Feed::new("reference", "reference"), format, text.as_bytes());
        assert!(lines[0].get("host").is_some() && lines[0].get("reference").is_none(), "{lines:?}");
    }
}

macro_rules! signature_list {
    () => {
        Format::HostSubstringList | Format::UrlSubstringList | Format::HostTokenList | Format::UrlTokenList
    };
}

/// One row of `format` that holds `token` where the indicator belongs; and whatever must stand above it.
fn row(format: Format, token: &str) -> (String, String) {
    let quoted = token.replace('"', "\"\"");
    let header = |text: &str| text.to_owned();
    match format {
        Format::List | Format::UrlList | Format::HostList | Format::AddressList | Format::HashList | Format::Netset | signature_list!() => {
            (String::new(), token.to_owned())
        }
        Format::Hosts => (String::new(), format!("0.0.0.0 {token}")),
        Format::HashComment => (String::new(), format!("{token};comment")),
        Format::HashTable => (header("hash,type\n"), format!("\"{quoted}\",md5")),
        Format::UrlhausCsv => {
            (header("id,dateadded,url,url_status,threat\n"), format!("1,2026-05-01,\"{quoted}\",online,malware_download"))
        }
        Format::ThreatfoxCsv => {
            (header("# \"ioc_value\", \"ioc_type\", \"threat_type\"\n"), format!("\"{quoted}\", \"domain\", \"botnet_cc\""))
        }
        Format::FeodoCsv => (
            header("first_seen_utc,dst_ip,dst_port,c2_status,last_online,malware\n"),
            format!("2026-05-01,\"{quoted}\",443,online,2026-05-01,x"),
        ),
        Format::PhishtankCsv => (header("phish_id,url,phish_detail_url\n"), format!("1,\"{quoted}\",x")),
        Format::OpenphishTsv => (header("first_seen\tlast_seen\tsnapshots\turl\n"), format!("2026-05-01\t2026-05-01\t1\t{token}")),
        Format::MaltrailTsv => (header("class\tfamily\tindicator\treference\n"), format!("malware\tx\t{token}\tx")),
        Format::UrlhausFilterTsv => {
            (header("first_seen\tlast_seen\tsnapshots\ttype\tindicator\n"), format!("2026-05-01\t2026-05-01\t1\thost\t{token}"))
        }
        Format::MalwarebazaarCsv => (
            header("# \"first_seen_utc\",\"sha256_hash\",\"md5_hash\",\"sha1_hash\"\n"),
            format!("\"2026-05-01\",\"{quoted}\",\"{quoted}\",\"{quoted}\""),
        ),
        Format::SslblCsv => (header("# Firstseen,DstIP,DstPort\n"), format!("2026-05-01,\"{quoted}\",443")),
        Format::MaltrailList => (header("# Maltrail developers\n"), token.to_owned()),
        Format::Adblock => (header("[Adblock Plus 2.0]\n"), format!("||{token}^")),
        Format::Rpz => (header("$TTL 30\n"), format!("{token} CNAME .")),
        Format::Dnsmasq => (String::new(), format!("address=/{token}/0.0.0.0")),
        Format::Unbound => (String::new(), format!("local-zone: \"{token}\" always_nxdomain")),
        Format::BindZones => (String::new(), format!("zone \"{token}\" {{ type master; }};")),
        Format::ProtectionList => (header("msFilterList\n"), format!("-d {token}")),
        Format::IdsRules => (String::new(), format!("alert dns any any -> any any (dns.query; content:\"{quoted}\"; sid:1;)")),
        Format::IpReputation => (String::new(), format!("{token},5,127")),
        Format::Stix => (String::new(), json!({"objects": [{"type": "indicator", "pattern": pattern(token)}]}).to_string()),
        Format::Misp => {
            let attribute = |kind: &str| json!({"type": kind, "value": token, "to_ids": true});
            (String::new(), json!({"Event": {"Attribute": [attribute("domain")], "Tag": []}}).to_string())
        }
        Format::MispCsv => (header("type,value,to_ids,category\n"), format!("url,\"{quoted}\",1,x")),
        Format::MispWarninglist => (String::new(), json!({"list": [token], "type": "hostname"}).to_string()),
        Format::UrlhausJson => (String::new(), json!({"urls": [{"url": token}]}).to_string()),
        Format::ThreatfoxJson => (String::new(), json!({"data": [{"ioc": token, "ioc_type": "domain"}]}).to_string()),
        Format::FeodoJson => (String::new(), json!([{"ip_address": token}]).to_string()),
        Format::MalwarebazaarJson => (String::new(), json!([{"sha256_hash": token, "md5_hash": token}]).to_string()),
        Format::PhishtankJson | Format::OpenphishJson => (String::new(), json!([{"url": token}]).to_string()),
        Format::Ndjson => (String::new(), json!({"indicator": token}).to_string()),
        Format::Csv => (header("what\n"), format!("\"{quoted}\"")),
    }
}

/// Each way in which a pattern can name the text.
fn pattern(token: &str) -> String {
    let text = token.replace('\\', "\\\\").replace('\'', "\\'");
    ["url:value", "domain-name:value", "ipv4-addr:value", "network-traffic:dst_ref.value", "file:hashes.MD5"]
        .map(|path| format!("[{path} = '{text}']"))
        .join(" OR ")
}

#[test]
fn poison_never_becomes_a_rule_in_any_format() {
    let text = std::fs::read_to_string(vectors().join("poison.txt")).unwrap();
    let columns = Columns {
        delimiter: b',',
        quotes: true,
        header: Header::Row,
        roles: vec![(Column::Name("what".into()), Role::Indicator(Expect::Any))],
    };
    let (mut accepted, mut rows) = (Vec::new(), 0);
    // What no key may be can well be a piece of one: signatures have limits of their own (src/signature.rs, vectors/*-list).
    for format in Format::ALL.into_iter().filter(|format| !matches!(format, signature_list!())) {
        let columns = (format == Format::Csv).then(|| columns.clone());
        let feed = Feed { columns, ..Feed::new("poison", "poison.txt") };
        for token in text.lines() {
            let (header, row) = row(format, token);
            let (lines, counts) = run(&feed, format, format!("{header}{row}\n").as_bytes());
            rows += 1;
            if counts.kept > 0 {
                accepted.push(format!("{format}: {row}: {lines:?}"));
            }
            // Refused with a reason, or no row at all: a comment, a header, a document that ends the feed.
            let told = lines.iter().any(|line| line.get("error").is_some() || line.get("rejected").is_some());
            assert!(told || counts.comments + counts.blank == counts.rows, "{format}: {row}: {lines:?}");
            assert!(counts.rejected_rows() <= 1, "{row}");
        }
    }
    assert!(accepted.is_empty(), "{} of {rows} poison rows were accepted:\n{}", accepted.len(), accepted.join("\n"));
    assert!(text.lines().count() >= 240 && rows >= 17 * 240, "{rows}");
}

#[test]
fn a_line_beyond_the_limit_is_rejected_and_the_next_one_read() {
    for format in Format::ALL.into_iter().filter(|format| *format != Format::Csv && !format.is_document()) {
        let (header, good) = row(format, "44d88612fea8a8f36de82e1278abb02f");
        let bytes = format!("{header}{}\n{good}\n", "x".repeat(LINE_BYTES_MAX + 1));
        let feed = Feed::new("long", "long.txt");
        let (_, counts) = run(&feed, format, bytes.as_bytes());
        assert_eq!(counts.rejected["line-too-long"], 1, "{format}");
        assert_eq!(counts.rows, 2 + header.lines().count() as u64, "{format}");
    }
}

#[test]
fn a_nul_byte_rejects_its_line_only() {
    let feed = Feed::new("nul", "nul.txt");
    let (_, counts) = run(&feed, Format::HostList, b"a.example\0\nb.example\n");
    assert_eq!((counts.kept, counts.rejected["nul-byte"]), (1, 1));
}

//! Which format a feed has, told from its first bytes and its name, with the reason stated; never a silent guess.
//!
//! ```text
//! container (zip, tar, zstd, UTF-16) ──► foreign formats (JSON, HTML, filter and rule languages) ──► header of a known table
//!    ──► digest;comment ──► hosts file ──► one indicator a line ──► undecided: what was seen, and which option to set
//! ```
//! Only the first `DETECT_BYTES` and `DETECT_ROWS` are looked at. A list counts as one when three quarters of these rows are single indicators:
//! real lists have stray lines, and each of those is rejected with its own reason when the list is read.

use crate::format::Format;
use crate::json_shape;
use crate::limits::DETECT_ROWS;
use crate::look::{self, Look, look};
use crate::read::fields::split;
use crate::read::table::{Preset, is_header, names};
use crate::read::{
    feodo, hash_table, iprep, is_list_comment, maltrail, malwarebazaar, misp_csv, openphish, phishtank, sslbl, threatfox, urlhaus,
    urlhaus_filter, without_trailing_comment,
};
use crate::refang::refang;
use std::collections::BTreeMap;

/// A format and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Detected {
    /// The format.
    pub format: Format,
    /// Completes the sentence "detected: urlhaus-csv because …".
    pub because: String,
}

/// No format could be told.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Undecided {
    /// A format that this version does not read.
    #[error("looks like {0}, which this version does not read")]
    Foreign(&'static str),
    /// Nothing but comments and blank lines.
    #[error("holds no row to tell its format by; set format (or --format)")]
    NoRows,
    /// A table with columns that no known format has.
    #[error("looks like a table of unknown columns ({0}); declare them in [feed.columns]")]
    UnknownTable(String),
    /// Neither a table nor a list.
    #[error("its format could not be told: {0}; set format (or --format) to one of: {known}", known = known())]
    Unclear(String),
}

const PRESETS: [(Format, &Preset); 10] = [
    (Format::UrlhausCsv, &urlhaus::PRESET),
    (Format::ThreatfoxCsv, &threatfox::PRESET),
    (Format::FeodoCsv, &feodo::PRESET),
    (Format::PhishtankCsv, &phishtank::PRESET),
    (Format::OpenphishTsv, &openphish::PRESET),
    (Format::MaltrailTsv, &maltrail::PRESET),
    (Format::UrlhausFilterTsv, &urlhaus_filter::PRESET),
    (Format::MalwarebazaarCsv, &malwarebazaar::PRESET),
    (Format::SslblCsv, &sslbl::PRESET),
    (Format::HashTable, &hash_table::PRESET),
];

/// Tells the format. `whole` says that `head` is all there is, so that its last line is complete.
pub fn detect(name: &str, head: &[u8], whole: bool) -> Result<Detected, Undecided> {
    let head = head.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(head);
    if let Some(foreign) = container(head) {
        return Err(Undecided::Foreign(foreign));
    }
    let complete = if whole { head } else { &head[..head.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1)] };
    let lines: Vec<&[u8]> = complete.split(|&byte| byte == b'\n').map(|line| line.trim_ascii()).filter(|line| !line.is_empty()).collect();
    if let Some(detected) = by_header(&lines) {
        return Ok(detected);
    }
    let rows: Vec<&[u8]> = lines.iter().copied().filter(|line| !is_list_comment(line)).take(DETECT_ROWS).collect();
    if head.trim_ascii_start().starts_with(b"<") {
        return Err(Undecided::Foreign(markup(head)));
    }
    if let Some(told) = json_shape::tell(head) {
        return told;
    }
    if let Some(detected) = by_language(&lines, &rows) {
        return Ok(detected);
    }
    let Some(first) = rows.first() else { return Err(Undecided::NoRows) };
    if let Some(detected) = by_shape(&rows) {
        return Ok(detected);
    }
    if let Some(undecided) = has_unknown_header(&rows) {
        return Err(undecided);
    }
    by_kinds(name, &lines, &rows).ok_or_else(|| unclear(first, &rows))
}

fn container(head: &[u8]) -> Option<&'static str> {
    let magic: [(&[u8], &str); 8] = [
        (b"\x28\xb5\x2f\xfd", "a zstd file"),
        (b"PK\x03\x04", "a zip archive"),
        (b"BZh", "a bzip2 file"),
        (b"\xfd7zXZ", "an xz file"),
        (b"\x1f\x8b", "gzip inside gzip"),
        (b"\xff\xfe", "UTF-16 text (convert it to UTF-8)"),
        (b"\xfe\xff", "UTF-16 text (convert it to UTF-8)"),
        (b"SQLite format 3\0", "an SQLite database"),
    ];
    if let Some((_, foreign)) = magic.iter().find(|(magic, _)| head.starts_with(magic)) {
        return Some(foreign);
    }
    if head.get(257..262) == Some(b"ustar") {
        return Some("a tar archive (unpack it first)");
    }
    let start = &head[..head.len().min(4096)];
    let nul_bytes = start.iter().filter(|&&byte| byte == 0).count();
    (nul_bytes * 16 > start.len()).then_some("a binary file")
}

fn markup(head: &[u8]) -> &'static str {
    let holds = |mark: &[u8]| contains(head, mark);
    match () {
        () if holds(b"stix:STIX_Package") || holds(b"STIX_Package") => "STIX 1.x in XML",
        () if holds(b"openioc") || holds(b"<ioc ") => "OpenIOC",
        () => "HTML or XML (an error page?)",
    }
}

/// Languages of filters, resolvers and detection rules, by how their lines begin.
fn by_language(lines: &[&[u8]], rows: &[&[u8]]) -> Option<Detected> {
    let first = rows.first()?;
    let told = |format: Format, because: &str| Some(Detected { format, because: because.to_owned() });
    if lines.iter().take(8).any(|line| contains(line, b"Maltrail developers")) {
        return told(Format::MaltrailList, "its head names Maltrail's developers");
    }
    if lines.iter().any(|line| line.starts_with(b"[Adblock") || line.starts_with(b"[uBlock")) {
        return told(Format::Adblock, "a line names Adblock");
    }
    let counted = |count: usize, what: &str| (count * 2 > rows.len()).then(|| format!("{count} of the first {} rows {what}", rows.len()));
    let begin = |begins: &[&[u8]]| rows.iter().filter(|row| begins.iter().any(|begin| row.starts_with(begin))).count();
    let hold = |what: &[u8]| rows.iter().filter(|row| contains(row, what)).count();
    let filters = rows.iter().filter(|row| is_filter(row)).count();
    let candidates = [
        (Format::Adblock, counted(filters, "are filter rules")),
        (Format::Dnsmasq, counted(begin(&[b"address=/", b"server=/", b"local=/"]), "begin with address=/, server=/ or local=/")),
        (Format::Unbound, counted(begin(&[b"local-zone:", b"local-data:"]), "begin with local-zone: or local-data:")),
        (Format::BindZones, counted(begin(&[b"zone \""]), "begin with zone")),
        (Format::Rpz, counted(hold(b" CNAME ").max(hold(b"\tCNAME\t")), "are CNAME records")),
        (Format::IdsRules, counted(begin(&[b"alert ", b"drop ", b"reject ", b"block "]), "begin as detection rules do")),
        (Format::IpReputation, counted(rows.iter().filter(|row| is_reputation(row)).count(), "are address,category,reputation")),
    ];
    if let Some((format, because)) = candidates.into_iter().find_map(|(format, because)| Some((format, because?))) {
        return Some(Detected { format, because });
    }
    if first.starts_with(b"$TTL") || first.starts_with(b"$ORIGIN") {
        return told(Format::Rpz, "it begins as a zone file does");
    }
    // Mixed lists of uBlock Origin: hosts by themselves, and filters that may come late.
    if lines.first().is_some_and(|line| line.starts_with(b"! Title:")) {
        return told(Format::Adblock, "it begins with ! Title: as filter lists do");
    }
    (*first == b"msFilterList").then(|| Detected { format: Format::ProtectionList, because: "it begins with msFilterList".to_owned() })
}

fn contains(line: &[u8], what: &[u8]) -> bool {
    line.windows(what.len()).any(|window| window.eq_ignore_ascii_case(what))
}

/// `||host^`, `@@…`, `…##…`, `…$third-party`.
fn is_filter(row: &[u8]) -> bool {
    row.starts_with(b"||")
        || row.starts_with(b"@@")
        || [&b"##"[..], b"#@#", b"#?#", b"$all", b"$script", b"$third-party", b"$domain="].iter().any(|mark| contains(row, mark))
}

fn is_reputation(row: &[u8]) -> bool {
    iprep::split(row).is_some_and(|(address, _, _)| matches!(look(address), Look::Address | Look::Prefix))
}

/// The header of a known table: a `#` line, or the first row.
fn by_header(lines: &[&[u8]]) -> Option<Detected> {
    let mut fields = Vec::new();
    let first = lines.first().filter(|line| split(line, b',', true, &mut fields).is_ok());
    if first.is_some() && misp_csv::HEADER.iter().all(|name| fields.iter().any(|field| field.eq_ignore_ascii_case(name.as_bytes()))) {
        return Some(Detected { format: Format::MispCsv, because: format!("the header names {}", names(&fields)) });
    }
    let first_row = lines.iter().position(|line| !line.starts_with(b"#")).unwrap_or(lines.len());
    let candidates = lines.iter().take(first_row + 1);
    for line in candidates {
        let text = line.trim_ascii_start();
        let text = &text[text.iter().take_while(|&&byte| byte == b'#').count()..];
        for (format, preset) in PRESETS {
            for &delimiter in preset.delimiters {
                let mut fields = Vec::new();
                if split(text, delimiter, preset.quotes, &mut fields).is_ok() && is_header(&fields, preset) {
                    let because = format!("the header names {}", names(&fields));
                    return Some(Detected { format, because });
                }
            }
        }
    }
    None
}

/// Lines of a shape that nothing else has.
fn by_shape(rows: &[&[u8]]) -> Option<Detected> {
    let digests = rows.iter().filter(|row| digest_and_comment(row)).count();
    if most(digests, rows) {
        return Some(Detected {
            format: Format::HashComment,
            because: format!("{digests} of the first {} rows are digest;comment", rows.len()),
        });
    }
    let hosts = rows.iter().filter(|row| is_hosts_line(row)).count();
    let because = format!("{hosts} of the first {} rows are an address that leads nowhere and names", rows.len());
    most(hosts, rows).then_some(Detected { format: Format::Hosts, because })
}

/// Three quarters.
fn most(count: usize, rows: &[&[u8]]) -> bool {
    count * 4 >= rows.len() * 3
}

/// One indicator a line: of which kinds?
fn by_kinds(name: &str, lines: &[&[u8]], rows: &[&[u8]]) -> Option<Detected> {
    let mut counts: BTreeMap<&'static str, usize> = BTreeMap::new();
    for row in rows {
        if let Some(kind) = kind_of_row(row) {
            *counts.entry(kind).or_default() += 1;
        }
    }
    let seen = counts.values().sum::<usize>();
    if seen == 0 || !most(seen, rows) {
        return None;
    }
    let only = |kinds: &[&str]| counts.keys().all(|kind| kinds.contains(kind));
    let told = counts.iter().map(|(kind, count)| format!("{count} {kind}")).collect::<Vec<_>>().join(", ");
    let because = format!("the first {} rows hold {told}", rows.len());
    let is_netset = name.contains(".netset")
        || name.contains(".ipset")
        || lines.iter().take(8).any(|line| line.starts_with(b"#") && ends_in_ipset(line));
    let format = match () {
        () if only(&["addresses", "prefixes"]) && is_netset => Format::Netset,
        () if only(&["addresses", "prefixes", "addresses with ports"]) => Format::AddressList,
        () if only(&["digests"]) => Format::HashList,
        () if only(&["URLs"]) => Format::UrlList,
        () if only(&["hosts", "addresses"]) => Format::HostList,
        () => Format::List,
    };
    Some(Detected { format, because })
}

fn ends_in_ipset(line: &[u8]) -> bool {
    line.ends_with(b"ipset") || line.ends_with(b"netset")
}

fn digest_and_comment(row: &[u8]) -> bool {
    row.iter().position(|&byte| byte == b';').is_some_and(|end| look(row[..end].trim_ascii()) == Look::Digest)
}

fn is_hosts_line(row: &[u8]) -> bool {
    let mut words = row.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    let target = words.next().and_then(|word| look::address(word.split(|&byte| byte == b'%').next()?));
    target.is_some_and(|target| target.is_unspecified() || target.is_loopback()) && words.next().is_some_and(|name| !name.starts_with(b"#"))
}

/// What a row of a plain list holds; `None` when it is no single indicator.
fn kind_of_row(row: &[u8]) -> Option<&'static str> {
    let text = without_trailing_comment(row);
    if text.iter().any(u8::is_ascii_whitespace) {
        return None;
    }
    let text = &*refang(text);
    match look(text) {
        Look::Url if odd_authority(text) => None,
        Look::Url => Some("URLs"),
        Look::HostPath => Some("hosts with paths"),
        Look::Host if text.contains(&b'.') => Some("hosts"),
        Look::HostPort => Some("hosts with ports"),
        Look::Address => Some("addresses"),
        Look::AddressPort => Some("addresses with ports"),
        Look::Prefix => Some("prefixes"),
        Look::Digest => Some("digests"),
        _ => None,
    }
}

/// `https://a.example,0,x`: several columns that begin with a URL.
fn odd_authority(url: &[u8]) -> bool {
    let start = url.windows(3).position(|window| window == b"://").map_or(0, |at| at + 3);
    let rest = &url[start..];
    let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?' | b'#')).unwrap_or(rest.len());
    rest[..end].iter().any(|byte| matches!(byte, b',' | b';' | b'|' | b'"' | b'\'' | b'<' | b'>'))
}

/// A first row that is no indicator, and as many columns in nine of ten rows as it has: a table, though its rows may look like URLs.
fn has_unknown_header(rows: &[&[u8]]) -> Option<Undecided> {
    let first = rows.first().filter(|first| kind_of_row(first).is_none())?;
    let columns_of = |row: &[u8], delimiter: u8| {
        let mut fields = Vec::new();
        split(row, delimiter, delimiter != b'\t', &mut fields).ok().map(|()| fields.len())
    };
    for delimiter in [b'\t', b';', b','] {
        let Some(columns @ 2..) = columns_of(first, delimiter) else { continue };
        let alike = rows.iter().filter(|row| columns_of(row, delimiter) == Some(columns)).count();
        if alike > 1 && alike * 10 >= rows.len() * 9 {
            let mut fields = Vec::new();
            split(first, delimiter, delimiter != b'\t', &mut fields).ok()?;
            return Some(Undecided::UnknownTable(names(&fields)));
        }
    }
    None
}

/// Says what was seen: a table, if the rows have one delimiter in common, or the first row that is no indicator.
fn unclear(first: &[u8], rows: &[&[u8]]) -> Undecided {
    for delimiter in [b'\t', b';', b','] {
        if rows.iter().filter(|row| row.contains(&delimiter)).count() * 4 >= rows.len() * 3 {
            let mut fields = Vec::new();
            if split(first, delimiter, delimiter != b'\t', &mut fields).is_ok() {
                return Undecided::UnknownTable(names(&fields));
            }
        }
    }
    let singles = rows.iter().filter(|row| kind_of_row(row).is_some()).count();
    let odd = rows.iter().find(|row| kind_of_row(row).is_none()).unwrap_or(&first);
    let shown = odd[..odd.len().min(60)].escape_ascii();
    Undecided::Unclear(format!("{singles} of the first {} rows are single indicators; the first other row is \"{shown}\"", rows.len()))
}

fn known() -> String {
    Format::ALL.map(Format::name).join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, format: Format) {
        match detect("feed.txt", text.as_bytes(), true) {
            Ok(detected) => assert_eq!(detected.format, format, "{text}: {}", detected.because),
            Err(error) => panic!("{text}: {error}"),
        }
    }

    fn check_foreign(text: &str, expected: &str) {
        assert_eq!(detect("feed.txt", text.as_bytes(), true).unwrap_err(), Undecided::Foreign(expected_static(expected)), "{text}");
    }

    fn expected_static(text: &str) -> &'static str {
        Box::leak(text.to_owned().into_boxed_str())
    }

    #[test]
    fn tells_tables_by_their_header() {
        check(
            "# \"id\",\"dateadded\",\"url\",\"url_status\",\"last_online\",\"threat\",\"tags\",\"urlhaus_link\",\"reporter\"\r\n",
            Format::UrlhausCsv,
        );
        check("id,dateadded,url,url_status,threat,tags,urlhaus_link,reporter\n", Format::UrlhausCsv);
        check("# \"first_seen_utc\", \"ioc_id\", \"ioc_value\", \"ioc_type\", \"threat_type\"\n\"a\"\n", Format::ThreatfoxCsv);
        check("# x\nfirst_seen_utc,dst_ip,dst_port,c2_status,last_online,malware\n", Format::FeodoCsv);
        check("phish_id,url,phish_detail_url,submission_time,verified,verification_time,online,target\n", Format::PhishtankCsv);
        check("first_seen\tlast_seen\tsnapshots\turl\n", Format::OpenphishTsv);
        check("first_seen\tlast_seen\tsnapshots\tline\n", Format::OpenphishTsv);
        check("class\tfamily\tindicator\treference\n", Format::MaltrailTsv);
        check("first_seen\tlast_seen\tsnapshots\ttype\tindicator\n", Format::UrlhausFilterTsv);
        check("hash\ttype\tsource\tfamily_or_report\n", Format::HashTable);
        check("hash,type,source,family\n", Format::HashTable);
    }

    #[test]
    fn tells_lists_by_their_rows() {
        check("http://a.example/x\nhxxps://b[.]example/y\n", Format::UrlList);
        check("http://a.example/x,y,z\n", Format::UrlList);
        check("a.example\nb.example # x\n192.0.2.1\n", Format::HostList);
        check("bad[.]example\n", Format::HostList);
        check("192.0.2.1\n192.0.2.0/24\n192.0.2.1:80\n", Format::AddressList);
        check("#\n# x\n# ipv4 hash:net ipset\n#\n192.0.2.0/24\n", Format::Netset);
        check("192.0.2.0/24 ; SBL1\n", Format::AddressList);
        check("44d88612fea8a8f36de82e1278abb02f\n", Format::HashList);
        check("44d88612fea8a8f36de82e1278abb02f;EICAR; x\n", Format::HashComment);
        check("# x\n127.0.0.1 localhost\n0.0.0.0 a.example b.example\n", Format::Hosts);
        check("a.example\nhttp://b.example/\n", Format::List);
        check("[2001:db8::1]:443\n", Format::AddressList);
        check("URLs\nhttp://a.example/\nhttp://a.example/1\nhttp://a.example/2\n", Format::UrlList);
    }

    #[test]
    fn tells_languages_by_how_their_lines_begin() {
        check("[Adblock Plus 2.0]\n||a.example^\n", Format::Adblock);
        check("! Title: x\n||a.example^\n", Format::Adblock);
        check("! Title: x\na.example\nb.example\nc.example\n", Format::Adblock);
        check("address=/a.example/0.0.0.0\n", Format::Dnsmasq);
        check("local-zone: \"a.example\" always_nxdomain\n", Format::Unbound);
        check("zone \"a.example\" { type master; };\n", Format::BindZones);
        check("$TTL 30\n@ SOA x\na.example CNAME .\n", Format::Rpz);
        check("alert tcp any any -> any any (msg:\"x\";)\n", Format::IdsRules);
        check("msFilterList\n: Expires=1\n-d a.example\n", Format::ProtectionList);
        check("192.0.2.1,5,127\n2001:db8::/32,5,100\n", Format::IpReputation);
        check("# Copyright (c) Maltrail developers\n\na.example\n192.0.2.1:80\n", Format::MaltrailList);
    }

    #[test]
    fn says_what_it_does_not_read() {
        check_foreign("<!doctype html>\n", "HTML or XML (an error page?)");
        check_foreign("<?xml version=\"1.0\"?>\n<stix:STIX_Package id=\"x\">\n", "STIX 1.x in XML");
        check_foreign("<?xml version=\"1.0\"?>\n<ioc xmlns=\"x\">\n", "OpenIOC");
        check_foreign("PK\u{3}\u{4}", "a zip archive");
        assert_eq!(detect("x", b"\xff\xfea\0", true), Err(Undecided::Foreign("UTF-16 text (convert it to UTF-8)")));
        assert_eq!(detect("x", &[0; 100], true), Err(Undecided::Foreign("a binary file")));
    }

    #[test]
    fn never_guesses() {
        assert_eq!(detect("x", b"", true), Err(Undecided::NoRows));
        assert_eq!(detect("x", b"# only\n\n; comments\n", true), Err(Undecided::NoRows));
        let table = detect("x", b"first_seen\tlast_seen\tsnapshots\thost\n2020\t2021\t1\ta.example\n", true).unwrap_err();
        assert_eq!(table, Undecided::UnknownTable("first_seen, last_seen, snapshots, host".into()));
        for text in [
            "url,label,source\nhttps://a.example,0,x\nhttps://b.example,0,x\n",
            "url,label\nhttps://a.example/x,0\nhttps://b.example/y,1\n",
        ] {
            assert!(matches!(detect("x", text.as_bytes(), true), Err(Undecided::UnknownTable(_))), "{text}");
        }
        assert!(matches!(detect("x", b"https://a.example,0,x\n", true), Err(Undecided::UnknownTable(_))));
        let unclear = detect("x", b"once upon a time\nthere was a feed\n", true).unwrap_err();
        assert!(unclear.to_string().contains("set format"), "{unclear}");
        assert!(unclear.to_string().contains("once upon a time"), "{unclear}");
    }

    #[test]
    fn a_cut_last_line_is_not_looked_at() {
        assert_eq!(detect("x", b"a.example\nhttp://b.exa", false).unwrap().format, Format::HostList);
    }
}

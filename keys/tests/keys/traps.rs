//! Spellings that attackers use to be looked up as something else, by name. Each must become the key of what a browser would open.

use verdict_keys::{Canonicalizer, Host, Unparseable};

fn check(raw: impl AsRef<[u8]>, want: &str) {
    let mut canonicalizer = Canonicalizer::new();
    let shown = String::from_utf8_lossy(raw.as_ref());
    let got = canonicalizer.url(raw.as_ref()).map(|url| format!("{}{}", url.host_text, url.path_query));
    assert_eq!(got, Ok(want.to_owned()), "{shown}");
}

fn refuse(raw: impl AsRef<[u8]>, want: Unparseable) {
    let mut canonicalizer = Canonicalizer::new();
    let shown = String::from_utf8_lossy(raw.as_ref());
    assert_eq!(canonicalizer.url(raw.as_ref()).err(), Some(want), "{shown}");
}

fn check_host(raw: &str, want: Result<&str, Unparseable>) {
    let mut canonicalizer = Canonicalizer::new();
    assert_eq!(canonicalizer.host(raw.as_bytes()).map(|(_, text)| text), want, "{raw}");
}

#[test]
fn ideographic_dots_are_dots() {
    for dot in ['\u{3002}', '\u{FF0E}', '\u{FF61}'] {
        check(format!("http://www{dot}example{dot}com/x"), "www.example.com/x");
        check(format!("http://127{dot}0{dot}0{dot}1/"), "127.0.0.1/");
        check(format!("http://example.com{dot}/"), "example.com/");
    }
}

#[test]
fn idna_comes_before_the_ip_check() {
    check("http://１２７.０.０.１/", "127.0.0.1/");
    check("http://①②⑦.⓪.⓪.①/", "127.0.0.1/");
    check("http://0Ｘc0.0250.01/", "192.168.0.1/");
    check("http://%EF%BC%91%EF%BC%92%EF%BC%97.1/", "127.0.0.1/");
    check("http://ｅｘａｍｐｌｅ。ｃｏｍ/", "example.com/");
}

#[test]
fn invisible_characters_in_hosts_vanish() {
    check("http://exa\u{AD}mple.com/", "example.com/"); // soft hyphen
    check("http://exa\u{200B}mple.com/", "example.com/"); // zero-width space
    check("http://exa\u{2060}mple\u{FEFF}.com/", "example.com/");
}

#[test]
fn trailing_dots_and_case_fold() {
    check("http://EXAMPLE.COM./", "example.com/");
    check("http://example.com../", "example.com/");
    check("http://127.0.0.1./", "127.0.0.1/");
    check("HtTpS://ExAmPlE.cOm", "example.com/");
}

#[test]
fn octal_hexadecimal_and_short_ipv4_are_addresses() {
    for host in ["0x7f.1", "0177.0.0.1", "2130706433", "0x7F000001", "017700000001", "127.1", "127.0.1", "0x7f.0x0.0x0.0x1", "00000177.1"] {
        check(format!("http://{host}/"), "127.0.0.1/");
    }
}

#[test]
fn hosts_that_end_in_a_number_and_are_no_address_are_refused() {
    for host in ["1.2.3.4.5", "foo.1.2.3.4", "1.2.3.08", "foo.0x4", "0x100000000", "4294967296", "１.２.３.４.５"] {
        refuse(format!("http://{host}/"), Unparseable::Ipv4);
    }
}

#[test]
fn an_ipv4_part_too_large_for_its_place_is_refused_and_never_masked() {
    for host in ["256.0.0.1", "276.2.3", "1.2.3.256", "1.2.65536", "0x100.0.0.1", "0400.0.0.1", "２５６.0.0.1", "256%2e0.0.1", "256。0.0.1"]
    {
        refuse(format!("http://{host}/"), Unparseable::Ipv4);
        check_host(host, Err(Unparseable::Ipv4));
    }
}

#[test]
fn a_scheme_hidden_in_escapes_is_unescaped_with_all_that_follows() {
    check("http%3A%2F%2Fevil.example%2Fx", "evil.example/x");
    check("http%3A%2F%2Fevil.example%23/x", "evil.example/");
    check("http%3A%2F%2Fev%0Ail.example%2523/x", "evil.example/");
    check("http%253A//good.example%2F@evil.example/", "good.example/@evil.example/");
}

#[test]
fn userinfo_is_not_the_host() {
    check("http://good.example@evil.example/", "evil.example/");
    check("http://good.example:443@evil.example/", "evil.example/");
    check("http://user:p@ss@evil.example:8080/", "evil.example/");
    check("http://good.example%2F@evil.example/", "evil.example/");
    check("http://good.example%40@evil.example/", "evil.example/");
    check("http://good.example\\@evil.example/", "good.example/@evil.example/");
    check("http://good.example/@evil.example/", "good.example/@evil.example/");
    check("http://good.example?@evil.example/", "good.example/?@evil.example/");
    check("http://good.example#@evil.example/", "good.example/");
    check("good.example:80@evil.example/", "evil.example/");
}

#[test]
fn backslashes_are_slashes() {
    check("http:\\\\example.com\\a\\b", "example.com/a/b");
    check("http:/\\example.com", "example.com/");
    check("\\\\example.com\\x", "example.com/x");
    check("/\\example.com", "example.com/");
    check("http://example.com/?a\\b", "example.com/?a\\b");
}

#[test]
fn slashes_after_the_scheme_may_be_any_number() {
    for start in ["http:", "http:/", "http://", "http:///", "http:////\\//"] {
        check(format!("{start}example.com/x"), "example.com/x");
    }
}

#[test]
fn encoded_dots_and_slashes_in_paths_resolve() {
    check("http://example.com/a/%2e%2e/b", "example.com/b");
    check("http://example.com/a/.%2E/b", "example.com/b");
    check("http://example.com/a%2f..%2fb", "example.com/b");
    check("http://example.com/%252e%252e/b", "example.com/b");
    check("http://example.com/.well-known/acme", "example.com/.well-known/acme");
    check("http://example.com/a/.i", "example.com/a/.i");
    check("http://example.com/a/...", "example.com/a/...");
    check("http://example.com/a/.", "example.com/a/");
    check("http://example.com/a/..?q", "example.com/?q");
    check("http://example.com/a/.%2e/b", "example.com/b");
    check("http://example.com/evil//../page", "example.com/evil/page");
    check("http://example.com/x%3Fy/../evil", "example.com/evil");
    check("http://example.com/%3F/..%2fevil", "example.com/evil");
}

#[test]
fn percent_encoded_hosts_are_decoded() {
    check("http://%65%78ample%2Ecom/", "example.com/");
    check("http://%31%32%37%2e%31/", "127.0.0.1/");
    check("http://%E4%BE%8B%E3%80%82example/", "xn--fsq.example/");
    check("http%3A%2F%2Fexample.com%2Fx", "example.com/x");
}

#[test]
fn structure_hidden_in_an_encoded_host_is_refused() {
    for host in
        ["good.example%2Fevil.example", "good.example%40evil.example", "evil.example%3A80", "%5Ba%5D", "good.example%3Fevil", "a%5Cb"]
    {
        refuse(format!("http://{host}/"), Unparseable::HostCharacter);
    }
}

#[test]
fn mapped_and_nat64_addresses_are_ipv4() {
    for host in
        ["[::ffff:192.0.2.1]", "[::FFFF:c000:201]", "[64:ff9b::192.0.2.1]", "[0:0:0:0:0:ffff:192.0.2.1]", "[0064:ff9b:0::c000:0201]"]
    {
        check(format!("http://{host}:80/"), "192.0.2.1/");
    }
}

#[test]
fn ipv6_has_one_form_and_no_zone() {
    check("http://[2001:0DB8:0:0::0001]/", "[2001:db8::1]/");
    check("[2001:db8::1]:8080/x", "[2001:db8::1]/x");
    refuse("http://[fe80::1%25eth0]/", Unparseable::ZoneId);
    refuse("http://[fe80::1%eth0]/", Unparseable::ZoneId);
    refuse("http://[2001:db8::1", Unparseable::Ipv6);
    refuse("http://[2001:db8::1]x/", Unparseable::Ipv6);
    refuse("http://[example.com]/", Unparseable::Ipv6);
}

#[test]
fn ports_are_checked_and_dropped() {
    check("http://example.com:/", "example.com/");
    check("http://example.com:000000080/", "example.com/");
    check("example.com:8080/x", "example.com/x");
    check("localhost:8080", "localhost/");
    for port in ["65536", "-80", "80a", "80:80", "%38%30"] {
        refuse(format!("http://example.com:{port}/"), Unparseable::Port);
    }
}

#[test]
fn what_browsers_strip_is_stripped() {
    check("\u{0}\u{1b} http://example.com/ \u{1f}\r\n", "example.com/");
    check("h\tt\nt\rp://exa\tmple\n.com/a\rb?c\td", "example.com/ab?cd");
    check("http://example.com/a#b#c", "example.com/a");
}

#[test]
fn other_schemes_are_refused_by_their_own_reason() {
    for raw in [
        "mailto:a@example.com",
        "javascript:alert(1)",
        "javascript:1",
        "data:text/html,x",
        "file:///etc/passwd",
        "tel:112",
        "blob:http://a/b",
    ] {
        refuse(raw, Unparseable::UnsupportedScheme);
    }
    for raw in ["hxxp://example.com/", "gopher://example.com/", "\u{FEFF}https://example.com/", "1http://example.com/"] {
        refuse(raw, Unparseable::UnsupportedScheme);
    }
}

#[test]
fn without_a_host_there_is_nothing_to_ask() {
    for raw in ["", " ", "#ref", "\t\r\n"] {
        refuse(raw, Unparseable::Empty);
    }
    for raw in ["/blah", "?query", "http://", "http://?q", "http:///", "http://@/x", "http://user:pass@/", "http://:80/", "http://./", ":"]
    {
        refuse(raw, Unparseable::NoHost);
    }
}

#[test]
fn length_has_a_limit_before_and_after() {
    let fits = format!("http://h/{}", "x".repeat(8192 - 9));
    check(&fits, &fits["http://".len()..]);
    refuse(format!("{fits}x"), Unparseable::TooLong);
    refuse(format!("http://h/{}", "\u{80}".repeat(4000)), Unparseable::TooLong); // 24,000 bytes once escaped
}

#[test]
fn a_host_question_takes_any_spelling_of_a_host() {
    check_host("EXAMPLE。com.", Ok("example.com"));
    check_host(" example.com:443 ", Ok("example.com"));
    check_host("0x7f.1", Ok("127.0.0.1"));
    check_host("2001:DB8::1", Ok("[2001:db8::1]"));
    check_host("[2001:db8::1]:443", Ok("[2001:db8::1]"));
    check_host("::ffff:192.0.2.1", Ok("192.0.2.1"));
    check_host("fe80::1%eth0", Err(Unparseable::ZoneId));
    for raw in ["example.com/", "http://example.com", "user@example.com", "a#b", "a\\b", "a?b"] {
        check_host(raw, Err(Unparseable::HostCharacter));
    }
    check_host("  ", Err(Unparseable::Empty));
    check_host(".", Err(Unparseable::NoHost));
}

#[test]
fn an_address_is_told_from_a_name() {
    let mut canonicalizer = Canonicalizer::new();
    let url = canonicalizer.url(b"http://3279880203/blah").expect("a URL");
    assert_eq!(url.host, Host::Address("195.127.0.11".parse().expect("an address")));
    let url = canonicalizer.url(b"http://1.2.3.4a/").expect("a URL");
    assert_eq!(url.host, Host::Name("1.2.3.4a"));
}

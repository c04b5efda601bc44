//! Documents over HTTP, of servers that behave and of servers that do not.

mod common;

use common::{Directory, Server, answer, fetch, fetch_when};
use std::time::{Duration, Instant};
use verdict_fetch::{Error, Outcome, What};

fn ok(body: &str) -> Vec<u8> {
    answer("200 OK", &[], body.as_bytes())
}

fn failed(outcome: &Outcome) -> String {
    match &outcome.what {
        What::Failed(error) => error.to_string(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_document_is_asked_for_with_conditions_once_it_is_here() {
    let server = Server::start(|request| {
        if request.iter().any(|line| line == "if-none-match: \"v1\"") {
            return b"HTTP/1.1 304 Not Modified\r\n\r\n".to_vec();
        }
        answer("200 OK", &["ETag: \"v1\"", "Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT"], b"bad.example\n")
    });
    let directory = Directory::new("conditions");
    let config = directory.config("feed.txt", &format!("url = \"{}\"", server.url("/feed")));
    assert!(matches!(fetch(&config).what, What::New(12)));
    assert_eq!(directory.read("feed.txt"), "bad.example\n");
    assert!(matches!(fetch(&config).what, What::Unchanged));
    assert!(matches!(fetch_when(&config, false).what, What::NotDue));
    let asked = server.asked.lock().unwrap();
    assert!(asked[0].iter().all(|line| !line.starts_with("if-")));
    assert!(asked[1].contains(&"if-modified-since: Sun, 06 Nov 1994 08:49:37 GMT".to_owned()), "{asked:?}");
    assert_eq!(asked.len(), 2, "what is not due is not asked");
    drop(asked);
    std::fs::write(directory.0.join("feed.txt"), "by hand").unwrap();
    assert!(matches!(fetch(&config).what, What::Unchanged), "the same as it was landed");
    assert_eq!(directory.read("feed.txt"), "bad.example\n", "what somebody changed here is brought anew");
    assert_eq!(directory.others("feed.txt"), Vec::<String>::new());
}

#[test]
fn whatever_goes_wrong_the_last_good_file_stays() {
    let truncated = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nbad.exa".to_vec();
    let chunk = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n7\r\nbad.exa\r\n".to_vec();
    let cases: [(Vec<u8>, &str); 13] = [
        (truncated, "end of file"),
        (chunk, "error"),
        (b"nonsense\r\n\r\n".to_vec(), "error"),
        (Vec::new(), "error"),
        (answer("404 Not Found", &[], b"gone"), "status 404"),
        (answer("500 Oh", &["Retry-After: 900"], b""), "status 500, again in 900 s"),
        (answer("401 Who", &[], b""), "status 401: it asks for a secret"),
        (answer("200 OK", &[], b"<!DOCTYPE html><title>Sign in</title>"), "HTML"),
        (ok(""), "empty document"),
        (ok("refuse me"), "no rule in it"),
        (ok(&"bad.example\n".repeat(100)), "more than fetch.bytes_max (1000 bytes)"),
        (answer("200 OK", &["Content-Encoding: br"], b"bad.example"), "content coding \"br\""),
        (answer("206 Partial Content", &[], b"bad."), "status 206"),
    ];
    for (bytes, said) in cases {
        let server = Server::start(move |request| if request[0].starts_with("GET /good") { ok("good\n") } else { bytes.clone() });
        let directory = Directory::new("wrong");
        let config = |path: &str| directory.config("feed.txt", &format!("url = \"{}\"\nbytes_max = 1000", server.url(path)));
        assert!(matches!(fetch(&config("/good")).what, What::New(5)));
        let outcome = fetch(&config("/bad"));
        let error = failed(&outcome);
        assert!(error.contains(said), "{said}: {error}");
        assert_eq!(directory.read("feed.txt"), "good\n", "{said}");
        assert_eq!(directory.others("feed.txt"), Vec::<String>::new(), "{said}");
        assert_eq!((outcome.state.failures, outcome.state.error.as_deref()), (1, Some(error.as_str())));
    }
}

#[test]
fn a_body_without_an_end_is_cut_at_its_bound_of_bytes() {
    let endless = |_: &common::Request| {
        let mut bytes = b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n".to_vec();
        bytes.resize(4 << 20, b'a');
        bytes
    };
    let server = Server::start(endless);
    let directory = Directory::new("endless");
    let config = directory.config("feed.txt", &format!("url = \"{}\"\nbytes_max = 100_000", server.url("/")));
    assert!(matches!(fetch(&config).what, What::Failed(Error::TooLarge(100_000))));
    assert_eq!(directory.others("feed.txt"), Vec::<String>::new());
}

#[test]
fn a_server_that_says_nothing_is_left_after_the_timeout() {
    let server = Server::start(|_| {
        std::thread::sleep(Duration::from_secs(20));
        Vec::new()
    });
    let directory = Directory::new("silent");
    let begun = Instant::now();
    let config = directory.config("feed.txt", &format!("url = \"{}\"\ntimeout = 1", server.url("/")));
    assert!(matches!(fetch(&config).what, What::Failed(Error::TimedOut(1))));
    assert!(begun.elapsed() < Duration::from_secs(10));
}

#[test]
fn nobody_there_is_an_error_without_an_address() {
    let directory = Directory::new("nobody");
    std::fs::write(directory.0.join("key"), "s3cr3t").unwrap();
    let config = directory.config("feed.txt", "url = \"http://127.0.0.1:1/{secret}/x\"\nsecret_file = \"key\"");
    let outcome = fetch(&config);
    let error = failed(&outcome);
    assert!(error.contains("refused") && !error.contains("s3cr3t"), "{error}");
    assert!(!directory.read("feed.txt.fetch").contains("s3cr3t"));
}

#[test]
fn a_secret_goes_where_it_is_told_to_and_never_elsewhere() {
    let elsewhere = Server::start(|_| ok("stolen\n"));
    let away = elsewhere.url("/x");
    let server = Server::start(move |request| match request[0].split(' ').nth(1) {
        Some("/away") => answer("302 Found", &[&format!("Location: {away}?of=you")], b""),
        Some("/near") => answer("302 Found", &["Location: /there"], b""),
        _ => ok("bad.example\n"),
    });
    let directory = Directory::new("secret");
    std::fs::write(directory.0.join("key"), "s3cr/t\n").unwrap();
    let with =
        |lines: &str, path: &str| directory.config("feed.txt", &format!("url = \"{}\"\nsecret_file = \"key\"\n{lines}", server.url(path)));
    for (lines, path, seen) in [
        ("header = \"Auth-Key\"", "/a", "auth-key: s3cr/t"),
        ("", "/a", "authorization: s3cr/t"),
        ("user = \"me\"", "/a", "authorization: Basic bWU6czNjci90"),
        ("", "/{secret}/a", "GET /s3cr%2Ft/a HTTP/1.1"),
        ("header = \"Auth-Key\"", "/near", "auth-key: s3cr/t"),
    ] {
        assert!(matches!(fetch(&with(lines, path)).what, What::New(_) | What::Unchanged), "{seen}");
        let asked = server.asked.lock().unwrap();
        assert!(asked.last().unwrap().iter().any(|line| line == seen), "{seen}: {asked:?}");
    }
    let error = failed(&fetch(&with("header = \"Auth-Key\"", "/away")));
    assert!(error.contains("redirected to http://") && !error.contains("of=you"), "{error}");
    assert!(elsewhere.asked.lock().unwrap().is_empty());
    let open = directory.config("feed.txt", &format!("url = \"{}\"", server.url("/away")));
    assert!(matches!(fetch(&open).what, What::New(7)), "without a secret a redirect is followed");
    std::fs::remove_file(directory.0.join("key")).unwrap();
    let error = failed(&fetch(&with("", "/a")));
    assert!(error.contains("the secret") && error.contains("key: No such file"), "{error}");
}

#[test]
fn a_circle_of_redirects_has_an_end() {
    let server = Server::start(|_| answer("302 Found", &["Location: /again"], b""));
    let directory = Directory::new("circle");
    let error = failed(&fetch(&directory.config("feed.txt", &format!("url = \"{}\"", server.url("/")))));
    assert!(error.contains("redirected to /again"), "{error}");
    assert!(server.asked.lock().unwrap().len() <= 7);
}

#[test]
fn feeds_are_fetched_side_by_side_and_one_failure_is_its_own() {
    let server = Server::start(|request| {
        std::thread::sleep(Duration::from_millis(300));
        if request[0].contains("/3 ") { answer("503 No", &[], b"") } else { ok("bad.example\n") }
    });
    let directory = Directory::new("many");
    let feeds: String = (0..8)
        .map(|index| {
            format!("[[feed]]\nname = \"f{index}\"\npath = \"{index}\"\n[feed.fetch]\nurl = \"{}\"\n", server.url(&format!("/{index}")))
        })
        .collect();
    let config = verdict_intel::Config::parse(&(feeds + "[[feed]]\nname = \"local\"\npath = \"l\"\n"), "feeds.toml", &directory.0).unwrap();
    let begun = Instant::now();
    let outcomes =
        verdict_fetch::run(&verdict_fetch::Wanted { config: &config, names: &[], now: false, check: &|_, _| Ok(()) }, &mut |_| ()).unwrap();
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    let names: Vec<&str> = outcomes.iter().map(|outcome| outcome.feed.as_str()).collect();
    assert_eq!(names, ["f0", "f1", "f2", "f3", "f4", "f5", "f6", "f7"]);
    let news = outcomes.iter().filter(|outcome| matches!(outcome.what, What::New(12))).count();
    assert_eq!((news, failed(&outcomes[3])), (7, "status 503".to_owned()));
}

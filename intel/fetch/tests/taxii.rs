//! TAXII collections: a server of our own that pages in each of the ways that servers have, and medallion, the reference server, where it is at hand.

mod common;

use common::{Directory, Request, Server, answer, fetch};
use verdict_fetch::{Outcome, What};

const TYPE: &str = "Content-Type: application/taxii+json;version=2.1";

fn page(more: bool, next: Option<&str>, last: &str, objects: &[(&str, &str)]) -> Vec<u8> {
    let objects: Vec<String> = objects
        .iter()
        .map(|(id, modified)| format!("{{\"type\":\"indicator\",\n \"id\":\"indicator--{id}\",\"modified\":\"{modified}\"}}"))
        .collect();
    let next = next.map_or_else(String::new, |next| format!("\"next\":\"{next}\","));
    let body = format!("{{\"more\":{more},{next}\"objects\":[{}]}}", objects.join(","));
    answer("200 OK", &[TYPE, &format!("X-TAXII-Date-Added-Last: {last}")], body.as_bytes())
}

/// Ids and versions of the file.
fn kept(directory: &Directory) -> Vec<(String, String)> {
    let bundle: serde_json::Value = serde_json::from_str(&directory.read("feed.json")).unwrap();
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    bundle["objects"].as_array().unwrap().iter().map(|object| (text(&object["id"]), text(&object["modified"]))).collect()
}

fn ids(directory: &Directory) -> String {
    kept(directory).iter().map(|(id, _)| id.trim_start_matches("indicator--")).collect()
}

fn query(request: &Request) -> &str {
    request[0].split(' ').nth(1).unwrap().split_once("?limit=1000").map_or("no limit", |(_, query)| query.trim_start_matches('&'))
}

fn config(directory: &Directory, server: &Server) -> verdict_intel::Config {
    directory.config("feed.json", &format!("url = \"{}\"\nprotocol = \"taxii\"", server.url("/api/collections/1/")))
}

fn error(outcome: &Outcome) -> String {
    match &outcome.what {
        What::Failed(error) => error.to_string(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn pages_with_next_keep_the_filter_and_the_second_reading_takes_only_news() {
    let server = Server::start(|request| match query(request) {
        "" => page(true, Some("p2"), "2026-01-01T00:00:00.000001Z", &[("a", "2026-01-01T00:00:00Z"), ("b", "2026-01-01T00:00:00Z")]),
        "next=p2" => page(false, None, "2026-01-01T00:00:00.000002Z", &[("c", "2026-01-01T00:00:00Z")]),
        "added_after=2026-01-01T00%3A00%3A00.000002Z" => {
            page(true, Some("p3"), "2026-01-02T00:00:00.000003Z", &[("b", "2026-01-02T00:00:00Z")])
        }
        "added_after=2026-01-01T00%3A00%3A00.000002Z&next=p3" => {
            page(false, None, "2026-01-02T00:00:00.000004Z", &[("d", "2026-01-02T00:00:00Z")])
        }
        "added_after=2026-01-02T00%3A00%3A00.000004Z" => answer("200 OK", &[TYPE], b"{}"),
        other => answer("400 Bad Request", &[], other.as_bytes()),
    });
    let directory = Directory::new("next");
    let config = config(&directory, &server);
    assert!(matches!(fetch(&config).what, What::New(_)));
    assert_eq!(ids(&directory), "abc");
    assert!(matches!(fetch(&config).what, What::New(_)));
    assert_eq!(ids(&directory), "abcd");
    assert_eq!(kept(&directory)[1].1, "2026-01-02T00:00:00Z");
    assert!(matches!(fetch(&config).what, What::Unchanged));
    let asked = server.asked.lock().unwrap();
    assert_eq!(asked.len(), 5);
    assert!(asked.iter().all(|request| request.contains(&"accept: application/taxii+json;version=2.1".to_owned())));
}

#[test]
fn pages_without_next_go_on_by_date_also_where_the_date_is_inclusive() {
    // One object a page, the last one given again: added_after includes its own moment.
    let server = Server::start(|request| match query(request) {
        "" => page(true, None, "2026-01-01T00:00:01Z", &[("a", "1")]),
        "added_after=2026-01-01T00%3A00%3A01Z" => page(true, None, "2026-01-01T00:00:02Z", &[("a", "1"), ("b", "1")]),
        _ => page(true, None, "2026-01-01T00:00:02Z", &[("b", "1")]),
    });
    let directory = Directory::new("date");
    assert!(matches!(fetch(&config(&directory, &server)).what, What::New(_)));
    assert_eq!(ids(&directory), "ab");
    assert_eq!(server.asked.lock().unwrap().len(), 3);
}

#[test]
fn a_server_that_never_ends_is_left_with_the_page_and_the_reason() {
    type Answer = fn(&Request) -> Vec<u8>;
    let cases: [(Answer, &str); 6] = [
        (|_| page(true, Some("same"), "2026-01-01T00:00:01Z", &[("a", "1")]), "page 2: the same `next` again"),
        (|_| answer("200 OK", &[TYPE], b"{\"more\":true,\"objects\":[{\"id\":\"a\"}]}"), "page 1: `more`, but neither"),
        (|_| answer("200 OK", &[TYPE], b"{\"objects\":[{\"type\":\"x\"}]}"), "page 1: an object without an id"),
        (|_| answer("200 OK", &[TYPE], b"{\"objects\":3}"), "page 1: no TAXII envelope"),
        (|_| answer("406 Not Acceptable", &[], b""), "status 406"),
        (
            |request| match query(request) {
                "" => page(true, Some("p2"), "2026-01-01T00:00:01Z", &[("a", "1")]),
                _ => answer("500 Oh", &[], b""),
            },
            "status 500",
        ),
    ];
    for (server, said) in cases {
        let server = Server::start(server);
        let directory = Directory::new("endless");
        let error = error(&fetch(&config(&directory, &server)));
        assert!(error.contains(said), "{said}: {error}");
        assert_eq!(directory.others("feed.json"), Vec::<String>::new());
        assert!(!directory.0.join("feed.json").exists());
    }
}

#[test]
fn after_resync_what_the_server_has_no_more_is_gone() {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    let withdrawn = Arc::new(AtomicBool::new(false));
    let seen = withdrawn.clone();
    let server = Server::start(move |request| match (query(request), seen.load(Ordering::Relaxed)) {
        ("", false) => page(false, None, "2026-01-01T00:00:01Z", &[("a", "1"), ("b", "1")]),
        ("", true) => page(false, None, "2026-01-01T00:00:01Z", &[("b", "1")]),
        _ => answer("200 OK", &[TYPE], b"{}"),
    });
    let directory = Directory::new("resync");
    let config = config(&directory, &server);
    fetch(&config);
    withdrawn.store(true, Ordering::Relaxed);
    assert!(matches!(fetch(&config).what, What::Unchanged));
    assert_eq!(ids(&directory), "ab", "deletions are not told");
    let path = directory.0.join("feed.json.fetch");
    let mut state: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    state["whole_s"] = 1.into();
    std::fs::write(&path, state.to_string()).unwrap();
    assert!(matches!(fetch(&config).what, What::New(_)));
    assert_eq!(ids(&directory), "b");
}

/// `VERDICT_TAXII=http://user:password@127.0.0.1:5000/api/collections/ID/` with `VERDICT_TAXII_OBJECTS` objects: `cargo xtask test --only taxii` starts medallion
/// and names it here.
#[test]
fn the_reference_server_is_read_page_by_page() {
    let Ok(wanted) = std::env::var("VERDICT_TAXII") else {
        println!("SKIPPED: no TAXII server is named (VERDICT_TAXII)");
        return;
    };
    let (user, rest) = wanted.trim_start_matches("http://").split_once(':').unwrap();
    let (password, place) = rest.split_once('@').unwrap();
    let directory = Directory::new("reference");
    std::fs::write(directory.0.join("password"), password).unwrap();
    let lines = format!("url = \"http://{place}\"\nprotocol = \"taxii\"\nuser = \"{user}\"\nsecret_file = \"password\"");
    let config = directory.config("feed.json", &lines);
    let first = fetch(&config);
    assert!(matches!(first.what, What::New(_)), "{first:?}");
    let all = kept(&directory);
    assert_eq!(Ok(all.len().to_string()), std::env::var("VERDICT_TAXII_OBJECTS"), "{all:?}");
    assert!(matches!(fetch(&config).what, What::Unchanged));
    std::fs::write(directory.0.join("password"), "wrong").unwrap();
    assert!(error(&fetch(&config)).starts_with("status 401"));
    assert_eq!(kept(&directory), all);
}

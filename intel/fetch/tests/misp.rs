//! MISP feeds: a directory that follows its manifest, and stays as it was when anything is wrong.

mod common;

use common::{Directory, Request, Server, answer, fetch};
use std::sync::{Arc, Mutex};
use verdict_fetch::What;

const A: &str = "00000000-0000-4000-8000-00000000000a";
const B: &str = "00000000-0000-4000-8000-00000000000b";
const C: &str = "00000000-0000-4000-8000-00000000000c";

/// What a feed serves: its events, by UUID, each with a timestamp and a text.
type Served = Arc<Mutex<Vec<(&'static str, &'static str, &'static str)>>>;

fn serve(events: &Served) -> Server {
    let events = events.clone();
    Server::start(move |request: &Request| {
        let events = events.lock().unwrap();
        let path = request[0].split(' ').nth(1).unwrap().trim_start_matches("/feed/").to_owned();
        if path == "manifest.json" {
            let entry = |(uuid, timestamp, _): &(&str, &str, &str)| format!("\"{uuid}\":{{\"timestamp\":\"{timestamp}\",\"info\":\"\"}}");
            let body = format!("{{{}}}", events.iter().map(entry).collect::<Vec<_>>().join(","));
            return answer("200 OK", &[], body.as_bytes());
        }
        match events.iter().find(|(uuid, _, _)| path == format!("{uuid}.json")) {
            Some((_, _, "missing")) | None => answer("404 Not Found", &[], b""),
            Some((_, _, text)) => answer("200 OK", &[], text.as_bytes()),
        }
    })
}

fn files(directory: &Directory) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(directory.0.join("feed"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .filter(|name| name != "manifest.json")
        .map(|name| format!("{} {}", &name[35..36], directory.read(&format!("feed/{name}"))))
        .collect();
    names.sort();
    names
}

#[test]
fn a_directory_follows_its_manifest() {
    let events: Served = Arc::new(Mutex::new(vec![(A, "1", "one"), (B, "1", "two")]));
    let server = serve(&events);
    let directory = Directory::new("misp");
    let config = directory.config("feed", &format!("url = \"{}\"\nprotocol = \"misp\"", server.url("/feed/")));
    assert!(matches!(fetch(&config).what, What::New(_)));
    assert_eq!(files(&directory), ["a one", "b two"]);
    assert!(matches!(fetch(&config).what, What::Unchanged));
    *events.lock().unwrap() = vec![(B, "1", "two, not asked for again"), (C, "1", "three")];
    assert!(matches!(fetch(&config).what, What::New(_)));
    assert_eq!(files(&directory), ["b two", "c three"]);
    *events.lock().unwrap() = vec![(B, "2", "two, later"), (C, "1", "three")];
    assert!(matches!(fetch(&config).what, What::New(_)));
    assert_eq!(files(&directory), ["b two, later", "c three"]);
    let asked: Vec<String> = server.asked.lock().unwrap().iter().map(|request| request[0].clone()).collect();
    let events_asked = asked.iter().filter(|line| !line.contains("manifest")).count();
    assert_eq!(events_asked, 4, "{asked:?}");
    assert_eq!(directory.others("feed"), Vec::<String>::new());
}

#[test]
fn whatever_goes_wrong_the_last_good_directory_stays() {
    let events: Served = Arc::new(Mutex::new(vec![(A, "1", "one")]));
    let server = serve(&events);
    let directory = Directory::new("misp-wrong");
    let config = directory.config("feed", &format!("url = \"{}\"\nprotocol = \"misp\"\nbytes_max = 1000", server.url("/feed/")));
    fetch(&config);
    let long: &'static str = "x".repeat(1000).leak();
    for (wrong, said) in [
        (vec![(A, "1", "one"), (B, "1", "missing")], "00b.json: status 404"),
        (vec![("../../../../../../tmp/out-of-the-directory", "1", "x")], "is no UUID"),
        (vec![(A, "2", long)], "more than fetch.bytes_max (1000 bytes)"),
    ] {
        *events.lock().unwrap() = wrong;
        match fetch(&config).what {
            What::Failed(error) => assert!(error.to_string().contains(said), "{said}: {error}"),
            other => panic!("{said}: {other:?}"),
        }
        assert_eq!(files(&directory), ["a one"], "{said}");
        assert_eq!(directory.others("feed"), Vec::<String>::new());
    }
}

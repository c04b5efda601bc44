//! The JSON API, and that its description is of what is there.

use crate::authz::{Http, serve};
use crate::support::{Scratch, stop};
use serde_json::{Value, json};

fn get(http: &mut Http, target: &str) -> (u16, Value) {
    let response = http.ask(&format!("GET {target} HTTP/1.1\nHost: verdictd.example\n\n"));
    (response.status, serde_json::from_slice(&response.body).unwrap_or_else(|error| panic!("{target}: {error}")))
}

fn post(http: &mut Http, body: &str) -> (u16, Value) {
    let head =
        format!("POST /v1/lookup HTTP/1.1\nHost: a\nContent-Type: application/json; charset=utf-8\nContent-Length: {}\n\n", body.len());
    let response = http.ask(&format!("{head}{body}"));
    (response.status, serde_json::from_slice(&response.body).unwrap_or_else(|error| panic!("{body}: {error}")))
}

#[test]
fn one_key_is_answered_with_its_record() {
    let scratch = Scratch::new();
    let daemon = serve(&scratch, |_| ());
    let mut http = Http::connect(daemon.http[0]);
    let (status, mut verdict) = get(&mut http, "/v1/lookup?key=http%3A%2F%2Fwww.evil.test%2Fx");
    let generation = verdict["generation"].take();
    assert_eq!(generation.as_str().unwrap().len(), 16);
    let id = verdict["verdict_id"].take();
    assert!(id.as_u64().unwrap() > 0);
    let record = json!({"rule": "host-below", "class": "malicious", "score": 90, "confidence": 80, "categories": ["malware"], "flags": [],
        "sources": ["unit test"], "first_seen": "2024-10-04", "last_seen": "2025-01-12", "ttl_s": 3600});
    let want = json!({"question": "http://www.evil.test/x", "kind": "url", "status": "ok", "class": "malicious", "score": 90,
        "categories": ["malware"], "flags": [], "verdict_id": null, "record": record, "generation": null});
    assert_eq!((status, verdict), (200, want));
    for (target, kind, status, class) in [
        ("/v1/lookup?key=unknown.test", "host", "ok", json!("unknown")),
        ("/v1/lookup?key=192.0.2.1", "ipv4", "ok", json!("malicious")),
        ("/v1/lookup?key=192.0.2.1&kind=host", "host", "ok", json!("malicious")),
        ("/v1/lookup?kind=url&key=good.test", "url", "ok", json!("clean")),
        ("/v1/lookup?key=2001:db8::1", "ipv6", "ok", json!("unknown")),
        ("/v1/lookup?key=00112233445566778899aabbccddeeff", "md5", "ok", json!("unknown")),
        ("/v1/lookup?key=mailto:a@b", "url", "unparseable", json!(null)),
        ("/v1/lookup?key=192.0.2.0/24", "ipv4", "unparseable", json!(null)),
        ("/v1/lookup?key=a.test&kind=hash", "sha256", "unparseable", json!(null)),
        ("/v1/lookup?key=a.test&kind=ip", "ipv4", "unparseable", json!(null)),
    ] {
        let (code, verdict) = get(&mut http, target);
        assert_eq!(
            (code, &verdict["kind"], &verdict["status"], &verdict["class"]),
            (200, &json!(kind), &json!(status), &class),
            "{target}"
        );
    }
    let head = http.ask("HEAD /v1/lookup?key=evil.test HTTP/1.1\nHost: a\n\n");
    assert!(head.status == 200 && head.body.is_empty() && head.field("content-length").parse::<usize>().unwrap() > 100);
    stop(daemon);
}

#[test]
fn a_batch_is_answered_in_order_and_what_is_none_says_where() {
    let scratch = Scratch::new();
    let daemon = serve(&scratch, |config| config.http.keys_per_request_max = 3);
    let mut http = Http::connect(daemon.http[0]);
    let (status, answers) = post(
        &mut http,
        r#"{"keys": [{"key": "evil.test"}, {"key": "http:\/\/odd.test\u002f", "kind": "url"}, {"key": ""}], "budget_us": 5}"#,
    );
    let classes: Vec<&Value> = answers["answers"].as_array().unwrap().iter().map(|answer| &answer["class"]).collect();
    assert_eq!((status, classes), (200, vec![&json!("malicious"), &json!("suspicious"), &json!(null)]), "{answers}");
    let body = r#"{"keys": [{"key": "evil.test"}]}"#;
    let chunks = format!(
        "POST /v1/lookup HTTP/1.1\nHost: a\nContent-Type: application/json\nTransfer-Encoding: chunked\n\n10\n{}\n{:x}\n{}\n0\n\n",
        &body[..16],
        body.len() - 16,
        &body[16..]
    );
    assert_eq!(serde_json::from_slice::<Value>(&http.ask(&chunks).body).unwrap()["answers"][0]["class"], "malicious");
    for (body, what) in [
        ("", "EOF"),
        ("[]", "invalid"),
        ("{}", "missing field `keys`"),
        (r#"{"keys": []}"#, "none"),
        (r#"{"keys": [{"key": "a"}, {"key": "b"}, {"key": "c"}, {"key": "d"}]}"#, "more than"),
        (r#"{"keys": [{"key": "a", "kin": "url"}]}"#, "unknown field `kin`"),
        (r#"{"keys": [{"key": "a", "kind": "mail"}]}"#, "unknown variant `mail`"),
        (r#"{"keys": [{"key": 5}]}"#, "column"),
        ("{\"keys\": [{\"key\": \"a\"}]} x", "trailing"),
        (r#"{"keys": [{"key": "a"}], "budget_us": 1.5}"#, "whole number"),
        (r#"{"keys": [{"key": "a"}], "budget_us": -1}"#, "whole number"),
    ] {
        let (status, error) = post(&mut http, body);
        assert_eq!(status, 400, "{body}: {error}");
        assert!(error["error"].as_str().unwrap().contains(what), "{body}: {error}");
    }
    let deep = format!("{{\"keys\": {}", "[".repeat(100_000));
    assert_eq!(post(&mut http, &deep).0, 400);
    let plain = http.ask("POST /v1/lookup HTTP/1.1\nHost: a\nContent-Type: text/plain\nContent-Length: 2\n\n{}");
    assert_eq!(plain.status, 415);
    for (request, allow) in
        [("DELETE /v1/lookup", "GET, HEAD, POST"), ("POST /v1/explain", "GET, HEAD"), ("PUT /openapi.json", "GET, HEAD")]
    {
        let refused = http.ask(&format!("{request} HTTP/1.1\nHost: a\n\n"));
        assert_eq!((refused.status, refused.field("allow")), (405, allow), "{request}");
    }
    stop(daemon);
}

#[test]
fn an_explanation_tells_every_rule_that_matches() {
    let scratch = Scratch::new();
    let daemon = serve(&scratch, |_| ());
    let mut http = Http::connect(daemon.http[0]);
    let (status, told) = get(&mut http, "/v1/explain?key=http://a.evil.test/b?c%3Dd");
    assert_eq!(
        (status, &told["canonical"], &told["hosts"]),
        (200, &json!("http://a.evil.test/b?c=d"), &json!(["a.evil.test", "evil.test"]))
    );
    assert_eq!(told["paths"], json!(["/b?c=d", "/b", "/"]));
    let matched = &told["matches"][0];
    assert_eq!((&matched["wins"], &matched["on"], &matched["text"]), (&json!(true), &json!("host"), &json!("evil.test")));
    assert_eq!(matched["record"]["sources"], json!(["unit test"]));
    let (_, none) = get(&mut http, "/v1/explain?key=ftps://a.test/");
    assert_eq!(
        (&none["status"], &none["canonical"], &none["reason"]),
        (&json!("unparseable"), &json!(null), &json!("not a web address: another scheme"))
    );
    // Each takes its turn, so many at once are answered too, in order.
    let request = "GET /v1/explain?key=192.0.2.7 HTTP/1.1\r\nHost: a\r\n\r\n";
    http.send(request.repeat(20).as_bytes());
    for _ in 0..20 {
        let told: Value = serde_json::from_slice(&http.response(false).unwrap().body).unwrap();
        assert_eq!((&told["matches"][0]["on"], &told["matches"][0]["text"]), (&json!("network"), &json!("192.0.2.0-192.0.2.255")));
    }
    stop(daemon);
}

#[test]
fn the_description_has_the_words_of_the_protocol() {
    let scratch = Scratch::new();
    let daemon = serve(&scratch, |_| ());
    let mut http = Http::connect(daemon.http[0]);
    let (status, document) = get(&mut http, "/openapi.json");
    assert_eq!((status, &document["openapi"]), (200, &json!("3.1.0")));
    let schema = |name: &str, property: &str| document["components"]["schemas"][name]["properties"][property].clone();
    let names = |all: Vec<&str>| json!(all);
    use verdict_wire::{Categories, Class, Flags, KeyKind, MatchOn, RuleKind, Status};
    assert_eq!(schema("Answer", "status")["enum"], names(Status::ALL.iter().map(|word| word.name()).collect()));
    assert_eq!(schema("Match", "class")["enum"], names(Class::ALL.iter().map(|word| word.name()).collect()));
    assert_eq!(schema("Match", "on")["enum"], names(MatchOn::ALL.iter().map(|word| word.name()).collect()));
    assert_eq!(schema("Record", "rule")["enum"], names(RuleKind::ALL.iter().map(|word| word.name()).collect()));
    assert_eq!(schema("Answer", "kind")["enum"], names(KeyKind::ALL.iter().map(|word| word.name()).collect()));
    assert_eq!(schema("Answer", "categories")["items"]["enum"], names(Categories::ALL.iter().map(|(_, _, name)| *name).collect()));
    assert_eq!(schema("Answer", "flags")["items"]["enum"], names(Flags::ALL.iter().map(|(_, _, name)| *name).collect()));
    stop(daemon);
    let daemon = serve(&scratch, |config| config.http.api = false);
    assert_eq!(get(&mut Http::connect(daemon.http[0]), "/openapi.json").0, 404);
    stop(daemon);
}

#[test]
fn forwarded_fields_are_bounded_by_the_head_alone_as_the_description_says() {
    let scratch = Scratch::new();
    let daemon = serve(&scratch, |_| ());
    let (_, document) = get(&mut Http::connect(daemon.http[0]), "/openapi.json");
    let parameters = document["paths"]["/auth/traefik"]["get"]["parameters"].as_array().unwrap();
    assert!(parameters.len() == 2 && parameters.iter().all(|parameter| parameter["schema"] == json!({"type": "string"})), "{parameters:?}");
    let bound = "32768 bytes";
    assert!(parameters[0]["description"].as_str().unwrap().contains(bound), "{parameters:?}");
    let ask = |path_bytes: usize| {
        let path = "a".repeat(path_bytes);
        let request = format!("GET /auth/traefik HTTP/1.1\nHost: a\nX-Forwarded-Host: www.evil.test\nX-Forwarded-Uri: /{path}\n\n");
        let response = Http::connect(daemon.http[0]).ask(&request);
        (response.status, response.field("x-verdict").to_owned())
    };
    assert_eq!(ask(7_000), (403, "malicious".into()));
    // A longer URL than a key may be is read and answered, as every other that is none.
    assert_eq!(ask(32_000).1, "unparseable");
    assert_eq!(ask(33_000).0, 431);
    stop(daemon);
}

/// A body that is too long is refused as such.
const SETTINGS: &str = "[checks]\nnegative_data_rejection.expected-statuses = [400, 405, 413, 415, 431]\n";
/// A balancer asks for authorization with whatever method its client used, and hears 503 where it does not say what about; authz.rs has that.
const ELSEWHERE: [&str; 2] = ["--exclude-path", "/auth/traefik"];

/// What `cargo xtask test --only api` runs: schemathesis, from PyPI, reads the description and tries what it says, and what it forbids.
#[test]
fn schemathesis_finds_no_difference_to_the_description() {
    let Some(program) = std::env::var_os("VERDICT_SCHEMATHESIS") else {
        println!("SKIPPED: VERDICT_SCHEMATHESIS does not name the program; cargo xtask test --only api brings it");
        return;
    };
    let scratch = Scratch::new();
    let daemon = serve(&scratch, |_| ());
    std::fs::write(scratch.join("schemathesis.toml"), SETTINGS).unwrap();
    let run = std::process::Command::new(&program)
        .current_dir(scratch.join("."))
        .args(["run", &format!("http://{}/openapi.json", daemon.http[0])])
        .args(["--checks", "all", "--phases", "examples,coverage,fuzzing"])
        .args(["--max-examples", "100", "--seed", "1", "--continue-on-failure"])
        .args(ELSEWHERE)
        .output()
        .unwrap();
    print!("{}{}", String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
    assert!(run.status.success(), "{}", run.status);
    let http = |read: fn(&verdictd::metrics::ShardMetrics) -> u64| daemon.metrics.shards.iter().map(|shard| read(shard)).sum::<u64>();
    assert!(http(|shard| shard.http_api.get()) > 200 && http(|shard| shard.http_refused.get()) > 50, "it asked too little");
    stop(daemon);
}

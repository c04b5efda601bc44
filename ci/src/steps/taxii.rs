//! The TAXII client against the reference server, OASIS' medallion, which someone else wrote: paging, basic authentication, what is new.
//!
//! It comes from PyPI into an environment of its own below `target/`, and serves made-up indicators three a page, on loopback.

use crate::child::Log;
use crate::steps::Done;
use crate::workspace::{Workspace, create};
use serde_json::{Value, json};
use std::net::{Ipv4Addr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};
use xtask::server::free;

const MEDALLION: &str = "medallion==3.0.0";
const COLLECTION: &str = "91a7b528-80eb-42ed-a74d-c6fbd5a26116";
const OBJECTS: usize = 8;
const LIMIT: Duration = Duration::from_secs(300);

/// The step.
pub fn run(workspace: &Workspace, log: &Log) -> Result<Done, String> {
    let directory = create(workspace.target.join("xtask/medallion"))?;
    let program = directory.join("venv/bin/medallion");
    if !program.exists() {
        log.run(Command::new("python3").args(["-m", "venv"]).arg(directory.join("venv")), LIMIT)?;
        log.run(Command::new(directory.join("venv/bin/pip")).args(["install", "--quiet", MEDALLION]), LIMIT)?;
    }
    let port = free()?.port();
    let data = directory.join("data.json");
    let config = json!({
        "backend": {"module": "medallion.backends.memory_backend", "module_class": "MemoryBackend", "filename": data},
        "users": {"reader": "Password0"},
        "taxii": {"max_page_size": 3},
    });
    for (path, value) in [(directory.join("config.json"), &config), (data, &served(port))] {
        std::fs::write(&path, value.to_string()).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    let mut server = Command::new(&program);
    server.args(["--host", "127.0.0.1", "--port", &port.to_string()]).arg(directory.join("config.json"));
    let _server =
        Ended(server.stdout(Stdio::null()).stderr(Stdio::null()).spawn().map_err(|error| format!("{}: {error}", program.display()))?);
    wait(port)?;
    let mut test = workspace.cargo();
    test.args(["test", "--locked", "--package=verdict-fetch", "--test=taxii"])
        .env("VERDICT_TAXII", format!("http://reader:Password0@127.0.0.1:{port}/api/collections/{COLLECTION}/"))
        .env("VERDICT_TAXII_OBJECTS", OBJECTS.to_string());
    log.run(&mut test, LIMIT)?;
    Ok(Done::Passed(MEDALLION.into()))
}

/// A collection of indicators, each added a second after the one before.
fn served(port: u16) -> Value {
    let id = |number: usize| format!("indicator--0000000{number}-0000-4000-8000-000000000000");
    let media = "application/stix+json;version=2.1";
    let moment = "2026-01-01T00:00:00.000Z";
    let object = |number| {
        json!({"type": "indicator", "spec_version": "2.1", "id": id(number), "created": moment, "modified": moment, "valid_from": moment,
               "pattern_type": "stix", "pattern": format!("[domain-name:value = 'host{number}.example']")})
    };
    let added = |number| json!({"id": id(number), "date_added": format!("2026-01-02T00:00:0{number}.000001Z"), "version": moment, "media_type": media});
    let root = format!("http://127.0.0.1:{port}/api/");
    json!({
        "/discovery": {"title": "test", "description": "", "contact": "", "default": root, "api_roots": [root]},
        "api": {
            "information": {"title": "test", "description": "", "versions": ["application/taxii+json;version=2.1"], "max_content_length": 1_000_000},
            "status": [],
            "collections": [{"id": COLLECTION, "title": "test", "description": "", "can_read": true, "can_write": false, "media_types": [media],
                "objects": (0..OBJECTS).map(object).collect::<Vec<_>>(), "manifest": (0..OBJECTS).map(added).collect::<Vec<_>>()}],
        },
    })
}

struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        // It may have ended by itself, which the test has told by then.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn wait(port: u16) -> Result<(), String> {
    let begun = Instant::now();
    while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
        if begun.elapsed() > Duration::from_secs(30) {
            return Err("medallion did not listen within 30 s".into());
        }
        sleep(Duration::from_millis(100));
    }
    Ok(())
}

//! The live page of the admin listener as people see it: a headless Chromium opens it while the daemon serves the sample under load.
//!
//! ```text
//!  sample.rs: daemon, 4 connections that ask ─► http://ADMIN/ ◄─ Chromium (browser/devtools.rs)
//!    it asks for the token; numbers move, agree with /status; a key is put into the box and explained; no other host is asked; the console has no error;
//!    on a phone nothing is wider than the window, or than the card it stands in (tables of many columns scroll inside theirs)
//! ```
//! Pictures are left in `target/xtask/browser/`: `page.png` and `page-phone.png`. With `VERDICT_BLESS=1` they also go to `docs/pictures/`; they
//! are never equal to the bit, so that is for when the page looks different.

mod devtools;

use crate::child::Log;
use crate::sample::{CONNECTIONS, SHARDS, Served, TOKEN};
use crate::steps::{Complaints, Done, suite};
use crate::workspace::{Workspace, create};
use devtools::Browser;
use serde_json::Value;
use std::cell::RefCell;
use std::fs::{self, File};
use std::path::Path;

/// Width and height of the pictures: what a desktop shows of the page, and a phone, scrolled through.
const DESKTOP: (u32, u32) = (1120, 1107);
const PHONE: (u32, u32) = (390, 1900);
/// A key of the sample, and who lists it.
const LISTED: (&str, &str) = ("http://downloads.example/payload/loader.exe", "sample-urls");
const PICTURES: [&str; 2] = ["page.png", "page-phone.png"];

/// What the checks use; the page's own `at` is there already.
const HELP: &str = "
  globalThis.text = id => at(id).innerText.trim();
  globalThis.num = id => parseFloat(text(id)) * ({ k: 1e3, M: 1e6, G: 1e9 }[text(id).split(' ')[1]] || 1);
  globalThis.seconds = id => parseFloat(text(id)) * { 'µs': 1e-6, ms: 1e-3, s: 1 }[text(id).split(' ')[1]];
  globalThis.rising = list => list.every((value, place) => value > 0 && (place === 0 || value >= list[place - 1]));
  globalThis.percents = id => [...text(id).matchAll(/([0-9.]+) %/g)].reduce((sum, found) => sum + Number(found[1]), 0);
  globalThis.cells = id => [...at(id).rows].map(row => [...row.cells].map(cell => cell.innerText.trim()));
  globalThis.PERCENTILES = ['p50', 'p90', 'p99', 'p999'];
  true";

/// Shown, where, and when it is right: `status` holds the daemon's counters of the same moment.
const SHOWN: [(&str, &str, &str); 11] = [
    ("the state", "state", "text('state') === 'ready' && at('locked').offsetParent === null"),
    ("a rate of answers", "rate", "num('rate') > 0"),
    ("a rate of requests", "requests", "num('requests') > 0"),
    ("the connections that ask", "connections", "num('connections') === CONNECTIONS"),
    ("what was answered since start", "total", "num('total') > 0 && num('total') <= Object.values(status.answers).reduce((a, b) => a + b) * 1.01"),
    ("a line of the last rates", "graph", "at('graph').firstElementChild.getAttribute('d').split('L').length > 2"),
    ("the mix of verdicts, whole", "mix-key", "at('mix').children.length > 3 && Math.abs(percents('mix-key') - 100) < 2"),
    ("the generation that answers", "snapshot", "cells('snapshot')[0][1] === status.snapshot.generation && status.snapshot.generation.length === 16"),
    (
        "every feed with its age",
        "feeds",
        "cells('feeds').length === status.sources.length + 1 && text('feeds').includes(' ago') && status.sources.every((source, place) =>
           cells('feeds')[place + 1][0] === source.name && cells('feeds')[place + 1][2].endsWith(source.newest_s ? ' ago' : '–'))",
    ),
    (
        "every shard with its generation, one at work at least",
        "shards",
        "cells('shards').length === SHARDS + 1 && cells('shards').slice(1).some(row => parseFloat(row[1]) > 0) && cells('shards').slice(1).every((row, place) =>
           row[0] === String(place) && row[2].endsWith(' %') && row[6] === status.shards[place].generation)",
    ),
    ("percentiles that rise", "latency-note", "rising(PERCENTILES.map(seconds)) && text('latency-note').includes('last ')"),
];

/// What sticks out of the window, or of its card, by name and text; inside `.wide` it may, since that scrolls.
const WIDER: &str = "[...document.querySelectorAll('body *')].filter(node => {
    const edge = node.getBoundingClientRect().right, card = node.closest('section');
    if (edge === 0 || node.closest('.wide') && !node.matches('.wide')) return false;
    const within = card && card !== node ? card.getBoundingClientRect().right - parseFloat(getComputedStyle(card).paddingRight) : WIDTH;
    return edge > within + 1 || node.clientWidth > 0 && node.scrollWidth > node.clientWidth + 1 && !node.matches('.wide, input');
  }).map(node => `${node.tagName} is wider than its place: ${node.innerText.slice(0, 60)}`)
  .concat(document.documentElement.scrollWidth > WIDTH ? [`the page is ${document.documentElement.scrollWidth} wide`] : [])";

/// The step.
pub fn run(workspace: &Workspace, log: &Log) -> Result<Done, String> {
    let Some(program) = devtools::program() else {
        return Ok(Done::Skipped("Chromium is missing: chromium-headless-shell, or chromium, of Debian".into()));
    };
    let served = Served::start(workspace, log, "browser")?;
    let directory = create(workspace.target.join("xtask/browser"))?;
    let profile = directory.join("profile");
    let _ = fs::remove_dir_all(&profile); // of the run before
    let said = directory.join("chromium.log");
    let out = File::create(&said).map_err(|error| format!("{}: {error}", said.display()))?;
    let origin = format!("http://{}/", served.server.admin);
    let page = Page { browser: RefCell::new(Browser::start(program, &create(profile)?, out)?), origin };
    page.open()?;
    let done = suite(
        log,
        &[
            ("numbers_are_shown_and_are_those_of_the_daemon", &|| page.shown()),
            ("a_key_is_asked_in_the_box_and_explained", &|| page.explained()),
            ("a_desktop_sees_it", &|| page.picture(&directory.join(PICTURES[0]))),
            ("nothing_is_wider_than_a_phone", &|| page.wider()),
            ("a_phone_sees_it", &|| page.picture(&directory.join(PICTURES[1]))),
            ("no_other_host_is_asked", &|| Ok(page.elsewhere())),
            ("the_console_has_no_error", &|| Ok(page.errors())),
            ("what_is_no_key_says_why", &|| page.refused()),
        ],
    );
    drop(page);
    served.stop()?;
    done?;
    if std::env::var_os("VERDICT_BLESS").is_some() {
        for name in PICTURES {
            let to = workspace.root.join("docs/pictures").join(name);
            fs::copy(directory.join(name), &to).map_err(|error| format!("{}: {error}", to.display()))?;
        }
    }
    Ok(Done::Passed(program.into()))
}

/// The page in its browser.
struct Page {
    browser: RefCell<Browser>,
    origin: String,
}

impl Page {
    /// Unlocked; returns when it has looked a few times.
    fn open(&self) -> Result<(), String> {
        let mut browser = self.browser.borrow_mut();
        browser.resize(DESKTOP.0, DESKTOP.1, false)?;
        browser.call("Page.navigate", &serde_json::json!({ "url": self.origin }))?;
        browser.until("the page", "document.readyState === 'complete' && document.getElementById('state')")?;
        browser.value(&format!("globalThis.CONNECTIONS = {CONNECTIONS}; globalThis.SHARDS = {SHARDS}; {HELP}"))?;
        browser.until("the question for the token", "at('locked').offsetParent !== null && text('rate') === '–'")?;
        browser.value("at('token').focus()")?;
        browser.enter(TOKEN)?;
        browser.until("percentiles after some looks", "seen.length > 5 && num('p50') > 0")
    }

    fn shown(&self) -> Result<Complaints, String> {
        let mut browser = self.browser.borrow_mut();
        let mut complaints = Complaints::new();
        for (what, place, is_right) in SHOWN {
            let checked = format!("fetched('status').then(status => ({is_right}) === true || 'it shows: ' + at('{place}').outerHTML)");
            if let Value::String(instead) = browser.value(&checked)? {
                complaints.push(format!("{what}: {instead}"));
            }
        }
        Ok(complaints)
    }

    /// By hand: into the box, Enter, and read.
    fn ask(&self, key: &str) -> Result<String, String> {
        let mut browser = self.browser.borrow_mut();
        browser.value("at('answer').replaceChildren(); at('key').value = ''; at('key').focus()")?;
        browser.enter(key)?;
        browser.until("an answer", "text('answer') !== ''")?;
        Ok(browser.value("text('answer')")?.as_str().unwrap_or_default().to_owned())
    }

    fn explained(&self) -> Result<Complaints, String> {
        let (key, source) = LISTED;
        let answer = self.ask(key)?;
        let expected = [format!("malicious — url {key}, generation "), format!("said by {source}"), "➜ malicious 90  url ".to_owned()];
        let mut complaints: Complaints =
            expected.iter().filter(|part| !answer.contains(*part)).map(|part| format!("`{part}` is not in: {answer}")).collect();
        let anchor = self.browser.borrow_mut().value("decodeURIComponent(location.hash)")?;
        if anchor != format!("#{key}") {
            complaints.push(format!("the address to hand on is {anchor}"));
        }
        Ok(complaints)
    }

    /// With a key that has no place to break, and with one of usual length, which the picture then has.
    fn wider(&self) -> Result<Complaints, String> {
        self.browser.borrow_mut().resize(PHONE.0, PHONE.1, true)?;
        let mut complaints = Complaints::new();
        for key in [&format!("http://a.example/{}", "x".repeat(300)), LISTED.0] {
            self.ask(key)?;
            let found = self.browser.borrow_mut().value(&WIDER.replace("WIDTH", &PHONE.0.to_string()))?;
            complaints.extend(found.as_array().into_iter().flatten().map(|one| format!("with a key of {} bytes, {one}", key.len())));
        }
        Ok(complaints)
    }

    fn picture(&self, path: &Path) -> Result<Complaints, String> {
        let bytes = self.browser.borrow_mut().picture()?;
        fs::write(path, bytes).map_err(|error| format!("{}: {error}", path.display())).map(|()| Complaints::new())
    }

    fn elsewhere(&self) -> Complaints {
        let browser = self.browser.borrow();
        let asked: Vec<&str> = browser.told("Network.requestWillBeSent").filter_map(|told| told["request"]["url"].as_str()).collect();
        if !asked.iter().any(|url| url.ends_with("/status")) {
            return vec![format!("requests are not told: {asked:?}")];
        }
        let elsewhere = asked.iter().filter(|url| !url.starts_with(&self.origin) && !url.starts_with("data:"));
        elsewhere.map(|url| format!("it asks {url}")).collect()
    }

    fn errors(&self) -> Complaints {
        let browser = self.browser.borrow();
        // Until the token is entered, each look is answered with 401, and the browser has that as an error.
        let asked = |entry: &Value| entry["source"] == "network" && entry["text"].as_str().is_some_and(|text| text.contains("401"));
        let thrown = browser.told("Runtime.exceptionThrown");
        let logged = browser.told("Log.entryAdded").filter(|told| told["entry"]["level"] != "verbose" && told["entry"]["level"] != "info");
        let logged = logged.filter(|told| !asked(&told["entry"]));
        let called = browser.told("Runtime.consoleAPICalled");
        thrown.chain(logged).chain(called).map(|told| format!("the console has {told}")).collect()
    }

    /// Last, since the browser's console has the status of the reply as an error.
    fn refused(&self) -> Result<Complaints, String> {
        let answer = self.ask("203.0.113.0/24")?;
        Ok(if answer.contains("prefix") { Complaints::new() } else { vec![format!("a prefix is answered with: {answer}")] })
    }
}

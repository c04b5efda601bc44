//! A headless Chromium of our own, spoken to in the Chrome DevTools Protocol over two pipes: no port, no web socket, no driver between.
//!
//! ```text
//!  us ── {"id":7,"method":"Page.navigate",…}\0 ──► descriptor 3 ┐
//!                                                              │ chromium --remote-debugging-pipe
//!  us ◄── {"id":7,"result":…}\0 {"method":"Log.entryAdded",…}\0 ── descriptor 4 ┘
//! ```
//! What is answered is matched by its id; what the browser tells by itself is kept in order, for whoever asks later. It resolves no names, so that
//! nothing it does by itself can leave this machine; what the page asks for is told all the same.

use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::{Value, json};
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

/// By preference: the smallest that Debian has, then what else there may be.
const PROGRAMS: [&str; 3] = ["chromium-headless-shell", "chromium", "google-chrome"];
const FLAGS: [&str; 13] = [
    "--headless",
    "--no-sandbox", // it is root's in CI, and opens our own page alone
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage", // a container's is too small
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--force-color-profile=srgb",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    "--remote-debugging-pipe",
];
/// A shell gives it the descriptors: what is our pipe to its standard input becomes 3, from its standard output 4.
const PIPES: &str = "exec \"$0\" \"$@\" 3<&0 4>&1 </dev/null >&2";
/// A cold start on a busy machine takes seconds.
const PATIENCE: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// The first program of ours that answers.
pub fn program() -> Option<&'static str> {
    PROGRAMS.into_iter().find(|program| {
        let asked = Command::new(program).arg("--version").stderr(Stdio::null()).output();
        asked.is_ok_and(|output| output.status.success())
    })
}

/// A browser with one page; killed when dropped.
pub struct Browser {
    child: Child,
    to: ChildStdin,
    from: Receiver<Value>,
    session: Value,
    asked: u64,
    /// What it told by itself.
    pub events: Vec<Value>,
}

impl Browser {
    /// Starts it on an empty profile, its words in `log`.
    pub fn start(program: &str, profile: &Path, log: File) -> Result<Self, String> {
        let mut command = Command::new("sh");
        command.args(["-c", PIPES, program]).args(FLAGS).arg(format!("--user-data-dir={}", profile.display())).arg("about:blank");
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .process_group(0) // so that its helpers end with it
            .spawn()
            .map_err(|error| format!("{program}: {error}"))?;
        let (to, out) = child.stdin.take().zip(child.stdout.take()).ok_or("a program without pipes")?;
        let (told, from) = mpsc::channel();
        thread::spawn(move || {
            for message in BufReader::new(out).split(0).map_while(Result::ok) {
                // Nobody listens once the step has ended.
                let _ = told.send(serde_json::from_slice(&message).unwrap_or_else(|error| json!({ "unreadable": error.to_string() })));
            }
        });
        let mut browser = Browser { child, to, from, session: Value::Null, asked: 0, events: Vec::new() };
        let target = browser.call("Target.createTarget", &json!({ "url": "about:blank" }))?;
        let session = browser.call("Target.attachToTarget", &json!({ "targetId": target["targetId"], "flatten": true }))?;
        browser.session = session["sessionId"].clone();
        for domain in ["Page", "Runtime", "Log", "Network"] {
            browser.call(&format!("{domain}.enable"), &json!({}))?;
        }
        Ok(browser)
    }

    /// Asks for something and waits for the result.
    pub fn call(&mut self, method: &str, parameters: &Value) -> Result<Value, String> {
        self.asked += 1;
        let mut message = json!({ "id": self.asked, "method": method, "params": parameters });
        if !self.session.is_null() {
            message["sessionId"] = self.session.clone();
        }
        self.to.write_all(format!("{message}\0").as_bytes()).map_err(|error| format!("{method}: the browser has ended: {error}"))?;
        let begun = Instant::now();
        loop {
            let left = PATIENCE.saturating_sub(begun.elapsed());
            let mut message = self.from.recv_timeout(left).map_err(|error| format!("{method}: the browser does not answer: {error}"))?;
            if message["id"] == self.asked {
                return match &message["error"] {
                    Value::Null => Ok(message["result"].take()),
                    error => Err(format!("{method}: {error}")),
                };
            }
            self.events.push(message);
        }
    }

    /// The value of an expression in the page.
    pub fn value(&mut self, expression: &str) -> Result<Value, String> {
        let mut told = self.call("Runtime.evaluate", &json!({ "expression": expression, "returnByValue": true, "awaitPromise": true }))?;
        match &told["exceptionDetails"] {
            Value::Null => Ok(told["result"]["value"].take()),
            thrown => Err(format!("`{expression}` throws {thrown}")),
        }
    }

    /// Waits until an expression is true in the page.
    pub fn until(&mut self, what: &str, expression: &str) -> Result<(), String> {
        let begun = Instant::now();
        while self.value(&format!("Boolean({expression})"))? != true {
            if begun.elapsed() > PATIENCE {
                let shown = self.value("document.body.innerText.slice(0, 600)")?;
                return Err(format!("{what}: not within {} s; the page shows {shown}", PATIENCE.as_secs()));
            }
            thread::sleep(LOOK_EVERY);
        }
        Ok(())
    }

    /// A window of this size from now on; `phone` also behaves like one.
    pub fn resize(&mut self, width: u32, height: u32, phone: bool) -> Result<(), String> {
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": phone });
        self.call("Emulation.setDeviceMetricsOverride", &size).map(drop)
    }

    /// Puts text in where the cursor is, and presses Enter.
    pub fn enter(&mut self, text: &str) -> Result<(), String> {
        self.call("Input.insertText", &json!({ "text": text }))?;
        for kind in ["keyDown", "keyUp"] {
            let key = json!({ "type": kind, "key": "Enter", "code": "Enter", "windowsVirtualKeyCode": 13, "text": if kind == "keyDown" { "\r" } else { "" } });
            self.call("Input.dispatchKeyEvent", &key)?;
        }
        Ok(())
    }

    /// What the window shows, PNG.
    pub fn picture(&mut self) -> Result<Vec<u8>, String> {
        let told = self.call("Page.captureScreenshot", &json!({ "format": "png" }))?;
        decoded(told["data"].as_str().unwrap_or_default()).ok_or_else(|| "the picture is not in base64".to_owned())
    }

    /// Events of one kind, their parameters.
    pub fn told<'a>(&'a self, method: &'a str) -> impl Iterator<Item = &'a Value> {
        self.events.iter().filter(move |event| event["method"] == method).map(|event| &event["params"])
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if let Some(group) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            // It may have ended by itself: nothing is left to do then.
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = self.child.wait();
    }
}

/// Base64; None when it is none.
fn decoded(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let (mut word, mut bits) = (0u32, 0);
    for digit in text.trim_end_matches('=').bytes() {
        let value = match digit {
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        word = word << 6 | u32::from(value);
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push((word >> bits) as u8);
            word &= (1 << bits) - 1;
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_decoded() {
        for (text, bytes) in [("", &b""[..]), ("Zg==", b"f"), ("Zm8=", b"fo"), ("Zm9v", b"foo"), ("/+8=", &[0xff, 0xef])] {
            assert_eq!(decoded(text).as_deref(), Some(bytes), "{text}");
        }
        assert_eq!(decoded("Z g="), None);
    }
}

//! Health and metrics over HTTP/1.1, for people, probes and scrapers; on the control thread, never on a shard.
//!
//! | path | 200 | 503 |
//! |---|---|---|
//! | `/livez` | every shard showed life within `ALIVE_MS` | otherwise: restart me |
//! | `/readyz` | alive, a generation is served, not draining | otherwise: send traffic elsewhere |
//! | `/metrics` | OpenMetrics or Prometheus text, as the scraper asks | |
//! | `/` | the live page | |
//! | `/status` | what the page shows, JSON | |
//! | `/explain?key=…` | one key, told by a shard, JSON | it does not answer, or tells another one |
//! | `/models` | every model with its numbers, JSON | |
//! | `/shadow` | rules on trial: where they say otherwise, JSON | |
//!
//! Health and metrics are for whoever reaches the listener; what else there is needs a token, or the right user (edge/guard/admin.rs).
//! GET and HEAD only, one request a connection, a bounded head and a deadline. Nothing here changes anything.

use crate::control::State;
use crate::edge::guard::admin::Caller;
use crate::edge::guard::peer::May;
use crate::inline;
use crate::limits::{ADMIN_CONNECTIONS_MAX, ADMIN_DEADLINE_MS, ADMIN_HEAD_BYTES_MAX, TICK_MS};
use crate::metrics::Form;
use crate::page;
use crate::shadow;
use crate::tasks::net::Listener;
use crate::tasks::{sleep, spawn, timeout};
use std::cell::Cell;
use std::rc::Rc;
use std::sync::Weak;
use std::time::Duration;

/// A shard that was silent for so long is stuck.
pub(crate) const ALIVE_MS: u64 = 12 * TICK_MS;

/// Accepts until the control thread ends. `users`: on a Unix socket, whose callers the kernel names.
pub async fn serve(listener: Listener, users: bool, state: Rc<State>) {
    let open = Rc::new(Cell::new(0usize));
    loop {
        let Ok(stream) = listener.accept().await else {
            // Out of descriptors, most likely: the shards need them more.
            sleep(Duration::from_millis(TICK_MS)).await;
            continue;
        };
        // Dropped where it may not connect, or too many have: the probe sees an end and tries again.
        if let Ok(caller) = state.door.greet(stream, users) {
            answer_soon(caller, &state, &open);
        }
    }
}

fn answer_soon(caller: Caller, state: &Rc<State>, open: &Rc<Cell<usize>>) {
    if open.get() >= ADMIN_CONNECTIONS_MAX {
        return;
    }
    open.set(open.get() + 1);
    let (state, open) = (state.clone(), open.clone());
    spawn(async move {
        // Past the deadline the future is dropped, and the connection with it.
        let _ = timeout(Duration::from_millis(ADMIN_DEADLINE_MS), answer(caller, &state)).await;
        open.set(open.get() - 1);
    });
}

async fn answer(mut caller: Caller, state: &State) {
    let mut head = [0u8; ADMIN_HEAD_BYTES_MAX];
    let mut filled = 0;
    let reply = loop {
        match caller.read(&state.door, &mut head[filled..]).await {
            Ok(0) | Err(_) => return,
            Ok(bytes) => filled += bytes,
        }
        if let Some(reply) = reply_to(&head[..filled], caller.may(), state) {
            break reply;
        }
        if filled == head.len() {
            break Reply::text(431, "the request head is too long\n".into());
        }
    };
    let head = reply.head;
    let mut reply = match reply.ask {
        Some(asked) => page::ask::answer(asked, state).await.map_or_else(|(status, text)| Reply::text(status, text), Reply::json),
        None => reply,
    };
    reply.head = head;
    // The peer may have gone; there is nobody to tell.
    let _ = caller.finish(reply.bytes()).await;
}

/// The reply, once the head is complete.
fn reply_to(head: &[u8], may: May, state: &State) -> Option<Reply> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut request = httparse::Request::new(&mut headers);
    match request.parse(head) {
        Ok(httparse::Status::Partial) => return None,
        Ok(httparse::Status::Complete(_)) => {}
        Err(error) => return Some(Reply::text(400, format!("{error}\n"))),
    }
    let method = request.method.unwrap_or_default();
    if method != "GET" && method != "HEAD" {
        return Some(Reply::text(405, "only GET: nothing here changes anything\n".into()));
    }
    let path = request.path.unwrap_or_default();
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let authorization = request.headers.iter().find(|header| header.name.eq_ignore_ascii_case("authorization"));
    if state.door.allows(may, path, authorization.map(|header| header.value)).is_err() {
        state.metrics.control.guard.denied.add(1);
        return Some(Reply::text(
            401,
            "this takes `Authorization: Bearer` and the token of admin.token, or the Unix socket admin.unix\n".into(),
        ));
    }
    let mut reply = match path {
        "/" => Reply { content_type: "text/html; charset=utf-8", page: true, ..Reply::text(200, page::PAGE.into()) },
        "/status" => {
            let ready = ready(state);
            Reply::json(page::status::render(state, ready.as_ref().map(String::as_str).map_err(String::as_str)))
        }
        "/explain" => match page::ask::Asked::of(query) {
            Ok(asked) => Reply { ask: Some(asked), ..Reply::text(200, String::new()) },
            Err(why) => Reply::text(400, why + "\n"),
        },
        "/livez" => health(live(state)),
        "/readyz" => health(ready(state)),
        "/metrics" => {
            let accept =
                request.headers.iter().find(|header| header.name.eq_ignore_ascii_case("accept")).map_or(&b""[..], |header| header.value);
            let form = Form::accepted(&String::from_utf8_lossy(accept));
            Reply { content_type: form.content_type(), ..Reply::text(200, state.metrics.render(form)) }
        }
        "/models" => Reply::json(inline::page::render(state.models.borrow().as_deref())),
        "/shadow" => Reply::json(shadow::page::render(state.shadow.get(), &state.metrics)),
        _ => Reply::text(404, "try /, /livez, /readyz, /metrics, /status, /explain, /models or /shadow\n".into()),
    };
    reply.head = method == "HEAD";
    Some(reply)
}

fn health(state: Result<String, String>) -> Reply {
    match state {
        Ok(body) => Reply::text(200, body),
        Err(reason) => Reply::text(503, reason),
    }
}

fn live(state: &State) -> Result<String, String> {
    let now_ms = state.uptime_ms();
    for (shard, metrics) in state.metrics.shards.iter().enumerate() {
        let silent_ms = now_ms.saturating_sub(metrics.heartbeat_ms.get());
        if silent_ms > ALIVE_MS {
            return Err(format!("shard {shard} is silent for {silent_ms} ms\n"));
        }
    }
    Ok("alive\n".into())
}

fn ready(state: &State) -> Result<String, String> {
    live(state)?;
    if state.metrics.control.draining.get() != 0 {
        return Err("draining\n".into());
    }
    if state.metrics.shards.iter().any(|shard| shard.away.get() != 0) {
        return Err("away by command; `verdictctl join` takes traffic again\n".into());
    }
    let generations: Vec<u64> = state.metrics.shards.iter().map(|shard| shard.generation.get()).collect();
    match generations.first() {
        Some(&generation) if generation != 0 => Ok(format!(
            "ready\ngeneration {generation:016x}\nshards {}\nbackend {}\ndriver {}{}\n{}{}{}{}{}",
            generations.len(),
            state.metrics.backend,
            state.metrics.driver,
            state.without_ring.borrow().as_ref().map(|why| format!(": {why}")).unwrap_or_default(),
            if state.metrics.control.stale.get() != 0 { "stale\n" } else { "" },
            state.desk.get().and_then(Weak::upgrade).map(|desk| desk.switches().notes()).unwrap_or_default(),
            state.notes.borrow(),
            state.models_note.borrow(),
            state.shadow.get().map(shadow::page::Seen::note).unwrap_or_default()
        )),
        _ => Err("no snapshot is served yet\n".into()),
    }
}

struct Reply {
    status: u16,
    content_type: &'static str,
    body: String,
    /// Answers HEAD: the same head, no body.
    head: bool,
    /// Runs a script, so browsers are told what it may do.
    page: bool,
    /// A shard has to be asked first.
    ask: Option<page::ask::Asked>,
}

impl Reply {
    fn text(status: u16, body: String) -> Self {
        Reply { status, content_type: "text/plain; charset=utf-8", body, head: false, page: false, ask: None }
    }

    fn json(body: String) -> Self {
        Reply { content_type: "application/json", ..Self::text(200, body) }
    }

    fn bytes(&self) -> Vec<u8> {
        let reason = match self.status {
            200 => "OK",
            400 => "Bad Request",
            401 => "Unauthorized",
            404 => "Not Found",
            405 => "Method Not Allowed",
            431 => "Request Header Fields Too Large",
            500 => "Internal Server Error",
            _ => "Service Unavailable",
        };
        let also = match self.status {
            401 => "WWW-Authenticate: Bearer\r\n",
            405 => "Allow: GET, HEAD\r\n",
            _ => "",
        };
        let policy = if self.page { format!("Content-Security-Policy: {}\r\n", page::policy()) } else { String::new() };
        let mut bytes = format!(
            "HTTP/1.1 {} {reason}\r\nContent-Type: {}\r\nContent-Length: {}\r\n{also}{policy}X-Content-Type-Options: nosniff\r\nReferrer-Policy: no-referrer\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n",
            self.status,
            self.content_type,
            self.body.len()
        )
        .into_bytes();
        if !self.head {
            bytes.extend_from_slice(self.body.as_bytes());
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edge::guard::admin::AdminDoor;
    use crate::metrics::Metrics;

    fn get(request: &str, state: &State) -> Option<u16> {
        reply_to(request.as_bytes(), May::ALL, state).map(|reply| reply.status)
    }

    fn state() -> State {
        State::since(Metrics::new(1, "portable", "epoll"), AdminDoor::default(), std::time::Instant::now())
    }

    #[test]
    fn waits_for_the_whole_head() {
        let request = "GET /livez HTTP/1.1\r\nHost: a\r\n\r\n";
        for end in 0..request.len() {
            assert_eq!(get(&request[..end], &state()), None, "after {end} bytes");
        }
        assert_eq!(get(request, &state()), Some(200));
    }

    #[test]
    fn is_ready_only_with_a_generation_and_not_while_draining() {
        let state = state();
        let request = "GET /readyz HTTP/1.1\r\n\r\n";
        assert_eq!(get(request, &state), Some(503));
        state.metrics.shards[0].generation.set(5);
        assert_eq!(get(request, &state), Some(200));
        state.metrics.control.draining.set(1);
        assert_eq!(get(request, &state), Some(503));
        assert_eq!(get("GET /livez HTTP/1.1\r\n\r\n", &state), Some(200));
    }

    #[test]
    fn changes_nothing_and_says_so() {
        for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
            assert_eq!(get(&format!("{method} /livez HTTP/1.1\r\n\r\n"), &state()), Some(405));
        }
        assert_eq!(get("GET /else HTTP/1.1\r\n\r\n", &state()), Some(404));
        assert_eq!(get("\x01\x02\r\n\r\n", &state()), Some(400));
    }

    #[test]
    fn what_is_not_for_all_is_denied_and_counted() {
        let state = state();
        let asked = |request: &str| reply_to(request.as_bytes(), May::ASK, &state).unwrap();
        assert_eq!(asked("GET /models HTTP/1.1\r\n\r\n").status, 401, "without a token only users of the Unix socket look");
        assert_eq!(asked("GET / HTTP/1.1\r\n\r\n").status, 200);
        assert_eq!(asked("GET /livez?x HTTP/1.1\r\n\r\n").status, 200);
        state.door.take_token(Some([1; 32]));
        let denied = asked("GET /models HTTP/1.1\r\nAuthorization: Bearer 0123456789abcdef\r\n\r\n");
        assert!(String::from_utf8(denied.bytes()).unwrap().starts_with("HTTP/1.1 401 Unauthorized\r\n"));
        assert!(String::from_utf8(denied.bytes()).unwrap().contains("\r\nWWW-Authenticate: Bearer\r\n"));
        assert_eq!(asked("GET /no-such-page HTTP/1.1\r\n\r\n").status, 401, "whoever may not look is not told what there is");
        assert_eq!(state.metrics.control.guard.denied.get(), 3);
    }

    #[test]
    fn head_has_the_length_and_no_body() {
        let reply = reply_to(b"HEAD /livez HTTP/1.1\r\n\r\n", May::ASK, &state()).unwrap();
        let text = String::from_utf8(reply.bytes()).unwrap();
        assert!(text.contains("Content-Length: 6\r\n") && text.ends_with("\r\n\r\n"), "{text}");
    }
}

//! Health and metrics over HTTP/1.1, for people, probes and scrapers; on the control thread, never on a shard.
//!
//! | path | 200 | 503 |
//! |---|---|---|
//! | `/livez` | every shard showed life within `ALIVE_MS` | otherwise: restart me |
//! | `/readyz` | alive, a generation is served, not draining | otherwise: send traffic elsewhere |
//! | `/metrics` | OpenMetrics text | |
//! | `/models` | every model with its numbers, JSON | |
//! | `/shadow` | rules on trial: where they say otherwise, JSON | |
//!
//! GET and HEAD only, one request a connection, a bounded head and a deadline. Nothing here changes anything.

use crate::control::State;
use crate::inline;
use crate::limits::{ADMIN_CONNECTIONS_MAX, ADMIN_DEADLINE_MS, ADMIN_HEAD_BYTES_MAX, TICK_MS};
use crate::shadow;
use futures_lite::{AsyncReadExt, AsyncWriteExt};
use glommio::net::{TcpListener, TcpStream};
use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

/// A shard that was silent for so long is stuck.
const ALIVE_MS: u64 = 12 * TICK_MS;

/// Accepts until the executor ends.
pub async fn serve(listener: TcpListener, state: Rc<State>) {
    let open = Rc::new(Cell::new(0usize));
    loop {
        let Ok(stream) = listener.accept().await else {
            // Out of descriptors, most likely: the shards need them more.
            glommio::timer::sleep(Duration::from_millis(TICK_MS)).await;
            continue;
        };
        if open.get() >= ADMIN_CONNECTIONS_MAX {
            continue; // dropped: the probe sees a reset and tries again
        }
        open.set(open.get() + 1);
        let (state, open) = (state.clone(), open.clone());
        glommio::spawn_local(async move {
            // Past the deadline the future is dropped, and the connection with it.
            let _ = glommio::future::timeout(Duration::from_millis(ADMIN_DEADLINE_MS), answer(stream, &state)).await;
            open.set(open.get() - 1);
        })
        .detach();
    }
}

async fn answer(mut stream: TcpStream, state: &State) {
    let mut head = [0u8; ADMIN_HEAD_BYTES_MAX];
    let mut filled = 0;
    let reply = loop {
        match stream.read(&mut head[filled..]).await {
            Ok(0) | Err(_) => return,
            Ok(bytes) => filled += bytes,
        }
        if let Some(reply) = reply_to(&head[..filled], state) {
            break reply;
        }
        if filled == head.len() {
            break Reply::text(431, "the request head is too long\n".into());
        }
    };
    // The peer may have gone; there is nobody to tell.
    let _ = stream.write_all(&reply.bytes()).await;
    let _ = stream.close().await;
}

/// The reply, once the head is complete.
fn reply_to(head: &[u8], state: &State) -> Option<Reply> {
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
    let mut reply = match path.split('?').next().unwrap_or_default() {
        "/livez" => health(live(state)),
        "/readyz" => health(ready(state)),
        "/metrics" => Reply {
            status: 200,
            content_type: "application/openmetrics-text; version=1.0.0; charset=utf-8",
            body: state.metrics.render(),
            head: false,
        },
        "/models" => Reply {
            status: 200,
            content_type: "application/json",
            body: inline::page::render(state.models.borrow().as_deref()),
            head: false,
        },
        "/shadow" => Reply {
            status: 200,
            content_type: "application/json",
            body: shadow::page::render(state.shadow.get(), &state.metrics),
            head: false,
        },
        _ => Reply::text(404, "try /livez, /readyz, /metrics, /models or /shadow\n".into()),
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
    let generations: Vec<u64> = state.metrics.shards.iter().map(|shard| shard.generation.get()).collect();
    match generations.first() {
        Some(&generation) if generation != 0 => Ok(format!(
            "ready\ngeneration {generation:016x}\nshards {}\nbackend {}\ndriver {}\n{}{}{}{}",
            generations.len(),
            state.metrics.backend,
            state.metrics.driver,
            if state.metrics.control.stale.get() != 0 { "stale\n" } else { "" },
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
}

impl Reply {
    fn text(status: u16, body: String) -> Self {
        Reply { status, content_type: "text/plain; charset=utf-8", body, head: false }
    }

    fn bytes(&self) -> Vec<u8> {
        let reason = match self.status {
            200 => "OK",
            400 => "Bad Request",
            404 => "Not Found",
            405 => "Method Not Allowed",
            431 => "Request Header Fields Too Large",
            _ => "Service Unavailable",
        };
        let allow = if self.status == 405 { "Allow: GET, HEAD\r\n" } else { "" };
        let mut bytes = format!(
            "HTTP/1.1 {} {reason}\r\nContent-Type: {}\r\nContent-Length: {}\r\n{allow}Cache-Control: no-store\r\nConnection: close\r\n\r\n",
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
    use crate::metrics::Metrics;

    fn get(request: &str, state: &State) -> Option<u16> {
        reply_to(request.as_bytes(), state).map(|reply| reply.status)
    }

    fn state() -> State {
        State::since(Metrics::new(1, "portable", "epoll"), std::time::Instant::now())
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
    fn head_has_the_length_and_no_body() {
        let reply = reply_to(b"HEAD /livez HTTP/1.1\r\n\r\n", &state()).unwrap();
        let text = String::from_utf8(reply.bytes()).unwrap();
        assert!(text.contains("Content-Length: 6\r\n") && text.ends_with("\r\n\r\n"), "{text}");
    }
}

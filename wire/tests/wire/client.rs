//! The blocking client against small servers on loopback, each of which misbehaves in one way.

use rustix::net::{self, AddressFamily, SocketType, sockopt};
use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};
use verdict_wire::{
    Answer, Carrier, Categories, Class, Client, ClientError, ClientOptions, Description, DescriptionsWriter, Endpoint, ErrorCode,
    Explanation, FeatureSet, FileQuestion, Flags, Frames, HashKey, HashedKey, HostAsked, KEY_BYTES_MAX, KEYS_MAX, KeyKind, Limits,
    MatchFlags, MatchOn, Place, Profile, Reply, Request, RuleMatch, Scheme, ServerHello, Status, Wrap, answers_in_place, encode_answers,
    encode_error, encode_explanation, encode_hello_reply, encode_pong, encode_refusal, mark_reply, next_frame,
};

const GENERATION: u64 = 0x1122_3344_5566_7788;

fn options() -> ClientOptions {
    ClientOptions {
        connect_timeout: Duration::from_secs(5),
        read_timeout: Duration::from_secs(20), // for a machine that is busy with other tests
        write_timeout: Duration::from_secs(20),
        connect_attempts: 2,
        backoff_min: Duration::from_millis(1),
        ..ClientOptions::default()
    }
}

fn impatient() -> ClientOptions {
    ClientOptions { read_timeout: Duration::from_millis(500), write_timeout: Duration::from_millis(500), ..options() }
}

/// A server with a thread per connection; `serve` gets each with its number, from 0.
fn server(serve: impl Fn(usize, TcpStream) + Send + Sync + 'static) -> Endpoint {
    let serve = Arc::new(serve);
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
    let endpoint = Endpoint::parse(&format!("tcp:{}", listener.local_addr().expect("bound"))).expect("an address");
    std::thread::spawn(move || {
        for (number, stream) in listener.incoming().enumerate() {
            let (serve, stream) = (serve.clone(), stream.expect("accepted"));
            std::thread::spawn(move || serve(number, stream));
        }
    });
    endpoint
}

/// Reads requests and writes whatever `reply` appends for each, until the peer leaves.
fn answer_all(mut stream: impl Read + Write, mut reply: impl FnMut(u32, Request<'_>, &mut Vec<u8>)) {
    let (mut buffer, mut out) = (Vec::new(), Vec::new());
    let mut piece = [0; 4096];
    loop {
        match stream.read(&mut piece) {
            Ok(0) | Err(_) => return,
            Ok(bytes) => buffer.extend_from_slice(&piece[..bytes]),
        }
        let mut frames = Frames::new(&buffer);
        for frame in frames.by_ref() {
            let frame = frame.expect("our client writes lengths that can be");
            match frame.request() {
                Ok(request) => reply(frame.header.request_id, request, &mut out),
                Err(refusal) => encode_refusal(&mut out, GENERATION, &refusal),
            }
        }
        let consumed = frames.consumed();
        buffer.drain(..consumed);
        if stream.write_all(&out).is_err() {
            return;
        }
        out.clear();
    }
}

/// What a good server says; the score of each answer is the key's first byte, so that order shows.
fn honest(id: u32, request: Request<'_>, out: &mut Vec<u8>) {
    match request {
        Request::Hello(hello) => encode_hello_reply(out, id, &server_hello(hello.version())),
        Request::Lookup(keys) => {
            let answers = answers_in_place(out, id, GENERATION, keys.len());
            for (answer, (kind, key)) in answers.iter_mut().zip(keys) {
                *answer = match key.first() {
                    None => Answer::without_verdict(Status::Unparseable),
                    Some(_) if KeyKind::from_raw(kind).is_none() => Answer::without_verdict(Status::Unsupported),
                    Some(&first) => Answer::new(Class::Malicious, first, Categories::TEST, Flags::NONE, key.len() as u32),
                };
            }
        }
        Request::LookupHashed(lookup) => match lookup.keys(GENERATION) {
            Ok(keys) => {
                let answers: Vec<_> =
                    keys.map(|key| Answer::new(Class::Suspicious, key.lo as u8, Categories::NONE, Flags::NONE, key.hi as u32)).collect();
                encode_answers(out, id, GENERATION, &answers);
            }
            Err(refusal) => encode_refusal(out, GENERATION, &refusal),
        },
        Request::LookupFiles(files) => {
            let answers = answers_in_place(out, id, GENERATION, files.len());
            for (answer, file) in answers.iter_mut().zip(files) {
                *answer = Answer::new(
                    Class::Suspicious,
                    file.sha256[0],
                    Categories::NONE,
                    Flags::NONE,
                    (file.values.fold(0, i64::wrapping_add) & 0xFFFF) as u32,
                );
            }
        }
        Request::Describe(describe) => match describe.ids(GENERATION) {
            Ok(ids) => {
                let mut writer = DescriptionsWriter::new(out, id, GENERATION, ids.len());
                for id in ids {
                    if id % 2 == 1 {
                        writer.push(Description { id, score: 50, ..Description::default() }, ["first", "second"]);
                    } else {
                        writer.push(Description::absent(id), []);
                    }
                }
            }
            Err(refusal) => encode_refusal(out, GENERATION, &refusal),
        },
        Request::Explain { kind, key } => {
            let canonical = format!("key-{kind}-{}", key.len());
            let explanation = Explanation {
                generation: GENERATION,
                status: 0,
                flags: 0,
                canonical: &canonical,
                path_at: canonical.len() as u16,
                hosts: &[HostAsked { at: 4_u16.to_le_bytes(), paths_asked: 0, listed: 1 }],
                path_ends: &[],
                paths_exact: 0,
                reason: "",
                matches: &[RuleMatch { on: MatchOn::Host.raw(), flags: MatchFlags::WINS.0, ..RuleMatch::default() }],
            };
            encode_explanation(out, id, &explanation);
        }
        Request::Ping(payload) => encode_pong(out, id, GENERATION, payload),
    }
}

fn server_hello(version: u8) -> ServerHello<'static> {
    ServerHello {
        generation: GENERATION,
        version,
        version_min: 1,
        version_max: 1,
        limits: Limits::default(),
        profile: Profile { scheme: Scheme::Full.raw(), host_labels_max: 5, path_prefixes_max: 4 },
        hash_key: HashKey { h: [1; 16], k: [2; 16] },
        server: "test/1",
    }
}

fn honest_client() -> Client {
    Client::connect(&server(|_, stream| answer_all(stream, honest)), options()).expect("connects")
}

#[test]
fn every_whole_call_is_answered() {
    let mut client = honest_client();
    let hello = client.hello().expect("hello");
    assert_eq!((hello.generation, hello.version, hello.hash_key.k, hello.server.as_str()), (GENERATION, 1, [2; 16], "test/1"));
    assert_eq!(hello.limits, Limits::default());

    let answers = client.lookup(&[(KeyKind::Host, "a.example"), (KeyKind::Url, "b"), (KeyKind::Host, "")]).expect("lookup");
    assert_eq!(answers.generation, GENERATION);
    assert_eq!(answers.answers[0], Answer::new(Class::Malicious, b'a', Categories::TEST, Flags::NONE, 9));
    assert_eq!((answers.answers[1].score(), answers.answers[2].status()), (b'b', Status::Unparseable));

    let hashed = client.lookup_hashed(GENERATION, &[HashedKey { lo: 77, hi: 5 }], Place::ALL[3]).expect("hashed");
    assert_eq!((hashed.answers[0].score(), hashed.answers[0].id()), (77, 5));

    let program = FileQuestion { sha256: [9; 32], features: FeatureSet::Pe1.raw(), values: &[3; 49] };
    let files = client.lookup_files(&[FileQuestion::of_digest([8; 32]), program]).expect("files");
    assert_eq!((files.answers[0].score(), files.answers[0].id(), files.answers[1].score(), files.answers[1].id()), (8, 0, 9, 147));

    let described = client.describe(GENERATION, &[7, 8]).expect("describe");
    assert_eq!(described[0].sources, ["first", "second"]);
    assert!(!described[0].description.is_absent() && described[1].description.is_absent());

    let explained = client.explain(KeyKind::Host, b"abc").expect("explain");
    assert_eq!((explained.generation, explained.canonical.as_str()), (GENERATION, "key-2-3"));
    assert_eq!((explained.hosts[0].0.as_str(), explained.matches[0].found.on()), ("2-3", MatchOn::Host));
    let too_long = client.explain(KeyKind::Url, &[b'x'; KEY_BYTES_MAX + 1]);
    assert!(matches!(too_long, Err(ClientError::Encode(_))), "{too_long:?}");

    assert_eq!(client.ping(b"echo").expect("ping"), GENERATION);
    assert_eq!(client.connects(), 1);
}

#[test]
fn a_unix_socket_serves_as_well() {
    let path = std::env::temp_dir().join(format!("verdict-wire-{}.sock", std::process::id()));
    let _ = std::fs::remove_file(&path);
    let listener = UnixListener::bind(&path).expect("a Unix socket");
    std::thread::spawn(move || answer_all(listener.accept().expect("accepted").0, honest));
    let mut client = Client::connect(&Endpoint::Unix(path.clone()), options()).expect("connects");
    assert_eq!(client.ping(b"unix").expect("ping"), GENERATION);
    let _ = std::fs::remove_file(&path);
}

#[test]
fn long_lookups_are_spread_over_frames_and_stay_in_order() {
    let mut client = honest_client();
    let many: Vec<_> = (0..3 * KEYS_MAX + 5).map(|index| (KeyKind::Host, [(index % 251) as u8])).collect();
    let answers = client.lookup(&many).expect("many keys").answers;
    assert!(answers.iter().zip(&many).all(|(answer, (_, key))| answer.score() == key[0]) && answers.len() == many.len());

    let long: Vec<_> = (0..300).map(|index| (KeyKind::Url, vec![index as u8; KEY_BYTES_MAX])).collect();
    let answers = client.lookup(&long).expect("2.4 MB of keys").answers;
    assert!(answers.iter().zip(&long).all(|(answer, (_, key))| answer.score() == key[0]) && answers.len() == long.len());

    let too_long = client.lookup(&[(KeyKind::Url, vec![b'x'; KEY_BYTES_MAX + 1]), (KeyKind::Url, vec![b'y'])]).expect("lookup").answers;
    assert_eq!((too_long[0].status(), too_long[1].score()), (Status::Unparseable, b'y'));

    let hashed: Vec<_> = (0..2 * KEYS_MAX as u64 + 1).map(|index| HashedKey { lo: index % 200, hi: index % 9999 }).collect();
    let answers = client.lookup_hashed(GENERATION, &hashed, Place::EXACT).expect("many hashed").answers;
    assert!(answers.iter().zip(&hashed).all(|(answer, key)| u64::from(answer.id()) == key.hi) && answers.len() == hashed.len());

    let values = [i64::MAX; 64];
    let files: Vec<_> = (0..2000).map(|index| FileQuestion { sha256: [index as u8 % 100; 32], features: 200, values: &values }).collect();
    let answers = client.lookup_files(&files).expect("1.3 MB of files").answers;
    assert!(answers.iter().zip(&files).all(|(answer, file)| answer.score() == file.sha256[0]) && answers.len() == files.len());

    let ids: Vec<u32> = (0..700).collect();
    let described = client.describe(GENERATION, &ids).expect("many ids");
    assert!(described.iter().zip(&ids).all(|(described, id)| described.description.id == *id) && described.len() == ids.len());
    assert_eq!(client.lookup::<&[u8]>(&[]).expect("nothing"), verdict_wire::Answers { generation: 0, answers: Vec::new() });
    assert_eq!(client.connects(), 1);
}

#[test]
fn a_lookup_keeps_to_limits_that_the_server_lowered() {
    let (longest, seen) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (noted_longest, noted) = (longest.clone(), seen.clone());
    let endpoint = server(move |_, stream| {
        answer_all(stream, |id, request, out| match request {
            Request::Hello(_) => {
                let limits = Limits { keys_max: 10, frame_bytes_max: 600, ..Limits::default() };
                encode_hello_reply(out, id, &ServerHello { limits, ..server_hello(1) });
            }
            Request::Lookup(keys) => {
                let frame_bytes = 16 + keys.clone().map(|(_, key)| 4 + key.len()).sum::<usize>();
                noted_longest.fetch_max(frame_bytes, Ordering::Relaxed);
                noted.fetch_max(keys.len(), Ordering::Relaxed);
                honest(id, Request::Lookup(keys), out);
            }
            other => honest(id, other, out),
        });
    });
    let mut client = Client::connect(&endpoint, options()).expect("connects");
    client.hello().expect("hello");
    assert_eq!(client.lookup(&vec![(KeyKind::Host, "short"); 95]).expect("many").answers.len(), 95);
    assert_eq!(seen.load(Ordering::Relaxed), 10);
    assert_eq!(client.lookup(&vec![(KeyKind::Host, "x".repeat(90)); 95]).expect("long").answers.len(), 95);
    assert!((500..=600).contains(&longest.load(Ordering::Relaxed)), "{longest:?}");
}

#[test]
fn a_budget_goes_along_with_every_question_that_models_may_answer() {
    let endpoint = server(|_, stream| {
        answer_all(stream, |id, request, out| {
            let (budget_us, count) = match &request {
                Request::Lookup(keys) => (keys.budget_us(), keys.len()),
                Request::LookupFiles(files) => (files.budget_us(), files.len()),
                other => panic!("{other:?}"),
            };
            encode_answers(out, id, GENERATION, &vec![Answer::new(Class::Clean, 0, Categories::NONE, Flags::NONE, budget_us); count]);
        });
    });
    for budget_us in [0, 1, 20_000, verdict_wire::BUDGET_US_MAX] {
        let mut client = Client::connect(&endpoint, ClientOptions { budget_us, ..options() }).expect("connects");
        let file = FileQuestion::of_digest([1; 32]);
        let mut answered = client.lookup(&[(KeyKind::Host, "a")]).expect("lookup").answers;
        answered.extend(client.lookup_files(&[file]).expect("files").answers);
        client.send_lookup([(KeyKind::Host.raw(), b"a".as_slice())]).expect("send");
        client.send_lookup_files([file]).expect("send");
        for _ in 0..2 {
            let (_, Reply::Answers(list)) = client.receive().expect("a reply") else { panic!("no answers") };
            answered.extend_from_slice(list.answers);
        }
        assert_eq!(answered.iter().map(|answer| answer.id()).collect::<Vec<_>>(), [budget_us; 4]);
    }
}

#[test]
fn a_long_lookup_across_a_swap_settles_on_the_new_generation() {
    let endpoint = server(|_, stream| {
        let mut frames = 0;
        answer_all(stream, |id, request, out| {
            let Request::Lookup(keys) = request else { panic!("only lookups are asked") };
            frames += 1;
            let generation = if frames <= 2 { 1 } else { 2 };
            encode_answers(
                out,
                id,
                generation,
                &vec![Answer::new(Class::Clean, generation as u8, Categories::NONE, Flags::NONE, 1); keys.len()],
            );
        });
    });
    let mut client = Client::connect(&endpoint, options()).expect("connects");
    let answers = client.lookup(&vec![(KeyKind::Host, "a"); 3 * KEYS_MAX]).expect("settles");
    assert_eq!(answers.generation, 2);
    assert!(answers.answers.iter().all(|answer| answer.score() == 2));
}

#[test]
fn a_lookup_whose_generation_never_settles_is_an_error() {
    let endpoint = server(|_, stream| {
        let mut generation = 0;
        answer_all(stream, |id, request, out| {
            let Request::Lookup(keys) = request else { panic!("only lookups are asked") };
            generation += 1;
            encode_answers(out, id, generation, &vec![Answer::default(); keys.len()]);
        });
    });
    let mut client = Client::connect(&endpoint, options()).expect("connects");
    assert!(matches!(client.lookup(&vec![(KeyKind::Host, "a"); 3 * KEYS_MAX]), Err(ClientError::Unsettled)));
}

#[test]
fn replies_of_pipelined_requests_come_in_their_order() {
    let mut client = honest_client();
    let mut due = VecDeque::new();
    for round in 0..50_u8 {
        due.push_back((client.send_lookup([(KeyKind::Host.raw(), [round].as_slice())]).expect("send"), Some(round)));
        due.push_back((client.send_ping(&[round]).expect("send"), None));
        if round % 10 == 0 {
            client.flush().expect("flush");
        }
    }
    assert_eq!(client.in_flight(), 100);
    assert!(matches!(client.ping(b""), Err(ClientError::InFlight(100))), "a whole call would mix itself into the pipeline");
    while let Some((due_id, score)) = due.pop_front() {
        let (id, reply) = client.receive().expect("a reply");
        assert_eq!(id, due_id);
        match (reply, score) {
            (Reply::Answers(list), Some(score)) => assert_eq!(list.answers[0].score(), score),
            (Reply::Pong(pong), None) => assert_eq!(pong.payload.len(), 1),
            other => panic!("{other:?}"),
        }
    }
    assert!(matches!(client.receive(), Err(ClientError::InFlight(0))));
    assert_eq!(client.ping(b"").expect("idle again"), GENERATION);
}

#[test]
fn an_error_reply_costs_its_own_request_only() {
    let mut client = honest_client();
    let stale = client.lookup_hashed(GENERATION + 1, &[HashedKey::default()], Place::EXACT);
    assert!(matches!(stale, Err(ClientError::Refused { code: ErrorCode::StaleGeneration, generation: GENERATION, .. })), "{stale:?}");
    assert!(matches!(client.describe(0, &[1]), Err(ClientError::Refused { code: ErrorCode::StaleGeneration, .. })));
    let id = client.send_describe(3, &[1]).expect("send");
    let (got, reply) = client.receive().expect("an ERROR is a reply");
    assert!(got == id && matches!(reply, Reply::Error(error) if error.code() == ErrorCode::StaleGeneration));
    assert_eq!((client.ping(b"").expect("still there"), client.connects()), (GENERATION, 1));
}

#[test]
fn a_silent_server_times_out_and_a_late_reply_is_never_taken_for_another() {
    let endpoint = server(|_, stream| {
        answer_all(stream, |id, request, out| {
            if let Request::Ping(b"slow") = request {
                std::thread::sleep(Duration::from_secs(3));
            }
            honest(id, request, out);
        });
    });
    let mut client = Client::connect(&endpoint, impatient()).expect("connects");
    let begun = Instant::now();
    assert!(matches!(client.ping(b"slow"), Err(ClientError::TimedOut(_))));
    assert!((450..2800).contains(&begun.elapsed().as_millis()), "{:?}", begun.elapsed());
    assert_eq!(client.in_flight(), 0);
    assert_eq!(client.ping(b"next").expect("over a new connection"), GENERATION);
    assert_eq!(client.connects(), 2);
}

#[test]
fn after_a_time_out_a_pipelined_reply_may_still_be_received() {
    let endpoint = server(|_, stream| {
        answer_all(stream, |id, request, out| {
            std::thread::sleep(Duration::from_millis(700));
            honest(id, request, out);
        });
    });
    let mut client = Client::connect(&endpoint, impatient()).expect("connects");
    let id = client.send_ping(b"late").expect("send");
    assert!(matches!(client.receive(), Err(ClientError::TimedOut(_))));
    assert_eq!(client.in_flight(), 1);
    assert_eq!(client.receive().expect("it came").0, id);
}

#[test]
fn a_server_that_speaks_tls_is_told_from_one_that_breaks_off() {
    for (said, speaks_tls) in [(&b"\x15\x03\x03\0\x02\x02\x32"[..], true), (b"\x15\x03\x03\0\x02\x02", false), (b"", false)] {
        let endpoint = server(move |_, mut stream| {
            let _ = stream.read(&mut [0; 64]);
            let _ = stream.write_all(said);
        });
        let mut client = Client::connect(&endpoint, impatient()).expect("connects");
        let error = client.ping(b"").expect_err("no pong");
        assert_eq!(matches!(error, ClientError::SpeaksTls), speaks_tls, "{said:?}: {error}");
    }
}

/// A carrier that inverts every bit, both ways.
struct Inverting(TcpStream);

impl Read for Inverting {
    fn read(&mut self, room: &mut [u8]) -> std::io::Result<usize> {
        let bytes = self.0.read(room)?;
        room[..bytes].iter_mut().for_each(|byte| *byte = !*byte);
        Ok(bytes)
    }
}

impl Write for Inverting {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.write(&bytes.iter().map(|byte| !byte).collect::<Vec<_>>())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.flush()
    }
}

impl Carrier for Inverting {
    fn set_read_timeout(&self, timeout: Option<Duration>) -> std::io::Result<()> {
        self.0.set_read_timeout(timeout)
    }
}

#[test]
fn every_byte_goes_through_the_carrier_that_was_brought_along() {
    let endpoint = server(|_, mut stream| {
        let mut received = [0; 64];
        let bytes = stream.read(&mut received).unwrap_or(0);
        received[..bytes].iter_mut().for_each(|byte| *byte = !*byte);
        let frame = next_frame(&received[..bytes]).expect("a frame").expect("a whole one");
        let mut out = Vec::new();
        encode_pong(&mut out, frame.header.request_id, GENERATION, b"x");
        let _ = stream.write_all(&out.iter().map(|byte| !byte).collect::<Vec<_>>());
    });
    let wrap = Some(Wrap::new(|stream| Ok(Box::new(Inverting(stream)))));
    let mut client = Client::connect(&endpoint, ClientOptions { wrap, ..options() }).expect("connects");
    assert_eq!(client.ping(b"x").expect("a pong"), GENERATION);
    let refused = Wrap::new(|_| Err(std::io::Error::other("no handshake")));
    let options = ClientOptions { wrap: Some(refused), connect_attempts: 1, ..options() };
    let error = Client::connect(&endpoint, options).err().expect("no connection");
    assert!(matches!(&error, ClientError::Connect { error, .. } if error.to_string() == "no handshake"), "{error}");
}

#[test]
fn a_reply_that_trickles_does_not_move_the_deadline() {
    let endpoint = server(|_, mut stream| {
        let mut out = Vec::new();
        encode_pong(&mut out, 1, GENERATION, &[7; 64]);
        let _ = stream.set_nodelay(true);
        for byte in out {
            std::thread::sleep(Duration::from_millis(50));
            if stream.write_all(&[byte]).is_err() {
                return;
            }
        }
    });
    let mut client = Client::connect(&endpoint, impatient()).expect("connects");
    let begun = Instant::now();
    assert!(matches!(client.ping(&[7; 64]), Err(ClientError::TimedOut(_))));
    assert!(begun.elapsed() < Duration::from_millis(2500), "{:?}", begun.elapsed());
}

#[test]
fn a_reply_in_many_pieces_is_one_reply() {
    let endpoint = server(|_, mut stream| {
        let mut request = [0; 4096];
        let _ = stream.read(&mut request);
        let mut out = Vec::new();
        encode_pong(&mut out, 1, GENERATION, b"pieces");
        let _ = stream.set_nodelay(true);
        for piece in out.chunks(5) {
            std::thread::sleep(Duration::from_millis(3));
            stream.write_all(piece).expect("written");
        }
        std::thread::sleep(Duration::from_millis(100));
    });
    let mut client = Client::connect(&endpoint, options()).expect("connects");
    assert_eq!(client.ping(b"pieces").expect("whole"), GENERATION);
    assert_eq!(client.connects(), 1);
}

#[test]
fn a_connection_closed_in_mid_frame_is_asked_once_more() {
    let endpoint = server(|number, mut stream| {
        if number == 0 {
            let mut request = [0; 4096];
            let _ = stream.read(&mut request);
            let _ = stream.write_all(&[40, 0, 0, 0, 0x85, 1]);
            return;
        }
        answer_all(stream, honest);
    });
    let mut client = Client::connect(&endpoint, options()).expect("connects");
    assert_eq!(client.lookup(&[(KeyKind::Host, "z")]).expect("the second connection answers").answers[0].score(), b'z');
    assert_eq!(client.connects(), 2);
}

#[test]
fn a_server_that_always_closes_is_asked_twice_and_no_more() {
    let served = Arc::new(AtomicUsize::new(0));
    let counted = served.clone();
    let endpoint = server(move |_, mut stream| {
        counted.fetch_add(1, Ordering::SeqCst);
        let mut request = [0; 4096];
        let _ = stream.read(&mut request);
        let _ = stream.write_all(&[40, 0, 0]);
    });
    let mut client = Client::connect(&endpoint, options()).expect("connects");
    assert!(matches!(client.ping(b""), Err(ClientError::Closed { mid_frame: true })));
    assert_eq!(served.load(Ordering::SeqCst), 2);
    assert!(matches!(client.ping(b""), Err(ClientError::Closed { .. })), "each call tries for itself");
    assert_eq!(served.load(Ordering::SeqCst), 4);
}

#[test]
fn a_pipeline_that_breaks_says_so_and_the_next_send_connects_anew() {
    let endpoint = server(|number, mut stream| {
        if number == 0 {
            let mut request = [0; 4096];
            let _ = stream.read(&mut request);
            return;
        }
        answer_all(stream, honest);
    });
    let mut client = Client::connect(&endpoint, options()).expect("connects");
    client.send_ping(b"1").expect("send");
    client.send_ping(b"2").expect("send");
    let broken = client.receive().map(|(id, _)| id);
    assert!(matches!(broken, Err(ClientError::Closed { mid_frame: false } | ClientError::Io(_))), "{broken:?}");
    assert_eq!(client.in_flight(), 0);
    let id = client.send_ping(b"3").expect("over a new connection");
    assert_eq!(client.receive().expect("a reply").0, id);
}

/// A port on loopback that nobody else is given while the socket lives, and that who names it may listen on (both have SO_REUSEADDR).
fn held() -> (SocketAddr, OwnedFd) {
    let socket = net::socket(AddressFamily::INET, SocketType::STREAM, None).expect("a socket");
    sockopt::set_socket_reuseaddr(&socket, true).expect("an option that is there");
    net::bind(&socket, &SocketAddr::from(([127, 0, 0, 1], 0))).expect("a free port");
    let address = net::getsockname(&socket).expect("bound").try_into().expect("IPv4");
    (address, socket)
}

#[test]
fn a_server_that_restarts_is_found_again() {
    let (address, _held) = held();
    let listener = TcpListener::bind(address).expect("loopback");
    let (stop, stopped) = mpsc::channel::<()>();
    std::thread::spawn(move || {
        let (stream, _) = listener.accept().expect("accepted");
        let closer = stream.try_clone().expect("clone");
        std::thread::spawn(move || answer_all(stream, honest));
        stopped.recv().expect("told to stop");
        drop(listener);
        let _ = closer.shutdown(std::net::Shutdown::Both);
    });
    let patient = ClientOptions { connect_attempts: 40, backoff_max: Duration::from_millis(20), ..options() };
    let mut client = Client::connect(&Endpoint::Tcp(address.to_string()), patient).expect("connects");
    assert_eq!(client.ping(b"").expect("before"), GENERATION);
    stop.send(()).expect("the server listens");
    std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(150));
        let listener = TcpListener::bind(address).expect("the port again");
        answer_all(listener.accept().expect("accepted").0, honest);
    });
    std::thread::sleep(Duration::from_millis(30));
    assert_eq!(client.ping(b"").expect("after the restart"), GENERATION);
    assert_eq!(client.connects(), 2);
}

#[test]
fn nobody_listening_is_told_after_the_stated_attempts() {
    let (address, _held) = held();
    let five =
        ClientOptions { connect_attempts: 5, backoff_min: Duration::from_millis(10), backoff_max: Duration::from_millis(20), ..options() };
    let begun = Instant::now();
    let error = Client::connect(&Endpoint::Tcp(address.to_string()), five).map(|_| ()).expect_err("nobody is there");
    assert!(matches!(&error, ClientError::Connect { .. }) && error.to_string().contains(&address.to_string()), "{error}");
    assert!(begun.elapsed() >= Duration::from_millis(10 + 20 + 20 + 20), "it paused between attempts: {:?}", begun.elapsed());
}

/// The reply `wrong` writes to the first request must be refused with an error that `is_expected`, over one connection only.
fn refuses(wrong: impl Fn(u32, &mut Vec<u8>) + Send + Sync + 'static, is_expected: impl Fn(&ClientError) -> bool) {
    let endpoint = server(move |_, stream| {
        answer_all(stream, |id, request, out| match request {
            Request::Ping(_) => honest(id, request, out),
            _ => wrong(id, out),
        });
    });
    let mut client = Client::connect(&endpoint, options()).expect("connects");
    let error = client.lookup(&[(KeyKind::Host, "a"), (KeyKind::Host, "b")]).expect_err("a wrong reply");
    assert!(is_expected(&error), "{error:?}");
    assert_eq!(client.connects(), 1, "a server that errs is not asked again");
    assert_eq!(client.ping(b"").expect("over a fresh connection"), GENERATION);
    assert_eq!(client.connects(), 2, "bytes that do not line up are not read on");
}

#[test]
fn a_wrong_request_id_is_an_error() {
    refuses(
        |id, out| encode_answers(out, id + 1, GENERATION, &[Answer::default(); 2]),
        |error| matches!(error, ClientError::WrongRequestId { expected, got } if *got == expected + 1),
    );
}

#[test]
fn a_reply_of_another_kind_is_an_error() {
    refuses(|id, out| encode_pong(out, id, GENERATION, b""), |error| matches!(error, ClientError::Mismatch(_)));
}

#[test]
fn fewer_or_more_answers_than_keys_are_an_error() {
    refuses(|id, out| encode_answers(out, id, GENERATION, &[Answer::default(); 1]), |error| matches!(error, ClientError::Mismatch(_)));
    refuses(|id, out| encode_answers(out, id, GENERATION, &[Answer::default(); 3]), |error| matches!(error, ClientError::Mismatch(_)));
}

#[test]
fn an_oversized_reply_is_refused_before_any_room_is_made_for_it() {
    refuses(
        |_, out| out.extend_from_slice(&u32::MAX.to_le_bytes()),
        |error| matches!(error, ClientError::BadLength { frame_bytes: u32::MAX }),
    );
    refuses(|_, out| out.extend_from_slice(&((1_u32 << 20) + 1).to_le_bytes()), |error| matches!(error, ClientError::BadLength { .. }));
    refuses(|_, out| out.extend_from_slice(&15_u32.to_le_bytes()), |error| matches!(error, ClientError::BadLength { frame_bytes: 15 }));
}

#[test]
fn a_malformed_reply_is_refused() {
    refuses(
        |id, out| {
            encode_answers(out, id, GENERATION, &[Answer::default(); 2]);
            out[6] = 3; // count
        },
        |error| matches!(error, ClientError::Malformed(malformed) if malformed.offset == 6),
    );
}

#[test]
fn an_error_without_id_that_closes_reaches_the_caller() {
    refuses(
        |_, out| encode_error(out, 0, GENERATION, ErrorCode::FrameTooLarge, 9, "too large", true),
        |error| matches!(error, ClientError::Refused { code: ErrorCode::FrameTooLarge, detail: 9, .. }),
    );
}

#[test]
fn a_draining_flag_on_a_reply_does_no_harm() {
    let endpoint = server(|_, stream| {
        answer_all(stream, |id, request, out| {
            let at = out.len();
            honest(id, request, out);
            mark_reply(out, at, verdict_wire::REPLY_DRAINING);
        });
    });
    let mut client = Client::connect(&endpoint, options()).expect("connects");
    assert_eq!(client.ping(b"").expect("answered"), GENERATION);
}

#[test]
fn a_server_that_never_reads_times_the_writer_out() {
    let endpoint = server(|_, stream| {
        std::thread::sleep(Duration::from_secs(30));
        drop(stream);
    });
    let mut client = Client::connect(&endpoint, impatient()).expect("connects");
    let key = vec![b'k'; KEY_BYTES_MAX];
    let begun = Instant::now();
    let stuck = (0..200).find_map(|_| client.send_lookup((0..120).map(|_| (KeyKind::Url.raw(), key.as_slice()))).err());
    assert!(matches!(stuck, Some(ClientError::TimedOut(_))), "{stuck:?}");
    assert!(begun.elapsed() < Duration::from_secs(20));
    assert_eq!(client.in_flight(), 0);
}

#[test]
fn a_request_that_cannot_be_written_leaves_nothing_behind() {
    let mut client = honest_client();
    let long = vec![0; KEY_BYTES_MAX + 1];
    assert!(matches!(client.send_lookup([(1, long.as_slice())]), Err(ClientError::Encode(_))));
    assert!(matches!(client.send_lookup([]), Err(ClientError::Encode(_))));
    assert!(matches!(client.send_ping(&[0; 65]), Err(ClientError::Encode(_))));
    assert_eq!((client.in_flight(), client.ping(b"").expect("clean")), (0, GENERATION));
}

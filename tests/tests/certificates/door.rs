//! What strangers and worse do to an agent's port, with sockets of our own: nobody who may come in is kept out.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use controller::tls::{HostStream, connect};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tests::full::{report, wanted};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpSocket;
use tokio::task::JoinSet;

use crate::fleet::{Agent, Fleet};

/// An operator gets an answer within this.
const BOUND: Duration = Duration::from_secs(2);
/// The beginning of a ClientHello.
const HELLO: &[u8] = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";

/// How long an operator takes from nothing to an answer.
async fn answered(fleet: &Fleet, agent: &Agent) -> Duration {
    let begun = Instant::now();
    let link = fleet.link("ana", agent).await.unwrap();
    link.status().await.unwrap();
    begun.elapsed()
}

fn many_files() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    setrlimit(Resource::Nofile, raised).unwrap();
}

fn knock(address: SocketAddr, bytes: &[u8]) -> Option<TcpStream> {
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(5)).ok()?;
    stream.write_all(bytes).ok()?;
    Some(stream)
}

/// Resident memory in KiB.
fn memory(agent: &Agent) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", agent.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.unwrap()
        .split_whitespace()
        .next()
        .unwrap()
        .parse()
        .unwrap()
}

/// Processor time in hundredths of a second.
fn processor(agent: &Agent) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{}/stat", agent.pid())).unwrap();
    let after = stat.rsplit_once(") ").unwrap().1;
    let fields: Vec<&str> = after.split(' ').collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_of_half_open_handshakes_keeps_no_operator_out() {
    many_files();
    let fleet = Fleet::new();
    let emilia = fleet.host("emilia");
    let count = if wanted() { 10_000 } else { 1_000 };
    let (quiet, begun) = (memory(&emilia), Instant::now());
    let mut held = Vec::new();
    for number in 0..count {
        let bytes: &[u8] = match number % 5 {
            0 => b"",
            1 => HELLO,
            2 => b"GET / HTTP/1.1\r\nHost: agent\r\n",
            3 => b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            _ => &[0; 300],
        };
        held.extend(knock(emilia.address, bytes));
    }
    // One byte at a time, and never the last one.
    let over = Arc::new(AtomicBool::new(false));
    let slow: Vec<_> = (0..16)
        .map(|_| {
            let (address, over) = (emilia.address, Arc::clone(&over));
            thread::spawn(move || {
                while !over.load(Ordering::SeqCst) {
                    let Some(mut stream) = knock(address, b"") else {
                        continue;
                    };
                    for byte in HELLO {
                        if over.load(Ordering::SeqCst) || stream.write_all(&[*byte]).is_err() {
                            break;
                        }
                        thread::sleep(Duration::from_millis(50));
                    }
                }
            })
        })
        .collect();
    let mut slowest = Duration::ZERO;
    for _ in 0..5 {
        slowest = slowest.max(answered(&fleet, &emilia).await);
    }
    over.store(true, Ordering::SeqCst);
    slow.into_iter().for_each(|thread| thread.join().unwrap());
    let grown = memory(&emilia).saturating_sub(quiet);
    report(&format!(
        "beside {count} half-open handshakes and noise an operator waited {} ms at most; the agent grew by {grown} KiB",
        slowest.as_millis()
    ));
    assert!(slowest < BOUND, "{slowest:?}");
    assert!(grown < 32 * 1024, "{grown} KiB");
    let refused = emilia.log().matches("connection refused").count();
    // So many lines in ten seconds, however many knock.
    let most = 20 * (2 + begun.elapsed().as_secs() / 10);
    assert!(
        refused as u64 <= most,
        "{refused} lines for {count} strangers"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_handshakes_is_held_off() {
    many_files();
    let fleet = Fleet::new();
    let emilia = fleet.host("emilia");
    let knocks = Arc::new(AtomicUsize::new(0));
    let mut flood = JoinSet::new();
    for number in 2..10 {
        let (address, knocks) = (emilia.address, Arc::clone(&knocks));
        flood.spawn(async move {
            // Strangers come from elsewhere than operators do.
            let source = SocketAddr::from(([127, 0, 0, number], 0));
            loop {
                let socket = TcpSocket::new_v4().unwrap();
                socket.bind(source).unwrap();
                if let Ok(mut stream) = socket.connect(address).await {
                    stream.write_all(HELLO).await.ok();
                    knocks.fetch_add(1, Ordering::SeqCst);
                }
            }
        });
    }
    let begun = Instant::now();
    let mut slowest = Duration::ZERO;
    let mut answers = 0;
    while begun.elapsed() < Duration::from_secs(3) {
        slowest = slowest.max(answered(&fleet, &emilia).await);
        answers += 1;
    }
    let second = knocks.load(Ordering::SeqCst) as f64 / begun.elapsed().as_secs_f64();
    flood.shutdown().await;
    report(&format!(
        "{second:.0} broken handshakes a second held off; an operator came in {answers} times meanwhile and waited {} ms at most",
        slowest.as_millis()
    ));
    assert!(slowest < BOUND, "{slowest:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_descriptors_the_agent_neither_spins_nor_ends() {
    let fleet = Fleet::new();
    let mut emilia = fleet.host("emilia");
    emilia.stop();
    emilia.start_with("ulimit -n 64");
    let held: Vec<_> = (0..200)
        .filter_map(|_| knock(emilia.address, HELLO))
        .collect();
    assert!(answered(&fleet, &emilia).await < BOUND);
    // Operators who stay hold theirs for good; the next is told, or waits, and nothing spins.
    let mut links = Vec::new();
    while links.len() < 80 {
        let linked = tokio::time::timeout(BOUND, fleet.link("ana", &emilia)).await;
        let Ok(Ok(link)) = linked else { break };
        links.push(link);
    }
    assert!((8..80).contains(&links.len()), "{} came in", links.len());
    let before = processor(&emilia);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let spent = processor(&emilia) - before;
    assert!(spent < 30, "{spent} of 100 hundredths of a second");
    drop((links, held));
    emilia.says("cannot accept connections");
    let begun = Instant::now();
    while fleet.link("ana", &emilia).await.is_err() {
        assert!(
            begun.elapsed() < Duration::from_secs(10),
            "it does not recover"
        );
    }
    assert!(answered(&fleet, &emilia).await < BOUND);
}

/// An HTTP/2 frame.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// `POST /longshore.v1.Agent/Stage`: a call that waits for what the caller sends.
fn headers() -> Vec<u8> {
    let path = b"/longshore.v1.Agent/Stage";
    let mut block = vec![
        0x83,
        0x87,
        0x41,
        1,
        b'a',
        0x44,
        u8::try_from(path.len()).unwrap(),
    ];
    block.extend(path);
    for (name, value) in [("content-type", "application/grpc"), ("te", "trailers")] {
        block.push(0);
        for text in [name, value] {
            block.push(u8::try_from(text.len()).unwrap());
            block.extend(text.as_bytes());
        }
    }
    block
}

const END_HEADERS: u8 = 4;

/// The `number`th of endlessly many.
type Flood = fn(u32) -> Vec<u8>;

const FLOODS: [(&str, Flood); 6] = [
    ("rapid resets", |number| {
        let stream = 2 * number + 1;
        let begun = frame(1, END_HEADERS, stream, &headers());
        [begun, frame(3, 0, stream, &8_u32.to_be_bytes())].concat()
    }),
    ("headers without an end", |number| match number {
        0 => frame(1, 0, 1, &headers()),
        _ => frame(9, 0, 1, &[0, 1, b'x', 1, b'y'].repeat(200)),
    }),
    ("data without data", |number| match number {
        0 => frame(1, END_HEADERS, 1, &headers()),
        _ => frame(0, 0, 1, &[]),
    }),
    ("pings", |number| {
        frame(6, 0, 0, &u64::from(number).to_be_bytes())
    }),
    ("settings", |_| frame(4, 0, 0, &[])),
    ("calls without an end", |number| {
        frame(1, END_HEADERS, 2 * number + 1, &headers())
    }),
];

/// Sends a flood for as long as it is taken, a second at most: how many frames, and whether the agent ended it with a
/// GOAWAY.
async fn flooded(stream: HostStream<tokio::net::TcpStream>, flood: Flood) -> (u32, bool) {
    let (mut read, mut write) = tokio::io::split(stream);
    let listener = tokio::spawn(async move {
        let mut heard: Vec<u8> = Vec::new();
        let mut chunk = [0; 16 * 1024];
        // All is read: an agent must not be protected by a client that does not listen.
        while let Ok(count @ 1..) = read.read(&mut chunk).await {
            heard.extend(&chunk[..count]);
            let keep = heard.len().saturating_sub(64 * 1024);
            heard.drain(..keep);
        }
        // The type of a GOAWAY frame, with its stream 0.
        heard.windows(6).any(|bytes| bytes == [7, 0, 0, 0, 0, 0])
    });
    let begun = Instant::now();
    let settings = frame(4, 0, 0, &[]);
    let mut sent = 0;
    let mut open = write
        .write_all(&[b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".as_slice(), &settings].concat())
        .await
        .is_ok();
    while open && begun.elapsed() < Duration::from_secs(1) {
        let mut batch = Vec::new();
        for _ in 0..64 {
            batch.extend(flood(sent));
            sent += 1;
        }
        let written = tokio::time::timeout(Duration::from_secs(2), write.write_all(&batch)).await;
        open = matches!(written, Ok(Ok(())));
    }
    // What is not ended now goes on for as long as it likes, with nobody else the worse for it.
    let patience = Duration::from_secs(if open { 1 } else { 5 });
    let ended = tokio::time::timeout(patience, listener).await;
    (sent, ended.is_ok_and(|heard| heard.unwrap()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn floods_inside_http2_cost_neither_memory_nor_others_their_turn() {
    let fleet = Fleet::new();
    let emilia = fleet.host("emilia");
    answered(&fleet, &emilia).await;
    let quiet = memory(&emilia);
    let (address, client) = (emilia.address.to_string(), fleet.client("ana", "emilia"));
    for (what, flood) in FLOODS {
        let stream = connect(&address, &client).await.unwrap();
        let flooding = flooded(stream, flood);
        let others = async {
            tokio::time::sleep(Duration::from_millis(300)).await;
            answered(&fleet, &emilia).await
        };
        let ((sent, goaway), waited) = tokio::join!(flooding, others);
        let grown = memory(&emilia).saturating_sub(quiet);
        report(&format!(
            "{what}: {sent} sent, goaway {goaway}, others waited {} ms, {grown} KiB grown",
            waited.as_millis()
        ));
        // The one who floods shares two cores with the agent here.
        assert!(waited < 2 * BOUND, "{what}: {waited:?}");
        assert!(grown < 32 * 1024, "{what}: {grown} KiB");
        let ends = !matches!(what, "pings" | "settings" | "calls without an end");
        assert!(goaway || !ends, "{what} went on");
    }
    assert!(answered(&fleet, &emilia).await < BOUND);
}

#[test]
fn a_stranger_is_let_go_and_told_once() {
    let fleet = Fleet::new();
    let emilia = fleet.host("emilia");
    for bytes in [
        b"GET / HTTP/1.0\r\n\r\n".as_slice(),
        b"SSH-2.0-x\r\n",
        &[0xff; 4096],
    ] {
        let mut stream = knock(emilia.address, bytes).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(5)))
            .unwrap();
        let mut answer = Vec::new();
        // Closed or reset, but not left waiting.
        let ended = stream.read_to_end(&mut answer);
        let waited = |error: &std::io::Error| error.kind() == std::io::ErrorKind::WouldBlock;
        assert!(!ended.as_ref().is_err_and(waited), "{ended:?}");
    }
    emilia.says("connection refused");
}

//! What comes back from real sockets.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;

use tokio::net::TcpSocket;

use super::*;
use crate::engine::scripted::ScriptedEngine;
use crate::testing::container;

fn asker() -> Asker {
    Asker::new(Arc::new(ScriptedEngine::new()))
}

fn probe(check: Check) -> Probe {
    let timeout = Duration::from_secs(5);
    Probe::new("web".parse().unwrap(), check, timeout, timeout).unwrap()
}

fn at_home() -> Container {
    Container {
        addresses: vec![[127, 0, 0, 1].into()],
        ..container("web")
    }
}

/// A server that answers each request with this, and gives what it was sent.
fn server(answer: &'static str) -> (u16, std::sync::mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut bytes = [0; 4096];
            let count = stream.read(&mut bytes).unwrap_or(0);
            let asked = String::from_utf8_lossy(&bytes[..count]).into_owned();
            stream.write_all(answer.as_bytes()).ok();
            if tell.send(asked).is_err() {
                return;
            }
        }
    });
    (port, told)
}

fn http(port: u16, status: Option<u16>) -> Probe {
    let path = "/health?deep=1".to_owned();
    probe(Check::Http { port, path, status })
}

#[tokio::test]
async fn an_http_answer_is_judged_by_its_status() {
    let busy = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 100000\r\n\r\nbusy";
    let moved = "HTTP/1.1 302 Found\r\nLocation: /login\r\n\r\n";
    for (answer, wanted, passed, words) in [
        (busy, None, false, "answered 503"),
        (busy, Some(503), true, "answered 503"),
        (moved, None, true, "answered 302"),
        (moved, Some(200), false, "answered 302, not 200"),
    ] {
        let (port, told) = server(answer);
        let got = asker().ask(&at_home(), &http(port, wanted)).await;
        assert_eq!((got.passed, got.words.as_str()), (passed, words));
        let asked = told.recv().unwrap();
        assert!(
            asked.starts_with("GET /health?deep=1 HTTP/1.1\r\n"),
            "{asked}"
        );
        let host = format!("host: localhost:{port}\r\n");
        assert!(asked.to_lowercase().contains(&host), "{asked}");
    }
}

#[tokio::test]
async fn nobody_at_the_port_is_told_in_the_systems_words() {
    let open = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = open.local_addr().unwrap().port();
    let answer = asker().ask(&at_home(), &probe(Check::Tcp { port })).await;
    assert!(answer.passed, "{answer:?}");
    // Held, so that nobody else comes to listen there.
    let silent = TcpSocket::new_v4().unwrap();
    silent.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let port = silent.local_addr().unwrap().port();
    for probe in [probe(Check::Tcp { port }), http(port, None)] {
        let closed = asker().ask(&at_home(), &probe).await;
        assert!(
            !closed.passed && closed.words.contains("Connection refused"),
            "{closed:?}"
        );
    }
}

#[tokio::test]
async fn whoever_says_nothing_is_not_waited_for() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let probe = Probe {
        timeout: Duration::from_millis(300),
        ..http(port, None)
    };
    let answer = asker().ask(&at_home(), &probe).await;
    assert_eq!(answer.words, "did not answer within 300ms");
}

#[tokio::test]
async fn any_of_several_addresses_may_answer() {
    let (port, _told) = server("HTTP/1.1 200 OK\r\n\r\n");
    let mut both = at_home();
    both.addresses.insert(0, [127, 0, 0, 77].into());
    let answer = asker().ask(&both, &http(port, None)).await;
    assert!(answer.passed, "{answer:?}");
}

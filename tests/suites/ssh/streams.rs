//! Streams of one session beside each other: slow, dead, unread, and over a change of keys.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use controller::ssh::{Input, Session, SshError, Tunnel};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use crate::client::{Operator, SOON, until};
use crate::server::Server;

async fn listener() -> (TcpListener, u16) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

/// A stream to a server that sends back what it gets, `delay` after it came.
async fn echo(session: &Session) -> Tunnel {
    let (listener, port) = listener().await;
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let (mut read, mut write) = stream.split();
        tokio::io::copy(&mut read, &mut write).await.ok();
    });
    session.forward("127.0.0.1", port).await.unwrap()
}

/// How long a word takes there and back.
async fn there_and_back(tunnel: &mut Tunnel) -> Duration {
    let start = Instant::now();
    tunnel.write_all(b"word").await.unwrap();
    let mut word = [0; 4];
    timeout(SOON, tunnel.read_exact(&mut word))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(&word, b"word");
    start.elapsed()
}

#[tokio::test]
async fn one_dead_stream_never_blocks_another() {
    let Some(server) = Server::start("") else {
        return;
    };
    let session = Operator::of(&server).session(&server).await;
    let mut good = echo(&session).await;
    there_and_back(&mut good).await;

    // A target that takes connections and never reads.
    let (deaf, port) = listener().await;
    let mut stuck = session.forward("127.0.0.1", port).await.unwrap();
    let (_held, _) = deaf.accept().await.unwrap();
    let filled = timeout(Duration::from_secs(2), async {
        loop {
            stuck.write_all(&[0; 65536]).await.unwrap();
        }
    });
    filled.await.unwrap_err();
    assert!(there_and_back(&mut good).await < Duration::from_secs(2));

    // A target that never answers at all.
    let full = full_listener();
    let port = full.0;
    let never = tokio::select! {
        result = session.forward("127.0.0.1", port) => Some(result),
        time = there_and_back(&mut good) => { assert!(time < Duration::from_secs(2)); None }
    };
    assert!(never.is_none(), "{never:?}");

    // A stream that nobody reads ends alone.
    let (talker, port) = listener().await;
    let mut unread = session.forward("127.0.0.1", port).await.unwrap();
    let (mut talker, _) = talker.accept().await.unwrap();
    let talking = tokio::spawn(async move {
        let mut sent = 0_u64;
        while talker.write_all(&[1; 65536]).await.is_ok() {
            sent += 65536;
        }
        sent
    });
    let sent = timeout(SOON, talking).await.unwrap().unwrap();
    assert!(sent >= 32 << 20, "{sent}");
    assert!(there_and_back(&mut good).await < Duration::from_secs(2));
    let mut all = Vec::new();
    let error = timeout(SOON, unread.read_to_end(&mut all))
        .await
        .unwrap()
        .unwrap_err();
    assert!(error.to_string().contains("nobody reads"), "{error}");
    let kept = all.len();
    assert!(kept <= 32 << 20, "{kept} bytes were kept");
    assert!(
        session
            .exec("true", Input::Nothing, SOON)
            .await
            .unwrap()
            .success()
    );
}

/// A port whose queue of connections is full, so that the next one waits.
fn full_listener() -> (u16, Vec<std::net::TcpStream>, std::os::fd::OwnedFd) {
    use rustix::net::{AddressFamily, SocketAddrV4, SocketType, bind, getsockname, listen, socket};
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    bind(&socket, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0)).unwrap();
    listen(&socket, 0).unwrap();
    let address: SocketAddrV4 = getsockname(&socket).unwrap().try_into().unwrap();
    let one = std::net::TcpStream::connect((Ipv4Addr::LOCALHOST, address.port())).unwrap();
    (address.port(), vec![one], socket)
}

#[tokio::test]
async fn a_frozen_host_is_found_out() {
    let Some(server) = Server::start("") else {
        return;
    };
    let session = Operator::of(&server).session(&server).await;
    assert!(session.is_alive(SOON).await);
    server.signal("STOP");
    assert!(!session.is_alive(Duration::from_secs(1)).await);
    server.signal("CONT");
    assert!(session.is_alive(SOON).await);
    server.cut();
    until("the session is closed", || session.is_closed()).await;
    assert!(!session.is_alive(SOON).await);
    let error = session.forward("127.0.0.1", 1).await.unwrap_err();
    assert!(matches!(error, SshError::Lost { .. }), "{error:?}");
}

/// Sends `bytes` there and back, in pieces whose content tells their place.
async fn load(tunnel: Tunnel, bytes: u64) {
    let (mut read, mut write) = tokio::io::split(tunnel);
    let sending = async move {
        let mut sent = 0;
        while sent < bytes {
            write.write_all(&piece(sent)).await.unwrap();
            sent += PIECE as u64;
        }
        write.shutdown().await.unwrap();
    };
    let receiving = async move {
        let mut buffer = vec![0; PIECE];
        let mut got = 0;
        while got < bytes {
            read.read_exact(&mut buffer).await.unwrap();
            assert!(buffer == piece(got), "other bytes at {got}");
            got += PIECE as u64;
        }
        assert_eq!(read.read(&mut buffer).await.unwrap(), 0);
    };
    tokio::join!(sending, receiving);
}

const PIECE: usize = 64 * 1024;

fn piece(offset: u64) -> Vec<u8> {
    offset.to_be_bytes().repeat(PIECE / 8)
}

/// Both sides change keys while streams and a command are under load.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_change_under_load_and_nothing_is_lost() {
    let bytes = 16 << 20;
    let Some(server) = Server::start("LogLevel DEBUG1\nRekeyLimit 5M") else {
        return;
    };
    let mut operator = Operator::of(&server);
    operator.options.rekey = Some(3 << 20);
    let session = operator.session(&server).await;
    let (one, other) = (echo(&session).await, echo(&session).await);
    let mut input = tokio::io::repeat(7).take(bytes);
    let ((), (), output) = tokio::join!(
        load(one, bytes),
        load(other, bytes),
        session.exec(
            "wc -c",
            Input::Stream(&mut input),
            Duration::from_secs(3000)
        )
    );
    assert_eq!(output.unwrap().stdout.text().trim(), bytes.to_string());
    let changes = server.log().matches("rekey in after").count();
    tests::full::report(&format!(
        "ssh: {bytes} bytes three times, keys changed about {changes} times"
    ));
    assert!(changes >= 4, "{changes} changes:\n{}", server.log());
    session.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_gigabytes_pass_each_way() {
    if !tests::full::wanted() {
        return;
    }
    let Some(server) = Server::start("LogLevel DEBUG1") else {
        return;
    };
    let session = Operator::of(&server).session(&server).await;
    let (bytes, limit) = (3_u64 << 30, Duration::from_secs(3000));
    let mut input = tokio::io::repeat(7).take(bytes);
    let line = format!("head -c {bytes} /dev/zero");
    let start = Instant::now();
    let (up, down) = tokio::join!(
        session.exec("wc -c", Input::Stream(&mut input), limit),
        session.exec(&line, Input::Nothing, limit)
    );
    assert_eq!(up.unwrap().stdout.text().trim(), bytes.to_string());
    let down = down.unwrap().stdout;
    assert_eq!(down.bytes.len() as u64 + down.dropped, bytes);
    let changes = server.log().matches("rekey in after").count();
    assert!(changes >= 2, "{changes} changes");
    let took = start.elapsed().as_secs();
    tests::full::report(&format!(
        "ssh: 3 GiB each way in {took} s, keys changed {changes} times"
    ));
}

#[tokio::test]
async fn a_host_that_says_nothing_more_is_given_up_by_its_signs_of_life() {
    if !tests::full::wanted() {
        return;
    }
    let Some(server) = Server::start("") else {
        return;
    };
    let session = Operator::of(&server).session(&server).await;
    let start = Instant::now();
    server.signal("STOP");
    while !session.is_closed() {
        assert!(start.elapsed() < Duration::from_secs(90));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    server.signal("CONT");
    drop(TcpStream::connect((Ipv4Addr::LOCALHOST, server.port)).await);
}

//! Real sockets and real TLS against servers that are right, wrong, silent or absent.

use std::io;
use std::time::Duration;

use std::net::SocketAddr;

use proto::fault::{Fault, FaultKind};
use proto::role::Role;
use rcgen::KeyPair;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::clock;
use crate::pki::{Authorities, Request, make_request};

/// A fleet with its bundle open, and an operator of it.
struct Fleet {
    authorities: Authorities,
    operator: OperatorIdentity,
}

impl Fleet {
    fn new() -> Self {
        let authorities = Authorities::generate(&"opq".parse().unwrap(), clock::now()).unwrap();
        let operator = operator(&authorities, clock::now());
        Self {
            authorities,
            operator,
        }
    }

    fn client(&self, host: &str) -> HostClient {
        let ca = self.authorities.public();
        HostClient::new(ca, &self.operator, &host.parse().unwrap()).unwrap()
    }

    fn host(&self, name: &str) -> (CertificateDer<'static>, KeyPair) {
        let (key, request) = asked(name);
        let name = name.parse().unwrap();
        let issued = self
            .authorities
            .host_certificate(&request, &name, clock::now());
        (issued.unwrap().certificate, key)
    }
}

/// Ana, as signed at a time.
fn operator(authorities: &Authorities, signed: time::OffsetDateTime) -> OperatorIdentity {
    let (key, request) = asked("ana");
    let name = "ana".parse().unwrap();
    let issued = authorities.operator_certificate(&request, &name, Role::Admin, &[], signed);
    let text = key.serialize_pem() + &issued.unwrap().to_pem();
    OperatorIdentity::from_pem(&text).unwrap()
}

fn asked(name: &str) -> (KeyPair, Request) {
    let key = KeyPair::generate().unwrap();
    let request = Request::from_pem(&make_request(&key, name).unwrap()).unwrap();
    (key, request)
}

/// A TLS server that says hello once; `clients` must sign the client's certificate, if given.
async fn serve(
    (certificate, key): (CertificateDer<'static>, KeyPair),
    clients: Option<&CertificateDer<'static>>,
    alpn: &[u8],
) -> (SocketAddr, JoinHandle<()>) {
    let builder = ServerConfig::builder();
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(authority) => {
            let mut roots = RootCertStore::empty();
            roots.add(authority.clone()).unwrap();
            let verifier = WebPkiClientVerifier::builder(roots.into()).build().unwrap();
            builder.with_client_cert_verifier(verifier)
        }
    };
    let key = PrivatePkcs8KeyDer::from(key.serialized_der().to_vec());
    let mut config = builder
        .with_single_cert(vec![certificate], key.into())
        .unwrap();
    config.alpn_protocols = vec![alpn.to_vec()];
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        if let Ok(mut stream) = TlsAcceptor::from(Arc::new(config)).accept(stream).await {
            stream.write_all(b"hello").await.ok();
            stream.shutdown().await.ok();
        }
    });
    (address, server)
}

async fn failure(address: SocketAddr, client: &HostClient) -> ConnectError {
    connect(&address.to_string(), client).await.unwrap_err()
}

#[tokio::test]
async fn the_right_host_is_reached_whatever_its_address() {
    let fleet = Fleet::new();
    let operators = &fleet.authorities.public().signing().operators;
    let (address, server) = serve(fleet.host("emilia"), Some(operators), b"h2").await;
    let mut stream = connect(&address.to_string(), &fleet.client("emilia"))
        .await
        .unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    assert_eq!(text, "hello");
    assert!(stream.refusal().get().is_none());
    server.await.unwrap();
}

#[tokio::test]
async fn another_host_of_the_fleet_is_refused_by_name() {
    let fleet = Fleet::new();
    let (address, _server) = serve(fleet.host("mallory"), None, b"h2").await;
    let error = failure(address, &fleet.client("emilia")).await;
    assert!(
        matches!(&error, ConnectError::NotTheHost { found, .. } if found.ends_with("/mallory"))
    );
    assert_eq!(Fault::from(&error).kind, FaultKind::Denied);
}

#[tokio::test]
async fn certificates_that_are_no_hosts_of_this_fleet_are_refused() {
    let (fleet, other) = (Fleet::new(), Fleet::new());
    let (key, request) = asked("emilia");
    let name = "emilia".parse().unwrap();
    let operator =
        fleet
            .authorities
            .operator_certificate(&request, &name, Role::Admin, &[], clock::now());
    for identity in [other.host("emilia"), (operator.unwrap().certificate, key)] {
        let (address, _server) = serve(identity, None, b"h2").await;
        let error = failure(address, &fleet.client("emilia")).await;
        assert!(
            matches!(error, ConnectError::HostCertificate { .. }),
            "{error}"
        );
    }
}

#[derive(Debug)]
struct Shifted(i64);

impl TimeProvider for Shifted {
    fn current_time(&self) -> Option<UnixTime> {
        let seconds = (clock::now() + time::Duration::days(self.0)).unix_timestamp();
        Some(UnixTime::since_unix_epoch(Duration::from_secs(
            seconds.try_into().unwrap(),
        )))
    }
}

#[tokio::test]
async fn an_expired_or_future_certificate_is_refused_and_told_apart() {
    let fleet = Fleet::new();
    for (days, expected) in [
        (398, HostCertificateProblem::Expired),
        (-2, HostCertificateProblem::NotValidYet),
    ] {
        let (address, _server) = serve(fleet.host("emilia"), None, b"h2").await;
        let ca = fleet.authorities.public();
        let host = "emilia".parse().unwrap();
        let client = HostClient::with_clock(ca, &fleet.operator, &host, Arc::new(Shifted(days)));
        let error = failure(address, &client.unwrap()).await;
        assert!(
            matches!(error, ConnectError::HostCertificate { why, .. } if why == expected),
            "{error}"
        );
    }
}

#[test]
fn an_expired_operator_is_told_since_when_and_what_to_do() {
    let fleet = Fleet::new();
    let signed = clock::now() - time::Duration::days(181);
    let expired = operator(&fleet.authorities, signed);
    let ca = fleet.authorities.public();
    let error = HostClient::new(ca, &expired, &"emilia".parse().unwrap()).unwrap_err();
    let fault = Fault::from(error);
    assert_eq!(fault.kind, FaultKind::Denied);
    let day = (signed + time::Duration::days(180)).date();
    assert_eq!(
        fault.what,
        format!("the certificate of operator ana on this machine expired on {day} (UTC)")
    );
    assert!(
        fault.hints[0].contains("operator request ana"),
        "{:?}",
        fault.hints
    );
}

#[tokio::test]
async fn a_host_that_refuses_us_says_why() {
    let (fleet, other) = (Fleet::new(), Fleet::new());
    let operators = &other.authorities.public().signing().operators;
    let (address, _server) = serve(fleet.host("emilia"), Some(operators), b"h2").await;
    let mut stream = connect(&address.to_string(), &fleet.client("emilia"))
        .await
        .unwrap();
    let refusal = stream.refusal();
    assert!(stream.read_u8().await.is_err());
    let error = refusal.get().unwrap();
    assert!(
        matches!(error, ConnectError::OperatorRefused { .. }),
        "{error}"
    );
    assert_eq!(Fault::from(error).kind, FaultKind::Denied);
}

#[tokio::test]
async fn a_server_without_http2_is_no_agent() {
    let fleet = Fleet::new();
    let (address, _server) = serve(fleet.host("emilia"), None, b"http/1.1").await;
    let error = failure(address, &fleet.client("emilia")).await;
    assert!(
        matches!(error, ConnectError::NotLongshore { .. }),
        "{error}"
    );
}

#[tokio::test]
async fn garbage_instead_of_tls_is_no_agent() {
    let fleet = Fleet::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"SSH-2.0-OpenSSH_9.6\r\n").await.unwrap();
    });
    let error = failure(address, &fleet.client("emilia")).await;
    assert!(
        matches!(error, ConnectError::NotLongshore { .. }),
        "{error}"
    );
    server.await.unwrap();
}

#[tokio::test]
async fn nothing_listening_is_said_at_once() {
    let fleet = Fleet::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let error = failure(address, &fleet.client("emilia")).await;
    assert!(matches!(error, ConnectError::Refused { .. }), "{error}");
    let error = connect("no-such-host.invalid", &fleet.client("emilia"))
        .await
        .unwrap_err();
    assert!(
        matches!(
            error,
            ConnectError::NoSuchName { .. } | ConnectError::NoAnswer { .. }
        ),
        "{error}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_silent_server_ends_at_the_deadline() {
    let fleet = Fleet::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let begun = Instant::now();
    let error = failure(listener.local_addr().unwrap(), &fleet.client("emilia")).await;
    assert!(matches!(error, ConnectError::NoHandshake { .. }), "{error}");
    assert_eq!(begun.elapsed().as_secs(), CONNECT_TIMEOUT.as_secs());
}

#[tokio::test(start_paused = true)]
async fn a_black_hole_is_not_a_refusal() {
    let fleet = Fleet::new();
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    // A full backlog drops what follows, as a firewall does.
    let mut held = Vec::new();
    for _ in 0..8 {
        held.push(tokio::spawn(TcpStream::connect(address)));
        tokio::task::yield_now().await;
    }
    let error = failure(address, &fleet.client("emilia")).await;
    assert!(matches!(error, ConnectError::NoAnswer { .. }), "{error}");
    assert_eq!(Fault::from(error).kind, FaultKind::Unreachable);
}

#[test]
fn a_port_is_added_where_it_is_missing() {
    for (address, expected) in [
        ("emilia", "emilia:7433"),
        ("emilia:9", "emilia:9"),
        ("10.0.0.1", "10.0.0.1:7433"),
        ("::1", "[::1]:7433"),
        ("[::1]:9", "[::1]:9"),
        ("[::1]", "[::1]:7433"),
    ] {
        assert_eq!(with_port(address), expected);
    }
}

#[test]
fn a_connection_error_is_found_inside_a_librarys() {
    let refused = ConnectError::Refused {
        address: "emilia:7433".into(),
    };
    let wrapped = io::Error::other(io::Error::other(refused));
    assert!(matches!(
        ConnectError::find(&wrapped),
        Some(ConnectError::Refused { .. })
    ));
    assert!(ConnectError::find(&io::Error::other("no")).is_none());
}

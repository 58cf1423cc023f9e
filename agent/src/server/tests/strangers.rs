//! Those who must not get in, each for a reason of its own.

use std::collections::BTreeSet;
use std::io;

use rcgen::ExtendedKeyUsagePurpose;
use rustls::AlertDescription;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::*;
use crate::testing::Leaf;

/// What the server answers: in TLS 1.3 the client only learns at its first read.
async fn alert(agent: &Running, identity: Option<&Held>) -> Option<AlertDescription> {
    let mut stream = match dial(agent.address, &client(identity, H2)).await {
        Ok(stream) => stream,
        Err(error) => return alert_in(&error),
    };
    stream
        .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        .await
        .ok();
    alert_in(&stream.read_u8().await.err()?)
}

fn alert_in(error: &io::Error) -> Option<AlertDescription> {
    match error.get_ref()?.downcast_ref()? {
        rustls::Error::AlertReceived(alert) => Some(*alert),
        _ => None,
    }
}

#[tokio::test]
async fn each_stranger_is_told_why_and_no_call_is_dispatched() {
    use AlertDescription as A;
    let agent = Running::start().await;
    let (fleet, other) = (&agent.fleet, TestFleet::new("opq"));
    let sign = |leaf: Leaf<'_>| fleet.sign(&fleet.operators, &leaf);
    let server_only = Some(ExtendedKeyUsagePurpose::ServerAuth);
    let good = Leaf::default;
    let strangers = [
        ("no certificate", None, A::CertificateRequired),
        (
            "other authority",
            Some(other.operator("admin")),
            A::UnknownCA,
        ),
        (
            "expired",
            Some(sign(Leaf {
                valid: (-9, -1),
                ..good()
            })),
            A::CertificateExpired,
        ),
        (
            "not yet valid",
            Some(sign(Leaf {
                valid: (1, 9),
                ..good()
            })),
            A::CertificateExpired,
        ),
        (
            "wrong usage",
            Some(sign(Leaf {
                usage: server_only,
                ..good()
            })),
            A::UnsupportedCertificate,
        ),
        (
            "no usage",
            Some(sign(Leaf {
                usage: None,
                ..good()
            })),
            A::UnsupportedCertificate,
        ),
        (
            "an authority",
            Some(sign(Leaf { ca: true, ..good() })),
            A::CertificateUnknown,
        ),
        (
            "no name",
            Some(sign(Leaf {
                uris: &[],
                ..good()
            })),
            A::CertificateUnknown,
        ),
        (
            "two names",
            Some(sign(Leaf {
                uris: &[
                    "longshore://opq/operator/viewer/ana",
                    "longshore://opq/operator/admin/ana",
                ],
                ..good()
            })),
            A::CertificateUnknown,
        ),
        (
            "other fleet",
            Some(sign(Leaf {
                uris: &["longshore://xyz/operator/admin/ana"],
                ..good()
            })),
            A::CertificateUnknown,
        ),
        (
            "limited to another host",
            Some(sign(Leaf {
                uris: &[
                    "longshore://opq/operator/admin/ana",
                    "longshore://opq/only/loa",
                ],
                ..good()
            })),
            A::AccessDenied,
        ),
        (
            "limited in another fleet",
            Some(sign(Leaf {
                uris: &[
                    "longshore://opq/operator/admin/ana",
                    "longshore://xyz/only/emilia",
                ],
                ..good()
            })),
            A::CertificateUnknown,
        ),
        (
            "a host's name",
            Some(sign(Leaf {
                uris: &["longshore://opq/host/emilia"],
                ..good()
            })),
            A::CertificateUnknown,
        ),
        (
            "a host's authority",
            Some(fleet.sign(&fleet.hosts, &good())),
            A::UnknownCA,
        ),
    ];
    for (who, identity, expected) in &strangers {
        assert_eq!(
            alert(&agent, identity.as_ref()).await,
            Some(*expected),
            "{who}"
        );
    }
    assert_eq!(agent.calls(), 0);
    assert!(agent.answers().await);
}

#[tokio::test]
async fn an_operator_limited_to_this_host_among_others_gets_in() {
    let agent = Running::start().await;
    let leaf = Leaf {
        uris: &[
            "longshore://opq/only/loa",
            "longshore://opq/operator/viewer/ana",
            "longshore://opq/only/emilia",
        ],
        ..Leaf::default()
    };
    let ana = agent.fleet.sign(&agent.fleet.operators, &leaf);
    let mut client = agent.connect(&ana).await.unwrap();
    let answer = client.hello(HelloRequest::default()).await.unwrap();
    assert_eq!(answer.into_inner().role, "viewer");
}

#[test]
fn the_log_tells_the_reasons_apart() {
    let folder = tempfile::tempdir().unwrap();
    let fleet = TestFleet::new("opq");
    fleet.install(folder.path(), &List::default());
    let verifier = Trust::load(folder.path()).unwrap().current().verifier();
    let sign = |leaf: Leaf<'_>| fleet.sign(&fleet.operators, &leaf).0;
    let good = Leaf::default;
    let certificates = [
        TestFleet::new("opq").operator("admin").0,
        sign(Leaf {
            valid: (-9, -1),
            ..good()
        }),
        sign(Leaf {
            valid: (1, 9),
            ..good()
        }),
        sign(Leaf {
            usage: None,
            ..good()
        }),
        sign(Leaf { ca: true, ..good() }),
        sign(Leaf {
            uris: &[],
            ..good()
        }),
        sign(Leaf {
            uris: &["longshore://xyz/operator/admin/ana"],
            ..good()
        }),
        sign(Leaf {
            uris: &[
                "longshore://opq/operator/admin/ana",
                "longshore://opq/only/loa",
            ],
            ..good()
        }),
    ];
    let now = crate::clock::now();
    let reasons: BTreeSet<String> = certificates
        .iter()
        .map(|der| {
            verifier
                .verify_client_cert(der, &[], now)
                .unwrap_err()
                .to_string()
        })
        .collect();
    assert_eq!(reasons.len(), certificates.len(), "{reasons:#?}");
}

#[tokio::test]
async fn a_stolen_agent_key_opens_no_agent() {
    let agent = Running::start().await;
    let (key, grant) = crate::enroll::installed(agent.folder.path())
        .unwrap()
        .unwrap();
    let stolen = (grant.certificate, key);
    assert_eq!(
        alert(&agent, Some(&stolen)).await,
        Some(AlertDescription::UnsupportedCertificate)
    );
    assert_eq!(agent.calls(), 0);
}

#[tokio::test]
async fn tls_1_2_is_refused() {
    let agent = Running::start().await;
    let mut stream = TcpStream::connect(agent.address).await.unwrap();
    // A ClientHello without supported_versions: TLS 1.2 with one cipher suite and one signature scheme.
    let mut hello = vec![0x03, 0x03];
    hello.extend([0x5a; 32]);
    hello.extend([0, 0, 2, 0xc0, 0x2b, 1, 0]);
    hello.extend([
        0, 16, 0, 13, 0, 4, 0, 2, 0x04, 0x03, 0, 10, 0, 4, 0, 2, 0, 23,
    ]);
    let length = u16::try_from(hello.len()).unwrap();
    let mut record = vec![0x16, 0x03, 0x01];
    record.extend((length + 4).to_be_bytes());
    record.extend([1, 0]);
    record.extend(length.to_be_bytes());
    record.extend(hello);
    stream.write_all(&record).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let fatal_protocol_version = [0x15, 0x03, 0x03, 0, 2, 2, 70];
    assert_eq!(answer, fatal_protocol_version);
}

#[tokio::test]
async fn without_http2_there_is_no_connection() {
    let agent = Running::start().await;
    let operator = agent.fleet.operator("admin");
    for alpn in [&[][..], &[b"http/1.1".as_slice()][..]] {
        let stream = dial(agent.address, &client(Some(&operator), alpn)).await;
        if let Ok(mut stream) = stream {
            stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await.ok();
            assert!(
                !matches!(stream.read(&mut [0; 64]).await, Ok(1..)),
                "{alpn:?}"
            );
        }
    }
    assert_eq!(agent.calls(), 0);
}

#[tokio::test]
async fn noise_on_the_port_changes_nothing() {
    let agent = Running::start().await;
    let noise: [&[u8]; 4] = [
        b"GET / HTTP/1.1\r\nHost: agent\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01\xff\xff\x01\x00\xff\xff",
        &[0; 70_000],
    ];
    for bytes in noise {
        let mut stream = TcpStream::connect(agent.address).await.unwrap();
        stream.write_all(bytes).await.ok();
        stream.shutdown().await.ok();
        let closed = timeout(Duration::from_secs(3), stream.read_to_end(&mut Vec::new())).await;
        assert!(closed.is_ok(), "the agent hangs up");
    }
    assert!(agent.answers().await);
}

#[tokio::test]
async fn nothing_is_resumed() {
    let agent = Running::start().await;
    let config = client(Some(&agent.fleet.operator("viewer")), H2);
    for _ in 0..3 {
        let mut stream = dial(agent.address, &config).await.unwrap();
        stream
            .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
            .await
            .unwrap();
        stream.read_u8().await.unwrap();
        let session = stream.get_ref().1;
        assert_eq!(session.handshake_kind(), Some(rustls::HandshakeKind::Full));
        assert_eq!(session.tls13_tickets_received(), 0);
    }
}

#[tokio::test]
async fn a_call_without_identity_or_to_an_unknown_method_is_not_dispatched() {
    use tonic::body::Body;
    use tonic::codegen::Service as _;
    use tonic::codegen::http;
    let agent = Running::start().await;
    let stub = Stub::default();
    let mut guard = Guard::new(AgentServer::new(stub.clone()), Arc::clone(&agent.trust));
    for (path, code) in [
        ("/longshore.v1.Agent/Hello", Code::PermissionDenied),
        ("/longshore.v1.Agent/Shutdown", Code::Unimplemented),
        ("/longshore.v1.Agent/Hello/", Code::Unimplemented),
        ("/other.Agent/Hello", Code::Unimplemented),
        ("/", Code::Unimplemented),
    ] {
        let request = http::Request::builder()
            .uri(path)
            .body(Body::default())
            .unwrap();
        let response = guard.call(request).await.unwrap();
        let status = Status::from_header_map(response.headers()).unwrap();
        assert_eq!(status.code(), code, "{path}");
    }
    assert_eq!(stub.0.load(Ordering::SeqCst), 0);
}

//! A throwaway fleet for tests: it signs what a real one would, and what a real one never would.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use proto::stack::StackSpec;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer,
    DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyIdMethod, KeyPair,
    KeyUsagePurpose, RevokedCertParams, SanType, SerialNumber,
};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::time_provider::TimeProvider;
use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use time::{Duration, OffsetDateTime};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::engine::Container;
use crate::projectdir::{OnHost, ProjectDir, Stamp};
use crate::resolved::{ResolvedService, Restart};
use crate::{clock, enroll};

pub(crate) type Signer = CertifiedIssuer<'static, KeyPair>;
pub(crate) type Held = (CertificateDer<'static>, KeyPair);

/// Two authorities.
pub(crate) struct TestFleet {
    pub(crate) hosts: Signer,
    pub(crate) operators: Signer,
}

/// What a certificate says; the defaults are those of a good operator.
pub(crate) struct Leaf<'a> {
    pub(crate) uris: &'a [&'a str],
    pub(crate) usage: Option<ExtendedKeyUsagePurpose>,
    pub(crate) ca: bool,
    /// Days from now.
    pub(crate) valid: (i64, i64),
    pub(crate) serial: u64,
}

impl Default for Leaf<'_> {
    fn default() -> Self {
        Self {
            uris: &["longshore://opq/operator/deployer/ana"],
            usage: Some(ExtendedKeyUsagePurpose::ClientAuth),
            ca: false,
            valid: (-1, 180),
            serial: 7,
        }
    }
}

/// A revocation list; the defaults are those of a new fleet.
pub(crate) struct List<'a> {
    pub(crate) number: u64,
    pub(crate) revoked: &'a [u64],
    /// Days from now until the next.
    pub(crate) next: i64,
}

impl Default for List<'_> {
    fn default() -> Self {
        Self {
            number: 1,
            revoked: &[],
            next: 90,
        }
    }
}

fn now() -> OffsetDateTime {
    let seconds = clock::now().as_secs().try_into().unwrap();
    OffsetDateTime::from_unix_timestamp(seconds).unwrap()
}

fn authority(fleet: &str, name: &str) -> Signer {
    let params = authority_params(fleet, name);
    Signer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn authority_params(fleet: &str, name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::OrganizationName, fleet);
    params.distinguished_name.push(DnType::CommonName, name);
    (params.not_before, params.not_after) =
        (now() - Duration::days(500), now() + Duration::days(3650));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

/// What one authority gives to say that another, of that name and with its key, is to be believed as it is.
pub(crate) fn voucher(
    by: &Signer,
    fleet: &str,
    name: &str,
    valid: (i64, i64),
    of: &Signer,
) -> Vec<u8> {
    let mut params = authority_params(fleet, name);
    (params.not_before, params.not_after) = (
        now() + Duration::days(valid.0),
        now() + Duration::days(valid.1),
    );
    params.signed_by(of.key(), by).unwrap().der().to_vec()
}

impl TestFleet {
    pub(crate) fn new(fleet: &str) -> Self {
        Self {
            hosts: authority(fleet, "longshore hosts"),
            operators: authority(fleet, "longshore operators"),
        }
    }

    /// The authorities that take the place of the first ones.
    pub(crate) fn successor(fleet: &str) -> Self {
        Self {
            hosts: authority(fleet, "longshore hosts 2"),
            operators: authority(fleet, "longshore operators 2"),
        }
    }

    /// A certificate and its key, signed by either authority.
    pub(crate) fn sign(&self, by: &Signer, leaf: &Leaf<'_>) -> Held {
        let key = KeyPair::generate().unwrap();
        (certificate(by, leaf, &key), key)
    }

    pub(crate) fn operator(&self, role: &str) -> Held {
        let uri = format!("longshore://opq/operator/{role}/ana");
        let leaf = Leaf {
            uris: &[&uri],
            ..Leaf::default()
        };
        self.sign(&self.operators, &leaf)
    }

    pub(crate) fn list(&self, list: &List<'_>) -> String {
        let revoke = |serial: &u64| RevokedCertParams {
            serial_number: SerialNumber::from(*serial),
            revocation_time: now(),
            reason_code: None,
            invalidity_date: None,
        };
        let params = CertificateRevocationListParams {
            this_update: now() - Duration::days(500),
            next_update: now() + Duration::days(list.next),
            crl_number: SerialNumber::from(list.number),
            issuing_distribution_point: None,
            revoked_certs: list.revoked.iter().map(revoke).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        params.signed_by(&self.operators).unwrap().pem().unwrap()
    }

    /// What `controller host approve` would print for this request.
    pub(crate) fn grant(&self, request: &str, leaf: &Leaf<'_>, list: &List<'_>) -> String {
        self.grant_with(request, leaf, &self.list(list))
    }

    /// As [`grant`](Self::grant), with a list that is there already.
    pub(crate) fn grant_with(&self, request: &str, leaf: &Leaf<'_>, list: &str) -> String {
        let key = rcgen::CertificateSigningRequestParams::from_pem(request).unwrap();
        let leaf = params(leaf)
            .signed_by(&key.public_key, &self.hosts)
            .unwrap();
        let (operators, hosts) = (self.operators.pem(), self.hosts.pem());
        [leaf.pem(), operators, list.to_owned(), hosts].concat()
    }

    /// Enrols and accepts in one go.
    pub(crate) fn install(&self, folder: &Path, list: &List<'_>) {
        let request = enroll::enroll(folder, &"emilia".parse().unwrap()).unwrap();
        let grant = self.grant(&request, &host("emilia"), list);
        enroll::accept(folder, &grant, clock::now()).unwrap();
    }
}

/// What a host's certificate says.
pub(crate) fn host(name: &str) -> Leaf<'static> {
    let uri: &'static str = format!("longshore://opq/host/{name}").leak();
    Leaf {
        uris: vec![uri].leak(),
        usage: Some(ExtendedKeyUsagePurpose::ServerAuth),
        valid: (-1, 397),
        ..Leaf::default()
    }
}

fn certificate(by: &Signer, leaf: &Leaf<'_>, key: &KeyPair) -> CertificateDer<'static> {
    params(leaf).signed_by(key, by).unwrap().der().clone()
}

fn params(leaf: &Leaf<'_>) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    (params.not_before, params.not_after) = (
        now() + Duration::days(leaf.valid.0),
        now() + Duration::days(leaf.valid.1),
    );
    params.serial_number = Some(SerialNumber::from(leaf.serial));
    params.extended_key_usages = leaf.usage.iter().cloned().collect();
    let uri = |uri: &&str| SanType::URI((*uri).try_into().unwrap());
    params.subject_alt_names = leaf.uris.iter().map(uri).collect();
    params.is_ca = match leaf.ca {
        true => IsCa::Ca(BasicConstraints::Unconstrained),
        false => IsCa::ExplicitNoCa,
    };
    params
}

/// A clock that is so many days ahead.
#[derive(Debug)]
pub(crate) struct Ahead(pub(crate) u64);

impl TimeProvider for Ahead {
    fn current_time(&self) -> Option<UnixTime> {
        let ahead = std::time::Duration::from_secs(self.0 * 24 * 60 * 60);
        Some(UnixTime::since_unix_epoch(
            std::time::Duration::from_secs(clock::now().as_secs()) + ahead,
        ))
    }
}

/// A clock that is moved on by so many days.
#[derive(Debug, Default)]
pub(crate) struct Moved(pub(crate) std::sync::atomic::AtomicU64);

impl TimeProvider for Moved {
    fn current_time(&self) -> Option<UnixTime> {
        Ahead(self.0.load(std::sync::atomic::Ordering::SeqCst)).current_time()
    }
}

/// A client that believes any server: what the server refuses is under test here.
#[derive(Debug)]
struct AnyServer(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyServer {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        unreachable!("TLS 1.3 only")
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(
            message,
            cert,
            dss,
            &self.0.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// A TLS configuration with or without a certificate, and with or without ALPN.
pub(crate) fn client(identity: Option<&Held>, alpn: &[&[u8]]) -> Arc<ClientConfig> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyServer(provider)));
    let mut config = match identity {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let key = PrivatePkcs8KeyDer::from(key.serialized_der().to_vec());
            let chain = vec![certificate.clone()];
            builder.with_client_auth_cert(chain, key.into()).unwrap()
        }
    };
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    Arc::new(config)
}

/// TCP and the client's half of the handshake.
pub(crate) async fn dial(
    address: SocketAddr,
    config: &Arc<ClientConfig>,
) -> std::io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let name = ServerName::try_from("agent.invalid").unwrap();
    TlsConnector::from(Arc::clone(config))
        .connect(name, stream)
        .await
}

/// A container that runs and is healthy.
pub(crate) fn container(service: &str) -> Container {
    Container {
        id: format!("id-{service}"),
        name: format!("shop-{service}-1"),
        service: service.parse().unwrap(),
        number: 1,
        one_off: false,
        state: proto::event::ContainerState::Running,
        health: proto::event::Health::Healthy,
        health_output: String::new(),
        health_at_millis: 0,
        check: None,
        exit_code: 0,
        restarts: 0,
        image: format!("org/{service}:1"),
        image_id: "sha256:local".to_owned(),
        config_hash: "h".to_owned(),
        working_dir: "/p".to_owned(),
        config_files: vec!["/p/compose.yaml".to_owned()],
        env_files: Vec::new(),
        replaces: None,
        started_at_millis: 1,
        ports: Vec::new(),
        addresses: Vec::new(),
        published: BTreeSet::new(),
        endpoints: BTreeSet::new(),
        host_network: false,
    }
}

/// A stack that has nothing but its Compose file.
pub(crate) fn spec() -> StackSpec {
    let compose_file = "compose.yaml".parse().unwrap();
    StackSpec::new("opq".parse().unwrap(), "opq".parse().unwrap(), compose_file)
}

/// When a file was looked at.
pub(crate) fn stamp() -> Stamp {
    let file = tempfile::NamedTempFile::new().unwrap();
    let folder = ProjectDir::open(file.path().parent().unwrap()).unwrap();
    let name = file.path().file_name().unwrap().to_str().unwrap();
    match folder.look(&name.parse().unwrap(), None).unwrap() {
        OnHost::File { known, .. } => known.stamp,
        other => panic!("{other:?}"),
    }
}

/// A service that is meant to run for ever, with nothing special about it.
pub(crate) fn service(name: &str) -> ResolvedService {
    ResolvedService {
        name: name.parse().unwrap(),
        image: format!("org/{name}:1"),
        pull_policy: None,
        platform: None,
        replicas: 1,
        restart: Restart::Always,
        patience: std::time::Duration::from_secs(60),
        has_check: false,
        mounts: BTreeSet::new(),
        mounts_all: false,
        depends_on: BTreeSet::new(),
        dependencies: BTreeMap::new(),
        joins: BTreeSet::new(),
        container_name: None,
        addresses: BTreeSet::new(),
        contents: BTreeMap::new(),
        marks: BTreeMap::new(),
        shown: BTreeMap::new(),
        ports: BTreeSet::new(),
        port_ranges: BTreeSet::new(),
    }
}

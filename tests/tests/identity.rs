//! The two sides' identities meet: what the controller signs, the agent accepts, and a connection comes of it.
#![expect(clippy::unwrap_used, reason = "in a test a panic is the message")]

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use agent::audit::Audit;
use agent::daemon::Unwired;
use agent::tls::Trust;
use controller::home::Home;
use controller::identity::{self, HostApproveParams, InitParams};
use controller::passphrase::{Passphrase, Sources};
use controller::tls::{ConnectError, HostClient, connect};
use tempfile::TempDir;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;

struct Fleet {
    folder: TempDir,
    home: Home,
    passphrase: Sources,
}

impl Fleet {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::at(&folder.path().join("home"));
        let passphrase = Sources {
            variable: Some(Passphrase::new("correct horse").unwrap()),
            ..Sources::default()
        };
        identity::init(&InitParams {
            home: &home,
            folder: folder.path(),
            fleet: &"opq".parse().unwrap(),
            operator: &"ana".parse().unwrap(),
            passphrase: &passphrase,
        })
        .unwrap();
        Self {
            folder,
            home,
            passphrase,
        }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A host from nothing to listening.
    async fn host(&self, name: &str) -> SocketAddr {
        let folder = self.file(name);
        let name = name.parse().unwrap();
        let request = agent::enroll::enroll(&folder, &name).unwrap();
        let approved = identity::host_approve(&HostApproveParams {
            home: &self.home,
            ca: &self.file("ca.pem"),
            crl: &self.file("revoked.crl"),
            host: &name,
            request: &request,
            passphrase: &self.passphrase,
        });
        let grant = approved.unwrap().grant;
        agent::enroll::accept(&folder, &grant, agent::clock::now()).unwrap();
        let trust = Arc::new(Trust::load(&folder).unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let audit = Arc::new(Audit::open(&folder.join("audit")));
        tokio::spawn(agent::server::serve(
            listener,
            trust,
            Unwired,
            audit,
            Default::default(),
        ));
        address
    }

    fn client(&self, host: &str) -> HostClient {
        let ca = identity::read_ca(&self.file("ca.pem")).unwrap();
        let operator = identity::load_operator(&self.home, &ca).unwrap();
        HostClient::new(&ca, &operator, &host.parse().unwrap()).unwrap()
    }
}

#[tokio::test]
async fn an_enrolled_host_and_its_operator_find_each_other() {
    let fleet = Fleet::new();
    let address = fleet.host("emilia").await.to_string();
    let mut stream = connect(&address, &fleet.client("emilia")).await.unwrap();
    // HTTP/2's first frame, SETTINGS, comes only once the agent has verified the operator.
    let mut header = [0; 9];
    stream.read_exact(&mut header).await.unwrap();
    assert_eq!(header[3], 4);
}

#[tokio::test]
async fn two_fleets_of_the_same_name_are_strangers() {
    let (ours, theirs) = (Fleet::new(), Fleet::new());
    let address = theirs.host("emilia").await.to_string();
    let error = connect(&address, &ours.client("emilia")).await.unwrap_err();
    assert!(
        matches!(error, ConnectError::HostCertificate { .. }),
        "{error}"
    );
}

#[tokio::test]
async fn hosts_of_one_fleet_are_told_apart() {
    let fleet = Fleet::new();
    let address = fleet.host("paul").await.to_string();
    let error = connect(&address, &fleet.client("emilia"))
        .await
        .unwrap_err();
    assert!(matches!(error, ConnectError::NotTheHost { .. }), "{error}");
}

//! Operators who no longer count: at the next handshake, at the next call, and on streams that are open.

use super::*;
use crate::enroll;
use crate::testing::{Ahead, Moved, host};
use crate::tls::TrustError;

impl Running {
    /// Installs another revocation list, as a new grant brings it, and reads it.
    fn publish(&self, list: &List<'_>) -> Result<(), TrustError> {
        let folder = self.folder.path();
        let request = enroll::enroll(folder, &"emilia".parse().unwrap()).unwrap();
        let grant = self.fleet.grant(&request, &host("emilia"), list);
        enroll::accept(folder, &grant, crate::clock::now()).unwrap();
        self.trust.reload()
    }
}

fn revoked(serial: u64) -> List<'static> {
    List {
        number: 2,
        revoked: vec![serial].leak(),
        next: 90,
    }
}

#[tokio::test]
async fn a_revocation_ends_open_streams_and_the_next_handshake() {
    let agent = Running::start().await;
    let ana = agent.fleet.operator("viewer");
    let ben = {
        let leaf = crate::testing::Leaf {
            serial: 8,
            ..Default::default()
        };
        agent.fleet.sign(&agent.fleet.operators, &leaf)
    };
    let mut client = agent.connect(&ana).await.unwrap();
    let mut events = client
        .watch(WatchRequest::default())
        .await
        .unwrap()
        .into_inner();
    let mut bens = agent.connect(&ben).await.unwrap();
    bens.hello(HelloRequest::default()).await.unwrap();

    agent.publish(&revoked(7)).unwrap();
    let ended = timeout(Duration::from_secs(2), events.message()).await;
    assert!(ended.expect("the stream ends").is_err());
    let calls = agent.calls();
    let again = match agent.connect(&ana).await {
        Ok(mut client) => client.hello(HelloRequest::default()).await.is_ok(),
        Err(_) => false,
    };
    assert!(!again);
    assert_eq!(agent.calls(), calls);
    bens.hello(HelloRequest::default())
        .await
        .expect("others are not disturbed");
}

#[tokio::test]
async fn an_older_list_does_not_come_back() {
    let agent = Running::start().await;
    let before = std::fs::read(enroll::identity_file(agent.folder.path())).unwrap();
    agent.publish(&revoked(99)).unwrap();
    let text = String::from_utf8(before).unwrap();
    let path = enroll::identity_file(agent.folder.path());
    crate::private::write_secret(&path, &text).unwrap();
    assert!(matches!(
        agent.trust.reload(),
        Err(TrustError::OldList {
            offered: 1,
            current: 2
        })
    ));
    std::fs::write(&path, "damaged").unwrap();
    assert!(matches!(agent.trust.reload(), Err(TrustError::Identity(_))));
    assert!(agent.answers().await, "the identity in use stays in use");
}

async fn answers_after(days: u64) -> bool {
    let (fleet, folder) = (TestFleet::new("opq"), tempfile::tempdir().unwrap());
    fleet.install(folder.path(), &List::default());
    let trust = Trust::with_clock(folder.path(), Arc::new(Ahead(days))).unwrap();
    let agent = Running::serving(fleet, folder, Arc::new(trust), Limits::default()).await;
    match agent.connect(&agent.fleet.operator("viewer")).await {
        Ok(mut client) => client.hello(HelloRequest::default()).await.is_ok(),
        Err(_) => false,
    }
}

#[tokio::test]
async fn an_overdue_list_counts_for_its_grace_and_no_longer() {
    assert!(answers_after(89).await);
    assert!(answers_after(119).await);
    assert!(!answers_after(121).await);
}

#[tokio::test]
async fn an_operator_whose_certificate_ends_is_let_go_within_the_bound() {
    let (fleet, folder) = (TestFleet::new("opq"), tempfile::tempdir().unwrap());
    fleet.install(folder.path(), &List::default());
    let clock = Arc::new(Moved::default());
    let trust = Trust::with_clock(folder.path(), clock.clone()).unwrap();
    let limits = Limits {
        expired: Duration::from_millis(100),
        ..Limits::default()
    };
    let agent = Running::serving(fleet, folder, Arc::new(trust), limits).await;
    let short = crate::testing::Leaf {
        valid: (-1, 10),
        ..crate::testing::Leaf::default()
    };
    let short = agent.fleet.sign(&agent.fleet.operators, &short);
    let watch = async |identity: &Held| {
        let mut client = agent.connect(identity).await.unwrap();
        let events = client.watch(WatchRequest::default()).await;
        (client, events.unwrap().into_inner())
    };
    let (_shorts, mut ending) = watch(&short).await;
    let (mut longs, mut lasting) = watch(&agent.fleet.operator("viewer")).await;
    let silent = timeout(Duration::from_millis(300), ending.message()).await;
    assert!(silent.is_err(), "it is good until its day");
    clock.0.store(11, Ordering::SeqCst);
    let ended = timeout(Duration::from_secs(3), ending.message()).await;
    assert!(ended.expect("the stream ends").is_err());
    let again = match agent.connect(&short).await {
        Ok(mut client) => client.hello(HelloRequest::default()).await.is_ok(),
        Err(_) => false,
    };
    assert!(!again);
    longs.hello(HelloRequest::default()).await.unwrap();
    let silent = timeout(Duration::from_millis(300), lasting.message()).await;
    assert!(silent.is_err(), "others go on");
}

#[tokio::test]
async fn a_world_readable_identity_is_not_served() {
    use std::os::unix::fs::PermissionsExt as _;
    let agent = Running::start().await;
    let path = enroll::identity_file(agent.folder.path());
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
    assert!(matches!(
        Trust::load(agent.folder.path()),
        Err(TrustError::Identity(_))
    ));
    let empty = tempfile::tempdir().unwrap();
    assert!(matches!(
        Trust::load(empty.path()),
        Err(TrustError::NotEnrolled(_))
    ));
}

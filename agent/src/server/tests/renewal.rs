//! What an identity in use may be given: lists that are genuine and newer, and certificates for its own new keys.

use rcgen::SigningKey as _;
use x509_parser::parse_x509_certificate;

use super::*;
use crate::enroll;
use crate::testing::{Ahead, host};

/// A list as DER.
fn list(fleet: &TestFleet, list: &List<'_>) -> Vec<u8> {
    pem::parse(fleet.list(list)).unwrap().into_contents()
}

fn numbered(number: u64) -> List<'static> {
    List {
        number,
        ..List::default()
    }
}

fn tlv(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let length = u16::try_from(content.len()).unwrap().to_be_bytes();
    [&[tag, 0x82], length.as_slice(), &content].concat()
}

/// A list with an extension that says which part of everything it is about: something no library of ours writes.
fn partial(fleet: &TestFleet, distribution_point: &[u8]) -> Vec<u8> {
    let algorithm = tlv(0x30, &[&[6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2]]);
    let (_, authority) = parse_x509_certificate(fleet.operators.der()).unwrap();
    let dates = [b"250101000000Z", b"491231235959Z"].map(|date| tlv(0x17, &[date]));
    let number = tlv(0x30, &[&[6, 3, 0x55, 0x1d, 20], &[4, 3, 2, 1, 9]]);
    let point = tlv(
        0x30,
        &[
            &[6, 3, 0x55, 0x1d, 28, 1, 1, 0xff],
            &tlv(4, &[distribution_point]),
        ],
    );
    let extensions = tlv(0xa0, &[&tlv(0x30, &[&number, &point])]);
    let issuer = authority.subject().as_raw();
    let [since, next] = &dates;
    let to_sign = tlv(
        0x30,
        &[&[2, 1, 1], &algorithm, issuer, since, next, &extensions],
    );
    let signature = fleet.operators.key().sign(&to_sign).unwrap();
    tlv(0x30, &[&to_sign, &algorithm, &tlv(3, &[&[0], &signature])])
}

#[tokio::test]
async fn a_list_that_is_not_newer_genuine_and_whole_changes_nothing() {
    let agent = Running::start().await;
    let (fleet, other) = (&agent.fleet, TestFleet::new("opq"));
    let let_in = |_: &str| Ok(());
    agent
        .trust
        .take_list(list(fleet, &numbered(5)), let_in)
        .unwrap();
    let before = std::fs::read(enroll::identity_file(agent.folder.path())).unwrap();
    let good = list(fleet, &numbered(6));
    let mut flipped = good.clone();
    *flipped.last_mut().unwrap() ^= 1;
    let long_over = List {
        next: -31,
        ..numbered(6)
    };
    let same_number = List {
        revoked: &[99],
        ..numbered(5)
    };
    let empty_reasons = tlv(0x30, &[&[0x83, 0]]);
    let no_reasons = tlv(0x30, &[&[0x83, 1, 0]]);
    let lists = [
        ("empty", Vec::new()),
        ("garbage", vec![0x30; 400]),
        ("half", good[..good.len() / 2].to_vec()),
        (
            "with something behind it",
            [good.as_slice(), b"more"].concat(),
        ),
        ("a bit flipped", flipped),
        ("another authority's", list(&other, &numbered(6))),
        ("older", list(fleet, &numbered(4))),
        ("as old, with another content", list(fleet, &same_number)),
        ("long over", list(fleet, &long_over)),
        ("of reasons that are empty", partial(fleet, &empty_reasons)),
        ("of no reasons", partial(fleet, &no_reasons)),
        (
            "of users only",
            partial(fleet, &tlv(0x30, &[&[0x81, 1, 0xff]])),
        ),
    ];
    for (what, der) in lists {
        let taken = agent.trust.take_list(der, |_| panic!("{what} was let in"));
        assert_eq!(
            taken.unwrap_err().kind,
            proto::fault::FaultKind::Refused,
            "{what}"
        );
    }
    let again = agent.trust.take_list(list(fleet, &numbered(5)), |_| Ok(()));
    assert!(
        again.is_err(),
        "signed anew, it is another list of that number"
    );
    let after = std::fs::read(enroll::identity_file(agent.folder.path())).unwrap();
    assert_eq!(before, after);
    assert!(agent.answers().await);
    assert_eq!(agent.trust.take_list(good, let_in).unwrap(), 6);
    assert_eq!(agent.trust.current().credentials().list, 6);
    let kept = Trust::load(agent.folder.path()).unwrap();
    assert_eq!(kept.current().credentials().list, 6);
}

#[tokio::test]
async fn what_the_record_does_not_take_is_not_installed() {
    let agent = Running::start().await;
    let full = |_: &str| Err(Fault::new(FaultKind::Failed, "the disk is full"));
    let der = list(&agent.fleet, &numbered(2));
    assert!(agent.trust.take_list(der, full).is_err());
    let request = agent.trust.request().unwrap();
    let grant = agent.fleet.grant(&request, &host("emilia"), &numbered(2));
    assert!(agent.trust.renew(&grant, full).is_err());
    assert_eq!(agent.trust.current().credentials().list, 1);
}

#[tokio::test]
async fn a_list_past_its_date_counts_while_its_grace_lasts() {
    let (fleet, folder) = (TestFleet::new("opq"), tempfile::tempdir().unwrap());
    fleet.install(folder.path(), &List::default());
    let trust = Trust::with_clock(folder.path(), Arc::new(Ahead(100))).unwrap();
    let let_in = |_: &str| Ok(());
    let der = list(&fleet, &numbered(2));
    assert_eq!(trust.take_list(der, let_in).unwrap(), 2, "ten days over");
    let late = List {
        next: 60,
        ..numbered(3)
    };
    let fault = trust.take_list(list(&fleet, &late), let_in).unwrap_err();
    assert!(fault.what.contains("by this host's clock"), "{fault}");
}

#[tokio::test]
async fn a_new_key_is_in_use_from_the_next_handshake_on_and_no_stream_ends() {
    let agent = Running::start().await;
    let ana = agent.fleet.operator("viewer");
    let mut client = agent.connect(&ana).await.unwrap();
    let mut events = client
        .watch(WatchRequest::default())
        .await
        .unwrap()
        .into_inner();
    let certificate = async || {
        let stream = dial(agent.address, &client_config(&ana)).await.unwrap();
        stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
    };
    let old = certificate().await;
    let request = agent.trust.request().unwrap();
    assert_eq!(
        agent.trust.request().unwrap(),
        request,
        "asked again, it is the same"
    );
    let grant = agent.fleet.grant(&request, &host("emilia"), &numbered(1));
    agent.trust.renew(&grant, |_| Ok(())).unwrap();
    assert_ne!(certificate().await, old);
    client.hello(HelloRequest::default()).await.unwrap();
    let silent = timeout(Duration::from_millis(100), events.message()).await;
    assert!(silent.is_err(), "the stream goes on");
    assert_ne!(
        agent.trust.request().unwrap(),
        request,
        "the next one is for a new key"
    );
}

fn client_config(identity: &Held) -> Arc<rustls::ClientConfig> {
    crate::testing::client(Some(identity), H2)
}

//! Whom a host believes changes on the word of those it believes already, and open streams follow at once.

use proto::fault::FaultKind;
use proto::trust::{Authorities, Authority};

use super::*;
use crate::enroll;
use crate::testing::{Signer, host, voucher};

const LONG: (i64, i64) = (-1, 90);

/// A running agent, and the authorities that are to take the place of its own.
struct Changing {
    agent: Running,
    new: TestFleet,
    /// The second list of each; signed again it would be another of that number.
    lists: [String; 2],
}

impl Changing {
    async fn start() -> Self {
        let (agent, new) = (Running::start().await, TestFleet::successor("opq"));
        let second = List {
            number: 2,
            ..List::default()
        };
        Self {
            lists: [agent.fleet.list(&second), new.list(&second)],
            agent,
            new,
        }
    }

    fn known(&self) -> Authorities {
        let fleet = &self.agent.fleet;
        Authorities {
            hosts: vec![authority(&fleet.hosts, Vec::new(), Vec::new())],
            operators: vec![authority(&fleet.operators, Vec::new(), der(&self.lists[0]))],
        }
    }

    fn successors(&self) -> Authorities {
        let (old, new) = (&self.agent.fleet, &self.new);
        let hosts = voucher(&old.hosts, "opq", "longshore hosts 2", LONG, &new.hosts);
        let name = "longshore operators 2";
        let operators = voucher(&old.operators, "opq", name, LONG, &new.operators);
        Authorities {
            hosts: vec![authority(&new.hosts, hosts, Vec::new())],
            operators: vec![authority(&new.operators, operators, der(&self.lists[1]))],
        }
    }

    fn both(&self) -> Authorities {
        together(self.known(), self.successors())
    }

    fn believe(&self, wanted: Authorities, caller: &Held) -> Result<(), Fault> {
        let peer = self.peer(caller);
        self.agent.trust.believe(wanted, &peer, |_| Ok(()))
    }

    fn peer(&self, caller: &Held) -> Peer {
        let host = "emilia".parse().unwrap();
        let (fleet, address) = ("opq".parse().unwrap(), self.agent.address);
        Peer::from_certificate(&caller.0, &fleet, &host, address).unwrap()
    }

    /// A certificate for a new key of the host, signed by the new authority.
    fn renew(&self) -> Result<(), Fault> {
        let request = self.agent.trust.request().unwrap();
        let (old, new) = (&self.agent.fleet, &self.new);
        let [old_list, new_list] = &self.lists;
        let parts = [
            new.grant_with(&request, &host("emilia"), new_list),
            old.operators.pem(),
            old_list.clone(),
            old.hosts.pem(),
        ];
        let renewed = self.agent.trust.renew(&parts.concat(), |_| Ok(()));
        renewed.map(drop)
    }
}

fn together(mut one: Authorities, other: Authorities) -> Authorities {
    one.hosts.extend(other.hosts);
    one.operators.extend(other.operators);
    one
}

fn authority(signer: &Signer, voucher: Vec<u8>, list: Vec<u8>) -> Authority {
    Authority {
        certificate: signer.der().to_vec(),
        voucher,
        list,
    }
}

fn list(fleet: &TestFleet, number: u64) -> Vec<u8> {
    der(&fleet.list(&List {
        number,
        ..List::default()
    }))
}

fn der(list: &str) -> Vec<u8> {
    pem::parse(list).unwrap().into_contents()
}

#[tokio::test]
async fn authorities_take_each_others_place_and_whoever_has_an_old_certificate_is_let_out() {
    let changing = Changing::start().await;
    let agent = &changing.agent;
    let (ana, new_ana) = (
        agent.fleet.operator("admin"),
        changing.new.operator("admin"),
    );
    let mut old = agent.connect(&ana).await.unwrap();
    let mut events = old
        .watch(WatchRequest::default())
        .await
        .unwrap()
        .into_inner();
    assert!(
        says_hello(agent, &new_ana).await.is_err(),
        "not believed yet"
    );
    assert!(changing.renew().is_err(), "nor is who signs such a host");

    changing.believe(changing.both(), &ana).unwrap();
    let told = |_: &str| panic!("nothing is to be changed");
    let peer = changing.peer(&ana);
    agent.trust.believe(changing.both(), &peer, told).unwrap();
    says_hello(agent, &ana).await.unwrap();
    says_hello(agent, &new_ana).await.unwrap();

    let early = changing
        .believe(changing.successors(), &new_ana)
        .unwrap_err();
    assert!(
        early
            .what
            .contains("own certificate would have no authority"),
        "{early}"
    );
    changing.renew().unwrap();
    let itself = changing.believe(changing.successors(), &ana).unwrap_err();
    assert!(
        itself.what.contains("your own certificate's authority"),
        "{itself}"
    );
    let silent = timeout(Duration::from_millis(100), events.message()).await;
    assert!(silent.is_err(), "the stream goes on");

    changing.believe(changing.successors(), &new_ana).unwrap();
    let end = timeout(Duration::from_secs(10), events.message())
        .await
        .unwrap();
    assert!(end.is_err(), "{end:?}");
    assert!(says_hello(agent, &ana).await.is_err());
    says_hello(agent, &new_ana).await.unwrap();
    let kept = Trust::load(agent.folder.path()).unwrap();
    let (kept, used) = (
        kept.current().credentials(),
        agent.trust.current().credentials(),
    );
    assert_eq!(kept, used);
    assert_eq!(kept.signer, proto::trust::name(changing.new.hosts.der()));

    let back = changing.believe(changing.known(), &new_ana).unwrap_err();
    assert_eq!(back.kind, FaultKind::Refused);
    let back = changing.believe(together(changing.successors(), changing.known()), &new_ana);
    assert!(
        back.unwrap_err().what.contains("nobody"),
        "there is no way back without a word"
    );
}

async fn says_hello(agent: &Running, who: &Held) -> Result<(), Box<dyn std::error::Error>> {
    let mut client = agent.connect(who).await?;
    client.hello(HelloRequest::default()).await?;
    Ok(())
}

#[tokio::test]
async fn authorities_that_nobody_vouches_for_change_nothing() {
    let changing = Changing::start().await;
    let (old, new) = (&changing.agent.fleet, &changing.new);
    let ana = old.operator("admin");
    let stranger = TestFleet::new("opq");
    let foreign = TestFleet::successor("xyz");
    let leaf = old.operator("viewer");
    let before = std::fs::read(enroll::identity_file(changing.agent.folder.path())).unwrap();
    let with = |change: &dyn Fn(&mut Authorities)| {
        let mut both = changing.both();
        change(&mut both);
        both
    };
    let name = "longshore operators 2";
    let word = |by: &Signer, valid, of: &Signer| voucher(by, "opq", name, valid, of);
    let cases = [
        ("no word", with(&|all| all.operators[1].voucher.clear())),
        (
            "garbage",
            with(&|all| all.operators[1].voucher = vec![0x30; 300]),
        ),
        (
            "garbage as authority",
            with(&|all| all.hosts[1].certificate = vec![0x30; 300]),
        ),
        (
            "a stranger's word",
            with(&|all| {
                all.operators[1].voucher = word(&stranger.operators, LONG, &new.operators);
            }),
        ),
        (
            "the word of the other kind",
            with(&|all| {
                all.operators[1].voucher = word(&old.hosts, LONG, &new.operators);
            }),
        ),
        (
            "a word for another key",
            with(&|all| {
                all.operators[1].voucher = word(&old.operators, LONG, &stranger.operators);
            }),
        ),
        (
            "a word from long ago",
            with(&|all| {
                all.operators[1].voucher = word(&old.operators, (-99, -9), &new.operators);
            }),
        ),
        (
            "an operator's own certificate",
            with(&|all| {
                all.operators[1].certificate = leaf.0.to_vec();
                all.operators[1].voucher = leaf.0.to_vec();
            }),
        ),
        (
            "another fleet's",
            with(&|all| {
                all.operators[1] = authority(
                    &foreign.operators,
                    voucher(&old.operators, "xyz", name, LONG, &foreign.operators),
                    list(&foreign, 1),
                );
            }),
        ),
        (
            "one under the old name",
            with(&|all| {
                all.operators[1] = authority(
                    &stranger.operators,
                    voucher(
                        &old.operators,
                        "opq",
                        "longshore operators",
                        LONG,
                        &stranger.operators,
                    ),
                    list(&stranger, 1),
                );
            }),
        ),
        ("no list", with(&|all| all.operators[1].list.clear())),
        (
            "the other's list",
            with(&|all| all.operators[1].list = list(old, 1)),
        ),
        (
            "an older list",
            with(&|all| all.operators[0].list = list(old, 0)),
        ),
        (
            "twice the same",
            with(&|all| all.operators[1] = all.operators[0].clone()),
        ),
    ];
    for (what, wanted) in cases {
        let fault = changing.believe(wanted, &ana).expect_err(what);
        assert_eq!(fault.kind, FaultKind::Refused, "{what}: {fault}");
    }
    let after = std::fs::read(enroll::identity_file(changing.agent.folder.path())).unwrap();
    assert_eq!(before, after);
    changing.believe(changing.both(), &ana).unwrap();
}

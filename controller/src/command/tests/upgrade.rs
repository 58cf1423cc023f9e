//! `host upgrade` against scripted agents; what real ones make of it is tested on real hosts.

use super::*;

#[tokio::test]
async fn an_agent_that_does_not_know_upgrades_is_told_apart_and_stops_the_rollout() {
    let hosts = ["emilia", "loa", "mia"].map(|name| (name, FakeHost::start(Script::of(name))));
    let fleet = FakeFleet::new(hosts.to_vec());
    let ran = ran("host upgrade", &fleet).await;
    assert_eq!(ran.exit, Exit::Failed);
    insta::assert_snapshot!(ran.out);
    let ran = super::ran("host upgrade emilia -o json --to 9.9.9", &fleet).await;
    assert_eq!(ran.exit, Exit::Failed);
    let told: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(told[0]["outcome"], "failed");
    assert_eq!(told[0]["host"], "emilia");
    assert_eq!(told[0]["version"], "9.9.9");
}

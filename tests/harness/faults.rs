//! A registry fails as planned, and works again after.

use std::time::{Duration, Instant};

use tests::lab::{Cmd, Fault, FaultyRegistry, Host, Image, Lab, Registry};

struct Bench {
    registry: Registry,
    host: Host,
    /// The layer with the padding, the biggest.
    padding: String,
}

fn bench() -> Option<Bench> {
    let lab = Lab::start_or_skip()?;
    let (registry, host) = (lab.registry().unwrap(), lab.host("emilia").unwrap());
    let image = Image::fixture("view", "1")
        .unwrap()
        .padding(2_000_000)
        .unwrap();
    let pushed = image.push(&registry, "opq/view:1").unwrap();
    let padding = pushed.layers.last().unwrap().clone();
    Some(Bench {
        registry,
        host,
        padding,
    })
}

fn pull(host: &Host, faulty: &FaultyRegistry) -> Cmd {
    host.sh("docker image prune -af").unwrap();
    Cmd::new(["docker", "pull", &faulty.image("opq/view:1")])
}

#[test]
fn statuses_reach_the_engine_and_stop_after_their_count() {
    let Some(Bench { registry, host, .. }) = bench() else {
        return;
    };
    let faulty = registry.faulty().unwrap();
    for (code, said) in [
        (403, "denied"),
        (404, "manifest unknown"),
        (429, "toomanyrequests"),
        (500, "500 UNKNOWN"),
    ] {
        faulty.clear();
        faulty.fail("/manifests/", Fault::Status(code));
        let refused = host.exec(&pull(&host, &faulty)).unwrap().ok().unwrap_err();
        assert!(refused.to_string().contains(said), "{code}: {refused}");
    }
    faulty.clear();
    faulty.fail_times("HEAD /v2/opq/view/manifests/1", Fault::Status(500), 1);
    host.exec(&pull(&host, &faulty)).unwrap().ok().unwrap();
    assert!(
        faulty
            .requests()
            .iter()
            .any(|line| line.starts_with("GET /v2/opq/view/blobs/sha256:"))
    );
}

#[test]
fn cut_is_noticed_and_a_second_attempt_succeeds() {
    let Some(Bench {
        registry,
        host,
        padding,
    }) = bench()
    else {
        return;
    };
    let faulty = registry.faulty().unwrap();
    // Engines repeat a cut download a few times by themselves: one cut is not seen outside.
    faulty.fail_times(&padding, Fault::Cut(1000), 1);
    let cmd = pull(&host, &faulty);
    host.exec(&cmd).unwrap().ok().unwrap();
    let requests = faulty.requests();
    let attempts = requests.iter().filter(|line| line.contains(&padding));
    assert_eq!(attempts.count(), 2, "{requests:?}");
}

#[test]
fn hang_lasts_until_the_plan_is_cleared() {
    let Some(Bench { registry, host, .. }) = bench() else {
        return;
    };
    let faulty = registry.faulty().unwrap();
    faulty.fail("/manifests/", Fault::Hang);
    let pulling = host.spawn(&pull(&host, &faulty)).unwrap();
    faulty
        .wait_for_request("/manifests/", Duration::from_secs(20))
        .unwrap();
    assert!(pulling.wait(Duration::from_millis(500)).is_err());
    faulty.clear();
    pulling.wait(Duration::from_secs(20)).unwrap();
}

#[test]
fn trickle_keeps_its_rate() {
    let Some(Bench { registry, host, .. }) = bench() else {
        return;
    };
    let faulty = registry.faulty().unwrap();
    faulty.fail("/blobs/", Fault::Trickle(2_000_000));
    let start = Instant::now();
    host.exec(&pull(&host, &faulty)).unwrap().ok().unwrap();
    assert!(
        start.elapsed() > Duration::from_millis(700),
        "{:?}",
        start.elapsed()
    );
}

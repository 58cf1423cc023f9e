//! Images pushed without a build are real images: pulled, run, checked for health, told apart by platform.

use std::time::Duration;

use tests::lab::{Cmd, Image, Lab};

#[test]
fn pushed_image_runs_healthy_and_exec_is_inside_it() {
    let Some(lab) = Lab::start_or_skip() else {
        return;
    };
    let (registry, host) = (lab.registry().unwrap(), lab.host("emilia").unwrap());
    let image = Image::fixture("view", "1.2.8").unwrap().shell().unwrap();
    let image = image
        .healthcheck(Duration::from_millis(200))
        .label("org", "opq")
        .padding(100_000)
        .unwrap();
    let pushed = image.push(&registry, "opq/view:1.2.8").unwrap();

    let reference = &pushed.reference;
    let pulled = host.sh(&format!("docker pull {reference}")).unwrap();
    assert!(pulled.contains(&pushed.digest), "{pulled}");
    host.sh(&format!("docker run -d --name view {reference}"))
        .unwrap();
    let healthy = "docker inspect -f '{{.State.Health.Status}}' view";
    let up = || (host.sh(healthy).unwrap() == "healthy\n").then_some(());
    tests::lab::until("a healthy container", Duration::from_secs(20), up).unwrap();
    let inside = host
        .sh("docker exec view sh -c 'ls /; echo $FIXTURE_VERSION'")
        .unwrap();
    assert_eq!(
        inside,
        "bin\ndev\netc\nfixture\npadding\nproc\nsys\n1.2.8\n"
    );
    host.sh("docker stop -t 5 view").unwrap();
    assert_eq!(
        host.sh("docker logs view").unwrap(),
        "view 1.2.8 starts\nview stops\n"
    );
}

#[test]
fn index_gives_each_host_its_platform_and_refuses_a_missing_one() {
    let Some(lab) = Lab::start_or_skip() else {
        return;
    };
    let (registry, host) = (lab.registry().unwrap(), lab.host("emilia").unwrap());
    let other = Image::fixture("box", "1")
        .unwrap()
        .platform("linux", "s390x", None);
    let own = Image::fixture("box", "1").unwrap();
    let both = Image::push_index(&[other.clone(), own], &registry, "opq/box:both").unwrap();
    let foreign = Image::push_index(&[other], &registry, "opq/box:foreign").unwrap();
    assert_eq!(
        host.sh(&format!("docker run --rm {} echo hi", both.reference))
            .unwrap(),
        "\"hi\"\n"
    );
    let refused = host
        .sh(&format!("docker pull {}", foreign.reference))
        .unwrap_err();
    assert!(
        refused.to_string().contains("no matching manifest"),
        "{refused}"
    );
}

#[test]
fn registry_with_login_refuses_strangers() {
    let Some(lab) = Lab::start_or_skip() else {
        return;
    };
    let (registry, host) = (
        lab.registry_with_login().unwrap(),
        lab.host("emilia").unwrap(),
    );
    let pushed = Image::fixture("db", "1")
        .unwrap()
        .push(&registry, "opq/db:1")
        .unwrap();
    let pull = format!("docker pull {}", pushed.reference);
    assert!(
        host.sh(&pull)
            .unwrap_err()
            .to_string()
            .contains("no basic auth credentials")
    );
    let login = registry.login().unwrap();
    let words = [
        "docker",
        "login",
        "-u",
        login.user,
        "--password-stdin",
        &registry.address().to_string(),
    ];
    host.exec(&Cmd::new(words).input(login.password))
        .unwrap()
        .ok()
        .unwrap();
    host.sh(&pull).unwrap();

    registry.stop();
    assert!(host.sh(&pull).is_err());
    registry.resume().unwrap();
    host.sh(&pull).unwrap();
}

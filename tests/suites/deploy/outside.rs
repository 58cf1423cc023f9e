//! What a deploy stands on fails: registries, the disk. The old stays, and the message names the cause and the place.

use std::collections::BTreeSet;

use tests::lab::{Fault, Image};

use crate::alone::Alone;
use crate::beside::Beside;
use crate::whole::claim_whole;
use crate::world::{WEB, world};

/// What a registry answers, and what an operator is told of it.
const ANSWERS: [(u16, &str); 5] = [
    (401, "denies access"),
    (403, "denies access"),
    (404, "not"),
    (429, "limits how often"),
    (500, "500"),
];

#[test]
fn a_registry_that_refuses_is_named_with_the_image_and_the_old_stays() {
    let Some(world) = world() else { return };
    let case = world.case("refused");
    case.deploy().done();
    let before = case.id("web");
    let faulty = world.registry.faulty().unwrap();
    let image = Image::fixture("web", "refused").unwrap();
    image.push(&world.registry, "org/refused:1").unwrap();
    let name = faulty.image("org/refused:1");
    case.write(
        "compose.yaml",
        &WEB.replace("${REGISTRY}/org/web:${TAG}", &name),
    );
    for (code, words) in ANSWERS {
        faulty.fail("org/refused/manifests", Fault::Status(code));
        let said = case.deploy().with(1, &[&name, words]);
        assert!(said.contains(&faulty.address().to_string()), "{said}");
        assert_eq!(case.id("web"), before, "after {code}");
        faulty.clear();
    }
    case.deploy().done();
    assert_ne!(case.id("web"), before);
}

/// The registry names the image, and does not give it.
#[test]
fn an_image_that_is_refused_hangs_or_trickles_leaves_the_old() {
    let Some(world) = world() else { return };
    let case = world.case("withheld");
    case.deploy().done();
    let before = case.id("web");
    let faulty = world.registry.faulty().unwrap();
    let image = Image::fixture("web", "withheld").unwrap();
    let image = image.padding(300_000).unwrap();
    image.push(&world.registry, "org/withheld:1").unwrap();
    let name = faulty.image("org/withheld:1");
    case.write(
        "compose.yaml",
        &WEB.replace("${REGISTRY}/org/web:${TAG}", &name),
    );
    for code in [401, 403, 404] {
        let asked = faulty.requests().len();
        faulty.fail("/blobs/", Fault::Status(code));
        case.deploy().with(1, &[&name]);
        assert_eq!(case.id("web"), before, "after {code}");
        faulty.clear();
        // A login that is refused again and again gets locked. The engine itself opens and reads a layer, and no more.
        let mut blobs = faulty.requests().split_off(asked);
        blobs.retain(|line| line.contains("/blobs/"));
        let distinct: BTreeSet<&String> = blobs.iter().collect();
        assert!(blobs.len() <= 2 * distinct.len(), "after {code}: {blobs:?}");
    }
    faulty.fail("/blobs/", Fault::Hang);
    let mut deploy = Beside::start(&case, &["deploy", "emilia", "--yes"]);
    let slow = format!(
        "{name}: registry {} did not answer within 5 s",
        faulty.address()
    );
    deploy.until(&slow);
    deploy.until("pulling");
    case.controller(&["cancel", "emilia/withheld"]).done();
    assert_eq!(deploy.end().0, 1);
    assert_eq!(case.id("web"), before);
    faulty.clear();
    faulty.fail("/blobs/", Fault::Trickle(1000));
    let mut deploy = Beside::start(&case, &["deploy", "emilia", "--yes"]);
    deploy.until("pulling");
    case.controller(&["cancel", "emilia/withheld"]).done();
    let (code, said) = deploy.end();
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("cancelled"), "{said}");
    assert_eq!(case.id("web"), before);
    faulty.clear();
    case.deploy().done();
    assert_ne!(case.id("web"), before);
}

#[test]
fn an_image_of_another_platform_is_refused_before_anything_stops() {
    let Some(world) = world() else { return };
    let case = world.case("mainframe");
    case.deploy().done();
    let before = case.id("web");
    let image = Image::fixture("web", "foreign").unwrap();
    let image = image.platform("linux", "s390x", None);
    image.push(&world.registry, "org/foreign:1").unwrap();
    case.write("compose.yaml", &WEB.replace("web:${TAG}", "foreign:1"));
    case.deploy().with(1, &["org/foreign:1", "linux/s390x"]);
    assert_eq!(case.id("web"), before);
}

/// The agent's folder on a file system of its own, which somebody else fills.
#[test]
fn a_full_disk_is_named_and_the_old_stays_until_there_is_room() {
    let Some(world) = world() else { return };
    for (stack, size, fill) in [
        (
            "nospace",
            "size=16m",
            "dd if=/dev/zero of=/var/lib/longshore/fill bs=64k 2>/dev/null || true",
        ),
        (
            "nofiles",
            "nr_inodes=400",
            "mkdir /var/lib/longshore/fill; i=0; while : 2>/dev/null >/var/lib/longshore/fill/$i; do i=$((i+1)); done || true",
        ),
    ] {
        let mut alone = Alone::new(world, stack);
        alone.kill_agent();
        let mount = format!(
            "mv /var/lib/longshore /var/lib/was && mkdir -m 700 /var/lib/longshore && \
             mount -t tmpfs -o {size} tmpfs /var/lib/longshore && cp -a /var/lib/was/. /var/lib/longshore/"
        );
        alone.host.sh(&mount).unwrap();
        alone.start_agent();
        let before = claim_whole(&alone, "before");
        alone.host.sh(fill).unwrap();
        alone.case.write(".env", "TAG=2\n");
        alone.deploy().with(
            1,
            &[
                "No space left on device",
                "/var/lib/longshore",
                "free some space",
            ],
        );
        assert_eq!(claim_whole(&alone, "full"), before);
        alone.host.sh("rm -rf /var/lib/longshore/fill").unwrap();
        alone.deploy().done();
        assert_ne!(claim_whole(&alone, "room again").revision, before.revision);
    }
}

/// The engine's own folder on a small file system: what is known to be too large is refused by the plan, and what turns
/// out to be so while it is unpacked is told with the disk. Neither touches what runs.
#[test]
fn a_pull_that_fills_the_engines_disk_leaves_the_old_until_there_is_room() {
    let Some(world) = world() else { return };
    let host = world.lab.host("noroom").unwrap();
    host.stop_docker().unwrap();
    host.sh("mount -t tmpfs -o size=256m tmpfs /var/lib/docker")
        .unwrap();
    host.start_docker().unwrap();
    let alone = Alone::on(world, host);
    let before = claim_whole(&alone, "before");
    let fill = "cd /var/lib/docker && free=$(df -k --output=avail . | tail -n 1) && \
                fallocate -l $((free - 4096))K fill";
    alone.host.sh(fill).unwrap();

    let large = Image::fixture("web", "large").unwrap();
    let large = large.padding(8 << 20).unwrap();
    large.push(&world.registry, "org/large:1").unwrap();
    alone
        .case
        .write("compose.yaml", &WEB.replace("web:${TAG}", "large:1"));
    let words = [
        "of images are to be pulled",
        "/var/lib/docker has",
        "docker system df",
    ];
    alone.deploy().with(1, &words);
    assert_eq!(claim_whole(&alone, "foretold"), before);

    // As it is sent it is small.
    let blown = Image::fixture("web", "blown").unwrap();
    let blown = blown.file("/zeros", 0o644, vec![0; 32 << 20]).unwrap();
    blown.push(&world.registry, "org/blown:1").unwrap();
    alone
        .case
        .write("compose.yaml", &WEB.replace("web:${TAG}", "blown:1"));
    let name = world.registry.image("org/blown:1");
    let words = [
        &*name,
        "the host's disk is full",
        "(/var/lib/docker)",
        "no space left on device",
        "docker system df",
    ];
    alone.deploy().with(1, &words);
    assert_eq!(claim_whole(&alone, "not foretold"), before);

    alone.host.sh("rm /var/lib/docker/fill").unwrap();
    alone.deploy().done();
    assert_ne!(claim_whole(&alone, "room again").revision, before.revision);
}

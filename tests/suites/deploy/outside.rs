//! What a deploy stands on fails: registries, the disk. The old stays, and the message names the cause and the place.

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
        let said = case.deploy().failed(1, &[&name, words]);
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
        faulty.fail("/blobs/", Fault::Status(code));
        case.deploy().failed(1, &[&name]);
        assert_eq!(case.id("web"), before, "after {code}");
        faulty.clear();
    }
    faulty.fail("/blobs/", Fault::Hang);
    case.deploy()
        .failed(1, &[&name, "did not answer within 5 s"]);
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
    let case = world.case("foreign");
    case.deploy().done();
    let before = case.id("web");
    let image = Image::fixture("web", "foreign").unwrap();
    let image = image.platform("linux", "s390x", None);
    image.push(&world.registry, "org/foreign:1").unwrap();
    case.write("compose.yaml", &WEB.replace("web:${TAG}", "foreign:1"));
    case.deploy().failed(1, &["org/foreign:1", "linux/s390x"]);
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
        alone.deploy().failed(
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

//! Images as the files want them: pulled or left alone, of the platform that they name, from registries that take their time.

use tests::lab::{Fault, Image};

use crate::alone::Alone;
use crate::beside::Beside;
use crate::world::{WEB, world};

/// A service of this image that has more to say of it.
fn compose(image: &str, more: &str) -> String {
    let web = WEB.replace("${REGISTRY}/org/web:${TAG}", image);
    web.replace(
        "    restart: always\n",
        &format!("    restart: always\n    {more}\n"),
    )
}

#[test]
fn an_image_that_is_never_to_be_pulled_is_the_hosts_own() {
    let Some(world) = world() else { return };
    let case = world.case("neverpull");
    let name = world.registry.image("org/local:1");
    for made in ["here", "elsewhere"] {
        let image = Image::fixture("web", made).unwrap().label("made", made);
        image.push(&world.registry, "org/local:1").unwrap();
        if made == "here" {
            case.docker(&format!("pull {name}"));
        }
    }
    let made = || {
        let id = case.docker("inspect -f '{{.Image}}' neverpull-web-1");
        case.docker(&format!(
            "image inspect -f '{{{{.Config.Labels.made}}}}' {id}"
        ))
    };
    for policy in ["never", "missing"] {
        case.write(
            "compose.yaml",
            &compose(&name, &format!("pull_policy: {policy}")),
        );
        let told = format!("{name}  the host's, its registry is not asked: pull_policy {policy}");
        case.deploy().with(0, &[&told]);
        assert_eq!(made(), "here", "{policy}");
    }
    case.write("compose.yaml", &compose(&name, "pull_policy: always"));
    case.deploy().done();
    assert_eq!(made(), "elsewhere");
    // One that the host does not have.
    for (policy, words) in [
        ("never", "load or build it on the host"),
        ("build", "build and push it"),
    ] {
        let gone = world.registry.image("org/local:2");
        case.write(
            "compose.yaml",
            &compose(&gone, &format!("pull_policy: {policy}")),
        );
        let why = format!(
            "image {gone}: it is not on the host, and pull_policy {policy} keeps it from being pulled"
        );
        case.deploy().with(1, &[&why, words]);
    }
    assert_eq!(made(), "elsewhere");
}

#[test]
fn a_service_runs_the_platform_that_it_names_whatever_lies_on_the_host() {
    let Some(world) = world() else { return };
    let case = world.case("otherarch");
    let of = |architecture: &str| {
        let image = Image::fixture("web", architecture).unwrap();
        image.platform("linux", architecture, None)
    };
    let both = [of("amd64"), of("386")];
    Image::push_index(&both, &world.registry, "org/multi:1").unwrap();
    Image::push_index(&both[1..], &world.registry, "org/only386:1").unwrap();
    let name = world.registry.image("org/multi:1");
    let runs = || {
        let id = case.docker("inspect -f '{{.Image}}' otherarch-web-1");
        case.docker(&format!("image inspect -f '{{{{.Architecture}}}}' {id}"))
    };
    // There and back: under the digest of the index lies the other one each time.
    for (platform, architecture) in [
        ("linux/386", "386"),
        ("linux/amd64", "amd64"),
        ("linux/386", "386"),
    ] {
        case.write(
            "compose.yaml",
            &compose(&name, &format!("platform: {platform}")),
        );
        case.deploy().done();
        assert_eq!(runs(), architecture);
        let said = case.controller(&["plan", "emilia"]).done();
        assert!(said.contains("nothing to change"), "{said}");
    }
    let only = world.registry.image("org/only386:1");
    case.write("compose.yaml", &compose(&only, ""));
    case.deploy()
        .with(1, &["has no linux/amd64 variant", "linux/386"]);
    case.write("compose.yaml", &compose(&only, "platform: linux/386"));
    case.deploy().done();
    // Two under one name are more than the engine keeps.
    let two = compose(&name, "platform: linux/386");
    let other = WEB
        .replace("services:\n  web:", "  other:")
        .replace("${REGISTRY}/org/web:${TAG}", &name);
    case.write("compose.yaml", &format!("{two}{other}"));
    case.deploy().with(
        65,
        &[
            "is wanted for",
            "the engine keeps one platform of an image under one name",
        ],
    );
    assert_eq!(runs(), "386");
}

#[test]
fn images_of_a_registry_that_is_away_are_told_in_one_line() {
    let Some(world) = world() else { return };
    let alone = Alone::new(world, "regaway");
    let registry = world.lab.registry().unwrap();
    let mut services = "services:\n".to_owned();
    for name in ["one", "two", "three"] {
        let image = format!("org/{name}:1");
        Image::fixture("web", name)
            .unwrap()
            .push(&registry, &image)
            .unwrap();
        let web = WEB.replace("services:\n  web:", &format!("  {name}:"));
        services += &web.replace("${REGISTRY}/org/web:${TAG}", &registry.image(&image));
    }
    alone.case.write("compose.yaml", &services);
    alone.deploy().done();
    registry.stop();
    let said = alone.case.controller(&["plan", alone.name()]).done();
    assert!(said.contains("warning: 3 images: "), "{said}");
    assert_eq!(
        said.matches("what is on the host is used").count(),
        1,
        "{said}"
    );
    // Each that is not there is named, in one error.
    let gone = services.replace(":1\n", ":9\n");
    alone.case.write("compose.yaml", &gone);
    let names = ["one", "two", "three"].map(|name| registry.image(&format!("org/{name}:9")));
    let mut words: Vec<&str> = names.iter().map(String::as_str).collect();
    words.push("3 images cannot be had");
    alone.deploy().with(1, &words);
}

/// Mirrors behind slow names take longer than a plan waits.
#[test]
fn a_slow_registry_is_waited_for_by_the_deploy() {
    let Some(world) = world() else { return };
    let case = world.case("slowreg");
    case.deploy().done();
    let before = case.id("web");
    let faulty = world.registry.faulty().unwrap();
    Image::fixture("web", "slow")
        .unwrap()
        .push(&world.registry, "org/slow:1")
        .unwrap();
    let name = faulty.image("org/slow:1");
    case.write("compose.yaml", &compose(&name, ""));
    faulty.fail("/manifests/", Fault::Hang);
    let mut deploy = Beside::start(&case, &["deploy", "emilia", "--yes"]);
    deploy.until("did not answer within 5 s; the deploy waits for it before anything is changed");
    deploy.until("pulling");
    faulty.clear();
    let (code, said) = deploy.end();
    assert_eq!(code, 0, "{said}");
    assert_ne!(case.id("web"), before);
}

/// Somebody has cleaned up on the server, and the registry gives nothing to strangers.
#[test]
fn a_rollback_brings_the_login_for_an_image_that_has_left_the_host() {
    let Some(world) = world() else { return };
    let alone = Alone::new(world, "cleaned");
    let registry = world.lab.registry_with_login().unwrap();
    let config = tempfile::tempdir().unwrap();
    // ana:harbour, as `docker login` writes it.
    let auths = format!(
        "{{\"auths\": {{\"{}\": {{\"auth\": \"YW5hOmhhcmJvdXI=\"}}}}}}",
        registry.address()
    );
    std::fs::write(config.path().join("config.json"), auths).unwrap();
    let login = [("DOCKER_CONFIG", config.path().to_str().unwrap())];
    let controller = |words: &[&str]| alone.case.controller_with(words, &login);
    let running = || {
        let label = "'{{.Config.Labels.made}}'";
        let line = format!("docker inspect -f {label} cleaned-web-1");
        alone.host.sh(&line).unwrap().trim().to_owned()
    };
    for version in ["1", "2"] {
        let image = Image::fixture("web", version)
            .unwrap()
            .label("made", version);
        let name = format!("org/private:{version}");
        image.push(&registry, &name).unwrap();
        alone
            .case
            .write("compose.yaml", &compose(&registry.image(&name), ""));
        controller(&["deploy", alone.name(), "--yes"]).done();
    }
    // Whatever no container uses goes, longshore's own names included.
    let first =
        "docker images --format '{{.Repository}}:{{.Tag}}' | xargs -n 1 docker rmi 2>&1 || true";
    alone.host.sh(first).unwrap();
    assert_eq!(running(), "2");
    controller(&["rollback", alone.name(), "--yes"]).done();
    assert_eq!(running(), "1");
    // A helper that is not there is told, and what is public is deployed all the same.
    std::fs::write(
        config.path().join("config.json"),
        "{\"credsStore\": \"gone\"}",
    )
    .unwrap();
    alone.case.write("compose.yaml", WEB);
    let said = controller(&["deploy", alone.name(), "--yes"]).done();
    assert!(
        said.contains("warning: docker-credential-gone cannot be asked"),
        "{said}"
    );
    alone.case.write(
        "compose.yaml",
        &compose(&registry.image("org/private:3"), ""),
    );
    controller(&["deploy", alone.name(), "--yes"])
        .with(1, &["docker-credential-gone cannot be asked"]);
}

/// Fourteen versions, of which ten can be gone back to.
#[test]
fn images_that_no_revision_needs_any_more_go_and_nobody_elses() {
    let Some(world) = world() else { return };
    let alone = Alone::new(world, "tidied");
    let name = |version: u32| world.registry.image(&format!("org/tidied:{version}"));
    for version in 1..=14 {
        let image = Image::fixture("web", &version.to_string()).unwrap();
        image
            .push(&world.registry, &format!("org/tidied:{version}"))
            .unwrap();
        alone
            .case
            .write("compose.yaml", &compose(&name(version), ""));
        alone.deploy().done();
        if version == 2 {
            // Somebody else runs it as well.
            alone
                .host
                .sh(&format!("docker run -d --name other {}", name(2)))
                .unwrap();
        }
        if version == 3 {
            // This one is somebody's own, under a name of his.
            alone
                .host
                .sh(&format!("docker tag {} mine:3", name(3)))
                .unwrap();
        }
    }
    let there = || {
        let repository = name(0).trim_end_matches(":0").to_owned();
        let list = format!("docker images --format '{{{{.Tag}}}}' {repository}");
        let tags = alone.host.sh(&list).unwrap();
        let mut tags: Vec<u32> = tags.lines().map(|tag| tag.parse().unwrap()).collect();
        tags.sort_unstable();
        tags
    };
    let mut wanted = vec![2];
    wanted.extend(5..=14);
    crate::world::eventually("older images go", || there() == wanted);
    alone.host.sh("docker image inspect mine:3").unwrap();
    alone
        .case
        .controller(&["rollback", alone.name(), "--yes"])
        .done();
}

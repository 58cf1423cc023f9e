//! The example of `deploy/examples/opq` is valid for the real Compose and comes up with it alone.

use std::time::Duration;

use tests::lab::{Cmd, Lab};
use tests::opq::Opq;

#[test]
fn opq_comes_up_with_plain_compose() {
    let Some(lab) = Lab::start_or_skip() else {
        return;
    };
    let (registry, host) = (lab.registry().unwrap(), lab.host("emilia").unwrap());
    let opq = Opq::copy(lab.folder().join("fleet"), &registry).unwrap();
    assert_eq!(opq.images().len(), 8);
    opq.push_images(&registry).unwrap();

    // As the operators did it by hand: the files copied to the server, the values exported.
    let root = host.root().unwrap();
    let copied = std::process::Command::new("cp")
        .arg("-r")
        .arg(opq.stack())
        .arg(root.join("srv"))
        .status();
    assert!(copied.unwrap().success());
    let values = opq.values().unwrap();
    let compose = |words: &[&str]| {
        let start = [
            "/usr/libexec/docker/cli-plugins/docker-compose",
            "--project-directory",
            "/srv/opq",
        ];
        let cmd = Cmd::new(start.iter().chain(words)).deadline(Duration::from_secs(180));
        let cmd = values
            .iter()
            .fold(cmd, |cmd, (key, value)| cmd.env(key, value));
        host.exec(&cmd).unwrap()
    };
    let config = compose(&["config"]);
    assert_eq!((config.code(), config.err().as_str()), (Some(0), ""));
    compose(&["up", "-d", "--wait", "--quiet-pull"])
        .ok()
        .unwrap();

    let inside = |service: &str, command: &[&str]| {
        let words = [["docker", "exec", service, "/fixture"].as_slice(), command].concat();
        host.exec(&Cmd::new(words)).unwrap().ok().unwrap()
    };
    let makai = values
        .iter()
        .find(|(key, _)| key == "MAKAI_SETTINGS")
        .unwrap();
    assert_eq!(
        inside("makai", &["env", "MAKAI_SETTINGS"]).trim_end(),
        makai.1.trim_end()
    );
    assert_eq!(
        inside("health", &["cat", "/hostfs/etc/hostname"]),
        "emilia\n"
    );
    assert!(
        inside("nginx", &["cat", "/etc/nginx/conf.d/opq.conf"])
            .contains("proxy_set_header Host $host;")
    );
    assert_eq!(host.sh("curl -s localhost:8911").unwrap(), "mauka 1.12.0\n");
    assert_eq!(host.sh("docker logs certbot").unwrap(), "renew\n");
    compose(&["down", "-t", "3"]).ok().unwrap();
}

//! The agent for arm64, as it ships, under user-mode emulation: enrolled like any other, and true to its platform.
//!
//! The host's engine is this machine's own; what passes between it and the agent calls itself arm64, as an engine
//! on such a machine does. What it runs of arm64 runs emulated too.

use std::fs;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::thread;

use sha2::{Digest as _, Sha256};
use tests::full;
use tests::lab::Image;

use crate::world::{VERSION, world};

/// The folder that `deploy/agents -o` was told; its agents are those that ship.
const AGENTS: &str = "LONGSHORE_AGENTS";

#[test]
fn an_arm64_agent_is_enrolled_deploys_an_arm64_image_and_refuses_another() {
    let Some(world) = world() else { return };
    if !full::wanted() {
        return;
    }
    let folder =
        PathBuf::from(std::env::var_os(AGENTS).expect("LONGSHORE_AGENTS, see deploy/test"));
    let agent = fs::read(folder.join(VERSION).join("agent-linux-arm64")).unwrap();
    let (host, desk) = (world.server("konane"), world.desk());
    host.write_file(
        "/usr/local/sbin/uname",
        "#!/bin/sh\ncase $1 in -m) echo aarch64 ;; *) echo Linux ;; esac\n",
        0o755,
    )
    .unwrap();
    let socket = host.root().unwrap().join("run/arm64.sock");
    speak_arm64(&host.docker_socket().unwrap(), &socket);
    let config = "docker = \"/run/arm64.sock\"\n";
    host.write_file("/etc/longshore/agent.toml", config, 0o600)
        .unwrap();
    keep(&world.home(), &agent);

    let said = desk
        .add(&host, &["--stack", "web"])
        .with(64, &["there is no stack web"]);
    assert!(!said.contains("sending"), "{said}");
    let registry = world.lab.registry().unwrap();
    let image = |architecture: &str| {
        let image = Image::fixture("web", architecture).unwrap();
        let image = image.file("/fixture", 0o755, &agent).unwrap();
        let image = image
            .platform("linux", architecture, None)
            .cmd(&["version"]);
        let name = format!("org/web:{architecture}");
        image.push(&registry, &name).unwrap();
    };
    image("arm64");
    image("amd64");
    let stack = |architecture: &str| {
        let text = format!(
            "services:\n  web:\n    image: {}/org/web:{architecture}\n    restart: \"no\"\n",
            registry.address()
        );
        fs::create_dir_all(desk.folder.join("web")).unwrap();
        fs::write(desk.folder.join("web/compose.yaml"), text).unwrap();
    };
    let file = desk.fleet_file() + "\n[stacks.web]\npath = \"web\"\n";
    fs::write(desk.folder.join("fleet.toml"), file).unwrap();
    let said = desk.add(&host, &["--stack", "web"]).done();
    assert!(said.contains("arm64") && said.contains("✓ link"), "{said}");

    stack("arm64");
    desk.run(&["deploy", "konane", "--yes"], &[]).done();
    let printed = host.sh("docker logs web-web-1").unwrap();
    assert_eq!(printed.trim(), format!("agent {VERSION}"));
    let before = host.sh("docker ps -aq --no-trunc").unwrap();
    stack("amd64");
    desk.run(&["deploy", "konane", "--yes"], &[]).with(
        1,
        &["linux/amd64", "linux/arm64", "org/web:amd64", "konane"],
    );
    assert_eq!(host.sh("docker ps -aq --no-trunc").unwrap(), before);
    full::report("arm64 agent, emulated: enrolled, an arm64 image deployed, an amd64 one refused");
}

/// Adds the agent to those that the workstation has.
fn keep(home: &Path, agent: &[u8]) {
    let folder = home.join("data/agents").join(VERSION);
    fs::write(folder.join("agent-linux-arm64"), agent).unwrap();
    let digest = Sha256::digest(agent);
    let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    let sums = folder.join("SHA256SUMS");
    let text = fs::read_to_string(&sums).unwrap();
    fs::write(sums, format!("{text}{digest}  agent-linux-arm64\n")).unwrap();
}

/// An engine's socket at `near` that is the one at `far`, and says of itself that it is arm64.
fn speak_arm64(far: &Path, near: &Path) {
    let listener = UnixListener::bind(near).unwrap();
    let far = far.to_owned();
    thread::spawn(move || {
        for near in listener.incoming().map_while(Result::ok) {
            let far = UnixStream::connect(&far).unwrap();
            let ways = [
                (near.try_clone().unwrap(), far.try_clone().unwrap(), false),
                (far, near, true),
            ];
            for (from, to, answers) in ways {
                thread::spawn(move || pass(from, to, answers));
            }
        }
    });
}

fn pass(mut from: UnixStream, mut to: UnixStream, answers: bool) {
    const OWN: &[u8] = b"\"Arch\":\"amd64\"";
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        let piece = &mut buffer[..count];
        let told = |window: &[u8]| answers && window == OWN;
        // Its components tell it too.
        while let Some(at) = piece.windows(OWN.len()).position(told) {
            piece[at..at + OWN.len()].copy_from_slice(b"\"Arch\":\"arm64\"");
        }
        if to.write_all(piece).is_err() {
            break;
        }
    }
    // Either side may have gone already.
    to.shutdown(Shutdown::Write).ok();
}

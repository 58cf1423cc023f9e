//! Agents are replaced between two that are scripts, with the real launcher: wherever it breaks off, one starts.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::process::Stdio;
use std::sync::MutexGuard;

use proto::id::BlobId;
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use super::*;
use crate::witness;

const OLD: &str = "agent-0.1.0-00000000";

/// The folder that agents are started from.
struct Host(TempDir);

fn agent(version: &str, run: &str) -> Vec<u8> {
    let says = format!("[ \"$1\" != version ] || {{ echo agent {version}; exit; }}");
    format!("#!/bin/sh\n{says}\n{run}\n").into_bytes()
}

fn announced(version: &str, content: &[u8]) -> NewAgent {
    NewAgent {
        version: version.to_owned(),
        architecture: architecture().to_owned(),
        size: content.len() as u64,
        digest: BlobId::from_bytes(Sha256::digest(content).into()),
    }
}

impl Host {
    fn new() -> Self {
        let host = Self(tempfile::tempdir().unwrap());
        let launcher = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/launch");
        fs::copy(launcher, host.path("launch")).unwrap();
        fs::write(host.path(OLD), agent("0.1.0", "echo old")).unwrap();
        fs::set_permissions(host.path(OLD), fs::Permissions::from_mode(0o755)).unwrap();
        symlink(OLD, host.path("current")).unwrap();
        host
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn names(&self) -> Vec<String> {
        let names = fs::read_dir(self.0.path()).unwrap();
        let mut names: Vec<String> = names
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    /// The agent of a file here, on trial through a link or not.
    fn started(&self, binary: &str, next: Option<&str>) -> Upgrades {
        let (launcher, next) = (self.path("launch"), next.map(|next| self.path(next)));
        Upgrades::started(&self.path(binary), |name| match name {
            LAUNCHER => Some(launcher.clone().into()),
            NEXT => next.clone().map(Into::into),
            _ => None,
        })
    }

    /// What the agent that is started prints.
    fn starts(folder: &Path) -> String {
        // Whoever watches over a new agent holds this a little longer than the agent runs.
        let output = Command::new(folder.join("launch"))
            .arg("run")
            .stderr(Stdio::null())
            .output()
            .unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }
}

/// Offers an agent and sends all of it.
async fn bring(upgrades: &Upgrades, new: NewAgent, content: &[u8]) -> Result<Whole, Fault> {
    let Offered::Wanted(mut incoming) = upgrades.offered(new)? else {
        panic!("it runs already");
    };
    let mut offset = incoming.here();
    while !incoming.is_complete() {
        let rest = content.get(usize::try_from(offset).unwrap()..).unwrap();
        let data = rest.get(..100).unwrap_or(rest);
        incoming.chunk(offset, data)?;
        offset += data.len() as u64;
    }
    incoming.finish().await
}

#[tokio::test]
async fn wherever_an_upgrade_breaks_off_one_of_the_two_agents_starts() {
    let host = Host::new();
    let copies = tempfile::tempdir().unwrap();
    let taken = Arc::new(Mutex::new(0_u32));
    let count = || -> MutexGuard<'_, u32> { taken.lock().unwrap() };
    let guard = {
        let (root, copies, taken) = (
            host.0.path().to_owned(),
            copies.path().to_owned(),
            taken.clone(),
        );
        witness::watch(host.0.path(), move |_| {
            let mut taken = taken.lock().unwrap();
            *taken += 1;
            let mut copy = Command::new("cp");
            copy.arg("-a")
                .arg(&root)
                .arg(copies.join(taken.to_string()));
            assert!(copy.status().unwrap().success());
        })
    };
    let content = agent("0.2.0", "echo new");
    let new = announced("0.2.0", &content);
    let name = format!("agent-{}", new.build());
    let old = host.started(OLD, None);
    let whole = bring(&old, new, &content).await.unwrap();
    old.replace_by(&whole).unwrap();
    assert!(old.replaced());
    let before_trial = *count();
    // The launcher takes a try off.
    fs::rename(host.path("next-3"), host.path("next-2")).unwrap();
    host.started(&name, Some("next-2")).worked_with();
    drop(guard);
    let all = *count();
    assert!(
        before_trial > 4 && all > before_trial + 1,
        "{before_trial} of {all}"
    );
    for step in 1..=all {
        let folder = copies.path().join(step.to_string());
        let mut seen = Vec::new();
        for _ in 0..5 {
            seen.push(Host::starts(&folder));
        }
        assert!(
            seen.iter().all(|it| it == "old" || it == "new"),
            "step {step}: {seen:?}"
        );
        // Without anybody who works with it a new one does not stay.
        let kept = fs::read_link(folder.join("current")).unwrap() == Path::new(&name);
        assert_eq!(
            seen.last().unwrap(),
            if kept { "new" } else { "old" },
            "step {step}: {seen:?}"
        );
    }
    assert_eq!(host.names(), [OLD, &name, "current", "launch", "previous"]);
    assert_eq!(
        fs::read_link(host.path("previous")).unwrap(),
        Path::new(OLD)
    );

    // The next one takes the place of the one before.
    let content = agent("0.3.0", "echo newer");
    let new = announced("0.3.0", &content);
    let newer = format!("agent-{}", new.build());
    let old = host.started(&name, None);
    let whole = bring(&old, new, &content).await.unwrap();
    old.replace_by(&whole).unwrap();
    host.started(&newer, Some("next-3")).worked_with();
    assert_eq!(
        host.names(),
        [&name, &newer, "current", "launch", "previous"]
    );
}

#[tokio::test]
async fn what_is_not_an_agent_for_this_host_is_refused_and_nothing_of_it_stays() {
    let host = Host::new();
    let before = host.names();
    let upgrades = host.started(OLD, None);
    let other: [u8; 2] = match std::env::consts::ARCH {
        "aarch64" => [0x3e, 0],
        _ => [0xb7, 0],
    };
    let mut foreign = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0".to_vec();
    foreign.extend(other);
    for (content, why) in [
        (foreign, "it is built for another machine"),
        (b"hello".to_vec(), "it is no program"),
        (agent("0.1.9", ""), "it says it is \"agent 0.1.9\""),
        (b"#!/bin/sh\nexit 3".to_vec(), "exit code 3"),
        (b"#!/bin/sh\nkill -ILL $$".to_vec(), "signal 4"),
        (
            b"#!/nowhere/ld-musl.so".to_vec(),
            "it cannot be started on this host",
        ),
    ] {
        let new = announced("0.2.0", &content);
        let fault = bring(&upgrades, new, &content).await.unwrap_err();
        assert!(fault.what.contains(why), "{fault}");
        assert_eq!(host.names(), before, "{why}");
    }
    // Other bytes than were announced.
    let content = agent("0.2.0", "");
    let new = announced("0.2.0", &content);
    let fault = bring(&upgrades, new, &content.to_ascii_uppercase()).await;
    assert!(fault.unwrap_err().what.contains("its SHA-256 is"));
    assert_eq!(host.names(), before);
    // One for another machine is not even sent.
    let mut new = announced("0.2.0", &content);
    "riscv64".clone_into(&mut new.architecture);
    let fault = upgrades.offered(new).unwrap_err();
    assert!(fault.what.ends_with("the agent is for riscv64"), "{fault}");
}

#[tokio::test]
async fn an_upload_goes_on_where_it_broke_off_one_at_a_time_and_in_order() {
    let host = Host::new();
    let upgrades = host.started(OLD, None);
    let content = agent("0.2.0", &"# and more\n".repeat(50));
    let new = announced("0.2.0", &content);
    let Offered::Wanted(mut first) = upgrades.offered(new.clone()).unwrap() else {
        panic!("it runs already");
    };
    first.chunk(0, &content[..200]).unwrap();
    for (offset, length) in [(0, 100), (300, 100), (200, 0), (200, content.len())] {
        let data = vec![b'x'; length];
        assert!(first.chunk(offset, &data).is_err(), "{offset} {length}");
    }
    let fault = upgrades.offered(new.clone()).unwrap_err();
    assert_eq!(fault.kind, FaultKind::Busy);
    drop(first);
    let Offered::Wanted(second) = upgrades.offered(new.clone()).unwrap() else {
        panic!("it runs already");
    };
    assert_eq!(second.here(), 200);
    drop(second);
    bring(&upgrades, new, &content).await.unwrap();
}

#[tokio::test]
async fn an_agent_that_runs_or_was_not_launched_is_not_replaced() {
    let host = Host::new();
    let content = agent("0.1.0", "");
    let new = announced("0.1.0", &content);
    let name = format!("agent-{}", new.build());
    let same = host.started(&name, None).offered(new.clone()).unwrap();
    assert!(matches!(same, Offered::Running));
    let alone = Upgrades::started(Path::new("/usr/local/bin/agent"), |_| None);
    assert_eq!(alone.build(), "");
    let fault = alone.offered(new).unwrap_err();
    assert!(
        fault.what.contains("not started by its launcher"),
        "{fault}"
    );
    // One that was on trial when another was installed by hand stays out of the way.
    let before = host.names();
    host.started("agent-9-12345678", Some("next-2"))
        .worked_with();
    assert_eq!(host.names(), before);
}

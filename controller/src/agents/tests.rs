//! Agents are found where they are listed, and nothing else is taken for one.

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;

const CONTENT: &[u8] = b"an agent";
const SUM: &str = "00000000000000000000000000000000000000000000000000000000000000aa";

/// Two places, both empty.
struct Places(TempDir);

impl Places {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn paths(&self) -> [PathBuf; 2] {
        ["own", "system"].map(|name| self.0.path().join(name))
    }

    /// An agent, listed with its own hash or another's.
    fn put(&self, place: &str, version: &str, arch: &str, sums: Option<&str>) {
        let folder = self.0.path().join(place).join(version);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(format!("{FILE}{arch}")), CONTENT).unwrap();
        if let Some(sums) = sums {
            fs::write(folder.join(SUMS), sums).unwrap();
        }
    }

    fn find(&self, version: &str, arch: Arch) -> Result<Agent, Fault> {
        find_in(&self.paths(), version, arch)
    }

    /// Why it is refused.
    fn refused(&self) -> String {
        let fault = self.find("0.1.0", Arch::Arm64).unwrap_err();
        assert_eq!(fault.kind, FaultKind::Refused);
        fault.causes.join(": ")
    }
}

fn own_sum() -> String {
    BlobId::from_bytes(Sha256::digest(CONTENT).into()).to_string()
}

#[test]
fn the_first_place_that_has_a_version_for_a_machine_counts() {
    let places = Places::new();
    let sums = format!(
        "{}  agent-linux-amd64\n{} *agent-linux-arm64\n",
        SUM,
        own_sum()
    );
    places.put("system", "0.1.0", "arm64", Some(&sums));
    let found = places.find("0.1.0", Arch::Arm64).unwrap();
    assert!(found.path.starts_with(places.0.path().join("system")));
    places.put("own", "0.1.0", "arm64", Some(&sums));
    let found = places.find("0.1.0", Arch::Arm64).unwrap();
    assert!(found.path.starts_with(places.0.path().join("own")));
    assert_eq!(found.sha256.to_string(), own_sum());
    assert_eq!(
        (found.size, found.version.as_str(), found.arch),
        (CONTENT.len() as u64, "0.1.0", Arch::Arm64)
    );
}

#[test]
fn an_agent_that_is_not_listed_or_not_what_is_listed_is_refused_with_the_reason() {
    let places = Places::new();
    // What the system has does not make up for it: somebody meant the other.
    let good = format!("{}  agent-linux-arm64\n", own_sum());
    places.put("system", "0.1.0", "arm64", Some(&good));
    places.put("own", "0.1.0", "arm64", None);
    assert_eq!(places.refused(), "there is no SHA256SUMS beside it");
    let other = format!("{}  agent-linux-amd64\n", own_sum());
    places.put("own", "0.1.0", "arm64", Some(&other));
    assert!(places.refused().ends_with("does not list it"));
    for half in ["", "agent-linux-arm64", "12 34  agent-linux-arm64\n"] {
        places.put("own", "0.1.0", "arm64", Some(half));
        assert!(places.refused().ends_with("does not list it"), "{half}");
    }
    let wrong = format!("{SUM}  agent-linux-arm64\n");
    places.put("own", "0.1.0", "arm64", Some(&wrong));
    let why = places.refused();
    assert!(why.contains(&own_sum()) && why.contains(SUM), "{why}");
}

#[test]
fn what_is_missing_tells_where_was_looked_what_is_there_and_how_to_get_it() {
    let places = Places::new();
    let fault = places.find("0.1.0", Arch::Arm64).unwrap_err();
    assert!(fault.causes[0].ends_with("there is no agent at all"));
    places.put("own", "0.1.0", "amd64", None);
    places.put("system", "0.0.9", "arm64", None);
    let fault = places.find("0.1.0", Arch::Arm64).unwrap_err();
    assert_eq!(
        fault.what,
        "there is no agent 0.1.0 for arm64 on this workstation"
    );
    let cause = &fault.causes[0];
    for place in places.paths() {
        assert!(cause.contains(place.to_str().unwrap()), "{cause}");
    }
    assert!(
        cause.ends_with("there are 0.0.9 for arm64, 0.1.0 for amd64"),
        "{cause}"
    );
    assert!(fault.hints[0].contains("deploy/agents arm64"));
}

#[test]
fn the_operators_own_folder_is_looked_at_first() {
    let places = places(&Home::at(Path::new("/l")));
    assert_eq!(places[0], Path::new("/l/data/agents"));
    assert_eq!(places[1], Path::new("/usr/local/share/longshore/agents"));
}

proptest! {
    #[test]
    fn only_the_names_of_the_two_machines_are_taken(
        machine in prop_oneof![
            "(x86_64|amd64|aarch64|arm64)\n?",
            "(armv[5-8]l|riscv64|i[3-6]86|ppc64le|s390x|mips64|loongarch64|aarch64_be|X86_64|)",
            "\\PC{0,60}",
        ]
    ) {
        let known = match machine.trim() {
            "x86_64" | "amd64" => Some(Arch::Amd64),
            "aarch64" | "arm64" => Some(Arch::Arm64),
            _ => None,
        };
        let parsed = machine.parse::<Arch>();
        prop_assert_eq!(parsed.as_ref().ok(), known.as_ref());
        if let Err(error) = parsed {
            let fault = Fault::from(error);
            prop_assert_eq!(fault.kind, FaultKind::Unsupported);
            prop_assert!(fault.what.contains(": ") && fault.hints[0].contains("arm64"));
        }
    }
}

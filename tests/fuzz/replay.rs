//! Every intake over its kept corpus: seeds written by hand, and inputs that once broke something.
#![allow(clippy::unwrap_used, reason = "a suite: every failure is a panic")]

mod intake;

use std::collections::BTreeSet;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use agent::grant::Grant;
use agent::journal::read_events;
use agent::store::{Applied, Revision, Stage};
use controller::clock;
use controller::fleet::Fleet;
use controller::passphrase::Passphrase;
use controller::pki::{Authorities, Request};
use controller::plan_file::PlanFile;
use intake::INTAKES;
use prost::Message as _;
use proto::audit::Chain;
use proto::plan::Plan;
use proto::stack::StackOffer;
use proto::wire::v1 as wire;

/// All seeds together: enough to begin from, too little to weigh on a clone.
const CORPUS_BYTES: u64 = 300 * 1024;

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus")
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

#[test]
fn every_kept_input_holds_every_property() {
    let mut broken = Vec::new();
    for intake in INTAKES {
        for path in entries(&corpus().join(intake.name)) {
            let bytes = fs::read(&path).unwrap();
            if catch_unwind(AssertUnwindSafe(|| (intake.run)(&bytes))).is_err() {
                broken.push(path);
            }
        }
    }
    assert!(broken.is_empty(), "each tells why further up: {broken:#?}");
}

#[test]
fn every_intake_survives_nothing_and_noise() {
    let noise: Vec<u8> = (0..4096_u32)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect();
    for intake in INTAKES {
        for bytes in [
            &[][..],
            b"\0",
            b"\xff\xfe",
            b"{}",
            b"[]",
            b"=",
            b"\n\n",
            &noise,
        ] {
            (intake.run)(bytes);
        }
    }
}

#[test]
fn every_intake_has_a_corpus_and_every_corpus_an_intake() {
    let names: Vec<&str> = INTAKES.iter().map(|intake| intake.name).collect();
    assert!(names.is_sorted(), "by name: {names:?}");
    let folders = entries(&corpus());
    let folders: BTreeSet<&str> = folders
        .iter()
        .map(|path| path.file_name().unwrap().to_str().unwrap())
        .collect();
    assert_eq!(names.into_iter().collect::<BTreeSet<_>>(), folders);
}

#[test]
fn the_corpus_stays_small() {
    let files = INTAKES
        .iter()
        .flat_map(|intake| entries(&corpus().join(intake.name)));
    let bytes: u64 = files.map(|path| fs::metadata(path).unwrap().len()).sum();
    assert!(bytes <= CORPUS_BYTES, "{bytes} bytes");
    for intake in INTAKES {
        assert!(
            entries(&corpus().join(intake.name)).len() >= 2,
            "{} has no seeds",
            intake.name
        );
    }
}

/// A seed that is refused at the first byte leads nowhere: when a format changes, its seeds have to.
#[test]
fn seeds_reach_what_they_are_for() {
    let bytes = |name: &str| fs::read(corpus().join(name)).unwrap();
    let text = |name: &str| String::from_utf8(bytes(name)).unwrap();
    Fleet::parse(Path::new("/f/fleet.toml"), &text("fleet/whole")).unwrap();
    let now = intake::certificates_are_valid();
    Grant::from_pem(&text("grant/whole"), now).unwrap();
    Request::from_pem(&text("request/host")).unwrap();
    let passphrase = Passphrase::new("correct horse").unwrap();
    let locked = text("authorities/unlocked-cheaply");
    Authorities::from_pem(&locked, &passphrase, clock::now()).unwrap();
    serde_json::from_slice::<Stage>(&bytes("records/stage")).unwrap();
    serde_json::from_slice::<Revision>(&bytes("records/revision")).unwrap();
    serde_json::from_slice::<Applied>(&bytes("records/applied")).unwrap();
    PlanFile::parse(Path::new("p.plan"), &text("plan-file/whole")).unwrap();
    let plan = wire::Plan::decode(&bytes("wire/plan")[1..]).unwrap();
    Plan::try_from(plan).unwrap();
    let begin = wire::StageBegin::decode(&bytes("wire/begin")[1..]).unwrap();
    StackOffer::try_from(begin).unwrap();
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("events.jsonl"), bytes("journal/whole")).unwrap();
    assert_eq!(read_events(folder.path()).unwrap().len(), 7);
    let mut chain = Chain::new(None);
    let whole = text("audit/whole");
    let sound = whole.lines().filter_map(|line| chain.take(line.as_bytes()));
    assert_eq!(sound.count(), whole.lines().count());
    assert!(chain.finish().holds());
}

//! What a plan says for each way in which a host can differ from a stack.

mod adoption;
mod outside;
mod preview;
mod ripple;
mod scope;

use std::path::PathBuf;

use proto::fault::FaultKind;
use proto::id::{BlobId, RevisionId, StageId};
use proto::plan::Scope;
use proto::stack::StackSpec;

use super::*;
use crate::projectdir::{Known, OnHost, Ownership};
use crate::resolved::{Outside, ResolvedStack, Restart};

fn service(name: &str) -> ResolvedService {
    ResolvedService {
        mounts: ["conf".parse().unwrap()].into(),
        marks: [
            ("image".to_owned(), "i".to_owned()),
            ("environment A".to_owned(), "1".to_owned()),
        ]
        .into(),
        ..crate::testing::service(name)
    }
}

fn file(path: &str, content: u8) -> ShippedFile {
    ShippedFile {
        path: path.parse().unwrap(),
        mode: 0o644,
        size: 1,
        blob: BlobId::from_bytes([content; 32]),
    }
}

fn stage(services: Vec<ResolvedService>) -> Stage {
    Stage {
        id: StageId::from_bytes([1; 32]),
        spec: StackSpec {
            files: vec![file("compose.yaml", 1), file("conf/a", 1)],
            ..crate::testing::spec()
        },
        resolved: ResolvedStack {
            services,
            definitions: [("network default".to_owned(), "n".to_owned())].into(),
            outside: Outside::default(),
            inactive: BTreeSet::new(),
        },
        warnings: Vec::new(),
        notes: Vec::new(),
        compose_version: "2.26.1".to_owned(),
        directory: PathBuf::from("/p"),
    }
}

fn revision(stage: &Stage) -> Revision {
    Revision {
        id: RevisionId::from_bytes([2; 32]),
        spec: stage.spec.clone(),
        resolved: stage.resolved.clone(),
        images: BTreeMap::new(),
        config_hashes: stage
            .resolved
            .services
            .iter()
            .map(|s| (s.name.clone(), "h".to_owned()))
            .collect(),
        older: BTreeMap::new(),
        ended: None,
        took: BTreeMap::new(),
        compose_version: "2.26.1".to_owned(),
        engine_version: "26.1.5".to_owned(),
        directory: PathBuf::from("/p"),
        deploy: "00".repeat(16).parse().unwrap(),
        operator: "ana".parse().unwrap(),
        committed_at_millis: 0,
        number: 1,
        found: None,
    }
}

fn container(name: &str) -> Container {
    Container {
        name: format!("opq-{name}-1"),
        ..crate::testing::container(name)
    }
}

fn image(local: bool, remote: &str) -> ImageFacts {
    let local = local.then(|| LocalImage {
        id: "sha256:local".to_owned(),
        os: "linux".to_owned(),
        architecture: "amd64".to_owned(),
        digests: vec!["org/web@sha256:one".to_owned()],
    });
    let remote = RemoteImage {
        digest: remote.to_owned(),
        platforms: vec!["linux/amd64".to_owned()],
    };
    ImageFacts {
        local,
        remote: Remote::Said(remote),
        layers: None,
    }
}

struct Case {
    stage: Stage,
    base: Option<Revision>,
    on_disk: Vec<ShippedFile>,
    containers: Vec<Container>,
    images: BTreeMap<String, ImageFacts>,
    disk: Option<Disk>,
    layers_here: BTreeSet<String>,
    /// What was found, and Compose's hashes of what is wanted.
    adopted: Option<(Revision, BTreeMap<ServiceName, String>)>,
    neither: bool,
}

/// A host that is exactly as the stack wants it.
fn settled() -> Case {
    let stage = stage(vec![service("web")]);
    Case {
        base: Some(revision(&stage)),
        on_disk: stage.spec.files.clone(),
        containers: vec![container("web")],
        images: [("org/web:1".to_owned(), image(true, "sha256:one"))].into(),
        disk: None,
        layers_here: BTreeSet::new(),
        adopted: None,
        neither: false,
        stage,
    }
}

fn run(case: &Case) -> Result<Plan, Fault> {
    run_part(case, &Scope::Whole)
}

fn run_part(case: &Case, scope: &Scope) -> Result<Plan, Fault> {
    planned(case, scope).map(|planned| planned.plan)
}

fn planned(case: &Case, scope: &Scope) -> Result<Planned, Fault> {
    let part = part(scope, &case.stage, case.base.as_ref())?;
    plan(&Inputs {
        id: PlanId::from_bytes([3; 16]),
        stage: &case.stage,
        base: case.base.as_ref(),
        part: part.as_ref(),
        on_disk: &case.on_disk,
        host: &as_laid_out(&case.on_disk),
        containers: &case.containers,
        images: &case.images,
        platform: "linux/amd64",
        disk: case.disk.clone(),
        layers_here: &case.layers_here,
        adopted: case
            .adopted
            .as_ref()
            .map(|it| Adopted {
                found: &it.0,
                hashes: &it.1,
            })
            .as_ref(),
        neither: case.neither,
    })
}

/// A host on which nobody has touched a file.
fn as_laid_out(files: &[ShippedFile]) -> HostFiles {
    let found = files.iter().map(|file| {
        let there = OnHost::File {
            known: Known {
                stamp: crate::testing::stamp(),
                blob: file.blob,
            },
            size: file.size,
            ownership: Ownership {
                uid: 0,
                gid: 0,
                mode: file.mode,
            },
        };
        (file.path.clone(), there)
    });
    HostFiles {
        found: found.collect(),
        inside: BTreeMap::new(),
    }
}

fn only(case: &Case) -> (Action, Vec<String>) {
    let plan = run(case).unwrap();
    assert!(plan.has_changes());
    (plan.services[0].action, plan.services[0].why())
}

#[test]
fn a_settled_host_has_nothing_to_change() {
    assert!(!run(&settled()).unwrap().has_changes());
}

#[test]
fn a_missing_container_is_created() {
    let mut case = settled();
    case.containers.clear();
    assert_eq!(only(&case), (Action::Create, vec![]));
}

#[test]
fn a_changed_variable_is_named_without_its_value() {
    let mut case = settled();
    case.stage.resolved.services[0]
        .marks
        .insert("environment A".to_owned(), "2".to_owned());
    case.stage.resolved.services[0]
        .marks
        .insert("environment B".to_owned(), "2".to_owned());
    let reasons = vec![
        "environment A changed".to_owned(),
        "environment B added".to_owned(),
    ];
    assert_eq!(only(&case), (Action::Recreate, reasons));
}

#[test]
fn a_new_image_name_shows_both() {
    let mut case = settled();
    case.stage.resolved.services[0].image = "org/web:2".to_owned();
    case.images
        .insert("org/web:2".to_owned(), image(false, "sha256:two"));
    assert_eq!(
        only(&case),
        (
            Action::Recreate,
            vec!["image org/web:1 -> org/web:2".to_owned()]
        )
    );
}

#[test]
fn a_moved_tag_is_pulled() {
    let mut case = settled();
    case.images
        .insert("org/web:1".to_owned(), image(true, "sha256:two"));
    assert_eq!(
        only(&case),
        (
            Action::Recreate,
            vec!["org/web:1 has new content".to_owned()]
        )
    );
}

#[test]
fn a_changed_file_recreates_who_mounts_it() {
    let mut case = settled();
    case.stage.spec.files[1] = file("conf/a", 2);
    assert_eq!(
        only(&case),
        (
            Action::Recreate,
            vec!["mounted file conf/a changed".to_owned()]
        )
    );
}

#[test]
fn a_file_left_by_a_failed_deploy_still_counts_as_changed() {
    let mut case = settled();
    case.stage.spec.files[1] = file("conf/a", 2);
    case.on_disk = case.stage.spec.files.clone();
    assert_eq!(
        only(&case),
        (
            Action::Recreate,
            vec!["mounted file conf/a changed".to_owned()]
        )
    );
}

#[test]
fn a_stopped_container_is_started() {
    let mut case = settled();
    case.containers[0].state = ContainerState::Exited;
    assert_eq!(only(&case).0, Action::Start);
}

#[test]
fn a_finished_one_shot_is_left_alone() {
    let mut case = settled();
    case.stage.resolved.services[0].restart = Restart::No;
    case.containers[0].state = ContainerState::Exited;
    assert!(!run(&case).unwrap().has_changes());
}

#[test]
fn a_container_changed_by_hand_is_recreated() {
    let mut case = settled();
    case.containers[0].config_hash = "other".to_owned();
    assert_eq!(
        only(&case),
        (
            Action::Recreate,
            vec!["opq-web-1 is not as committed".to_owned()]
        )
    );
}

#[test]
fn a_registry_that_is_down_is_a_warning_when_the_image_is_here() {
    let mut case = settled();
    let down = Fault::new(FaultKind::Failed, "the registry refused the connection");
    case.images.get_mut("org/web:1").unwrap().remote = Remote::Failed(down.clone());
    let plan = run(&case).unwrap();
    assert!(!plan.has_changes());
    assert_eq!(plan.warnings.len(), 1);
    case.images.get_mut("org/web:1").unwrap().local = None;
    let fault = run(&case).unwrap_err();
    assert_eq!(fault.what, format!("image org/web:1: {}", down.what));
    assert_eq!(fault.causes, ["it is the image of web"]);
}

#[test]
fn a_registry_that_is_slow_is_waited_for_where_the_image_is_not_here() {
    let mut case = settled();
    let registry = "r.example".to_owned();
    case.images.get_mut("org/web:1").unwrap().remote = Remote::Slow { registry };
    let plan = run(&case).unwrap();
    assert!(!plan.has_changes());
    let warning =
        "org/web:1: registry r.example did not answer within 5 s; the image on the host is used";
    assert_eq!(plan.warnings, [warning]);
    case.images.get_mut("org/web:1").unwrap().local = None;
    let plan = run(&case).unwrap();
    assert!(plan.images[0].pull && plan.images[0].digest.is_none());
    let warning = "org/web:1: registry r.example did not answer within 5 s; the deploy waits for it before anything is changed";
    assert_eq!(plan.warnings, [warning]);
}

#[test]
fn a_registry_that_is_not_to_be_asked_is_not_and_the_plan_says_why() {
    let mut case = settled();
    case.stage.resolved.services[0].pull_policy = Some("never".to_owned());
    case.base = Some(revision(&case.stage));
    case.images.get_mut("org/web:1").unwrap().remote = Remote::Unasked;
    let plan = run(&case).unwrap();
    assert!(!plan.has_changes());
    assert_eq!(plan.images[0].unasked.as_deref(), Some("pull_policy never"));
    case.images.get_mut("org/web:1").unwrap().local = None;
    let fault = run(&case).unwrap_err();
    let what =
        "image org/web:1: it is not on the host, and pull_policy never keeps it from being pulled";
    assert_eq!(fault.what, what);
}

#[test]
fn an_image_for_another_platform_is_refused_before_anything_stops() {
    let mut case = settled();
    let facts = case.images.get_mut("org/web:1").unwrap();
    facts.remote = Remote::Said(RemoteImage {
        digest: "sha256:two".to_owned(),
        platforms: vec!["linux/arm64/v8".to_owned()],
    });
    let fault = run(&case).unwrap_err();
    assert_eq!(fault.what, "image org/web:1 has no linux/amd64 variant");
    assert_eq!(fault.hints, ["it is offered for linux/arm64/v8"]);
}

#[test]
fn containers_of_services_that_left_are_listed_as_orphans() {
    let mut case = settled();
    case.containers.push(container("old"));
    let mut one_off = container("tool");
    one_off.one_off = true;
    case.containers.push(one_off);
    let orphans = run(&case).unwrap().orphans;
    assert_eq!(orphans.len(), 1);
    assert_eq!(orphans[0].container, "opq-old-1");
}

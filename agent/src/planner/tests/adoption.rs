//! What a plan says when it takes over what somebody started by hand.

use super::*;
use crate::store::AsFound;

/// A stack that was started by hand from exactly these files.
fn by_hand() -> Case {
    let mut case = settled();
    let mut found = revision(&case.stage);
    found.found = Some(AsFound::default());
    case.base = None;
    case.adopted = Some((found, [("web".parse().unwrap(), "h".to_owned())].into()));
    case
}

fn found(case: &mut Case) -> &mut Revision {
    &mut case.adopted.as_mut().unwrap().0
}

fn refused(stage: &Stage, containers: &[Container]) -> Fault {
    let fault = origin(stage, containers).unwrap_err();
    assert_eq!(fault.kind, FaultKind::Refused);
    fault
}

#[test]
fn what_compose_would_leave_stays_and_is_yet_a_deploy() {
    let plan = run(&by_hand()).unwrap();
    assert_eq!(plan.services[0].action, Action::Keep);
    assert_eq!(plan.adoption.as_ref().unwrap().directory, "/p");
    assert!(plan.base.is_none() && plan.files.is_empty() && plan.warnings.is_empty());
    assert!(plan.has_changes());
}

#[test]
fn what_compose_would_make_anew_is_told_by_what_changed() {
    let mut case = by_hand();
    case.containers[0].config_hash = "other".to_owned();
    found(&mut case).resolved.services[0]
        .marks
        .insert("environment A".to_owned(), "0".to_owned());
    let reasons = vec!["environment A changed".to_owned()];
    assert_eq!(only(&case), (Action::Recreate, reasons));
}

#[test]
fn what_cannot_be_known_is_said_and_warned_of() {
    let mut case = by_hand();
    case.containers[0].config_hash = "other".to_owned();
    let inexact = ["web".parse().unwrap()].into();
    found(&mut case).found.as_mut().unwrap().inexact = inexact;
    let plan = run(&case).unwrap();
    assert_eq!(plan.services[0].action, Action::Recreate);
    let reason = &plan.services[0].reasons[0];
    assert!(reason.starts_with("Compose would make it anew"), "{reason}");
    assert!(plan.warnings[0].contains(": web;"), "{:?}", plan.warnings);
    assert_eq!(plan.adoption.unwrap().inexact.len(), 1);
}

#[test]
fn an_image_that_changed_is_told_once() {
    let mut case = by_hand();
    case.stage.resolved.services[0].image = "org/web:2".to_owned();
    let marks = &mut case.stage.resolved.services[0].marks;
    marks.insert("image".to_owned(), "j".to_owned());
    case.adopted.as_mut().unwrap().1.clear();
    let facts = image(false, "sha256:two");
    case.images.insert("org/web:2".to_owned(), facts);
    let reasons = vec!["image org/web:1 -> org/web:2".to_owned()];
    assert_eq!(only(&case), (Action::Recreate, reasons));
}

#[test]
fn a_file_with_other_bytes_counts_and_another_mode_does_not() {
    let mut case = by_hand();
    case.on_disk[1].mode = 0o600;
    found(&mut case).spec.files = case.on_disk.clone();
    let plan = run(&case).unwrap();
    assert_eq!(plan.files.len(), 1);
    assert_eq!(plan.services[0].action, Action::Keep);
    case.on_disk[1] = file("conf/a", 2);
    found(&mut case).spec.files = case.on_disk.clone();
    let reasons = vec!["mounted file conf/a changed".to_owned()];
    assert_eq!(only(&case), (Action::Recreate, reasons));
}

#[test]
fn what_was_stopped_by_hand_is_started() {
    let mut case = by_hand();
    case.containers[0].state = ContainerState::Exited;
    assert_eq!(only(&case).0, Action::Start);
}

#[test]
fn a_project_that_somebody_else_started_is_refused_with_the_way_to_take_it_over() {
    let stage = settled().stage;
    let fault = check_owner(false, &stage, &[container("web")]).unwrap_err();
    assert_eq!(fault.kind, FaultKind::Refused);
    assert!(fault.causes.iter().any(|cause| cause.contains("/p")));
    let hint = "take it over as it runs: controller deploy --adopt";
    assert_eq!(fault.hints[0], hint);
    assert!(check_owner(true, &stage, &[container("web")]).is_ok());
    assert!(check_owner(false, &stage, &[]).is_ok());
    let mut one_off = container("web");
    one_off.one_off = true;
    assert!(check_owner(false, &stage, &[one_off]).is_ok());
}

#[test]
fn where_it_runs_is_told_as_a_line_of_fleet_toml() {
    let stage = settled().stage;
    let mut there = container("web");
    there.working_dir = "/srv/opq".to_owned();
    let containers = [there];
    let line = "dir = { opq = \"/srv/opq\" }";
    let fault = check_owner(false, &stage, &containers).unwrap_err();
    assert!(fault.hints[0].ends_with(line), "{:?}", fault.hints);
    assert!(refused(&stage, &containers).hints[0].ends_with(line));
}

#[test]
fn a_project_from_several_folders_or_from_outside_is_refused() {
    let stage = settled().stage;
    let mut db = container("db");
    db.working_dir = "/other".to_owned();
    let fault = refused(&stage, &[container("web"), db.clone()]);
    let causes = ["opq-db-1 from /other", "opq-web-1 from /p"];
    assert_eq!(fault.causes, causes);
    db.one_off = true;
    assert!(origin(&stage, &[container("web"), db]).is_ok());
    for files in [vec!["/etc/x.yml"], vec!["/p/../x.yml"], vec![]] {
        let mut web = container("web");
        web.config_files = files.into_iter().map(str::to_owned).collect();
        refused(&stage, &[web]);
    }
}

#[test]
fn the_files_of_the_container_that_was_started_last_count() {
    let stage = settled().stage;
    let mut later = container("web");
    later.config_files = vec!["/p/a.yml".to_owned(), "b.yml".to_owned()];
    later.env_files = vec!["/p/prod.env".to_owned()];
    later.started_at_millis = 9;
    let origin = origin(&stage, &[container("db"), later]).unwrap();
    let files: Vec<&str> = origin.compose_files.iter().map(RelPath::as_str).collect();
    assert_eq!(files, ["a.yml", "b.yml"]);
    let env_files: Vec<&str> = origin.env_files.iter().map(RelPath::as_str).collect();
    assert_eq!(env_files, ["prod.env"]);
}

//! What follows from a change: joined namespaces, dependents, and services that fail while others are to wait for them.

use proto::event::Health;

use super::*;
use crate::resolved::{Condition, Dependency};

/// `db` and what hangs on it: `app` waits for its health, `top` depends on `app`, `side` joins a namespace of `db`, and
/// `other` has nothing to do with them.
fn stack(compose: &str) -> Case {
    let healthy = Dependency {
        condition: Condition::Healthy,
        ..Dependency::default()
    };
    let mut app = service("app");
    app.depends_on = ["db".parse().unwrap()].into();
    app.dependencies = [("db".parse().unwrap(), healthy)].into();
    let mut top = service("top");
    top.depends_on = ["app".parse().unwrap()].into();
    top.dependencies = [("app".parse().unwrap(), Dependency::default())].into();
    let mut side = service("side");
    side.joins = ["db".parse().unwrap()].into();
    side.depends_on = side.joins.clone();
    let joined = Dependency {
        restart: true,
        ..Dependency::default()
    };
    side.dependencies = [("db".parse().unwrap(), joined)].into();
    let mut all = vec![app, service("db"), service("other"), side, top];
    for one in &mut all {
        one.mounts = [format!("conf/{}", one.name).parse().unwrap()].into();
    }
    let mut stage = stage(all);
    compose.clone_into(&mut stage.compose_version);
    let files = ["db", "app"].map(|name| file(&format!("conf/{name}"), 1));
    stage.spec.files.extend(files);
    let names = ["app", "db", "other", "side", "top"];
    Case {
        base: Some(revision(&stage)),
        on_disk: stage.spec.files.clone(),
        containers: names.map(container).into(),
        images: names
            .map(|name| (format!("org/{name}:1"), image(true, "sha256:one")))
            .into(),
        disk: None,
        layers_here: BTreeSet::new(),
        adopted: None,
        neither: false,
        stage,
    }
}

/// What happens to each service that is not kept; `!` where Compose sees no reason for it.
fn told(case: &Case) -> Vec<String> {
    let planned = planned(case, &Scope::Whole).unwrap();
    let services = planned.plan.services.iter();
    let moved = services.filter(|it| it.action != Action::Keep);
    moved
        .map(|it| {
            let forced = planned.forced.contains(&it.service);
            let mark = if forced { "!" } else { "" };
            format!("{mark}{:?} {}", it.action, it.service)
        })
        .collect()
}

fn change_setting(case: &mut Case, name: &str) {
    let mut services = case.stage.resolved.services.iter_mut();
    let service = services.find(|it| it.name.as_str() == name).unwrap();
    let marks = &mut service.marks;
    marks.insert("environment A".to_owned(), "2".to_owned());
}

fn change_file(case: &mut Case, path: &str) {
    let mut files = case.stage.spec.files.iter_mut();
    let changed = files.find(|it| it.path.as_str() == path).unwrap();
    changed.blob = BlobId::from_bytes([9; 32]);
}

fn of<'a>(case: &'a mut Case, name: &str) -> &'a mut Container {
    let mut all = case.containers.iter_mut();
    all.find(|it| it.service.as_str() == name).unwrap()
}

#[test]
fn an_older_compose_recreates_dependents_near_and_far() {
    let mut case = stack("2.26.1-4");
    change_setting(&mut case, "db");
    let all = ["app", "db", "side", "top"].map(|name| format!("Recreate {name}"));
    assert_eq!(told(&case), all);
    change_setting(&mut case, "other");
    assert_eq!(told(&case).len(), 5);
}

#[test]
fn a_newer_compose_leaves_dependents_and_moves_those_that_join() {
    let mut case = stack("2.40.3+ds1");
    change_setting(&mut case, "db");
    assert_eq!(told(&case), ["Recreate db", "Recreate side"]);
}

#[test]
fn a_newer_compose_restarts_those_that_ask_for_it() {
    let mut case = stack("2.40.3");
    let mut services = case.stage.resolved.services.iter_mut();
    let app = services.find(|it| it.name.as_str() == "app").unwrap();
    app.dependencies.values_mut().next().unwrap().restart = true;
    change_setting(&mut case, "db");
    assert_eq!(told(&case), ["Start app", "Recreate db", "Recreate side"]);
    // In two runs Compose does not know of it.
    change_file(&mut case, "conf/db");
    case.stage.resolved.services[1].marks = case.base.as_ref().unwrap().resolved.services[1]
        .marks
        .clone();
    assert_eq!(
        told(&case),
        ["!Recreate app", "!Recreate db", "!Recreate side"]
    );
}

/// Compose is told to recreate `db` in a run of its own, which does not know of its dependents.
#[test]
fn a_changed_file_moves_no_dependents() {
    for compose in ["2.26.1", "2.40.3"] {
        let mut case = stack(compose);
        change_file(&mut case, "conf/db");
        assert_eq!(told(&case), ["!Recreate db", "!Recreate side"], "{compose}");
    }
}

/// The first run brings what `app` depends on as well, and there Compose sees a change; `side` is not of that run.
#[test]
fn dependents_follow_within_one_run() {
    let mut case = stack("2.26.1");
    change_file(&mut case, "conf/app");
    change_setting(&mut case, "db");
    assert_eq!(
        told(&case),
        ["!Recreate app", "Recreate db", "Recreate side"]
    );
}

#[test]
fn a_service_that_is_started_leaves_nobody_in_its_old_namespace() {
    let mut case = stack("2.26.1");
    of(&mut case, "db").state = ContainerState::Exited;
    assert_eq!(told(&case), ["Start db", "!Recreate side"]);
}

#[test]
fn what_fails_is_replaced_only_where_something_is_to_wait_for_it() {
    let mut case = stack("2.40.3");
    of(&mut case, "db").health = Health::Unhealthy;
    of(&mut case, "other").health = Health::Unhealthy;
    assert!(told(&case).is_empty());
    change_setting(&mut case, "app");
    let wanted = ["Recreate app", "!Recreate db", "!Recreate side"];
    assert_eq!(told(&case), wanted);
    let plan = run(&case).unwrap();
    assert_eq!(
        plan.services[1].reasons,
        ["opq-db-1 is unhealthy, and app waits for its health"]
    );
    change_setting(&mut case, "db");
    assert_eq!(told(&case).len(), 3);
}

#[test]
fn whatever_fails_after_a_deploy_that_left_neither_revision_is_replaced() {
    let mut case = stack("2.40.3");
    case.neither = true;
    assert!(told(&case).is_empty());
    of(&mut case, "other").health = Health::Unhealthy;
    of(&mut case, "top").state = ContainerState::Restarting;
    assert_eq!(told(&case), ["!Recreate other", "!Recreate top"]);
}

#[test]
fn a_part_leaves_nobody_in_a_dead_namespace() {
    let mut case = stack("2.26.1");
    change_setting(&mut case, "db");
    let part = |names: &[&str]| Scope::Alone(names.iter().map(|it| it.parse().unwrap()).collect());
    let fault = run_part(&case, &part(&["db"])).unwrap_err();
    assert_eq!(fault.causes, ["side shares what is db's"]);
    let plan = run_part(&case, &part(&["db", "side"])).unwrap();
    let moved = plan.services.iter().filter(|it| it.action != Action::Keep);
    assert_eq!(moved.count(), 2);
    of(&mut case, "side").state = ContainerState::Exited;
    assert!(run_part(&case, &part(&["db"])).is_ok());
}

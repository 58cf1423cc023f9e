//! What a plan for some services says, and when it is refused.

use super::*;

fn names(names: &[&str]) -> BTreeSet<ServiceName> {
    names.iter().map(|name| name.parse().unwrap()).collect()
}

fn with_dependencies(named: &[&str]) -> Scope {
    Scope::WithDependencies(names(named))
}

fn alone(named: &[&str]) -> Scope {
    Scope::Alone(names(named))
}

/// view -> api -> db, and mauka beside them; all run another image from now on.
fn all_changed() -> Case {
    let depends = [("view", "api"), ("api", "db"), ("db", ""), ("mauka", "")];
    let services = depends.map(|(name, on)| ResolvedService {
        depends_on: names(&[on].map(|on| if on.is_empty() { "optional" } else { on })),
        mounts: [format!("data/{name}").parse().unwrap()].into(),
        ..service(name)
    });
    let mut stage = stage(services.into());
    let base = Some(revision(&stage));
    for service in &mut stage.resolved.services {
        service.image = format!("org/{}:2", service.name);
    }
    let images = stage.resolved.services.iter();
    Case {
        adopted: None,
        neither: false,
        images: images
            .map(|service| (service.image.clone(), image(false, "sha256:two")))
            .collect(),
        base,
        on_disk: stage.spec.files.clone(),
        containers: ["view", "api", "db", "mauka"].map(container).into(),
        disk: None,
        layers_here: BTreeSet::new(),
        stage,
    }
}

fn touched(plan: &Plan) -> Vec<&str> {
    let services = plan.services.iter();
    let touched = services.filter(|one| one.action != Action::Keep);
    touched.map(|one| one.service.as_str()).collect()
}

#[test]
fn a_service_comes_with_what_it_depends_on_near_and_far() {
    let plan = run_part(&all_changed(), &with_dependencies(&["view"])).unwrap();
    assert_eq!(touched(&plan), ["view", "api", "db"]);
    assert_eq!(plan.services.len(), 4, "the others are kept");
    let part = Part {
        named: names(&["view"]),
        needed: names(&["api", "db"]),
    };
    assert_eq!(plan.part, Some(part));
    let images: Vec<&str> = plan
        .images
        .iter()
        .map(|one| one.reference.as_str())
        .collect();
    assert_eq!(images, ["org/api:2", "org/db:2", "org/view:2"]);
}

#[test]
fn a_service_named_alone_comes_alone() {
    let plan = run_part(&all_changed(), &alone(&["view", "mauka"])).unwrap();
    assert_eq!(touched(&plan), ["view", "mauka"]);
    assert_eq!(plan.images.len(), 2);
}

#[test]
fn a_circle_of_dependencies_ends() {
    let mut case = all_changed();
    case.stage.resolved.services[2].depends_on = names(&["view"]);
    let plan = run_part(&case, &with_dependencies(&["api"])).unwrap();
    assert_eq!(plan.part.unwrap().needed, names(&["db", "view"]));
}

#[test]
fn an_unknown_service_is_answered_with_those_there_are() {
    let fault = run_part(&all_changed(), &with_dependencies(&["veiw"])).unwrap_err();
    assert_eq!(fault.kind, FaultKind::UnknownName);
    assert_eq!(fault.what, "stack opq has no service veiw");
    assert_eq!(fault.hints[0], "its services are view, api, db, mauka");
}

#[test]
fn the_first_deploy_is_of_the_whole_stack() {
    let mut case = all_changed();
    case.base = None;
    let fault = run_part(&case, &with_dependencies(&["view"])).unwrap_err();
    assert_eq!(fault.kind, FaultKind::Refused);
    assert!(fault.hints[0].contains("whole stack first"), "{fault:?}");
}

#[test]
fn what_services_share_changes_for_all_or_not_at_all() {
    let mut case = all_changed();
    let shared = &mut case.stage.resolved.definitions;
    shared.insert("network default".to_owned(), "other".to_owned());
    shared.insert("volume data".to_owned(), "v".to_owned());
    let fault = run_part(&case, &alone(&["view"])).unwrap_err();
    assert_eq!(fault.kind, FaultKind::Refused);
    assert_eq!(
        fault.causes,
        ["network default changed", "volume data was added"]
    );
    assert!(run(&case).is_ok());
}

#[test]
fn a_changed_file_is_refused_when_a_service_outside_mounts_it() {
    let mut case = all_changed();
    case.stage.spec.files.push(file("data/mauka/settings", 1));
    case.stage.spec.files.push(file("data/view/page", 1));
    let fault = run_part(&case, &with_dependencies(&["view"])).unwrap_err();
    assert_eq!(fault.kind, FaultKind::Refused);
    assert_eq!(fault.causes, ["mauka mounts data/mauka/settings"]);
    let plan = run_part(&case, &with_dependencies(&["view", "mauka"])).unwrap();
    assert_eq!(touched(&plan).len(), 4);
}

#[test]
fn what_is_left_alone_shows_no_orphans_and_no_drift() {
    let mut case = all_changed();
    case.containers.push(container("old"));
    case.containers[3].state = ContainerState::Exited;
    let plan = run_part(&case, &alone(&["view"])).unwrap();
    assert!(plan.orphans.is_empty());
    assert_eq!(touched(&plan), ["view"]);
}

#[test]
fn a_settled_service_has_nothing_to_change() {
    assert!(
        !run_part(&settled(), &alone(&["web"]))
            .unwrap()
            .has_changes()
    );
}

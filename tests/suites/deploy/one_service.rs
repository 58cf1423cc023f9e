//! What a deploy of one service touches on a host, and what it leaves for a later one.

use crate::world::{Case, WEB, world};

/// view depends on mongo, makai is beside them; each has its tag in `.env`.
fn three(case: &Case<'_>) {
    let service = |name: &str, tag: &str| {
        let service = WEB.replace("services:\n", "");
        service
            .replace("  web:", &format!("  {name}:"))
            .replace("${TAG}", tag)
    };
    let view = service("view", "${VIEW_TAG}");
    let (mongo, makai) = (
        service("mongo", "${MONGO_TAG}"),
        service("makai", "${MAKAI_TAG}"),
    );
    let depends = "    depends_on: { mongo: { condition: service_healthy } }\n";
    case.write(
        "compose.yaml",
        &format!("services:\n{view}{depends}{mongo}{makai}"),
    );
}

fn tags(case: &Case<'_>, view: u8, mongo: u8, makai: u8) {
    let text = format!("VIEW_TAG={view}\nMONGO_TAG={mongo}\nMAKAI_TAG={makai}\n");
    case.write(".env", &text);
}

fn ids(case: &Case<'_>) -> [String; 3] {
    ["view", "mongo", "makai"].map(|service| case.id(service))
}

#[test]
fn one_service_is_deployed_and_a_whole_deploy_later_brings_exactly_the_rest() {
    let Some(world) = world() else { return };
    let case = world.case("part");
    three(&case);
    tags(&case, 1, 1, 1);
    case.deploy().done();
    let before = ids(&case);

    tags(&case, 2, 1, 2);
    let plan = case.controller(&["plan", "emilia/part/view"]);
    let plan = plan.with(
        2,
        &["only view and what it depends on: mongo", "1 to recreate"],
    );
    assert!(plan.contains("keep      makai, mongo"), "{plan}");
    case.controller(&["deploy", "emilia/part/view", "--yes"])
        .done();
    let part = ids(&case);
    assert_ne!(part[0], before[0]);
    assert_eq!(part[1..], before[1..]);
    assert_eq!(
        case.containers(),
        "makai org/web:1 running\nmongo org/web:1 running\nview org/web:2 running"
    );
    let again = case.controller(&["deploy", "emilia/part/view", "--yes"]);
    assert!(again.done().contains("nothing to change"));

    case.controller(&["plan", "emilia"])
        .with(2, &["recreate  makai", "1 to recreate"]);
    case.deploy().done();
    let whole = ids(&case);
    assert_eq!(whole[..2], part[..2]);
    assert_ne!(whole[2], part[2]);
    case.controller(&["plan", "emilia"]).done();
}

#[test]
fn what_a_service_depends_on_comes_first_and_not_at_all_without_deps() {
    let Some(world) = world() else { return };
    let case = world.case("ordered");
    three(&case);
    tags(&case, 1, 1, 1);
    case.deploy().done();
    let before = ids(&case);

    tags(&case, 2, 2, 2);
    case.controller(&["deploy", "emilia/ordered/view", "--no-deps", "--yes"])
        .done();
    let alone = ids(&case);
    assert_ne!(alone[0], before[0]);
    assert_eq!(alone[1..], before[1..]);

    tags(&case, 1, 2, 2);
    case.controller(&["deploy", "emilia/ordered/view", "--yes"])
        .done();
    let both = ids(&case);
    assert_ne!(both[0], alone[0]);
    assert_ne!(both[1], alone[1]);
    assert_eq!(both[2], before[2]);
    let started = |service: &str| {
        case.docker(&format!(
            "inspect --format {{{{.State.StartedAt}}}} ordered-{service}-1"
        ))
    };
    assert!(started("mongo") < started("view"));
}

#[test]
fn what_cannot_go_alone_is_refused_with_a_way_out() {
    let Some(world) = world() else { return };
    let case = world.case("together");
    three(&case);
    tags(&case, 1, 1, 1);
    let plan = |service: &str| case.controller(&["plan", &format!("emilia/together/{service}")]);
    plan("view").with(1, &["no revision here yet", "whole stack first"]);
    case.deploy().done();
    plan("veiw").with(64, &["no service veiw", "makai, mongo, view"]);
    let compose = std::fs::read_to_string(case.path("compose.yaml")).unwrap();
    let network = "networks: { default: { internal: true } }\n";
    case.write("compose.yaml", &format!("{compose}{network}"));
    plan("view").with(1, &["network default changed", "whole stack"]);
    case.controller(&["plan", "emilia"])
        .with(2, &["compose.yaml"]);
}

//! What a plan shows before anything is touched, and what it refuses.

use crate::world::{WEB, world};

#[test]
fn a_plan_shows_each_setting_old_and_new_and_no_value_of_the_environment() {
    let Some(world) = world() else { return };
    let case = world.case("settings");
    let stack = |secret: &str, more: &str| {
        let shown = format!("DB_URL: \"{secret}\"");
        let text = WEB.replace("FIXTURE_SHOW: NOTHING", &shown);
        case.write("compose.yaml", &format!("{text}{more}"));
    };
    stack(
        "canary44",
        "    labels: { token: canary44 }\n    hostname: one\n",
    );
    case.deploy().done();
    stack(
        "canary55",
        "    labels: { token: canary55 }\n    hostname: two\n    expose: [\"99\"]\n",
    );
    let plan = case.controller(&["plan", "emilia"]).failed(
        2,
        &[
            "~ environment DB_URL  k:",
            "one -> two",
            "+ expose",
            "99",
            "~ labels token",
        ],
    );
    assert!(!plan.contains("canary"), "{plan}");
    let json = case.controller(&["plan", "emilia", "-o", "json"]);
    let json = json.failed(2, &["\"environment DB_URL\"", "\"before\":\"k:"]);
    assert!(!json.contains("canary"), "{json}");
}

#[test]
fn a_plan_shows_which_image_runs_which_comes_and_how_much_that_is() {
    let Some(world) = world() else { return };
    let case = world.case("digests");
    case.deploy().done();
    case.docker(&format!(
        "image rm -f {}/org/web:2 || true",
        world.registry.address()
    ));
    case.write(".env", "TAG=2\n");
    let plan = case.controller(&["plan", "emilia", "-o", "json"]);
    let plan: serde_json::Value = serde_json::from_str(&plan.out).unwrap();
    let plan = &plan["plans"][0]["plan"];
    let image = &plan["images"][0];
    let digest = |name: &str| image[name].as_str().unwrap_or_default().to_owned();
    for name in ["before", "digest"] {
        assert!(digest(name).starts_with("sha256:"), "{image}");
    }
    assert_ne!(digest("before"), digest("digest"));
    let field = &plan["services"][0]["fields"][0];
    assert_eq!(field["name"], "image", "{plan}");
    // Another test may have brought it meanwhile.
    if image["pull"] == true {
        assert!(image["bytes"].as_u64().unwrap() > 300_000, "{image}");
        assert!(plan["disk"]["free"].as_u64().unwrap() > 0, "{plan}");
    }
}

//! What a plan shows of each difference: settings old and new, digests, bytes against room.

use super::*;
use crate::engine::Layer;
use crate::store::ImagePin;

fn changed(case: &Case) -> Vec<String> {
    let plan = run(case).unwrap();
    let show = |field: &FieldChange| {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let (before, after) = (text(&field.before), text(&field.after));
        format!("{}: {before} -> {after}", field.name)
    };
    plan.services[0].fields.iter().map(show).collect()
}

fn show(service: &mut ResolvedService, mark: &str, setting: &str, texts: &[&str]) {
    let name = setting.split(' ').next().unwrap();
    service.marks.insert(name.to_owned(), mark.to_owned());
    let texts = texts.iter().map(ToString::to_string).collect();
    service.shown.insert(setting.to_owned(), texts);
}

/// The same setting in the committed revision and in the stage.
fn with(setting: &str, before: &[&str], after: &[&str]) -> Case {
    let mut case = settled();
    let base = case.base.as_mut().unwrap();
    show(&mut base.resolved.services[0], "1", setting, before);
    show(&mut case.stage.resolved.services[0], "2", setting, after);
    case
}

#[test]
fn a_variable_shows_its_digests() {
    let mut case = settled();
    let marks = &mut case.stage.resolved.services[0].marks;
    marks.insert("environment A".to_owned(), "77b0e2aabbcc".to_owned());
    assert_eq!(changed(&case), ["environment A: k:1 -> k:77b0e2"]);
}

#[test]
fn a_text_shows_old_and_new() {
    let case = with("restart", &["no"], &["always"]);
    assert_eq!(changed(&case), ["restart: no -> always"]);
    let case = with("healthcheck interval", &["3s"], &["5s"]);
    assert_eq!(changed(&case), ["healthcheck interval: 3s -> 5s"]);
}

#[test]
fn a_list_shows_what_comes_and_goes() {
    let case = with("ports", &["80:80/tcp", "81:81/tcp"], &["80:80/tcp"]);
    assert_eq!(changed(&case), ["ports: 81:81/tcp -> "]);
    let case = with("ports", &["a"], &["b", "c"]);
    assert_eq!(
        changed(&case),
        ["ports: a -> ", "ports:  -> b", "ports:  -> c"]
    );
}

#[test]
fn texts_that_do_not_tell_the_difference_give_way_to_digests() {
    let case = with("user", &["********"], &["********"]);
    assert_eq!(changed(&case), ["user: k:1 -> k:2"]);
}

#[test]
fn a_revision_of_an_older_agent_has_digests_only() {
    let mut case = with("ports", &["a"], &["b", "c"]);
    case.base.as_mut().unwrap().resolved.services[0]
        .shown
        .clear();
    assert_eq!(changed(&case), ["ports: k:1 -> k:2"]);
}

#[test]
fn an_image_that_runs_is_named_by_its_digest_where_that_is_known() {
    let mut case = settled();
    case.images
        .insert("org/web:1".to_owned(), image(true, "sha256:two"));
    let before = |case: &Case| run(case).unwrap().images[0].before.clone();
    assert_eq!(before(&case).as_deref(), Some("sha256:local"));
    let pin = ImagePin {
        id: "sha256:local".to_owned(),
        digest: Some("sha256:one".to_owned()),
    };
    let base = case.base.as_mut().unwrap();
    base.images.insert("org/web:1".to_owned(), pin);
    assert_eq!(before(&case).as_deref(), Some("sha256:one"));
    case.containers.clear();
    assert_eq!(before(&case), None);
}

/// Two layers of a hundred bytes to fetch, and so much room.
fn short_of(free: u64) -> Case {
    let mut case = settled();
    let layers = ["sha256:x", "sha256:y"].map(|digest| Layer {
        digest: digest.to_owned(),
        bytes: 100,
    });
    let facts = ImageFacts {
        layers: Some(layers.into()),
        ..image(true, "sha256:two")
    };
    case.images.insert("org/web:1".to_owned(), facts);
    case.disk = Some(Disk {
        path: "/var/lib/docker".to_owned(),
        free,
    });
    case
}

#[test]
fn a_pull_that_cannot_fit_is_refused() {
    let fault = run(&short_of(199)).unwrap_err();
    assert_eq!(fault.kind, FaultKind::Refused);
    assert_eq!(
        fault.what,
        "200 B of images are to be pulled, and /var/lib/docker has 199 B left"
    );
    let mut case = short_of(199);
    case.layers_here.insert("sha256:x".to_owned());
    assert_eq!(run(&case).unwrap().images[0].bytes, Some(200), "at most");
}

#[test]
fn little_room_is_a_warning() {
    let plan = run(&short_of(599)).unwrap();
    assert_eq!(plan.warnings.len(), 1, "{:?}", plan.warnings);
    let plan = run(&short_of(600)).unwrap();
    assert_eq!(plan.warnings, [""; 0]);
    assert_eq!(plan.images[0].bytes, Some(200));
    assert_eq!(plan.disk.map(|disk| disk.free), Some(600));
}

//! Deploys that wait: for somebody to confirm them, or for another one to end.

use crate::beside::Beside;
use crate::world::{WEB, world};

#[test]
fn what_nobody_confirms_goes_back_and_what_somebody_confirms_stays() {
    let Some(world) = world() else { return };
    let case = world.case("confirmed");
    case.deploy().done();
    let first = case.containers();
    case.write(".env", "TAG=2\n");
    case.controller(&["deploy", "emilia", "--yes", "--confirm-within", "1s"])
        .with(
            3,
            &[
                "nobody confirmed it within 1 s",
                "controller confirm emilia/confirmed",
            ],
        );
    assert_eq!(case.containers(), first);
    case.controller(&["confirm", "emilia"])
        .with(1, &["has ended already"]);

    let words = ["deploy", "emilia", "--yes", "--confirm-within", "10m"];
    let mut deploy = Beside::start(&case, &words);
    deploy.until("goes back in");
    let status = case.controller(&["status", "emilia/confirmed"]).done();
    assert!(status.contains("unless confirmed"), "{status}");
    case.controller(&["confirm", "emilia/confirmed"]).done();
    let (code, said) = deploy.end();
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("confirmed by ana"), "{said}");
    assert!(case.containers().contains("web:2"), "{}", case.containers());
}

#[test]
fn the_second_operator_waits_for_the_first_when_asked_to() {
    let Some(world) = world() else { return };
    let case = world.case("queued");
    let slow = "FIXTURE_HEALTHY_AFTER_MS: \"3000\"";
    let slow = WEB
        .replace("FIXTURE_SHOW: NOTHING", slow)
        .replace("retries: 3", "retries: 30");
    case.write("compose.yaml", &slow);
    let mut first = Beside::start(&case, &["deploy", "emilia", "--yes"]);
    first.until("verifying");
    // However long the others take, it is not over before they have been told.
    case.docker("pause queued-web-1");
    case.write(".env", "TAG=2\n");
    case.deploy().with(
        5,
        &["another deploy holds stack queued", "ana started deploy"],
    );
    let late = ["deploy", "emilia", "--yes", "--lock-wait", "1s"];
    case.controller(&late)
        .with(5, &["still holds", "after 1 s"]);
    let wait = ["deploy", "emilia", "--yes", "--lock-wait", "2m"];
    let mut second = Beside::start(&case, &wait);
    second.until("waiting for deploy");
    case.docker("unpause queued-web-1");
    let (code, said) = first.end();
    assert_eq!(code, 0, "{said}");
    let (code, said) = second.end();
    assert_eq!(code, 0, "{said}");
    assert!(case.containers().contains("web:2"), "{}", case.containers());
}

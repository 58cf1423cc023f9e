//! Plans that are saved and deployed later.

use super::*;
use proto::plan::Plan;

/// A folder, and the file in it that a plan of a host was saved to.
async fn save(script: Script) -> (tempfile::TempDir, String, Ran) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("p.plan").display().to_string();
    let (_, fleet) = one(script);
    let ran = ran(&format!("plan emilia --out {path}"), &fleet).await;
    (folder, path, ran)
}

#[tokio::test]
async fn a_saved_plan_is_deployed_without_its_stack() {
    let (_folder, path, planned) = save(Script::of("emilia")).await;
    assert_eq!(planned.exit, Exit::Pending);
    assert!(
        planned.err.contains("controller deploy --plan"),
        "{}",
        planned.err
    );
    let (host, fleet) = one(Script::of("emilia"));
    let ran = ran(&format!("deploy --plan {path} --yes"), &fleet).await;
    assert_eq!(ran.exit, Exit::Done, "{}", ran.err);
    let seen = host.seen();
    assert_eq!((seen.deploys.len(), seen.shipped.len()), (1, 0));
    assert_eq!(seen.plans[0].stage, "ab".repeat(32));
    assert_eq!(seen.plans[0].auths, seen.deploys[0].auths);
}

#[tokio::test]
async fn a_saved_plan_asks_unless_told_not_to() {
    let (_folder, path, _) = save(Script::of("emilia")).await;
    let (host, fleet) = one(Script::of("emilia"));
    let ran = ran(&format!("deploy --plan {path}"), &fleet).await;
    assert_eq!(ran.exit, Exit::Usage, "a pipe is never asked");
    assert!(host.seen().deploys.is_empty());
}

#[tokio::test]
async fn a_saved_plan_that_is_not_what_would_happen_is_refused() {
    let (_folder, path, _) = save(Script::of("emilia")).await;
    let moved = Plan {
        base: Some(proto::id::RevisionId::from_bytes([1; 32])),
        ..plan_of(Action::Recreate)
    };
    let (host, fleet) = one(Script {
        plan: Ok(moved),
        ..Script::of("emilia")
    });
    let ran = ran(&format!("deploy --plan {path} --yes"), &fleet).await;
    assert_eq!(ran.exit, Exit::Failed);
    for word in [
        "the host has moved on since this plan was saved",
        "the host is at revision 010101010101, and was at none",
        "service web is planned otherwise now",
    ] {
        assert!(ran.err.contains(word), "{}", ran.err);
    }
    assert!(host.seen().deploys.is_empty());
}

#[tokio::test]
async fn a_plan_of_which_a_place_is_missing_is_not_saved() {
    let refused = Fault::new(FaultKind::Refused, "not here");
    let (_folder, path, ran) = save(Script {
        plan: Err(refused),
        ..Script::of("emilia")
    })
    .await;
    assert_eq!(ran.exit, Exit::Failed);
    assert!(ran.err.contains("was not saved"), "{}", ran.err);
    assert!(!std::path::Path::new(&path).exists());
}

#[tokio::test]
async fn a_file_that_is_no_plan_is_bad_usage() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x").display().to_string();
    let (_, fleet) = one(Script::of("emilia"));
    let words = format!("deploy --plan {path} --yes");
    let missing = ran(&words, &fleet).await;
    assert_eq!(missing.exit, Exit::Usage);
    assert!(
        missing.err.contains("cannot read the plan"),
        "{}",
        missing.err
    );
    std::fs::write(&path, "{}").unwrap();
    let foreign = ran(&words, &fleet).await;
    assert_eq!(foreign.exit, Exit::Usage);
    assert!(foreign.err.contains("is not a plan"), "{}", foreign.err);
}

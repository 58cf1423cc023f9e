//! What is good, what may become good, and what will not.

use std::time::Duration;

use super::*;

fn service(replicas: u32, restart: Restart) -> ResolvedService {
    ResolvedService {
        name: "web".parse().unwrap(),
        image: "web:1".to_owned(),
        replicas,
        restart,
        patience: Duration::from_secs(60),
        mounts: BTreeSet::new(),
        depends_on: BTreeSet::new(),
        marks: BTreeMap::new(),
    }
}

fn container(state: ContainerState, health: Health) -> Container {
    Container {
        id: "c1".to_owned(),
        name: "opq-web-1".to_owned(),
        service: "web".parse().unwrap(),
        number: 1,
        one_off: false,
        state,
        health,
        health_output: String::new(),
        exit_code: 0,
        restarts: 0,
        image: "web:1".to_owned(),
        image_id: "sha256:new".to_owned(),
        config_hash: String::new(),
        working_dir: String::new(),
        replaces: None,
        started_at_millis: 0,
        ports: Vec::new(),
    }
}

fn judge_at(
    service: &ResolvedService,
    containers: &[Container],
    seen: &mut Seen,
    now: Instant,
) -> Verdict {
    judge(
        &[Expected {
            service,
            image_id: "sha256:new",
        }],
        containers,
        seen,
        now,
    )
}

fn judge_once(restart: Restart, container: Container) -> Verdict {
    judge_at(
        &service(1, restart),
        &[container],
        &mut Seen::new(&[]),
        Instant::now(),
    )
}

#[tokio::test]
async fn a_healthy_container_is_good() {
    assert!(
        judge_once(
            Restart::Always,
            container(ContainerState::Running, Health::Healthy)
        )
        .is_good()
    );
}

#[tokio::test]
async fn an_unhealthy_container_may_still_recover() {
    let verdict = judge_once(
        Restart::Always,
        container(ContainerState::Running, Health::Unhealthy),
    );
    assert!(!verdict.is_good() && !verdict.is_hopeless());
}

#[tokio::test]
async fn the_old_image_is_never_good() {
    let mut old = container(ContainerState::Running, Health::Healthy);
    old.image_id = "sha256:old".to_owned();
    assert_eq!(
        judge_once(Restart::Always, old).reasons,
        ["opq-web-1 still runs the old image"]
    );
}

#[tokio::test]
async fn without_a_healthcheck_only_a_steady_run_is_good() {
    let (web, up) = (
        service(1, Restart::Always),
        container(ContainerState::Running, Health::None),
    );
    let (mut seen, start) = (Seen::new(&[]), Instant::now());
    let verdict = judge_at(&web, std::slice::from_ref(&up), &mut seen, start);
    assert_eq!(verdict.look_again_at, Some(start + STABILITY_WINDOW));
    let mut crashed = up.clone();
    crashed.restarts = 1;
    let later = start + STABILITY_WINDOW;
    assert!(
        !judge_at(&web, &[crashed.clone()], &mut seen, later).is_good(),
        "a restart starts the window anew"
    );
    assert!(judge_at(&web, &[crashed], &mut seen, later + STABILITY_WINDOW).is_good());
}

#[tokio::test]
async fn a_container_that_ran_before_needs_no_window() {
    let up = container(ContainerState::Running, Health::None);
    let mut seen = Seen::new(std::slice::from_ref(&up));
    assert!(
        judge_at(
            &service(1, Restart::Always),
            &[up],
            &mut seen,
            Instant::now()
        )
        .is_good()
    );
}

#[tokio::test]
async fn a_crash_loop_is_hopeless() {
    let mut up = container(ContainerState::Restarting, Health::None);
    let mut seen = Seen::new(&[]);
    let web = service(1, Restart::Always);
    assert!(!judge_at(&web, &[up.clone()], &mut seen, Instant::now()).is_hopeless());
    up.restarts = 3;
    up.exit_code = 7;
    let verdict = judge_at(&web, &[up], &mut seen, Instant::now());
    assert!(verdict.is_hopeless());
    assert_eq!(
        verdict.reasons,
        ["opq-web-1 was restarted 3 times; its last exit code was 7"]
    );
}

#[tokio::test]
async fn a_one_shot_is_judged_by_its_exit_code() {
    let done = container(ContainerState::Exited, Health::None);
    assert!(judge_once(Restart::No, done.clone()).is_good());
    assert!(judge_once(Restart::OnFailure, done.clone()).is_good());
    assert!(!judge_once(Restart::Always, done.clone()).is_good());
    let mut broken = done;
    broken.exit_code = 1;
    assert!(judge_once(Restart::No, broken).is_hopeless());
}

#[tokio::test]
async fn every_replica_counts() {
    let web = service(2, Restart::Always);
    let one = container(ContainerState::Running, Health::Healthy);
    let mut two = one.clone();
    two.id = "c2".to_owned();
    two.name = "opq-web-2".to_owned();
    let mut seen = Seen::new(&[]);
    let now = Instant::now();
    assert_eq!(
        judge_at(&web, std::slice::from_ref(&one), &mut seen, now).reasons,
        ["web: 1 of 2 containers exist"]
    );
    two.health = Health::Unhealthy;
    assert!(!judge_at(&web, &[one.clone(), two.clone()], &mut seen, now).is_good());
    two.health = Health::Healthy;
    assert!(judge_at(&web, &[one, two], &mut seen, now).is_good());
}

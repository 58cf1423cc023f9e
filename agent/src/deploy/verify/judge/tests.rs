//! What is good, what may become good, and what will not.

use super::*;
use crate::healthcheck::Healthcheck;

/// The wall clock, in every claim.
const WALL: u64 = 1_772_366_400_000;
const MINUTE: u64 = 60_000;
const SECOND: Duration = Duration::from_secs(1);

fn service(replicas: u32, restart: Restart) -> ResolvedService {
    ResolvedService {
        image: "web:1".to_owned(),
        replicas,
        restart,
        ..crate::testing::service("web")
    }
}

fn container(state: ContainerState, health: Health) -> Container {
    Container {
        id: "c1".to_owned(),
        name: "opq-web-1".to_owned(),
        state,
        health,
        image: "web:1".to_owned(),
        image_id: "sha256:new".to_owned(),
        started_at_millis: 0,
        ..crate::testing::container("web")
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
            probes: Vec::new(),
            deadline: None,
            one_shot: service.restart != Restart::Always,
        }],
        containers,
        seen,
        &Answers::new(),
        at(now),
    )
}

fn at(now: Instant) -> Moment {
    Moment {
        now,
        wall_millis: WALL,
    }
}

fn seen(before: &[Container]) -> Seen {
    Seen::new(before, Instant::now(), false)
}

fn hopeless(verdict: &Verdict) -> bool {
    let blame = verdict.blame(Instant::now());
    blame.is_some_and(|blame| blame.hopeless)
}

fn judge_once(restart: Restart, container: Container) -> Verdict {
    judge_at(
        &service(1, restart),
        &[container],
        &mut seen(&[]),
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
    assert!(!verdict.is_good() && !hopeless(&verdict));
}

#[tokio::test]
async fn the_old_image_is_never_good() {
    let mut old = container(ContainerState::Running, Health::Healthy);
    old.image_id = "sha256:old".to_owned();
    assert_eq!(
        judge_once(Restart::Always, old).reasons(),
        ["opq-web-1 still runs the old image"]
    );
}

#[tokio::test]
async fn without_a_healthcheck_only_a_steady_run_is_good() {
    let (web, up) = (
        service(1, Restart::Always),
        container(ContainerState::Running, Health::None),
    );
    let start = Instant::now();
    let mut seen = Seen::new(&[], start, false);
    let verdict = judge_at(&web, std::slice::from_ref(&up), &mut seen, start);
    assert_eq!(verdict.look_again_at(), Some(start + STABILITY_WINDOW));
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
    let mut seen = seen(std::slice::from_ref(&up));
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
async fn a_crash_loop_has_its_time_and_has_not_started_in_the_end() {
    let mut up = container(ContainerState::Restarting, Health::None);
    let mut seen = seen(&[]);
    let web = service(1, Restart::Always);
    let start = Instant::now();
    assert!(!hopeless(&judge_at(&web, &[up.clone()], &mut seen, start)));
    up.restarts = 3;
    up.exit_code = 7;
    let verdict = judge_at(&web, &[up.clone()], &mut seen, start + SECOND);
    assert_eq!(verdict.blame(start + SECOND), None);
    let end = start + WITHOUT_CHECK;
    let blame = judge_at(&web, &[up.clone()], &mut seen, end).blame(end);
    let blame = blame.unwrap();
    assert!(blame.hopeless, "it did not start");
    assert_eq!(
        blame.reasons,
        ["opq-web-1 was restarted 3 times; its last exit code was 7"]
    );
    // The program is not there, and will not be.
    up.exit_code = 127;
    assert!(hopeless(&judge_at(&web, &[up], &mut seen, start + SECOND)));
}

/// As an application does that exits until its database listens.
#[tokio::test]
async fn a_crash_loop_that_ends_in_time_is_good() {
    let mut up = container(ContainerState::Running, Health::None);
    let mut seen = seen(&[]);
    let web = service(1, Restart::Always);
    let start = Instant::now();
    up.restarts = 8;
    assert!(!judge_at(&web, &[up.clone()], &mut seen, start).is_good());
    up.restarts = 12;
    let last = start + 10 * SECOND;
    assert!(!judge_at(&web, &[up.clone()], &mut seen, last).is_good());
    let steady = last + STABILITY_WINDOW;
    assert!(judge_at(&web, &[up], &mut seen, steady).is_good());
}

/// Its container ends with 0, and nothing will start it again.
#[tokio::test]
async fn a_server_that_ends_with_0_has_not_done_its_work() {
    let ended = container(ContainerState::Exited, Health::None);
    for (one_shot, good) in [(true, true), (false, false)] {
        let verdict = judge(
            &[Expected {
                service: &service(1, Restart::No),
                image_id: "sha256:new",
                probes: Vec::new(),
                deadline: None,
                one_shot,
            }],
            std::slice::from_ref(&ended),
            &mut seen(std::slice::from_ref(&ended)),
            &Answers::new(),
            at(Instant::now()),
        );
        assert_eq!((verdict.is_good(), hopeless(&verdict)), (good, !good));
    }
}

#[tokio::test]
async fn a_one_shot_is_judged_by_its_exit_code() {
    let done = container(ContainerState::Exited, Health::None);
    assert!(judge_once(Restart::No, done.clone()).is_good());
    assert!(judge_once(Restart::OnFailure, done.clone()).is_good());
    assert!(!judge_once(Restart::Always, done.clone()).is_good());
    let mut broken = done;
    broken.exit_code = 1;
    assert!(hopeless(&judge_once(Restart::No, broken)));
}

#[tokio::test]
async fn every_replica_counts() {
    let web = service(2, Restart::Always);
    let one = container(ContainerState::Running, Health::Healthy);
    let mut two = one.clone();
    two.id = "c2".to_owned();
    two.name = "opq-web-2".to_owned();
    let mut seen = seen(&[]);
    let now = Instant::now();
    assert_eq!(
        judge_at(&web, std::slice::from_ref(&one), &mut seen, now).reasons(),
        ["web: 1 of 2 containers exist"]
    );
    two.health = Health::Unhealthy;
    assert!(!judge_at(&web, &[one.clone(), two.clone()], &mut seen, now).is_good());
    two.health = Health::Healthy;
    assert!(judge_at(&web, &[one, two], &mut seen, now).is_good());
}

/// Healthy, started an hour ago, by a result of this age.
fn checked(age_millis: u64) -> Container {
    Container {
        started_at_millis: WALL - 60 * MINUTE,
        health_at_millis: WALL - age_millis,
        ..container(ContainerState::Running, Health::Healthy)
    }
}

#[tokio::test]
async fn a_result_from_before_the_start_proves_nothing() {
    let mut made = checked(61 * MINUTE);
    let (web, mut seen) = (service(1, Restart::Always), seen(&[]));
    let verdict = judge_at(&web, std::slice::from_ref(&made), &mut seen, Instant::now());
    assert_eq!(
        verdict.reasons(),
        ["opq-web-1 is healthy only by a result from before its start"]
    );
    made.health_at_millis = WALL;
    assert!(judge_at(&web, &[made], &mut seen, Instant::now()).is_good());
}

#[tokio::test]
async fn an_old_result_of_a_kept_container_waits_for_a_new_one() {
    let mut kept = checked(14 * MINUTE);
    let web = service(1, Restart::Always);
    let (mut seen, now) = (seen(std::slice::from_ref(&kept)), Instant::now());
    let verdict = judge_at(&web, std::slice::from_ref(&kept), &mut seen, now);
    assert_eq!(
        verdict.reasons(),
        [
            "opq-web-1 was healthy, but its last health result is 14 min old; the engine has stopped checking"
        ]
    );
    assert_eq!(verdict.look_again_at(), Some(now + NEXT_CHECK));
    // However wrong the clocks are, another result is a new one.
    kept.health_at_millis += 1;
    assert!(judge_at(&web, &[kept], &mut seen, now).is_good());
}

#[tokio::test]
async fn a_result_is_old_by_the_pace_of_its_own_check() {
    let web = service(1, Restart::Always);
    for (interval, good) in [(1, false), (30, true)] {
        let mut up = checked(MINUTE);
        up.check = Some(Healthcheck {
            interval: interval * SECOND,
            timeout: SECOND,
            ..Healthcheck::default()
        });
        let mut seen = seen(std::slice::from_ref(&up));
        let verdict = judge_at(&web, &[up], &mut seen, Instant::now());
        assert_eq!(verdict.is_good(), good, "{interval}");
    }
}

#[tokio::test]
async fn on_the_way_back_what_never_stopped_is_no_worse_than_it_was() {
    let kept = checked(14 * MINUTE);
    let before = std::slice::from_ref(&kept);
    let mut seen = Seen::new(before, Instant::now(), true);
    let web = service(1, Restart::Always);
    assert!(judge_at(&web, before, &mut seen, Instant::now()).is_good());
}

/// Two services, one container each.
struct Pair {
    services: [ResolvedService; 2],
    containers: [Container; 2],
    seen: Seen,
    start: Instant,
    deadline: Option<Duration>,
}

impl Pair {
    fn new(web: Duration, slow: Duration) -> Self {
        let of = |name: &str, patience| ResolvedService {
            name: name.parse().unwrap(),
            patience,
            has_check: true,
            ..service(1, Restart::Always)
        };
        let up = |name: &str| Container {
            id: name.to_owned(),
            name: format!("opq-{name}-1"),
            service: name.parse().unwrap(),
            started_at_millis: WALL,
            ..container(ContainerState::Running, Health::Starting)
        };
        let start = Instant::now();
        Self {
            services: [of("web", web), of("slow", slow)],
            containers: [up("web"), up("slow")],
            seen: Seen::new(&[], start, false),
            start,
            deadline: None,
        }
    }

    fn after(&mut self, time: Duration) -> Verdict {
        let expected = self.services.each_ref().map(|service| Expected {
            service,
            image_id: "sha256:new",
            probes: Vec::new(),
            deadline: self.deadline,
            one_shot: service.restart != Restart::Always,
        });
        judge(
            &expected,
            &self.containers,
            &mut self.seen,
            &Answers::new(),
            at(self.start + time),
        )
    }

    fn blamed_after(&mut self, time: Duration) -> Option<Vec<(String, Duration)>> {
        let blame = self.after(time).blame(self.start + time)?;
        let services = blame.services.into_iter();
        Some(
            services
                .map(|(name, time)| (name.to_string(), time))
                .collect(),
        )
    }
}

#[tokio::test]
async fn a_slow_service_gives_a_broken_one_no_more_time_than_its_own() {
    let mut pair = Pair::new(30 * SECOND, 600 * SECOND);
    pair.after(Duration::ZERO);
    assert_eq!(pair.blamed_after(29 * SECOND), None);
    let blamed = pair.blamed_after(30 * SECOND);
    assert_eq!(blamed, Some(vec![("web".to_owned(), 30 * SECOND)]));
}

#[tokio::test]
async fn what_waits_for_another_has_its_time_from_then_on() {
    let mut pair = Pair::new(30 * SECOND, 600 * SECOND);
    pair.after(Duration::ZERO);
    pair.services[0].depends_on.insert("slow".parse().unwrap());
    assert_eq!(pair.blamed_after(300 * SECOND), None);
    pair.containers[1].health = Health::Healthy;
    assert_eq!(pair.blamed_after(301 * SECOND), None);
    assert_eq!(pair.blamed_after(330 * SECOND), None);
    assert!(pair.blamed_after(331 * SECOND).is_some());
}

#[tokio::test]
async fn the_time_that_compose_took_counts_for_what_had_started_by_then() {
    let mut pair = Pair::new(30 * SECOND, 600 * SECOND);
    // Both started 25 s before the first look.
    for container in &mut pair.containers {
        container.started_at_millis = WALL - 25_000;
    }
    assert_eq!(pair.blamed_after(25 * SECOND), None);
    assert_eq!(pair.blamed_after(29 * SECOND), None);
    assert!(pair.blamed_after(30 * SECOND).is_some());
}

#[tokio::test]
async fn an_image_with_a_slow_check_of_its_own_has_its_time() {
    let mut pair = Pair::new(30 * SECOND, 30 * SECOND);
    for container in &mut pair.containers {
        container.check = Some(Healthcheck {
            start_period: 600 * SECOND,
            ..Healthcheck::default()
        });
    }
    pair.after(Duration::ZERO);
    assert_eq!(pair.blamed_after(600 * SECOND), None);
    assert!(pair.blamed_after(900 * SECOND).is_some());
}

#[tokio::test]
async fn the_operators_deadline_wins() {
    let mut pair = Pair::new(30 * SECOND, 600 * SECOND);
    pair.deadline = Some(60 * SECOND);
    pair.after(Duration::ZERO);
    assert_eq!(pair.blamed_after(59 * SECOND), None);
    assert_eq!(pair.blamed_after(60 * SECOND).map(|all| all.len()), Some(2));
}

fn tcp() -> Probe {
    let check = Check::Tcp { port: 5432 };
    Probe::new("web".parse().unwrap(), check, SECOND, SECOND).unwrap()
}

fn probed_with(probe: &Probe, containers: &[Container], answers: &Answers) -> Verdict {
    judge(
        &[Expected {
            service: &service(1, Restart::No),
            image_id: "sha256:new",
            probes: vec![(7, probe)],
            deadline: None,
            one_shot: true,
        }],
        containers,
        &mut seen(containers),
        answers,
        at(Instant::now()),
    )
}

fn answered(passed: bool, words: &str) -> Answer {
    Answer {
        passed,
        words: words.to_owned(),
        output: String::new(),
    }
}

fn reachable() -> Container {
    Container {
        addresses: vec![[172, 18, 0, 2].into()],
        ..container(ContainerState::Running, Health::Healthy)
    }
}

#[tokio::test]
async fn a_container_that_is_not_good_is_not_probed() {
    let mut starting = reachable();
    starting.health = Health::Starting;
    let verdict = probed_with(&tcp(), &[starting], &Answers::new());
    assert_eq!(verdict.reasons(), ["opq-web-1 is not healthy yet"]);
    assert!(verdict.questions.is_empty());
}

#[tokio::test]
async fn a_probe_is_asked_until_it_passed_once() {
    let (up, mut answers) = ([reachable()], Answers::new());
    let verdict = probed_with(&tcp(), &up, &answers);
    assert_eq!(
        verdict.reasons(),
        ["opq-web-1 runs, but tcp port 5432 has not answered yet"]
    );
    let question = verdict.questions[0].clone();
    assert_eq!((question.container.as_str(), question.probe), ("c1", 7));
    answers.insert(
        question.clone(),
        answered(false, "did not answer: no route"),
    );
    let verdict = probed_with(&tcp(), &up, &answers);
    assert_eq!(
        verdict.reasons(),
        ["opq-web-1 runs, but tcp port 5432 did not answer: no route"]
    );
    assert_eq!(verdict.questions, std::slice::from_ref(&question));
    answers.insert(question, answered(true, "is open"));
    let verdict = probed_with(&tcp(), &up, &answers);
    assert!(verdict.is_good() && verdict.questions.is_empty());
    assert!(verdict.settled.contains("c1"));
}

#[tokio::test]
async fn an_answer_holds_for_one_run_of_a_container() {
    let mut up = reachable();
    let asked = probed_with(&tcp(), std::slice::from_ref(&up), &Answers::new());
    let answers = [(asked.questions[0].clone(), answered(true, "is open"))].into();
    assert!(probed_with(&tcp(), std::slice::from_ref(&up), &answers).is_good());
    up.started_at_millis += 1;
    assert!(!probed_with(&tcp(), &[up], &answers).is_good());
}

#[tokio::test]
async fn what_cannot_be_asked_is_no_reason_to_wait() {
    let mut alone = reachable();
    alone.addresses.clear();
    let verdict = probed_with(&tcp(), std::slice::from_ref(&alone), &Answers::new());
    assert!(hopeless(&verdict));
    assert_eq!(
        verdict.reasons(),
        ["opq-web-1 has no network address, so tcp port 5432 cannot be asked; an exec probe can"]
    );
    let exec = Probe {
        check: Check::Exec {
            argv: vec!["true".to_owned()],
        },
        ..tcp()
    };
    assert!(!hopeless(&probed_with(&exec, &[alone], &Answers::new())));
    let done = container(ContainerState::Exited, Health::None);
    let verdict = probed_with(&exec, &[done], &Answers::new());
    assert_eq!(
        verdict.reasons(),
        ["opq-web-1 has ended, and exec true had not passed"]
    );
}

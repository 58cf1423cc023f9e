//! Judges by the engine's own words whether what runs is what was asked for, and healthy. Compose's word is not asked.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use proto::event::{EventKind, Outcome};
use proto::fault::{Fault, FaultKind};
use proto::id::{ProjectName, ServiceName};
use proto::plan::Plan;
use proto::probe::Probe;
use proto::stack::StackSpec;
use tokio::time::Instant;

use super::{Job, Stopped};
use crate::clock;
use crate::engine::{Container, EngineError, LogRange, Nudge};
use crate::resolved::{ResolvedService, ResolvedStack};
use crate::store::{ImagePin, Revision, Stage};

mod ask;
mod judge;
mod patience;
mod probing;

pub(super) use judge::CRASH_LOOP;
use judge::{Answers, Blame, Expected, Moment, Seen, Verdict, judge};
use patience::patiently;
use probing::Probing;

/// Last lines shown of a container that failed.
const LAST_LINES: u32 = 20;
/// Reading them may take this long.
const LOG_DEADLINE: Duration = Duration::from_secs(3);
/// Opening the engine's event stream may take this long.
const SUBSCRIBE_DEADLINE: Duration = Duration::from_secs(15);

/// What is judged: some services of a project, each with its image.
pub(super) struct Target<'a> {
    project: &'a ProjectName,
    expected: Vec<Expected<'a>>,
    probes: &'a [Probe],
    /// It is gone back to: containers that never stopped need to be no better than they were.
    as_it_was: bool,
}

impl<'a> Target<'a> {
    /// The services that a plan is about.
    pub(super) fn of_stage(
        stage: &'a Stage,
        plan: &Plan,
        images: &'a BTreeMap<String, ImagePin>,
        base: Option<&Revision>,
    ) -> Self {
        let services = stage.resolved.services.iter();
        let covered = services.filter(|service| plan.covers(&service.name));
        Self {
            project: &stage.spec.project,
            expected: expected(&stage.spec, &stage.resolved, covered, images, base),
            probes: &stage.spec.probes,
            as_it_was: false,
        }
    }

    /// All services of a revision. One tag may have stood for two images there, and the revision knows the newer:
    /// what an older one made is judged without its image.
    pub(super) fn of_revision(revision: &'a Revision) -> Self {
        let found = revision.found.as_ref();
        let services = revision.resolved.services.iter();
        let asked = services.filter(|one| found.is_none_or(|it| !it.unwell.contains(&one.name)));
        let mut expected = expected(
            &revision.spec,
            &revision.resolved,
            asked,
            &revision.images,
            Some(revision),
        );
        for one in &mut expected {
            let inexact = found.is_some_and(|it| it.inexact.contains(&one.service.name));
            if inexact || revision.older.contains_key(&one.service.name) {
                one.image_id = "";
            }
        }
        Self {
            project: &revision.spec.project,
            expected,
            probes: &revision.spec.probes,
            as_it_was: false,
        }
    }

    /// The same, on the way back.
    pub(super) fn as_it_was(revision: &'a Revision) -> Self {
        Self {
            as_it_was: true,
            ..Self::of_revision(revision)
        }
    }

    fn covers(&self, service: &ServiceName) -> bool {
        self.expected.iter().any(|one| one.service.name == *service)
    }
}

fn expected<'a>(
    spec: &'a StackSpec,
    stack: &ResolvedStack,
    services: impl Iterator<Item = &'a ResolvedService>,
    images: &'a BTreeMap<String, ImagePin>,
    before: Option<&Revision>,
) -> Vec<Expected<'a>> {
    services
        .map(|service| Expected {
            service,
            image_id: images.get(&service.image).map_or("", |pin| pin.id.as_str()),
            probes: {
                let probes = spec.probes.iter().enumerate();
                probes
                    .filter(|(_, it)| it.service == service.name)
                    .collect()
            },
            deadline: spec.deadlines.get(&service.name).copied(),
            one_shot: {
                let had_ended = before.and_then(|before| before.had_ended(&service.name));
                stack.is_one_shot(service, &spec.probes, had_ended)
            },
        })
        .collect()
}

/// Waits until every container of the target is good, one is beyond hope, or a service's time is up. Nothing of what
/// the deploy made is older than `changed`.
pub(super) async fn verify(
    job: &Job,
    target: &Target<'_>,
    before: &[Container],
    changed: Instant,
) -> Result<Vec<Container>, Stopped> {
    let mut seen = Seen::new(before, changed, target.as_it_was);
    let mut probing = Probing::new(job, target.probes);
    let mut shown = BTreeMap::new();
    loop {
        // Subscribed before looking, so that no change falls between the two.
        let mut nudges = patiently(job, || subscribe(job, target.project)).await?;
        loop {
            let mut containers = patiently(job, || job.engine.containers(target.project)).await?;
            // What the deploy leaves alone is neither judged nor shown.
            containers.retain(|container| target.covers(&container.service));
            let at = Moment {
                now: Instant::now(),
                wall_millis: clock::unix_millis(),
            };
            let verdict = judge(
                &target.expected,
                &containers,
                &mut seen,
                probing.answers(),
                at,
            );
            show(job, &containers, &verdict, &mut shown);
            if verdict.is_good() {
                return Ok(containers);
            }
            if let Some(blame) = verdict.blame(at.now) {
                return Err(failure(job, &blame, &containers, probing.answers()).await);
            }
            probing.ask(&verdict.questions, &containers);
            let wake = verdict
                .look_again_at()
                .unwrap_or(at.now + SUBSCRIBE_DEADLINE);
            tokio::select! {
                () = tokio::time::sleep_until(wake) => {}
                () = probing.answered() => {}
                nudge = nudges.next() => if nudge.is_none() { break },
            }
        }
        // The engine went away; give it a moment inside the same deadlines.
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

async fn subscribe(
    job: &Job,
    project: &ProjectName,
) -> Result<BoxStream<'static, Nudge>, EngineError> {
    let subscribe = job.engine.nudges(project);
    let late = |_| EngineError::TimedOut {
        what: "listening to the engine".to_owned(),
        after: SUBSCRIBE_DEADLINE,
    };
    let subscribed = tokio::time::timeout(SUBSCRIBE_DEADLINE, subscribe).await;
    subscribed.map_err(late)?
}

/// Tells what changed since it was last told.
fn show(
    job: &Job,
    containers: &[Container],
    verdict: &Verdict,
    shown: &mut BTreeMap<String, EventKind>,
) {
    for container in containers.iter().filter(|container| !container.one_off) {
        let event = EventKind::ServiceState {
            service: container.service.clone(),
            container: container.name.clone(),
            state: container.state,
            health: container.health,
            exit_code: container.exit_code,
            settled: verdict.settled.contains(&container.id),
        };
        if shown.get(&container.id) != Some(&event) {
            shown.insert(container.id.clone(), event.clone());
            job.journal.push(event);
        }
    }
}

async fn failure(job: &Job, blame: &Blame, containers: &[Container], answers: &Answers) -> Stopped {
    let (outcome, what) = if blame.hopeless {
        (
            Outcome::Failed,
            format!("{} did not start", names(&blame.services)),
        )
    } else {
        let what = format!(
            "{} did not become healthy within {}",
            names(&blame.services),
            times(&blame.services)
        );
        (Outcome::TimedOut, what)
    };
    let mut fault = Fault::new(FaultKind::Failed, what);
    fault.causes.clone_from(&blame.reasons);
    let failed = containers
        .iter()
        .filter(|container| blame.containers.contains(&container.id));
    for container in failed.take(3) {
        fault = fault.output(last_words(job, container).await);
        fault = fault.output(probe_output(container, answers));
    }
    Stopped::new(outcome, fault)
}

fn names(services: &[(ServiceName, Duration)]) -> String {
    let names: Vec<&str> = services.iter().map(|(name, _)| name.as_str()).collect();
    match names.as_slice() {
        [one] => format!("service {one}"),
        many => format!("services {}", many.join(", ")),
    }
}

fn times(services: &[(ServiceName, Duration)]) -> String {
    let mut times: Vec<u64> = services.iter().map(|(_, time)| time.as_secs()).collect();
    times.dedup();
    let times: Vec<String> = times.iter().map(|time| format!("{time} s")).collect();
    times.join(", ")
}

/// What the programs of a container's probes printed.
fn probe_output(container: &Container, answers: &Answers) -> Vec<String> {
    let mine = answers
        .iter()
        .filter(|(question, answer)| question.container == container.id && !answer.passed);
    mine.flat_map(|(_, answer)| answer.output.lines())
        .map(|line| format!("{} | probe: {line}", container.name))
        .collect()
}

/// A container's last lines and its last healthcheck's output.
async fn last_words(job: &Job, container: &Container) -> Vec<String> {
    let range = LogRange {
        tail: Some(LAST_LINES),
        ..LogRange::default()
    };
    let read = async {
        let mut stream = job.engine.logs(&container.id, range).await.ok()?;
        let mut lines = Vec::new();
        while let Some(Ok(line)) = stream.next().await {
            lines.push(format!(
                "{} | {}",
                container.name,
                String::from_utf8_lossy(&line.text)
            ));
        }
        Some(lines)
    };
    let mut lines = tokio::time::timeout(LOG_DEADLINE, read)
        .await
        .ok()
        .flatten()
        .unwrap_or_default();
    let health = container.health_output.trim();
    lines.extend(
        health
            .lines()
            .map(|line| format!("{} | healthcheck: {line}", container.name)),
    );
    lines
}

//! The verdict itself: pure, from what was expected, what is seen and how long it has been so.

use std::collections::BTreeSet;
use std::time::Duration;

use proto::event::{ContainerState, Health};
use proto::id::ServiceName;
use proto::limits::STABILITY_WINDOW;
use proto::probe::{Check, Probe};
use tokio::time::Instant;

use crate::engine::Container;
use crate::resolved::{ResolvedService, Restart};

mod answers;
mod seen;
mod verdict;

pub(super) use answers::{Answer, Answers, Question};
use seen::Sight;
pub(super) use seen::{Moment, Seen};
pub(super) use verdict::{Blame, Verdict};
use verdict::{Despair, Lacking, Reason};

/// A container that was started this often again since the deploy is in a crash loop. It has its time all the same: an
/// application may well exit until its database listens.
pub(in crate::deploy) const CRASH_LOOP: u64 = 3;
/// A program that cannot be run, or is not there, will not be there the next time either.
const NEVER_STARTS: [i64; 2] = [126, 127];
/// Without a healthcheck nothing tells when a container is ready; it has this long to prove that it stays up.
const WITHOUT_CHECK: Duration = Duration::from_secs(30);
/// The engine tells nobody that a check has ended as the one before it did.
const NEXT_CHECK: Duration = Duration::from_secs(1);

/// What one service should look like.
pub(super) struct Expected<'a> {
    pub(super) service: &'a ResolvedService,
    /// Empty: any.
    pub(super) image_id: &'a str,
    /// What its containers must answer, with the number of each probe.
    pub(super) probes: Vec<(usize, &'a Probe)>,
    /// How long it may take, where the operator says so.
    pub(super) deadline: Option<Duration>,
    /// Whether an exit with 0 is the end that it is meant to have.
    pub(super) one_shot: bool,
}

enum One {
    Good,
    Wait(String),
    WaitUntil(Instant, String),
    /// Not good, and started again and again.
    Loops(String),
    LoopsUntil(Instant, String),
    Bad(String),
}

/// Judges every expected service; every replica counts.
pub(super) fn judge(
    expected: &[Expected<'_>],
    containers: &[Container],
    seen: &mut Seen,
    answers: &Answers,
    at: Moment,
) -> Verdict {
    let mut verdict = Verdict::default();
    for expected in expected {
        let mine = |c: &&Container| c.service == expected.service.name && !c.one_off;
        let mine: Vec<&Container> = containers.iter().filter(mine).collect();
        let lacking = judge_service(&mut verdict, expected, &mine, seen, answers, at);
        verdict.lacking.extend(lacking);
    }
    time_out(&mut verdict, expected, containers, seen, at.now);
    verdict
}

fn judge_service(
    verdict: &mut Verdict,
    expected: &Expected<'_>,
    containers: &[&Container],
    seen: &mut Seen,
    answers: &Answers,
    at: Moment,
) -> Option<Lacking> {
    let name = &expected.service.name;
    let mut reasons = Vec::new();
    let wanted = expected.service.replicas as usize;
    if containers.len() < wanted {
        let count = containers.len();
        let text = format!("{name}: {count} of {wanted} containers exist");
        reasons.push(Reason::of_service(text));
    }
    for container in containers {
        let sight = seen.look(container, at);
        let one = match judge_one(expected, container, &sight, at) {
            One::Good => probed(verdict, expected, container, answers),
            other => other,
        };
        let (text, despair) = match one {
            One::Good => {
                verdict.settled.insert(container.id.clone());
                continue;
            }
            One::Wait(text) => (text, Despair::No),
            One::WaitUntil(until, text) => {
                verdict.look_at(until);
                (text, Despair::No)
            }
            One::Loops(text) => (text, Despair::InTheEnd),
            One::LoopsUntil(until, text) => {
                verdict.look_at(until);
                (text, Despair::InTheEnd)
            }
            One::Bad(text) => (text, Despair::Now),
        };
        reasons.push(Reason {
            text: format!("{} {text}", container.name),
            container: Some(container.id.clone()),
            despair,
        });
    }
    (!reasons.is_empty()).then(|| Lacking {
        service: name.clone(),
        patience: patience(expected, containers),
        reasons,
        due: None,
    })
}

/// A container that is otherwise good must answer every probe once.
fn probed(
    verdict: &mut Verdict,
    expected: &Expected<'_>,
    container: &Container,
    answers: &Answers,
) -> One {
    let mut waits = None;
    for (number, probe) in &expected.probes {
        let question = Question::of(container, *number);
        let answer = answers.get(&question);
        if answer.is_some_and(|answer| answer.passed) {
            continue;
        }
        let check = &probe.check;
        if container.state != ContainerState::Running {
            return One::Bad(format!("has ended, and {check} had not passed"));
        }
        if container.addresses.is_empty() && !matches!(check, Check::Exec { .. }) {
            return One::Bad(format!(
                "has no network address, so {check} cannot be asked; an exec probe can"
            ));
        }
        verdict.questions.push(question);
        let words = answer.map_or("has not answered yet", |answer| &answer.words);
        waits.get_or_insert_with(|| format!("runs, but {check} {words}"));
    }
    waits.map_or(One::Good, One::Wait)
}

/// What the engine checks by may come from the image, which Compose's files do not show.
fn patience(expected: &Expected<'_>, containers: &[&Container]) -> Duration {
    let checks = containers.iter().filter_map(|container| container.check);
    let asked = checks.map(|check| check.patience()).max();
    let by_files = containers.is_empty() || expected.service.has_check;
    let own = asked.unwrap_or(if by_files {
        expected.service.patience
    } else {
        WITHOUT_CHECK
    });
    expected.deadline.unwrap_or(own)
}

/// Each service has its own time, from the moment at which its containers and all that it depends on were there.
fn time_out(
    verdict: &mut Verdict,
    expected: &[Expected<'_>],
    containers: &[Container],
    seen: &mut Seen,
    now: Instant,
) {
    let lacking: BTreeSet<ServiceName> = verdict
        .lacking
        .iter()
        .map(|it| it.service.clone())
        .collect();
    for one in expected {
        let waits = one.service.depends_on.iter().any(|it| lacking.contains(it));
        seen.wait_for_others(&one.service.name, waits, now);
    }
    for one in &mut verdict.lacking {
        let mine = containers
            .iter()
            .filter(|c| c.service == one.service && !c.one_off);
        one.due = seen.start_of(&one.service, mine).map(|start| {
            // Whatever came before, a container may prove that it runs.
            (start + one.patience).max(seen.began() + STABILITY_WINDOW * 2)
        });
    }
    seen.looked();
}

fn judge_one(expected: &Expected<'_>, container: &Container, sight: &Sight, at: Moment) -> One {
    if !expected.image_id.is_empty() && container.image_id != expected.image_id {
        return One::Wait("still runs the old image".to_owned());
    }
    let restarts = sight.restarts(container);
    if restarts >= CRASH_LOOP {
        let code = container.exit_code;
        let text = format!("was restarted {restarts} times; its last exit code was {code}");
        if NEVER_STARTS.contains(&code) {
            return One::Bad(text);
        }
        return match judge_state(expected, container, sight, at) {
            One::Good => One::Good,
            One::WaitUntil(until, _) => One::LoopsUntil(until, text),
            _ => One::Loops(text),
        };
    }
    judge_state(expected, container, sight, at)
}

fn judge_state(expected: &Expected<'_>, container: &Container, sight: &Sight, at: Moment) -> One {
    match container.state {
        ContainerState::Running => running(container, sight, at),
        ContainerState::Exited => exited(container, expected),
        ContainerState::Restarting => One::Wait(format!(
            "is restarting; its last exit code was {}",
            container.exit_code
        )),
        ContainerState::Created => One::Wait("was created but has not started".to_owned()),
        ContainerState::Paused => One::Wait("is paused".to_owned()),
        ContainerState::Removing => One::Wait("is being removed".to_owned()),
        ContainerState::Dead => One::Bad("is dead: the engine could not remove it".to_owned()),
    }
}

fn running(container: &Container, sight: &Sight, at: Moment) -> One {
    match container.health {
        Health::Healthy => match stale(container, sight, at.wall_millis) {
            None => One::Good,
            Some(reason) => One::WaitUntil(at.now + NEXT_CHECK, reason),
        },
        Health::Starting => One::Wait("is not healthy yet".to_owned()),
        // Not the end: a container may be unhealthy once and recover inside the deadline.
        Health::Unhealthy => One::Wait("is unhealthy".to_owned()),
        Health::None if sight.kept() => One::Good,
        Health::None => {
            let proved = sight.steady_since(at.now) + STABILITY_WINDOW;
            if at.now >= proved {
                return One::Good;
            }
            One::WaitUntil(
                proved,
                "has not run long enough without a healthcheck".to_owned(),
            )
        }
    }
}

/// Why a word of health does not count: an engine that was restarted under its containers may have stopped checking
/// them, and still shows what it last saw.
fn stale(container: &Container, sight: &Sight, wall_millis: u64) -> Option<String> {
    let result = container.health_at_millis;
    // Whatever the clocks say, a result that came while we looked is new.
    if result == 0 || sight.was_checked_since(container) || sight.is_taken_as_it_was() {
        return None;
    }
    if !sight.kept() && result < container.started_at_millis {
        return Some("is healthy only by a result from before its start".to_owned());
    }
    let age = Duration::from_millis(wall_millis.saturating_sub(result));
    (age > container.check.unwrap_or_default().freshness()).then(|| {
        format!(
            "was healthy, but its last health result is {} old; the engine has stopped checking",
            words(age)
        )
    })
}

fn words(age: Duration) -> String {
    match age.as_secs() {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7200 => format!("{} min", seconds / 60),
        seconds => format!("{} h", seconds / 3600),
    }
}

fn exited(container: &Container, expected: &Expected<'_>) -> One {
    let code = container.exit_code;
    match expected.service.restart {
        _ if code == 0 && expected.one_shot => One::Good,
        Restart::No | Restart::OnFailure if code == 0 => One::Bad(
            "exited with code 0, and it is meant to run: nothing starts it again".to_owned(),
        ),
        Restart::No => One::Bad(format!("exited with code {code}")),
        // The engine will start it again, or an operator has stopped it; both show.
        _ => One::Wait(format!("exited with code {code}")),
    }
}

#[cfg(test)]
mod tests;

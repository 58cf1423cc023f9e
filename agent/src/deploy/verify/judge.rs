//! The verdict itself: pure, from what was expected, what is seen and how long it has been so.

use std::collections::{BTreeMap, BTreeSet};

use proto::event::{ContainerState, Health};
use proto::limits::STABILITY_WINDOW;
use tokio::time::Instant;

use crate::engine::Container;
use crate::resolved::{ResolvedService, Restart};

/// A container that was started this often again since the deploy will not become good by waiting.
const CRASH_LOOP: u64 = 3;

/// What one service should look like.
pub(super) struct Expected<'a> {
    pub(super) service: &'a ResolvedService,
    /// Empty: any.
    pub(super) image_id: &'a str,
}

/// What was seen of each container over time.
pub(super) struct Seen {
    containers: BTreeMap<String, Sight>,
}

struct Sight {
    /// Restarts when it was first seen.
    first_restarts: u64,
    /// Restarts and the moment since when it has run without another one.
    steady: Option<(u64, Instant)>,
    /// It ran before the deploy touched anything: nothing has to be proved again.
    kept: bool,
}

impl Seen {
    /// Starts from what ran before the deploy.
    pub(super) fn new(before: &[Container]) -> Self {
        let sight = |container: &Container| Sight {
            first_restarts: container.restarts,
            steady: None,
            kept: container.state == ContainerState::Running,
        };
        Self {
            containers: before.iter().map(|c| (c.id.clone(), sight(c))).collect(),
        }
    }

    fn look(&mut self, container: &Container, now: Instant) -> &Sight {
        let sight = self
            .containers
            .entry(container.id.clone())
            .or_insert(Sight {
                first_restarts: container.restarts,
                steady: None,
                kept: false,
            });
        sight.kept &= container.restarts == sight.first_restarts;
        sight.steady = match (container.state, sight.steady) {
            (ContainerState::Running, Some((restarts, since)))
                if restarts == container.restarts =>
            {
                Some((restarts, since))
            }
            (ContainerState::Running, _) => Some((container.restarts, now)),
            _ => None,
        };
        sight
    }
}

/// What to make of a stack.
#[derive(Debug, Default)]
pub(super) struct Verdict {
    /// Containers judged good.
    pub(super) settled: BTreeSet<String>,
    /// Containers that are not good, now that time is up or hope is gone.
    pub(super) failed: BTreeSet<String>,
    /// Services that are not good.
    pub(super) services: Vec<String>,
    /// Why not, a sentence each.
    pub(super) reasons: Vec<String>,
    /// When time alone could change the verdict.
    pub(super) look_again_at: Option<Instant>,
    /// Those that waiting will not mend.
    hopeless: Vec<Hopeless>,
}

#[derive(Debug)]
struct Hopeless {
    container: String,
    service: String,
    reason: String,
}

impl Verdict {
    pub(super) fn is_good(&self) -> bool {
        self.reasons.is_empty()
    }

    pub(super) fn is_hopeless(&self) -> bool {
        !self.hopeless.is_empty()
    }

    /// The others only wait, maybe for these: they are not to blame.
    fn blame_the_hopeless(&mut self) {
        let hopeless = || self.hopeless.iter();
        self.failed = hopeless().map(|one| one.container.clone()).collect();
        self.reasons = hopeless().map(|one| one.reason.clone()).collect();
        self.services = hopeless().map(|one| one.service.clone()).collect();
        self.services.dedup();
    }
}

enum One {
    Good,
    Wait(String),
    WaitUntil(Instant, String),
    Bad(String),
}

/// Judges every expected service; every replica counts.
pub(super) fn judge(
    expected: &[Expected<'_>],
    containers: &[Container],
    seen: &mut Seen,
    now: Instant,
) -> Verdict {
    let mut verdict = Verdict::default();
    for expected in expected {
        let name = &expected.service.name;
        let mine: Vec<&Container> = containers
            .iter()
            .filter(|c| c.service == *name && !c.one_off)
            .collect();
        let reasons_before = verdict.reasons.len();
        let wanted = expected.service.replicas as usize;
        if mine.len() < wanted {
            verdict.reasons.push(format!(
                "{name}: {} of {wanted} containers exist",
                mine.len()
            ));
        }
        for container in mine {
            judge_into(&mut verdict, expected, container, seen, now);
        }
        if verdict.reasons.len() > reasons_before {
            verdict.services.push(name.to_string());
        }
    }
    if verdict.is_hopeless() {
        verdict.blame_the_hopeless();
    }
    verdict
}

fn judge_into(
    verdict: &mut Verdict,
    expected: &Expected<'_>,
    container: &Container,
    seen: &mut Seen,
    now: Instant,
) {
    let reason = match judge_one(expected, container, seen.look(container, now), now) {
        One::Good => {
            verdict.settled.insert(container.id.clone());
            return;
        }
        One::Wait(reason) => reason,
        One::WaitUntil(at, reason) => {
            verdict.look_again_at = Some(verdict.look_again_at.map_or(at, |other| other.min(at)));
            reason
        }
        One::Bad(reason) => {
            verdict.hopeless.push(Hopeless {
                container: container.id.clone(),
                service: container.service.to_string(),
                reason: format!("{} {reason}", container.name),
            });
            reason
        }
    };
    verdict.failed.insert(container.id.clone());
    verdict.reasons.push(format!("{} {reason}", container.name));
}

fn judge_one(expected: &Expected<'_>, container: &Container, sight: &Sight, now: Instant) -> One {
    if !expected.image_id.is_empty() && container.image_id != expected.image_id {
        return One::Wait("still runs the old image".to_owned());
    }
    let restarts = container.restarts.saturating_sub(sight.first_restarts);
    if restarts >= CRASH_LOOP {
        let code = container.exit_code;
        return One::Bad(format!(
            "was restarted {restarts} times; its last exit code was {code}"
        ));
    }
    match container.state {
        ContainerState::Running => running(container, sight, now),
        ContainerState::Exited => exited(container, expected.service.restart),
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

fn running(container: &Container, sight: &Sight, now: Instant) -> One {
    match container.health {
        Health::Healthy => One::Good,
        Health::Starting => One::Wait("is not healthy yet".to_owned()),
        // Not the end: a container may be unhealthy once and recover inside the deadline.
        Health::Unhealthy => One::Wait("is unhealthy".to_owned()),
        Health::None if sight.kept => One::Good,
        Health::None => {
            let since = sight.steady.map_or(now, |(_, since)| since);
            let proved = since + STABILITY_WINDOW;
            if now >= proved {
                return One::Good;
            }
            One::WaitUntil(
                proved,
                "has not run long enough without a healthcheck".to_owned(),
            )
        }
    }
}

fn exited(container: &Container, restart: Restart) -> One {
    let code = container.exit_code;
    match restart {
        Restart::No | Restart::OnFailure if code == 0 => One::Good,
        Restart::No => One::Bad(format!("exited with code {code}")),
        // The engine will start it again, or an operator has stopped it; both show.
        _ => One::Wait(format!("exited with code {code}")),
    }
}

#[cfg(test)]
mod tests;

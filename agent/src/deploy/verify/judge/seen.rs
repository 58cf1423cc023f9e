//! What was seen of each container over time, and since when each service could have become good.

use std::collections::BTreeMap;
use std::time::Duration;

use proto::event::ContainerState;
use proto::id::ServiceName;
use tokio::time::Instant;

use crate::engine::Container;

/// One look at the host.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    pub(crate) now: Instant,
    /// The host's wall clock, unix milliseconds: the engine's stamps are read against it.
    pub(crate) wall_millis: u64,
}

/// What was seen of each container over time.
pub(crate) struct Seen {
    containers: BTreeMap<String, Sight>,
    /// Services whose dependencies are all good, with the moment of the look that found them so.
    ready: BTreeMap<ServiceName, Instant>,
    /// When the host was first changed; what the deploy made is no older.
    changed: Instant,
    /// When judging began.
    began: Instant,
    first_look: bool,
    /// Kept containers need to be no better than they were: the way back.
    as_it_was: bool,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Sight {
    /// Restarts when it was first seen.
    first_restarts: u64,
    /// Its newest health result when it was first seen.
    first_result: u64,
    /// Its last start when it was first seen, unix milliseconds.
    first_start: u64,
    /// Restarts and the moment since when it has run without another one.
    steady: Option<(u64, Instant)>,
    /// When it first started; `None` before it has.
    started: Option<Instant>,
    /// It ran before the deploy touched anything: nothing has to be proved again.
    kept: bool,
    as_it_was: bool,
}

impl Sight {
    pub(super) fn kept(&self) -> bool {
        self.kept
    }

    pub(super) fn restarts(&self, container: &Container) -> u64 {
        container.restarts.saturating_sub(self.first_restarts)
    }

    pub(super) fn steady_since(&self, now: Instant) -> Instant {
        self.steady.map_or(now, |(_, since)| since)
    }

    pub(super) fn was_checked_since(&self, container: &Container) -> bool {
        container.health_at_millis != self.first_result
    }

    pub(super) fn is_taken_as_it_was(&self) -> bool {
        self.kept && self.as_it_was
    }

    fn new(container: &Container, kept: bool, as_it_was: bool) -> Self {
        Self {
            first_restarts: container.restarts,
            first_result: container.health_at_millis,
            first_start: container.started_at_millis,
            steady: None,
            started: None,
            kept,
            as_it_was,
        }
    }
}

impl Seen {
    /// Starts from what ran before the deploy, which first changed something at `changed`.
    pub(crate) fn new(before: &[Container], changed: Instant, as_it_was: bool) -> Self {
        let sight = |container: &Container| {
            let kept = container.state == ContainerState::Running;
            Sight::new(container, kept, as_it_was)
        };
        Self {
            containers: before.iter().map(|c| (c.id.clone(), sight(c))).collect(),
            ready: BTreeMap::new(),
            changed,
            began: Instant::now(),
            first_look: true,
            as_it_was,
        }
    }

    pub(super) fn began(&self) -> Instant {
        self.began
    }

    pub(super) fn look(&mut self, container: &Container, at: Moment) -> Sight {
        let fresh = Sight::new(container, false, self.as_it_was);
        let (began, changed) = (self.began, self.changed);
        let sight = self.containers.entry(container.id.clone()).or_insert(fresh);
        sight.kept &= container.restarts == sight.first_restarts
            && container.started_at_millis == sight.first_start;
        sight.steady = match (container.state, sight.steady) {
            (ContainerState::Running, Some((restarts, since)))
                if restarts == container.restarts =>
            {
                Some((restarts, since))
            }
            (ContainerState::Running, _) => Some((container.restarts, at.now)),
            _ => None,
        };
        if sight.started.is_none() && container.started_at_millis > 0 {
            let age = at.wall_millis.saturating_sub(container.started_at_millis);
            // A wall clock that jumps cannot make it older than the deploy.
            let latest = at.now
                - at.now
                    .duration_since(changed)
                    .min(Duration::from_millis(age));
            sight.started = Some(if sight.kept { began } else { latest });
        }
        *sight
    }

    /// Notes whether a service still waits for others.
    pub(super) fn wait_for_others(&mut self, service: &ServiceName, waits: bool, now: Instant) {
        if waits {
            self.ready.remove(service);
        } else {
            // What was good at the first look was so already when the containers started.
            let since = if self.first_look { self.changed } else { now };
            self.ready.entry(service.clone()).or_insert(since);
        }
    }

    /// When a service's time began; `None` while it waits for others.
    pub(super) fn start_of<'a>(
        &self,
        service: &ServiceName,
        containers: impl Iterator<Item = &'a Container>,
    ) -> Option<Instant> {
        let ready = *self.ready.get(service)?;
        let sights = containers.map(|it| self.containers.get(&it.id).and_then(|it| it.started));
        // What has not started should have by the time judging began.
        let started = sights.map(|it| it.unwrap_or(self.began)).max();
        Some(started.unwrap_or(self.began).max(ready))
    }

    pub(super) fn looked(&mut self) {
        self.first_look = false;
    }
}

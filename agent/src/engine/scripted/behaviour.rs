//! How a scripted container lives: what it looks like, and when that changes.

use std::time::Duration;

use proto::event::{ContainerState, Health};

/// What the engine shows of a container at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Look {
    /// Its state.
    pub state: ContainerState,
    /// What its healthcheck says.
    pub health: Health,
    /// What the healthcheck printed.
    pub output: String,
    /// Meaningful when exited.
    pub exit_code: i64,
    /// How often it was started again.
    pub restarts: u64,
    /// How long ago the newest healthcheck ended, whenever one looks.
    pub checked: Duration,
}

impl Look {
    /// Up, with this health.
    #[must_use]
    pub fn running(health: Health) -> Self {
        Self {
            state: ContainerState::Running,
            health,
            output: String::new(),
            exit_code: 0,
            restarts: 0,
            checked: Duration::ZERO,
        }
    }

    fn exited(exit_code: i64) -> Self {
        Self {
            state: ContainerState::Exited,
            exit_code,
            ..Self::running(Health::None)
        }
    }
}

/// A life from its start: each look holds until the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Behaviour(Vec<(Duration, Look)>);

impl Default for Behaviour {
    fn default() -> Self {
        Self::runs()
    }
}

impl Behaviour {
    /// Any life: looks and how long after the start they begin, in order, the first at zero.
    #[must_use]
    pub fn timeline(looks: Vec<(Duration, Look)>) -> Self {
        Self(looks)
    }

    /// Runs for ever, without a healthcheck.
    #[must_use]
    pub fn runs() -> Self {
        Self(vec![(Duration::ZERO, Look::running(Health::None))])
    }

    /// Made and never started.
    pub(super) fn created() -> Self {
        let look = Look {
            state: ContainerState::Created,
            ..Look::running(Health::None)
        };
        Self(vec![(Duration::ZERO, look)])
    }

    /// Becomes healthy.
    #[must_use]
    pub fn healthy_after(time: Duration) -> Self {
        Self(vec![
            (Duration::ZERO, Look::running(Health::Starting)),
            (time, Look::running(Health::Healthy)),
        ])
    }

    /// Becomes unhealthy, and says why.
    #[must_use]
    pub fn unhealthy_after(time: Duration, output: &str) -> Self {
        let look = Look {
            output: output.to_owned(),
            ..Look::running(Health::Unhealthy)
        };
        Self(vec![
            (Duration::ZERO, Look::running(Health::Starting)),
            (time, look),
        ])
    }

    /// Is healthy by its last healthcheck, which ended this long ago, whenever one looks.
    #[must_use]
    pub fn healthy_by_an_old_check(age: Duration) -> Self {
        let look = Look {
            checked: age,
            ..Look::running(Health::Healthy)
        };
        Self(vec![(Duration::ZERO, look)])
    }

    /// Ends by itself.
    #[must_use]
    pub fn exits_after(time: Duration, code: i64) -> Self {
        Self(vec![
            (Duration::ZERO, Look::running(Health::None)),
            (time, Look::exited(code)),
        ])
    }

    /// Ends and is started again, a hundred times.
    #[must_use]
    pub fn crashes_every(time: Duration) -> Self {
        let mut looks = Vec::new();
        for restarts in 0..100 {
            let look = Look {
                restarts,
                exit_code: if restarts == 0 { 0 } else { 1 },
                ..Look::running(Health::None)
            };
            let at = u32::try_from(restarts).unwrap_or(u32::MAX);
            looks.push((time * at, look));
        }
        Self(looks)
    }

    /// Is between two starts, each time one looks.
    #[must_use]
    pub fn restarting() -> Self {
        let look = Look {
            state: ContainerState::Restarting,
            restarts: 1,
            exit_code: 137,
            ..Look::running(Health::None)
        };
        Self(vec![(Duration::ZERO, look)])
    }

    /// The look at an age.
    pub(super) fn look(&self, age: Duration) -> Look {
        let past = self.0.iter().take_while(|(from, _)| *from <= age);
        past.last()
            .map_or_else(|| Look::running(Health::None), |(_, look)| look.clone())
    }

    /// The age at which the look changes next.
    pub(super) fn next_change(&self, age: Duration) -> Option<Duration> {
        self.0
            .iter()
            .map(|(from, _)| *from)
            .find(|from| *from > age)
    }
}

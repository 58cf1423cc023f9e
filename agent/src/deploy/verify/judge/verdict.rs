//! What to make of a stack, and, when it is over, who is to blame.

use std::collections::BTreeSet;
use std::time::Duration;

use proto::id::ServiceName;
use tokio::time::Instant;

use super::Question;

/// What to make of a stack.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    /// Containers judged good.
    pub(crate) settled: BTreeSet<String>,
    /// Services that are not.
    pub(super) lacking: Vec<Lacking>,
    /// What containers that are otherwise good have still to answer.
    pub(crate) questions: Vec<Question>,
    /// When time alone could make a container good.
    look_again_at: Option<Instant>,
}

/// A service that is not good.
#[derive(Debug)]
pub(super) struct Lacking {
    pub(super) service: ServiceName,
    /// How long it may take.
    pub(super) patience: Duration,
    pub(super) reasons: Vec<Reason>,
    /// When its time is up; `None` while it waits for services that it depends on.
    pub(super) due: Option<Instant>,
}

/// Why a service is not good.
#[derive(Debug)]
pub(super) struct Reason {
    /// A sentence.
    pub(super) text: String,
    /// The container that it is about.
    pub(super) container: Option<String>,
    /// Whether waiting can mend it.
    pub(super) despair: Despair,
}

/// When there is no hope for a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Despair {
    /// Never: it may become good as long as there is time.
    No,
    /// Once its time is up: then it has not started, rather than not become healthy.
    InTheEnd,
    /// At once.
    Now,
}

impl Reason {
    pub(super) fn of_service(text: String) -> Self {
        Self {
            text,
            container: None,
            despair: Despair::No,
        }
    }
}

/// The end of a stack that is not good.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Blame {
    /// Waiting would not have mended it; otherwise time is up.
    pub(crate) hopeless: bool,
    /// Who is to blame, and how long they had.
    pub(crate) services: Vec<(ServiceName, Duration)>,
    /// Why, a sentence each.
    pub(crate) reasons: Vec<String>,
    /// Containers that have something to say about it.
    pub(crate) containers: BTreeSet<String>,
}

impl Verdict {
    pub(crate) fn is_good(&self) -> bool {
        self.lacking.is_empty()
    }

    /// When to look again, if nothing happens before.
    pub(crate) fn look_again_at(&self) -> Option<Instant> {
        let dues = self.lacking.iter().filter_map(|one| one.due);
        dues.chain(self.look_again_at).min()
    }

    pub(super) fn look_at(&mut self, at: Instant) {
        self.look_again_at = Some(self.look_again_at.map_or(at, |other| other.min(at)));
    }

    /// Whom to blame once it is over. The others only wait, maybe for these.
    pub(crate) fn blame(&self, now: Instant) -> Option<Blame> {
        let reasons = || self.lacking.iter().flat_map(|one| &one.reasons);
        let at_once = reasons().any(|reason| reason.despair == Despair::Now);
        let to_blame = |one: &Lacking, reason: &Reason| match at_once {
            true => reason.despair == Despair::Now,
            false => one.due.is_some_and(|due| now >= due),
        };
        let mut blame = Blame {
            hopeless: at_once,
            services: Vec::new(),
            reasons: Vec::new(),
            containers: BTreeSet::new(),
        };
        for one in &self.lacking {
            let mine = one.reasons.iter().filter(|reason| to_blame(one, reason));
            let mut any = false;
            for reason in mine {
                any = true;
                blame.hopeless |= reason.despair == Despair::InTheEnd;
                blame.reasons.push(reason.text.clone());
                blame.containers.extend(reason.container.clone());
            }
            if any {
                blame.services.push((one.service.clone(), one.patience));
            }
        }
        (!blame.services.is_empty()).then_some(blame)
    }

    /// Everything that is not good yet, a sentence each.
    #[cfg(test)]
    pub(super) fn reasons(&self) -> Vec<&str> {
        let reasons = self.lacking.iter().flat_map(|one| &one.reasons);
        reasons.map(|reason| reason.text.as_str()).collect()
    }
}

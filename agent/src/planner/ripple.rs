//! What is recreated or restarted beside what has changed: services that join a namespace of another one, and
//! dependents, in the way in which the host's Compose treats them.
//!
//! Compose before 2.30 recreates whatever depends on what it recreates, within one run; since then it restarts only
//! the services that say `restart: true`. What longshore itself makes Compose recreate comes in a first run, which
//! knows those services and what they depend on; a second run brings the rest.

use std::collections::{BTreeMap, BTreeSet};

use proto::id::ServiceName;
use proto::plan::{Action, ServicePlan};

use super::{Inputs, downtime, of_service, state_word};
use crate::resolved::{Condition, ResolvedService};

/// From here on Compose leaves dependents alone.
const LEAVES_DEPENDENTS: (u32, u32) = (2, 30);

/// The services of a plan as they are being worked out.
pub(super) struct Services<'a> {
    inputs: &'a Inputs<'a>,
    /// In the stack's order.
    pub(super) plans: Vec<ServicePlan>,
    /// Those that Compose would not recreate by itself.
    pub(super) forced: BTreeSet<ServiceName>,
}

impl<'a> Services<'a> {
    pub(super) fn new(
        inputs: &'a Inputs<'a>,
        plans: Vec<ServicePlan>,
        forced: BTreeSet<ServiceName>,
    ) -> Self {
        Self {
            inputs,
            plans,
            forced,
        }
    }

    /// Adds what follows from what has changed, until nothing more does.
    pub(super) fn spread(&mut self) {
        loop {
            let joined = self.follow_joined();
            let depended = if self.compose_recreates_dependents() {
                self.follow_recreated()
            } else {
                self.follow_restarts()
            };
            if !joined && !depended {
                return;
            }
        }
    }

    fn compose_recreates_dependents(&self) -> bool {
        let version = proto::compose::numbers(&self.inputs.stage.compose_version);
        version.is_some_and(|version| version < LEAVES_DEPENDENTS)
    }

    fn resolved(&self) -> impl Iterator<Item = &'a ResolvedService> + use<'a> {
        self.inputs.stage.resolved.services.iter()
    }

    fn action(&self, name: &ServiceName) -> Option<Action> {
        let plan = self.plans.iter().find(|plan| plan.service == *name)?;
        Some(plan.action)
    }

    /// Services that a plan leaves as they are, so far.
    fn unmoved(&self, service: &ResolvedService) -> bool {
        let action = self.action(&service.name);
        self.inputs.covers(&service.name)
            && service.replicas > 0
            && matches!(action, Some(Action::Keep | Action::Start))
    }

    fn recreate(&mut self, name: &ServiceName, reason: String, forced: bool) {
        let inputs = self.inputs;
        let service = inputs.stage.resolved.service(name);
        if let Some(plan) = self.plans.iter_mut().find(|plan| plan.service == *name) {
            let containers: Vec<_> = of_service(inputs.containers, name).collect();
            plan.action = Action::Recreate;
            plan.reasons.push(reason);
            plan.downtime = service.and_then(|service| downtime(inputs, service, &containers));
        }
        if forced {
            self.forced.insert(name.clone());
        }
    }

    /// A service that is failing holds up whoever waits for it: Compose gives up on it at once, after it has replaced
    /// the others. Where something is to be started that waits for its health, it is recreated first.
    pub(super) fn replace_failing(&mut self) {
        let mut found = Vec::new();
        for service in self.resolved().filter(|service| self.unmoved(service)) {
            let mut mine = of_service(self.inputs.containers, &service.name);
            let Some(failing) = mine.find(|container| container.is_failing()) else {
                continue;
            };
            let waiting = self.resolved().find(|other| {
                let entry = other.dependencies.get(&service.name);
                let moved = self.action(&other.name);
                entry.is_some_and(|entry| entry.condition == Condition::Healthy)
                    && !matches!(moved, None | Some(Action::Keep | Action::Remove))
            });
            if let Some(other) = waiting {
                let (name, word) = (&failing.name, state_word(failing));
                let reason = format!("{name} is {word}, and {} waits for its health", other.name);
                found.push((service.name.clone(), reason, true));
            }
        }
        self.take(found);
    }

    /// Whoever joins a namespace of what gets another container, or another start, is left in a dead one.
    fn follow_joined(&mut self) -> bool {
        let mut found = Vec::new();
        for service in self.resolved().filter(|service| self.unmoved(service)) {
            let moved = service.joins.iter().find_map(|other| {
                let (word, forced) = match self.action(other)? {
                    Action::Create => ("created", false),
                    // A new start gives it new namespaces and no new id, so Compose sees nothing.
                    Action::Start => ("started", true),
                    Action::Recreate => ("recreated", self.forced.contains(other)),
                    Action::Keep | Action::Remove => return None,
                };
                Some((other, word, forced))
            });
            if let Some((other, word, forced)) = moved {
                let reason = format!("it shares what is {other}'s, which is {word}");
                found.push((service.name.clone(), reason, forced));
            }
        }
        self.take(found)
    }

    /// The dependents that a Compose before 2.30 recreates in the same run.
    fn follow_recreated(&mut self) -> bool {
        let first = self.first_run();
        let mut found = Vec::new();
        for service in self.resolved().filter(|service| self.unmoved(service)) {
            let in_first = first.contains(&service.name);
            let cause = service.depends_on.iter().find(|other| {
                self.action(other) == Some(Action::Recreate)
                    // In the first run both have to be known; what it has recreated is no news to the second.
                    && first.contains(*other) == in_first
            });
            if let Some(other) = cause {
                let version = &self.inputs.stage.compose_version;
                let reason = format!(
                    "it depends on {other}, which is recreated, and Compose {version} recreates both"
                );
                found.push((service.name.clone(), reason, false));
            }
        }
        self.take(found)
    }

    /// Everything that the first run of Compose knows.
    fn first_run(&self) -> BTreeSet<ServiceName> {
        let all: BTreeMap<_, _> = self.resolved().map(|it| (&it.name, it)).collect();
        let mut known: BTreeSet<ServiceName> = BTreeSet::new();
        let mut open: Vec<&ServiceName> = self.forced.iter().collect();
        while let Some(name) = open.pop() {
            if let Some(service) = all.get(name)
                && known.insert(name.clone())
            {
                open.extend(&service.depends_on);
            }
        }
        known
    }

    /// Services that ask for it are restarted with what they depend on. Newer Compose does it, within one run.
    fn follow_restarts(&mut self) -> bool {
        let several_runs = !self.forced.is_empty();
        let mut found = Vec::new();
        let mut restarted = Vec::new();
        for service in self.resolved().filter(|service| self.unmoved(service)) {
            let cause = service.depends_on.iter().find(|other| {
                let entry = service.dependencies.get(*other);
                entry.is_some_and(|entry| entry.restart)
                    && self.action(other) == Some(Action::Recreate)
            });
            let Some(other) = cause else { continue };
            let name = service.name.clone();
            if several_runs {
                let reason =
                    format!("it is to be restarted with {other}, which is recreated before it");
                found.push((name, reason, true));
            } else if self.action(&name) == Some(Action::Keep) {
                restarted.push((name, format!("it is restarted with {other}")));
            }
        }
        let any = !restarted.is_empty();
        for (name, reason) in restarted {
            if let Some(plan) = self.plans.iter_mut().find(|plan| plan.service == name) {
                plan.action = Action::Start;
                plan.reasons.push(reason);
            }
        }
        self.take(found) || any
    }

    fn take(&mut self, found: Vec<(ServiceName, String, bool)>) -> bool {
        let any = !found.is_empty();
        for (name, reason, forced) in found {
            self.recreate(&name, reason, forced);
        }
        any
    }
}

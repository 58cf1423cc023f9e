//! Whether a container that has ended with 0 has done its work, or has stopped serving: one question, one answer.

use proto::probe::Probe;

use super::{Condition, ResolvedService, ResolvedStack, Restart};

/// What the files say of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meant {
    /// To end.
    ToEnd,
    /// To run.
    ToRun,
    /// They do not say.
    Either,
}

impl ResolvedStack {
    /// Whether an exit with 0 is the end that a service is meant to have. Where the files do not say, it is what its
    /// containers had done when the committed revision was judged: `had_ended`. `None` where there were none, or an
    /// agent did not note it, and then an exit with 0 is good.
    #[must_use]
    pub fn is_one_shot(
        &self,
        service: &ResolvedService,
        probes: &[Probe],
        had_ended: Option<bool>,
    ) -> bool {
        match self.meant(service, probes) {
            Meant::ToEnd => true,
            Meant::ToRun => false,
            Meant::Either => had_ended.unwrap_or(true),
        }
    }

    fn meant(&self, service: &ResolvedService, probes: &[Probe]) -> Meant {
        let waited_for = |condition: Condition| {
            let mut others = self.services.iter();
            others.any(|other| {
                let entry = other.dependencies.get(&service.name);
                entry.is_some_and(|entry| entry.condition == condition)
            })
        };
        if waited_for(Condition::Completed) {
            return Meant::ToEnd;
        }
        let serves = service.restart == Restart::Always
            || service.has_check
            || !service.ports.is_empty()
            || !service.port_ranges.is_empty()
            || probes.iter().any(|probe| probe.service == service.name)
            || waited_for(Condition::Healthy);
        if serves { Meant::ToRun } else { Meant::Either }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;
    use crate::resolved::{Dependency, Outside};
    use crate::testing::service;

    fn stack(job: ResolvedService, condition: Option<Condition>) -> ResolvedStack {
        let mut app = service("app");
        if let Some(condition) = condition {
            let entry = Dependency {
                condition,
                ..Dependency::default()
            };
            app.dependencies = [(job.name.clone(), entry)].into();
        }
        ResolvedStack {
            services: vec![app, job],
            definitions: BTreeMap::new(),
            outside: Outside::default(),
            inactive: BTreeSet::new(),
        }
    }

    fn job() -> ResolvedService {
        ResolvedService {
            restart: Restart::No,
            ..service("job")
        }
    }

    fn ends(stack: &ResolvedStack, had_ended: Option<bool>) -> bool {
        stack.is_one_shot(&stack.services[1], &[], had_ended)
    }

    #[test]
    fn the_files_say_what_is_meant_to_end_and_what_is_meant_to_run() {
        let always = ResolvedService {
            restart: Restart::Always,
            ..job()
        };
        let checked = ResolvedService {
            has_check: true,
            ..job()
        };
        for (job, condition, one_shot) in [
            (job(), Some(Condition::Completed), true),
            (always.clone(), Some(Condition::Completed), true),
            (always, None, false),
            (checked, None, false),
            (job(), Some(Condition::Healthy), false),
        ] {
            let stack = stack(job, condition);
            for ended in [None, Some(true), Some(false)] {
                assert_eq!(ends(&stack, ended), one_shot, "{stack:?}");
            }
        }
    }

    #[test]
    fn where_the_files_do_not_say_it_is_what_it_did_before() {
        let stack = stack(job(), Some(Condition::Started));
        assert!(ends(&stack, None));
        assert!(ends(&stack, Some(true)));
        assert!(!ends(&stack, Some(false)));
    }
}

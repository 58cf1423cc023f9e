//! How long services took to stop and to start in a deploy, read from its own journal.

use std::collections::BTreeMap;

use proto::event::{ContainerState, Event, EventKind, Health};
use proto::id::ServiceName;

use crate::engine::Container;
use crate::store::Took;

/// What took longer was no start, but a clock that was set.
const LONGEST_MILLIS: u64 = 60 * 60 * 1000;

/// What was measured of the services that this deploy started. Without a healthcheck nothing tells when a service is
/// ready, so nothing is said of it.
pub(super) fn measured(events: &[Event], containers: &[Container]) -> BTreeMap<ServiceName, Took> {
    let Some(begin) = events.first().map(|event| event.at_millis) else {
        return BTreeMap::new();
    };
    let mut took: BTreeMap<ServiceName, Took> = BTreeMap::new();
    let started = containers
        .iter()
        .filter(|one| !one.one_off && one.started_at_millis >= begin);
    for container in started {
        let Some(start) = settled_at(events, container)
            .and_then(|at| at.checked_sub(container.started_at_millis))
            .filter(|start| *start <= LONGEST_MILLIS)
        else {
            continue;
        };
        let stop = replaced_at(events, container)
            .and_then(|at| container.started_at_millis.checked_sub(at));
        let known = took.entry(container.service.clone()).or_default();
        known.start_millis = known.start_millis.max(start);
        known.stop_millis = known.stop_millis.max(stop);
    }
    took
}

fn settled_at(events: &[Event], container: &Container) -> Option<u64> {
    let found = events.iter().rfind(|event| {
        matches!(&event.kind, EventKind::ServiceState {
            container: name,
            state: ContainerState::Running,
            health: Health::Healthy,
            settled: true,
            ..
        } if *name == container.name)
    });
    found.map(|event| event.at_millis)
}

/// When Compose said that it began to replace the container of that name.
fn replaced_at(events: &[Event], container: &Container) -> Option<u64> {
    let found = events.iter().rfind(|event| match &event.kind {
        EventKind::ComposeLine { text } => {
            let words: Vec<&str> = text.split_whitespace().collect();
            words == ["Container", container.name.as_str(), "Recreate"]
        }
        _ => false,
    });
    found.map(|event| event.at_millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn container(started_at_millis: u64) -> Container {
        Container {
            name: "opq-web-1".to_owned(),
            started_at_millis,
            ..crate::testing::container("web")
        }
    }

    fn events(health: Health, settled: bool) -> Vec<Event> {
        let kinds = [
            (
                1000,
                EventKind::Warning {
                    text: String::new(),
                },
            ),
            (
                2000,
                EventKind::ComposeLine {
                    text: " Container opq-web-1  Recreate".to_owned(),
                },
            ),
            (
                9000,
                EventKind::ServiceState {
                    service: "web".parse().unwrap(),
                    container: "opq-web-1".to_owned(),
                    state: ContainerState::Running,
                    health,
                    exit_code: 0,
                    settled,
                },
            ),
        ];
        let event = |(seq, (at_millis, kind))| Event {
            seq,
            at_millis,
            kind,
        };
        (1..).zip(kinds).map(event).collect()
    }

    fn of(events: &[Event], started: u64) -> Option<Took> {
        let took = measured(events, &[container(started)]);
        took.into_values().next()
    }

    #[test]
    fn a_replaced_service_took_its_stop_and_its_start() {
        let took = of(&events(Health::Healthy, true), 5000);
        let wanted = Took {
            start_millis: 4000,
            stop_millis: Some(3000),
        };
        assert_eq!(took, Some(wanted));
    }

    #[test]
    fn a_new_service_has_no_stop() {
        let mut events = events(Health::Healthy, true);
        events.remove(1);
        let took = of(&events, 5000).unwrap();
        assert_eq!((took.start_millis, took.stop_millis), (4000, None));
    }

    #[test]
    fn what_did_not_start_here_or_never_says_that_it_is_ready_is_not_measured() {
        assert_eq!(of(&events(Health::Healthy, true), 500), None);
        assert_eq!(of(&events(Health::None, true), 5000), None);
        assert_eq!(of(&events(Health::Healthy, false), 5000), None);
        assert_eq!(of(&[], 5000), None);
    }
}

//! Takes a stack down: what its files name, and what earlier revisions of it have left.

use std::collections::BTreeSet;

use proto::event::{EventKind, Outcome, State};
use proto::id::{ProjectName, ServiceName, StackName};

use super::work::no_such;
use super::{COMPOSE_DEADLINE, Job, Stopped, point};
use crate::stage::compose_project;

impl Job {
    /// Removes the stack's containers and networks, and with `volumes` its named volumes. `None` when the agent ends
    /// first.
    pub(super) async fn down(
        &self,
        stack: &StackName,
        volumes: bool,
    ) -> Result<Option<EventKind>, Stopped> {
        self.enter(State::Applying);
        if let Err(stopped) = self.take_down(stack, volumes).await {
            if self.is_ended_with(&stopped).await {
                return Ok(None);
            }
            let gone_in_part = "a part of the stack may be gone: what is missing says controller doctor, then take it down again, or deploy";
            return Err(Stopped {
                fault: stopped.fault.hint(gone_in_part),
                ..stopped
            });
        }
        self.enter(State::Removed);
        Ok(Some(EventKind::Finished {
            outcome: Outcome::Succeeded,
            state: State::Removed,
            revision: None,
            fault: None,
        }))
    }

    async fn take_down(&self, stack: &StackName, volumes: bool) -> Result<(), Stopped> {
        let applied = self.store.applied(stack)?;
        let applied = applied.ok_or_else(|| point::unknown(no_such("record of the stack")))?;
        let project = compose_project(&applied.spec, &self.store.directory_of(&applied.spec));
        // Before Compose, which leaves a network that still has a container in it.
        self.remove_earlier(stack, &project.name, true).await?;
        self.with_lines(COMPOSE_DEADLINE, |run| {
            self.engine.down(&project, volumes, run)
        })
        .await?;
        // The files that lie there may not be those of the revision that runs.
        self.remove_earlier(stack, &project.name, false).await?;
        self.remove_what_is_left(stack, &project.name, volumes)
            .await?;
        Ok(self.store.forget_current(stack)?)
    }

    /// Removes the containers of services that kept revisions have; before Compose runs, of those that only earlier ones
    /// have.
    async fn remove_earlier(
        &self,
        stack: &StackName,
        project: &ProjectName,
        before_compose: bool,
    ) -> Result<(), Stopped> {
        let revisions = self.store.revisions(stack)?;
        let services = revisions.iter().flat_map(|it| &it.resolved.services);
        let services: BTreeSet<&ServiceName> = services.map(|it| &it.name).collect();
        let current = self.store.current(stack)?;
        for container in self.engine.containers(project).await? {
            // Compose ends those of the files that lie there, in the order of what they depend on.
            let by_compose = current.as_ref().filter(|_| before_compose);
            let by_compose = by_compose.is_some_and(|current| {
                let service = current.resolved.service(&container.service);
                service.is_some()
            });
            if !container.one_off && services.contains(&container.service) && !by_compose {
                self.engine.remove_container(&container.id).await?;
            }
        }
        Ok(())
    }

    /// Removes networks and volumes that no file names any more; tells what stays, and why.
    async fn remove_what_is_left(
        &self,
        stack: &StackName,
        project: &ProjectName,
        volumes: bool,
    ) -> Result<(), Stopped> {
        for container in self.engine.containers(project).await? {
            let (name, service) = (&container.name, &container.service);
            let why = if container.one_off {
                format!("it is a command that somebody runs in service {service}")
            } else {
                format!("no revision of the stack has a service {service}; it was started by hand")
            };
            self.warn(format!(
                "container {name} stays: {why}; docker rm -f {name} removes it"
            ));
        }
        let mut left = self.engine.belongings(project).await?;
        // What the stack made once and calls external now is somebody else's to remove.
        let revisions = self.store.revisions(stack)?;
        if let Some(newest) = revisions.first() {
            let outside = &newest.resolved.outside;
            left.networks.retain(|it| !outside.networks.contains(it));
            left.volumes.retain(|it| !outside.volumes.contains(it));
        }
        for network in left.networks {
            if let Err(error) = self.engine.remove_network(&network).await {
                self.warn(format!("network {network} stays: {error}"));
            }
        }
        for volume in left.volumes.iter().filter(|_| volumes) {
            if let Err(error) = self.engine.remove_volume(volume).await {
                self.warn(format!("volume {volume} stays, with its data: {error}"));
            }
        }
        Ok(())
    }
}

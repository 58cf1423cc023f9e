//! Where a hook runs: in which container, or in a new one of what.

use proto::event::ContainerState;
use proto::fault::{Fault, FaultKind};
use proto::hook::{Hook, Names};
use proto::stack::StackSpec;

use super::{Job, Stopped};
use crate::clock;
use crate::engine::{ComposeProject, Once};
use crate::stage::compose_project;
use crate::store::Revision;

/// Digits of an image's id in a file's name.
const SHORT: usize = 12;

/// What is there when hooks run.
pub(super) struct Scene {
    /// What is committed.
    revision: Option<Revision>,
    /// How Compose reads what is laid out; `None` where nothing is.
    laid_out: Option<ComposeProject>,
    spec: StackSpec,
}

/// Where one hook runs.
pub(super) enum Spot {
    /// In a container that runs.
    Running { container: String, names: Names },
    /// In a container of its own.
    New {
        once: Once,
        project: Box<ComposeProject>,
        names: Names,
    },
}

impl Spot {
    /// What the placeholders of a file's name stand for.
    pub(super) fn names(&self) -> &Names {
        match self {
            Self::Running { names, .. } | Self::New { names, .. } => names,
        }
    }

    /// The name of the container that is made for it.
    pub(super) fn container_made(&self) -> Option<&str> {
        match self {
            Self::Running { .. } => None,
            Self::New { once, .. } => Some(&once.name),
        }
    }
}

impl Scene {
    /// As it is now; `spec` is the stack that hooks are of.
    pub(super) fn now(job: &Job, spec: &StackSpec) -> Result<Self, Stopped> {
        let applied = job.store.applied(&spec.stack)?;
        let laid_out = applied.map(|applied| {
            let directory = job.store.directory_of(&applied.spec);
            compose_project(&applied.spec, &directory)
        });
        Ok(Self {
            revision: job.store.current(&spec.stack)?,
            laid_out,
            spec: spec.clone(),
        })
    }

    /// Where a hook runs, or why it need not.
    pub(super) async fn spot(
        &self,
        job: &Job,
        index: u32,
        hook: &Hook,
    ) -> Result<Result<Spot, String>, Stopped> {
        let (Some(revision), Some(project)) = (&self.revision, &self.laid_out) else {
            return Ok(Err("nothing of this stack is deployed here yet".to_owned()));
        };
        if hook.one_off {
            return self
                .new_container(job, index, hook, revision, project)
                .await
                .map(Ok);
        }
        let containers = job.engine.containers(&self.spec.project).await?;
        let mut running = containers.into_iter().filter(|container| {
            let runs = container.state == ContainerState::Running;
            runs && !container.one_off && container.service == hook.service
        });
        let container = running.next().ok_or_else(|| not_running(hook))?;
        Ok(Ok(Spot::Running {
            names: self.names(revision, &container.image_id),
            container: container.id,
        }))
    }

    async fn new_container(
        &self,
        job: &Job,
        index: u32,
        hook: &Hook,
        revision: &Revision,
        project: &ComposeProject,
    ) -> Result<Spot, Stopped> {
        let service = revision.resolved.service(&hook.service);
        let service = service.ok_or_else(|| not_there(hook))?;
        // Compose would go and fetch what is missing.
        let image = job.engine.image(&service.image).await?;
        let image = image.ok_or_else(|| {
            let what = format!("image {} has left the host", service.image);
            Fault::new(FaultKind::Failed, what)
        })?;
        let once = Once {
            service: hook.service.clone(),
            name: format!("{}-hook-{}-{index}", self.spec.project, job.deploy.short()),
            argv: hook.run.clone(),
        };
        Ok(Spot::New {
            once,
            project: Box::new(project.clone()),
            names: self.names(revision, &image.id),
        })
    }

    fn names(&self, revision: &Revision, image: &str) -> Names {
        let image = image.strip_prefix("sha256:").unwrap_or(image);
        Names {
            project: self.spec.project.to_string(),
            time: clock::utc_stamp(),
            image: image.get(..SHORT).unwrap_or(image).to_owned(),
            revision: revision.id.short(),
        }
    }
}

fn not_running(hook: &Hook) -> Fault {
    let what = format!("no container of service {} runs", hook.service);
    Fault::new(FaultKind::Failed, what).hint("look at it: controller status, controller logs")
}

fn not_there(hook: &Hook) -> Fault {
    let what = format!("service {} is not part of what is deployed", hook.service);
    Fault::new(FaultKind::Failed, what)
}

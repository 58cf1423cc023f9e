//! The engine's methods, carried out on the scripted world.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt as _;
use futures_util::stream::{BoxStream, unfold};
use proto::event::LayerPhase;
use proto::id::{ProjectName, ServiceName};
use proto::plan::Disk;
use proto::registry::RegistryAuth;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::{Method, ScriptedEngine, config};
use crate::engine::{
    Attach, Belongings, ComposeProject, Container, Engine, EngineError, EngineFacts, ExecEnd,
    ExistingVolume, HostContainer, Layer, LayerProgress, Listener, LocalImage, LogRange, Named,
    Nudge, Once, Placeholders, Pull, RawLine, RemoteImage, Resolution, Run, Up,
};

#[async_trait]
impl Engine for ScriptedEngine {
    async fn facts(&self) -> Result<EngineFacts, EngineError> {
        self.enter(Method::Facts, "").await?;
        Ok(EngineFacts {
            version: "26.1.5".to_owned(),
            os: "linux".to_owned(),
            architecture: "amd64".to_owned(),
        })
    }

    async fn compose_version(&self) -> Result<String, EngineError> {
        self.enter(Method::ComposeVersion, "").await?;
        Ok("2.26.1".to_owned())
    }

    async fn named(
        &self,
        project: &ComposeProject,
        _: Placeholders<'_>,
    ) -> Result<Named, EngineError> {
        self.enter(Method::Named, project.name.as_str()).await?;
        config::named(project)
    }

    async fn resolve(&self, project: &ComposeProject) -> Result<Resolution, EngineError> {
        self.enter(Method::Resolve, project.name.as_str()).await?;
        config::resolve(project)
    }

    async fn config_hashes(
        &self,
        project: &ComposeProject,
    ) -> Result<BTreeMap<ServiceName, String>, EngineError> {
        self.enter(Method::ConfigHashes, project.name.as_str())
            .await?;
        let config = config::resolve(project)?.config;
        let services = config::services(&config, &Up::default())?.into_iter();
        Ok(services.map(|it| (it.name.clone(), it.hash())).collect())
    }

    async fn containers(&self, project: &ProjectName) -> Result<Vec<Container>, EngineError> {
        self.enter(Method::Containers, project.as_str()).await?;
        Ok(self.world().containers(project))
    }

    async fn image(&self, reference: &str) -> Result<Option<LocalImage>, EngineError> {
        self.enter(Method::Image, reference).await?;
        Ok(self.world().image(reference))
    }

    async fn remote_image(
        &self,
        reference: &str,
        _here: Option<&LocalImage>,
        auth: Option<&RegistryAuth>,
    ) -> Result<RemoteImage, EngineError> {
        let login = auth
            .map(|auth| format!(" as {}", auth.username))
            .unwrap_or_default();
        self.enter(Method::RemoteImage, format!("{reference}{login}"))
            .await?;
        self.world().remote(reference)
    }

    async fn layers(
        &self,
        _reference: &str,
        digest: &str,
        _platform: &str,
        _auth: Option<&RegistryAuth>,
    ) -> Option<Vec<Layer>> {
        self.enter(Method::Layers, digest).await.ok()?;
        Some(vec![Layer {
            digest: digest.to_owned(),
            bytes: 1024,
        }])
    }

    async fn disk(&self) -> Result<Disk, EngineError> {
        self.enter(Method::Disk, "").await?;
        Ok(Disk {
            path: "/var/lib/docker".to_owned(),
            free: self.world().free,
        })
    }

    async fn belongings(&self, project: &ProjectName) -> Result<Belongings, EngineError> {
        self.enter(Method::Belongings, project.as_str()).await?;
        Ok(self.world().belongings(project))
    }

    async fn remove_network(&self, name: &str) -> Result<(), EngineError> {
        self.enter(Method::RemoveNetwork, name).await?;
        self.world().networks.remove(name);
        self.changed();
        Ok(())
    }

    async fn remove_volume(&self, name: &str) -> Result<(), EngineError> {
        self.enter(Method::RemoveVolume, name).await?;
        self.world().volumes.remove(name);
        self.changed();
        Ok(())
    }

    async fn volume(&self, name: &str) -> Result<Option<ExistingVolume>, EngineError> {
        self.enter(Method::Volume, name).await?;
        Ok(self.world().volumes.get(name).cloned())
    }

    async fn has_network(&self, name: &str) -> Result<bool, EngineError> {
        self.enter(Method::HasNetwork, name).await?;
        Ok(self.world().networks.contains(name))
    }

    async fn host_containers(&self) -> Result<Vec<HostContainer>, EngineError> {
        self.enter(Method::HostContainers, "").await?;
        let own = self.world().all_containers().into_iter();
        let own = own.map(|it| HostContainer {
            published: it.published.into_iter().collect(),
            name: it.name,
            // The world does not say which; nobody asks for those of other projects.
            project: String::new(),
        });
        let strangers = self.world().strangers.clone();
        Ok(own.chain(strangers).collect())
    }

    async fn listening(&self, ports: BTreeSet<u16>) -> Vec<Listener> {
        let mut listening = self.world().listening.clone();
        listening.retain(|one| ports.contains(&one.port.port));
        listening
    }

    async fn pull(
        &self,
        pull: &Pull,
        progress: mpsc::Sender<LayerProgress>,
        stop: CancellationToken,
    ) -> Result<LocalImage, EngineError> {
        let digest = pull.digest.as_deref();
        let detail = format!("{} {}", pull.reference, digest.unwrap_or("by name"));
        tokio::select! {
            entered = self.enter(Method::Pull, detail) => entered?,
            () = stop.cancelled() => return Err(EngineError::Cancelled),
        }
        for phase in [
            LayerPhase::Waiting,
            LayerPhase::Downloading,
            LayerPhase::Extracting,
            LayerPhase::Done,
        ] {
            let layer = LayerProgress {
                layer: "5c0ffee5".to_owned(),
                phase,
                current: 1024,
                total: 1024,
            };
            progress.try_send(layer).ok();
        }
        self.world().pull(&pull.reference, digest, &pull.platform)
    }

    async fn up(&self, project: &ComposeProject, up: &Up, run: Run) -> Result<(), EngineError> {
        let only: Vec<_> = up
            .only
            .iter()
            .map(|service| format!(" {service}"))
            .collect();
        let force = if up.force_recreate {
            " --force-recreate"
        } else {
            ""
        };
        let no_deps = if up.no_deps { " --no-deps" } else { "" };
        let detail = format!("{}{force}{no_deps}{}", project.name, only.concat());
        let midway = self.enter_run(Method::Up, detail, &run).await?;
        let config = config::resolve(project)?.config;
        let services = config::services(&config, up)?;
        let count = if midway.is_some() { 1 } else { services.len() };
        for service in services.into_iter().take(count) {
            let force =
                up.force_recreate && (up.only.is_empty() || up.only.contains(&service.name));
            let done = self.world().converge(project, &service, force);
            self.changed();
            for line in done? {
                run.lines.send(line).await.ok();
            }
        }
        midway.map_or(Ok(()), Err)
    }

    async fn down(
        &self,
        project: &ComposeProject,
        volumes: bool,
        run: Run,
    ) -> Result<(), EngineError> {
        let flag = if volumes { " --volumes" } else { "" };
        let midway = self
            .enter_run(Method::Down, format!("{}{flag}", project.name), &run)
            .await?;
        let containers = self.world().containers(&project.name);
        let count = if midway.is_some() {
            1
        } else {
            containers.len()
        };
        for container in containers.into_iter().take(count) {
            self.world().remove(&container.name);
            self.changed();
            run.lines
                .send(format!(" Container {}  Removed", container.name))
                .await
                .ok();
        }
        midway.map_or(Ok(()), Err)
    }

    async fn prepare_exec(&self, container: &str, argv: &[String]) -> Result<String, EngineError> {
        self.enter(Method::PrepareExec, argv.join(" ")).await?;
        let exec = self.world().prepare_exec(container, argv)?;
        self.changed();
        Ok(exec)
    }

    async fn run_exec(&self, exec: &str, attach: Attach) -> Result<i64, EngineError> {
        self.tell();
        let argv = self.world().start_exec(exec)?;
        self.changed();
        let trouble = self.faults().enter(Method::RunExec, argv.join(" "));
        let ended = self.run_command(&argv, trouble, &attach).await;
        self.world().forget_exec(exec);
        self.changed();
        ended
    }

    async fn end_exec(&self, exec: &str) -> Result<(), EngineError> {
        self.enter(Method::EndExec, exec).await?;
        self.world().forget_exec(exec);
        self.changed();
        Ok(())
    }

    async fn run_once(
        &self,
        project: &ComposeProject,
        once: &Once,
        attach: Attach,
    ) -> Result<i64, EngineError> {
        self.tell();
        let config = config::resolve(project)?.config;
        let alone = Up {
            only: vec![once.service.clone()],
            no_deps: true,
            ..Up::default()
        };
        let services = config::services(&config, &alone)?;
        self.world().add_one_off(project, &services, &once.name)?;
        self.changed();
        let detail = format!("{} {}", once.service, once.argv.join(" "));
        let trouble = self.faults().enter(Method::RunOnce, detail);
        let ended = self.run_command(&once.argv, trouble, &attach).await;
        self.world().remove(&once.name);
        self.changed();
        ended
    }

    async fn stop_container(&self, id: &str) -> Result<(), EngineError> {
        self.enter(Method::StopContainer, id).await?;
        self.world().stop(id);
        self.changed();
        Ok(())
    }

    async fn start_container(&self, id: &str) -> Result<(), EngineError> {
        self.enter(Method::StartContainer, id).await?;
        self.world().start(id);
        self.changed();
        Ok(())
    }

    async fn remove_container(&self, id: &str) -> Result<(), EngineError> {
        self.enter(Method::RemoveContainer, id).await?;
        self.world().remove(id);
        self.changed();
        Ok(())
    }

    async fn rename_container(&self, id: &str, name: &str) -> Result<(), EngineError> {
        self.enter(Method::RenameContainer, format!("{id} {name}"))
            .await?;
        self.world().rename(id, name);
        self.changed();
        Ok(())
    }

    async fn tag(&self, image: &str, reference: &str) -> Result<(), EngineError> {
        self.enter(Method::Tag, format!("{image} {reference}"))
            .await?;
        self.world().tag(image, reference)
    }

    async fn untag(&self, reference: &str) -> Result<(), EngineError> {
        self.enter(Method::Untag, reference).await?;
        self.world().untag(reference);
        Ok(())
    }

    async fn names(&self, repository: &str) -> Result<Vec<String>, EngineError> {
        self.enter(Method::Names, repository).await?;
        Ok(self.world().names(repository))
    }

    async fn end_leftovers(&self) -> Result<(), EngineError> {
        self.enter(Method::EndLeftovers, "").await
    }

    async fn nudges(
        &self,
        project: &ProjectName,
    ) -> Result<BoxStream<'static, Nudge>, EngineError> {
        self.enter(Method::Nudges, project.as_str()).await?;
        let start = (self.clone(), self.changes.subscribe(), project.clone());
        Ok(unfold(start, |(engine, mut changes, project)| async move {
            let next = engine.world().next_change(&project);
            tokio::select! {
                changed = changes.changed() => changed.ok()?,
                () = at(next) => {}
            }
            Some((Nudge, (engine, changes, project)))
        })
        .boxed())
    }

    async fn probe_exec(
        &self,
        container: &str,
        argv: &[String],
        deadline: Duration,
    ) -> Result<ExecEnd, EngineError> {
        let what = argv.join(" ");
        let entered = self.enter(Method::ProbeExec, format!("{container} {what}"));
        match tokio::time::timeout(deadline, entered).await {
            Ok(entered) => entered?,
            Err(_) => {
                let after = deadline;
                return Err(EngineError::TimedOut { what, after });
            }
        }
        Ok(self.world().program(argv))
    }

    async fn logs(
        &self,
        container: &str,
        range: LogRange,
    ) -> Result<BoxStream<'static, Result<RawLine, EngineError>>, EngineError> {
        self.enter(Method::Logs, container).await?;
        let first = self
            .world()
            .lines(container)
            .ok_or_else(|| EngineError::Api {
                what: format!("logs of {container}"),
                message: format!("No such container: {container}"),
            })?;
        let skip = range
            .tail
            .map_or(0, |tail| first.len().saturating_sub(tail as usize));
        let start = (
            self.clone(),
            self.changes.subscribe(),
            container.to_owned(),
            skip,
        );
        let lines = unfold(start, move |(engine, mut changes, name, next)| async move {
            loop {
                let lines = engine.world().lines(&name)?;
                if let Some(line) = lines.get(next) {
                    return Some((line.clone(), (engine, changes, name, next + 1)));
                }
                if !range.follow {
                    return None;
                }
                changes.changed().await.ok()?;
            }
        });
        let within = move |line: &RawLine| {
            range.since_nanos.is_none_or(|since| line.at_nanos >= since)
                && range.until_nanos.is_none_or(|until| line.at_nanos <= until)
        };
        let lines = lines.filter(move |line| std::future::ready(within(line)));
        Ok(lines.map(Ok).boxed())
    }
}

/// Waits for a moment; without one, for ever.
async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

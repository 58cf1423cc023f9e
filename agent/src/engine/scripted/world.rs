//! What a scripted host has: images, containers, and a registry somewhere.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

use proto::event::{ContainerState, Health};
use proto::id::ProjectName;
use proto::log::Stream;
use tokio::time::Instant;

use super::behaviour::{Behaviour, Look};
use super::commands::{Answer, Command};
use super::config::Service;
use crate::clock;
use crate::engine::{
    Belongings, ComposeProject, Container, EngineError, ExecEnd, ExistingVolume, HostContainer,
    Listener, LocalImage, RawLine, RemoteImage,
};

mod images;

/// The wall clock's reading when a scripted host came up.
const EPOCH: Duration = Duration::from_secs(1_700_000_000);

/// Everything there is.
#[derive(Clone)]
pub(super) struct World {
    /// By image or by service.
    pub(super) behaviours: HashMap<String, Behaviour>,
    /// By name.
    pub(super) volumes: BTreeMap<String, ExistingVolume>,
    /// By name.
    pub(super) networks: BTreeSet<String>,
    /// Containers that others have made, as a test says.
    pub(super) strangers: Vec<HostContainer>,
    /// Ports that programs hold.
    pub(super) listening: Vec<Listener>,
    /// Bytes of room for images.
    pub(super) free: u64,
    /// By their first word.
    pub(super) programs: HashMap<String, ExecEnd>,
    /// How old the host was when this process first looked at it; a fork goes on from there.
    past: Duration,
    seen_first: OnceLock<Instant>,
    /// The wall clock when the host was made.
    born_millis: u64,
    made: u64,
    /// By `repository:tag` and by `repository@digest`.
    registry: HashMap<String, RemoteImage>,
    /// By the same.
    store: BTreeMap<String, LocalImage>,
    /// By name.
    running: BTreeMap<String, Life>,
    /// What programs answer, by the program's name.
    pub(super) answers: HashMap<String, Answer>,
    /// Commands in containers, by id; those that run and those that were only made ready.
    pub(super) execs: BTreeMap<String, Command>,
}

#[derive(Clone)]
struct Life {
    project: ProjectName,
    /// As it was made; state and health follow from its age.
    container: Container,
    behaviour: Behaviour,
    /// By the host's age.
    started: Duration,
    lines: Vec<RawLine>,
}

impl Life {
    fn at(&self, age: Duration, born_millis: u64) -> Container {
        let look = self.behaviour.look(age.saturating_sub(self.started));
        Container {
            state: look.state,
            health: look.health,
            health_at_millis: checked_at(&look, born_millis),
            health_output: look.output,
            exit_code: look.exit_code,
            restarts: look.restarts,
            ..self.container.clone()
        }
    }
}

impl World {
    /// An empty host.
    pub(super) fn new() -> Self {
        Self {
            behaviours: HashMap::new(),
            volumes: BTreeMap::new(),
            networks: BTreeSet::new(),
            strangers: Vec::new(),
            listening: Vec::new(),
            free: 1 << 40,
            programs: HashMap::new(),
            past: Duration::ZERO,
            seen_first: OnceLock::new(),
            born_millis: clock::unix_millis(),
            made: 0,
            registry: HashMap::new(),
            store: BTreeMap::new(),
            running: BTreeMap::new(),
            answers: HashMap::new(),
            execs: BTreeMap::new(),
        }
    }

    /// All containers of a project, by name.
    pub(super) fn containers(&self, project: &ProjectName) -> Vec<Container> {
        let age = self.age();
        self.of(project)
            .map(|life| life.at(age, self.born_millis))
            .collect()
    }

    /// All containers, by name.
    pub(super) fn all_containers(&self) -> Vec<Container> {
        let age = self.age();
        self.running
            .values()
            .map(|life| life.at(age, self.born_millis))
            .collect()
    }

    /// By name alone: what Compose makes for a project begins with the project's name.
    pub(super) fn belongings(&self, project: &ProjectName) -> Belongings {
        let own = |name: &&String| name.starts_with(&format!("{project}_"));
        Belongings {
            networks: self.networks.iter().filter(own).cloned().collect(),
            volumes: self.volumes.keys().filter(own).cloned().collect(),
        }
    }

    /// When a container of the project will look different, if nobody does anything.
    pub(super) fn next_change(&self, project: &ProjectName) -> Option<Instant> {
        let age = self.age();
        let next = |life: &Life| {
            let own = age.saturating_sub(life.started);
            Some(life.behaviour.next_change(own)? - own)
        };
        let soonest = self.of(project).filter_map(next).min()?;
        Some(Instant::now() + soonest)
    }

    fn of(&self, project: &ProjectName) -> impl Iterator<Item = &Life> {
        self.running
            .values()
            .filter(move |life| life.project == *project)
    }

    /// Does to a service what `up` does, and says so as Compose does.
    pub(super) fn converge(
        &mut self,
        project: &ComposeProject,
        service: &Service,
        force: bool,
    ) -> Result<Vec<String>, EngineError> {
        let Some(image) = self.image(&service.image) else {
            let line = format!(
                "Error response from daemon: No such image: {}",
                service.image
            );
            return Err(EngineError::Compose {
                verb: "up".to_owned(),
                status: "exit code 1".to_owned(),
                output: vec![line],
            });
        };
        let prefix = format!("{}-{}", project.name, service.name);
        let surplus = |container: &Container| {
            container.service == service.name && container.number > service.replicas
        };
        let gone: Vec<_> = self
            .containers(&project.name)
            .into_iter()
            .filter(surplus)
            .collect();
        for container in gone {
            self.remove(&container.name);
        }
        let (age, born) = (self.age(), self.born_millis);
        let mut lines = Vec::new();
        let failing = self.failing_dependency(project, service);
        for number in 1..=service.replicas {
            let name = format!("{prefix}-{number}");
            let mut made = self.make(project, service, &image, number, &name);
            if failing.is_some() {
                // It is made, and never started.
                made.behaviour = Behaviour::created();
                made.container.state = ContainerState::Created;
            }
            let word = match self.running.get_mut(&name) {
                Some(old) if !force && same(&old.container, &made.container) => {
                    let state = old.at(age, born).state;
                    if matches!(state, ContainerState::Created | ContainerState::Exited) {
                        old.behaviour = made.behaviour;
                    }
                    if state != ContainerState::Running {
                        // As Compose does: what has ended is started again.
                        old.started = age;
                        old.container.started_at_millis = made.container.started_at_millis;
                    }
                    "Running"
                }
                Some(old) => {
                    *old = made;
                    "Recreated"
                }
                None => {
                    self.running.insert(name.clone(), made);
                    "Started"
                }
            };
            lines.push(format!(" Container {name}  {word}"));
        }
        match failing {
            None => Ok(lines),
            Some(name) => {
                lines.push(format!(
                    "dependency failed to start: container {name} is unhealthy"
                ));
                Err(EngineError::Compose {
                    verb: "up".to_owned(),
                    status: "exit code 1".to_owned(),
                    output: lines,
                })
            }
        }
    }

    /// The container that keeps Compose from starting a service: it waits for the health of one that has none.
    fn failing_dependency(&self, project: &ComposeProject, service: &Service) -> Option<String> {
        let containers = self.containers(&project.name);
        let mut failing = containers
            .iter()
            .filter(|it| it.health == Health::Unhealthy);
        let waited_for = |it: &&Container| service.waits_for.get(&it.service) == Some(&true);
        failing.find(waited_for).map(|it| it.name.clone())
    }

    fn make(
        &mut self,
        project: &ComposeProject,
        service: &Service,
        image: &LocalImage,
        number: u32,
        name: &str,
    ) -> Life {
        let id = self.new_id();
        let by_service = || self.behaviours.get(service.name.as_str());
        let behaviour = self.behaviours.get(&service.image).or_else(by_service);
        let behaviour = behaviour.cloned().unwrap_or_default();
        let look = behaviour.look(Duration::ZERO);
        let container = Container {
            id,
            name: name.to_owned(),
            service: service.name.clone(),
            number,
            one_off: false,
            state: look.state,
            health: look.health,
            health_at_millis: checked_at(&look, self.born_millis),
            health_output: look.output,
            check: None,
            exit_code: look.exit_code,
            restarts: look.restarts,
            image: service.image.clone(),
            image_id: image.id.clone(),
            config_hash: service.hash(),
            working_dir: project.directory.display().to_string(),
            config_files: texts(&project.files),
            env_files: Vec::new(),
            replaces: None,
            started_at_millis: u64::try_from(self.clock().as_millis()).unwrap_or_default(),
            ports: Vec::new(),
            addresses: vec![std::net::Ipv4Addr::LOCALHOST.into()],
            published: BTreeSet::new(),
            endpoints: BTreeSet::new(),
            host_network: false,
        };
        Life {
            project: project.name.clone(),
            container,
            behaviour,
            started: self.age(),
            lines: Vec::new(),
        }
    }

    /// An id that nothing else has.
    pub(super) fn new_id(&mut self) -> String {
        self.made += 1;
        // The first twelve digits tell them apart, as they do an engine's own.
        format!("{:012x}{:052x}", self.made, 0)
    }

    /// A container for one command, beside those that Compose looks after.
    pub(super) fn add(
        &mut self,
        project: &ComposeProject,
        service: &Service,
        image: &LocalImage,
        name: &str,
    ) {
        let mut life = self.make(project, service, image, 1, name);
        life.container.one_off = true;
        life.behaviour = Behaviour::runs();
        self.running.insert(name.to_owned(), life);
    }

    /// Gives a container another name.
    pub(super) fn rename(&mut self, id: &str, name: &str) {
        let old = self
            .running
            .iter()
            .find(|(_, life)| life.container.id == id);
        let Some(old) = old.map(|(name, _)| name.clone()) else {
            return;
        };
        if let Some(mut life) = self.running.remove(&old) {
            name.clone_into(&mut life.container.name);
            self.running.insert(name.to_owned(), life);
        }
    }

    /// Gives a container another life, which begins now.
    pub(super) fn live(&mut self, name: &str, behaviour: Behaviour) {
        let age = self.age();
        if let Some(life) = self.running.get_mut(name) {
            life.behaviour = behaviour;
            life.started = age;
        }
    }

    /// What Compose leaves when it is killed while it replaces a container: the new one under its passing name,
    /// made and not started, and the old one unless it had been removed already.
    pub(super) fn leave_half_replaced(&mut self, name: &str, old_removed: bool) {
        let Some(old) = self.running.get(name) else {
            return;
        };
        let (old, old_id) = (old.clone(), old.container.id.clone());
        let half = format!("{}_{name}", old_id.get(..12).unwrap_or_default());
        let container = Container {
            id: self.new_id(),
            name: half.clone(),
            replaces: Some(old_id),
            ..old.container.clone()
        };
        let life = Life {
            project: old.project.clone(),
            container,
            behaviour: Behaviour::created(),
            started: self.age(),
            lines: Vec::new(),
        };
        self.running.insert(half, life);
        if old_removed {
            self.running.remove(name);
        }
    }

    /// Stops a container, which ends as one does that is asked to.
    pub(super) fn stop(&mut self, id: &str) {
        let age = self.age();
        let mut lives = self.running.values_mut();
        if let Some(life) = lives.find(|life| life.container.id == id) {
            life.behaviour = Behaviour::exits_after(Duration::ZERO, 143);
            life.started = age;
        }
    }

    /// Starts a container that does not run; it lives anew as its image does.
    pub(super) fn start(&mut self, id: &str) {
        let (age, born) = (self.age(), self.born_millis);
        let at = u64::try_from(self.clock().as_millis()).unwrap_or_default();
        let behaviours = &self.behaviours;
        let mut lives = self.running.values_mut();
        let Some(life) = lives.find(|life| life.container.id == id) else {
            return;
        };
        if life.at(age, born).state != ContainerState::Running {
            let (image, service) = (&life.container.image, life.container.service.as_str());
            let behaviour = behaviours.get(image).or_else(|| behaviours.get(service));
            life.behaviour = behaviour.cloned().unwrap_or_default();
            life.started = age;
            life.container.started_at_millis = at;
        }
    }

    /// Takes a container away, by name or id.
    pub(super) fn remove(&mut self, which: &str) {
        self.running
            .retain(|name, life| name != which && life.container.id != which);
    }

    /// A container writes a line.
    pub(super) fn say(&mut self, container: &str, stream: Stream, text: &str) {
        let at = self.clock().as_nanos();
        if let Some(life) = self.running.get_mut(container) {
            let earlier = life.lines.last().map_or(0, |line| line.at_nanos);
            life.lines.push(RawLine {
                stream,
                // No two lines of a container at the same moment.
                at_nanos: i64::try_from(at).unwrap_or(i64::MAX).max(earlier + 1),
                text: text.as_bytes().to_vec(),
            });
        }
    }

    /// What a container has written, by name or id; `None` when it is gone.
    pub(super) fn lines(&self, which: &str) -> Option<Vec<RawLine>> {
        let is = |life: &&Life| life.container.name == which || life.container.id == which;
        self.running
            .values()
            .find(is)
            .map(|life| life.lines.clone())
    }

    /// How a program ends.
    pub(super) fn program(&self, argv: &[String]) -> ExecEnd {
        let known = argv.first().and_then(|word| self.programs.get(word));
        known.cloned().unwrap_or(ExecEnd {
            exit_code: 0,
            output: String::new(),
        })
    }

    /// How long the host has been up.
    fn age(&self) -> Duration {
        self.past + self.seen_first.get_or_init(Instant::now).elapsed()
    }

    /// The same host for another process, whose clock may show anything.
    pub(super) fn fork(&self) -> Self {
        Self {
            past: self.age(),
            seen_first: OnceLock::new(),
            ..self.clone()
        }
    }

    fn clock(&self) -> Duration {
        EPOCH + self.age()
    }
}

/// Health is read against the wall clock, which no test moves. A check that ended long ago was the last one.
fn checked_at(look: &Look, born_millis: u64) -> u64 {
    let age = u64::try_from(look.checked.as_millis()).unwrap_or(u64::MAX);
    match look.health {
        Health::Healthy | Health::Unhealthy if age > 0 => born_millis.saturating_sub(age),
        Health::Healthy | Health::Unhealthy => clock::unix_millis(),
        Health::None | Health::Starting => 0,
    }
}

fn texts(paths: &[PathBuf]) -> Vec<String> {
    paths
        .iter()
        .map(|path| path.display().to_string())
        .collect()
}

fn same(old: &Container, new: &Container) -> bool {
    old.config_hash == new.config_hash && old.image_id == new.image_id
}

//! An engine in memory that does what a test says: its registry, its containers' lives, its failures.
//!
//! A project's first Compose file is JSON here, and is the resolved configuration; `${NAME}` in it takes its value
//! from the project's environment or env file. Everything else behaves as Docker and Compose do, in small.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use proto::log::Stream;
use tokio::sync::watch;
use tokio::time::timeout;

pub use self::behaviour::{Behaviour, Look};
pub use self::commands::Answer;
use self::faults::Faults;
pub use self::faults::{Call, Method, Trouble};
use self::world::World;
use super::{
    Container, EngineError, ExecEnd, ExistingVolume, HostContainer, Listener, LocalImage, Run,
};

mod behaviour;
mod commands;
mod config;
mod engine;
mod faults;
#[cfg(test)]
mod tests;
mod world;

/// An engine for tests. Clones are the same engine.
#[derive(Clone)]
pub struct ScriptedEngine {
    world: Arc<Mutex<World>>,
    faults: Arc<Mutex<Faults>>,
    /// Counts changes, so that whoever waits for one wakes.
    changes: watch::Sender<u64>,
    /// Called before every call and after every change.
    witness: Arc<Mutex<Option<Witness>>>,
}

type Witness = Arc<dyn Fn() + Send + Sync>;

impl Default for ScriptedEngine {
    fn default() -> Self {
        Self::new()
    }
}

impl ScriptedEngine {
    /// A `linux/amd64` host with nothing on it and an empty registry.
    #[must_use]
    pub fn new() -> Self {
        Self {
            world: Arc::new(Mutex::new(World::new())),
            faults: Arc::default(),
            changes: watch::Sender::new(0),
            witness: Arc::default(),
        }
    }

    /// Another engine that is now what this one is now: same images, same containers, same lives; no troubles.
    #[must_use]
    pub fn fork(&self) -> Self {
        let fork = Self::new();
        *fork.world() = self.world().fork();
        fork
    }

    /// Calls `witness` before every call and after every change, or no longer.
    pub fn watch(&self, witness: Option<impl Fn() + Send + Sync + 'static>) {
        let witness = witness.map(|witness| Arc::new(witness) as Witness);
        *self.witness.lock().unwrap_or_else(PoisonError::into_inner) = witness;
    }

    fn tell(&self) {
        let witness = self
            .witness
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        if let Some(witness) = witness {
            witness();
        }
    }

    /// Puts an image into the registry, for these platforms. The digest follows from repository and content.
    pub fn publish(&self, reference: &str, content: &str, platforms: &[&str]) -> String {
        self.world().publish(reference, content, platforms)
    }

    /// The registry loses everything; what the host has stays.
    pub fn unpublish_all(&self) {
        self.world().unpublish_all();
    }

    /// The host loses an image under all its names.
    pub fn forget_image(&self, reference: &str) {
        self.world().forget_image(reference);
    }

    /// Puts a published image into the host's own store, as if it had been pulled before.
    ///
    /// # Errors
    /// When it is not published, or not for this host.
    pub fn preload(&self, reference: &str) -> Result<LocalImage, EngineError> {
        self.world().pull(reference, None, "linux/amd64")
    }

    /// There is a network of this name.
    pub fn add_network(&self, name: &str) {
        self.world().networks.insert(name.to_owned());
    }

    /// There is a volume of this name.
    pub fn add_volume(&self, name: &str, volume: ExistingVolume) {
        self.world().volumes.insert(name.to_owned(), volume);
    }

    /// There is a container that has nothing to do with any project of the test.
    pub fn add_stranger(&self, container: HostContainer) {
        self.world().strangers.push(container);
    }

    /// A program holds a port of the host.
    pub fn listen(&self, listener: Listener) {
        self.world().listening.push(listener);
    }

    /// So many bytes are left for images.
    pub fn leave_free(&self, bytes: u64) {
        self.world().free = bytes;
    }

    /// How containers of this image, or of this service where the image has no script, will live. Without either
    /// they run, with no healthcheck.
    pub fn behave(&self, image_or_service: &str, behaviour: Behaviour) {
        let name = image_or_service.to_owned();
        self.world().behaviours.insert(name, behaviour);
    }

    /// How a program in a container will end; without this, with 0.
    pub fn program(&self, argv0: &str, exit_code: i64, output: &str) {
        let output = output.to_owned();
        let end = ExecEnd { exit_code, output };
        self.world().programs.insert(argv0.to_owned(), end);
    }

    /// What the `nth` call of a method (from 1, counted from now on) does instead of its work.
    pub fn trouble(&self, method: Method, nth: usize, trouble: Trouble) {
        self.faults().add(method, nth, trouble);
    }

    /// What a program answers, wherever it is run. Without a script it prints nothing and ends well.
    pub fn answer(&self, program: &str, answer: Answer) {
        self.world().answers.insert(program.to_owned(), answer);
    }

    /// The commands that run in containers now.
    #[must_use]
    pub fn running_commands(&self) -> Vec<Vec<String>> {
        self.world().running_commands()
    }

    /// Every call so far, in order.
    #[must_use]
    pub fn calls(&self) -> Vec<Call> {
        self.faults().calls.clone()
    }

    /// The calls of one method, in words.
    #[must_use]
    pub fn calls_of(&self, method: Method) -> Vec<String> {
        let calls = self
            .calls()
            .into_iter()
            .filter(|call| call.method == method);
        calls.map(|call| call.detail).collect()
    }

    /// What runs now, for all projects.
    #[must_use]
    pub fn all_containers(&self) -> Vec<Container> {
        self.world().all_containers()
    }

    /// Every name that an image of the store has.
    pub fn all_names(&self) -> Vec<String> {
        self.world().all_names()
    }

    /// Somebody removes a container behind our back.
    pub fn vanish(&self, name: &str) {
        self.world().remove(name);
        self.changed();
    }

    /// From now on a container lives like this, until it is made anew.
    pub fn live(&self, name: &str, behaviour: Behaviour) {
        self.world().live(name, behaviour);
        self.changed();
    }

    /// Compose is killed while it replaces this container, before or after it removed the old one.
    pub fn leave_half_replaced(&self, name: &str, old_removed: bool) {
        self.world().leave_half_replaced(name, old_removed);
        self.changed();
    }

    /// A container writes a line.
    pub fn say(&self, container: &str, stream: Stream, text: &str) {
        self.world().say(container, stream, text);
        self.changed();
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn faults(&self) -> MutexGuard<'_, Faults> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn changed(&self) {
        self.changes.send_modify(|count| *count += 1);
        self.tell();
    }

    /// Notes a call and does what the test wants of it. Hanging ends when the caller gives up.
    async fn enter(&self, method: Method, detail: impl Into<String>) -> Result<(), EngineError> {
        self.tell();
        let trouble = self.faults().enter(method, detail.into());
        match trouble {
            None | Some(Trouble::Midway(_)) => Ok(()),
            Some(Trouble::Fail(error)) => Err(error),
            Some(Trouble::Hang) => std::future::pending().await,
        }
    }

    /// The same for a child of ours, which is ended at its deadline or when asked.
    async fn enter_run(
        &self,
        method: Method,
        detail: String,
        run: &Run,
    ) -> Result<Option<EngineError>, EngineError> {
        self.tell();
        let trouble = self.faults().enter(method, detail);
        match trouble {
            None if run.stop.is_cancelled() => Err(EngineError::Cancelled),
            None => Ok(None),
            Some(Trouble::Midway(error)) => Ok(Some(error)),
            Some(Trouble::Fail(error)) => Err(error),
            Some(Trouble::Hang) => match timeout(run.deadline, run.stop.cancelled()).await {
                Ok(()) => Err(EngineError::Cancelled),
                Err(_) => Err(EngineError::TimedOut {
                    what: format!("docker compose {method:?}").to_lowercase(),
                    after: run.deadline,
                }),
            },
        }
    }
}

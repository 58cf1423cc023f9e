//! Lives of a host drawn by lot: what operators do, and what goes wrong meanwhile. A life that fails names its seed, and
//! `LONGSHORE_SEED=N` lives it again.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use agent::engine::EngineError;
use agent::engine::scripted::{Behaviour, Method, ScriptedEngine, Trouble};
use agent::witness;
use agent::witness::disk;
use proto::event::{EventKind, Outcome};
use proto::fault::Fault;
use proto::id::DeployId;
use tempfile::TempDir;

use crate::agreed::claim_agreed;
use crate::chance::{Chance, full, report};
use crate::copies::copy;
use crate::deeds::{life, version};
use crate::durable::Durable;
use crate::world::{World, ended, id, in_memory, name, rest, soon};

/// What an operator wants.
#[derive(Debug, Clone, Copy)]
enum Wish {
    Deploy { web: &'static str, db: u8 },
    Back,
    Down,
}

impl Wish {
    fn any(chance: &mut Chance) -> Self {
        match chance.below(8) {
            0 => Self::Down,
            1 | 2 => Self::Back,
            _ => Self::Deploy {
                web: chance.of::<&'static str>(&["r/web:1", "r/web:2", "r/api:1"]),
                db: u8::try_from(chance.below(3)).unwrap(),
            },
        }
    }

    async fn submit(self, world: &World, number: u8) -> Result<(), Fault> {
        let ana = "ana".parse().unwrap();
        let done = match self {
            Self::Deploy { web, db } => {
                let plan = world.plan(&version(web, &db.to_string())).await?;
                let first = world.submit(&plan, id(number))?;
                // The answer was lost: the same is sent again.
                assert!(!first && world.submit(&plan, id(number))?);
                Ok(true)
            }
            Self::Back => world.roll_back("shop", None, number),
            Self::Down => world.deployer.down(id(number), name("shop"), false, ana),
        };
        done.map(drop)
    }
}

/// What goes wrong meanwhile.
#[derive(Debug, Clone)]
enum Mishap {
    Nothing,
    /// The Nth call of the disk fails.
    Disk(usize),
    /// From the Nth call on there is no room but what is kept.
    Full(usize),
    /// The agent dies at this step.
    Death(usize),
    /// The power goes at this call of the disk.
    Power(usize),
    /// A call of the engine goes wrong.
    Engine(Method, usize, Trouble),
    /// Somebody cancels after so many events.
    Cancel(usize),
}

impl Mishap {
    fn any(chance: &mut Chance) -> Self {
        match chance.below(9) {
            0 => Self::Nothing,
            1 => Self::Disk(chance.below(150) + 1),
            2 => Self::Full(chance.below(80) + 1),
            3 | 4 => Self::Death(chance.below(90) + 1),
            5 => Self::Power(chance.below(120) + 1),
            6 => Self::Cancel(chance.below(12)),
            _ => Self::engine(chance),
        }
    }

    fn engine(chance: &mut Chance) -> Self {
        let down = EngineError::Down("it went away".to_owned());
        let said = EngineError::Api {
            what: "a call".to_owned(),
            message: "server error".to_owned(),
        };
        let killed = EngineError::Compose {
            verb: "up".to_owned(),
            status: "signal 9".to_owned(),
            output: Vec::new(),
        };
        if chance.one_in(2) {
            let method = *chance.of(&[Method::Up, Method::Down, Method::Pull]);
            let troubles = [
                Trouble::Hang,
                Trouble::Midway(killed.clone()),
                Trouble::Fail(killed),
            ];
            return Self::Engine(method, chance.below(2) + 1, chance.of(&troubles).clone());
        }
        let methods = [
            Method::Facts,
            Method::Containers,
            Method::Image,
            Method::RemoteImage,
            Method::Tag,
            Method::Nudges,
            Method::RemoveContainer,
        ];
        let trouble = Trouble::Fail(chance.of(&[down, said]).clone());
        Self::Engine(*chance.of(&methods), chance.below(5) + 1, trouble)
    }
}

/// A disk and containers as an end in the middle leaves them.
type Left = Arc<Mutex<Option<(TempDir, ScriptedEngine)>>>;

struct Life {
    chance: Chance,
    /// None between two agents.
    world: Option<World>,
    /// A deploy has said that what runs is neither revision, and none has mended it since.
    unsure: bool,
    story: Vec<String>,
}

impl Life {
    fn lived(seed: u64) {
        let world = World::in_memory();
        let sick = Behaviour::crashes_every(Duration::from_secs(1));
        world.engine.behave("r/api:1", sick);
        let slow = Behaviour::healthy_after(Duration::from_secs(3));
        world.engine.behave("r/web:2", slow);
        let mut life = Self {
            chance: Chance::new(seed),
            world: Some(world),
            unsure: false,
            story: Vec::new(),
        };
        for number in 1..=4 {
            life = life.on(number);
        }
        life.mends();
    }

    /// One wish and one mishap; then another agent looks at what is left.
    fn on(mut self, number: u8) -> Self {
        let (wish, mishap) = (Wish::any(&mut self.chance), Mishap::any(&mut self.chance));
        self.story.push(format!("{number}: {wish:?}, {mishap:?}"));
        let left = Left::default();
        let guards = self.arrange(&mishap, &left);
        let world = self.world.take().unwrap();
        if self.chance.one_in(3) {
            // What nobody needs goes at the next clean-up, if nobody needs it.
            self.story.push("two days later".to_owned());
            crate::sweep::age(&world, "", 2 * 24 * 60 * 60);
        }
        life().block_on(async {
            if wish.submit(&world, number).await.is_err() {
                return;
            }
            let mut watcher = world.deployer.watch(&id(number), 0).unwrap();
            if let Mishap::Cancel(after) = mishap {
                for _ in 0..after {
                    soon(watcher.next()).await;
                }
                let _running = world.deployer.cancel(&id(number));
            }
            rest(&mut watcher).await;
            world.deployer.shut_down().await;
        });
        drop(guards);
        world.engine.watch(None::<fn()>);
        let root = world.path("");
        let left = left.lock().unwrap().take();
        let next = match left {
            Some((state, engine)) => {
                drop(world);
                World::take_over(engine, &state.keep(), &root)
            }
            None => world.restart_without_troubles(),
        };
        self.claim(&next, number);
        self.world = Some(next.restart_without_troubles());
        self
    }

    fn arrange(
        &mut self,
        mishap: &Mishap,
        left: &Left,
    ) -> (Option<disk::Watched>, Option<witness::Guard>) {
        let world = self.world.as_ref().unwrap();
        let (root, engine) = (world.path(""), world.engine.clone());
        let left = Arc::clone(left);
        let to = matches!(mishap, Mishap::Power(_) | Mishap::Death(_)).then(in_memory);
        match mishap.clone() {
            Mishap::Nothing | Mishap::Cancel(_) => (None, None),
            Mishap::Engine(method, nth, trouble) => {
                engine.trouble(method, nth, trouble);
                (None, None)
            }
            Mishap::Disk(nth) => (Some(crate::disk::once(&root, nth)), None),
            Mishap::Full(nth) => (Some(crate::disk::full(&root, nth)), None),
            Mishap::Power(nth) => {
                let state = Mutex::new((0, to, self.chance.clone()));
                let cut = move |durable: &Arc<Mutex<Durable>>| {
                    let (count, to, chance) = &mut *state.lock().unwrap();
                    *count += 1;
                    if *count == nth {
                        let to = to.take().unwrap();
                        durable.lock().unwrap().cut(to.path(), Some(chance));
                        *left.lock().unwrap() = Some((to, engine.fork()));
                    }
                };
                (Some(Durable::follow(&root, cut)), None)
            }
            Mishap::Death(nth) => {
                let state = Arc::new(Mutex::new((0, to)));
                let step = {
                    let (root, engine) = (root.clone(), engine.clone());
                    move || {
                        let mut state = state.lock().unwrap();
                        state.0 += 1;
                        if state.0 == nth {
                            let to = state.1.take().unwrap();
                            copy(&root, to.path());
                            *left.lock().unwrap() = Some((to, engine.fork()));
                        }
                    }
                };
                engine.watch(Some(step.clone()));
                (None, Some(witness::watch(&root, move |_: &Path| step())))
            }
        }
    }

    /// What holds after everything, once another agent has taken over.
    fn claim(&mut self, world: &World, number: u8) {
        let when = self.story.join("\n");
        life().block_on(async {
            world.deployer.recover().await;
            for number in 1..=number {
                self.claim_told(world, id(number), &when).await;
            }
            assert_eq!(world.deployer.running(&name("shop")), None, "{when}");
            if !self.unsure {
                claim_agreed(world, &when, &[]);
                let left = std::fs::read_dir(world.path("work")).unwrap().count();
                assert_eq!(left, 0, "{when}");
            }
            world.deployer.shut_down().await;
        });
    }

    /// A deploy that was taken tells each of its events once, and one end.
    async fn claim_told(&mut self, world: &World, deploy: DeployId, when: &str) {
        let Ok(mut watcher) = world.deployer.watch(&deploy, 0) else {
            return;
        };
        let events = rest(&mut watcher).await;
        let numbers: Vec<u64> = events.iter().map(|event| event.seq).collect();
        let wanted: Vec<u64> = (1..=events.len() as u64).collect();
        assert_eq!(numbers, wanted, "{when}");
        let ends = events.iter().filter(|event| event.kind.is_last()).count();
        assert_eq!(ends, 1, "{when}");
        let end = ended(&events);
        let hints = end.fault.iter().flat_map(|fault| &fault.hints);
        let unsure = hints
            .into_iter()
            .any(|hint| hint.contains("controller doctor"));
        match end.outcome {
            Outcome::Succeeded => self.unsure = false,
            _ => self.unsure |= unsure,
        }
        if let Some(EventKind::Finished {
            fault: Some(fault), ..
        }) = events.last().map(|it| &it.kind)
        {
            assert!(!fault.what.is_empty(), "{when}");
        }
    }

    /// Whatever was, the next good deploy makes the host whole.
    fn mends(self) {
        let when = self.story.join("\n");
        let world = self.world.unwrap();
        life().block_on(async {
            let end = world.deploy(&version("r/web:1", "mended"), 99).await;
            assert_eq!(end.outcome, Outcome::Succeeded, "{when}\n{end:?}");
            claim_agreed(&world, &when, &[]);
        });
    }
}

#[test]
fn lives_drawn_by_lot_end_old_or_new() {
    let one = std::env::var("LONGSHORE_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok());
    let seeds = match one {
        Some(seed) => seed..=seed,
        None if full() => 1..=50_000,
        None => 1..=500,
    };
    let (first, last) = (*seeds.start(), *seeds.end());
    for seed in seeds {
        let lived = std::panic::catch_unwind(|| Life::lived(seed));
        if let Err(panic) = lived {
            report(&format!(
                "seed {seed} fails; again: LONGSHORE_SEED={seed} cargo test -p agent --features test-util --test deployer lives"
            ));
            std::panic::resume_unwind(panic);
        }
    }
    report(&format!(
        "simulated lives: seeds {first} to {last}, each host whole after every mishap"
    ));
}

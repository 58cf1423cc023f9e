//! What operators do to a host in the tests of faults, and an agent's life in which they do it.

use std::path::PathBuf;
use std::time::Duration;

use agent::engine::scripted::{Behaviour, ScriptedEngine};
use proto::event::Outcome;
use proto::fault::Fault;
use proto::id::DeployId;
use serde_json::json;
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

use crate::bundle::Bundle;
use crate::copies::copy;
use crate::world::{DB, WEB, World, in_memory, name};

/// One agent's lifetime: dropping it kills its tasks where they are.
pub(crate) fn life() -> Runtime {
    Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap()
}

/// The deploy that meets the fault.
pub(crate) const NEW: DeployId = DeployId::from_bytes([99; 16]);

/// A stack of two services with files, one of them mounted.
pub(crate) fn version(web: &str, db: &str) -> Bundle {
    let conf = json!({ "type": "bind", "source": "./conf", "target": "/c" });
    let services = json!({
        "web": { "image": web, "volumes": [conf] },
        "db": { "image": DB, "command": [db] },
    });
    Bundle::new("shop", services)
        .file("conf/web.conf", web)
        .file("db/init", db)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Deed {
    /// The first deploy of the stack.
    First,
    /// Another version.
    Deploy,
    /// Another version, which ends by itself and is taken back.
    Sick,
    /// Back to the first version.
    Back,
    /// All of it goes.
    Down,
}

pub(crate) const DEEDS: [Deed; 5] = [
    Deed::First,
    Deed::Deploy,
    Deed::Sick,
    Deed::Back,
    Deed::Down,
];

impl Deed {
    /// The host as it is before.
    pub(crate) fn host(self) -> Before {
        let world = World::in_memory();
        let before = match self {
            Self::First => 0,
            Self::Deploy | Self::Sick | Self::Down => 1,
            Self::Back => 2,
        };
        life().block_on(async {
            for (number, web) in [(1, WEB), (2, "r/web:2")].into_iter().take(before) {
                let end = world.deploy(&version(web, "1"), number).await;
                assert_eq!(end.outcome, Outcome::Succeeded);
            }
            world.deployer.shut_down().await;
        });
        if self == Self::Sick {
            let sick = Behaviour::crashes_every(Duration::from_secs(1));
            world.engine.behave("r/api:1", sick);
        }
        let kept = in_memory();
        copy(&world.path(""), kept.path());
        Before {
            root: world.path(""),
            engine: world.engine.fork(),
            kept,
        }
    }

    /// Stages, plans and submits.
    pub(crate) async fn begin(self, world: &World) -> Result<(), Fault> {
        let ana = "ana".parse().unwrap();
        let bundle = match self {
            Self::First => version(WEB, "1"),
            Self::Deploy => version("r/web:2", "2").file("new/file", "2"),
            Self::Sick => version("r/api:1", "2").file("new/file", "2"),
            Self::Back => return world.roll_back("shop", None, 99).map(drop),
            Self::Down => return world.deployer.down(NEW, name("shop"), false, ana).map(drop),
        };
        let plan = world.plan(&bundle).await?;
        world.submit(&plan, NEW).map(drop)
    }
}

/// A host that can be had again and again, always in the same place.
pub(crate) struct Before {
    root: PathBuf,
    engine: ScriptedEngine,
    kept: TempDir,
}

impl Before {
    pub(crate) fn again(&self) -> World {
        let state = in_memory();
        copy(self.kept.path(), state.path());
        World::take_over(self.engine.fork(), &state.keep(), &self.root)
    }
}

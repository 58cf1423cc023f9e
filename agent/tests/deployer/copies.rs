//! Copies of a host, taken after each write and around each call of the engine: what a crash in that moment would leave.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use agent::engine::scripted::ScriptedEngine;
use agent::witness;
use tempfile::TempDir;

use crate::world::{World, in_memory};

/// The host as a crash would leave it.
pub(crate) struct Copy {
    pub(crate) state: PathBuf,
    pub(crate) engine: ScriptedEngine,
}

/// Takes copies until it is dropped.
pub(crate) struct Copies {
    folder: TempDir,
    taken: Arc<Mutex<Vec<Copy>>>,
    engine: ScriptedEngine,
    _watch: witness::Guard,
}

impl Copies {
    pub(crate) fn of(world: &World) -> Self {
        let folder = in_memory();
        let taken = Arc::new(Mutex::new(Vec::new()));
        let root = world.path("");
        let take = {
            let (taken, engine) = (taken.clone(), world.engine.clone());
            let (root, folder) = (root.clone(), folder.path().to_owned());
            move || {
                let mut taken = taken.lock().unwrap();
                let state = folder.join(taken.len().to_string());
                copy(&root, &state);
                taken.push(Copy {
                    state,
                    engine: engine.fork(),
                });
            }
        };
        let on_call = take.clone();
        world.engine.watch(Some(on_call));
        Self {
            folder,
            taken,
            engine: world.engine.clone(),
            _watch: witness::watch(&root, move |_: &Path| take()),
        }
    }

    pub(crate) fn stop(self) -> (TempDir, Vec<Copy>) {
        self.engine.watch(None::<fn()>);
        let taken = std::mem::take(&mut *self.taken.lock().unwrap());
        (self.folder, taken)
    }
}

pub(crate) fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        // Room that is kept free is nothing to lose.
        if entry.file_name() == "reserve" {
            continue;
        }
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

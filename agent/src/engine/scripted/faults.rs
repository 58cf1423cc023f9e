//! What was called, and which calls go wrong.

use std::collections::HashMap;

use crate::engine::EngineError;

/// A method of the engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Method {
    /// `facts`.
    Facts,
    /// `compose_version`.
    ComposeVersion,
    /// `named`.
    Named,
    /// `resolve`.
    Resolve,
    /// `config_hashes`.
    ConfigHashes,
    /// `containers`.
    Containers,
    /// `image`.
    Image,
    /// `remote_image`.
    RemoteImage,
    /// `layers`.
    Layers,
    /// `disk`.
    Disk,
    /// `belongings`.
    Belongings,
    /// `remove_network`.
    RemoveNetwork,
    /// `remove_volume`.
    RemoveVolume,
    /// `volume`.
    Volume,
    /// `has_network`.
    HasNetwork,
    /// `host_containers`.
    HostContainers,
    /// `pull`.
    Pull,
    /// `up`.
    Up,
    /// `down`.
    Down,
    /// `prepare_exec`.
    PrepareExec,
    /// `run_exec`.
    RunExec,
    /// `end_exec`.
    EndExec,
    /// `run_once`.
    RunOnce,
    /// `stop_container`.
    StopContainer,
    /// `start_container`.
    StartContainer,
    /// `remove_container`.
    RemoveContainer,
    /// `rename_container`.
    RenameContainer,
    /// `tag`.
    Tag,
    /// `untag`.
    Untag,
    /// `names`.
    Names,
    /// `end_leftovers`.
    EndLeftovers,
    /// `nudges`.
    Nudges,
    /// `probe_exec`.
    ProbeExec,
    /// `logs`.
    Logs,
}

/// One call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// Of what.
    pub method: Method,
    /// With what, in words: `shop --force-recreate web`.
    pub detail: String,
}

/// How a call goes wrong.
#[derive(Debug, Clone)]
pub enum Trouble {
    /// At once, with nothing done.
    Fail(EngineError),
    /// Of `up` and `down`: after the first service or container.
    Midway(EngineError),
    /// It never ends: a child until its deadline or until it is stopped, any other call until it is dropped.
    Hang,
}

/// The script and the record of calls.
#[derive(Default)]
pub(super) struct Faults {
    /// In order.
    pub(super) calls: Vec<Call>,
    planned: HashMap<Method, Vec<(usize, Trouble)>>,
}

impl Faults {
    /// Plans one, counted from the next call.
    pub(super) fn add(&mut self, method: Method, nth: usize, trouble: Trouble) {
        let so_far = self.count(method);
        let planned = self.planned.entry(method).or_default();
        planned.push((so_far + nth, trouble));
    }

    /// Notes a call; what is planned for it.
    pub(super) fn enter(&mut self, method: Method, detail: String) -> Option<Trouble> {
        self.calls.push(Call { method, detail });
        let nth = self.count(method);
        let planned = self.planned.get(&method)?;
        let found = planned.iter().find(|(at, _)| *at == nth)?;
        Some(found.1.clone())
    }

    fn count(&self, method: Method) -> usize {
        self.calls
            .iter()
            .filter(|call| call.method == method)
            .count()
    }
}

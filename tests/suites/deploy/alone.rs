//! A host that one test has for itself, with a stack that runs: what is there before and after can be compared.

use std::fs;
use std::time::Duration;

use tests::lab::{Cmd, Host, Process};

use crate::world::{Case, Ended, World};

/// Names the step at which an agent that was started here dies.
pub(crate) const DIE: &str = "/run/die";

/// The host, its agent, and the stack of the same name that was deployed to it.
pub(crate) struct Alone<'w> {
    // Goes before its host: one that is frozen keeps a host from ending.
    agent: Process,
    pub(crate) host: Host,
    pub(crate) case: Case<'w>,
}

impl<'w> Alone<'w> {
    /// Makes the host and deploys the stack.
    pub(crate) fn new(world: &'w World, name: &str) -> Self {
        Self::on(world, world.lab.host(name).unwrap())
    }

    /// The same on a host that was made ready for it.
    pub(crate) fn on(world: &'w World, host: Host) -> Self {
        let name = &host.name().to_owned();
        let agent = world.enrol(&host);
        let case = world.case(name);
        let file = case.folder.path().join("fleet.toml");
        let more = format!(
            "\n[hosts.{name}]\naddress = \"{}:7433\"\nstacks = [\"{name}\"]\n",
            host.ip()
        );
        fs::write(&file, fs::read_to_string(&file).unwrap() + &more).unwrap();
        let alone = Self { host, case, agent };
        let ended = alone.deploy();
        assert_eq!(
            ended.code,
            0,
            "{}\nthe agent:\n{}",
            ended.said(),
            alone.log()
        );
        alone
    }

    pub(crate) fn name(&self) -> &str {
        self.host.name()
    }

    /// What the agent has logged.
    pub(crate) fn log(&self) -> String {
        self.agent.output()
    }

    pub(crate) fn address(&self) -> String {
        format!("{}:7433", self.host.ip())
    }

    pub(crate) fn deploy(&self) -> Ended {
        self.case.controller(&["deploy", self.name(), "--yes"])
    }

    /// The agent again, with what its folder says now.
    pub(crate) fn restart_agent(&mut self) {
        self.agent.terminate();
        self.agent.wait(Duration::from_secs(20)).unwrap();
        self.start_agent();
    }

    /// It does nothing more, and its connections stay open.
    pub(crate) fn freeze_agent(&self) {
        self.agent.freeze();
    }

    pub(crate) fn thaw_agent(&self) {
        self.agent.thaw();
    }

    /// Kills the agent, and not what it has started.
    pub(crate) fn kill_agent(&self) {
        self.agent.kill();
    }

    /// Whether the agent is gone.
    pub(crate) fn agent_has_ended(&self) -> bool {
        self.agent.ended().is_some()
    }

    /// The same for an agent that may be clearing up behind a deploy whose end is told.
    pub(crate) fn agent_ends_soon(&self) -> bool {
        self.agent.wait(Duration::from_secs(1)).is_ok()
    }

    /// An agent after one that is gone.
    pub(crate) fn start_agent(&mut self) {
        let run = Cmd::new(["agent", "run"]).env("LONGSHORE_DIE", DIE);
        self.agent = self.host.spawn(&run).unwrap();
        self.agent
            .wait_for("listening", Duration::from_secs(20))
            .unwrap();
    }

    /// Every container, and every file of the agent with its content.
    pub(crate) fn everything(&self) -> String {
        let line = "docker ps -a --no-trunc --format '{{.ID}} {{.Image}} {{.State}}' | sort; \
                    find /var/lib/longshore /etc/longshore -type f -exec sha256sum {} + | sort -k 2";
        self.host.sh(line).unwrap()
    }

    /// Nothing is changed since `before`, and the same agent still serves a good operator.
    #[track_caller]
    pub(crate) fn is_unharmed(&self, before: &str) {
        assert_eq!(self.everything(), before);
        assert!(
            self.agent.ended().is_none(),
            "the agent ended:\n{}",
            self.agent.output()
        );
        let said = self.deploy().done();
        assert!(said.contains("nothing to change"), "{said}");
    }
}

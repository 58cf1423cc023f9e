//! Which verbs run programs: `plan` and `deploy`, before any host is asked, and no other.

use std::ffi::OsString;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use proto::id::HostName;

use super::*;
use crate::cli::{Cli, SourceArgs, Verb};
use crate::command::{self, Context, Fleet, FleetVerb, Target};
use crate::docker_auth::Logins;
use crate::exit::Exit;
use crate::fake::{FakeFleet, FakeHost, Script};
use crate::link::{Dial, Patience, Supply};

/// Scripted hosts, and programs that really run.
struct WithPrograms {
    hosts: Arc<FakeFleet>,
    programs: Programs,
    confirmed: Confirmed,
    wanted: Vec<Wanted>,
}

impl Fleet for WithPrograms {
    fn targets(&self, words: &[String]) -> Result<Vec<Target>, Fault> {
        self.hosts.targets(words)
    }

    fn dial(&self, host: &HostName) -> Result<Arc<dyn Dial>, Fault> {
        self.hosts.dial(host)
    }

    fn run_commands<'a>(
        &'a self,
        _: &'a [Target],
        source: &'a SourceArgs,
        leave: &'a Leave,
    ) -> BoxFuture<'a, Result<(), Ended>> {
        let (wanted, allowed) = (self.wanted.clone(), source.allow_commands);
        let run = self.programs.run(wanted, &self.confirmed, allowed, leave);
        run.boxed()
    }

    fn gather(&self, target: &Target, env: &[String]) -> Result<Box<dyn Supply>, Fault> {
        let mut values = self.wanted.iter();
        assert!(values.all(|one| self.programs.printed().get(&one.argv).is_some()));
        self.hosts.gather(target, env)
    }

    fn auths<'a>(&'a self, registries: &'a [String]) -> BoxFuture<'a, Result<Logins, Fault>> {
        self.hosts.auths(registries)
    }
}

struct Stage {
    desk: Desk,
    hosts: Vec<Arc<FakeHost>>,
    fleet: Arc<FakeFleet>,
}

impl Stage {
    fn new(look: Look) -> Self {
        let host = |name| (name, FakeHost::start(Script::of(name)));
        let hosts = ["emilia", "konane"].map(host).to_vec();
        Self {
            desk: Desk::new("n\n", look),
            hosts: hosts.iter().map(|(_, host)| Arc::clone(host)).collect(),
            fleet: FakeFleet::new(hosts),
        }
    }

    /// One invocation, with a program that says when it runs.
    async fn run(&self, words: &str) -> Exit {
        let fleet = WithPrograms {
            hosts: Arc::clone(&self.fleet),
            programs: self.desk.programs(),
            confirmed: self.desk.confirmed(),
            wanted: vec![wanted("echo ran >>runs; echo canary$((70+7))", "DB", 3)],
        };
        let context = Context {
            terminal: self.desk.capture.terminal(self.desk.look),
            fleet: Arc::new(fleet),
            leave: self.desk.leave.clone(),
            now_nanos: 0,
            patience: Patience::FOLLOW,
        };
        let words = std::iter::once("controller").chain(words.split(' '));
        let verb = match Cli::read(words.map(OsString::from)).unwrap().verb {
            Verb::Plan(args) => FleetVerb::Plan(args),
            Verb::Deploy(args) => FleetVerb::Deploy(args),
            Verb::Status(args) => FleetVerb::Status(args),
            Verb::Logs(args) => FleetVerb::Logs(args),
            Verb::Down(args) => FleetVerb::Down(args),
            other => panic!("{other:?}"),
        };
        let run = timeout(Duration::from_secs(20), command::run(verb, &context));
        let exit = run.await.expect("it hangs");
        let said = format!("{}{}", self.desk.capture.out(), self.desk.capture.err());
        assert!(!said.contains("canary77"), "{said}");
        exit
    }

    fn plans(&self) -> usize {
        self.hosts.iter().map(|host| host.seen().plans.len()).sum()
    }
}

#[tokio::test]
async fn a_plan_in_a_pipe_needs_the_flag_once_and_one_run_serves_all_hosts() {
    let stage = Stage::new(Look::default());
    assert_eq!(stage.run("plan all").await, Exit::Usage);
    assert_eq!((stage.desk.runs().as_str(), stage.plans()), ("", 0));
    assert_eq!(stage.run("plan all --allow-commands").await, Exit::Pending);
    assert_eq!((stage.desk.runs().as_str(), stage.plans()), ("ran\n", 2));
    assert_eq!(stage.run("deploy all --yes").await, Exit::Done);
    assert_eq!(stage.desk.runs(), "ran\nran\n");
}

#[tokio::test]
async fn yes_to_a_deploy_is_no_yes_to_a_program() {
    let stage = Stage::new(Look::default());
    assert_eq!(stage.run("deploy all --yes").await, Exit::Usage);
    let stage = Stage::new(TTY);
    assert_eq!(stage.run("deploy all --yes").await, Exit::Failed);
    assert_eq!((stage.desk.runs().as_str(), stage.plans()), ("", 0));
}

#[tokio::test]
async fn other_verbs_run_no_program() {
    let stage = Stage::new(Look::default());
    for words in ["status", "logs all", "down all --yes"] {
        stage.run(words).await;
    }
    assert_eq!(stage.desk.runs(), "");
}

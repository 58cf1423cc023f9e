//! A fleet of scripted hosts, and the small things tests are made of.

use std::collections::BTreeMap;
use std::io::{Cursor, Read};
use std::sync::{Arc, Mutex};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use proto::event::{ContainerState, Event, EventKind, Health, Outcome, State};
use proto::fault::{Fault, FaultKind};
use proto::hello::PROTOCOL;
use proto::id::{BlobId, DeployId, HostName, PlanId, RevisionId};
use proto::plan::{Action, Plan, ServicePlan};
use proto::registry::RegistryAuth;
use proto::stack::{ShippedFile, StackOffer, StackSpec};

use super::{FakeDial, FakeHost, Script};
use crate::agents::{Agent, Arch};
use crate::command::{Fleet, Target};
use crate::docker_auth::Logins;
use crate::event::Place;
use crate::link::{Dial, Supply};
use crate::shelf::Shelf;

pub(crate) fn place(text: &str) -> Place {
    let (host, stack) = text.split_once('/').unwrap();
    Place {
        host: host.parse().unwrap(),
        stack: stack.parse().unwrap(),
    }
}

pub(crate) fn event(seq: u64, kind: EventKind) -> Event {
    Event {
        seq,
        at_millis: 1_772_366_400_000 + seq * 1000,
        kind,
    }
}

/// A deploy from its first event to its last.
pub(crate) fn script_of_success() -> Vec<Event> {
    let state = |state| EventKind::StateEntered { state };
    let kinds = vec![
        EventKind::Received {
            deploy: DeployId::from_bytes([7; 16]),
            stack: "opq".parse().unwrap(),
            operator: "ana".parse().unwrap(),
        },
        state(State::Pulled),
        state(State::Applying),
        EventKind::ServiceState {
            service: "web".parse().unwrap(),
            container: "opq-web-1".to_owned(),
            state: ContainerState::Running,
            health: Health::Healthy,
            exit_code: 0,
            settled: true,
        },
        state(State::Committed),
        EventKind::Finished {
            outcome: Outcome::Succeeded,
            state: State::Committed,
            revision: Some(RevisionId::from_bytes([0xab; 32])),
            fault: None,
        },
    ];
    (1..)
        .zip(kinds)
        .map(|(seq, kind)| event(seq, kind))
        .collect()
}

pub(crate) fn plan_of(action: Action) -> Plan {
    Plan {
        id: PlanId::from_bytes([3; 16]),
        stack: "opq".parse().unwrap(),
        project: "opq".parse().unwrap(),
        base: None,
        part: None,
        expires_in: 3600,
        services: vec![ServicePlan {
            service: "web".parse().unwrap(),
            action,
            reasons: Vec::new(),
            replicas: 1,
            fields: Vec::new(),
            downtime: None,
        }],
        images: Vec::new(),
        files: Vec::new(),
        kept_files: Vec::new(),
        orphans: Vec::new(),
        warnings: Vec::new(),
        notes: Vec::new(),
        project_directory: "/srv/opq".to_owned(),
        disk: None,
        hooks: Vec::new(),
        adoption: None,
    }
}

impl Script {
    /// A host that creates one service without a hitch.
    pub(crate) fn of(host: &str) -> Self {
        Self {
            host: host.to_owned(),
            protocol: PROTOCOL,
            needs: Vec::new(),
            wants: Vec::new(),
            registries: vec!["docker.io".to_owned()],
            plan: Ok(plan_of(Action::Create)),
            events: script_of_success(),
            hold_after: None,
            logs: Vec::new(),
            hold_logs_after: None,
            status: Vec::new(),
            history: Vec::new(),
            record: Vec::new(),
            head: None,
            agent: "0.9.0",
            findings: Vec::new(),
            credentials: None,
            request: String::new(),
            now_millis: 1_772_366_400_000,
            lose_answers: 0,
            cancelling: true,
            saved: Vec::new(),
            cut_saved_after: None,
            busy: 0,
            held: 0,
            next_plan: None,
        }
    }
}

/// Files in memory, by blob.
#[derive(Default)]
pub(crate) struct FakeSupply {
    pub(crate) blobs: BTreeMap<[u8; 32], Vec<u8>>,
}

impl Supply for FakeSupply {
    fn offer(&self) -> StackOffer {
        let compose_file = "compose.yaml".parse().unwrap();
        let spec = StackSpec {
            files: self
                .blobs
                .iter()
                .map(|(blob, data)| ShippedFile {
                    path: format!("file-{}", blob[0]).parse().unwrap(),
                    mode: 0o644,
                    size: data.len() as u64,
                    blob: BlobId::from_bytes(*blob),
                })
                .collect(),
            ..StackSpec::new("opq".parse().unwrap(), "opq".parse().unwrap(), compose_file)
        };
        spec.into()
    }

    fn add_wanted(&mut self, paths: Vec<String>) -> Result<Vec<ShippedFile>, Fault> {
        let file = |path: String| ShippedFile {
            path: path.parse().unwrap(),
            mode: 0o644,
            size: 0,
            blob: BlobId::from_bytes([0; 32]),
        };
        Ok(paths
            .into_iter()
            .filter(|path| path != "missing")
            .map(file)
            .collect())
    }

    fn warnings(&self) -> Vec<String> {
        vec!["ship of [stacks.opq]: *.cfg matches no file".to_owned()]
    }

    fn open(&self, blob: BlobId) -> Result<Box<dyn Read + Send>, Fault> {
        let gone = || Fault::new(FaultKind::InvalidStack, "data/x has gone");
        let data = self.blobs.get(blob.as_bytes()).ok_or_else(gone)?;
        Ok(Box::new(Cursor::new(data.clone())))
    }
}

/// Every host runs the stack `opq`.
pub(crate) struct FakeFleet {
    pub(crate) hosts: Vec<(HostName, Arc<FakeHost>)>,
    pub(crate) asked_auths: Mutex<usize>,
    pub(crate) shelf: Mutex<Shelf>,
}

impl FakeFleet {
    pub(crate) fn new(hosts: Vec<(&str, Arc<FakeHost>)>) -> Arc<Self> {
        let hosts = hosts
            .into_iter()
            .map(|(name, host)| (name.parse().unwrap(), host));
        Arc::new(Self {
            hosts: hosts.collect(),
            asked_auths: Mutex::default(),
            shelf: Mutex::default(),
        })
    }
}

impl Fleet for FakeFleet {
    fn targets(&self, words: &[String]) -> Result<Vec<Target>, Fault> {
        let all = words.is_empty() || words == ["all"];
        let target = |host: &HostName, service: Option<&str>| Target {
            place: place(&format!("{host}/opq")),
            services: service
                .into_iter()
                .map(|name| name.parse().unwrap())
                .collect(),
        };
        let named = |host: &HostName, word: &String| {
            let (stack, service) = (format!("{host}/opq"), format!("{host}/opq/"));
            match word.strip_prefix(&service) {
                Some(service) => Some(target(host, Some(service))),
                None => (*word == stack || word == host.as_str()).then(|| target(host, None)),
            }
        };
        let on = |host: &HostName| match all {
            true => vec![target(host, None)],
            false => words.iter().filter_map(|word| named(host, word)).collect(),
        };
        Ok(self.hosts.iter().flat_map(|(host, _)| on(host)).collect())
    }

    fn agent(&self, version: &str, arch: Arch) -> Result<Agent, Fault> {
        Ok(Agent {
            path: "/dev/null".into(),
            sha256: BlobId::from_bytes([9; 32]),
            size: 1,
            version: version.to_owned(),
            arch,
        })
    }

    fn dial(&self, host: &HostName) -> Result<Arc<dyn Dial>, Fault> {
        let (_, host) = self.hosts.iter().find(|(name, _)| name == host).unwrap();
        Ok(Arc::new(FakeDial(Arc::clone(host))))
    }

    fn gather(&self, _: &Target, env: &[String]) -> Result<Box<dyn Supply>, Fault> {
        if env.iter().any(|env| env == "BROKEN") {
            return Err(Fault::new(
                FaultKind::InvalidStack,
                "BROKEN is not set in this shell",
            ));
        }
        Ok(Box::new(FakeSupply::default()))
    }

    fn shelf(&self, _: &Place) -> Shelf {
        self.shelf.lock().unwrap().clone()
    }

    fn auths<'a>(&'a self, registries: &'a [String]) -> BoxFuture<'a, Result<Logins, Fault>> {
        *self.asked_auths.lock().unwrap() += 1;
        let auth = |registry: &String| RegistryAuth {
            registry: registry.clone(),
            username: "u".to_owned(),
            password: "p".to_owned(),
            identity_token: String::new(),
        };
        let logins = Logins {
            found: registries.iter().map(auth).collect(),
            failed: Vec::new(),
        };
        async move { Ok(logins) }.boxed()
    }
}

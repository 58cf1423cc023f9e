//! What is known of every place, folded from events: the state that screens draw and that the exit code is
//! read from.

mod image;

use std::collections::BTreeMap;

use proto::event::{ContainerState, Event, EventKind, Health, Outcome, State};
use proto::fault::{Fault, FaultKind};
use proto::hook::{HOOKS, When};
use proto::id::{DeployId, OperatorName, RevisionId, ServiceName};
use proto::plan::Plan;

use crate::error::Failure;
use crate::event::{Fact, FleetEvent, Own, Place};
use crate::exit::Exit;

pub use image::{Image, Layer};

/// How a place ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// The agent gave its verdict.
    Judged {
        /// How.
        outcome: Outcome,
        /// Where.
        state: State,
        /// What is committed now.
        revision: Option<RevisionId>,
        /// Why, when it did not succeed.
        fault: Option<Fault>,
    },
    /// Nothing had to be done.
    Unchanged,
    /// The controller was asked not to follow.
    Detached,
    /// The controller left.
    Left,
    /// It ended without a verdict.
    Broke(Fault),
}

/// One container, as last reported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Container {
    /// Its service.
    pub service: ServiceName,
    /// What the engine says.
    pub state: ContainerState,
    /// What its healthcheck says.
    pub health: Health,
    /// Meaningful when exited.
    pub exit_code: i64,
    /// Judged good.
    pub settled: bool,
}

/// A hook, as far as it is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HookSeen {
    /// On which side of the deploy.
    pub when: When,
    /// Where it runs.
    pub service: ServiceName,
    /// What is run.
    pub command: String,
    /// How it ended.
    pub outcome: Option<Outcome>,
}

/// One place.
#[derive(Debug, Clone)]
pub struct Site {
    /// Which.
    pub place: Place,
    /// The deploy, once there is one.
    pub deploy: Option<DeployId>,
    /// Where the deploy is.
    pub state: Option<State>,
    /// Whether the host has answered.
    pub connected: bool,
    /// Why the link is down, while it is.
    pub lost: Option<String>,
    /// Whose deploy of the stack has to end first.
    pub waits_for: Option<OperatorName>,
    /// Bytes sent and bytes to send, while files are on their way.
    pub upload: Option<(u64, u64)>,
    /// What a deploy would do.
    pub plan: Option<Box<Plan>>,
    /// What Compose has printed last, while it runs.
    pub compose: Option<String>,
    /// Images by first mention.
    pub images: Vec<Image>,
    /// Containers by name.
    pub containers: BTreeMap<String, Container>,
    /// What the deploy has made anew, by name.
    pub renewed: Vec<String>,
    /// Hooks by number.
    pub hooks: BTreeMap<u32, HookSeen>,
    /// Something that was to be kept on this workstation is not.
    pub unsaved: bool,
    /// How it ended.
    pub end: Option<End>,
    began_millis: Option<u64>,
    last_millis: u64,
}

/// A host that reports nonsense must not fill this machine's memory.
const MOST_CONTAINERS: usize = 4096;
const MOST_IMAGES: usize = 1024;

impl Site {
    fn new(place: Place) -> Self {
        Self {
            place,
            deploy: None,
            state: None,
            connected: false,
            lost: None,
            waits_for: None,
            upload: None,
            plan: None,
            compose: None,
            images: Vec::new(),
            containers: BTreeMap::new(),
            renewed: Vec::new(),
            hooks: BTreeMap::new(),
            unsaved: false,
            end: None,
            began_millis: None,
            last_millis: 0,
        }
    }

    /// Milliseconds from the deploy's first event to its latest, by the host's clock.
    #[must_use]
    pub fn elapsed_millis(&self) -> u64 {
        self.last_millis
            .saturating_sub(self.began_millis.unwrap_or(self.last_millis))
    }

    /// Containers judged good, and containers in all.
    #[must_use]
    pub fn settled(&self) -> (usize, usize) {
        let good = self.containers.values().filter(|one| one.settled).count();
        (good, self.containers.len())
    }

    fn apply(&mut self, fact: &Fact) {
        match fact {
            Fact::Own(own) => self.apply_own(own),
            Fact::Agent(event) => self.apply_agent(event),
        }
    }

    fn apply_own(&mut self, own: &Own) {
        match own {
            Own::Connected { .. } => self.connected = true,
            Own::Uploading { sent, total } => self.upload = Some((*sent, *total)),
            Own::Planned { plan, .. } => {
                self.upload = None;
                self.waits_for = None;
                self.plan = Some(plan.clone());
            }
            Own::Waiting { operator, .. } => self.waits_for = Some(operator.clone()),
            Own::Submitted { deploy } => {
                self.waits_for = None;
                self.deploy = Some(*deploy);
            }
            Own::LinkLost { why } => self.lost = Some(why.clone()),
            Own::LinkRestored => self.lost = None,
            Own::Fetched { .. } => {}
            // Who may not have it, and where it is not meant to go, has lost nothing.
            Own::NotFetched { fault, .. } => {
                let harmless = [FaultKind::Denied, FaultKind::UnknownName];
                self.unsaved |= !harmless.contains(&fault.kind);
            }
            Own::Unchanged => self.end = Some(End::Unchanged),
            Own::Detached { .. } => self.end = Some(End::Detached),
            Own::Left { deploy } => {
                self.deploy = self.deploy.or(*deploy);
                // Whoever leaves just after the verdict has seen it.
                self.end.get_or_insert(End::Left);
            }
            Own::Broke { fault } => self.end = Some(End::Broke(fault.clone())),
        }
    }

    fn apply_agent(&mut self, event: &Event) {
        let Event {
            seq: _,
            at_millis,
            kind,
        } = event;
        self.connected = true;
        self.lost = None;
        self.began_millis.get_or_insert(*at_millis);
        self.last_millis = self.last_millis.max(*at_millis);
        match kind {
            EventKind::Received { deploy, .. } => {
                self.deploy = Some(*deploy);
                self.state = Some(State::Received);
            }
            EventKind::StateEntered { state } => {
                self.state = Some(*state);
                self.compose = None;
            }
            EventKind::ComposeLine { text } => self.compose = Some(text.clone()),
            EventKind::PullStarted { image } => {
                self.image(image);
            }
            EventKind::LayerProgress { image, .. } => {
                if let Some(known) = self.image(image) {
                    known.apply(kind);
                }
            }
            EventKind::PullFinished {
                image,
                digest,
                outcome,
            } => {
                if let Some(known) = self.image(image) {
                    known.finish(digest, *outcome);
                }
            }
            EventKind::HookStarted {
                hook,
                when,
                service,
                command,
            } if self.hooks.len() < HOOKS => {
                let seen = HookSeen {
                    when: *when,
                    service: service.clone(),
                    command: command.clone(),
                    outcome: None,
                };
                self.hooks.insert(*hook, seen);
            }
            EventKind::HookFinished { hook, outcome, .. } => {
                if let Some(known) = self.hooks.get_mut(hook) {
                    known.outcome = Some(*outcome);
                }
            }
            EventKind::HookStarted { .. } | EventKind::HookLine { .. } => {}
            EventKind::ServiceState { .. } => self.apply_container(kind),
            EventKind::ProbeAnswered { .. }
            | EventKind::Warning { .. }
            | EventKind::ConfirmWanted { .. }
            | EventKind::Confirmed { .. } => {}
            EventKind::Renewed { containers } => {
                self.renewed = containers.iter().take(MOST_CONTAINERS).cloned().collect();
            }
            EventKind::Finished {
                outcome,
                state,
                revision,
                fault,
            } => {
                self.state = Some(*state);
                self.end = Some(End::Judged {
                    outcome: *outcome,
                    state: *state,
                    revision: *revision,
                    fault: fault.clone(),
                });
            }
        }
    }

    fn apply_container(&mut self, kind: &EventKind) {
        let EventKind::ServiceState {
            service,
            container,
            state,
            health,
            exit_code,
            settled,
        } = kind
        else {
            return;
        };
        if *state == ContainerState::Removing {
            self.containers.remove(container);
            return;
        }
        let known = self.containers.contains_key(container);
        if known || self.containers.len() < MOST_CONTAINERS {
            let value = Container {
                service: service.clone(),
                state: *state,
                health: *health,
                exit_code: *exit_code,
                settled: *settled,
            };
            self.containers.insert(container.clone(), value);
        }
    }

    fn image(&mut self, name: &str) -> Option<&mut Image> {
        let at = self.images.iter().position(|image| image.name == name);
        let at = match at {
            Some(at) => at,
            None if self.images.len() < MOST_IMAGES => {
                self.images.push(Image::new(name));
                self.images.len() - 1
            }
            None => return None,
        };
        self.images.get_mut(at)
    }

    /// The code this place alone would end with; `None` while it goes on.
    #[must_use]
    pub fn exit(&self) -> Option<Exit> {
        Some(match self.end.as_ref()? {
            End::Judged { outcome, state, .. } => match Exit::of_ending(*outcome, *state) {
                Exit::Done if self.unsaved => Exit::Failed,
                exit => exit,
            },
            End::Unchanged | End::Detached => Exit::Done,
            End::Left => Exit::Left,
            End::Broke(fault) => fault.kind.into(),
        })
    }

    /// What to tell on standard error.
    #[must_use]
    pub fn failure(&self) -> Option<Failure> {
        let fault = match self.end.as_ref()? {
            End::Judged { fault, .. } => fault.as_ref()?,
            End::Broke(fault) => fault,
            End::Unchanged | End::Detached | End::Left => return None,
        };
        Some(Failure::on(&self.place.host, fault.clone()))
    }
}

/// Every place of one command, in the order given.
#[derive(Debug, Clone)]
pub struct Board {
    sites: Vec<Site>,
}

impl Board {
    /// A board of places that nothing is known of yet.
    #[must_use]
    pub fn new(places: impl IntoIterator<Item = Place>) -> Self {
        Self {
            sites: places.into_iter().map(Site::new).collect(),
        }
    }

    /// Takes an event in; the site that it happened at. A place that is new is added at the end.
    pub fn apply(&mut self, event: &FleetEvent) -> &Site {
        let at = self.sites.iter().position(|site| site.place == event.place);
        let at = at.unwrap_or_else(|| {
            self.sites.push(Site::new(event.place.clone()));
            self.sites.len() - 1
        });
        self.sites[at].apply(&event.fact);
        &self.sites[at]
    }

    /// All sites.
    #[must_use]
    pub fn sites(&self) -> &[Site] {
        &self.sites
    }

    /// The code that the command ends with. A place without an end counts as left.
    #[must_use]
    pub fn exit(&self) -> Exit {
        Exit::overall(
            self.sites
                .iter()
                .map(|site| site.exit().unwrap_or(Exit::Left)),
        )
    }

    /// Characters of the longest place's name.
    #[must_use]
    pub fn place_width(&self) -> usize {
        let width = |site: &Site| site.place.to_string().len();
        self.sites.iter().map(width).max().unwrap_or(0)
    }
}

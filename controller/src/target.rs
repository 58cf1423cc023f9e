//! Targets: what the operator names on the command line, turned into hosts, stacks and services.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::str::FromStr;

use proto::fault::{Fault, FaultKind};
use proto::id::{HostName, InvalidId, ServiceName, StackName};

use crate::fleet::label::{InvalidLabel, Label};
use crate::fleet::{Fleet, Host};

mod resolve;
#[cfg(test)]
mod tests;

use resolve::{everywhere, resolve};

/// One target, not yet compared with a fleet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Whether it takes away instead of adding.
    pub exclude: bool,
    /// What it names.
    pub scope: Scope,
}

/// What a target names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// Every stack of every host.
    All,
    /// Every stack of one host.
    Host(HostName),
    /// One stack on one host.
    Stack(HostName, StackName),
    /// One service of it.
    Service(HostName, StackName, ServiceName),
    /// One stack wherever it runs.
    EveryHost(StackName),
    /// Every stack of the hosts with this label.
    Label(Label),
}

/// One stack on one host that was asked for, or one service of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Selection {
    /// Where.
    pub host: HostName,
    /// Which stack.
    pub stack: StackName,
    /// Which service; `None` is all of them.
    pub service: Option<ServiceName>,
}

/// Why targets were not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// Not a target at all.
    #[error(
        "target {0:?} is not HOST, HOST/STACK, HOST/STACK/SERVICE, stack:NAME, label:NAME or all"
    )]
    Shape(String),
    /// A part that cannot be a name.
    #[error(transparent)]
    Name(#[from] InvalidId),
    /// A part that cannot be a label.
    #[error(transparent)]
    Label(#[from] InvalidLabel),
    /// Nothing of that name.
    #[error("there is no {what} `{name}`")]
    Unknown {
        /// Host, stack or label.
        what: &'static str,
        /// As it was given.
        name: String,
        /// The nearest, or what there is.
        hint: Option<String>,
    },
    /// The stack exists, but not there.
    #[error("{host} does not run stack `{stack}`")]
    NotThere {
        /// The host named.
        host: HostName,
        /// The stack named.
        stack: StackName,
        /// Where it runs.
        hint: Option<String>,
    },
    /// A service taken out of a stack that is taken whole.
    #[error("service `{2}` cannot be left out: {0}/{1} is selected as a whole")]
    PartOfWhole(HostName, StackName, ServiceName),
    /// The fleet has nothing that could be named.
    #[error("the fleet has no host yet")]
    NoHosts,
    /// Nothing named, or nothing left.
    #[error("{0}")]
    Empty(&'static str),
}

impl From<TargetError> for Fault {
    fn from(error: TargetError) -> Self {
        let fault = Self::new(FaultKind::InvalidRequest, error.to_string());
        let hint = match error {
            TargetError::Unknown { hint, .. } | TargetError::NotThere { hint, .. } => hint,
            TargetError::PartOfWhole(host, stack, _) => Some(format!(
                "name the services you want instead: {host}/{stack}/SERVICE"
            )),
            TargetError::NoHosts => Some("controller host add NAME --ssh USER@HOST".to_owned()),
            TargetError::Empty(_) => Some("`all` names every stack of every host".to_owned()),
            TargetError::Shape(_) | TargetError::Name(_) | TargetError::Label(_) => None,
        };
        match hint {
            Some(hint) => fault.hint(hint),
            None => fault,
        }
    }
}

impl Scope {
    /// Whether it covers a host with whatever is there.
    fn is_whole(&self, host: &Host) -> bool {
        match self {
            Self::All => true,
            Self::Host(name) => *name == host.name,
            Self::Label(label) => host.labels.contains(label),
            Self::Stack(..) | Self::Service(..) | Self::EveryHost(_) => false,
        }
    }
}

impl FromStr for Target {
    type Err = TargetError;
    fn from_str(text: &str) -> Result<Self, TargetError> {
        let (exclude, rest) = match text.strip_prefix('!') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let shape = || TargetError::Shape(text.chars().take(120).collect());
        let scope = if rest == "all" {
            Scope::All
        } else if let Some((kind, name)) = rest.split_once(':') {
            match kind {
                "stack" => Scope::EveryHost(name.parse()?),
                "label" => Scope::Label(name.parse()?),
                _ => return Err(shape()),
            }
        } else {
            let parts: Vec<&str> = rest.split('/').collect();
            match parts.as_slice() {
                [""] => return Err(shape()),
                [host] => Scope::Host(host.parse()?),
                [host, stack] => Scope::Stack(host.parse()?, stack.parse()?),
                [host, stack, service] => {
                    Scope::Service(host.parse()?, stack.parse()?, service.parse()?)
                }
                _ => return Err(shape()),
            }
        };
        Ok(Self { exclude, scope })
    }
}

/// What `targets` select, in the order of `fleet.toml`, each stack or service once. The order of the
/// targets makes no difference, and an exclusion always wins.
///
/// # Errors
/// When a target is not one, names something that is not there, or nothing remains.
pub fn select<T: AsRef<str>>(fleet: &Fleet, targets: &[T]) -> Result<Vec<Selection>, TargetError> {
    let selections = selected(fleet, &parse(targets)?)?;
    if selections.is_empty() {
        return Err(TargetError::Empty("the targets select no stack at all"));
    }
    Ok(selections)
}

/// What `targets` select, host by host: as [`select`], and with hosts that have no stack yet.
///
/// # Errors
/// As [`select`].
pub fn by_host<T: AsRef<str>>(
    fleet: &Fleet,
    targets: &[T],
) -> Result<Vec<(HostName, Vec<Selection>)>, TargetError> {
    let targets = parse(targets)?;
    if fleet.hosts.is_empty() {
        return Err(TargetError::NoHosts);
    }
    let mut selections = selected(fleet, &targets)?;
    let named = |host: &Host, exclude: bool| {
        let mut targets = targets.iter().filter(|target| target.exclude == exclude);
        targets.any(|target| target.scope.is_whole(host))
    };
    let mut hosts = Vec::new();
    for host in &fleet.hosts {
        let (here, rest) = selections
            .into_iter()
            .partition(|one: &Selection| one.host == host.name);
        selections = rest;
        let bare = host.stacks.is_empty() && named(host, false) && !named(host, true);
        if bare || !here.is_empty() {
            hosts.push((host.name.clone(), here));
        }
    }
    if hosts.is_empty() {
        return Err(TargetError::Empty("the targets select no host at all"));
    }
    Ok(hosts)
}

fn parse<T: AsRef<str>>(targets: &[T]) -> Result<Vec<Target>, TargetError> {
    let targets = targets.iter().map(|target| target.as_ref().parse());
    targets.collect()
}

fn selected(fleet: &Fleet, targets: &[Target]) -> Result<Vec<Selection>, TargetError> {
    let mut wanted = Wanted::default();
    for target in targets.iter().filter(|target| !target.exclude) {
        wanted.add(fleet, &target.scope)?;
    }
    if wanted.0.is_empty() && targets.iter().all(|target| target.exclude) {
        return Err(TargetError::Empty(if targets.is_empty() {
            "no target is named"
        } else {
            "only exclusions are named; there is nothing to take them from"
        }));
    }
    let (services, wholes): (Vec<&Target>, Vec<&Target>) = targets
        .iter()
        .filter(|target| target.exclude)
        .partition(|target| matches!(target.scope, Scope::Service(..)));
    // Whole stacks first: a service of a stack that is gone anyway is no contradiction.
    for target in wholes.into_iter().chain(services) {
        wanted.remove(fleet, &target.scope)?;
    }
    Ok(wanted.in_order(fleet))
}

/// Hosts by their names and labels, in the order of `fleet.toml`, each once.
///
/// # Errors
/// When there is no host or no label of that name.
pub fn hosts<T: AsRef<str>>(
    fleet: &Fleet,
    names: &[T],
    labels: &[T],
) -> Result<Vec<HostName>, TargetError> {
    let parsed = names.iter().map(|name| Ok(name.as_ref().parse()?));
    let names = parsed.collect::<Result<Vec<HostName>, TargetError>>()?;
    let parsed = labels.iter().map(|label| Ok(label.as_ref().parse()?));
    let labels = parsed.collect::<Result<Vec<Label>, TargetError>>()?;
    for name in &names {
        resolve::known_host(fleet, name)?;
    }
    for label in &labels {
        resolve::known_label(fleet, label)?;
    }
    let named = |host: &&crate::fleet::Host| {
        names.contains(&host.name) || host.labels.iter().any(|label| labels.contains(label))
    };
    let found = fleet.hosts.iter().filter(named);
    Ok(found.map(|host| host.name.clone()).collect())
}

/// For each stack on a host: all of it (`None`), or some services in the order they were named.
#[derive(Default)]
struct Wanted<'a>(BTreeMap<(&'a str, &'a str), Option<Vec<ServiceName>>>);

impl<'a> Wanted<'a> {
    fn add(&mut self, fleet: &'a Fleet, scope: &Scope) -> Result<(), TargetError> {
        let (places, service) = resolve(fleet, scope)?;
        for place in places {
            match (self.0.entry(place), &service) {
                (Entry::Vacant(free), None) => {
                    free.insert(None);
                }
                (Entry::Vacant(free), Some(service)) => {
                    free.insert(Some(vec![service.clone()]));
                }
                (Entry::Occupied(mut taken), None) => {
                    taken.insert(None);
                }
                (Entry::Occupied(mut taken), Some(service)) => {
                    if let Some(services) = taken.get_mut() {
                        services.push(service.clone());
                    }
                }
            }
        }
        Ok(())
    }

    fn remove(&mut self, fleet: &'a Fleet, scope: &Scope) -> Result<(), TargetError> {
        let (places, service) = resolve(fleet, scope)?;
        for place in places {
            let Some(service) = &service else {
                self.0.remove(&place);
                continue;
            };
            match self.0.get_mut(&place) {
                // Which other services there are is known on the host alone.
                Some(None) => {
                    let Scope::Service(host, stack, service) = scope.clone() else {
                        continue;
                    };
                    return Err(TargetError::PartOfWhole(host, stack, service));
                }
                Some(Some(services)) => services.retain(|one| one != service),
                None => {}
            }
        }
        Ok(())
    }

    fn in_order(self, fleet: &Fleet) -> Vec<Selection> {
        let mut selections = Vec::new();
        for (host, stack) in everywhere(fleet) {
            let select = |service| Selection {
                host: host.name.clone(),
                stack: stack.clone(),
                service,
            };
            match self.0.get(&(host.name.as_str(), stack.as_str())) {
                None => {}
                Some(None) => selections.push(select(None)),
                Some(Some(services)) => {
                    let mut services = services.clone();
                    services.sort();
                    services.dedup();
                    selections.extend(services.into_iter().map(|one| select(Some(one))));
                }
            }
        }
        selections
    }
}

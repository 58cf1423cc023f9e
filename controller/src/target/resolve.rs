//! Compares one target with a fleet: the stacks on hosts it covers, or why there is nothing of that name.

use proto::id::{HostName, ServiceName, StackName};

use super::{Scope, TargetError};
use crate::fleet::label::Label;
use crate::fleet::{Fleet, Host};
use crate::suggest;

/// Hosts and stacks, by name.
pub(super) type Places<'a> = Vec<(&'a str, &'a str)>;

/// Every stack on every host, in the order of `fleet.toml`.
pub(super) fn everywhere(fleet: &Fleet) -> impl Iterator<Item = (&Host, &StackName)> {
    fleet
        .hosts
        .iter()
        .flat_map(|host| host.stacks.iter().map(move |stack| (host, stack)))
}

/// The stacks on hosts that a scope covers, and the one service it means.
pub(super) fn resolve<'a>(
    fleet: &'a Fleet,
    scope: &Scope,
) -> Result<(Places<'a>, Option<ServiceName>), TargetError> {
    let places = |keep: &dyn Fn(&Host, &StackName) -> bool| -> Places<'a> {
        everywhere(fleet)
            .filter(|(host, stack)| keep(host, stack))
            .map(|(host, stack)| (host.name.as_str(), stack.as_str()))
            .collect()
    };
    let on = |name: &HostName, one: &StackName| -> Result<Places<'a>, TargetError> {
        check_runs(fleet, known_host(fleet, name)?, one)?;
        Ok(places(&|host, stack| host.name == *name && stack == one))
    };
    match scope {
        Scope::All => Ok((places(&|_, _| true), None)),
        Scope::Host(name) => {
            known_host(fleet, name)?;
            Ok((places(&|host, _| host.name == *name), None))
        }
        Scope::Stack(host, stack) => Ok((on(host, stack)?, None)),
        Scope::Service(host, stack, service) => Ok((on(host, stack)?, Some(service.clone()))),
        Scope::EveryHost(name) => {
            known_stack(fleet, name)?;
            Ok((places(&|_, stack| stack == name), None))
        }
        Scope::Label(label) => {
            known_label(fleet, label)?;
            Ok((places(&|host, _| host.labels.contains(label)), None))
        }
    }
}

pub(super) fn known_host<'a>(fleet: &'a Fleet, name: &HostName) -> Result<&'a Host, TargetError> {
    fleet.host(name).ok_or_else(|| {
        let known = fleet.hosts.iter().map(|host| host.name.as_str());
        // `opq` for `stack:opq` is the likeliest slip of all.
        let is_stack = fleet
            .stacks
            .iter()
            .any(|one| one.name.as_str() == name.as_str());
        let hint = if is_stack {
            Some(format!("did you mean `stack:{name}`?"))
        } else {
            suggest::hint(name.as_str(), known)
        };
        unknown("host", name.as_str(), hint)
    })
}

fn known_stack(fleet: &Fleet, name: &StackName) -> Result<(), TargetError> {
    if fleet.stack(name).is_some() {
        return Ok(());
    }
    let known = fleet.stacks.iter().map(|stack| stack.name.as_str());
    let hint = suggest::hint(name.as_str(), known);
    Err(unknown("stack", name.as_str(), hint))
}

pub(super) fn known_label(fleet: &Fleet, label: &Label) -> Result<(), TargetError> {
    let labels = || fleet.hosts.iter().flat_map(|host| &host.labels);
    if labels().any(|one| one == label) {
        return Ok(());
    }
    let mut known: Vec<&str> = labels().map(Label::as_str).collect();
    known.sort_unstable();
    known.dedup();
    let hint = suggest::hint(label.as_str(), known);
    Err(unknown("label", label.as_str(), hint))
}

fn check_runs(fleet: &Fleet, host: &Host, stack: &StackName) -> Result<(), TargetError> {
    if host.stacks.contains(stack) {
        return Ok(());
    }
    if fleet.stack(stack).is_none() {
        let known = host.stacks.iter().map(StackName::as_str);
        let hint = suggest::hint(stack.as_str(), known);
        return Err(unknown("stack", stack.as_str(), hint));
    }
    let runs: Vec<&str> = everywhere(fleet)
        .filter(|(_, one)| *one == stack)
        .map(|(host, _)| host.name.as_str())
        .collect();
    let hint = (!runs.is_empty()).then(|| format!("it runs on {}", runs.join(", ")));
    Err(TargetError::NotThere {
        host: host.name.clone(),
        stack: stack.clone(),
        hint,
    })
}

fn unknown(what: &'static str, name: &str, hint: Option<String>) -> TargetError {
    let name = name.to_owned();
    TargetError::Unknown { what, name, hint }
}

//! The steps that make a server a host: which of them are done already, and what each is going to do. Pure.

use std::time::Duration;

use proto::fault::{Fault, FaultKind};
use proto::id::{FleetName, HostName};
use serde::Serialize;

use super::survey::{Part, Starter, Survey};
use crate::amount::bytes;

/// A host whose clock is further off than a certificate is back-dated could not use it.
const FURTHEST_CLOCK: Duration = Duration::from_secs(50 * 60);
/// What has to be free beside the agent itself.
const HEADROOM: u64 = 16 * 1024 * 1024;
/// A certificate that ends sooner is made anew.
pub(super) const FRESH: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// One step, in the order in which they are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Step {
    /// Docker and Compose from the distribution's packages.
    Docker,
    /// The agent's binary and unit.
    Agent,
    /// A key made there, and a certificate for it.
    Identity,
    /// The agent runs.
    Service,
    /// It answers as the host that was meant.
    Link,
}

impl Step {
    /// One word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Docker => "docker",
            Self::Agent => "agent",
            Self::Identity => "identity",
            Self::Service => "service",
            Self::Link => "link",
        }
    }
}

/// What is meant to be there in the end.
#[derive(Debug, Clone)]
pub struct Goal<'a> {
    /// The host's name.
    pub host: &'a HostName,
    /// Its fleet.
    pub fleet: &'a FleetName,
    /// Names the fleet's authorities.
    pub authorities: &'a str,
    /// Names the fleet, whatever its authorities are.
    pub fleet_id: &'a str,
    /// The agent's version.
    pub version: &'a str,
    /// Its SHA-256 in hexadecimal.
    pub sha256: &'a str,
    /// What starts it.
    pub starter: &'a Starter,
    /// Its size in bytes.
    pub size: u64,
    /// Whether packages may be installed.
    pub install_docker: bool,
    /// Where the agent will be reached, for people.
    pub address: &'a str,
    /// Unix seconds.
    pub now: i64,
}

/// A step and what there is to do in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Planned {
    /// Which.
    pub step: Step,
    /// Whether anything has to be done.
    pub needed: bool,
    /// What is there, or what will be done.
    pub what: String,
}

fn needed(step: Step, what: impl Into<String>) -> Planned {
    let what = what.into();
    Planned {
        step,
        needed: true,
        what,
    }
}

fn there(step: Step, what: impl Into<String>) -> Planned {
    let what = what.into();
    Planned {
        step,
        needed: false,
        what,
    }
}

/// All steps for a server.
///
/// # Errors
/// When it cannot become this host, before anything is changed.
pub fn plan(survey: &Survey, goal: &Goal<'_>) -> Result<Vec<Planned>, Fault> {
    possible(survey, goal)?;
    let identity = identity(survey, goal)?;
    let mut steps = Vec::new();
    steps.extend(docker(survey, goal)?);
    let agent = agent(survey, goal);
    let changed = agent.needed || identity.needed;
    steps.extend([agent, identity]);
    steps.extend(service(survey, changed));
    let what = format!("prove that {} answers as {}", goal.address, goal.host);
    steps.push(needed(Step::Link, what));
    Ok(steps)
}

fn possible(survey: &Survey, goal: &Goal<'_>) -> Result<(), Fault> {
    let refuse = |what: String| Fault::new(FaultKind::Refused, what);
    if survey.kernel != "Linux" {
        let what = format!(
            "{} runs {}, and agents run on Linux",
            goal.host,
            survey.name()
        );
        return Err(refuse(what));
    }
    let skew = survey.skew(goal.now);
    if skew > FURTHEST_CLOCK {
        let what = format!(
            "the clocks of this workstation and {} are {} minutes apart",
            goal.host,
            skew.as_secs() / 60
        );
        return Err(refuse(what)
            .cause("certificates would not be valid yet, or not any more")
            .hint("set both: timedatectl set-ntp true"));
    }
    let room = goal.size.saturating_mul(2).saturating_add(HEADROOM);
    match survey.free {
        Some(free) if free < room && !survey.has_agent(goal.sha256) => {
            let what = format!(
                "/usr/local of {} has {} MiB free, and the agent needs {}",
                goal.host,
                free / 1024 / 1024,
                room.div_ceil(1024 * 1024)
            );
            Err(refuse(what))
        }
        _ => Ok(()),
    }
}

fn docker(survey: &Survey, goal: &Goal<'_>) -> Result<Option<Planned>, Fault> {
    let engine = survey.engine == Part::Missing;
    let old = survey.compose.too_old();
    let missing = match (engine, survey.lacks_compose()) {
        (false, false) => return Ok(None),
        (true, true) => "Docker and Compose",
        (true, false) => "Docker",
        (false, true) => "Compose",
    };
    if !goal.install_docker {
        let told = match (engine, old) {
            (_, None) => format!("{missing} missing"),
            (false, Some(old)) => format!("Compose {old} is too old"),
            (true, Some(old)) => format!("Docker missing, and Compose {old} is too old"),
        };
        return Ok(Some(there(Step::Docker, told)));
    }
    if !survey.apt {
        let what = format!("{missing} can be installed on Debian and Ubuntu only");
        return Err(Fault::new(FaultKind::Unsupported, what)
            .cause(format!("{} runs {}", goal.host, survey.name()))
            .hint("install it there by hand, then run this again without --install-docker"));
    }
    let what = format!("install {missing} from the packages of {}", survey.name());
    Ok(Some(needed(Step::Docker, what)))
}

fn agent(survey: &Survey, goal: &Goal<'_>) -> Planned {
    let version = goal.version;
    if survey.has_agent(goal.sha256) {
        if survey.has_starter(goal.starter) {
            return there(Step::Agent, format!("{version} is installed"));
        }
        let what = format!("send the unit file and the launcher of {version}");
        return needed(Step::Agent, what);
    }
    match &survey.version {
        // A host that others keep newer must not go back because somebody's laptop is behind.
        Some(found) if is_newer(found, version) => there(
            Step::Agent,
            format!("{found} is installed, newer than this controller"),
        ),
        Some(found) => needed(
            Step::Agent,
            format!("send {version} ({}), in place of {found}", bytes(goal.size)),
        ),
        None => needed(
            Step::Agent,
            format!("send {version} ({}) and install it", bytes(goal.size)),
        ),
    }
}

fn identity(survey: &Survey, goal: &Goal<'_>) -> Result<Planned, Fault> {
    let (host, fleet) = (goal.host, goal.fleet);
    let name = format!("longshore://{fleet}/host/{host}");
    let Some(found) = &survey.identity else {
        let what = format!("make a key there, and sign it as {name}");
        return Ok(needed(Step::Identity, what));
    };
    let theirs = format!("longshore://{}/host/{}", found.fleet, found.host);
    if theirs != name {
        let what = format!("this server is {theirs} already, not {name}");
        return Err(Fault::new(FaultKind::Refused, what)
            .hint("is the address right? to give it away: rm /etc/longshore/identity.pem there"));
    }
    if found.authorities != goal.authorities && found.is_of(goal.fleet_id) {
        let what = "its authorities were replaced: make a new key there, and sign it";
        return Ok(needed(Step::Identity, what));
    }
    if found.authorities != goal.authorities {
        let what = format!("this server obeys other authorities that call themselves {fleet}");
        return Err(Fault::new(FaultKind::Refused, what)
            .hint("to give it away: rm /etc/longshore/identity.pem there"));
    }
    let fresh = i64::try_from(FRESH.as_secs()).unwrap_or(i64::MAX);
    if found.expires <= goal.now {
        return Ok(needed(
            Step::Identity,
            "its certificate has expired: make a new key there, and sign it",
        ));
    }
    if found.expires.saturating_sub(goal.now) < fresh {
        return Ok(needed(
            Step::Identity,
            "its certificate ends soon: make a new key there, and sign it",
        ));
    }
    Ok(there(Step::Identity, name))
}

/// None where there is no systemd: somebody else has to start the agent.
fn service(survey: &Survey, changed: bool) -> Option<Planned> {
    survey.systemd.then(|| match (survey.active, changed) {
        (false, _) => needed(Step::Service, "start longshore-agent.service"),
        (true, true) => needed(Step::Service, "restart longshore-agent.service"),
        (true, false) => there(Step::Service, "longshore-agent.service runs"),
    })
}

/// Whether dotted numbers go beyond others; a version that is none of that is never newer.
fn is_newer(found: &str, ours: &str) -> bool {
    let numbers = |text: &str| -> Option<Vec<u64>> {
        text.split('.').map(|part| part.parse().ok()).collect()
    };
    matches!((numbers(found), numbers(ours)), (Some(found), Some(ours)) if found > ours)
}

#[cfg(test)]
mod tests;

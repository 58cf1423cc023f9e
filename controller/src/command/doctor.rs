//! `doctor`: what is wrong on every host asked for, and what mends it.

use std::sync::Arc;
use std::time::Duration;

use proto::check::Finding;
use proto::fault::Fault;
use proto::id::{HostName, StackName};
use tokio::time::Instant;

use super::prepare::Links;
use super::{Context, Ended, now_millis, whole_stacks};
use crate::cli::{DoctorArgs, Output};
use crate::exit::Exit;
use crate::fleet_run;
use crate::link::VERSION;
use crate::render::doctor::{HostCheck, lines};

/// Clocks that differ by more than this make certificates and ages wrong before long.
const SKEW: Duration = Duration::from_secs(10);

pub(super) async fn run(args: DoctorArgs, context: &Context) -> Result<Exit, Ended> {
    let began = Instant::now();
    let targets = context.targets(&args.targets).await?;
    whole_stacks(&targets, "doctor")?;
    let everything = args.targets.is_empty();
    let mut wishes: Vec<(HostName, Vec<StackName>)> = Vec::new();
    for place in targets.into_iter().map(|target| target.place) {
        match wishes.iter_mut().find(|(host, _)| *host == place.host) {
            Some((_, stacks)) => stacks.push(place.stack),
            None => wishes.push((place.host, vec![place.stack])),
        }
    }
    let links = Links::new(&context.fleet, wishes.iter().map(|(host, _)| host));
    let present = now_millis(context);
    let asked = fleet_run::each(
        wishes.clone(),
        args.width.parallel.into(),
        |(host, stacks)| {
            let links = Arc::clone(&links);
            async move {
                // Without words everything is meant, and that includes what nobody wrote into the fleet file.
                let stacks = if everything { Vec::new() } else { stacks };
                let link = links.get(&host).await?;
                let sent = Instant::now();
                let checkup = link.check(&stacks).await?;
                let (trip, spent) = (sent.elapsed(), began.elapsed());
                let mut findings = checkup.findings;
                let now = present.saturating_add(millis(spent));
                findings.extend(clocks(&host, now, checkup.now_millis, trip));
                findings.extend(versions(&host, &link.facts().agent_version));
                Ok(findings)
            }
        },
    );
    let answers = tokio::select! {
        answers = asked => answers,
        () = context.leave.first() => return Err(Ended::Left),
    };
    let answers = wishes.into_iter().zip(answers);
    let hosts: Vec<HostCheck> = answers
        .map(|((host, _), answer)| HostCheck {
            findings: answer.unwrap_or_else(|fault| vec![unreachable(&host, &fault)]),
            host,
        })
        .collect();
    show(&hosts, args.output.output, context)?;
    let good = hosts.iter().all(|host| host.findings.is_empty());
    Ok(if good { Exit::Done } else { Exit::Failed })
}

fn show(hosts: &[HostCheck], output: Output, context: &Context) -> Result<(), Ended> {
    match output {
        Output::Table => {
            for line in lines(hosts) {
                context.terminal.say(line);
            }
        }
        Output::Json => context.terminal.json(&hosts)?,
        Output::Jsonl => {
            for host in hosts {
                context.terminal.json(host)?;
            }
        }
    }
    Ok(())
}

fn unreachable(host: &HostName, fault: &Fault) -> Finding {
    let mut why = fault.causes.clone();
    if why.is_empty() {
        why.push("it did not answer".to_owned());
    }
    let mend = fault.hints.first().cloned();
    Finding {
        stack: None,
        what: fault.what.clone(),
        why: why.join(": "),
        mend: mend.unwrap_or_else(|| format!("on {host}: systemctl status longshore-agent")),
    }
}

fn clocks(host: &HostName, here: u64, there: u64, trip: Duration) -> Option<Finding> {
    let apart = Duration::from_millis(here.abs_diff(there)).saturating_sub(trip);
    (apart > SKEW).then(|| Finding {
        stack: None,
        what: "the clocks of this workstation and the host differ".to_owned(),
        why: format!("by {} s", apart.as_secs()),
        mend: format!("timedatectl set-ntp true, here or on {host}"),
    })
}

fn versions(host: &HostName, agent: &str) -> Option<Finding> {
    (agent != VERSION).then(|| Finding {
        stack: None,
        what: "controller and agent are of different versions".to_owned(),
        why: format!("controller {VERSION}, agent {agent}"),
        mend: format!("install agent {VERSION} on {host}, or controller {agent} here"),
    })
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

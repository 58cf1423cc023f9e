//! `doctor`: what is wrong on this workstation and on every host asked for, and what mends it.

use std::sync::Arc;
use std::time::Duration;

use proto::check::Finding;
use proto::fault::Fault;
use proto::id::{HostName, StackName};
use tokio::time::Instant;

use super::prepare::Links;
use super::{Context, Ended, now_millis, whole_stacks};
use crate::cli::{DoctorArgs, Output};
use crate::clock;
use crate::exit::Exit;
use crate::fleet_run;
use crate::link::VERSION;
use crate::render::doctor::{Checked, lines};

/// Clocks that differ by more than this make certificates and ages wrong before long.
const SKEW: Duration = Duration::from_secs(10);

pub(super) async fn run(args: DoctorArgs, context: &Context) -> Result<Exit, Ended> {
    let began = Instant::now();
    let mut checks = Vec::new();
    let everything = args.targets.is_empty();
    if everything {
        let here = context.blocking(|context| Ok(context.fleet.check()));
        checks.push(Checked::here(here.await?));
    }
    let mut wishes: Vec<(HostName, Vec<StackName>)> = Vec::new();
    for (host, targets) in context.by_host(&args.targets).await? {
        whole_stacks(&targets, "doctor")?;
        let stacks = targets.into_iter().map(|target| target.place.stack);
        wishes.push((host, stacks.collect()));
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
    checks.extend(answers.map(|((host, _), answer)| Checked {
        findings: answer.unwrap_or_else(|fault| vec![unreachable(&host, &fault)]),
        host: Some(host),
    }));
    show(&checks, args.output.output, context)?;
    let good = checks.iter().all(|check| check.findings.is_empty());
    Ok(if good { Exit::Done } else { Exit::Failed })
}

fn show(checks: &[Checked], output: Output, context: &Context) -> Result<(), Ended> {
    match output {
        Output::Table => {
            for line in lines(checks) {
                context.terminal.say(line);
            }
        }
        Output::Json => context.terminal.json(&checks)?,
        Output::Jsonl => {
            for check in checks {
                context.terminal.json(check)?;
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
        why: format!(
            "by {} s: here it is {}, there {} (UTC)",
            apart.as_secs(),
            clock::millis_written(here),
            clock::millis_written(there)
        ),
        mend: format!("timedatectl set-ntp true, here or on {host}"),
    })
}

fn versions(host: &HostName, agent: &str) -> Option<Finding> {
    (agent != VERSION).then(|| Finding {
        stack: None,
        what: "controller and agent are of different versions".to_owned(),
        why: format!("controller {VERSION}, agent {agent}"),
        mend: format!("controller host upgrade {host}, or install controller {agent} here"),
    })
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

//! `status`: what runs on every host asked for.

use std::sync::Arc;

use proto::id::{HostName, ServiceName, StackName};
use proto::status::StackStatus;

use super::prepare::Links;
use super::{Context, Ended, Target, now_millis, tell};
use crate::cli::{Output, StatusArgs};
use crate::error::Failure;
use crate::exit::Exit;
use crate::fleet_run;
use crate::link::Link;
use crate::render::status::{HostView, lines};

/// One host with what is wanted of it.
#[derive(Debug, Clone)]
struct Wish {
    host: HostName,
    stacks: Vec<(StackName, Vec<ServiceName>)>,
}

pub(super) async fn run(args: StatusArgs, context: &Context) -> Result<Exit, Ended> {
    let hosts = context.by_host(&args.targets).await?;
    let wishes: Vec<Wish> = hosts.into_iter().map(wish).collect();
    // Without words everything is meant, and that includes what nobody wrote into the fleet file.
    let everything = args.targets.is_empty();
    let links = Links::new(&context.fleet, wishes.iter().map(|wish| &wish.host));
    let asked = fleet_run::each(wishes.clone(), args.width.parallel.into(), |wish| {
        let links = Arc::clone(&links);
        async move {
            let link = links.get(&wish.host).await?;
            let stacks = link.status().await?;
            Ok(view(&wish, &link, stacks, everything))
        }
    });
    let answers = tokio::select! {
        answers = asked => answers,
        () = context.leave.first() => return Err(Ended::Left),
    };
    let mut hosts = Vec::new();
    let mut codes = Vec::new();
    let mut failures = Vec::new();
    for (wish, answer) in wishes.into_iter().zip(answers) {
        match answer {
            Ok(view) => {
                hosts.push(view);
                codes.push(Exit::Done);
            }
            Err(fault) => {
                let failure = Failure::on(&wish.host, fault.clone());
                codes.push(failure.exit());
                failures.push(failure);
                hosts.push(HostView {
                    host: wish.host,
                    agent: None,
                    engine: None,
                    stacks: Vec::new(),
                    missing: Vec::new(),
                    fault: Some(fault),
                });
            }
        }
    }
    show(&hosts, args.output.output, context)?;
    for failure in failures {
        tell(&context.terminal, &failure);
    }
    Ok(Exit::overall(codes))
}

fn show(hosts: &[HostView], output: Output, context: &Context) -> Result<(), Ended> {
    match output {
        Output::Table => {
            for line in lines(hosts, now_millis(context)) {
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

fn wish((host, targets): (HostName, Vec<Target>)) -> Wish {
    let stacks = targets.into_iter();
    let stacks = stacks.map(|target| (target.place.stack, target.services));
    Wish {
        host,
        stacks: stacks.collect(),
    }
}

fn view(wish: &Wish, link: &Link, mut stacks: Vec<StackStatus>, everything: bool) -> HostView {
    let wanted = |stack: &StackName| wish.stacks.iter().find(|(name, _)| name == stack);
    let missing = wish.stacks.iter().map(|(name, _)| name);
    let missing = missing.filter(|name| !stacks.iter().any(|stack| stack.stack == **name));
    let missing = missing.cloned().collect();
    stacks.retain(|stack| everything || wanted(&stack.stack).is_some());
    for stack in &mut stacks {
        if let Some((_, services)) =
            wanted(&stack.stack).filter(|(_, services)| !services.is_empty())
        {
            stack
                .containers
                .retain(|one| services.contains(&one.service));
        }
    }
    let facts = link.facts();
    let engine = match &facts.engine {
        Ok(version) => version.clone(),
        Err(problem) => problem.clone(),
    };
    HostView {
        host: wish.host.clone(),
        agent: Some(facts.agent_version.clone()),
        engine: Some(engine),
        stacks,
        missing,
        fault: None,
    }
}

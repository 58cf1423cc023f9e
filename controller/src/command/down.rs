//! `down`: removes stacks from their hosts, and follows that like a deploy.

use std::sync::Arc;

use proto::fault::Fault;
use proto::id::DeployId;

use super::deploy::new_deploy;
use super::follow::{self, Follow};
use super::lock::Lock;
use super::prepare::Links;
use super::{Context, Ended, Target, kind, some_place, whole_stacks};
use crate::cli::DownArgs;
use crate::event::{Own, Place};
use crate::exit::Exit;
use crate::fleet_run::Reporter;
use crate::render::Screen;

pub(super) async fn run(args: DownArgs, context: &Context) -> Result<Exit, Ended> {
    let targets = context.targets(&args.targets).await?;
    whole_stacks(&targets, "down")?;
    some_place(&targets, &args.targets)?;
    if !args.yes
        && !context
            .confirm(question(&targets, args.volumes), "--yes")
            .await?
    {
        context.terminal.note("nothing was changed");
        return Ok(Exit::Failed);
    }
    let screen = Screen::new(
        &context.terminal,
        kind(args.output.output),
        targets.iter().map(|target| target.place.clone()),
    );
    let links = Links::new(
        &context.fleet,
        targets.iter().map(|target| &target.place.host),
    );
    let lock = Lock::new(args.lock.lock_wait, context.patience);
    let follow = Follow::new(context, args.timeout, args.detach, lock);
    let volumes = args.volumes;
    let work = |deploy: DeployId, reporter: Reporter| {
        let (links, follow) = (Arc::clone(&links), follow.clone());
        async move {
            let Place { host, stack } = reporter.place().clone();
            match links.get(&host).await {
                Ok(link) => {
                    let submit = |_| link.down(deploy, &stack, volumes);
                    follow.submit(&link, deploy, &reporter, submit).await;
                }
                Err(fault) => reporter.own(Own::Broke { fault }).await,
            }
        }
    };
    let job = |target: Target| Ok((target.place, new_deploy()?));
    let jobs: Result<Vec<_>, Fault> = targets.into_iter().map(job).collect();
    Ok(follow::all(jobs?, args.width.parallel, context, screen, work).await)
}

fn question(targets: &[Target], volumes: bool) -> String {
    let names: Vec<String> = targets
        .iter()
        .map(|target| target.place.to_string())
        .collect();
    let what = if volumes {
        "containers, networks, and volumes WITH THE DATA IN THEM"
    } else {
        "containers and networks; volumes stay"
    };
    format!("Take down {}? ({what})", names.join(", "))
}

//! `attach`: follows a deploy that somebody else, or an earlier command, has started.

use std::sync::Arc;

use proto::fault::{Fault, FaultKind};
use proto::id::DeployId;

use super::follow::{self, Follow};
use super::lock::Lock;
use super::prepare::Links;
use super::{Context, Ended, Target, kind, whole_stacks};
use crate::cli::AttachArgs;
use crate::event::Own;
use crate::exit::Exit;
use crate::fleet_run::Reporter;
use crate::link::Subject;
use crate::render::Screen;

/// Following costs next to nothing, and a place that waits its turn would look dead.
const WIDTH: u16 = 512;

pub(super) async fn run(args: AttachArgs, context: &Context) -> Result<Exit, Ended> {
    let targets = context.targets(&args.targets).await?;
    whole_stacks(&targets, "attach")?;
    let subjects = subjects(&targets, args.deploy.as_deref())?;
    let places = targets.iter().map(|target| target.place.clone());
    let screen = Screen::new(&context.terminal, kind(args.output.output), places.clone());
    let links = Links::new(
        &context.fleet,
        targets.iter().map(|target| &target.place.host),
    );
    let lock = Lock::new(None, context.patience);
    let follow = Follow::new(context, args.timeout, false, lock);
    let work = |subject: Subject, reporter: Reporter| {
        let (links, follow) = (Arc::clone(&links), follow.clone());
        async move {
            match links.get(&reporter.place().host).await {
                Ok(link) => follow.follow(&link, subject, &reporter).await,
                Err(fault) => reporter.own(Own::Broke { fault }).await,
            }
        }
    };
    let jobs = places.zip(subjects).collect();
    Ok(follow::all(jobs, WIDTH, context, screen, work).await)
}

/// Which deploy of each target: one id belongs to one stack on one host.
pub(super) fn subjects(targets: &[Target], deploy: Option<&str>) -> Result<Vec<Subject>, Fault> {
    let Some(text) = deploy else {
        let newest = |target: &Target| Subject::Newest(target.place.stack.clone());
        return Ok(targets.iter().map(newest).collect());
    };
    let invalid = |what: String| Fault::new(FaultKind::InvalidRequest, what);
    let deploy: DeployId = text.parse().map_err(|error| invalid(format!("{error}")))?;
    if targets.len() == 1 {
        return Ok(vec![Subject::Deploy(deploy)]);
    }
    let what = format!(
        "--deploy names one deploy, and the targets are {} stacks",
        targets.len()
    );
    Err(invalid(what).hint("name one as HOST/STACK"))
}

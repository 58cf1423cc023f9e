//! `rollback`: shows what every place would go back to, asks, and follows it like a deploy.

use std::sync::Arc;

use proto::fault::{Fault, FaultKind};
use proto::id::DeployId;
use proto::limits::HISTORY_MOST;
use proto::registry::RegistryAuth;

use super::deploy::new_deploy;
use super::follow::{self, Follow, Turn};
use super::lock::Lock;
use super::prepare::{Auths, Links};
use super::revision::way;
use super::{Context, Ended, Target, kind, lock, now_millis, some_place, whole_stacks};
use crate::cli::{Output, RollbackArgs};
use crate::event::{Own, Place};
use crate::exit::Exit;
use crate::fleet_run::{self, Reporter};
use crate::link::Link;
use crate::render::Screen;
use crate::render::history::{Way, ways as show_ways};

/// A place whose host has told where it can go back to.
struct Prepared {
    place: Place,
    link: Link,
    way: Way,
    /// For images that have left the host.
    auths: Vec<RegistryAuth>,
}

pub(super) async fn run(args: RollbackArgs, context: &Context) -> Result<Exit, Ended> {
    let targets = context.targets(&args.targets).await?;
    whole_stacks(&targets, "rollback")?;
    some_place(&targets, &args.targets)?;
    one_place(&targets, args.to.as_deref())?;
    let places = targets.into_iter().map(|target| target.place);
    let places: Vec<Place> = places.collect();
    let lock = Lock::new(args.lock.lock_wait, context.patience);
    let mut screen = Screen::new(
        &context.terminal,
        kind(args.output.output),
        places.iter().cloned(),
    );
    let prepared = ways(places, &args, lock, context, &mut screen).await?;
    if prepared.is_empty() {
        return Ok(screen.finish().exit());
    }
    screen.pause();
    if args.output.output == Output::Table {
        let ways = prepared.iter().map(|one| (&one.place, &one.way));
        for line in show_ways(ways, now_millis(context)) {
            context.terminal.say(line);
        }
    }
    if !args.yes {
        screen.tell_failures();
        if !context.confirm(question(&prepared), "--yes").await? {
            context.terminal.note("nothing was changed");
            return Ok(Exit::Failed);
        }
    }
    let follow = Follow::new(context, args.timeout, args.detach, lock);
    let work = |(deploy, one): (DeployId, Prepared), reporter: Reporter| {
        let follow = follow.clone();
        async move {
            let submit = |turn| again(&one, deploy, turn);
            let link = &one.link;
            follow.submit(link, deploy, &reporter, submit).await;
        }
    };
    let job = |one: Prepared| Ok((one.place.clone(), (new_deploy()?, one)));
    let jobs: Result<Vec<_>, Fault> = prepared.into_iter().map(job).collect();
    Ok(follow::all(jobs?, args.width.parallel, context, screen, work).await)
}

/// One id belongs to one stack on one host.
fn one_place(targets: &[Target], to: Option<&str>) -> Result<(), Fault> {
    if to.is_none() || targets.len() == 1 {
        return Ok(());
    }
    let what = format!(
        "--to names a revision of one stack on one host, and the targets are {} stacks",
        targets.len()
    );
    Err(Fault::new(FaultKind::InvalidRequest, what).hint("name one as HOST/STACK"))
}

/// Where every place that answered would go; the others have told why on the screen.
async fn ways(
    places: Vec<Place>,
    args: &RollbackArgs,
    lock: Lock,
    context: &Context,
    screen: &mut Screen,
) -> Result<Vec<Prepared>, Ended> {
    let links = Links::new(&context.fleet, places.iter().map(|place| &place.host));
    let now = now_millis(context);
    let auths = Arc::new(Auths::default());
    let work = |to: Option<String>, reporter: Reporter| {
        let (links, auths) = (Arc::clone(&links), Arc::clone(&auths));
        let fleet = Arc::clone(&context.fleet);
        async move {
            let prepared = async {
                let (place, link, way, registries) =
                    prepare(&links, to.as_deref(), now, lock, &reporter).await?;
                // Whether an image has left the host only the rollback finds out: what is wrong with a workstation's logins
                // must not hold it up.
                let logins = auths.get(&fleet, registries).await;
                let auths = logins.unwrap_or_default().found;
                Ok(Prepared {
                    place,
                    link,
                    way,
                    auths,
                })
            };
            match prepared.await {
                Ok(prepared) => Some(prepared),
                Err(fault) => {
                    reporter.own(Own::Broke { fault }).await;
                    None
                }
            }
        }
    };
    let jobs = places.into_iter().map(|place| (place, args.to.clone()));
    let leave = context.leave.clone();
    let abort = async move { leave.first().await };
    let width = args.width.parallel.into();
    let prepared = fleet_run::run(jobs.collect(), width, screen, abort, work).await;
    if context.leave.is_pressed() {
        return Err(Ended::Left);
    }
    Ok(prepared.into_iter().flatten().flatten().collect())
}

async fn prepare(
    links: &Links,
    to: Option<&str>,
    now_millis: u64,
    lock: Lock,
    reporter: &Reporter,
) -> Result<(Place, Link, Way, Vec<String>), Fault> {
    let place = reporter.place().clone();
    let link = links.get(&place.host).await?;
    let agent = link.facts().agent_version.clone();
    reporter.own(Own::Connected { agent }).await;
    lock.free(&link, reporter).await?;
    let most = u32::try_from(HISTORY_MOST).unwrap_or(u32::MAX);
    let entries = link.history(&place.stack, most).await?;
    let way = way(&place, &entries, to, now_millis)?;
    let mut kept = entries.into_iter();
    let entry = kept.find(|entry| entry.kept && entry.revision == Some(way.to.id));
    let registries = entry.map(|entry| entry.registries).unwrap_or_default();
    Ok((place, link, way, registries))
}

/// What was agreed to is a certain revision; behind another deploy it must still be the way.
async fn again(one: &Prepared, deploy: DeployId, turn: Turn) -> Result<(), Fault> {
    let Prepared {
        place,
        link,
        way: agreed,
        auths,
    } = one;
    if turn == Turn::AfterAnother {
        let most = u32::try_from(HISTORY_MOST).unwrap_or(u32::MAX);
        let entries = link.history(&place.stack, most).await?;
        let current = entries.iter().find(|entry| entry.current);
        let from = agreed.from.as_ref().map(|from| from.id);
        if current.and_then(|entry| entry.revision) != from {
            return Err(lock::moved_on(place));
        }
    }
    link.rollback(deploy, &place.stack, agreed.to.id, auths)
        .await
}

fn question(prepared: &[Prepared]) -> String {
    match prepared {
        [one] => format!("Roll back {} to {}?", one.place, one.way.to.id.short()),
        several => {
            let names: Vec<String> = several.iter().map(|one| one.place.to_string()).collect();
            format!("Roll back these {}: {}?", several.len(), names.join(", "))
        }
    }
}

//! `logs`: what containers print, of many stacks on many hosts at once.

use std::sync::Arc;
use std::time::Duration;

use proto::fault::{Fault, FaultKind};
use proto::log::LogQuery;
use tokio::task::JoinSet;

use super::merge::{Feed, Item, Merge, Ready};
use super::prepare::Links;
use super::{Context, Ended, Target, tell};
use crate::cli::{LogsArgs, Output};
use crate::error::Failure;
use crate::event::Place;
use crate::exit::Exit;
use crate::link::{LogSeen, Patience};
use crate::render::log::{LogStyle, LogWriter};
use crate::terminal::Tone;

/// How long a line waits for earlier ones of other hosts: reading back may wait, following may not.
const READ_BACK: Duration = Duration::from_secs(1);
const FOLLOW: Duration = Duration::from_millis(100);

pub(super) async fn run(args: LogsArgs, context: &Context) -> Result<Exit, Ended> {
    let targets = context.targets(&args.targets).await?;
    if targets.is_empty() {
        let what = format!("{} names no stack on any host", args.targets.join(" "));
        return Err(Fault::new(FaultKind::UnknownName, what).into());
    }
    let places: Vec<Place> = targets.iter().map(|target| target.place.clone()).collect();
    let (merge, feeds) = Merge::new(targets.len(), if args.follow { FOLLOW } else { READ_BACK });
    let links = Links::new(&context.fleet, places.iter().map(|place| &place.host));
    // The set ends with this call, and every reader with it.
    let mut readers = JoinSet::new();
    for (target, feed) in targets.into_iter().zip(feeds) {
        let query = query(&target, &args, context.now_nanos);
        readers.spawn(read(
            target.place,
            query,
            Arc::clone(&links),
            context.patience,
            feed,
        ));
    }
    let writer = LogWriter::new(context.terminal.clone(), style(&args), &places);
    Ok(write(merge, writer, &places, context).await)
}

fn query(target: &Target, args: &LogsArgs, now_nanos: i64) -> LogQuery {
    LogQuery {
        stack: target.place.stack.clone(),
        services: target.services.clone(),
        follow: args.follow,
        tail: args.tail.0,
        since_nanos: args.since.map(|when| when.nanos(now_nanos)),
        until_nanos: args.until.map(|when| when.nanos(now_nanos)),
    }
}

fn style(args: &LogsArgs) -> LogStyle {
    LogStyle {
        json: args.output.output != Output::Table,
        timestamps: args.timestamps,
        raw: args.raw,
        no_prefix: args.no_prefix,
    }
}

async fn read(place: Place, query: LogQuery, links: Arc<Links>, patience: Patience, feed: Feed) {
    let link = match links.get(&place.host).await {
        Ok(link) => link,
        Err(fault) => {
            feed.put(Item::Failed(fault)).await;
            return;
        }
    };
    let mut stream = link.logs(query, patience);
    while let Some(seen) = stream.next().await {
        let item = match seen {
            Ok(seen) => Item::Seen(seen),
            Err(fault) => Item::Failed(fault),
        };
        if !feed.put(item).await {
            return;
        }
    }
}

async fn write(
    mut merge: Merge,
    mut writer: LogWriter,
    places: &[Place],
    context: &Context,
) -> Exit {
    let mut codes = vec![Exit::Done; places.len()];
    while !writer.is_gone() {
        match merge.ready() {
            Ready::Item(index, item) => {
                let (Some(place), Some(code)) = (places.get(index), codes.get_mut(index)) else {
                    continue;
                };
                if let Some(failed) = write_one(&mut writer, place, item, context) {
                    *code = failed;
                }
            }
            Ready::Wait(until) => {
                writer.flush();
                tokio::select! {
                    () = merge.wait(until) => {}
                    () = context.leave.first() => return Exit::Left,
                }
            }
            Ready::End => break,
        }
        if context.leave.is_pressed() {
            writer.flush();
            return Exit::Left;
        }
    }
    writer.flush();
    Exit::overall(codes)
}

fn write_one(writer: &mut LogWriter, place: &Place, item: Item, context: &Context) -> Option<Exit> {
    match item {
        Item::Seen(LogSeen::Record(record)) => writer.write(place, &record),
        Item::Seen(LogSeen::Lost(why)) => {
            writer.note(
                place,
                Tone::Warn,
                &format!("link lost, trying again ({why})"),
            );
        }
        Item::Seen(LogSeen::Restored) => writer.note(place, Tone::Plain, "link restored"),
        Item::Failed(fault) => {
            let failure = Failure::on(&place.host, fault);
            writer.flush();
            tell(&context.terminal, &failure);
            return Some(failure.exit());
        }
    }
    None
}

//! A stack's log lines for one reader: every container's stream merged through one bounded queue.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures_util::StreamExt;
use proto::fault::Fault;
use proto::id::ProjectName;
use proto::log::{LogQuery, LogRecord};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::engine::{Container, Engine, EngineError, LogRange, RawLine};

/// Records under way to one reader. Full: a follower loses lines and is told how many, a reader of the past waits.
const QUEUE: usize = 1024;

/// Reads until the query is answered or the receiver is dropped. The caller owns the task.
pub async fn read(
    engine: Arc<dyn Engine>,
    project: ProjectName,
    query: LogQuery,
    records: mpsc::Sender<Answer>,
) {
    tokio::select! {
        () = records.closed() => {}
        result = read_all(engine, &project, &query, &records) => {
            if let Err(error) = result {
                // A reader that has gone does not need to hear it.
                drop(records.send(Err(error.into())).await);
            }
        }
    }
}

/// What a reader gets: a record, or why there are no more of one container.
pub type Answer = Result<LogRecord, Fault>;

/// The queue between containers and a reader.
#[must_use]
pub fn queue() -> (mpsc::Sender<Answer>, mpsc::Receiver<Answer>) {
    mpsc::channel(QUEUE)
}

async fn read_all(
    engine: Arc<dyn Engine>,
    project: &ProjectName,
    query: &LogQuery,
    records: &mpsc::Sender<Answer>,
) -> Result<(), EngineError> {
    let mut readers = JoinSet::new();
    let mut known = BTreeSet::new();
    // Subscribed before looking, so that a container made in between is not missed.
    let mut nudges = if query.follow {
        Some(engine.nudges(project).await?)
    } else {
        None
    };
    let mut first = true;
    loop {
        for container in wanted(&engine, project, query).await? {
            if !known.insert(container.id.clone()) {
                continue;
            }
            let range = range(query, first);
            readers.spawn(copy(
                engine.clone(),
                container,
                range,
                query.follow,
                records.clone(),
            ));
        }
        first = false;
        let Some(stream) = nudges.as_mut() else { break };
        tokio::select! {
            nudge = stream.next() => if nudge.is_none() {
                tokio::time::sleep(std::time::Duration::from_millis(200)).await;
                nudges = Some(engine.nudges(project).await?);
            },
            Some(_) = readers.join_next(), if !readers.is_empty() => {}
        }
    }
    while readers.join_next().await.is_some() {}
    Ok(())
}

async fn wanted(
    engine: &Arc<dyn Engine>,
    project: &ProjectName,
    query: &LogQuery,
) -> Result<Vec<Container>, EngineError> {
    let mut containers = engine.containers(project).await?;
    containers.retain(|c| {
        !c.one_off && (query.services.is_empty() || query.services.contains(&c.service))
    });
    Ok(containers)
}

/// A container that appears during a follow is shown from its beginning.
fn range(query: &LogQuery, first: bool) -> LogRange {
    LogRange {
        follow: query.follow,
        tail: query.tail.filter(|_| first),
        since_nanos: query.since_nanos,
        until_nanos: query.until_nanos,
    }
}

async fn copy(
    engine: Arc<dyn Engine>,
    container: Container,
    range: LogRange,
    follow: bool,
    records: mpsc::Sender<Answer>,
) {
    let mut lines = match engine.logs(&container.id, range).await {
        Ok(lines) => lines,
        Err(error) => return drop(records.send(Err(error.into())).await),
    };
    let mut lost = 0_u64;
    while let Some(line) = lines.next().await {
        let record = line
            .map(|line| to_record(&container, line))
            .map_err(Fault::from);
        let sent = if follow {
            offer(&records, &container, record, &mut lost)
        } else {
            records.send(record).await.is_ok()
        };
        if !sent {
            return;
        }
    }
    if lost > 0 {
        drop(records.send(Ok(gap(&container, lost))).await);
    }
}

/// Never waits: the engine skips whole files behind a slow follower and says nothing, so drain it and count.
fn offer(
    records: &mpsc::Sender<Answer>,
    container: &Container,
    record: Answer,
    lost: &mut u64,
) -> bool {
    use mpsc::error::TrySendError;
    if *lost > 0 {
        match records.try_send(Ok(gap(container, *lost))) {
            Ok(()) => *lost = 0,
            Err(TrySendError::Closed(_)) => return false,
            Err(TrySendError::Full(_)) => {}
        }
    }
    match records.try_send(record) {
        Ok(()) => true,
        Err(TrySendError::Closed(_)) => false,
        Err(TrySendError::Full(_)) => {
            *lost += 1;
            true
        }
    }
}

fn gap(container: &Container, lines: u64) -> LogRecord {
    LogRecord::Gap {
        service: container.service.clone(),
        container: container.name.clone(),
        lines,
    }
}

fn to_record(container: &Container, line: RawLine) -> LogRecord {
    LogRecord::Line {
        service: container.service.clone(),
        container: container.name.clone(),
        stream: line.stream,
        at_nanos: line.at_nanos,
        text: line.text,
    }
}

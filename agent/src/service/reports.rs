//! The calls that change nothing: what runs, what happens, what happened, and what is wrong.

use futures_util::stream;
use proto::check::Finding;
use proto::fault::{Fault, FaultKind};
use proto::id::StackName;
use proto::limits;
use proto::log::LogQuery;
use proto::wire::v1 as wire;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use super::ending::{Certificate, ending};
use super::request::{caller, parse, peer, refuse};
use super::{AgentService, Answers, saved};
use crate::{audit, logs};

pub(super) async fn watch(
    service: &AgentService,
    request: Request<wire::WatchRequest>,
) -> Result<Response<Answers<wire::Event>>, Status> {
    let wire::WatchRequest {
        deploy,
        stack,
        after,
    } = request.into_inner();
    let deploy = service.find(&deploy, &stack)?;
    let watcher = service.deployer().watch(&deploy, after).map_err(refuse)?;
    let events = stream::unfold(watcher, |mut watcher| async move {
        let event = watcher.next().await?;
        Some((Ok(wire::Event::from(event)), watcher))
    });
    Ok(Response::new(service.until_stopped(events)))
}

pub(super) async fn status(
    service: &AgentService,
    request: Request<wire::StatusRequest>,
) -> Result<Response<wire::StatusResponse>, Status> {
    let wire::StatusRequest { stack } = request.into_inner();
    let only = if stack.is_empty() {
        None
    } else {
        Some(parse(&stack)?)
    };
    let stacks = service
        .deployer()
        .status(only.as_ref())
        .await
        .map_err(refuse)?;
    let stacks = stacks.into_iter().map(Into::into).collect();
    Ok(Response::new(wire::StatusResponse { stacks }))
}

pub(super) async fn check(
    service: &AgentService,
    request: Request<wire::CheckRequest>,
) -> Result<Response<wire::CheckResponse>, Status> {
    let peer = peer(&request)?;
    let stacks = request.into_inner().stacks;
    let stacks: Vec<StackName> = stacks
        .iter()
        .map(|stack| parse(stack))
        .collect::<Result<_, _>>()?;
    let mut checkup = service.deployer().check(&service.host, &stacks).await;
    let mut certificates = vec![(Certificate::Operator(&peer.operator), peer.expires)];
    if let Some(credentials) = service.credentials() {
        certificates.push((Certificate::Host(&service.host), credentials.expires));
        certificates.push((Certificate::List, credentials.list_due));
    }
    let now = checkup.now_millis / 1000;
    let ending = certificates
        .iter()
        .filter_map(|(whose, expires)| ending(whose, *expires, now));
    checkup.findings.extend(ending);
    let gone_back = service.upgrades.gone_back();
    checkup.findings.extend(gone_back.map(|build| Finding {
        stack: None,
        what: format!("agent {build} was tried and could not be worked with"),
        why: "the one before it is back".to_owned(),
        mend: format!("controller host upgrade {}", service.host),
    }));
    let starter = service.upgrades.started_by_another();
    checkup.findings.extend(starter.map(|files| Finding {
        stack: None,
        what: "what starts the agent is of another version".to_owned(),
        why: format!("{files} is not what this agent comes with; an upgrade leaves it as it is"),
        mend: format!("controller host add {}", service.host),
    }));
    Ok(Response::new(checkup.into()))
}

pub(super) async fn logs(
    service: &AgentService,
    request: Request<wire::LogsRequest>,
) -> Result<Response<Answers<wire::LogRecord>>, Status> {
    let query = LogQuery::try_from(request.into_inner()).map_err(refuse)?;
    let permit = service
        .log_readers
        .clone()
        .try_acquire_owned()
        .map_err(|_| {
            let what = format!("{} log readers are already connected", limits::LOG_READERS);
            refuse(Fault::new(FaultKind::Refused, what).hint("close one, then try again"))
        })?;
    let project = service.deployer().project(&query.stack).map_err(refuse)?;
    let (sender, receiver) = logs::queue();
    let read = logs::read(service.deployer().engine().clone(), project, query, sender);
    service.tasks.spawn(async move {
        read.await;
        drop(permit);
    });
    let records = stream::unfold(receiver, |mut receiver| async move {
        let record = receiver.recv().await?;
        Some((record.map(Into::into).map_err(refuse), receiver))
    });
    Ok(Response::new(service.until_stopped(records)))
}

pub(super) async fn saved(
    service: &AgentService,
    request: Request<wire::SavedRequest>,
) -> Result<Response<Answers<wire::SavedChunk>>, Status> {
    let caller = caller(&request)?;
    let wire::SavedRequest {
        deploy,
        hook,
        offset,
    } = request.into_inner();
    let file = service.deployer().saved(&parse(&deploy)?, hook, &caller);
    let file = tokio::fs::File::from_std(file.map_err(refuse)?);
    let chunks = saved::chunks(file, offset).await?;
    Ok(Response::new(service.until_stopped(chunks)))
}

pub(super) async fn history(
    service: &AgentService,
    request: Request<wire::HistoryRequest>,
) -> Result<Response<wire::HistoryResponse>, Status> {
    let wire::HistoryRequest { stack, limit } = request.into_inner();
    let limit = match usize::try_from(limit).unwrap_or(usize::MAX) {
        0 => limits::HISTORY,
        limit => limit.min(limits::HISTORY_MOST),
    };
    let entries = service.deployer().history(&parse(&stack)?, limit);
    let entries = entries.map_err(refuse)?.into_iter().map(Into::into);
    Ok(Response::new(wire::HistoryResponse {
        entries: entries.collect(),
    }))
}

pub(super) async fn audit(
    service: &AgentService,
    request: Request<wire::AuditRequest>,
) -> Result<Response<Answers<wire::AuditPage>>, Status> {
    let wire::AuditRequest { after, limit } = request.into_inner();
    let folder = service.deployer().audit().folder().to_owned();
    // Two pages under way at most: the disk waits for the reader.
    let (pages, received) = mpsc::channel(2);
    service.tasks.spawn_blocking(move || {
        let send = |lines| pages.blocking_send(Ok(wire::AuditPage { lines })).is_ok();
        if let Err(error) = audit::pages(&folder, after, limit, send) {
            // Who asked has gone.
            pages.blocking_send(Err(refuse(error))).ok();
        }
    });
    Ok(Response::new(
        service.until_stopped(ReceiverStream::new(received)),
    ))
}

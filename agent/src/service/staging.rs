//! The Stage call: the controller begins, the agent asks for what it lacks, twice, and answers with the staged stack.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use proto::convert::{InvalidMessage, blob_from_wire};
use proto::fault::{Fault, FaultKind};
use proto::registry::registry_of;
use proto::stack::{ShippedFile, StackSpec};
use proto::wire::v1 as wire;
use tokio::sync::mpsc;
use tonic::{Status, Streaming};
use wire::stage_request::Body as Asked;
use wire::stage_response::Body as Answer;

use super::{Answers, refuse};
use crate::audit::Caller;
use crate::deployer::Deployer;
use crate::redact::Redactor;
use crate::stage::Session;

/// A controller that sends nothing for this long has gone.
const SILENCE: Duration = Duration::from_secs(60);

/// Runs the call inside its own answer stream: when the controller goes, the work stops, and nothing was changed.
pub(super) fn answer(
    deployer: Arc<Deployer>,
    caller: Caller,
    requests: Streaming<wire::StageRequest>,
) -> Answers<wire::StageResponse> {
    // Two answers under way at most: the controller reads each before it sends on.
    let (answers, received) = mpsc::channel(2);
    let work = stream::once(async move {
        let mut call = Call { requests, answers };
        call.run(&deployer, caller).await.err().map(refuse)
    });
    let failures = work.filter_map(|failure| async { failure.map(Err) });
    let answers = stream::unfold(received, |mut received| async move {
        let answer = received.recv().await?;
        Some((Ok(wire::StageResponse { body: Some(answer) }), received))
    });
    stream::select(answers, failures).boxed()
}

struct Call {
    requests: Streaming<wire::StageRequest>,
    answers: mpsc::Sender<Answer>,
}

impl Call {
    async fn run(&mut self, deployer: &Deployer, caller: Caller) -> Result<(), Fault> {
        let Asked::Begin(begin) = self.next().await? else {
            return Err(InvalidMessage::missing("the beginning of a stack").into());
        };
        let mut session = deployer.stage(StackSpec::try_from(begin)?)?;
        session.recorded_as(caller);
        self.fill(&mut session, Vec::new()).await?;
        let paths = session.wanted().await?;
        self.send(Answer::Wants(wire::Wants { paths })).await?;
        let Asked::Files(wire::StageFiles { files }) = self.next().await? else {
            return Err(InvalidMessage::missing("the answer to what is wanted").into());
        };
        let files = files
            .into_iter()
            .map(ShippedFile::try_from)
            .collect::<Result<_, _>>()?;
        self.fill(&mut session, files).await?;
        let stage = session.finish().await?;
        let images: Vec<String> = stage
            .resolved
            .images()
            .keys()
            .map(|&name| name.to_owned())
            .collect();
        let mut registries: Vec<String> = images
            .iter()
            .map(|name| registry_of(name).to_owned())
            .collect();
        registries.sort();
        registries.dedup();
        let redactor = Redactor::new(&stage.spec.values);
        let images = images
            .into_iter()
            .map(|image| redactor.line(image))
            .collect();
        self.send(Answer::Staged(wire::Staged {
            stage: stage.id.to_string(),
            registries,
            images,
        }))
        .await
    }

    /// Asks for the contents that are not here and takes them.
    async fn fill(&mut self, session: &mut Session, files: Vec<ShippedFile>) -> Result<(), Fault> {
        let need = session.add(files)?;
        let blobs = need.iter().map(|blob| blob.as_bytes().to_vec()).collect();
        self.send(Answer::Need(wire::Need { blobs })).await?;
        while !session.is_complete() {
            let Asked::Chunk(wire::Chunk { blob, offset, data }) = self.next().await? else {
                return Err(InvalidMessage::missing("a content that was asked for").into());
            };
            let blob = blob_from_wire(&blob)?;
            session.chunk(blob, offset, &data)?;
        }
        Ok(())
    }

    async fn next(&mut self) -> Result<Asked, Fault> {
        let broken = |what: &str| Fault::new(FaultKind::InvalidRequest, what);
        let message = tokio::time::timeout(SILENCE, self.requests.message())
            .await
            .map_err(|_| broken("the controller stopped sending"))?
            .map_err(|status: Status| broken(status.message()))?
            .ok_or_else(|| broken("the controller ended the call early"))?;
        message
            .body
            .ok_or_else(|| InvalidMessage::missing("a stage request's body").into())
    }

    async fn send(&self, answer: Answer) -> Result<(), Fault> {
        let gone = |_| Fault::new(FaultKind::InvalidRequest, "the controller has gone");
        self.answers.send(answer).await.map_err(gone)
    }
}

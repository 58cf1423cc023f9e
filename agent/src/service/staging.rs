//! The Stage call: the controller begins, the agent asks for what it lacks, round by round, and answers with the staged stack.

use std::sync::Arc;

use proto::convert::{InvalidMessage, blob_from_wire};
use proto::fault::Fault;
use proto::limits::STAGE_ROUNDS;
use proto::registry::registry_of;
use proto::stack::{ShippedFile, StackOffer};
use proto::wire::v1 as wire;
use tonic::Streaming;
use wire::stage_request::Body as Asked;
use wire::stage_response::Body as Answer;

use super::Answers;
use super::dialogue::{self, Dialogue};
use crate::audit::Caller;
use crate::deployer::Deployer;
use crate::redact::Redactor;
use crate::stage::Session;

/// Runs the call: when the controller goes, the work stops, and nothing was changed.
pub(super) fn answer(
    deployer: Arc<Deployer>,
    caller: Caller,
    requests: Streaming<wire::StageRequest>,
) -> Answers<wire::StageResponse> {
    let wrap = |answer| wire::StageResponse { body: Some(answer) };
    dialogue::answer(requests, wrap, async move |dialogue| {
        Call { dialogue }.run(&deployer, caller).await
    })
}

struct Call {
    dialogue: Dialogue<wire::StageRequest, Answer>,
}

impl Call {
    async fn run(&mut self, deployer: &Deployer, caller: Caller) -> Result<(), Fault> {
        let Asked::Begin(begin) = self.next().await? else {
            return Err(InvalidMessage::missing("the beginning of a stack").into());
        };
        let mut session = deployer.stage(StackOffer::try_from(begin)?)?;
        session.recorded_as(caller);
        self.fill(&mut session, Vec::new()).await?;
        for _ in 0..STAGE_ROUNDS {
            let wanted = session.wanted().await?;
            self.ask(&mut session, wanted.paths).await?;
            if !wanted.again {
                break;
            }
        }
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
        self.dialogue
            .send(Answer::Staged(wire::Staged {
                stage: stage.id.to_string(),
                registries,
                images,
            }))
            .await
    }

    /// Asks for files of the stack and takes those that the controller has.
    async fn ask(&mut self, session: &mut Session, paths: Vec<String>) -> Result<(), Fault> {
        self.dialogue
            .send(Answer::Wants(wire::Wants { paths }))
            .await?;
        let Asked::Files(wire::StageFiles { files }) = self.next().await? else {
            return Err(InvalidMessage::missing("the answer to what is wanted").into());
        };
        let files = files
            .into_iter()
            .map(ShippedFile::try_from)
            .collect::<Result<_, _>>()?;
        self.fill(session, files).await
    }

    /// Asks for the contents that are not here and takes them.
    async fn fill(&mut self, session: &mut Session, files: Vec<ShippedFile>) -> Result<(), Fault> {
        let need = session.add(files)?;
        let blobs = need.iter().map(|blob| blob.as_bytes().to_vec()).collect();
        self.dialogue
            .send(Answer::Need(wire::Need { blobs }))
            .await?;
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
        let message = self.dialogue.next().await?;
        message
            .body
            .ok_or_else(|| InvalidMessage::missing("a stage request's body").into())
    }
}

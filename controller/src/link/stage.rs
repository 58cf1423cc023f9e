//! Brings a stack onto a host: describes it, then answers what the agent needs and wants until it has all.

use std::collections::{BTreeSet, HashMap};
use std::io::Read;
use std::time::Duration;

use proto::convert::blob_from_wire;
use proto::fault::{Fault, FaultKind};
use proto::hello::Feature;
use proto::id::BlobId;
use proto::limits::CHUNK_BYTES;
use proto::stack::{ShippedFile, StackOffer, StackSpec};
use proto::wire::v1 as wire;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use wire::stage_request::Body as Request;
use wire::stage_response::Body as Answer;

use super::{Link, fault};

pub(super) use proto::id::StageId;

/// A stack's content on this workstation.
pub trait Supply: Send + Sync + 'static {
    /// The stack as it is described to the agent. May block.
    fn offer(&self) -> StackOffer;

    /// Takes up paths that the Compose files name; those that exist, folders expanded. May block.
    ///
    /// # Errors
    /// When a file cannot be read or the bundle grows too large.
    fn add_wanted(&mut self, paths: Vec<String>) -> Result<Vec<ShippedFile>, Fault>;

    /// What the operator should know of it; shown with the plan.
    fn warnings(&self) -> Vec<String> {
        Vec::new()
    }

    /// Names of variables that the operator's shell sets and that could be taken from there.
    fn set_in_shell(&self) -> BTreeSet<String> {
        BTreeSet::new()
    }

    /// Opens content that was described before. May block.
    ///
    /// # Errors
    /// When the file has gone or cannot be read.
    fn open(&self, blob: BlobId) -> Result<Box<dyn Read + Send>, Fault>;
}

/// A stack that is on a host, not yet compared with what runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Staged {
    /// Names this content on this host.
    pub stage: StageId,
    /// Registries that images would come from.
    pub registries: Vec<String>,
    /// The images.
    pub images: Vec<String>,
}

/// The agent runs Compose in between, and fsyncs what it got.
const STEP: Duration = Duration::from_secs(60);

/// Requests on their way. Full: reading files waits until the network has taken what is there.
const IN_FLIGHT: usize = 4;

pub(super) async fn run(
    link: &Link,
    supply: Box<dyn Supply>,
    progress: &(dyn Fn(u64, u64) + Send + Sync),
) -> Result<Staged, Fault> {
    let (supply, offer) = blocking(move || {
        let offer = supply.offer();
        (supply, offer)
    })
    .await?;
    check_features(link, &offer.spec)?;
    let (requests, outbox) = mpsc::channel(IN_FLIGHT);
    let mut staging = Staging {
        link,
        sizes: HashMap::new(),
        supply: Some(supply),
        requests,
        progress,
        sent: 0,
        total: 0,
    };
    staging.learn(&offer.spec.files);
    // The outbox has room for this one before anybody reads it.
    let begin = staging.send(Request::Begin(offer.into())).await;
    let mut client = link.client.clone();
    let answers = link
        .call("stage", STEP, client.stage(ReceiverStream::new(outbox)))
        .await?;
    begin?;
    staging.converse(answers).await
}

/// An older agent would leave out what it does not know, without a word.
fn check_features(link: &Link, spec: &StackSpec) -> Result<(), Fault> {
    let needed = [
        (
            Feature::EnvFiles,
            "several env files",
            spec.env_files.len() > 1,
        ),
        (
            Feature::ProjectFolder,
            "Compose files in a folder of the stack",
            spec.folder.is_some(),
        ),
    ];
    let known = &link.facts.features;
    let lacks = |feature: &Feature, used: bool| used && !known.contains(feature);
    let Some((_, what, _)) = needed
        .iter()
        .find(|(feature, _, used)| lacks(feature, *used))
    else {
        return Ok(());
    };
    let (stack, host) = (&spec.stack, &link.host);
    let what = format!("stack {stack} has {what}, and the agent on {host} is too old for that");
    Err(Fault::new(FaultKind::Unsupported, what).hint(format!("controller host upgrade {host}")))
}

struct Staging<'a> {
    link: &'a Link,
    sizes: HashMap<BlobId, u64>,
    /// Lent to a blocking thread and given back.
    supply: Option<Box<dyn Supply>>,
    requests: mpsc::Sender<wire::StageRequest>,
    progress: &'a (dyn Fn(u64, u64) + Send + Sync),
    sent: u64,
    total: u64,
}

impl Staging<'_> {
    async fn converse(
        mut self,
        mut answers: Streaming<wire::StageResponse>,
    ) -> Result<Staged, Fault> {
        loop {
            let reply = match self.next(&mut answers).await? {
                Answer::Need(need) => self.upload(need).await,
                Answer::Wants(wants) => self.ship_wanted(wants).await,
                Answer::Staged(staged) => return self.staged(staged),
            };
            if let Err(fault) = reply {
                // The agent hangs up before it has read everything when something is wrong; its reason counts.
                return Err(self.reason(&mut answers).await.unwrap_or(fault));
            }
        }
    }

    async fn next(&self, answers: &mut Streaming<wire::StageResponse>) -> Result<Answer, Fault> {
        let message = match timeout(STEP, answers.message()).await {
            Err(_) => return Err(fault::silent("stage", STEP)),
            Ok(Err(status)) => return Err(fault::from_status(&self.link.host, "stage", &status)),
            Ok(Ok(message)) => message,
        };
        let body = message.and_then(|message| message.body);
        body.ok_or_else(|| self.link.garbled("staging ended without a result"))
    }

    /// Why the agent hung up, if it says so soon.
    async fn reason(&self, answers: &mut Streaming<wire::StageResponse>) -> Option<Fault> {
        const SOON: Duration = Duration::from_secs(2);
        loop {
            match timeout(SOON, answers.message()).await {
                Ok(Ok(Some(_))) => {}
                Ok(Err(status)) => {
                    return Some(fault::from_status(&self.link.host, "stage", &status));
                }
                Ok(Ok(None)) | Err(_) => return None,
            }
        }
    }

    async fn ship_wanted(&mut self, wants: wire::Wants) -> Result<(), Fault> {
        let mut supply = self.borrow()?;
        let (supply, files) = blocking(move || {
            let files = supply.add_wanted(wants.paths);
            (supply, files)
        })
        .await?;
        self.supply = Some(supply);
        let files = files?;
        self.learn(&files);
        let files = files.into_iter().map(Into::into).collect();
        self.send(Request::Files(wire::StageFiles { files })).await
    }

    async fn upload(&mut self, need: wire::Need) -> Result<(), Fault> {
        let blobs: Result<Vec<BlobId>, _> =
            need.blobs.iter().map(|blob| blob_from_wire(blob)).collect();
        let blobs = blobs.map_err(|error| self.link.garbled(error))?;
        let sizes = blobs.iter().map(|blob| self.sizes.get(blob).copied());
        self.total += sizes.map(Option::unwrap_or_default).sum::<u64>();
        for blob in blobs {
            self.upload_one(blob).await?;
        }
        Ok(())
    }

    async fn upload_one(&mut self, blob: BlobId) -> Result<(), Fault> {
        let supply = self.borrow()?;
        let (supply, reader) = blocking(move || {
            let reader = supply.open(blob);
            (supply, reader)
        })
        .await?;
        self.supply = Some(supply);
        let mut reader = reader?;
        let mut offset = 0;
        loop {
            let (back, data) = blocking(move || {
                let data = read_chunk(&mut reader);
                (reader, data)
            })
            .await?;
            reader = back;
            let data = data?;
            let length = data.len();
            // An empty file is one empty chunk: otherwise it would never arrive.
            if length > 0 || offset == 0 {
                let blob = blob.as_bytes().to_vec();
                self.send(Request::Chunk(wire::Chunk { blob, offset, data }))
                    .await?;
            }
            offset += length as u64;
            self.sent += length as u64;
            (self.progress)(self.sent, self.total);
            if length < CHUNK_BYTES {
                return Ok(());
            }
        }
    }

    fn staged(&self, staged: wire::Staged) -> Result<Staged, Fault> {
        let wire::Staged {
            stage,
            registries,
            images,
        } = staged;
        Ok(Staged {
            stage: stage.parse().map_err(|error| self.link.garbled(error))?,
            registries,
            images,
        })
    }

    async fn send(&self, body: Request) -> Result<(), Fault> {
        let request = wire::StageRequest { body: Some(body) };
        match timeout(STEP, self.requests.send(request)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => {
                let what = format!("{} stopped taking the stack's files", self.link.host);
                Err(Fault::new(FaultKind::Unreachable, what))
            }
            Err(_) => Err(fault::silent("stage", STEP)),
        }
    }

    fn learn(&mut self, files: &[ShippedFile]) {
        self.sizes
            .extend(files.iter().map(|file| (file.blob, file.size)));
    }

    fn borrow(&mut self) -> Result<Box<dyn Supply>, Fault> {
        let lent = || Fault::new(FaultKind::Internal, "the stack's content is in use");
        self.supply.take().ok_or_else(lent)
    }
}

/// As much of a chunk as there is.
fn read_chunk(reader: &mut (dyn Read + Send)) -> Result<Vec<u8>, Fault> {
    let mut data = Vec::with_capacity(CHUNK_BYTES);
    let read = reader.take(CHUNK_BYTES as u64).read_to_end(&mut data);
    read.map_err(|error| {
        Fault::new(
            FaultKind::InvalidStack,
            "a file of the stack cannot be read",
        )
        .because(&error)
    })?;
    Ok(data)
}

/// Runs what may block where it may, and waits for it.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Fault> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| Fault::new(FaultKind::Internal, "reading files broke off").because(&error))
}

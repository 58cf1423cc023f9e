//! Hands out what a hook has printed and the agent has kept, from any place in it on.

use std::io::SeekFrom;

use futures_util::{Stream, stream};
use proto::limits::CHUNK_BYTES;
use proto::wire::v1 as wire;
use tokio::fs::File;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};
use tonic::Status;

/// The chunks of a file from `offset` on. Only the one under way is in memory.
pub(super) async fn chunks(
    mut file: File,
    offset: u64,
) -> Result<impl Stream<Item = Result<wire::SavedChunk, Status>> + Send + 'static, Status> {
    file.seek(SeekFrom::Start(offset)).await.map_err(lost)?;
    Ok(stream::unfold(Some(file), |file| async {
        let mut file = file?;
        let mut data = vec![0; CHUNK_BYTES];
        match file.read(&mut data).await {
            Ok(0) => None,
            Ok(count) => {
                data.truncate(count);
                Some((Ok(wire::SavedChunk { data }), Some(file)))
            }
            Err(error) => Some((Err(lost(error)), None)),
        }
    }))
}

fn lost(error: std::io::Error) -> Status {
    Status::internal(format!("cannot read what was kept: {error}"))
}

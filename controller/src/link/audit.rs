//! A host's audit record, page by page.

use proto::audit::Head;
use proto::fault::Fault;
use proto::wire::v1 as wire;
use tonic::Streaming;

use super::{Link, SHORT, fault};

/// The lines of a record being read, the oldest first.
pub struct RecordLines {
    link: Link,
    stream: Streaming<wire::AuditPage>,
}

impl Link {
    /// Reads the whole record, over a connection of its own.
    ///
    /// # Errors
    /// When the agent refuses, or does not answer.
    pub async fn record(&self) -> Result<RecordLines, Fault> {
        let request = wire::AuditRequest { after: 0, limit: 0 };
        let mut client = self.bulk().await?;
        let stream = self.call("audit", SHORT, client.audit(request)).await?;
        let link = self.clone();
        Ok(RecordLines { link, stream })
    }

    /// The newest head of the host's record that this workstation had seen before this command.
    #[must_use]
    pub fn remembered(&self) -> Option<Head> {
        self.dial.heads()?.remembered()
    }

    /// From here on, `head` is what this workstation has seen.
    pub fn accept(&self, head: Head) {
        if let Some(heads) = self.dial.heads() {
            heads.accept(head);
        }
    }
}

impl RecordLines {
    /// The next lines, as they are kept; `None` at the end.
    ///
    /// # Errors
    /// When the host stops answering.
    pub async fn next(&mut self) -> Result<Option<Vec<Vec<u8>>>, Fault> {
        let page = tokio::time::timeout(SHORT, self.stream.message()).await;
        let page = page.map_err(|_| fault::silent("audit", SHORT))?;
        let page = page.map_err(|status| fault::from_status(&self.link.host, "audit", &status))?;
        Ok(page.map(|wire::AuditPage { lines }| lines))
    }
}

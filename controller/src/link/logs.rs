//! Reads one stack's log lines across lost links: a cursor for each container's output, no line twice, and
//! nothing left out in silence.

use std::collections::HashMap;

use proto::fault::{Fault, FaultKind};
use proto::log::{LogQuery, LogRecord, Stream};
use proto::wire::v1 as wire;
use tonic::Streaming;
use wire::agent_client::AgentClient;

use super::backoff::Backoff;
use super::{Link, Patience, SHORT, fault, heard::Heard};

/// What a log stream yields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogSeen {
    /// A line, or the mark of missing ones.
    Record(LogRecord),
    /// The link broke, for this reason; attempts go on.
    Lost(String),
    /// The link is back.
    Restored,
}

/// The newest time seen of one output, and how many lines had exactly that time.
#[derive(Debug, Clone, Copy)]
struct Mark {
    at: i64,
    lines: u32,
    /// Of those, how many have come again since the link was restored.
    again: u32,
}

/// Agents send a stack's containers side by side, so one that is so far behind the others has been quiet.
/// Without this bound, a resume would send again all that was printed since the quietest line.
const BEHIND: i64 = 10 * 60 * 1_000_000_000;

/// Where reading goes on after a break.
#[derive(Debug, Default)]
struct Cursor {
    /// By container: standard output, standard error.
    marks: HashMap<String, [Option<Mark>; 2]>,
    newest: i64,
}

impl Cursor {
    /// Whether the line is new.
    fn admit(&mut self, container: &str, stream: Stream, at: i64) -> bool {
        self.newest = self.newest.max(at);
        if !self.marks.contains_key(container) {
            self.marks.insert(container.to_owned(), [None; 2]);
        }
        let marks = self.marks.get_mut(container);
        let Some(slot) =
            marks.and_then(|marks| marks.get_mut(usize::from(stream == Stream::Stderr)))
        else {
            return true;
        };
        let first = Mark {
            at,
            lines: 1,
            again: 1,
        };
        let Some(mark) = slot else {
            *slot = Some(first);
            return true;
        };
        if at > mark.at {
            *mark = first;
            return true;
        }
        if at < mark.at {
            // Only after a resume are older lines repetitions; before, an engine may be out of order.
            return mark.again == mark.lines;
        }
        mark.again += 1;
        let new = mark.again > mark.lines;
        mark.lines = mark.lines.max(mark.again);
        new
    }

    /// The time to ask from, `None` when nothing has been read.
    fn resume(&mut self) -> Option<i64> {
        let mut oldest = None;
        for mark in self.marks.values_mut().flatten().flatten() {
            mark.again = 0;
            oldest = oldest.min(Some(mark.at)).or(Some(mark.at));
        }
        let oldest = oldest?;
        Some(oldest.max(self.newest.saturating_sub(BEHIND)))
    }
}

/// A stack's log lines being read.
pub struct LogStream {
    link: Link,
    query: LogQuery,
    stream: Option<Streaming<wire::LogRecord>>,
    client: Option<AgentClient<Heard>>,
    cursor: Cursor,
    backoff: Backoff,
    lost: bool,
    ended: bool,
}

impl LogStream {
    pub(super) fn new(link: Link, query: LogQuery, patience: Patience) -> Self {
        Self {
            link,
            query,
            stream: None,
            client: None,
            cursor: Cursor::default(),
            backoff: patience.start(),
            lost: false,
            ended: false,
        }
    }

    /// What comes next; `None` at the end, or behind an error.
    pub async fn next(&mut self) -> Option<Result<LogSeen, Fault>> {
        while !self.ended {
            let step = match self.stream.take() {
                Some(stream) => self.read(stream).await,
                None => self.open().await,
            };
            match step {
                Ok(None) => {}
                Ok(Some(seen)) => return Some(Ok(seen)),
                Err(fault) if fault.kind == FaultKind::Unreachable => {
                    self.client = None;
                    if !self.lost {
                        self.lost = true;
                        let why = fault.causes.last().unwrap_or(&fault.what);
                        return Some(Ok(LogSeen::Lost(why.clone())));
                    }
                }
                Err(fault) => {
                    self.ended = true;
                    return Some(Err(fault));
                }
            }
        }
        None
    }

    async fn read(
        &mut self,
        mut stream: Streaming<wire::LogRecord>,
    ) -> Result<Option<LogSeen>, Fault> {
        // No deadline of its own: a container may be silent for days, and the keepalive ends a dead connection.
        let message = stream.message().await;
        let message =
            message.map_err(|status| fault::from_status(&self.link.host, "logs", &status))?;
        let Some(message) = message else {
            self.ended = true;
            return Ok(None);
        };
        let record = message
            .try_into()
            .map_err(|error| self.link.garbled(error))?;
        self.stream = Some(stream);
        if self.backoff.is_running() {
            self.backoff.reset();
        }
        let new = match &record {
            LogRecord::Line {
                container,
                stream,
                at_nanos,
                ..
            } => self.cursor.admit(container, *stream, *at_nanos),
            LogRecord::Gap { .. } => true,
        };
        Ok(new.then_some(LogSeen::Record(record)))
    }

    async fn open(&mut self) -> Result<Option<LogSeen>, Fault> {
        if self.lost && !self.backoff.wait().await {
            let what = format!("the logs of {} could not be reached again", self.link.host);
            // Not `Unreachable`: that would be tried again.
            return Err(Fault::new(FaultKind::Failed, what));
        }
        let mut client = match self.client.take() {
            Some(client) => client,
            None => self.link.bulk().await?,
        };
        let mut query = self.query.clone();
        if let Some(at) = self.cursor.resume() {
            query.since_nanos = Some(at);
            query.tail = None;
        }
        let request = wire::LogsRequest::from(query);
        let stream = self.link.call("logs", SHORT, client.logs(request)).await?;
        self.client = Some(client);
        self.stream = Some(stream);
        Ok(std::mem::take(&mut self.lost).then_some(LogSeen::Restored))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resume_neither_repeats_nor_swallows_lines_of_one_instant() {
        let mut cursor = Cursor::default();
        for at in [1, 5, 5, 5] {
            assert!(cursor.admit("web-1", Stream::Stdout, at));
        }
        assert!(cursor.admit("web-1", Stream::Stderr, 3));
        assert_eq!(cursor.resume(), Some(3));
        // The host sends again from 3 on, and one more line of instant 5.
        let again: Vec<bool> = [5, 5, 5, 5, 6]
            .iter()
            .map(|at| cursor.admit("web-1", Stream::Stdout, *at))
            .collect();
        assert_eq!(again, [false, false, false, true, true]);
        assert!(!cursor.admit("web-1", Stream::Stderr, 3));
        assert!(cursor.admit("db-1", Stream::Stdout, 2));
    }

    #[test]
    fn a_quiet_container_does_not_bring_back_hours_of_the_others() {
        let mut cursor = Cursor::default();
        cursor.admit("quiet", Stream::Stdout, 1);
        cursor.admit("busy", Stream::Stdout, 3 * BEHIND);
        assert_eq!(cursor.resume(), Some(2 * BEHIND));
    }
}

//! A container's log lines, as a stream.

use std::collections::VecDeque;
use std::time::Duration;

use futures_util::stream::{BoxStream, StreamExt as _, unfold};

use super::api::{Api, Ask, Refusal};
use super::containers::inspect_container;
use super::frames::{Decoder, Found};
use super::request::encoded;
use super::{QUICK, stamp};
use crate::engine::{EngineError, LogRange, RawLine};

/// How long the engine may take for the next bytes of a log that it only has to read.
const SILENCE: Duration = Duration::from_secs(60);

/// Opens the log. The container's settings say how to read it.
pub(super) async fn open(
    api: &Api,
    container: &str,
    range: &LogRange,
) -> Result<BoxStream<'static, Result<RawLine, EngineError>>, EngineError> {
    let what = format!("logs of {container}");
    let inspected = inspect_container(api, container).await;
    let inspected = inspected.map_err(|refusal| refusal.into_error(&what))?;
    let ask = Ask {
        what: what.clone(),
        method: "GET",
        path: format!("/containers/{}/logs", encoded(container)?),
        query: query(range),
        auth: None,
        body: None,
        deadline: QUICK,
    };
    let body = api.stream(&ask).await;
    let reading = Reading {
        body: body.map_err(|refusal| refusal.into_error(&what))?,
        decoder: Decoder::new(inspected.has_terminal()),
        ready: VecDeque::new(),
        silence: (!range.follow).then_some(SILENCE),
        what,
        over: false,
    };
    Ok(unfold(reading, |mut reading| async {
        let item = reading.next().await?;
        Some((item, reading))
    })
    .boxed())
}

fn query(range: &LogRange) -> Vec<(&'static str, String)> {
    let flag = |on: bool| if on { "1" } else { "0" }.to_owned();
    let tail = range
        .tail
        .map_or_else(|| "all".to_owned(), |lines| lines.to_string());
    let mut query = vec![
        ("stdout", flag(true)),
        ("stderr", flag(true)),
        ("timestamps", flag(true)),
        ("follow", flag(range.follow)),
        ("tail", tail),
    ];
    let since = range.since_nanos.map(|at| ("since", stamp::seconds(at)));
    let until = range.until_nanos.map(|at| ("until", stamp::seconds(at)));
    query.extend(since.into_iter().chain(until));
    query
}

struct Reading {
    body: BoxStream<'static, Result<Vec<u8>, Refusal>>,
    decoder: Decoder,
    /// Decoded from one chunk of the body, so bounded by its size.
    ready: VecDeque<Found>,
    silence: Option<Duration>,
    what: String,
    over: bool,
}

impl Reading {
    async fn next(&mut self) -> Option<Result<RawLine, EngineError>> {
        loop {
            match self.ready.pop_front() {
                Some(Found::Line(line)) => return Some(Ok(line)),
                Some(Found::Trouble(message)) => return Some(Err(self.error(message))),
                Some(Found::Malformed) => {
                    self.over = true;
                    return Some(Err(self.error("the engine sent something else".to_owned())));
                }
                None if self.over => return None,
                None => {
                    if let Err(refusal) = self.fill().await {
                        self.over = true;
                        return Some(Err(refusal.into_error(&self.what)));
                    }
                }
            }
        }
    }

    async fn fill(&mut self) -> Result<(), Refusal> {
        let chunk = match self.silence {
            Some(silence) => tokio::time::timeout(silence, self.body.next())
                .await
                .map_err(|_| Refusal::TimedOut(silence))?,
            None => self.body.next().await,
        };
        let ready = &mut self.ready;
        let mut keep = |found| ready.push_back(found);
        match chunk {
            Some(chunk) => self.decoder.push(&chunk?, &mut keep),
            None => {
                self.over = true;
                self.decoder.finish(&mut keep);
            }
        }
        Ok(())
    }

    fn error(&self, message: String) -> EngineError {
        EngineError::Api {
            what: self.what.clone(),
            message,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_keeps_its_nanoseconds() {
        let range = LogRange {
            follow: true,
            tail: Some(10),
            since_nanos: Some(1_709_251_199_000_000_001),
            until_nanos: None,
        };
        let text: Vec<_> = query(&range)
            .iter()
            .map(|(k, v)| format!("{k}={v}"))
            .collect();
        assert_eq!(
            text.join("&"),
            "stdout=1&stderr=1&timestamps=1&follow=1&tail=10&since=1709251199.000000001"
        );
        assert!(query(&LogRange::default()).contains(&("tail", "all".to_owned())));
    }
}

//! One try of a probe: from the host to the container's own address, or by a program inside it.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, header};
use http_body_util::Empty;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use proto::probe::{Check, Probe};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::judge::Answer;
use crate::engine::{Container, Engine};

/// A program that was not ended by its probe's timeout is waited for so long before another one is started.
const LONGEST_PROGRAM: Duration = Duration::from_secs(60 * 60);

/// Who asks.
#[derive(Clone)]
pub(super) struct Asker {
    engine: Arc<dyn Engine>,
    http: Client<HttpConnector, Empty<Bytes>>,
}

impl Asker {
    pub(super) fn new(engine: Arc<dyn Engine>) -> Self {
        // A try says nothing when it finds a connection of the try before.
        let http = Client::builder(TokioExecutor::new())
            .pool_max_idle_per_host(0)
            .build(HttpConnector::new());
        Self { engine, http }
    }

    /// Asks at each of the container's addresses until one answers.
    pub(super) async fn ask(&self, container: &Container, probe: &Probe) -> Answer {
        let count = u32::try_from(container.addresses.len()).unwrap_or(u32::MAX);
        let each = probe.timeout / count.max(1);
        let mut first = None;
        for address in &container.addresses {
            let answer = match timeout(each, self.at(*address, &probe.check)).await {
                Ok(answer) => answer,
                Err(_) => Err(format!("did not answer within {each:?}")),
            };
            match answer {
                Ok(answer) => return answer,
                Err(words) => drop(first.get_or_insert(words)),
            }
        }
        failed(first.unwrap_or_else(|| "has no address to ask at".to_owned()))
    }

    /// The answer, or why there is none.
    async fn at(&self, address: IpAddr, check: &Check) -> Result<Answer, String> {
        match check {
            Check::Http { port, path, status } => {
                let told = self.get(SocketAddr::new(address, *port), path).await?;
                Ok(judged(told, *status))
            }
            Check::Tcp { port } => {
                let connected = TcpStream::connect((address, *port)).await;
                connected.map_err(|error| silent(&error))?;
                Ok(passed("is open"))
            }
            Check::Exec { .. } => Err("is no question for the network".to_owned()),
        }
    }

    async fn get(&self, at: SocketAddr, path: &str) -> Result<u16, String> {
        let request = Request::get(format!("http://{at}{path}"))
            // As a healthcheck inside the container would call it.
            .header(header::HOST, format!("localhost:{}", at.port()))
            .header(header::USER_AGENT, "longshore")
            .body(Empty::new())
            .map_err(|error| silent(&error))?;
        let answer = self.http.request(request).await;
        // Nobody reads the body: the connection goes with it.
        answer
            .map(|answer| answer.status().as_u16())
            .map_err(|error| silent(&error))
    }

    /// Runs a program in the container.
    pub(super) async fn run(&self, container: &str, argv: &[String]) -> Answer {
        match self
            .engine
            .probe_exec(container, argv, LONGEST_PROGRAM)
            .await
        {
            Ok(end) => Answer {
                passed: end.exit_code == 0,
                words: format!("ended with {}", end.exit_code),
                output: end.output,
            },
            Err(error) => failed(format!("did not run: {error}")),
        }
    }
}

fn judged(status: u16, wanted: Option<u16>) -> Answer {
    let good = wanted.map_or((200..400).contains(&status), |wanted| wanted == status);
    match wanted {
        Some(wanted) if !good => failed(format!("answered {status}, not {wanted}")),
        _ => Answer {
            passed: good,
            ..failed(format!("answered {status}"))
        },
    }
}

fn passed(words: &str) -> Answer {
    Answer {
        passed: true,
        ..failed(words.to_owned())
    }
}

fn failed(words: String) -> Answer {
    Answer {
        passed: false,
        words,
        output: String::new(),
    }
}

/// The innermost cause says it best.
fn silent(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    format!("did not answer: {cause}")
}

#[cfg(test)]
mod tests;

//! A command in a running container: made ready, run with its output as it comes, and ended for good.

use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use serde::Deserialize;
use serde_json::json;
use tokio::time::{Instant, sleep, timeout};

use super::api::{Api, Ask, Refusal};
use super::demux::Demux;
use super::request::encoded;
use super::{QUICK, get};
use crate::engine::{Attach, EngineError};
use crate::process;

/// The engine learns of an end a moment after the output has ended.
const END: Duration = Duration::from_secs(10);
const LOOK_AGAIN: Duration = Duration::from_millis(20);

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Made {
    id: String,
}

/// What the engine says of a command.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Inspected {
    running: bool,
    exit_code: Option<i64>,
    /// Of the command's first process, as the host sees it; 0 before it has begun.
    #[serde(default)]
    pid: i32,
    #[serde(rename = "ContainerID")]
    container: String,
}

/// Makes a command ready; nothing runs yet.
pub(super) async fn prepare(
    api: &Api,
    container: &str,
    argv: &[String],
) -> Result<String, EngineError> {
    let body = json!({ "AttachStdout": true, "AttachStderr": true, "Tty": false, "Cmd": argv });
    let ask = Ask {
        method: "POST",
        body: Some(body.to_string()),
        ..get(
            format!("a command in container {container}"),
            format!("/containers/{}/exec", encoded(container)?),
        )
    };
    let made: Result<Made, _> = api.json(&ask).await;
    made.map(|made| made.id)
        .map_err(|refusal| refusal.into_error(&ask.what))
}

/// Runs it to its end, which its deadline or somebody else may bring about.
pub(super) async fn run(api: &Api, exec: &str, attach: Attach) -> Result<i64, EngineError> {
    let deadline = attach.deadline;
    let ended = tokio::select! {
        ended = follow(api, exec, &attach) => ended,
        () = sleep(deadline) => Err(EngineError::TimedOut {
            what: "the command".to_owned(),
            after: deadline,
        }),
        () = attach.stop.cancelled() => Err(EngineError::Cancelled),
    };
    if ended.is_err() {
        end(api, exec).await?;
    }
    ended
}

async fn follow(api: &Api, exec: &str, attach: &Attach) -> Result<i64, EngineError> {
    let ask = Ask {
        method: "POST",
        body: Some(json!({ "Detach": false, "Tty": false }).to_string()),
        ..get(
            "a command in a container".to_owned(),
            format!("/exec/{}/start", encoded(exec)?),
        )
    };
    let error = |refusal: Refusal| refusal.into_error(&ask.what);
    let body = api.stream(&ask).await.map_err(error)?;
    pump(body, attach).await.map_err(error)?;
    let over = Instant::now() + END;
    loop {
        let seen = inspect(api, exec).await.map_err(error)?;
        match seen.exit_code {
            Some(code) if !seen.running => return Ok(code),
            _ if Instant::now() >= over => {
                return Err(EngineError::Api {
                    what: ask.what,
                    message: "its output has ended, and it has not".to_owned(),
                });
            }
            _ => sleep(LOOK_AGAIN).await,
        }
    }
}

async fn pump(
    mut body: BoxStream<'static, Result<Vec<u8>, Refusal>>,
    attach: &Attach,
) -> Result<(), Refusal> {
    let mut demux = Demux::default();
    while let Some(bytes) = body.next().await {
        for printed in demux.push(&bytes?)? {
            // When nobody listens any more: keep reading, or the command would stop at a full pipe.
            attach.output.send(printed).await.ok();
        }
    }
    Ok(())
}

/// Ends every process of a command. Gone already is success.
pub(super) async fn end(api: &Api, exec: &str) -> Result<(), EngineError> {
    let what = "ending a command in a container";
    // A command that was just being started has no process yet, and would run on.
    let settled = timeout(QUICK, async {
        loop {
            match inspect(api, exec).await {
                Err(refusal) if refusal.is_missing() => return Ok(None),
                Ok(seen) if seen.running && seen.pid == 0 => sleep(LOOK_AGAIN).await,
                Ok(seen) => return Ok(Some(seen)),
                Err(refusal) => return Err(refusal.into_error(what)),
            }
        }
    });
    let seen = settled.await.map_err(|_| EngineError::TimedOut {
        what: what.to_owned(),
        after: QUICK,
    })??;
    match seen {
        Some(Inspected { pid, container, .. }) if pid > 0 => {
            let gone = process::end_session(pid, &container).await;
            gone.map_err(|why| EngineError::Local {
                what: what.to_owned(),
                message: why.to_string(),
            })
        }
        _ => Ok(()),
    }
}

async fn inspect(api: &Api, exec: &str) -> Result<Inspected, Refusal> {
    let name = encoded(exec).map_err(|error| Refusal::Malformed(error.to_string()))?;
    let ask = get(
        "a command in a container".to_owned(),
        format!("/exec/{name}/json"),
    );
    api.json(&ask).await
}

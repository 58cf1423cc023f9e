//! The way to a host: TCP, or through another host's session; then who it is, then who we are.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use russh::client::Handle;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;

use super::algorithms;
use super::auth::Entrance;
use super::client::{Client, Life, Stop};
use super::config::{self, Settings};
use super::deadline::Deadline;
use super::error::SshError;
use super::guarded::Guarded;
use super::host_keys::Judge;
use super::{Ask, Options, Session};
use crate::fleet::address::SshTarget;
use crate::tcp;

/// Unless the configuration says otherwise.
const CONNECT: Duration = Duration::from_secs(10);
const HANDSHAKE: Duration = Duration::from_secs(15);
/// Less than the two minutes a server gives.
const ENTER: Duration = Duration::from_secs(90);
const MOST_JUMPS: usize = 8;

trait Io: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Io for T {}

/// What every host on the way needs.
#[derive(Clone)]
pub(super) struct Way {
    pub(super) options: Options,
    pub(super) ask: Arc<dyn Ask>,
    pub(super) jumps: usize,
}

/// Opens a session with `target`; `through` replaces what the configuration says about hosts in between.
pub(super) fn reach(
    target: SshTarget,
    through: Option<Vec<SshTarget>>,
    way: Way,
) -> BoxFuture<'static, Result<Session, SshError>> {
    async move {
        let settings = config::settings(&target, &way.options.around)?;
        let host = SshTarget {
            user: None,
            host: target.host.clone(),
            port: Some(settings.port),
        };
        let host = host.to_string();
        // Files that cannot be read are told before anybody is bothered.
        let given = way.options.host_key.as_ref().map(ToString::to_string);
        let judge = Judge::new(&settings, host.clone(), given, Arc::clone(&way.ask))?;
        let through = through.unwrap_or_else(|| settings.jump.clone());
        let (stream, jump) = stream(&settings, &host, through, &way).await?;
        let limit = settings.connect_timeout.unwrap_or(HANDSHAKE);
        let (mut handle, life) = greet(stream, judge, &way.options, limit).await?;
        enter(&mut handle, &settings, &life, &host, &way).await?;
        let mut notes = jump
            .as_ref()
            .map(|jump| jump.notes().to_vec())
            .unwrap_or_default();
        notes.extend(settings.notes);
        notes.extend(life.notes());
        Ok(Session::new(handle, life, host, settings.user, notes, jump))
    }
    .boxed()
}

async fn stream(
    settings: &Settings,
    host: &str,
    through: Vec<SshTarget>,
    way: &Way,
) -> Result<(Box<dyn Io>, Option<Box<Session>>), SshError> {
    let Some((last, before)) = through.split_last() else {
        let limit = settings.connect_timeout.unwrap_or(CONNECT);
        let address = SshTarget {
            user: None,
            host: settings.host.clone(),
            port: Some(settings.port),
        };
        let address = address.to_string();
        let tcp = timeout(limit, tcp::connect(&address)).await;
        let tcp = tcp.map_err(|_| SshError::Silent {
            host: host.to_owned(),
            what: "answer",
            after: limit,
        })?;
        let tcp = tcp.map_err(|source| SshError::Network {
            host: host.to_owned(),
            source,
        })?;
        return Ok((Box::new(tcp), None));
    };
    if way.jumps >= MOST_JUMPS {
        return Err(SshError::TooManyJumps {
            host: host.to_owned(),
            most: MOST_JUMPS,
        });
    }
    let onward = Way {
        options: Options {
            // The fingerprint is of the host that was asked for.
            host_key: None,
            ..way.options.clone()
        },
        ask: Arc::clone(&way.ask),
        jumps: way.jumps + 1,
    };
    let jump = |source| SshError::Jump {
        through: last.to_string(),
        source: Box::new(source),
    };
    let before = (!before.is_empty()).then(|| before.to_vec());
    let session = reach(last.clone(), before, onward).await.map_err(jump)?;
    let tunnel = session
        .forward(&settings.host, settings.port)
        .await
        .map_err(jump)?;
    Ok((Box::new(tunnel), Some(Box::new(session))))
}

/// The key exchange, in which the host proves who it is.
async fn greet(
    stream: Box<dyn Io>,
    judge: Judge,
    options: &Options,
    limit: Duration,
) -> Result<(Handle<Client>, Arc<Life>), SshError> {
    let host = judge.host.clone();
    let config = Arc::new(algorithms::config(judge.algorithms(), options.rekey));
    let life = Arc::new(Life::default());
    let deadline = Deadline::new(limit);
    let client = Client {
        judge,
        life: Arc::clone(&life),
        deadline: Arc::clone(&deadline),
    };
    tokio::select! {
        greeted = russh::client::connect_stream(config, Guarded::new(stream), client) => match greeted {
            Ok(handle) => Ok((handle, life)),
            Err(stop) => Err(why(stop, host)),
        },
        () = deadline.passed() => Err(SshError::Silent {
            host,
            what: "say who it is",
            after: limit,
        }),
    }
}

fn why(stop: Stop, host: String) -> SshError {
    match stop {
        Stop::Own(error) => *error,
        Stop::Library(russh::Error::NoCommonAlgo { kind, theirs, .. }) => {
            let what = match kind {
                russh::AlgorithmKind::Kex => "key exchange",
                russh::AlgorithmKind::Key => "host key",
                russh::AlgorithmKind::Cipher => "cipher",
                russh::AlgorithmKind::Compression => "compression",
                russh::AlgorithmKind::Mac => "message authentication",
            };
            SshError::Algorithms { host, what, theirs }
        }
        Stop::Library(russh::Error::Join(_)) => SshError::Defect { host },
        Stop::Library(source) => SshError::Handshake { host, source },
    }
}

async fn enter(
    handle: &mut Handle<Client>,
    settings: &Settings,
    life: &Arc<Life>,
    host: &str,
    way: &Way,
) -> Result<(), SshError> {
    let deadline = Deadline::new(ENTER);
    let (ask, stands) = (Arc::clone(&way.ask), Arc::clone(&deadline));
    let passwords = way.options.passwords;
    let life = Arc::clone(life);
    let entrance = Entrance::new(handle, settings, host, passwords, ask, stands, life);
    tokio::select! {
        entered = entrance.enter() => entered,
        () = deadline.passed() => Err(SshError::Silent {
            host: host.to_owned(),
            what: "decide whether to let us in",
            after: ENTER,
        }),
    }
}

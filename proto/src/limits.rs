//! Every limit and timeout that both sides must agree on, in one place.

use std::time::Duration;

/// Patterns of files that a stack does not ship.
pub const EXCLUDED: usize = 1000;
/// The port an agent listens on unless told otherwise.
pub const DEFAULT_PORT: u16 = 7433;
/// Bytes in one gRPC message, either way.
pub const MESSAGE_BYTES: usize = 4 * 1024 * 1024;
/// Bytes of file content in one [`Chunk`](crate::wire::v1::Chunk).
pub const CHUNK_BYTES: usize = 256 * 1024;
/// Bytes of all files of one stack.
pub const BUNDLE_BYTES: u64 = 64 * 1024 * 1024;
/// Files of one stack.
pub const BUNDLE_FILES: usize = 10_000;
/// Names of files that a stack may be asked for besides those that it ships.
pub const AVAILABLE_FILES: usize = 4096;
/// How often an agent may ask for more files of one stack: each time Compose opens what the last ones include.
pub const STAGE_ROUNDS: usize = 16;
/// Bytes of one interpolation value: what Linux takes in one environment string (`MAX_ARG_STRLEN`).
pub const VALUE_BYTES: usize = 128 * 1024;
/// Bytes of all interpolation values of one stack; they travel in one message.
pub const VALUES_BYTES: usize = 2 * 1024 * 1024;
/// Bytes of one relative path.
pub const PATH_BYTES: usize = 4096;
/// Bytes of one agent's binary.
pub const AGENT_BYTES: u64 = 512 * 1024 * 1024;
/// Tries that a new agent has to be started and worked with.
pub const AGENT_TRIES: u32 = 3;
/// How long one of its tries lasts at most; `deploy/launch` knows the same figure.
pub const AGENT_TRIAL: Duration = Duration::from_secs(30);
/// How long a plan may be used after it was made.
pub const PLAN_LIFE: Duration = Duration::from_secs(60 * 60);
/// TCP connect and TLS handshake, together.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// HTTP/2 ping interval, on both sides, while idle too.
pub const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
/// How long a ping may stay unanswered.
pub const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// Resolving every tag of a plan against its registry.
pub const RESOLVE_TIMEOUT: Duration = Duration::from_secs(5);
/// A service without a healthcheck must run this long without a restart to be judged good.
pub const STABILITY_WINDOW: Duration = Duration::from_secs(5);
/// The longest that a deploy may wait for its confirmation: it holds its stack so long.
pub const CONFIRM_MOST: Duration = Duration::from_secs(24 * 60 * 60);
/// Log readers on one agent; the next is refused.
pub const LOG_READERS: usize = 256;
/// Entries of a history, unless asked for otherwise.
pub const HISTORY: usize = 20;
/// The most entries of one history.
pub const HISTORY_MOST: usize = 200;

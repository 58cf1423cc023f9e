//! A door for tests outside this crate: what reads Compose's answers, by text alone.

use serde_json::Value;

use super::{paths, version, words};
use crate::engine::EngineError;

/// The undefined variables and the warnings in what Compose said.
#[must_use]
pub fn words(lines: &[String]) -> (Vec<String>, Vec<String>) {
    let words = words::read(lines);
    (words.undefined, words.warnings)
}

/// The version that `version --short` said.
///
/// # Errors
/// When it is none, or too old.
pub fn version(output: &str) -> Result<String, EngineError> {
    version::usable(output)
}

/// The relative paths that an uninterpolated configuration names.
#[must_use]
pub fn named_paths(config: &Value) -> Vec<String> {
    paths::named(config)
}

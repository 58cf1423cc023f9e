//! Registries, asked through the engine: what a name means now, and what to tell a person when it means nothing.

use std::time::Duration;

use proto::limits::RESOLVE_TIMEOUT;
use proto::registry::{RegistryAuth, registry_of};
use serde::Deserialize;

use super::api::{Api, Ask, Refusal};
use super::causes::explain;
use super::request::encoded;
use crate::engine::{EngineError, RemoteImage, Unwilling};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Distribution {
    descriptor: Descriptor,
    #[serde(default)]
    platforms: Option<Vec<Platform>>,
}

#[derive(Deserialize)]
struct Descriptor {
    digest: String,
}

#[derive(Deserialize)]
struct Platform {
    #[serde(default)]
    os: String,
    #[serde(default)]
    architecture: String,
    #[serde(default)]
    variant: String,
}

/// What the registry says the name means.
pub(super) async fn remote_image(
    api: &Api,
    reference: &str,
    auth: Option<&RegistryAuth>,
) -> Result<RemoteImage, EngineError> {
    let ask = Ask {
        body: None,
        what: format!("asking the registry for {reference}"),
        method: "GET",
        path: format!("/distribution/{}/json", encoded(reference)?),
        query: Vec::new(),
        auth,
        deadline: RESOLVE_TIMEOUT,
    };
    match api.json::<Distribution>(&ask).await {
        Ok(answer) => Ok(RemoteImage {
            digest: answer.descriptor.digest,
            platforms: answer
                .platforms
                .unwrap_or_default()
                .iter()
                .filter_map(spell)
                .collect(),
        }),
        Err(refusal) => Err(unwanted(reference, &ask.what, refusal)),
    }
}

/// Attestations pose as images of an unknown platform.
fn spell(platform: &Platform) -> Option<String> {
    let Platform {
        os,
        architecture,
        variant,
    } = platform;
    if os.is_empty() || os == "unknown" {
        return None;
    }
    Some(match variant.as_str() {
        "" => format!("{os}/{architecture}"),
        variant => format!("{os}/{architecture}/{variant}"),
    })
}

/// A refusal of a call behind which there is a registry.
pub(super) fn unwanted(reference: &str, what: &str, refusal: Refusal) -> EngineError {
    match refusal {
        Refusal::Status(code, message) => explain(reference, code, &message),
        Refusal::TimedOut(after) => silent(reference, after),
        other => other.into_error(what),
    }
}

fn silent(reference: &str, after: Duration) -> EngineError {
    let registry = registry_of(reference);
    EngineError::Image {
        image: reference.to_owned(),
        message: format!("{registry} did not answer within {} s", after.as_secs()),
        hint: None,
        unwilling: Unwilling::Silent,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attestations_are_no_platforms() {
        let platform = |os: &str, architecture: &str, variant: &str| Platform {
            os: os.to_owned(),
            architecture: architecture.to_owned(),
            variant: variant.to_owned(),
        };
        assert_eq!(
            spell(&platform("linux", "arm64", "v8")).unwrap(),
            "linux/arm64/v8"
        );
        assert_eq!(
            spell(&platform("linux", "amd64", "")).unwrap(),
            "linux/amd64"
        );
        assert_eq!(spell(&platform("unknown", "unknown", "")), None);
    }
}

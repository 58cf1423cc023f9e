//! Credentials for a registry: held in memory for one call, never written on a host.

use std::fmt;

/// A login. `Debug` shows the registry alone.
#[derive(Clone, PartialEq, Eq)]
pub struct RegistryAuth {
    /// `docker.io`, or host and port as image names spell it.
    pub registry: String,
    /// Empty with an identity token.
    pub username: String,
    /// Empty with an identity token.
    pub password: String,
    /// An OAuth refresh token, from helpers that hand one out; empty otherwise.
    pub identity_token: String,
}

impl fmt::Debug for RegistryAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RegistryAuth")
            .field("registry", &self.registry)
            .finish_non_exhaustive()
    }
}

/// The registry that an image name points to, by the rules of the reference grammar that Docker uses:
/// the first part is a registry when it has a dot or a colon in it, or is `localhost`.
#[must_use]
pub fn registry_of(reference: &str) -> &str {
    match reference.split_once('/') {
        Some((first, _)) if first.contains(['.', ':']) || first == "localhost" => first,
        _ => "docker.io",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_registry_is_read_as_docker_reads_it() {
        for (reference, registry) in [
            ("mongo:4", "docker.io"),
            ("openpowerquality/mauka:1.12.0", "docker.io"),
            ("ghcr.io/uwcirg/portal", "ghcr.io"),
            ("10.77.0.1:5000/a/b@sha256:00", "10.77.0.1:5000"),
            ("localhost/a", "localhost"),
        ] {
            assert_eq!(registry_of(reference), registry, "{reference}");
        }
    }

    #[test]
    fn debug_output_hides_the_password() {
        let auth = RegistryAuth {
            registry: "r".to_owned(),
            username: "u".to_owned(),
            password: "hunter22".to_owned(),
            identity_token: "token99".to_owned(),
        };
        let shown = format!("{auth:?}");
        assert!(!shown.contains("hunter22") && !shown.contains("token99"));
    }
}

//! The parts of a request that carry values of others: path, query and credentials.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use proto::registry::RegistryAuth;
use serde_json::json;

use crate::engine::EngineError;

/// A name as part of a path: safe characters and slashes stay.
pub(super) fn encoded(name: &str) -> Result<String, EngineError> {
    if name.is_empty() || name.split('/').any(|part| [".", ".."].contains(&part)) {
        return Err(EngineError::Api {
            what: "docker".to_owned(),
            message: format!("{name:?} is no name"),
        });
    }
    Ok(escape(name, b"/:@"))
}

/// Path and query of a request.
pub(super) fn target(prefix: &str, path: &str, query: &[(&'static str, String)]) -> String {
    let mut text = format!("{prefix}{path}");
    for (index, (key, value)) in query.iter().enumerate() {
        text.push(if index == 0 { '?' } else { '&' });
        text.push_str(key);
        text.push('=');
        text.push_str(&escape(value, b""));
    }
    text
}

fn escape(text: &str, also: &[u8]) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || also.contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            write!(escaped, "%{byte:02X}").ok();
        }
    }
    escaped
}

/// The credentials as the engine wants them: the URL-safe alphabet, padded. With the standard one, a password
/// that happens to need `+` or `/` is ignored and the pull becomes anonymous.
pub(super) fn registry_header(auth: &RegistryAuth) -> String {
    let server = match auth.registry.as_str() {
        "docker.io" => "https://index.docker.io/v1/",
        other => other,
    };
    let login = if auth.identity_token.is_empty() {
        json!({ "username": auth.username, "password": auth.password, "serveraddress": server })
    } else {
        json!({ "identitytoken": auth.identity_token, "serveraddress": server })
    };
    URL_SAFE.encode(login.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn login(password: String) -> RegistryAuth {
        RegistryAuth {
            registry: "ghcr.io".to_owned(),
            username: "u".to_owned(),
            password,
            identity_token: String::new(),
        }
    }

    #[test]
    fn values_cannot_leave_their_place() {
        let query = vec![
            ("a", "x&b=1#?".to_owned()),
            ("c", "{\"l\":[\"é\"]}".to_owned()),
        ];
        assert_eq!(
            target("/v1.44", "/x", &query),
            "/v1.44/x?a=x%26b%3D1%23%3F&c=%7B%22l%22%3A%5B%22%C3%A9%22%5D%7D"
        );
        assert_eq!(
            encoded("10.77.0.1:5000/a b@sha256:00?x").unwrap(),
            "10.77.0.1:5000/a%20b@sha256:00%3Fx"
        );
        for bad in ["", "..", "a/../b", "./a"] {
            assert!(encoded(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_token_replaces_the_password() {
        let auth = RegistryAuth {
            identity_token: "t".to_owned(),
            ..login("p".to_owned())
        };
        let json = URL_SAFE.decode(registry_header(&auth)).unwrap();
        let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
        assert_eq!(
            json,
            json!({ "identitytoken": "t", "serveraddress": "ghcr.io" })
        );
    }

    proptest! {
        #[test]
        fn any_password_survives_in_the_url_safe_alphabet(password in ".{0,60}") {
            let header = registry_header(&login(password.clone()));
            let safe = |b: u8| b.is_ascii_alphanumeric() || b"-_=".contains(&b);
            prop_assert!(header.bytes().all(safe));
            let json = URL_SAFE.decode(header).unwrap();
            let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
            prop_assert_eq!(json["password"].as_str(), Some(password.as_str()));
        }
    }
}

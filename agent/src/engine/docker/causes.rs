//! What the engine's words about a registry come down to, and what a person can do.

use proto::registry::registry_of;

use crate::engine::{EngineError, Unwilling};

/// Whether the engine says that the image is there, for others.
pub(super) fn is_platform(message: &str) -> bool {
    [
        "no matching manifest for",
        "no match for platform",
        "does not match the specified platform",
        "does not provide the specified platform",
    ]
    .iter()
    .any(|known| message.contains(known))
}

/// Whether the engine ran out of room for it.
pub(super) fn is_full(message: &str) -> bool {
    let lower = message.to_lowercase();
    ["no space left on device", "disk quota exceeded"]
        .iter()
        .any(|known| lower.contains(known))
}

/// What the engine's words come down to. `code` is 0 for an error inside a good answer.
pub(super) fn explain(reference: &str, code: u16, words: &str) -> EngineError {
    let registry = registry_of(reference);
    let lower = words.to_lowercase();
    let known = CAUSES.iter().find(|cause| cause.applies(code, &lower));
    let mut message = match known {
        Some(cause) => format!("{}: ", cause.says.replace("{registry}", registry)),
        None => String::new(),
    };
    message.extend(words.chars().take(500));
    let hint = known
        .map(|cause| cause.hint)
        .filter(|hint| !hint.is_empty());
    EngineError::Image {
        image: reference.to_owned(),
        message,
        hint: hint.map(|hint| hint.replace("{registry}", registry)),
        unwilling: if LIMITED.applies(code, &lower) {
            Unwilling::Limited
        } else {
            Unwilling::Refused
        },
    }
}

/// The same for a disk that is full. The engine names a file, often one of the image; people need the folder.
pub(super) fn full(reference: &str, folder: &str, words: &str) -> EngineError {
    let words: String = words.chars().take(500).collect();
    EngineError::Image {
        image: reference.to_owned(),
        message: format!("the host's disk is full, where Docker keeps images ({folder}): {words}"),
        hint: Some(
            "make room on the host: docker system df shows what takes it, and docker image prune removes what nothing uses"
                .to_owned(),
        ),
        unwilling: Unwilling::Refused,
    }
}

struct Cause {
    words: &'static [&'static str],
    codes: &'static [u16],
    says: &'static str,
    hint: &'static str,
}

impl Cause {
    fn applies(&self, code: u16, lower: &str) -> bool {
        self.codes.contains(&code) || self.words.iter().any(|words| lower.contains(words))
    }
}

/// The registry is asked too often.
const LIMITED: Cause = Cause {
    // No bare number: digests are full of them.
    words: &["toomanyrequests", "too many requests"],
    codes: &[429],
    says: "{registry} limits how often it may be asked",
    hint: "wait, or give this host a login: docker login {registry} on the workstation",
};

/// In this order: the engine wraps one error into another, and the specific one must win over its wrapping.
const CAUSES: &[Cause] = &[
    LIMITED,
    Cause {
        words: &["server gave http response to https client"],
        codes: &[],
        says: "{registry} speaks plain HTTP",
        hint: "list it under insecure-registries in /etc/docker/daemon.json on the host",
    },
    Cause {
        words: &["x509:", "tls: ", "certificate"],
        codes: &[],
        says: "the certificate of {registry} is not accepted",
        hint: "on the host: /etc/docker/certs.d/{registry}/ca.crt",
    },
    Cause {
        // The name server refused the connection, not the registry.
        words: &[
            "dial tcp: lookup",
            "no such host",
            "server misbehaving",
            "name resolution",
        ],
        codes: &[],
        says: "the host cannot find {registry}",
        hint: "look at the host's name servers, and at the registry's name",
    },
    Cause {
        words: &["connection refused"],
        codes: &[],
        says: "{registry} refuses connections",
        hint: "is the registry running, and is the name right?",
    },
    Cause {
        words: &[
            "verification failed for digest",
            "does not match digest",
            "unexpected commit digest",
        ],
        codes: &[],
        says: "{registry} sent something else than it was asked for",
        hint: "push the image again; what the registry keeps of it is damaged, or changed on the way",
    },
    Cause {
        words: &[
            "i/o timeout",
            "deadline exceeded",
            "client.timeout",
            "no route to host",
        ],
        codes: &[],
        says: "{registry} cannot be reached",
        hint: "",
    },
    Cause {
        words: &["connection reset", "broken pipe", "unexpected eof", ": eof"],
        codes: &[],
        says: "{registry} broke the connection off",
        hint: "",
    },
    Cause {
        words: &[
            "repository does not exist or may require",
            "insufficient_scope",
        ],
        codes: &[],
        says: "it does not exist, or needs a login",
        hint: "check the name; for a private image: docker login {registry} on the workstation",
    },
    Cause {
        words: &[
            "unauthorized",
            "authentication required",
            "access denied",
            "denied:",
            "no basic auth",
            "forbidden",
            "incorrect username or password",
        ],
        codes: &[401, 403],
        says: "{registry} denies access",
        hint: "docker login {registry} on the workstation",
    },
    Cause {
        words: &[
            "500 internal",
            "502 bad",
            "503 service",
            "504 gateway",
            "unexpected http status: 5",
        ],
        codes: &[],
        says: "{registry} has a fault of its own",
        hint: "",
    },
    Cause {
        words: &[
            "manifest unknown",
            "name unknown",
            "not found",
            "no such image",
        ],
        codes: &[404],
        says: "it does not exist in {registry}",
        hint: "check the name and the tag",
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    fn told(code: u16, words: &str) -> (String, Option<String>) {
        match explain("r.example:5000/a:1", code, words) {
            EngineError::Image { message, hint, .. } => (message, hint),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn each_failure_says_what_it_comes_down_to() {
        for (code, words, says) in [
            (
                404,
                "manifest for r/a:1 not found: manifest unknown: manifest unknown",
                "it does not exist in r.example:5000",
            ),
            (
                0,
                "unauthorized: authentication required",
                "r.example:5000 denies access",
            ),
            (
                500,
                "Head \"https://r/v2/a/manifests/1\": no basic auth credentials",
                "r.example:5000 denies access",
            ),
            (
                404,
                "pull access denied for a, repository does not exist or may require 'docker login': denied: requested access to the resource is denied",
                "it does not exist, or needs a login",
            ),
            (
                500,
                "Get \"http://10.0.0.1:5000/v2/\": dial tcp 10.0.0.1:5000: connect: connection refused",
                "r.example:5000 refuses connections",
            ),
            (
                500,
                "Get \"https://r/v2/\": http: server gave HTTP response to HTTPS client",
                "r.example:5000 speaks plain HTTP",
            ),
            (
                500,
                "Get \"https://r/v2/\": tls: failed to verify certificate: x509: certificate signed by unknown authority",
                "the certificate of r.example:5000 is not accepted",
            ),
            (
                0,
                "toomanyrequests: You have reached your pull rate limit.",
                "r.example:5000 limits how often",
            ),
            (
                500,
                "received unexpected HTTP status: 503 Service Unavailable",
                "r.example:5000 has a fault of its own",
            ),
            (
                500,
                "Get \"https://r/v2/\": dial tcp: lookup r: no such host",
                "the host cannot find r.example:5000",
            ),
            (
                500,
                "Get \"https://r/v2/\": dial tcp: lookup r on 10.0.0.53:53: read udp 10.0.0.2:4411->10.0.0.53:53: read: connection refused",
                "the host cannot find r.example:5000",
            ),
            (
                500,
                "Get \"https://r/v2/\": net/http: request canceled while waiting for connection (Client.Timeout exceeded while awaiting headers)",
                "r.example:5000 cannot be reached",
            ),
            (
                0,
                "filesystem layer verification failed for digest sha256:4290000",
                "r.example:5000 sent something else",
            ),
            (
                0,
                "download failed after attempts=5: read tcp 10.0.0.2:4->10.0.0.1:5000: read: connection reset by peer",
                "r.example:5000 broke the connection off",
            ),
            (
                500,
                "Head \"http://r/v2/a/manifests/1\": EOF",
                "r.example:5000 broke the connection off",
            ),
        ] {
            let (message, _) = told(code, words);
            assert!(message.starts_with(says), "{message}");
            assert!(
                message.ends_with(words),
                "the engine's own words follow: {message}"
            );
        }
    }

    #[test]
    fn only_a_registry_that_is_asked_too_often_is_asked_again() {
        let limited = |code, words| explain("r.example/a:1", code, words).is_limited();
        for (code, words) in [
            (429, "x"),
            (0, "toomanyrequests: slow down"),
            (
                500,
                "received unexpected HTTP status: 429 Too Many Requests",
            ),
        ] {
            assert!(limited(code, words), "{code} {words}");
        }
        for (code, words) in [
            (401, "unauthorized: no"),
            (403, "denied: no"),
            (404, "manifest for r/a@sha256:4291 not found"),
            (500, "503 Service Unavailable"),
        ] {
            assert!(!limited(code, words), "{code} {words}");
        }
    }

    #[test]
    fn a_full_disk_is_named_with_its_folder() {
        let words = "write /app/data: no space left on device";
        assert!(is_full(words) && is_full("Disk quota exceeded") && !is_full("space"));
        let error = full("a:1", "/var/lib/docker", words).to_string();
        assert!(
            error.contains("(/var/lib/docker): write /app/data"),
            "{error}"
        );
    }

    #[test]
    fn a_denied_pull_names_the_login() {
        let (_, hint) = told(401, "x");
        assert_eq!(
            hint.unwrap(),
            "docker login r.example:5000 on the workstation"
        );
    }

    #[test]
    fn unknown_words_stay_and_are_bounded() {
        let (message, hint) = told(500, &"x".repeat(9000));
        assert_eq!((message.len(), hint), (500, None));
    }

    #[test]
    fn other_platforms_are_recognised() {
        for words in [
            "no matching manifest for linux/arm64/v8 in the manifest list entries",
            "image with reference a:1 was found but does not match the specified platform: wanted linux/arm64, actual: linux/amd64",
            "no match for platform in manifest: not found",
        ] {
            assert!(is_platform(words), "{words}");
        }
    }
}

//! One credential helper: `docker-credential-NAME get`, with the server on its standard input.

use std::ffi::OsStr;
use std::time::Duration;

use proto::registry::RegistryAuth;
use serde::Deserialize;

use super::DockerAuthError;
use crate::process::{Finished, Program, run};

/// A login is a few hundred bytes; a token rarely some thousand.
const OUTPUT_BYTES: usize = 64 * 1024;
/// What helpers say when they have no login; Docker compares the whole sentence, but others paraphrase it.
const NOT_FOUND: &str = "credentials not found";
/// The user name that says that the secret is an identity token.
const TOKEN: &str = "<token>";

/// A helper, ready to be asked.
pub(super) struct Helper<'a> {
    program: String,
    search_path: Option<&'a OsStr>,
    deadline: Duration,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    username: String,
    secret: String,
}

impl<'a> Helper<'a> {
    /// `None` when `name` is not a plain name: it becomes part of a program's name.
    pub(super) fn new(
        name: &str,
        search_path: Option<&'a OsStr>,
        deadline: Duration,
    ) -> Option<Self> {
        let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        name.chars().all(plain).then(|| Self {
            program: format!("docker-credential-{name}"),
            search_path,
            deadline,
        })
    }

    /// The login for `server`, if the helper has one.
    pub(super) async fn get(
        self,
        registry: &str,
        server: &str,
    ) -> Result<Option<RegistryAuth>, DockerAuthError> {
        let program = Program {
            name: &self.program,
            args: &["get"],
            stdin: server.as_bytes(),
            search_path: self.search_path,
            deadline: self.deadline,
            output_limit: OUTPUT_BYTES,
        };
        let ended = match run(&program).await {
            Ok(ended) => ended,
            Err(source) => {
                return Err(DockerAuthError::Helper {
                    program: self.program,
                    registry: registry.to_owned(),
                    source,
                });
            }
        };
        self.read(registry, &ended)
    }

    fn read(
        self,
        registry: &str,
        ended: &Finished,
    ) -> Result<Option<RegistryAuth>, DockerAuthError> {
        let program = self.program;
        let registry = registry.to_owned();
        if !ended.status.success() {
            // By the protocol the reason stands on standard output.
            let said = [&ended.stdout, &ended.stderr].map(|said| String::from_utf8_lossy(said));
            if said
                .iter()
                .any(|said| said.to_lowercase().contains(NOT_FOUND))
            {
                return Ok(None);
            }
            return Err(DockerAuthError::Failed {
                program,
                registry,
                output: said.iter().flat_map(|said| lines(said)).collect(),
            });
        }
        let Ok(answer) = serde_json::from_slice::<Answer>(&ended.stdout) else {
            return Err(DockerAuthError::Answer { program, registry });
        };
        if answer.secret.is_empty() {
            return Ok(None);
        }
        let token = answer.username == TOKEN;
        let (password, identity_token) = if token {
            (String::new(), answer.secret)
        } else {
            (answer.secret, String::new())
        };
        Ok(Some(RegistryAuth {
            registry,
            username: if token {
                String::new()
            } else {
                answer.username
            },
            password,
            identity_token,
        }))
    }
}

/// The first lines of what a failed helper said, harmless on a terminal.
fn lines(said: &str) -> Vec<String> {
    let clean = |line: &str| -> String {
        let harmless = line.chars().map(|c| if c.is_control() { ' ' } else { c });
        harmless.take(200).collect()
    };
    said.lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .take(5)
        .map(clean)
        .collect()
}

//! Passwords and other questions of a host, answered by a person.

use std::sync::Arc;

use russh::MethodKind;
use russh::client::{AuthResult, KeyboardInteractiveAuthResponse as Answer, Prompt};
use zeroize::Zeroizing;

use super::{Entrance, Outcome};
use crate::ssh::error::SshError;
use crate::terminal::sanitize;

/// So often a password may be mistyped.
const TRIES: usize = 3;
/// A host that asks for more is asking for ever.
const ROUNDS: usize = 16;
const PROMPTS: usize = 8;

impl Entrance<'_> {
    pub(super) async fn typed(&mut self) -> Result<Outcome, SshError> {
        // Some hosts offer questions and have none: they want the password.
        let mut questions = true;
        for _ in 0..TRIES {
            if questions && self.takes(MethodKind::KeyboardInteractive) {
                let (outcome, asked) = self.questions().await?;
                questions = asked;
                match outcome {
                    Outcome::In => return Ok(Outcome::In),
                    Outcome::Out if asked => continue,
                    Outcome::Out => {}
                }
            }
            if !self.takes(MethodKind::Password) {
                break;
            }
            if let Outcome::In = self.password().await? {
                return Ok(Outcome::In);
            }
        }
        Ok(Outcome::Out)
    }

    async fn password(&mut self) -> Result<Outcome, SshError> {
        let user = self.settings.user.clone();
        let secret = self
            .secret(format!("password of {user} on {}", self.host))
            .await?;
        let result = self
            .handle
            .authenticate_password(user, secret.as_str())
            .await;
        self.heard(result, Some("a password"))
    }

    /// Answers what the host asks; whether it asked anything.
    async fn questions(&mut self) -> Result<(Outcome, bool), SshError> {
        let mut asked = false;
        let user = self.settings.user.clone();
        let mut answer = self
            .handle
            .authenticate_keyboard_interactive_start(user, None)
            .await;
        for _ in 0..ROUNDS {
            let prompts = match answer {
                Ok(Answer::Success) => return Ok((Outcome::In, asked)),
                Ok(Answer::InfoRequest { prompts, .. }) if prompts.len() <= PROMPTS => prompts,
                Ok(Answer::InfoRequest { .. }) => return Err(self.denied()),
                Err(_) => return Err(self.ended()),
                Ok(Answer::Failure {
                    remaining_methods,
                    partial_success,
                }) => {
                    let result = AuthResult::Failure {
                        remaining_methods,
                        partial_success,
                    };
                    let label = asked.then_some("an answer");
                    return Ok((self.heard(Ok(result), label)?, asked));
                }
            };
            let mut answers = Vec::new();
            asked |= !prompts.is_empty();
            for prompt in prompts {
                answers.push(self.secret(self.shown(&prompt)).await?.to_string());
            }
            answer = self
                .handle
                .authenticate_keyboard_interactive_respond(answers)
                .await;
        }
        Err(self.denied())
    }

    /// What the host asks, made harmless, and said to be the host's words.
    fn shown(&self, prompt: &Prompt) -> String {
        let words: String = prompt.prompt.chars().take(200).collect();
        let words = words.trim().trim_end_matches(':');
        format!("{} asks: {}", self.host, sanitize(words))
    }

    async fn secret(&self, prompt: String) -> Result<Zeroizing<String>, SshError> {
        let pause = self.deadline.pause();
        let ask = Arc::clone(&self.ask);
        let answer = tokio::task::spawn_blocking(move || ask.secret(&prompt)).await;
        drop(pause);
        let broken = |_| SshError::Defect {
            host: self.host.to_owned(),
        };
        answer.map_err(broken)?.map_err(SshError::Secret)
    }
}

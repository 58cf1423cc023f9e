//! A server under administration: runs scripts as root there, however that is come by, and tells noise from answers.

use std::time::Duration;

use futures_util::future::BoxFuture;
use proto::fault::{Fault, FaultKind};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use zeroize::Zeroizing;

use super::script::{self, Mark, Rights};
use crate::pki;

/// How one command line ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Output {
    /// Standard output; the first part of it when it was long.
    pub out: Vec<u8>,
    /// Standard error, likewise.
    pub err: Vec<u8>,
}

/// What a command reads.
pub type Input<'a> = Box<dyn AsyncRead + Send + Unpin + 'a>;

/// A login on a server: the one thing that enrolment asks of a transport.
pub trait Login: Send + Sync {
    /// Gives one line to the login shell, `limit` at most.
    fn exec<'a>(
        &'a self,
        line: &'a str,
        input: Input<'a>,
        limit: Duration,
    ) -> BoxFuture<'a, Result<Output, Fault>>;

    /// Who is logged in.
    fn user(&self) -> &str;
}

/// Asks for the password of sudo; called once, and only where it is needed.
pub type AskPassword<'a> = &'a (dyn Fn() -> Result<Zeroizing<String>, Fault> + Send + Sync);

/// What a script printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ran {
    /// Its exit code.
    pub code: u8,
    /// Its standard output.
    pub out: String,
    /// Its standard error.
    pub err: String,
}

impl Ran {
    /// The output of a script that succeeded.
    ///
    /// # Errors
    /// When it failed, with what it said; `what` is what it was to do.
    pub fn done(self, what: &str) -> Result<String, Fault> {
        if self.code == 0 {
            return Ok(self.out);
        }
        let what = format!("{what}: it ended with {}", self.code);
        Err(Fault::new(FaultKind::Failed, what).output(last_lines(&self.err, &self.out)))
    }
}

/// A server on which scripts run as root.
pub struct Server<'a> {
    login: &'a dyn Login,
    rights: Rights,
    password: Option<Zeroizing<String>>,
}

const SHORT: Duration = Duration::from_secs(30);
const SHOWN: usize = 12;

/// Looks for a way to root. Runs with the rights of who logged in.
const WAY: &str = "printf 'uid %s\\n' \"$(id -u)\"
if command -v sudo >/dev/null; then
  echo sudo yes
  if sudo -k -n true 2>/dev/null; then echo free yes; fi
fi";

impl<'a> Server<'a> {
    /// Finds out how root is come by.
    ///
    /// # Errors
    /// When there is no shell, no sudo, or sudo refuses.
    pub async fn become_root(
        login: &'a dyn Login,
        ask: AskPassword<'_>,
    ) -> Result<Server<'a>, Fault> {
        let mut server = Self {
            login,
            rights: Rights::Own,
            password: None,
        };
        let found = server.run(WAY, nothing(), SHORT).await?;
        let found = found.done("looking at the server")?;
        let has = |line: &str| found.lines().any(|found| found == line);
        if has("uid 0") {
            return Ok(server);
        }
        if !has("sudo yes") {
            let what = format!("{} is not root, and there is no sudo", login.user());
            return Err(Fault::new(FaultKind::Denied, what)
                .hint("log in as root, or install sudo for that user"));
        }
        if has("free yes") {
            server.rights = Rights::Sudo;
        } else {
            server.rights = Rights::SudoPassword;
            server.password = Some(ask()?);
        }
        let root = server.run("id -u", nothing(), SHORT).await?;
        if root.out.trim() == "0" {
            return Ok(server);
        }
        let what = format!("sudo does not make {} root", login.user());
        Err(Fault::new(FaultKind::Denied, what).output(last_lines(&root.err, &root.out)))
    }

    /// How scripts run, for people.
    #[must_use]
    pub fn rights(&self) -> String {
        let user = self.login.user();
        match self.rights {
            Rights::Own => format!("as {user}"),
            Rights::Sudo => format!("as {user} with sudo"),
            Rights::SudoPassword => format!("as {user} with sudo and its password"),
        }
    }

    /// Runs a script that reads `input`.
    ///
    /// # Errors
    /// When the connection breaks, `limit` passes, or the script never began or was cut off.
    pub async fn run(&self, script: &str, input: Input<'_>, limit: Duration) -> Result<Ran, Fault> {
        let nonce = pki::random::<8>().map_err(Fault::from)?;
        let mark = Mark::new(u64::from_ne_bytes(nonce));
        let line = script::line(script, self.rights, &mark);
        let first = self.password.as_ref().map(|password| {
            let mut line = Zeroizing::new(password.as_bytes().to_vec());
            line.push(b'\n');
            line
        });
        let first = first.as_ref().map_or(&[][..], |line| line.as_slice());
        let output = self
            .login
            .exec(&line, Box::new(first.chain(input)), limit)
            .await?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let err = text(&output.err);
        let Some(answer) = script::answer(&output.out, &mark) else {
            return Err(self.never_began(&err, &text(&output.out)));
        };
        let out = text(&answer.out);
        let Some(code) = answer.code else {
            let what = "the connection ended in the middle of a step";
            return Err(Fault::new(FaultKind::Unreachable, what).output(last_lines(&err, &out)));
        };
        Ok(Ran { code, out, err })
    }

    fn never_began(&self, err: &str, out: &str) -> Fault {
        let user = self.login.user();
        let shown = last_lines(err, out);
        match self.rights {
            Rights::Own => {
                let what = format!("{user} has no shell that runs commands");
                Fault::new(FaultKind::Denied, what)
                    .output(shown)
                    .hint("the login needs a shell, with sh and base64 on its path")
            }
            Rights::Sudo | Rights::SudoPassword => {
                let what = format!("sudo refuses {user}");
                let fault = Fault::new(FaultKind::Denied, what).output(shown);
                if err.contains("tty") {
                    return fault.hint("sudo asks for a terminal (requiretty); log in as root");
                }
                fault.hint("does the user have all rights in sudoers, and was the password right?")
            }
        }
    }
}

/// No input at all.
#[must_use]
pub fn nothing<'a>() -> Input<'a> {
    Box::new(tokio::io::empty())
}

/// What a failed program said last; errors rather than output.
fn last_lines(err: &str, out: &str) -> Vec<String> {
    let text = if err.trim().is_empty() { out } else { err };
    let lines: Vec<&str> = text
        .lines()
        .filter(|line| !line.trim().is_empty())
        .collect();
    let from = lines.len().saturating_sub(SHOWN);
    let shown = lines.get(from..).unwrap_or_default();
    shown.iter().map(|line| (*line).to_owned()).collect()
}

#[cfg(test)]
mod tests;

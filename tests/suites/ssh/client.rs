//! An operator with a home folder of their own, and somebody who answers questions.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use controller::fleet::address::SshTarget;
use controller::ssh::{self, Ask, Options, Session, SshError, Surroundings, UnknownKey};
use proto::fault::{Fault, FaultKind};
use tempfile::TempDir;
use zeroize::Zeroizing;

use crate::server::{Server, USER, keygen};

/// Long enough for a busy machine.
pub(crate) const SOON: Duration = Duration::from_secs(30);

/// A workstation's home folder.
pub(crate) struct Operator {
    home: TempDir,
    pub(crate) options: Options,
    pub(crate) answers: Arc<Answers>,
}

/// Says what it was told to say, and remembers what it was asked.
#[derive(Default)]
pub(crate) struct Answers {
    pub(crate) yes: bool,
    pub(crate) secrets: Mutex<Vec<String>>,
    pub(crate) asked: Mutex<Vec<String>>,
}

impl Ask for Answers {
    fn host_key(&self, key: &UnknownKey) -> bool {
        let UnknownKey {
            host,
            algorithm,
            fingerprint,
        } = key;
        self.asked
            .lock()
            .unwrap()
            .push(format!("{host} {algorithm} {fingerprint}"));
        self.yes
    }

    fn secret(&self, prompt: &str) -> Result<Zeroizing<String>, Fault> {
        self.asked.lock().unwrap().push(prompt.to_owned());
        let secret = self.secrets.lock().unwrap().pop();
        let none = || Fault::new(FaultKind::InvalidRequest, "there is no terminal to ask on");
        secret.map(Zeroizing::new).ok_or_else(none)
    }
}

impl Operator {
    /// An operator with an empty `~/.ssh`.
    pub(crate) fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        fs::DirBuilder::new()
            .mode(0o700)
            .create(home.path().join(".ssh"))
            .unwrap();
        let mut around = Surroundings::new(BTreeMap::new());
        around.home = home.path().to_owned();
        around.user = USER.to_owned();
        around.system = home.path().join("etc");
        Self {
            home,
            options: Options::new(around),
            answers: Arc::default(),
        }
    }

    /// An operator whom `server` lets in, and who knows its ed25519 key.
    pub(crate) fn of(server: &Server) -> Self {
        let operator = Self::new();
        operator.key("id_ed25519", "ed25519", "");
        server.authorize(&operator.ssh("id_ed25519.pub"));
        operator.write("known_hosts", &server.known("ed25519"));
        operator
    }

    /// A file in `~/.ssh`.
    pub(crate) fn ssh(&self, name: &str) -> PathBuf {
        self.home.path().join(".ssh").join(name)
    }

    /// Makes a key pair in `~/.ssh`.
    pub(crate) fn key(&self, name: &str, kind: &str, passphrase: &str) {
        keygen(&self.ssh(name), kind, passphrase);
    }

    /// Writes a file in `~/.ssh`.
    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.ssh(name), text).unwrap();
    }

    /// Reads a file in `~/.ssh`.
    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.ssh(name)).unwrap()
    }

    /// Sets a variable of the environment.
    pub(crate) fn set(&mut self, name: &str, value: &Path) {
        let value = value.to_str().unwrap().to_owned();
        self.options.around.variables.insert(name.to_owned(), value);
    }

    /// Says yes to every host key.
    pub(crate) fn says_yes(&mut self) {
        Arc::get_mut(&mut self.answers).unwrap().yes = true;
    }

    /// Will type these, in this order.
    pub(crate) fn types(&self, secrets: &[&str]) {
        let mut all = self.answers.secrets.lock().unwrap();
        *all = secrets
            .iter()
            .rev()
            .map(|&secret| secret.to_owned())
            .collect();
    }

    /// What they were asked.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.answers.asked.lock().unwrap().clone()
    }

    pub(crate) async fn connect(&self, target: &str) -> Result<Session, SshError> {
        let target: SshTarget = target.parse().unwrap();
        let ask: Arc<dyn Ask> = Arc::clone(&self.answers) as Arc<dyn Ask>;
        let connecting = ssh::connect(&target, &self.options, ask);
        tokio::time::timeout(2 * SOON, connecting).await.unwrap()
    }

    /// A session with `server`.
    pub(crate) async fn session(&self, server: &Server) -> Session {
        let session = self.connect(&format!("127.0.0.1:{}", server.port)).await;
        session.unwrap_or_else(|error| panic!("{:#?}\n{}", Fault::from(error), server.log()))
    }

    /// What stands in the way to `server`.
    pub(crate) async fn refused(&self, server: &Server) -> Fault {
        let result = self.connect(&format!("127.0.0.1:{}", server.port)).await;
        Fault::from(result.expect_err("a session that must not be"))
    }
}

/// Waits until `probe` says so.
pub(crate) async fn until(what: &str, mut probe: impl FnMut() -> bool) {
    let waiting = async {
        while !probe() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let done = tokio::time::timeout(SOON, waiting).await;
    assert!(done.is_ok(), "not in time: {what}");
}

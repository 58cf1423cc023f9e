//! A private OpenSSH server: one process for each connection, with users, keys and a configuration of its own.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use tempfile::TempDir;

const SSHD: &str = "/usr/sbin/sshd";
/// The password of [`USER`].
pub(crate) const PASSWORD: &str = "correct horse";
/// A user with all rights.
pub(crate) const USER: &str = "captain";
/// A user with none.
pub(crate) const SAILOR: &str = "sailor";
/// What every server has beside what a claim asks for.
const USUAL: &str = "
UsePAM no
StrictModes no
PermitRootLogin yes
PrintMotd no
LogLevel VERBOSE
PermitUserEnvironment no
";

/// A server on a port of its own. Dropping it ends it and every session.
pub(crate) struct Server {
    folder: TempDir,
    pub(crate) port: u16,
    running: Arc<Running>,
    accepting: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Running {
    sessions: Mutex<Vec<Child>>,
    over: AtomicBool,
}

impl Running {
    fn end_all(&self) {
        for mut session in self.sessions.lock().unwrap().drain(..) {
            session.kill().ok();
            session.wait().unwrap();
        }
    }
}

/// Whether there is an OpenSSH server and the right to start it; says so if not.
#[expect(
    clippy::print_stderr,
    reason = "a skipped suite must say so in the test's output"
)]
fn available() -> bool {
    let there = Path::new(SSHD).exists() && rustix::process::geteuid().is_root();
    let required = std::env::var("LONGSHORE_LAB").is_ok_and(|value| value == "require");
    assert!(
        there || !required,
        "claims about ssh need root and openssh-server"
    );
    if !there {
        eprintln!("skipped: claims about ssh need root and openssh-server");
    }
    there
}

impl Server {
    /// A server with `extra` in its configuration; `None` where the machine cannot have one.
    pub(crate) fn start(extra: &str) -> Option<Self> {
        Self::with_keys(&["ed25519", "ecdsa"], extra)
    }

    /// The same, with host keys of these kinds alone.
    pub(crate) fn with_keys(kinds: &[&str], extra: &str) -> Option<Self> {
        if !available() {
            return None;
        }
        // Where sshd goes before it knows who is there.
        fs::create_dir_all("/run/sshd").unwrap();
        let folder = tempfile::tempdir().unwrap();
        let mut config = format!("{extra}\n{USUAL}");
        for kind in kinds {
            keygen(&folder.path().join(format!("host_{kind}")), kind, "");
            config += &format!("HostKey {}/host_{kind}\n", folder.path().display());
        }
        config += &format!(
            "AuthorizedKeysFile {}/authorized\n",
            folder.path().display()
        );
        fs::write(folder.path().join("authorized"), "").unwrap();
        // Keys are looked for with the rights of who wants in.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o711)).unwrap();
        fs::write(folder.path().join("config"), config).unwrap();
        users(folder.path());
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let running = Arc::new(Running::default());
        let accepting = std::thread::spawn({
            let (folder, running) = (folder.path().to_owned(), Arc::clone(&running));
            move || accept(&listener, &folder, &running)
        });
        Some(Self {
            folder,
            port,
            running,
            accepting: Some(accepting),
        })
    }

    /// Lets the owner of this public key in.
    pub(crate) fn authorize(&self, public: &Path) {
        let line = fs::read(public).unwrap();
        let path = self.path("authorized");
        let mut file = fs::OpenOptions::new().append(true).open(path).unwrap();
        file.write_all(&line).unwrap();
    }

    /// A file of the server.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// `ssh-ed25519 AAAA…` of one of its keys.
    pub(crate) fn host_key(&self, kind: &str) -> String {
        let line = fs::read_to_string(self.path(&format!("host_{kind}.pub"))).unwrap();
        let words: Vec<&str> = line.split_whitespace().take(2).collect();
        words.join(" ")
    }

    /// `SHA256:…` of one of its keys, as ssh-keygen prints it.
    pub(crate) fn fingerprint(&self, kind: &str) -> String {
        let key = self.path(&format!("host_{kind}.pub"));
        let output = Command::new("ssh-keygen")
            .arg("-lf")
            .arg(key)
            .output()
            .unwrap();
        let line = String::from_utf8(output.stdout).unwrap();
        line.split_whitespace().nth(1).unwrap().to_owned()
    }

    /// The line of a known_hosts file that knows it.
    pub(crate) fn known(&self, kind: &str) -> String {
        format!("[127.0.0.1]:{} {}\n", self.port, self.host_key(kind))
    }

    /// Ends every session at once, as a power cut would; new ones are still served.
    pub(crate) fn cut(&self) {
        self.running.end_all();
    }

    /// Sends a signal to every session's own process.
    pub(crate) fn signal(&self, name: &str) {
        for session in self.running.sessions.lock().unwrap().iter() {
            let children = format!("/proc/{0}/task/{0}/children", session.id());
            for pid in fs::read_to_string(children)
                .unwrap_or_default()
                .split_whitespace()
            {
                let sent = Command::new("kill")
                    .args([&format!("-{name}"), pid])
                    .status();
                assert!(sent.unwrap().success());
            }
        }
    }

    /// What the server has said so far.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.running.over.store(true, Ordering::Relaxed);
        // Wakes the thread that accepts.
        TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).ok();
        if let Some(thread) = self.accepting.take() {
            thread.join().ok();
        }
        self.running.end_all();
    }
}

fn accept(listener: &TcpListener, folder: &Path, running: &Running) {
    for stream in listener.incoming() {
        if running.over.load(Ordering::Relaxed) {
            return;
        }
        let stream = stream.unwrap();
        let session = session(&stream, folder);
        running.sessions.lock().unwrap().push(session);
    }
}

/// One connection's server. Its users are this folder's, and its processes die with it.
fn session(stream: &TcpStream, folder: &Path) -> Child {
    let log = fs::File::options()
        .append(true)
        .create(true)
        .open(folder.join("log"))
        .unwrap();
    let script = "mount --bind \"$1/passwd\" /etc/passwd && mount --bind \"$1/shadow\" /etc/shadow && \
                  exec /usr/sbin/sshd -i -e -f \"$1/config\"";
    Command::new("unshare")
        .args([
            "--mount",
            "--pid",
            "--fork",
            "--kill-child",
            "sh",
            "-c",
            script,
            "sh",
        ])
        .arg(folder)
        .stdin(Stdio::from(OwnedFd::from(stream.try_clone().unwrap())))
        .stdout(Stdio::from(OwnedFd::from(stream.try_clone().unwrap())))
        .stderr(log)
        .spawn()
        .unwrap()
}

fn users(folder: &Path) {
    let mut hashed = Command::new("openssl")
        .args(["passwd", "-6", "-stdin"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    writeln!(hashed.stdin.take().unwrap(), "{PASSWORD}").unwrap();
    let mut hash = String::new();
    hashed
        .stdout
        .take()
        .unwrap()
        .read_to_string(&mut hash)
        .unwrap();
    hashed.wait().unwrap();
    let passwd = format!(
        "{USER}:x:0:0::/root:/bin/sh\n{SAILOR}:x:65532:65532::/:/bin/sh\nsshd:x:65533:65533::/run/sshd:/bin/false\n"
    );
    let hash = hash.trim();
    let shadow = format!("{USER}:{hash}:19000:0:99999:7:::\n{SAILOR}:*:19000:0:99999:7:::\n");
    fs::write(folder.join("passwd"), passwd).unwrap();
    fs::write(folder.join("shadow"), shadow).unwrap();
}

/// A new key pair at `path` and `path.pub`.
pub(crate) fn keygen(path: &Path, kind: &str, passphrase: &str) {
    let status = Command::new("ssh-keygen")
        .args(["-q", "-t", kind, "-N", passphrase, "-C", "a comment", "-f"])
        .arg(path)
        .status()
        .unwrap();
    assert!(status.success());
    let mode = fs::metadata(path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

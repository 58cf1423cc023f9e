//! A fleet in a scratch folder: its authorities, its operators' workstations, and agents on this machine's own ports.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use controller::clock;
use controller::home::{FleetFolder, Home};
use controller::identity::{Signer, current_operator, read_ca};
use controller::link::{BoxedIo, Dial, Link};
use controller::passphrase::{Passphrase, Sources};
use controller::pki::{Authorities, FleetCa, Request};
use controller::tls::{self, HostClient};
use proto::fault::Fault;
use tempfile::TempDir;
use tests::command::{Ended, kill_at, program};
use tests::lab::until;
use tests::loopback::Loopback;

const PASSPHRASE: &str = "a passphrase for tests only";
pub(crate) const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// One fleet; its admin is ana.
pub(crate) struct Fleet {
    pub(crate) folder: TempDir,
}

fn secret_file(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

impl Fleet {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("fleet")).unwrap();
        let fleet = Self { folder };
        secret_file(&fleet.path("passphrase"), PASSPHRASE);
        fleet
            .admin(&["init", "--name", "opq", "--operator", "ana"])
            .with(0, &[]);
        let path = fleet.file("fleet.toml");
        let stack = "\n[stacks.opq]\npath = \"opq\"\n";
        fs::write(&path, fs::read_to_string(&path).unwrap() + stack).unwrap();
        fleet
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A file beside `fleet.toml`.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path("fleet").join(name)
    }

    /// The admin's commands, with the passphrase.
    pub(crate) fn admin(&self, words: &[&str]) -> Ended {
        let file = self.path("passphrase");
        let env = [("LONGSHORE_CA_PASSPHRASE_FILE", file.to_str().unwrap())];
        self.run(&self.path("fleet"), "ana", words, &env)
    }

    /// The same, killed as soon as it has printed `moment`.
    pub(crate) fn admin_killed_at(&self, words: &[&str], moment: &str) {
        let mut command = self.command(&self.path("fleet"), "ana", words);
        command.env("LONGSHORE_CA_PASSPHRASE_FILE", self.path("passphrase"));
        kill_at(&mut command, moment);
    }

    /// The same person's, without it.
    pub(crate) fn ana(&self, words: &[&str]) -> Ended {
        self.run(&self.path("fleet"), "ana", words, &[])
    }

    /// The controller in a folder, on the workstation of `who`.
    pub(crate) fn run(
        &self,
        folder: &Path,
        who: &str,
        words: &[&str],
        env: &[(&str, &str)],
    ) -> Ended {
        let mut command = self.command(folder, who, words);
        command.envs(env.iter().copied()).output().unwrap().into()
    }

    fn command(&self, folder: &Path, who: &str, words: &[&str]) -> Command {
        let mut command = Command::new(program("controller"));
        command.args(words).current_dir(folder).env_clear();
        command
            .env("PATH", "/usr/bin:/bin")
            .env("LONGSHORE_HOME", self.path(who))
            .stdin(Stdio::null());
        command
    }

    /// Another operator, with a copy of the fleet's folder as it is now.
    pub(crate) fn operator(&self, name: &str, role: &str) -> PathBuf {
        let copy = self.path(&format!("{name}.fleet"));
        fs::create_dir(&copy).unwrap();
        for file in ["fleet.toml", "ca.pem", "revoked.crl"] {
            fs::copy(self.file(file), copy.join(file)).unwrap();
        }
        let [request, signed] =
            ["request", "signed"].map(|end| self.path(&format!("{name}.{end}")));
        let [request, signed] = [&request, &signed].map(|path| path.to_str().unwrap());
        let asked = ["operator", "request", name, "--out", request];
        self.run(&copy, name, &asked, &[]).with(0, &[]);
        let approve = [
            "operator",
            "approve",
            name,
            "--role",
            role,
            "--request",
            request,
        ];
        self.admin(&[approve.as_slice(), &["--out", signed]].concat())
            .with(0, &[]);
        self.run(&copy, name, &["operator", "accept", signed], &[])
            .with(0, &[]);
        copy
    }

    /// A host whose agent serves.
    pub(crate) fn host(&self, name: &str) -> Agent {
        let folder = self.path(&format!("host-{name}"));
        let own = Loopback::take().unwrap();
        let address = own.port(7433);
        fs::create_dir(&folder).unwrap();
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).unwrap();
        let config = format!(
            "listen = \"{address}\"\nstate = \"{0}/state\"\ndocker = \"{0}/none.sock\"\n",
            folder.display()
        );
        fs::write(folder.join("agent.toml"), config).unwrap();
        let mut agent = Agent {
            name: name.to_owned(),
            address,
            _own: own,
            folder,
            log: Arc::default(),
            child: None,
        };
        self.approve(&agent);
        agent.start();
        agent
    }

    /// Asks, signs and accepts, as people do by hand.
    fn approve(&self, agent: &Agent) {
        let name = agent.name.as_str();
        let request = self.path(&format!("{name}.request"));
        fs::write(&request, agent.command(&["enroll", "--name", name])).unwrap();
        let [request, grant] = [request, self.path(&format!("{name}.grant"))];
        let [request, grant] = [&request, &grant].map(|path| path.to_str().unwrap());
        let approve = [
            "host",
            "approve",
            name,
            "--request",
            request,
            "--out",
            grant,
        ];
        let address = ["--address", &agent.address.to_string(), "--stack", "opq"];
        self.admin(&[approve.as_slice(), &address].concat())
            .with(0, &[]);
        agent.command(&["accept", grant]);
    }

    /// As when an admin brings a host back on the host itself.
    pub(crate) fn approve_again(&self, agent: &mut Agent) {
        self.approve(agent);
        agent.stop();
        agent.start();
    }

    pub(crate) fn ca(&self) -> FleetCa {
        read_ca(&self.file("ca.pem")).unwrap()
    }

    /// What a workstation holds of this fleet.
    pub(crate) fn held_by(&self, who: &str) -> FleetFolder {
        Home::at(&self.path(who)).fleet(self.ca().id())
    }

    /// The authorities as an admin verb opens them.
    pub(crate) fn signer(&self) -> Signer {
        let home = Home::at(&self.path("ana"));
        let passphrase = Sources {
            variable: Some(Passphrase::new(PASSPHRASE).unwrap()),
            ..Sources::default()
        };
        let (ca, crl) = (self.file("ca.pem"), self.file("revoked.crl"));
        Signer::unlock(&home, &ca, &crl, &passphrase).unwrap()
    }

    /// The same for what no verb would sign.
    pub(crate) fn authorities(&self) -> Authorities {
        let bundle = fs::read_to_string(self.held_by("ana").authorities()).unwrap();
        let passphrase = Passphrase::new(PASSPHRASE).unwrap();
        Authorities::from_pem(&bundle, &passphrase, clock::now()).unwrap()
    }

    /// A way to a host as the operator of that workstation.
    pub(crate) fn client(&self, who: &str, host: &str) -> HostClient {
        let ca = self.ca();
        let home = Home::at(&self.path(who));
        let operator = current_operator(&home, &ca, &self.file("ca.pem")).unwrap();
        HostClient::new(&ca, &operator, &host.parse().unwrap()).unwrap()
    }

    pub(crate) fn dial(&self, who: &str, agent: &Agent) -> Arc<dyn Dial> {
        Arc::new(Straight {
            address: agent.address.to_string(),
            client: self.client(who, &agent.name),
        })
    }

    /// Speaks the handshake over a connection of its own.
    pub(crate) async fn link(&self, who: &str, agent: &Agent) -> Result<Link, Fault> {
        Link::open(agent.name.parse().unwrap(), self.dial(who, agent)).await
    }
}

/// Dials and looks after nothing.
struct Straight {
    address: String,
    client: HostClient,
}

impl Dial for Straight {
    fn dial(&self) -> Pin<Box<dyn Future<Output = Result<BoxedIo, Fault>> + Send + '_>> {
        Box::pin(async {
            let stream = tls::connect(&self.address, &self.client).await?;
            Ok(Box::new(stream) as BoxedIo)
        })
    }

    fn refusal(&self) -> Option<Fault> {
        self.client.refusal().map(Fault::from)
    }
}

/// A host: its folder, and its agent while that runs.
pub(crate) struct Agent {
    pub(crate) name: String,
    pub(crate) address: SocketAddr,
    _own: Loopback,
    pub(crate) folder: PathBuf,
    log: Arc<Mutex<String>>,
    child: Option<Child>,
}

impl Agent {
    /// Another run of the agent's program over the same folder; what it prints.
    pub(crate) fn command(&self, words: &[&str]) -> Vec<u8> {
        let output = Command::new(program("agent"))
            .arg("--folder")
            .arg(&self.folder)
            .args(words)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "agent {words:?}: {errors}");
        output.stdout
    }

    pub(crate) fn start(&mut self) {
        self.start_with("true");
    }

    /// Starts it behind a command of a shell, such as `ulimit`.
    pub(crate) fn start_with(&mut self, before: &str) {
        self.log.lock().unwrap().clear();
        let mut child = Command::new("sh")
            .args(["-c", &format!("{before}; exec \"$0\" --folder \"$1\" run")])
            .arg(program("agent"))
            .arg(&self.folder)
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let log = Arc::clone(&self.log);
        thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                *log.lock().unwrap() += &(line + "\n");
            }
        });
        self.child = Some(child);
        self.says("listening");
    }

    /// What it has logged since it was started.
    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Waits until it has logged that.
    #[track_caller]
    pub(crate) fn says(&self, words: &str) {
        let said = until(words, Duration::from_secs(20), || {
            self.log().contains(words).then_some(())
        });
        assert!(said.is_ok(), "{words:?} is not in:\n{}", self.log());
    }

    pub(crate) fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().ok();
            child.wait().ok();
        }
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    fn identity(&self) -> PathBuf {
        self.folder.join("identity.pem")
    }

    /// Its key and what it was granted.
    pub(crate) fn installed(&self) -> String {
        fs::read_to_string(self.identity()).unwrap()
    }

    /// As if it had been approved so long ago; it has to be started again.
    pub(crate) fn was_approved(&mut self, fleet: &Fleet, ago: Duration) {
        let request = fs::read_to_string(fleet.path(&format!("{}.request", self.name))).unwrap();
        let (request, name) = (Request::from_pem(&request).unwrap(), self.name.parse());
        let signed = fleet.authorities();
        let signed = signed.host_certificate(&request, &name.unwrap(), clock::now() - ago);
        let good = self.installed();
        // Its own certificate is the first one.
        let (key, rest) = good.split_at(good.find("-----BEGIN CERTIFICATE-----").unwrap());
        let (_, others) = rest.split_once("-----END CERTIFICATE-----\n").unwrap();
        let old = format!("{key}{}{others}", signed.unwrap().to_pem());
        self.stop();
        secret_file(&self.identity(), &old);
        self.start();
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.stop();
    }
}

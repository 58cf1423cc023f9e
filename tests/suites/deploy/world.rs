//! One fleet of real hosts for the whole suite, and a stack folder of its own for each test.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use tempfile::TempDir;
pub(crate) use tests::command::{Ended, program};
use tests::lab::{Cmd, Host, Image, Lab, Process, Registry, until};

const PASSPHRASE: &str = "a passphrase for tests only";

/// A lab with two hosts, their agents, a registry, and a fleet that trusts them.
pub(crate) struct World {
    pub(crate) lab: Lab,
    pub(crate) emilia: Host,
    pub(crate) loa: Host,
    pub(crate) registry: Registry,
    admin: TempDir,
    /// Which claim has which stack.
    stacks: Mutex<HashMap<String, String>>,
    _agents: Vec<Process>,
}

/// The suite's world; `None`, and a word on standard error, where there can be none.
pub(crate) fn world() -> Option<&'static World> {
    static WORLD: OnceLock<Option<World>> = OnceLock::new();
    // Never dropped: the lab's watchdog clears up when this process ends.
    WORLD.get_or_init(World::make).as_ref()
}

/// Writes a file that only its owner may read.
pub(crate) fn secret_file(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

impl World {
    fn make() -> Option<Self> {
        let lab = Lab::start_or_skip()?;
        let [emilia, loa] = lab.hosts(["emilia", "loa"]).unwrap();
        let registry = lab.registry().unwrap();
        for version in ["1", "2"] {
            let image = Image::fixture("web", version)
                .unwrap()
                .padding(300_000)
                .unwrap();
            image
                .push(&registry, &format!("org/web:{version}"))
                .unwrap();
        }
        let demo = Image::fixture("demo", "1").unwrap().shell().unwrap();
        demo.push(&registry, "org/demo:1").unwrap();
        let admin = tempfile::tempdir().unwrap();
        fs::create_dir(admin.path().join("fleet")).unwrap();
        secret_file(&admin.path().join("passphrase"), PASSPHRASE);
        let mut world = Self {
            lab,
            emilia,
            loa,
            registry,
            admin,
            stacks: Mutex::default(),
            _agents: Vec::new(),
        };
        world
            .admin_does(&["init", "--name", "opq", "--operator", "ana"])
            .done();
        world._agents = [&world.emilia, &world.loa]
            .map(|host| world.enrol(host))
            .into();
        Some(world)
    }

    /// The controller in the admin's own folder.
    pub(crate) fn admin_runs(&self, words: &[&str]) -> Ended {
        controller(&self.admin.path().join("fleet"), &self.home(), words, &[])
    }

    /// The same with the passphrase.
    pub(crate) fn admin_does(&self, words: &[&str]) -> Ended {
        let passphrase = self.admin.path().join("passphrase");
        let mut words = words.to_vec();
        words.extend(["--passphrase-file", passphrase.to_str().unwrap()]);
        controller(&self.admin.path().join("fleet"), &self.home(), &words, &[])
    }

    pub(crate) fn home(&self) -> PathBuf {
        self.admin.path().join("home")
    }

    /// The workstation of another operator of the fleet.
    pub(crate) fn operator(&self, name: &str, role: &str) -> TempDir {
        self.limited_operator(name, role, &[])
    }

    /// The same, approved with more words.
    pub(crate) fn limited_operator(&self, name: &str, role: &str, limits: &[&str]) -> TempDir {
        let home = tempfile::tempdir().unwrap();
        let [request, certificate] = ["request", "pem"].map(|end| home.path().join(end));
        let fleet = self.admin.path().join("fleet");
        let at_home = |words: &[&str]| controller(&fleet, home.path(), words, &[]).done();
        at_home(&[
            "operator",
            "request",
            name,
            "--out",
            request.to_str().unwrap(),
        ]);
        let file = request.to_str().unwrap();
        let mut approve = vec![
            "operator",
            "approve",
            name,
            "--role",
            role,
            "--request",
            file,
        ];
        approve.extend(limits);
        fs::write(&certificate, self.admin_does(&approve).done()).unwrap();
        at_home(&["operator", "accept", certificate.to_str().unwrap()]);
        home
    }

    pub(crate) fn public_file(&self, name: &str) -> PathBuf {
        self.admin.path().join("fleet").join(name)
    }

    /// The steps of the README: a request from the host, a grant back, and the agent starts.
    pub(crate) fn enrol(&self, host: &Host) -> Process {
        host.install(program("agent"), "/usr/local/bin/agent")
            .unwrap();
        let request = host
            .sh(&format!("agent enroll --name {}", host.name()))
            .unwrap();
        let file = self.admin.path().join(format!("{}.request", host.name()));
        fs::write(&file, request).unwrap();
        let address = format!("{}:7433", host.ip());
        let approve = [
            "host",
            "approve",
            host.name(),
            "--request",
            file.to_str().unwrap(),
            "--address",
            &address,
        ];
        let grant = self.admin_does(&approve).done();
        host.exec(&Cmd::new(["agent", "accept"]).input(grant.as_bytes()))
            .unwrap()
            .ok()
            .unwrap();
        let agent = host.spawn(&Cmd::new(["agent", "run"])).unwrap();
        agent
            .wait_for("listening", Duration::from_secs(20))
            .unwrap();
        agent
    }

    /// A stack folder with one service that is healthy at once.
    pub(crate) fn case(&self, stack: &str) -> Case<'_> {
        let case = self.case_in(stack, tempfile::tempdir().unwrap());
        case.fleet("");
        case.write("compose.yaml", WEB);
        case.write(".env", "TAG=1\n");
        case
    }

    /// A fleet folder as it is, with what every operator has of this fleet.
    ///
    /// # Panics
    /// When another claim uses a stack of that name: on the same hosts at the same time, they would be one.
    pub(crate) fn case_in(&self, stack: &str, folder: TempDir) -> Case<'_> {
        let claim = std::thread::current().name().unwrap_or_default().to_owned();
        let mut stacks = self.stacks.lock().unwrap_or_else(PoisonError::into_inner);
        let owner = stacks
            .entry(stack.to_owned())
            .or_insert_with(|| claim.clone());
        assert_eq!(*owner, claim, "both have a stack {stack}");
        drop(stacks);
        for file in ["ca.pem", "revoked.crl"] {
            fs::copy(self.public_file(file), folder.path().join(file)).unwrap();
        }
        Case {
            world: self,
            stack: stack.to_owned(),
            folder,
        }
    }
}

/// One service with a fast healthcheck; its image's tag comes from `.env`.
pub(crate) const WEB: &str = "\
services:
  web:
    image: ${REGISTRY}/org/web:${TAG}
    environment: { FIXTURE_SHOW: NOTHING }
    restart: always
    healthcheck: { test: [CMD, /fixture, health], interval: 500ms, timeout: 5s, retries: 3 }
";

/// A service of that name that runs a shell, with more lines of its own. Its healthcheck asks the shell for `healthy`;
/// without one it has no healthcheck.
pub(crate) fn shell_service(name: &str, script: &str, healthy: &str, more: &str) -> String {
    let check = match healthy {
        "" => String::new(),
        healthy => format!(
            "    healthcheck: {{ test: [CMD-SHELL, '{healthy}'], interval: 500ms, timeout: 5s, retries: 3 }}\n"
        ),
    };
    let more: String = more.lines().map(|line| format!("    {line}\n")).collect();
    format!(
        "  {name}:\n    image: ${{REGISTRY}}/org/demo:1\n    restart: always\n    stop_grace_period: 1s\n    \
         entrypoint: [sh, -c, '{script}']\n{check}{more}"
    )
}

/// One test's fleet folder.
pub(crate) struct Case<'w> {
    world: &'w World,
    pub(crate) stack: String,
    pub(crate) folder: TempDir,
}

impl Case<'_> {
    /// Writes `fleet.toml`, with more lines for the stack's environment.
    pub(crate) fn fleet(&self, env: &str) {
        self.fleet_with(env, &self.world.emilia.ip().to_string());
    }

    /// The same with the host at another address.
    pub(crate) fn fleet_with(&self, env: &str, address: &str) {
        let (stack, registry) = (&self.stack, self.world.registry.address());
        let loa = self.world.loa.ip();
        let text = format!(
            "[fleet]\nname = \"opq\"\nca = \"ca.pem\"\ncrl = \"revoked.crl\"\n\n\
             [hosts.emilia]\naddress = \"{address}:7433\"\nstacks = [\"{stack}\"]\n\n\
             [hosts.loa]\naddress = \"{loa}:7433\"\nstacks = [\"{stack}\"]\n\n\
             [stacks.{stack}]\npath = \"stack\"\nproject_name = \"{stack}\"\n\n\
             [stacks.{stack}.env]\nREGISTRY = \"{registry}\"\n{env}"
        );
        fs::write(self.folder.path().join("fleet.toml"), text).unwrap();
    }

    /// Gives the stack these lines in `fleet.toml` instead of its `path` and `project_name`.
    pub(crate) fn section(&self, lines: &str) {
        let path = self.folder.path().join("fleet.toml");
        let text = fs::read_to_string(&path).unwrap();
        let head = format!("[stacks.{}]\n", self.stack);
        let (before, section) = text.split_once(&head).unwrap();
        let (_, after) = section.split_once("\n\n").unwrap();
        fs::write(&path, format!("{before}{head}{lines}\n\n{after}")).unwrap();
    }

    /// Writes a file of the stack.
    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join("stack").join(path)
    }

    /// The admin's workstation.
    pub(crate) fn home(&self) -> PathBuf {
        self.world.home()
    }

    /// Runs the controller in the fleet's folder, as the admin.
    pub(crate) fn controller(&self, words: &[&str]) -> Ended {
        self.controller_with(words, &[])
    }

    /// The same with more environment.
    pub(crate) fn controller_with(&self, words: &[&str], env: &[(&str, &str)]) -> Ended {
        controller(self.folder.path(), &self.world.home(), words, env)
    }

    pub(crate) fn deploy(&self) -> Ended {
        self.controller(&["deploy", "emilia", "--yes"])
    }

    /// A line of a shell on emilia; what it prints.
    pub(crate) fn on_emilia(&self, line: &str) -> String {
        self.world.emilia.sh(line).unwrap()
    }

    /// `docker` on emilia.
    pub(crate) fn docker(&self, words: &str) -> String {
        self.world
            .emilia
            .sh(&format!("docker {words}"))
            .unwrap()
            .trim()
            .to_owned()
    }

    /// The stack's containers on emilia as `service image state`, one a line.
    pub(crate) fn containers(&self) -> String {
        let format = "'{{.Label \"com.docker.compose.service\"}} {{.Image}} {{.State}}'";
        let label = format!("label=com.docker.compose.project={}", self.stack);
        let text = self.docker(&format!("ps -a --filter {label} --format {format}"));
        let mut lines: Vec<&str> = text.lines().collect();
        lines.sort_unstable();
        lines
            .join("\n")
            .replace(&format!("{}/", self.world.registry.address()), "")
    }

    /// The id of a service's first container.
    pub(crate) fn id(&self, service: &str) -> String {
        self.docker(&format!(
            "ps -aq --filter name=^{}-{service}-1$",
            self.stack
        ))
    }
}

impl Drop for Case<'_> {
    fn drop(&mut self) {
        let label = format!("label=com.docker.compose.project={}", self.stack);
        for host in [&self.world.emilia, &self.world.loa] {
            drop(host.sh(&format!(
                "docker ps -aq --filter {label} | xargs -r docker rm -fv
                 docker network ls -q --filter {label} | xargs -r docker network rm"
            )));
        }
    }
}

/// The controller with an environment of its own.
pub(crate) fn command(folder: &Path, home: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(program("controller"));
    command.args(words).current_dir(folder).env_clear();
    command
        .env("PATH", "/usr/bin:/bin")
        .env("HOME", home)
        .env("LONGSHORE_HOME", home);
    command
}

/// Runs the controller to its end; its own deadlines hold it.
pub(crate) fn controller(
    folder: &Path,
    home: &Path,
    words: &[&str],
    env: &[(&str, &str)],
) -> Ended {
    let output = command(folder, home, words)
        .envs(env.iter().copied())
        .output()
        .unwrap();
    Ended::from(output)
}

/// Waits for a predicate, 30 s at most.
pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    until(what, Duration::from_secs(30), || holds().then_some(())).unwrap();
}

//! The real parts behind the verbs: this workstation's fleet file, identity, Docker logins and shell.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use proto::check::Finding;
use proto::fault::{Fault, FaultKind};
use proto::id::{BlobId, HostName};
use proto::plan::Plan;
use proto::stack::{ShippedFile, StackOffer};

use crate::agents::{self, Agent, Arch};
use crate::bundle::Bundle;
use crate::cli::SourceArgs;
use crate::command::{Ended, Fleet, Leave, Target};
use crate::error::Failure;
use crate::event::Place;
use crate::exit::Exit;
use crate::fleet::Transport;
use crate::heads::Heads;
use crate::home::Home;
use crate::identity::{OperatorIdentity, current_operator, read_ca};
use crate::link::{Dial, Supply};
use crate::pki::FleetCa;
use crate::programs::{Confirmed, Programs, Wanted};
use crate::route::{HostDial, Route};
use crate::shelf::Shelf;
use crate::shell::Shell;
use crate::stack::{Outside, commands};
use crate::start::{Admin, Parts};
use crate::target::{self, Selection};
use crate::terminal::Terminal;
use crate::tls::HostClient;
use crate::tunnels::Tunnels;
use crate::upkeep::Keeper;
use crate::{admin, checkup, clock, docker_auth, fleet, ssh};

/// What this process was started with: its folder and its environment.
pub struct Workstation {
    folder: PathBuf,
    variables: BTreeMap<String, String>,
}

impl Workstation {
    /// The one place that reads the environment. Names and values that are not text are left out.
    #[must_use]
    pub fn here() -> Self {
        let text = |value: std::ffi::OsString| value.into_string().ok();
        let variables =
            std::env::vars_os().filter_map(|(key, value)| Some((text(key)?, text(value)?)));
        Self {
            folder: std::env::current_dir().unwrap_or_else(|_| PathBuf::from(".")),
            variables: variables.collect(),
        }
    }

    fn docker_config(&self) -> PathBuf {
        let home =
            || Path::new(self.variables.get("HOME").map_or("/", String::as_str)).join(".docker");
        let given = self
            .variables
            .get("DOCKER_CONFIG")
            .filter(|folder| !folder.is_empty());
        given.map_or_else(home, PathBuf::from)
    }

    /// What ssh takes from here.
    pub(crate) fn surroundings(&self) -> ssh::Surroundings {
        ssh::Surroundings::new(self.variables.clone())
    }

    /// The fleet file that applies here.
    ///
    /// # Errors
    /// When there is none.
    pub(crate) fn fleet_file(&self, file: Option<&Path>) -> Result<PathBuf, Fault> {
        Ok(fleet::Fleet::find(&self.folder, file)?)
    }

    /// The folder that a new fleet is made in.
    pub(crate) fn new_fleet_folder(&self, file: Option<&Path>) -> PathBuf {
        file.and_then(Path::parent)
            .map_or_else(|| self.folder.clone(), |parent| self.folder.join(parent))
    }
}

impl Parts for Workstation {
    fn fleet(&self, file: Option<&Path>, terminal: &Terminal) -> Result<Arc<dyn Fleet>, Fault> {
        let file = self.fleet_file(file)?;
        let fleet = fleet::Fleet::load(&file)?;
        Ok(Arc::new(LocalFleet {
            programs: Programs::new(fleet.root.clone(), terminal.clone()),
            tunnels: Tunnels::new(self.surroundings(), terminal),
            terminal: terminal.clone(),
            fleet,
            home: Home::from_environment()?,
            variables: self.variables.clone(),
            docker_config: self.docker_config(),
            identity: OnceLock::new(),
        }))
    }

    fn admin(
        &self,
        verb: Admin,
        file: Option<&Path>,
        terminal: &Terminal,
    ) -> Result<Exit, Failure> {
        Ok(admin::run(self, verb, file, terminal)?)
    }

    fn now_nanos(&self) -> i64 {
        clock::unix_nanos()
    }
}

/// Who we are to this fleet's hosts.
struct Credentials {
    ca: FleetCa,
    operator: OperatorIdentity,
    keeper: Arc<Keeper>,
}

/// The fleet as its file, this workstation's identity and its Docker logins make it.
struct LocalFleet {
    fleet: fleet::Fleet,
    home: Home,
    variables: BTreeMap<String, String>,
    docker_config: PathBuf,
    identity: OnceLock<Credentials>,
    programs: Programs,
    tunnels: Tunnels,
    terminal: Terminal,
}

impl LocalFleet {
    fn identity(&self) -> Result<&Credentials, Fault> {
        if let Some(known) = self.identity.get() {
            return Ok(known);
        }
        let ca = read_ca(&self.fleet.ca)?;
        let operator = current_operator(&self.home, &ca, &self.fleet.ca)?;
        // Two threads may have read the same files; either reading will do.
        let Self {
            terminal,
            home,
            fleet,
            ..
        } = self;
        Ok(self.identity.get_or_init(|| Credentials {
            keeper: Arc::new(Keeper::new(terminal, home, fleet, &ca, &operator)),
            ca,
            operator,
        }))
    }

    /// The programs that values of `targets` come from.
    fn wanted(&self, targets: &[Target], env: &[String]) -> Result<Vec<Wanted>, Fault> {
        let shell = Shell::new(self.variables.clone(), env)?;
        let mut all = Vec::new();
        for Target { place, .. } in targets {
            let host = self.fleet.host(&place.host);
            if let Some((host, stack)) = host.zip(self.fleet.stack(&place.stack)) {
                all.extend(commands(stack, host.env.get(&stack.name), &shell));
            }
        }
        Ok(Wanted::each_once(all))
    }
}

impl Fleet for LocalFleet {
    fn targets(&self, words: &[String]) -> Result<Vec<Target>, Fault> {
        let all = ["all".to_owned()];
        let words = if words.is_empty() { &all } else { words };
        let selections = target::select(&self.fleet, words)?;
        Ok(selections.into_iter().map(targeted).collect())
    }

    fn by_host(&self, words: &[String]) -> Result<Vec<(HostName, Vec<Target>)>, Fault> {
        let all = ["all".to_owned()];
        let words = if words.is_empty() { &all } else { words };
        let hosts = target::by_host(&self.fleet, words)?.into_iter();
        let targeted = |(host, selections): (_, Vec<_>)| {
            (host, selections.into_iter().map(targeted).collect())
        };
        Ok(hosts.map(targeted).collect())
    }

    fn agent(&self, version: &str, arch: Arch) -> Result<Agent, Fault> {
        agents::find(&self.home, version, arch)
    }

    fn check(&self) -> Vec<Finding> {
        checkup::check(&self.home, &self.fleet)
    }

    fn dial(&self, host: &HostName) -> Result<Arc<dyn Dial>, Fault> {
        let entry = self.fleet.host(host).ok_or_else(|| unknown(host))?;
        let Credentials {
            ca,
            operator,
            keeper,
        } = self.identity()?;
        let client = HostClient::new(ca, operator, host)?;
        let path = self.home.audit_head(ca.id(), host);
        let keeper = Arc::clone(keeper);
        let heads = Arc::new(Heads::load(&path, host, &self.terminal));
        let route = match (entry.transport, &entry.ssh) {
            (Transport::Ssh, Some(target)) => {
                Route::Tunnel(self.tunnels.to(target), entry.address.port)
            }
            _ => Route::Direct(entry.address.to_string()),
        };
        Ok(Arc::new(HostDial {
            route,
            client,
            heads,
            keeper,
        }))
    }

    fn run_commands<'a>(
        &'a self,
        targets: &'a [Target],
        source: &'a SourceArgs,
        leave: &'a Leave,
    ) -> BoxFuture<'a, Result<(), Ended>> {
        async move {
            let wanted = self.wanted(targets, &source.env)?;
            if wanted.is_empty() {
                return Ok(());
            }
            // Who has no identity here would be asked for passwords in vain.
            let id = self.identity()?.ca.id();
            let confirmed = Confirmed::new(self.home.confirmed_programs(id));
            self.programs
                .run(wanted, &confirmed, source.allow_commands, leave)
                .await
        }
        .boxed()
    }

    fn gather(&self, target: &Target, env: &[String]) -> Result<Box<dyn Supply>, Fault> {
        let Place { host, stack } = target.place.clone();
        let shell = Shell::new(self.variables.clone(), env)?;
        let selection = Selection {
            host,
            stack,
            service: None,
        };
        let outside = Outside {
            shell: &shell,
            printed: &self.programs.printed(),
        };
        Ok(Box::new(Bundle::new(&self.fleet, &selection, outside)?))
    }

    fn check_hooks(&self, place: &Place, plan: &Plan) -> Result<(), Fault> {
        let services = || plan.services.iter().map(|one| one.service.as_str());
        for hook in self
            .fleet
            .stack(&place.stack)
            .iter()
            .flat_map(|it| &it.hooks)
        {
            hook.check(&place.stack, services())?;
        }
        Ok(())
    }

    fn shelf(&self, place: &Place) -> Shelf {
        let hooks = self.fleet.stack(&place.stack).into_iter();
        Shelf {
            root: self.fleet.root.clone(),
            hooks: hooks
                .flat_map(|it| &it.hooks)
                .map(|it| it.hook.clone())
                .collect(),
        }
    }

    fn auths<'a>(
        &'a self,
        registries: &'a [String],
    ) -> BoxFuture<'a, Result<docker_auth::Logins, Fault>> {
        async { Ok(docker_auth::credentials(&self.docker_config, registries).await?) }.boxed()
    }
}

fn targeted(selection: Selection) -> Target {
    Target {
        place: Place {
            host: selection.host,
            stack: selection.stack,
        },
        services: selection.service.into_iter().collect(),
    }
}

fn unknown(host: &HostName) -> Fault {
    Fault::new(
        FaultKind::UnknownName,
        format!("there is no host {host} in the fleet"),
    )
}

impl Supply for Bundle {
    fn offer(&self) -> StackOffer {
        Self::offer(self)
    }

    fn add_wanted(&mut self, paths: Vec<String>) -> Result<Vec<ShippedFile>, Fault> {
        Ok(Self::add_wanted(self, &paths)?)
    }

    fn warnings(&self) -> Vec<String> {
        self.warnings.clone()
    }

    fn set_in_shell(&self) -> BTreeSet<String> {
        self.set_in_shell.clone()
    }

    fn open(&self, blob: BlobId) -> Result<Box<dyn Read + Send>, Fault> {
        let gone = || {
            Fault::new(
                FaultKind::Internal,
                format!("content {} is not in the stack", blob.short()),
            )
        };
        let source = self.content.get(&blob).ok_or_else(gone)?;
        source.open().map_err(|error| {
            Fault::new(
                FaultKind::InvalidStack,
                "a file of the stack cannot be read any more",
            )
            .because(&error)
        })
    }
}

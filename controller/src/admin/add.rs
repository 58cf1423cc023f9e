//! `host add`: opens the login, wires enrolment to this workstation, and shows what happens.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use proto::fault::{Fault, FaultKind};
use proto::hello::HostFacts;
use proto::limits::DEFAULT_PORT;
use zeroize::Zeroizing;

use super::{Place, name};
use crate::agents::{self, Agent};
use crate::cli::{HostAddArgs, Output};
use crate::enrol::server::{self, Login, Server};
use crate::enrol::{Enrolment, Office, Outcome, Told, Wish};
use crate::exit::Exit;
use crate::fleet::Fleet;
use crate::fleet::address::{Address, SshTarget};
use crate::fleet_file::{self, HostEntry};
use crate::identity::{self, Signer};
use crate::link::{Link, VERSION};
use crate::passphrase::Sources;
use crate::render;
use crate::ssh::{self, Ask, AtTerminal, Options, Passwords, Session};
use crate::start::{Parts as _, block_on};
use crate::terminal::Terminal;
use crate::{clock, private};

pub(super) fn run(place: &Place<'_>, args: &HostAddArgs) -> Result<Exit, Fault> {
    let file = place.workstation.fleet_file(place.file)?;
    let fleet = Fleet::load(&file)?;
    let (target, entry) = wanted(place, &fleet, args)?;
    super::known_stacks(&fleet, &entry.stacks)?;
    fleet_file::check_host(&file, &entry)?;
    let ca = identity::read_ca(&fleet.ca)?;
    let wish = Wish {
        host: entry.name.clone(),
        fleet: ca.fleet().clone(),
        authorities: ca.fingerprint().to_string(),
        fleet_id: ca.id().to_string(),
        address: entry.address.clone(),
        install_docker: args.install_docker,
        dry_run: args.dry_run,
    };
    let desk = Desk {
        place,
        fleet: &fleet,
        file,
        entry,
        passphrase: Sources::from_environment(args.passphrase_file.clone()),
        signer: OnceLock::new(),
    };
    let show = Show::new(place.terminal, args);
    let outcome = block_on(add(&desk, &wish, &target, args, &show))??;
    show.finish()?;
    if show.output == Output::Table {
        sum_up(place.terminal, &wish, &outcome);
    }
    Ok(Exit::Done)
}

/// What to add: the words of the command, and what the fleet file says already about a host of that name.
fn wanted(
    place: &Place<'_>,
    fleet: &Fleet,
    args: &HostAddArgs,
) -> Result<(SshTarget, HostEntry), Fault> {
    let known = fleet.host(&name(&args.name)?);
    let ssh = args.ssh.clone();
    let ssh = ssh.or_else(|| known?.ssh.as_ref().map(ToString::to_string));
    let ssh = ssh.ok_or_else(|| {
        let what = format!("nothing says how to reach {} through SSH", args.name);
        Fault::new(FaultKind::InvalidRequest, what).hint("pass --ssh USER@HOST[:PORT]")
    })?;
    let target: SshTarget = name(&ssh)?;
    let address = match (&args.address, known) {
        (Some(address), _) => address.clone(),
        (None, Some(known)) => known.address.to_string(),
        (None, None) => {
            let host = ssh::host_name(&target, &place.workstation.surroundings())?;
            let port = DEFAULT_PORT;
            Address { host, port }.to_string()
        }
    };
    let entry = HostEntry {
        name: name(&args.name)?,
        address,
        ssh: Some(ssh),
        labels: args.labels.clone(),
        stacks: super::names(&args.stacks)?,
    };
    Ok((target, entry))
}

async fn add(
    desk: &Desk<'_>,
    wish: &Wish,
    target: &SshTarget,
    args: &HostAddArgs,
    show: &Show,
) -> Result<Outcome, Fault> {
    let terminal = desk.place.terminal.clone();
    let options = Options {
        host_key: args.host_key.as_deref().map(name).transpose()?,
        passwords: if args.ask_password {
            Passwords::Asked
        } else {
            Passwords::IfWanted
        },
        ..Options::new(desk.place.workstation.surroundings())
    };
    let ask: Arc<dyn Ask> = Arc::new(AtTerminal::new(&terminal));
    let session = ssh::connect(target, &options, ask).await?;
    for note in session.notes() {
        terminal.note(format!("note: {note}"));
    }
    let login = Through(session);
    let sudo = || sudo_password(args, &terminal, login.user());
    let server = Server::become_root(&login, &sudo).await?;
    let enrolment = Enrolment {
        wish,
        server: &server,
        office: desk,
        tell: &|told| show.tell(wish, told),
    };
    let outcome = enrolment.run().await;
    login.0.close().await;
    outcome
}

fn sudo_password(
    args: &HostAddArgs,
    terminal: &Terminal,
    user: &str,
) -> Result<Zeroizing<String>, Fault> {
    let Some(path) = &args.sudo_password_file else {
        let question = format!("password of {user} for sudo");
        return terminal.secret(&question, "--sudo-password-file FILE");
    };
    let text = private::read_secret(path)?;
    Ok(Zeroizing::new(
        text.trim_end_matches(['\r', '\n']).to_owned(),
    ))
}

fn sum_up(terminal: &Terminal, wish: &Wish, outcome: &Outcome) {
    match outcome {
        Outcome::Ready(_) => terminal.note(format!("{} is ready: controller status", wish.host)),
        Outcome::Planned => terminal.note("nothing was changed"),
        // The warning about it was the last line.
        Outcome::NotStarted => {}
    }
}

/// This workstation, as enrolment needs it.
struct Desk<'a> {
    place: &'a Place<'a>,
    fleet: &'a Fleet,
    file: PathBuf,
    entry: HostEntry,
    passphrase: Sources,
    signer: OnceLock<Signer>,
}

impl Desk<'_> {
    /// The authorities; opened once.
    fn signer(&self) -> Result<&Signer, Fault> {
        if let Some(open) = self.signer.get() {
            return Ok(open);
        }
        let crl = self.fleet.revocations();
        let signer = Signer::unlock(&self.place.home, &self.fleet.ca, &crl, &self.passphrase)?;
        Ok(self.signer.get_or_init(|| signer))
    }
}

impl Office for Desk<'_> {
    fn agent(&self, machine: &str) -> Result<Agent, Fault> {
        agents::find(&self.place.home, VERSION, machine.parse()?)
    }

    fn unlock(&self) -> Result<(), Fault> {
        self.signer().map(drop)
    }

    fn sign(&self, request: &str) -> Result<String, Fault> {
        let report = self.signer()?.host(&self.entry.name, request)?;
        self.place
            .claimed(report.claimed.as_deref(), self.entry.name.as_str());
        fleet_file::add_host(&self.file, &self.entry)?;
        Ok(report.grant)
    }

    fn prove(&self) -> BoxFuture<'_, Result<HostFacts, Fault>> {
        async {
            // A host that was ready before may be missing in the file of this checkout.
            fleet_file::add_host(&self.file, &self.entry)?;
            let Place {
                workstation,
                terminal,
                ..
            } = self.place;
            let fleet = workstation.fleet(Some(&self.file), terminal)?;
            let host = self.entry.name.clone();
            let link = Link::connect(host.clone(), fleet.dial(&host)?).await?;
            Ok(link.facts().clone())
        }
        .boxed()
    }

    fn now(&self) -> i64 {
        clock::now().unix_timestamp()
    }
}

/// A session as enrolment uses it.
struct Through(Session);

impl Login for Through {
    fn exec<'a>(
        &'a self,
        line: &'a str,
        mut input: server::Input<'a>,
        limit: Duration,
    ) -> BoxFuture<'a, Result<server::Output, Fault>> {
        async move {
            let output = self
                .0
                .exec(line, ssh::Input::Stream(&mut *input), limit)
                .await?;
            Ok(server::Output {
                out: output.stdout.bytes,
                err: output.stderr.bytes,
            })
        }
        .boxed()
    }

    fn user(&self) -> &str {
        self.0.user()
    }
}

/// What is shown while it happens, and after it.
struct Show {
    terminal: Terminal,
    output: Output,
    dry_run: bool,
    all: Mutex<Vec<Told>>,
}

impl Show {
    fn new(terminal: &Terminal, args: &HostAddArgs) -> Self {
        Self {
            terminal: terminal.clone(),
            output: args.output.output,
            dry_run: args.dry_run,
            all: Mutex::default(),
        }
    }

    fn tell(&self, wish: &Wish, told: Told) {
        match self.output {
            Output::Table => {
                for line in render::enrol::lines(&wish.host, &told, self.dry_run) {
                    self.terminal.say(line);
                }
                self.terminal.flush();
            }
            // A reader that is gone is told of at the end.
            Output::Jsonl => drop(self.terminal.json(&told)),
            Output::Json => self
                .all
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(told),
        }
    }

    fn finish(&self) -> Result<(), Fault> {
        if self.output != Output::Json {
            return Ok(());
        }
        let all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        self.terminal.json(&*all)
    }
}

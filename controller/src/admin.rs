//! The verbs about identities: reads their files, calls `identity`, says what was done and what comes next.

mod add;

use std::path::Path;

use proto::fault::{Fault, FaultKind};
use proto::id::StackName;
use time::OffsetDateTime;

use crate::cli::{CaVerb, HostApproveArgs, HostVerb, InitArgs, Output, OutputArgs};
use crate::exit::Exit;
use crate::fleet::Fleet;
use crate::fleet_file::{self, HostEntry};
use crate::home::Home;
use crate::identity::{self, HostApproveParams, InitParams};
use crate::passphrase::Sources;
use crate::start::Admin;
use crate::terminal::Terminal;
use crate::workstation::Workstation;

mod operators;
mod renewal;
mod rotation;

/// Requests, grants and certificates are small; more is not one.
const MOST_BYTES: u64 = 1024 * 1024;

/// Runs one verb.
///
/// # Errors
/// With what went wrong; nothing is half done.
pub(crate) fn run(
    workstation: &Workstation,
    verb: Admin,
    file: Option<&Path>,
    terminal: &Terminal,
) -> Result<Exit, Fault> {
    let place = Place {
        workstation,
        file,
        terminal,
        home: Home::from_environment()?,
    };
    match verb {
        Admin::Init(args) => place.init(args)?,
        Admin::Host(HostVerb::Add(args)) => return add::run(&place, &args),
        Admin::Host(HostVerb::Approve(args)) => place.host_approve(args)?,
        Admin::Host(HostVerb::List(output)) => place.host_list(output)?,
        Admin::Host(HostVerb::Renew(args)) => return place.host_renew(args),
        Admin::Operator(verb) => return place.operator(verb),
        Admin::Ca(CaVerb::Rotate(args)) => return place.ca_rotate(args),
        Admin::Host(HostVerb::Upgrade(_)) => {
            let what = "upgrading is no work of the authorities";
            return Err(Fault::new(FaultKind::Internal, what));
        }
    }
    Ok(Exit::Done)
}

struct Place<'a> {
    workstation: &'a Workstation,
    file: Option<&'a Path>,
    terminal: &'a Terminal,
    home: Home,
}

impl Place<'_> {
    fn fleet(&self) -> Result<Fleet, Fault> {
        Ok(Fleet::load(&self.workstation.fleet_file(self.file)?)?)
    }

    fn init(&self, args: InitArgs) -> Result<(), Fault> {
        let report = identity::init(&InitParams {
            home: &self.home,
            folder: &self.workstation.new_fleet_folder(self.file),
            fleet: &name(&args.name)?,
            operator: &name(&args.operator)?,
            passphrase: &Sources::from_environment(args.passphrase_file),
        })?;
        let say = |line: String| self.terminal.say(line);
        say(format!(
            "fleet {} is ready; you are {}",
            args.name, report.operator
        ));
        say(format!(
            "  {}  public, belongs into git",
            report.ca.display()
        ));
        say(format!(
            "  {}  public, belongs into git",
            report.crl.display()
        ));
        say(format!(
            "  {}  the authorities, encrypted: keep a copy in a safe place",
            report.authorities.display()
        ));
        say(format!("your certificate ends on {}", date(report.expires)));
        say("next, for each server: controller host add NAME --ssh USER@HOST".to_owned());
        Ok(())
    }

    fn host_approve(&self, args: HostApproveArgs) -> Result<(), Fault> {
        let file = self.workstation.fleet_file(self.file)?;
        let fleet = Fleet::load(&file)?;
        let host = HostEntry {
            name: name(&args.name)?,
            address: args.address,
            ssh: args.ssh,
            labels: args.labels,
            stacks: names(&args.stacks)?,
        };
        known_stacks(&fleet, &host.stacks)?;
        let report = identity::host_approve(&HostApproveParams {
            home: &self.home,
            ca: &fleet.ca,
            crl: &fleet.revocations(),
            host: &host.name,
            request: &read(&args.request)?,
            passphrase: &Sources::from_environment(args.passphrase_file),
        })?;
        self.claimed(report.claimed.as_deref(), &args.name);
        let added = fleet_file::add_host(&file, &host)?;
        self.hand_out(args.out.as_deref(), &report.grant)?;
        let wrote = if added {
            format!("; written into {}", file.display())
        } else {
            String::new()
        };
        self.terminal.note(format!(
            "{} is approved until {}{wrote}",
            report.identity,
            date(report.expires)
        ));
        self.terminal
            .note("next, on the server: agent accept GRANT, then agent run");
        Ok(())
    }

    fn host_list(&self, output: OutputArgs) -> Result<(), Fault> {
        let fleet = self.fleet()?;
        for host in &fleet.hosts {
            let labels: Vec<String> = host.labels.iter().map(ToString::to_string).collect();
            let stacks: Vec<String> = host.stacks.iter().map(ToString::to_string).collect();
            if output.output == Output::Table {
                let (labels, stacks) = (labels.join(" "), stacks.join(" "));
                let address = host.address.to_string();
                self.terminal.say(format!(
                    "{:<16} {address:<28} {stacks:<24} {labels}",
                    host.name.as_str()
                ));
            } else {
                self.terminal.json(&serde_json::json!({
                    "host": host.name,
                    "address": host.address.to_string(),
                    "labels": labels,
                    "stacks": stacks,
                }))?;
            }
        }
        Ok(())
    }

    /// A request under another name is signed all the same; only its key counts. But somebody should look.
    fn claimed(&self, claimed: Option<&str>, name: &str) {
        if let Some(claimed) = claimed {
            self.terminal.note(format!(
                "warning: the request was made for {claimed}; it is signed for {name}"
            ));
        }
    }

    fn hand_out(&self, out: Option<&Path>, text: &str) -> Result<(), Fault> {
        let Some(path) = out else {
            self.terminal.bulk(text.as_bytes());
            return Ok(());
        };
        std::fs::write(path, text).map_err(|error| {
            Fault::new(
                FaultKind::Failed,
                format!("cannot write {}", path.display()),
            )
            .because(&error)
        })
    }
}

fn known_stacks(fleet: &Fleet, stacks: &[StackName]) -> Result<(), Fault> {
    let missing = |stack: &&StackName| fleet.stack(stack).is_none();
    let Some(stack) = stacks.iter().find(missing) else {
        return Ok(());
    };
    let what = format!("there is no stack {stack} in {}", fleet.file.display());
    Err(Fault::new(FaultKind::InvalidRequest, what)
        .hint(format!("write [stacks.{stack}] with its path first")))
}

fn names<T>(texts: &[String]) -> Result<Vec<T>, Fault>
where
    T: std::str::FromStr,
    T::Err: std::fmt::Display,
{
    texts.iter().map(|text| name(text)).collect()
}

fn name<T>(text: &str) -> Result<T, Fault>
where
    T: std::str::FromStr,
    T::Err: std::fmt::Display,
{
    text.parse()
        .map_err(|error: T::Err| Fault::new(FaultKind::InvalidRequest, error.to_string()))
}

fn date(time: OffsetDateTime) -> String {
    time.date().to_string()
}

fn read(path: &Path) -> Result<String, Fault> {
    use std::io::Read as _;
    let mut text = String::new();
    let opened = std::fs::File::open(path);
    let done = opened.and_then(|file| file.take(MOST_BYTES).read_to_string(&mut text));
    let what = || format!("cannot read {}", path.display());
    done.map_err(|error| Fault::new(FaultKind::InvalidRequest, what()).because(&error))?;
    Ok(text)
}

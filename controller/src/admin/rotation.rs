//! `ca rotate`: what is changed here by `identity::Rotation` is brought to every host, step by step. How far a host
//! has come it says itself.

use std::future::Future;
use std::path::Path;
use std::sync::Arc;

use proto::fault::{Fault, FaultKind};
use proto::id::HostName;

use super::{Place, date};
use crate::cli::CaRotateArgs;
use crate::exit::Exit;
use crate::fleet::Fleet;
use crate::fleet_run;
use crate::identity::{Reissued, Rotation, Signer, read_ca};
use crate::link::Link;
use crate::passphrase::Sources;
use crate::pki::{FleetCa, Standing, Succession};
use crate::start::{Parts as _, block_on};
use crate::target;
use crate::terminal::Terminal;
use crate::upkeep;

/// What one run is asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Begin,
    Switch,
    Finish,
    Abort,
}

impl Step {
    fn of(args: &CaRotateArgs) -> Self {
        match args {
            CaRotateArgs { switch: true, .. } => Self::Switch,
            CaRotateArgs { finish: true, .. } => Self::Finish,
            CaRotateArgs { abort: true, .. } => Self::Abort,
            _ => Self::Begin,
        }
    }

    const fn question(self) -> &'static str {
        match self {
            Self::Begin => "Make new authorities, and have every host believe them beside the old?",
            Self::Switch => {
                "Does everybody have the new ca.pem, and shall the new authorities sign from now on?"
            }
            Self::Finish => {
                "Does everybody have what is in operators/, and shall the old authorities be forgotten?"
            }
            Self::Abort => "Give the new authorities up?",
        }
    }

    /// Whether it can be done when so much has been done.
    fn fits(self, succession: Succession) -> Result<(), Fault> {
        let refuse = |what: &str, hint: &str| {
            Err(Fault::new(FaultKind::Refused, what).hint(hint.to_owned()))
        };
        match (self, succession) {
            (Self::Begin | Self::Abort, Succession::Switched) => refuse(
                "the new authorities sign already",
                "to have the old ones forgotten: controller ca rotate --finish",
            ),
            (Self::Switch, Succession::Settled) => refuse(
                "no new authorities were made",
                "first: controller ca rotate",
            ),
            (Self::Finish, Succession::Begun) => refuse(
                "the old authorities still sign",
                "first: controller ca rotate --switch",
            ),
            _ => Ok(()),
        }
    }
}

/// One step and where it is done.
struct Turn<'a> {
    place: &'a Place<'a>,
    hosts: Vec<HostName>,
    width: usize,
}

impl Place<'_> {
    pub(super) fn ca_rotate(&self, args: CaRotateArgs) -> Result<Exit, Fault> {
        let (step, fleet) = (Step::of(&args), self.fleet()?);
        let turn = Turn {
            place: self,
            hosts: hosts(&fleet, &args.without)?,
            width: args.width.parallel.into(),
        };
        if args.status {
            return turn.status(&read_ca(&fleet.ca)?);
        }
        // What cannot be done is said before anybody is asked for anything; the bundle may be a step further.
        if read_ca(&fleet.ca)?.succession() == Succession::Switched {
            step.fits(Succession::Switched)?;
        }
        if !args.yes && !self.terminal.confirm(step.question(), "--yes")? {
            self.terminal.note("nothing was changed");
            return Ok(Exit::Done);
        }
        let passphrase = Sources::from_environment(args.passphrase_file);
        let crl = fleet.revocations();
        let rotation = Rotation::open(&self.home, &fleet.ca, &crl, &passphrase)?;
        step.fits(rotation.succession())?;
        match step {
            Step::Begin => turn.begin(rotation),
            Step::Switch => turn.switch(rotation),
            Step::Finish | Step::Abort => turn.settle(rotation, step),
        }
    }
}

/// Every host of the fleet but those that are left behind.
fn hosts(fleet: &Fleet, without: &[String]) -> Result<Vec<HostName>, Fault> {
    let without = target::hosts(fleet, without, &[])?;
    let hosts = fleet.hosts.iter().map(|host| host.name.clone());
    Ok(hosts.filter(|host| !without.contains(host)).collect())
}

impl Turn<'_> {
    fn begin(&self, mut rotation: Rotation) -> Result<Exit, Fault> {
        rotation.begin()?;
        self.say("there are new authorities; keep a new copy of authorities.pem in a safe place");
        let exit = self.believe_both(&rotation)?;
        match exit {
            Exit::Done => self.next("commit ca.pem and revoked.crl", Some("--switch")),
            _ => self.again("controller ca rotate"),
        }
        Ok(exit)
    }

    fn switch(&self, mut rotation: Rotation) -> Result<Exit, Fault> {
        let exit = self.believe_both(&rotation)?;
        if exit != Exit::Done && rotation.succession() == Succession::Begun {
            let note = |what: &str| self.place.terminal.note(what);
            note(
                "nothing was switched: an operator with a new certificate would not be let in there",
            );
            note("to go on without a host: controller ca rotate --switch --without HOST");
            return Ok(exit);
        }
        rotation.switch()?;
        self.say("the new authorities sign from now on");
        let signer = Arc::clone(rotation.signer());
        let exit = self.each(move |link, terminal| {
            let signer = Arc::clone(&signer);
            async move {
                if is_signed(&link, signer.public()) {
                    return Ok(());
                }
                let expires = upkeep::renew(&link, &signer).await?;
                let (host, until) = (link.host(), date(expires));
                terminal.say(format!(
                    "{host} has a certificate of the new authorities, until {until}"
                ));
                Ok(())
            }
        })?;
        self.tell(&rotation.reissue()?);
        match exit {
            Exit::Done => {
                self.next(
                    "commit ca.pem, revoked.crl and operators/",
                    Some("--finish"),
                );
            }
            _ => self.again("controller ca rotate --switch"),
        }
        Ok(exit)
    }

    /// Has every host believe only the pair that signs: the new one at the end, the old one when it is given up.
    fn settle(&self, mut rotation: Rotation, step: Step) -> Result<Exit, Fault> {
        if rotation.succession() == Succession::Settled {
            // Only the public files may be behind.
            rotation.settle()?;
            self.say("the authorities are not being replaced");
            return Ok(Exit::Done);
        }
        let signer = Arc::clone(rotation.signer());
        let exit = self.all_are_signed(&signer)?;
        if exit != Exit::Done {
            let note = |what: &str| self.place.terminal.note(what);
            note("nothing was changed: such a host would be lost");
            note("first: controller ca rotate --switch; or leave it behind with --without HOST");
            return Ok(exit);
        }
        let generation = signer.public().signing().generation;
        let said = match step {
            Step::Abort => "believes the old ones only",
            _ => "believes the new ones only",
        };
        let exit = self.believe(&signer, vec![generation], said)?;
        if exit != Exit::Done {
            self.again(match step {
                Step::Abort => "controller ca rotate --abort",
                _ => "controller ca rotate --finish",
            });
            return Ok(exit);
        }
        rotation.settle()?;
        self.say(match step {
            Step::Abort => "the new authorities are given up",
            _ => "the old authorities are forgotten",
        });
        self.next("commit ca.pem and revoked.crl", None);
        self.place
            .terminal
            .note("keep a new copy of authorities.pem in a safe place");
        Ok(Exit::Done)
    }

    /// That every host answers, and has a certificate of the authorities that sign.
    fn all_are_signed(&self, signer: &Arc<Signer>) -> Result<Exit, Fault> {
        let signer = Arc::clone(signer);
        self.each(move |link, _| {
            let signer = Arc::clone(&signer);
            async move {
                if is_signed(&link, signer.public()) {
                    return Ok(());
                }
                let what = format!(
                    "the certificate of host {} is not of the authorities that sign",
                    link.host()
                );
                Err(Fault::new(FaultKind::Refused, what))
            }
        })
    }

    fn believe_both(&self, rotation: &Rotation) -> Result<Exit, Fault> {
        let signer = rotation.signer();
        self.believe(signer, signer.public().generations(), "believes both")
    }

    fn believe(
        &self,
        signer: &Arc<Signer>,
        generations: Vec<u32>,
        said: &'static str,
    ) -> Result<Exit, Fault> {
        let signer = Arc::clone(signer);
        self.each(move |link, terminal| {
            let (signer, generations) = (Arc::clone(&signer), generations.clone());
            async move {
                upkeep::believe(&link, &signer, &generations).await?;
                terminal.say(format!("{} {said}", link.host()));
                Ok(())
            }
        })
    }

    /// Does something on every host, so many at a time, and says where that failed.
    fn each<F>(
        &self,
        work: impl Fn(Link, Terminal) -> F + Send + Sync + 'static,
    ) -> Result<Exit, Fault>
    where
        F: Future<Output = Result<(), Fault>> + Send + 'static,
    {
        // Anew each time: ca.pem, and this operator's own certificate, may be others than a step before.
        let terminal = self.place.terminal;
        let dials = self.place.workstation.fleet(self.place.file, terminal)?;
        let work = Arc::new(work);
        let done = fleet_run::each(self.hosts.clone(), self.width, |host| {
            let (dial, work) = (dials.dial(&host), Arc::clone(&work));
            let terminal = terminal.clone();
            async move { work(Link::open(host, dial?).await?, terminal).await }
        });
        let answers = block_on(done)?.into_iter();
        let codes = self.hosts.iter().zip(answers).map(|(host, answer)| {
            answer.map_or_else(|fault| self.place.failed_on(host, fault), |()| Exit::Done)
        });
        // What is done here counts, whatever becomes of the hosts.
        Ok(Exit::overall([Exit::Done].into_iter().chain(codes)))
    }

    fn status(&self, ca: &FleetCa) -> Result<Exit, Fault> {
        self.say(match ca.succession() {
            Succession::Settled => "the authorities are not being replaced",
            Succession::Begun => "the old authorities sign, and the new ones are made known",
            Succession::Switched => "the new authorities sign, and the old ones are still believed",
        });
        let ca = Arc::new(ca.clone());
        self.each(move |link, terminal| {
            let ca = Arc::clone(&ca);
            async move {
                let host = link.host();
                terminal.say(match standing(&link, &ca) {
                    Some(standing) => format!("{host} {}", described(&standing, &ca)),
                    None => format!(
                        "{host} believes others than this ca.pem says; if that is the newest from git: \
                         controller host add {host}"
                    ),
                });
                Ok(())
            }
        })
    }

    fn tell(&self, reissued: &Reissued) {
        for file in &reissued.files {
            let file = file.file_name().map(Path::new).unwrap_or(file);
            self.say(&format!("operators/{} is signed", file.display()));
        }
        for who in &reissued.keyless {
            let what = format!(
                "warning: {who} needs a new certificate before the last step: controller operator request"
            );
            self.place.terminal.note(what);
        }
    }

    fn say(&self, what: &str) {
        self.place.terminal.say(what);
    }

    /// What people do before the next step can be done.
    fn next(&self, what: &str, step: Option<&str>) {
        let note = |line: String| self.place.terminal.note(line);
        match step {
            Some(step) => {
                note(format!(
                    "next: {what}; when everybody who uses this fleet has them:"
                ));
                note(format!("  controller ca rotate {step}"));
            }
            None => note(format!("next: {what}")),
        }
    }

    fn again(&self, command: &str) {
        self.place
            .terminal
            .note(format!("to complete this: {command}"));
    }
}

fn standing(link: &Link, ca: &FleetCa) -> Option<Standing> {
    ca.standing(link.facts().credentials.as_ref()?)
}

/// Whether the host's certificate is of the authorities that sign.
fn is_signed(link: &Link, ca: &FleetCa) -> bool {
    standing(link, ca).is_some_and(|it| it.signer == ca.signing().generation)
}

fn described(standing: &Standing, ca: &FleetCa) -> String {
    let newest = ca.generations().into_iter().max();
    let word = |generation: u32| match Some(generation) == newest {
        true => "new",
        false => "old",
    };
    if ca.succession() == Succession::Settled {
        return "believes them".to_owned();
    }
    let believes = match standing.believes.as_slice() {
        [one] => format!("the {} authorities", word(*one)),
        _ => "both".to_owned(),
    };
    let signer = word(standing.signer);
    format!("believes {believes}, and has a certificate of the {signer}")
}

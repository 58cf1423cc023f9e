//! The verbs that renew and revoke: what is signed here is brought to the hosts at once.

use std::sync::Arc;

use proto::fault::Fault;
use proto::id::HostName;

use super::operators::limits;
use super::{Place, date};
use crate::cli::{HostRenewArgs, OperatorRenewArgs, OperatorRevokeArgs};
use crate::command;
use crate::error::Failure;
use crate::exit::Exit;
use crate::fleet::Fleet;
use crate::fleet_run;
use crate::identity::{OperatorEntry, OperatorListParams, Signer, to_revoke};
use crate::link::Link;
use crate::passphrase::Sources;
use crate::pki::{FleetCa, RevocationList};
use crate::start::{Parts as _, block_on};
use crate::target;
use crate::upkeep;

impl Place<'_> {
    pub(super) fn host_renew(&self, args: HostRenewArgs) -> Result<Exit, Fault> {
        let fleet = self.fleet()?;
        let words = match args.all {
            true => vec!["all".to_owned()],
            false => args.targets,
        };
        let hosts = target::by_host(&fleet, &words)?.into_iter();
        let hosts: Vec<HostName> = hosts.map(|(host, _)| host).collect();
        let signer =
            Arc::new(self.unlock(&fleet, Sources::from_environment(args.passphrase_file))?);
        self.freshen(&signer)?;
        let dials = self.workstation.fleet(self.file, self.terminal)?;
        let renewed = fleet_run::each(hosts.clone(), args.width.parallel.into(), |host| {
            let (dial, signer) = (dials.dial(&host), Arc::clone(&signer));
            async move { upkeep::renew(&Link::open(host, dial?).await?, &signer).await }
        });
        let answers = block_on(renewed)?;
        let mut codes = Vec::new();
        for (host, answer) in hosts.iter().zip(answers) {
            codes.push(match answer {
                Ok(expires) => {
                    let line = format!(
                        "{host} has a new key and certificate, until {}",
                        date(expires)
                    );
                    self.terminal.say(line);
                    Exit::Done
                }
                Err(fault) => self.failed_on(host, fault),
            });
        }
        Ok(Exit::overall(codes))
    }

    pub(super) fn operator_renew(&self, args: OperatorRenewArgs) -> Result<(), Fault> {
        let fleet = self.fleet()?;
        let signer = self.unlock(&fleet, Sources::from_environment(args.passphrase_file))?;
        let issued = signer.renew_operator(&self.home)?;
        self.freshen(&signer)?;
        let (who, until) = (&issued.identity, date(issued.expires));
        self.terminal.say(format!("you are {who} until {until}"));
        Ok(())
    }

    pub(super) fn operator_revoke(&self, args: OperatorRevokeArgs) -> Result<Exit, Fault> {
        let fleet = self.fleet()?;
        let (ca, crl) = (&fleet.ca, &fleet.revocations());
        let home = &self.home;
        let gone = to_revoke(&OperatorListParams { home, ca, crl }, &args.who)?;
        for entry in &gone {
            self.terminal.note(describe(entry));
        }
        if !args.yes && !self.terminal.confirm("Revoke this for good?", "--yes")? {
            self.terminal.note("nothing was changed");
            return Ok(Exit::Done);
        }
        let signer = self.unlock(&fleet, Sources::from_environment(args.passphrase_file))?;
        let serials: Vec<String> = gone.into_iter().map(|entry| entry.serial).collect();
        let list = signer.revoke(&serials)?;
        let (number, path) = (list.number, crl.display());
        self.terminal.say(format!(
            "revoked; {path} is list {number} now: commit it, so that every controller brings it along"
        ));
        self.bring(&fleet, &list, signer.public(), args.width.parallel.into())
    }

    /// Brings a list to every host of the fleet, and says where that failed.
    fn bring(
        &self,
        fleet: &Fleet,
        list: &RevocationList,
        ca: &FleetCa,
        width: usize,
    ) -> Result<Exit, Fault> {
        let hosts: Vec<HostName> = fleet.hosts.iter().map(|host| host.name.clone()).collect();
        let dials = self.workstation.fleet(self.file, self.terminal)?;
        let brought = fleet_run::each(hosts.clone(), width, |host| {
            let (dial, list, ca) = (dials.dial(&host), list.clone(), ca.clone());
            async move { upkeep::bring(&Link::open(host, dial?).await?, &list, &ca).await }
        });
        // The list itself is signed, whatever becomes of the hosts.
        let mut codes = vec![Exit::Done];
        for (host, answer) in hosts.iter().zip(block_on(brought)?) {
            codes.push(match answer {
                Ok(()) => {
                    self.terminal.say(format!("{host} has it"));
                    Exit::Done
                }
                Err(fault) => self.failed_on(host, fault),
            });
        }
        let exit = Exit::overall(codes);
        if exit != Exit::Done {
            let again = "who was revoked is still let in there, until any controller with this list reaches the host";
            self.terminal
                .note(format!("{again}: controller status HOST"));
        }
        Ok(exit)
    }

    pub(super) fn failed_on(&self, host: &HostName, fault: Fault) -> Exit {
        let failure = Failure::on(host, fault);
        command::tell(self.terminal, &failure);
        failure.exit()
    }

    fn unlock(&self, fleet: &Fleet, passphrase: Sources) -> Result<Signer, Fault> {
        let crl = fleet.revocations();
        Ok(Signer::unlock(&self.home, &fleet.ca, &crl, &passphrase)?)
    }

    /// Whoever has the authorities open keeps the list young.
    fn freshen(&self, signer: &Signer) -> Result<(), Fault> {
        if let Some(list) = signer.freshen()? {
            self.terminal.note(upkeep::signed_anew(&list));
        }
        Ok(())
    }
}

fn describe(entry: &OperatorEntry) -> String {
    let OperatorEntry {
        name,
        role,
        only,
        serial,
        until,
        ..
    } = entry;
    let (limits, until) = (limits(only), date(*until));
    format!("{name}, {role}, {limits}, until {until}, serial {serial}")
}

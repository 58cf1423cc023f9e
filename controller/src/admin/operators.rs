//! The verbs about operators.

use proto::fault::Fault;
use proto::id::HostName;

use super::{Place, date, name, read};
use crate::cli::{
    OperatorAcceptArgs, OperatorApproveArgs, OperatorRequestArgs, OperatorVerb, Output, OutputArgs,
};
use crate::clock;
use crate::exit::Exit;
use crate::identity::{
    self, OperatorAcceptParams, OperatorApproveParams, OperatorEntry, OperatorListParams,
    OperatorRequestParams,
};
use crate::passphrase::Sources;
use crate::target;

impl Place<'_> {
    pub(super) fn operator(&self, verb: OperatorVerb) -> Result<Exit, Fault> {
        match verb {
            OperatorVerb::Request(args) => self.operator_request(&args),
            OperatorVerb::Approve(args) => self.operator_approve(args),
            OperatorVerb::Accept(args) => self.operator_accept(&args),
            OperatorVerb::List(output) => self.operator_list(output),
            OperatorVerb::Renew(args) => self.operator_renew(args),
            OperatorVerb::Revoke(args) => return self.operator_revoke(args),
        }?;
        Ok(Exit::Done)
    }

    fn operator_request(&self, args: &OperatorRequestArgs) -> Result<(), Fault> {
        let report = identity::operator_request(&OperatorRequestParams {
            home: &self.home,
            ca: &self.fleet()?.ca,
            name: &name(&args.name)?,
        })?;
        self.hand_out(args.out.as_deref(), &report.request)?;
        let ask = format!(
            "controller operator approve {} --role ROLE --request FILE",
            args.name
        );
        self.terminal.note(format!(
            "an admin of fleet {} signs it: {ask}",
            report.fleet
        ));
        Ok(())
    }

    fn operator_approve(&self, args: OperatorApproveArgs) -> Result<(), Fault> {
        let fleet = self.fleet()?;
        let only = target::hosts(&fleet, &args.hosts, &args.labels)?;
        let report = identity::operator_approve(&OperatorApproveParams {
            home: &self.home,
            ca: &fleet.ca,
            crl: &fleet.revocations(),
            name: &name(&args.name)?,
            role: args.role.into(),
            only: &only,
            request: &read(&args.request)?,
            passphrase: &Sources::from_environment(args.passphrase_file),
        })?;
        self.claimed(report.claimed.as_deref(), &args.name);
        self.hand_out(args.out.as_deref(), &report.certificate)?;
        self.terminal.note(format!(
            "{} is approved for {} until {}",
            report.identity,
            limits(&only),
            date(report.expires)
        ));
        self.terminal
            .note("next, on their workstation: controller operator accept FILE");
        Ok(())
    }

    fn operator_accept(&self, args: &OperatorAcceptArgs) -> Result<(), Fault> {
        let report = identity::operator_accept(&OperatorAcceptParams {
            home: &self.home,
            ca: &self.fleet()?.ca,
            certificate: &read(&args.certificate)?,
        })?;
        self.terminal.say(format!(
            "you are {} until {}",
            report.identity,
            date(report.expires)
        ));
        Ok(())
    }

    fn operator_list(&self, output: OutputArgs) -> Result<(), Fault> {
        let fleet = self.fleet()?;
        let entries = identity::operator_list(&OperatorListParams {
            home: &self.home,
            ca: &fleet.ca,
            crl: &fleet.revocations(),
        })?;
        match output.output {
            Output::Table => entries
                .iter()
                .for_each(|entry| self.terminal.say(row(entry))),
            Output::Json => self.terminal.json(&entries)?,
            Output::Jsonl => {
                for entry in &entries {
                    self.terminal.json(entry)?;
                }
            }
        }
        Ok(())
    }
}

fn row(entry: &OperatorEntry) -> String {
    let state = match entry.revoked {
        Some(since) => format!("revoked {}", date(since)),
        None if entry.until <= clock::now() => "expired".to_owned(),
        None => "good".to_owned(),
    };
    let (name, role) = (entry.name.as_str(), entry.role.to_string());
    let (until, serial) = (date(entry.until), &entry.serial);
    let hosts = limits(&entry.only);
    format!("{name:<16} {role:<9} {hosts:<24} {until}  {serial}  {state}")
}

pub(super) fn limits(only: &[HostName]) -> String {
    if only.is_empty() {
        return "all hosts".to_owned();
    }
    let names: Vec<&str> = only.iter().map(HostName::as_str).collect();
    names.join(" ")
}

//! Whom this host believes from now on: new authorities need the word of one of their kind that it believes already,
//! and neither this host's own certificate nor whoever calls may be left without theirs.

use std::sync::PoisonError;

use proto::fault::{Fault, FaultKind};
use proto::trust::{Authorities, Authority};
use rustls::pki_types::{CertificateDer, UnixTime};
use webpki::anchor_from_trusted_cert;
use x509_parser::prelude::X509Certificate;
use x509_parser::time::ASN1Time;

use super::change::{is_in_date, is_newer};
use super::{Trust, TrustError};
use crate::enroll;
use crate::grant::{Grant, GrantError, Operators, RevocationList, organization, parse};
use crate::peer::Peer;

impl Trust {
    /// Believes exactly these authorities from now on. `let_in` is called before anything is changed, and not at all
    /// when there is nothing to change.
    ///
    /// # Errors
    /// When nobody vouches for a new one, a list is older than the one in use, or the authority of this host's own
    /// certificate or of the caller's would be given up.
    pub fn believe(
        &self,
        wanted: Authorities,
        caller: &Peer,
        let_in: impl FnOnce(&str) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let (current, now) = (self.current(), self.now());
        let own = &current.grant;
        let hosts = believed_hosts(wanted.hosts, own, now)?;
        let operators = believed_operators(wanted.operators, own, now)?;
        distinct(
            hosts
                .iter()
                .chain(operators.iter().map(|one| &one.authority)),
        )?;
        keeps_the_caller(&operators, caller)?;
        if own.hosts == hosts && own.operators == operators {
            return Ok(());
        }
        let_in(&format!(
            "to believe {} authorities for hosts and {} for operators",
            hosts.len(),
            operators.len()
        ))?;
        let replace = |grant: &mut Grant| (grant.hosts, grant.operators) = (hosts, operators);
        enroll::change(&self.folder, replace).map_err(TrustError::from)?;
        Ok(self.reload_locked()?)
    }
}

/// As a grant holds them: the one that signed this host first.
fn believed_hosts(
    wanted: Vec<Authority>,
    own: &Grant,
    now: UnixTime,
) -> Result<Vec<CertificateDer<'static>>, Fault> {
    let known: Vec<&CertificateDer<'_>> = own.hosts.iter().collect();
    let mut hosts = Vec::new();
    for authority in wanted {
        check(&authority, &known, own, now)?;
        hosts.push(CertificateDer::from(authority.certificate));
    }
    let signer = hosts.iter().position(|one| one == own.signer());
    let signer = signer.ok_or_else(|| {
        refused("this host's own certificate would have no authority any more")
            .hint("give it one of a new authority first: controller host renew")
    })?;
    hosts.swap(0, signer);
    Ok(hosts)
}

/// In the order in which a grant holds those that are known.
fn believed_operators(
    wanted: Vec<Authority>,
    own: &Grant,
    now: UnixTime,
) -> Result<Vec<Operators>, Fault> {
    let known: Vec<&CertificateDer<'_>> = own.operators.iter().map(|one| &one.authority).collect();
    let mut operators = Vec::new();
    for authority in wanted {
        check(&authority, &known, own, now)?;
        let list = RevocationList::verify(authority.list, &authority.certificate);
        let list = list.map_err(|error| refused(&error.to_string()))?;
        let known = |one: &&Operators| *one.authority == *authority.certificate;
        if let Some(in_use) = own.operators.iter().find(known)
            && in_use.list != list
        {
            is_newer(&list, &in_use.list)?;
        }
        is_in_date(&list, now)?;
        operators.push(Operators {
            authority: authority.certificate.into(),
            list,
        });
    }
    let place = |one: &Operators| known.iter().position(|known| **known == one.authority);
    operators.sort_by_key(|one| place(one).unwrap_or(usize::MAX));
    Ok(operators)
}

/// Authorities are told apart by their names, in lists and in certificates alike.
fn distinct<'a>(all: impl Iterator<Item = &'a CertificateDer<'static>>) -> Result<(), Fault> {
    let mut names = Vec::new();
    for one in all {
        let name = parse(one).map_err(unreadable)?.subject().as_raw().to_vec();
        if names.contains(&name) {
            return Err(refused("two of the authorities have the same name"));
        }
        names.push(name);
    }
    Ok(())
}

/// Whoever asks for it must be able to put it right again.
fn keeps_the_caller(operators: &[Operators], caller: &Peer) -> Result<(), Fault> {
    let signed_them = |one: &Operators| {
        let anchor = anchor_from_trusted_cert(&one.authority);
        anchor.is_ok_and(|anchor| anchor.subject.as_ref() == caller.issuer.as_slice())
    };
    if operators.iter().any(signed_them) {
        return Ok(());
    }
    Err(
        refused("your own certificate's authority would not be believed any more")
            .hint("take the certificate of the new authority into use first"),
    )
}

/// That an authority is believed already, or vouched for by one that is.
fn check(
    wanted: &Authority,
    known: &[&CertificateDer<'_>],
    own: &Grant,
    now: UnixTime,
) -> Result<(), Fault> {
    if known.iter().any(|one| one.as_ref() == wanted.certificate) {
        return Ok(());
    }
    let fleet = organization(&wanted.certificate).map_err(unreadable)?;
    if fleet.as_deref() != Some(own.fleet.as_str()) {
        return Err(refused("an authority of another fleet is none to believe"));
    }
    let new = parse(&wanted.certificate).map_err(unreadable)?;
    let none = || refused("nobody whom this host believes vouches for the new authority");
    if wanted.voucher.is_empty() {
        return Err(none());
    }
    let voucher = parse(&wanted.voucher).map_err(unreadable)?;
    let same = voucher.subject() == new.subject() && voucher.public_key() == new.public_key();
    let by_itself = new.verify_signature(None).is_ok() && new.issuer() == new.subject();
    let vouched = |by: &&CertificateDer<'_>| {
        let by = parse(by);
        by.is_ok_and(|by| {
            voucher.issuer() == by.subject()
                && voucher.verify_signature(Some(by.public_key())).is_ok()
        })
    };
    if !same || !by_itself || !signs(&new) || !signs(&voucher) || !known.iter().any(vouched) {
        return Err(none());
    }
    let at = i64::try_from(now.as_secs()).ok();
    let at = at.and_then(|at| ASN1Time::from_timestamp(at).ok());
    let in_date = |one: &X509Certificate<'_>| at.is_some_and(|at| one.validity().is_valid_at(at));
    if !in_date(&new) || !in_date(&voucher) {
        return Err(
            refused("the new authority, or the word for it, is not valid at this time")
                .hint("compare the clocks of the host and of whoever signs"),
        );
    }
    Ok(())
}

/// Whether it is an authority for certificates and for lists.
fn signs(certificate: &X509Certificate<'_>) -> bool {
    let usage = certificate.key_usage().ok().flatten();
    let signs = usage.is_some_and(|usage| usage.value.key_cert_sign() && usage.value.crl_sign());
    certificate.is_ca() && signs
}

fn unreadable(error: GrantError) -> Fault {
    refused(&format!("an authority cannot be read: {error}"))
}

fn refused(what: &str) -> Fault {
    Fault::new(FaultKind::Refused, what)
}

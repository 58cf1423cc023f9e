//! What an identity in use is given over the network: a newer list of revoked operators, and a certificate for a new
//! key. Neither may change whom this host obeys or what it is called.

use std::sync::PoisonError;

use proto::fault::{Fault, FaultKind};
use rustls::pki_types::UnixTime;
use time::OffsetDateTime;

use super::verify::GRACE;
use super::{Trust, TrustError};
use crate::enroll::{self, Accepted};
use crate::grant::{Grant, GrantError, Operators, RevocationList};

impl Trust {
    /// Takes a list into use if it is newer than the one in use, and says which number is. `let_in` is called before
    /// anything is changed, and not at all when there is nothing to change.
    ///
    /// # Errors
    /// When it is not signed by the operators' authority, older, or out of date by this host's clock.
    pub fn take_list(
        &self,
        der: Vec<u8>,
        let_in: impl FnOnce(&str) -> Result<(), Fault>,
    ) -> Result<u128, Fault> {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let current = self.current();
        let theirs = |one: &Operators| {
            let list = RevocationList::verify(der.clone(), &one.authority).ok()?;
            Some((one.clone(), list))
        };
        let (of, list) = current
            .grant
            .operators
            .iter()
            .find_map(theirs)
            .ok_or_else(|| Fault::new(FaultKind::Refused, GrantError::List.to_string()))?;
        if list == of.list {
            return Ok(list.number);
        }
        is_newer(&list, &of.list)?;
        is_in_date(&list, self.now())?;
        let number = list.number;
        let_in(&format!("list {number} of revoked operators"))?;
        let replace = |grant: &mut Grant| {
            let place = grant.operators.iter_mut();
            for place in place.filter(|place| place.authority == of.authority) {
                // Another program may have brought a newer one meanwhile.
                if place.list.number < list.number {
                    place.list = list.clone();
                }
            }
        };
        enroll::change(&self.folder, replace).map_err(TrustError::from)?;
        self.reload_locked()?;
        Ok(number)
    }

    /// Makes a new key, unless one waits already, and returns the request for its certificate.
    ///
    /// # Errors
    /// When the key cannot be kept.
    pub fn request(&self) -> Result<String, Fault> {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(enroll::enroll(&self.folder, self.current().host())?)
    }

    /// Takes the grant that answers the request into use; streams that are open go on.
    ///
    /// # Errors
    /// When it is for another key, or would change the host's name, its fleet or whom it obeys.
    pub fn renew(
        &self,
        grant: &str,
        let_in: impl FnOnce(&str) -> Result<(), Fault>,
    ) -> Result<Accepted, Fault> {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let (now, current) = (self.now(), self.current());
        let offered = Grant::from_pem(grant, now)?;
        let own = &current.grant;
        let same = offered.fleet == own.fleet
            && offered.host == own.host
            && offered.believes_the_same(own);
        if !same {
            let what = "the grant would make this another host, or one that obeys others";
            return Err(Fault::new(FaultKind::Refused, what)
                .hint("that is done on the host itself: agent enroll, then agent accept"));
        }
        let_in(&format!("a certificate until {}", day(offered.expires)))?;
        let accepted = enroll::accept(&self.folder, grant, now)?;
        self.reload_locked()?;
        Ok(accepted)
    }

    pub(super) fn now(&self) -> UnixTime {
        // No clock: nothing is valid.
        let end = UnixTime::since_unix_epoch(std::time::Duration::from_secs(u64::MAX));
        self.clock.current_time().unwrap_or(end)
    }
}

fn day(seconds: u64) -> String {
    let at = i64::try_from(seconds).ok();
    let at = at.and_then(|at| OffsetDateTime::from_unix_timestamp(at).ok());
    at.map_or("for ever".to_owned(), |at| at.date().to_string())
}

/// With a list that ended long ago nobody would get in any more.
pub(super) fn is_in_date(list: &RevocationList, now: UnixTime) -> Result<(), Fault> {
    if list.next.saturating_add(GRACE.as_secs()) > now.as_secs() {
        return Ok(());
    }
    let what = format!(
        "list {} is long out of date by this host's clock",
        list.number
    );
    Err(Fault::new(FaultKind::Refused, what)
        .hint("compare the clocks of the host and of whoever signs"))
}

pub(super) fn is_newer(offered: &RevocationList, current: &RevocationList) -> Result<(), Fault> {
    let (ours, theirs) = (current.number, offered.number);
    if theirs > ours {
        return Ok(());
    }
    let what = if theirs < ours {
        format!("list {theirs} of revoked operators is older than list {ours}, which is in use")
    } else {
        format!("list {theirs} of revoked operators is in use with another content")
    };
    Err(Fault::new(FaultKind::Refused, what)
        .hint("fetch the fleet's newest revoked.crl; an admin's next list replaces both"))
}

//! The fleet's authorities, unlocked: what they sign is noted first, and no list of revoked operators goes back.

use std::path::{Path, PathBuf};

use proto::id::{HostName, OperatorName};
use proto::role::Role;
use time::{Duration, OffsetDateTime};

use super::issued::record;
use super::{
    HostApproveReport, IdentityError, grant, list_at, new_key, operator, read_list, unlock,
};
use crate::clock;
use crate::home::{FleetFolder, Home};
use crate::passphrase::Sources;
use crate::pki::{
    Authorities, FleetCa, Issued, Request, RevocationList, Revoked, make_request, unhex,
};
use crate::private;

/// A third of a list's life: so much of it may pass before it is signed anew.
const LIST_AGE: Duration = Duration::days(30);
/// An entry is kept for longer than any certificate lives.
const ENTRY_AGE: Duration = Duration::days(180 + 30);

/// The newest list that there is.
struct Newest {
    list: RevocationList,
    /// What only the other list holds.
    elsewhere: Vec<Revoked>,
    /// Whether both places have it.
    in_place: bool,
}

/// The unlocked authorities of one fleet.
#[derive(Debug)]
pub struct Signer {
    pub(super) authorities: Authorities,
    pub(super) folder: FleetFolder,
    /// `revoked.crl` in the fleet's own folder.
    pub(super) crl: PathBuf,
}

impl Signer {
    /// Opens the authorities that `ca.pem` names; asks for the passphrase where none is given.
    ///
    /// # Errors
    /// When they are not on this machine, or the passphrase is wrong.
    pub fn unlock(
        home: &Home,
        ca: &Path,
        crl: &Path,
        passphrase: &Sources,
    ) -> Result<Self, IdentityError> {
        let (authorities, folder) = unlock(home, ca, passphrase)?;
        Ok(Self {
            authorities,
            folder,
            crl: crl.to_owned(),
        })
    }

    /// The public halves.
    #[must_use]
    pub fn public(&self) -> &FleetCa {
        self.authorities.public()
    }

    /// Signs a host's request, and puts the grant for it together.
    ///
    /// # Errors
    /// When the request will not do, or what was signed cannot be noted.
    pub fn host(&self, host: &HostName, request: &str) -> Result<HostApproveReport, IdentityError> {
        let request = Request::from_pem(request)?;
        let list = self.list()?;
        let issued = self
            .authorities
            .host_certificate(&request, host, clock::now())?;
        record(&self.folder, &issued)?;
        let claimed = request.claimed_name().filter(|name| *name != host.as_str());
        Ok(HostApproveReport {
            grant: grant(&issued, self.public(), &list, host),
            identity: issued.identity,
            serial: issued.serial,
            expires: issued.expires,
            claimed: claimed.map(str::to_owned),
        })
    }

    /// What a host is told so that it believes the authorities of these generations.
    ///
    /// # Errors
    /// As [`list`](Self::list).
    pub fn to_believe(
        &self,
        generations: &[u32],
    ) -> Result<proto::trust::Authorities, IdentityError> {
        let list = self.list()?;
        let now = clock::now();
        Ok(self.authorities.to_believe(generations, &list, now)?)
    }

    /// Signs an operator's request; `only` are the hosts that it is good for, none meaning all.
    ///
    /// # Errors
    /// When the request will not do, or what was signed cannot be noted.
    pub fn operator(
        &self,
        request: &Request,
        name: &OperatorName,
        role: Role,
        only: &[HostName],
    ) -> Result<Issued, IdentityError> {
        let now = clock::now();
        let issued = self
            .authorities
            .operator_certificate(request, name, role, only, now)?;
        record(&self.folder, &issued)?;
        Ok(issued)
    }

    /// Gives this workstation's own operator a new key and certificate: the same name, role and limits. The old one
    /// stays good until its day.
    ///
    /// # Errors
    /// When there is no operator here, or the files cannot be written.
    pub fn renew_operator(&self, home: &Home) -> Result<Issued, IdentityError> {
        let old = operator::load_operator(home, self.public())?;
        let (name, role) = old.name_and_role()?;
        let key = new_key()?;
        let request = Request::from_pem(&make_request(&key, name.as_str())?)?;
        let issued = self.operator(&request, name, role, &old.leaf().only)?;
        operator::install(&self.folder, &key, &issued.to_pem())?;
        Ok(issued)
    }

    /// The newest list, which is put in place where an older one is.
    ///
    /// # Errors
    /// When there is none, or the one in the fleet's folder is not the fleet's.
    pub fn list(&self) -> Result<RevocationList, IdentityError> {
        let Newest {
            list,
            elsewhere,
            in_place,
        } = self.newest()?;
        if !elsewhere.is_empty() || !list.is_whole(self.public()) {
            // Two lists were signed side by side, each without what the other revoked; or an authority is new.
            return self.revoke(&[]);
        }
        if !in_place {
            self.put(&list.to_pem())?;
        }
        Ok(list)
    }

    /// Signs a new list with these serial numbers, in hexadecimal, besides those of the old one.
    ///
    /// # Errors
    /// As [`list`](Self::list), and when a file cannot be written.
    pub fn revoke(&self, serials: &[String]) -> Result<RevocationList, IdentityError> {
        let Newest {
            list: old,
            elsewhere,
            ..
        } = self.newest()?;
        let now = clock::now();
        let mut revoked: Vec<Revoked> = old.revoked.clone();
        revoked.extend(elsewhere);
        revoked.retain(|entry| entry.since + ENTRY_AGE > now);
        for serial in serials.iter().map(|serial| unhex(serial)) {
            if !revoked.iter().any(|entry| entry.serial == serial) {
                revoked.push(Revoked { serial, since: now });
            }
        }
        let text = self
            .authorities
            .revocation_list(old.number + 1, &revoked, now)?;
        self.put(&text)?;
        Ok(RevocationList::from_pem(&text, self.public())?)
    }

    /// Signs the list anew when a third of its life has passed; `None` when it is young enough.
    ///
    /// # Errors
    /// As [`revoke`](Self::revoke).
    pub fn freshen(&self) -> Result<Option<RevocationList>, IdentityError> {
        let list = self.list()?;
        if is_old(&list, clock::now()) {
            return self.revoke(&[]).map(Some);
        }
        Ok(None)
    }

    /// The newer of the list in the fleet's folder and the one that was signed here last.
    fn newest(&self) -> Result<Newest, IdentityError> {
        let signed_here = list_at(&self.folder.revoked(), self.public())?;
        let (list, other) = match (read_list(&self.crl, self.public())?, signed_here) {
            (Some(one), Some(other)) if one.number >= other.number => (one, Some(other)),
            (Some(other), Some(one)) => (one, Some(other)),
            (Some(one), None) | (None, Some(one)) => (one, None),
            (None, None) => return Err(IdentityError::NoList(self.crl.clone())),
        };
        let in_place = other.as_ref() == Some(&list);
        let now = clock::now();
        let unknown = |entry: &Revoked| {
            let same = |known: &Revoked| known.serial == entry.serial;
            entry.since + ENTRY_AGE > now && !list.revoked.iter().any(same)
        };
        let elsewhere = other.map(|other| other.revoked).unwrap_or_default();
        let elsewhere = elsewhere.into_iter().filter(unknown).collect();
        Ok(Newest {
            list,
            elsewhere,
            in_place,
        })
    }

    /// First where only this machine writes: interrupted between the two, the next one goes on from there.
    pub(super) fn put(&self, text: &str) -> Result<(), IdentityError> {
        private::write(&self.folder.revoked(), text)?;
        Ok(private::write(&self.crl, text)?)
    }
}

/// Whether a list should be signed anew when there is an opportunity.
#[must_use]
pub fn is_old(list: &RevocationList, now: OffsetDateTime) -> bool {
    list.begins + LIST_AGE <= now
}

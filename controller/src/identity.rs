//! Making a fleet's identities: authorities at `init`, then hosts and operators one request at a time.

use std::path::{Path, PathBuf};

use proto::fault::{Fault, FaultKind};
use proto::id::{FleetName, HostName, OperatorName};
use proto::identity::Identity;
use proto::role::Role;
use rcgen::KeyPair;
use time::OffsetDateTime;

use crate::clock;
use crate::fleet_file::{self, FleetFileError};
use crate::home::{FleetFolder, Home};
use crate::passphrase::{Passphrase, PassphraseError, Purpose, Sources};
use crate::pki::{
    Authorities, AuthorityKind, Fingerprint, FleetCa, Issued, PkiError, Request, RevocationList,
    encode, make_request,
};
use crate::private::{self, FileError};

mod issued;
mod list;
mod operator;
mod rotation;
mod signer;

use issued::record;

pub use list::{OperatorEntry, OperatorListParams, operator_list, to_revoke};
pub use operator::{
    OperatorAcceptParams, OperatorAcceptReport, OperatorApproveParams, OperatorApproveReport,
    OperatorIdentity, OperatorRequestParams, OperatorRequestReport, current_operator,
    load_operator, operator_accept, operator_approve, operator_request,
};
pub use rotation::{Reissued, Rotation};
pub use signer::{Signer, is_old};

/// An identity could not be made, installed or used.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// `init` was run before.
    #[error("{} exists: this fleet has its authorities", .0.display())]
    FleetExists(PathBuf),
    /// The bundle is on another machine.
    #[error("the authorities of this fleet are not kept on this machine")]
    NoAuthorities,
    /// Nothing was requested or installed.
    #[error("this machine has no operator identity for fleet {0}")]
    NoOperator(FleetName),
    /// Without it nobody knows any more who was revoked.
    #[error("{} is missing: it says which operators are revoked", .0.display())]
    NoList(PathBuf),
    /// `ca.pem` or the list of revoked operators is not what was written there.
    #[error("{why}")]
    FromGit {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        why: PkiError,
    },
    /// No operator of that name, and no such serial number.
    #[error("nobody was approved here as {0:?}, and there is no such serial number")]
    NobodySuch(String),
    /// A certificate that nothing is left to be done about.
    #[error("{0} has no certificate that still counts")]
    NothingToRevoke(String),
    /// Whoever revokes would be the first to be refused.
    #[error("the certificate {0} is the one that this workstation uses")]
    OwnCertificate(String),
    /// A certificate for somebody else's key.
    #[error("the certificate belongs to a key that is not on this machine")]
    NotOurs,
    /// The operator's file holds parts that do not fit.
    #[error("{} is damaged: {why}", path.display())]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// See the inner error.
    #[error(transparent)]
    Pki(#[from] PkiError),
    /// See the inner error.
    #[error(transparent)]
    File(#[from] FileError),
    /// See the inner error.
    #[error(transparent)]
    Passphrase(#[from] PassphraseError),
    /// See the inner error.
    #[error(transparent)]
    FleetFile(#[from] FleetFileError),
}

impl From<IdentityError> for Fault {
    fn from(error: IdentityError) -> Self {
        let what = error.to_string();
        let fault = |kind| Self::new(kind, what.clone());
        match error {
            IdentityError::FleetExists(_) => fault(FaultKind::Refused)
                .hint("to use it from here: controller operator request NAME"),
            IdentityError::NoAuthorities => fault(FaultKind::Denied)
                .hint("run this where `controller init` was run, or copy its authorities.pem here"),
            IdentityError::NoOperator(_) => fault(FaultKind::Denied)
                .hint("controller operator request NAME, then have an admin approve it"),
            IdentityError::NoList(path) => fault(FaultKind::Refused).hint(from_git(&path)),
            IdentityError::FromGit { path, why } => Self::from(why).hint(from_git(&path)),
            IdentityError::NobodySuch(_) => {
                fault(FaultKind::UnknownName).hint("controller operator list shows both")
            }
            IdentityError::NothingToRevoke(_) => fault(FaultKind::Refused)
                .hint("controller operator list shows what is good, revoked and expired"),
            IdentityError::OwnCertificate(_) => fault(FaultKind::Refused).hint(
                "controller operator renew gives this workstation a new one; then revoke the old",
            ),
            IdentityError::NotOurs => fault(FaultKind::Refused)
                .hint("accept it on the machine and account that made the request"),
            IdentityError::Damaged { .. } => fault(FaultKind::Denied)
                .hint("make a new identity: controller operator request NAME"),
            IdentityError::Pki(error) => error.into(),
            IdentityError::File(error) => error.into(),
            IdentityError::Passphrase(error) => error.into(),
            IdentityError::FleetFile(error) => error.into(),
        }
    }
}

fn from_git(path: &Path) -> String {
    format!("bring it back from git: git checkout -- {}", path.display())
}

/// What `init` needs to know.
#[derive(Debug)]
pub struct InitParams<'a> {
    /// Where identities live.
    pub home: &'a Home,
    /// The folder of `fleet.toml`.
    pub folder: &'a Path,
    /// The fleet's name.
    pub fleet: &'a FleetName,
    /// Who becomes the first admin.
    pub operator: &'a OperatorName,
    /// Where the new passphrase comes from.
    pub passphrase: &'a Sources,
}

/// What `init` made.
#[derive(Debug, Clone)]
pub struct InitReport {
    /// Names the new authorities.
    pub fingerprint: Fingerprint,
    /// The encrypted bundle: the one file to keep a copy of.
    pub authorities: PathBuf,
    /// Public certificates, for git.
    pub ca: PathBuf,
    /// The empty revocation list, for git.
    pub crl: PathBuf,
    /// The fleet file.
    pub fleet_file: PathBuf,
    /// Whether the fleet file is new.
    pub fleet_file_made: bool,
    /// The first operator.
    pub operator: Identity,
    /// Until when the first operator's certificate is good.
    pub expires: OffsetDateTime,
}

/// Makes a fleet: its authorities, its public files and its first admin.
///
/// # Errors
/// When the fleet has authorities already, or a file cannot be written.
pub fn init(params: &InitParams<'_>) -> Result<InitReport, IdentityError> {
    let ca = params.folder.join("ca.pem");
    if ca.exists() {
        return Err(IdentityError::FleetExists(ca));
    }
    let passphrase = params.passphrase.obtain(Purpose::Choose)?;
    let now = clock::now();
    let authorities = Authorities::generate(params.fleet, now)?;
    let fingerprint = authorities.public().fingerprint();
    let folder = params.home.fleet(authorities.public().id());
    folder.create()?;
    private::write_secret(&folder.authorities(), &authorities.to_pem(&passphrase)?)?;

    let key = new_key()?;
    let request = Request::from_pem(&make_request(&key, params.operator.as_str())?)?;
    let issued =
        authorities.operator_certificate(&request, params.operator, Role::Admin, &[], now)?;
    record(&folder, &issued)?;
    operator::install(&folder, &key, &issued.to_pem())?;

    let crl = params.folder.join("revoked.crl");
    let list = authorities.revocation_list(1, &[], now)?;
    private::write(&folder.revoked(), &list)?;
    private::write(&crl, &list)?;
    let fleet_file = params.folder.join("fleet.toml");
    let fleet_file_made = fleet_file::create_if_missing(&fleet_file, params.fleet)?;
    // Last: as long as it is missing, an interrupted `init` can be run again.
    private::write(&ca, &authorities.public().to_pem())?;
    Ok(InitReport {
        fingerprint,
        authorities: folder.authorities(),
        ca,
        crl,
        fleet_file,
        fleet_file_made,
        operator: issued.identity,
        expires: issued.expires,
    })
}

/// What signing a host's request needs to know.
#[derive(Debug)]
pub struct HostApproveParams<'a> {
    /// Where identities live.
    pub home: &'a Home,
    /// `ca.pem`.
    pub ca: &'a Path,
    /// `revoked.crl`.
    pub crl: &'a Path,
    /// The host's name in `fleet.toml`; the request has no say in it.
    pub host: &'a HostName,
    /// What `agent enroll` printed.
    pub request: &'a str,
    /// Where the passphrase comes from.
    pub passphrase: &'a Sources,
}

/// A signed host.
#[derive(Debug, Clone)]
pub struct HostApproveReport {
    /// What `agent accept` takes; nothing in it is secret.
    pub grant: String,
    /// Whom the certificate speaks for.
    pub identity: Identity,
    /// Its serial number.
    pub serial: String,
    /// When it ends.
    pub expires: OffsetDateTime,
    /// The name in the request, when it is another one.
    pub claimed: Option<String>,
}

/// Signs a host's request and puts together the grant for it.
///
/// # Errors
/// When the request will not do, or the authorities cannot be opened.
pub fn host_approve(params: &HostApproveParams<'_>) -> Result<HostApproveReport, IdentityError> {
    // Before anybody is asked for a passphrase.
    Request::from_pem(params.request)?;
    let HostApproveParams { home, ca, crl, .. } = params;
    let signer = Signer::unlock(home, ca, crl, params.passphrase)?;
    signer.host(params.host, params.request)
}

/// One text file with all that a host must know: its certificate, whom it obeys, who no longer counts, and who signed it.
fn grant(issued: &Issued, public: &FleetCa, list: &RevocationList, host: &HostName) -> String {
    let fleet = public.fleet();
    let mut text = format!(
        "# For host {host} of fleet {fleet}: give this to `agent accept` there. Nothing in it is secret.\n\
         # its certificate\n{}",
        issued.to_pem()
    );
    let mut part = |what: String, block: String| text.push_str(&format!("# {what}\n{block}"));
    for pair in public.pairs() {
        let generation = pair.generation;
        let name = AuthorityKind::Operators.name(generation);
        part(name, encode("CERTIFICATE", &pair.operators));
        if let Some(list) = list.signed_by(generation) {
            part("revoked operators".to_owned(), encode("X509 CRL", list));
        }
        let name = AuthorityKind::Hosts.name(generation);
        part(name, encode("CERTIFICATE", &pair.hosts));
    }
    text
}

/// Reads `ca.pem`.
///
/// # Errors
/// When it is missing or not what `init` wrote.
pub fn read_ca(path: &Path) -> Result<FleetCa, IdentityError> {
    FleetCa::from_pem(&private::read(path)?).map_err(|why| not_as_written(path, why.into()))
}

/// Reads the list of revoked operators; `None` where there is none.
///
/// # Errors
/// When it cannot be read, or is not signed by these authorities.
pub fn read_list(path: &Path, ca: &FleetCa) -> Result<Option<RevocationList>, IdentityError> {
    list_at(path, ca).map_err(|error| not_as_written(path, error))
}

/// The same wherever it is kept.
fn list_at(path: &Path, ca: &FleetCa) -> Result<Option<RevocationList>, IdentityError> {
    match private::read(path) {
        Err(error) if error.is_missing() => Ok(None),
        text => Ok(Some(RevocationList::from_pem(&text?, ca)?)),
    }
}

fn not_as_written(path: &Path, error: IdentityError) -> IdentityError {
    let path = path.to_owned();
    match error {
        IdentityError::Pki(why) => IdentityError::FromGit { path, why },
        error => error,
    }
}

/// Opens the authorities that `ca.pem` names.
fn unlock(
    home: &Home,
    ca: &Path,
    passphrase: &Sources,
) -> Result<(Authorities, FleetFolder), IdentityError> {
    let public = read_ca(ca)?;
    let (authorities, folder, _) = open(home, &public, passphrase)?;
    if *authorities.public() != public {
        return Err(PkiError::OtherStep.into());
    }
    Ok((authorities, folder))
}

/// Opens the authorities kept for the fleet of `public`, even when they are a step ahead of it.
fn open(
    home: &Home,
    public: &FleetCa,
    passphrase: &Sources,
) -> Result<(Authorities, FleetFolder, Passphrase), IdentityError> {
    let folder = home.fleet(public.id());
    let text = private::read_secret(&folder.authorities()).map_err(|error| {
        if error.is_missing() {
            IdentityError::NoAuthorities
        } else {
            error.into()
        }
    })?;
    let passphrase = passphrase.obtain(Purpose::Unlock)?;
    let authorities = Authorities::from_pem(&text, &passphrase, clock::now())?;
    let kept = authorities.public();
    if kept.id() != public.id() {
        return Err(PkiError::OtherFleet.into());
    }
    // Keys that are not here cannot be used: somebody went on elsewhere.
    if public
        .pairs()
        .any(|pair| kept.pairs().all(|kept| kept != pair))
    {
        return Err(PkiError::OtherStep.into());
    }
    Ok((authorities, folder, passphrase))
}

fn new_key() -> Result<KeyPair, IdentityError> {
    Ok(KeyPair::generate().map_err(|error| PkiError::make("a key", error))?)
}

#[cfg(test)]
mod tests;

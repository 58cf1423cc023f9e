//! What is looked after beside every command: hosts get the newest list of revoked operators, and with the authorities
//! at hand whatever ends soon is renewed. It keeps nobody from their work: what fails, or cannot be done here, is told
//! in one line.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use proto::fault::{Fault, FaultKind};
use proto::hello::Credentials;
use proto::id::HostName;
use proto::role::Role;
use time::{Duration, OffsetDateTime};
use tokio::sync::OnceCell;

use crate::checkup;
use crate::clock;
use crate::fleet::Fleet;
use crate::home::Home;
use crate::identity::{OperatorIdentity, Signer, is_old, read_list};
use crate::link::{Link, Upkeep};
use crate::passphrase::Sources;
use crate::pki::{FleetCa, RevocationList, Standing};
use crate::terminal::{Line, Terminal, Tone};

/// Warned of from so long before.
const SOON: Duration = Duration::days(30);

/// Gives a host a new key and certificate; until when it is good.
///
/// # Errors
/// When the host does not answer or refuses, or nothing can be signed.
pub(crate) async fn renew(link: &Link, signer: &Arc<Signer>) -> Result<OffsetDateTime, Fault> {
    let said = link.facts().credentials.as_ref();
    if said.is_some_and(|said| !said.authorities.is_empty()) {
        believe(link, signer, &signer.public().generations()).await?;
    }
    let request = link.renew().await?;
    let (host, signer) = (link.host().clone(), Arc::clone(signer));
    let report = apart(move || Ok(signer.host(&host, &request)?)).await?;
    link.install(report.grant).await?;
    Ok(report.expires)
}

/// Has a host believe the authorities of these generations, and no others.
///
/// # Errors
/// When the host does not answer or refuses, or nothing can be signed.
pub(crate) async fn believe(
    link: &Link,
    signer: &Arc<Signer>,
    generations: &[u32],
) -> Result<(), Fault> {
    let said = link.facts().credentials.as_ref();
    let Some(said) = said.filter(|said| !said.authorities.is_empty()) else {
        let host = link.host();
        let what = format!("the agent on {host} is too old to be told of other authorities");
        let hint = format!("controller host upgrade {host}");
        return Err(Fault::new(FaultKind::Unsupported, what).hint(hint));
    };
    let standing = signer.public().standing(said);
    let believes = |standing: Standing| {
        let (now, wanted) = (standing.believes.iter(), generations.iter());
        now.collect::<BTreeSet<_>>() == wanted.collect::<BTreeSet<_>>()
    };
    if standing.is_some_and(believes) {
        return Ok(());
    }
    let (signer, generations) = (Arc::clone(signer), generations.to_vec());
    let authorities = apart(move || Ok(signer.to_believe(&generations)?)).await?;
    link.believe(authorities).await
}

/// Brings a list to a host, unless it has it or a newer one.
///
/// # Errors
/// When the host does not take it.
pub(crate) async fn bring(link: &Link, list: &RevocationList, ca: &FleetCa) -> Result<(), Fault> {
    let Some(credentials) = &link.facts().credentials else {
        let what = format!(
            "the agent on {} is too old to be brought a list",
            link.host()
        );
        let hint = "upgrade it, or approve it again on the host itself with the newest revoked.crl";
        return Err(Fault::new(FaultKind::Unsupported, what).hint(hint));
    };
    if credentials.list >= list.number {
        return Ok(());
    }
    // While authorities are replaced, a host takes the list of each one that it believes.
    let standing = ca.standing(credentials);
    let believed = standing.map_or_else(|| vec![ca.signing().generation], |it| it.believes);
    for der in believed.into_iter().filter_map(|one| list.signed_by(one)) {
        link.revocations(der.to_vec()).await?;
    }
    Ok(())
}

/// What is told of a list that was signed only because the old one was not young any more.
pub(crate) fn signed_anew(list: &RevocationList) -> String {
    let number = list.number;
    format!("the list of revoked operators is signed anew (number {number}): commit revoked.crl")
}

/// One command's upkeep of its fleet.
pub(crate) struct Keeper {
    terminal: Terminal,
    home: Home,
    fleet: Fleet,
    ca: FleetCa,
    own: Life,
    admin: bool,
    seen: Mutex<BTreeSet<HostName>>,
    list: OnceCell<Option<RevocationList>>,
    signer: OnceCell<Option<Arc<Signer>>>,
}

/// From when to when something is good.
#[derive(Debug, Clone, Copy)]
struct Life {
    begins: OffsetDateTime,
    ends: OffsetDateTime,
}

impl Life {
    fn of(credentials: &Credentials) -> Self {
        let at = |seconds: u64| {
            let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
            OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH)
        };
        Self {
            begins: at(credentials.begins),
            ends: at(credentials.expires),
        }
    }

    /// Past two thirds of it.
    fn is_due(self, now: OffsetDateTime) -> bool {
        (now - self.begins) * 3 >= (self.ends - self.begins) * 2
    }
}

impl Keeper {
    pub(crate) fn new(
        terminal: &Terminal,
        home: &Home,
        fleet: &Fleet,
        ca: &FleetCa,
        operator: &OperatorIdentity,
    ) -> Self {
        let leaf = operator.leaf();
        Self {
            terminal: terminal.clone(),
            home: home.clone(),
            fleet: fleet.clone(),
            ca: ca.clone(),
            own: Life {
                begins: leaf.begins,
                ends: leaf.expires,
            },
            admin: operator.role() == Some(Role::Admin),
            seen: Mutex::default(),
            list: OnceCell::new(),
            signer: OnceCell::new(),
        }
    }

    /// The authorities, where this is an admin's workstation that has them and is told their passphrase.
    async fn signer(&self) -> Option<&Arc<Signer>> {
        let open = || async {
            let sources = Sources::from_environment(None);
            let bundle = self.home.fleet(self.ca.id()).authorities();
            if !self.admin || !bundle.exists() || !sources.is_given() {
                return None;
            }
            let (home, ca, crl) = (
                self.home.clone(),
                self.fleet.ca.clone(),
                self.fleet.revocations(),
            );
            let opened = apart(move || Ok(Signer::unlock(&home, &ca, &crl, &sources)?));
            match opened.await {
                Ok(signer) => Some(Arc::new(signer)),
                Err(fault) => {
                    self.warn(&format!("nothing was renewed: {}", fault.what));
                    None
                }
            }
        };
        self.signer.get_or_init(open).await.as_ref()
    }

    /// The newest list, once what is due on this workstation itself has been done.
    async fn list(&self) -> Option<&RevocationList> {
        let look = || async {
            let (crl, ca) = (self.fleet.revocations(), self.ca.clone());
            let read = apart(move || Ok(read_list(&crl, &ca)?));
            let list = read.await;
            let old = matches!(&list, Ok(Some(list)) if is_old(list, clock::now()));
            let own = self.own.is_due(clock::now());
            if (old || own)
                && let Some(signer) = self.signer().await.cloned()
            {
                self.renew_here(&signer, own).await;
            }
            self.warn_of_what_ends();
            match list {
                Ok(list) if !old => list,
                Ok(list) => {
                    let (crl, ca) = (self.fleet.revocations(), self.ca.clone());
                    let again = apart(move || Ok(read_list(&crl, &ca)?)).await;
                    again.ok().flatten().or(list)
                }
                Err(fault) => {
                    self.warn(&fault.what);
                    None
                }
            }
        };
        self.list.get_or_init(look).await.as_ref()
    }

    /// Signs anew what is due of this workstation's own.
    async fn renew_here(&self, signer: &Arc<Signer>, own: bool) {
        let (signer, home) = (Arc::clone(signer), self.home.clone());
        let renewed = apart(move || {
            let list = signer.freshen()?;
            let own = own.then(|| signer.renew_operator(&home)).transpose()?;
            Ok((list, own))
        });
        match renewed.await {
            Ok((list, own)) => {
                if let Some(list) = list {
                    self.terminal.note(signed_anew(&list));
                }
                if let Some(own) = own {
                    let (who, until) = (&own.identity, own.expires.date());
                    self.terminal.note(format!(
                        "your certificate is renewed: you are {who} until {until}"
                    ));
                }
            }
            Err(fault) => self.warn(&format!("nothing was renewed: {}", fault.what)),
        }
    }

    fn warn_of_what_ends(&self) {
        for finding in checkup::endings(&self.home, &self.fleet, &self.ca, clock::now()) {
            let (what, why, mend) = (finding.what, finding.why, finding.mend);
            self.warn(&format!("{what}, {why}: {mend}"));
        }
    }

    async fn look(&self, link: &Link) {
        let list = self.list().await;
        let (host, Some(credentials)) = (link.host(), &link.facts().credentials) else {
            return;
        };
        if let Some(list) = list
            && let Err(fault) = bring(link, list, &self.ca).await
        {
            self.warn(&format!(
                "{host} keeps its older list of revoked operators: {}",
                fault.what
            ));
        }
        let (life, now) = (Life::of(credentials), clock::now());
        if !life.is_due(now) {
            return;
        }
        let (ends, hint) = (life.ends.date(), format!("controller host renew {host}"));
        match self.signer().await {
            Some(signer) => match renew(link, signer).await {
                Ok(expires) => self.terminal.note(format!(
                    "{host} has a new key and certificate, until {}",
                    expires.date()
                )),
                Err(fault) => self.warn(&format!(
                    "the certificate of host {host} ends on {ends} and was not renewed: {}",
                    fault.what
                )),
            },
            None if life.ends - now <= SOON => {
                self.warn(&format!(
                    "the certificate of host {host} ends on {ends}: {hint}"
                ));
            }
            None => {}
        }
    }

    fn warn(&self, what: &str) {
        let line = Line::new().toned(Tone::Busy, "warning: ").text(what);
        self.terminal.note(line);
    }
}

impl Upkeep for Keeper {
    fn look_after<'a>(&'a self, link: &'a Link) -> BoxFuture<'a, ()> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if !seen.insert(link.host().clone()) {
            return std::future::ready(()).boxed();
        }
        self.look(link).boxed()
    }
}

/// Keys are derived and files are flushed where that holds up nobody.
async fn apart<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Fault> + Send + 'static,
) -> Result<T, Fault> {
    let broke = |error| Fault::new(FaultKind::Internal, "a step broke off").because(&error);
    tokio::task::spawn_blocking(work).await.map_err(broke)?
}

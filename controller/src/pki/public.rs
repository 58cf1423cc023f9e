//! `ca.pem`: the authorities' public certificates, as every workstation of a fleet knows them.

use std::fmt;

use proto::id::FleetName;
use rustls::pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;
use x509_parser::parse_x509_certificate;

use super::{AuthorityKind, PkiError, blocks, encode};

const WHAT: &str = "ca.pem";

/// Names a set of authorities, or a fleet by its first ones: the folder its identities are in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fingerprint(String);

impl Fingerprint {
    /// 32 hexadecimal digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// It becomes a folder's name: nothing but digits may be in it.
    fn read(text: &str) -> Option<Self> {
        let digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        (text.len() == 32 && text.bytes().all(digit)).then(|| Self(text.to_owned()))
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The public halves of one generation: who signs hosts, and who signs operators.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair {
    /// Counts the fleet's authorities from 1.
    pub generation: u32,
    /// The certificate that agents' certificates chain to.
    pub hosts: CertificateDer<'static>,
    /// The certificate that operators' certificates chain to.
    pub operators: CertificateDer<'static>,
}

impl Pair {
    /// The authority of that kind.
    #[must_use]
    pub fn of(&self, kind: AuthorityKind) -> &CertificateDer<'static> {
        match kind {
            AuthorityKind::Hosts => &self.hosts,
            AuthorityKind::Operators => &self.operators,
        }
    }

    /// Names this pair alone.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        fingerprint(std::iter::once(self))
    }
}

/// The public halves of a fleet's authorities: one pair, or two while one takes the other's place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FleetCa {
    fleet: FleetName,
    id: Fingerprint,
    signing: Pair,
    other: Option<Pair>,
}

impl FleetCa {
    /// Reads `ca.pem`: the pair that comes first signs. Within a pair the order does not matter, names tell.
    ///
    /// # Errors
    /// When it does not hold one authority of each kind, or two, for one fleet.
    pub fn from_pem(text: &str) -> Result<Self, PkiError> {
        let unreadable = |why: String| PkiError::unreadable(WHAT, why);
        let mut found: Vec<Said> = Vec::new();
        for der in blocks(WHAT, text, "CERTIFICATE")? {
            let new = describe(der)?;
            if found
                .iter()
                .any(|one| (one.kind, one.generation) == (new.kind, new.generation))
            {
                return Err(unreadable(format!("it holds {} twice", new.kind.title())));
            }
            found.push(new);
        }
        let mut generations: Vec<u32> = Vec::new();
        for one in &found {
            if !generations.contains(&one.generation) {
                generations.push(one.generation);
            }
        }
        let one = |generation: u32, kind: AuthorityKind| {
            let fits = |one: &&Said| one.kind == kind && one.generation == generation;
            let found = found.iter().find(fits);
            let missing = || unreadable(format!("{} is missing", kind.title()));
            found.map(|one| one.der.clone()).ok_or_else(missing)
        };
        let pair = |generation: &u32| -> Result<Pair, PkiError> {
            Ok(Pair {
                generation: *generation,
                hosts: one(*generation, AuthorityKind::Hosts)?,
                operators: one(*generation, AuthorityKind::Operators)?,
            })
        };
        let (signing, other) = match generations.as_slice() {
            [] => (pair(&1)?, None),
            [only] => (pair(only)?, None),
            [signing, other] => (pair(signing)?, Some(pair(other)?)),
            _ => return Err(unreadable("it holds more than two pairs".into())),
        };
        Self::of(&found, signing, other)
    }

    fn of(found: &[Said], signing: Pair, other: Option<Pair>) -> Result<Self, PkiError> {
        let mut fleets = found.iter().map(|one| &one.fleet);
        let fleet = fleets.next().cloned();
        let first = [Some(&signing), other.as_ref()].into_iter().flatten();
        let first = first.filter(|pair| pair.generation == 1);
        // The first pair is what all later ones name the fleet by.
        let mut ids: Vec<Fingerprint> = first.map(Pair::fingerprint).collect();
        ids.extend(found.iter().filter_map(|one| one.id.clone()));
        let of_two = || PkiError::unreadable(WHAT, "its authorities are of two fleets");
        let (Some(fleet), Some(id)) = (fleet, ids.pop()) else {
            return Err(of_two());
        };
        let nameless = |one: &Said| one.generation > 1 && one.id.is_none();
        if !fleets.all(|other| *other == fleet)
            || ids.iter().any(|other| *other != id)
            || found.iter().any(nameless)
        {
            return Err(of_two());
        }
        Ok(Self {
            fleet,
            id,
            signing,
            other,
        })
    }

    /// The text of `ca.pem`.
    #[must_use]
    pub fn to_pem(&self) -> String {
        let fleet = &self.fleet;
        let mut text = format!(
            "# The authorities of fleet {fleet}: public, keep it in git beside fleet.toml.\n"
        );
        for pair in self.pairs() {
            for kind in [AuthorityKind::Hosts, AuthorityKind::Operators] {
                let (name, block) = (kind.name(pair.generation), pair.of(kind));
                text.push_str(&format!("# {name}\n{}", encode("CERTIFICATE", block)));
            }
        }
        text
    }

    /// The fleet the authorities are for.
    #[must_use]
    pub fn fleet(&self) -> &FleetName {
        &self.fleet
    }

    /// Names the fleet, whatever its authorities are now: the folder its identities are in.
    #[must_use]
    pub fn id(&self) -> &Fingerprint {
        &self.id
    }

    /// The pair that signs.
    #[must_use]
    pub fn signing(&self) -> &Pair {
        &self.signing
    }

    /// The pair that is believed beside it: a younger one that will take its place, or an older one whose place it
    /// has taken.
    #[must_use]
    pub fn other(&self) -> Option<&Pair> {
        self.other.as_ref()
    }

    /// Whoever is believed; the pair that signs comes first.
    pub fn pairs(&self) -> impl Iterator<Item = &Pair> + Clone {
        std::iter::once(&self.signing).chain(self.other())
    }

    /// Which they are; the pair that signs comes first.
    #[must_use]
    pub fn generations(&self) -> Vec<u32> {
        self.pairs().map(|pair| pair.generation).collect()
    }

    /// Whoever may have signed a host.
    #[must_use]
    pub fn hosts(&self) -> Vec<CertificateDer<'static>> {
        self.pairs().map(|pair| pair.hosts.clone()).collect()
    }

    /// Whoever may have signed an operator.
    #[must_use]
    pub fn operators(&self) -> Vec<CertificateDer<'static>> {
        self.pairs().map(|pair| pair.operators.clone()).collect()
    }

    /// Names exactly these authorities, whichever of them sign.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        fingerprint(self.pairs())
    }
}

fn fingerprint<'a>(pairs: impl Iterator<Item = &'a Pair> + Clone) -> Fingerprint {
    let hosts = pairs.clone().map(|pair| pair.hosts.as_ref());
    let operators = pairs.map(|pair| pair.operators.as_ref());
    Fingerprint(proto::trust::fingerprint(hosts, operators))
}

/// What an authority's certificate says of itself.
struct Said {
    fleet: FleetName,
    /// Of the fleet; the first pair does not know it.
    id: Option<Fingerprint>,
    kind: AuthorityKind,
    generation: u32,
    der: CertificateDer<'static>,
}

fn describe(der: Vec<u8>) -> Result<Said, PkiError> {
    let foreign =
        || PkiError::unreadable(WHAT, "it holds a certificate that is no authority of ours");
    let (_, certificate) =
        parse_x509_certificate(&der).map_err(|error| PkiError::unreadable(WHAT, error))?;
    if !certificate.is_ca() {
        return Err(foreign());
    }
    let (organization, common) = names(&certificate).ok_or_else(foreign)?;
    let (kind, generation) = AuthorityKind::read(common).ok_or_else(foreign)?;
    let fleet = organization.parse();
    let fleet = fleet.map_err(|error| PkiError::unreadable(WHAT, error))?;
    let unit = certificate.subject().iter_organizational_unit().next();
    let id = unit.map(|unit| unit.as_str().ok().and_then(Fingerprint::read));
    let id = id.map(|id| id.ok_or_else(foreign)).transpose()?;
    Ok(Said {
        fleet,
        id: id.filter(|_| generation > 1),
        kind,
        generation,
        der: der.into(),
    })
}

fn names<'a>(certificate: &'a X509Certificate<'_>) -> Option<(&'a str, &'a str)> {
    let subject = certificate.subject();
    let organization = subject.iter_organization().next()?.as_str().ok()?;
    let common = subject.iter_common_name().next()?.as_str().ok()?;
    Some((organization, common))
}

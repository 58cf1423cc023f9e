//! What the authorities sign: certificates for hosts and operators, and the list of revoked ones.

use proto::id::{HostName, OperatorName};
use proto::identity::{Identity, Names};
use proto::role::Role;
use rcgen::{
    CertificateParams, CertificateRevocationListParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyIdMethod, KeyUsagePurpose, PublicKeyData as _,
    RevokedCertParams, SanType, SerialNumber,
};
use rustls::pki_types::CertificateDer;
use time::{Duration, OffsetDateTime};

use super::authority::{Authority, BACKDATED, serial};
use super::{Authorities, PkiError, Request, encode, hex};

const HOST_LIFE: Duration = Duration::days(397);
const OPERATOR_LIFE: Duration = Duration::days(180);
const LIST_LIFE: Duration = Duration::days(90);

/// A certificate that was just signed.
#[derive(Debug, Clone)]
pub struct Issued {
    /// Whom it speaks for.
    pub identity: Identity,
    /// The certificate.
    pub certificate: CertificateDer<'static>,
    /// The hosts that an operator is limited to; empty for every host.
    pub only: Vec<HostName>,
    /// Its serial number: 32 hexadecimal digits.
    pub serial: String,
    /// When it was signed.
    pub issued: OffsetDateTime,
    /// When it ends.
    pub expires: OffsetDateTime,
    /// The key that it is for, as certificates hold it.
    pub public_key: Vec<u8>,
    /// Of the authority that has signed it.
    pub generation: u32,
}

impl Issued {
    /// The certificate as text.
    #[must_use]
    pub fn to_pem(&self) -> String {
        encode("CERTIFICATE", &self.certificate)
    }
}

/// A certificate that agents must no longer accept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revoked {
    /// Its serial number's bytes.
    pub serial: Vec<u8>,
    /// Since when.
    pub since: OffsetDateTime,
}

impl Authorities {
    /// Signs an agent's certificate for 397 days.
    ///
    /// # Errors
    /// When the system gives no randomness.
    pub fn host_certificate(
        &self,
        request: &Request,
        host: &HostName,
        now: OffsetDateTime,
    ) -> Result<Issued, PkiError> {
        let identity = Identity::Host {
            fleet: self.fleet.clone(),
            host: host.clone(),
        };
        let usage = ExtendedKeyUsagePurpose::ServerAuth;
        let params = leaf(host.as_str(), usage, now, HOST_LIFE);
        let only = Vec::new();
        sign(
            &self.signing.hosts,
            params,
            Names { identity, only },
            request,
            now,
        )
    }

    /// Signs an operator's certificate for 180 days; `only` are the hosts that it is good for, none meaning all.
    ///
    /// # Errors
    /// When the system gives no randomness.
    pub fn operator_certificate(
        &self,
        request: &Request,
        name: &OperatorName,
        role: Role,
        only: &[HostName],
        now: OffsetDateTime,
    ) -> Result<Issued, PkiError> {
        let identity = Identity::Operator {
            fleet: self.fleet.clone(),
            role,
            name: name.clone(),
        };
        let usage = ExtendedKeyUsagePurpose::ClientAuth;
        let params = leaf(name.as_str(), usage, now, OPERATOR_LIFE);
        let only = only.to_vec();
        sign(
            &self.signing.operators,
            params,
            Names { identity, only },
            request,
            now,
        )
    }

    /// Signs an operator's certificate once more, for the same key and until the same day: what an operator needs
    /// whose authority is taken out of use.
    ///
    /// # Errors
    /// When the system gives no randomness.
    pub fn operator_again(
        &self,
        request: &Request,
        names: Names,
        until: OffsetDateTime,
        now: OffsetDateTime,
    ) -> Result<Issued, PkiError> {
        let usage = ExtendedKeyUsagePurpose::ClientAuth;
        let common_name = match &names.identity {
            Identity::Operator { name, .. } => name.as_str(),
            Identity::Host { host, .. } => host.as_str(),
        };
        let mut params = leaf(common_name, usage, now, OPERATOR_LIFE);
        params.not_after = params.not_after.min(until);
        sign(&self.signing.operators, params, names, request, now)
    }

    /// Signs the list of revoked operators for 90 days, once by each authority that signs operators; `number` must be
    /// higher than any list's before it.
    ///
    /// # Errors
    /// When a library refuses our input.
    pub fn revocation_list(
        &self,
        number: u64,
        revoked: &[Revoked],
        now: OffsetDateTime,
    ) -> Result<String, PkiError> {
        let entry = |revoked: &Revoked| RevokedCertParams {
            serial_number: SerialNumber::from_slice(&revoked.serial),
            revocation_time: revoked.since,
            reason_code: None,
            invalidity_date: None,
        };
        let mut text = String::new();
        for keys in self.pairs() {
            let params = CertificateRevocationListParams {
                this_update: now - BACKDATED,
                next_update: now + LIST_LIFE,
                crl_number: SerialNumber::from(number),
                issuing_distribution_point: None,
                revoked_certs: revoked.iter().map(entry).collect(),
                key_identifier_method: KeyIdMethod::Sha256,
            };
            let list = params.signed_by(&keys.operators.issuer);
            let list = list.map_err(|error| PkiError::make("a revocation list", error))?;
            text.push_str(&encode("X509 CRL", list.der()));
        }
        Ok(text)
    }
}

fn leaf(
    common_name: &str,
    usage: ExtendedKeyUsagePurpose,
    now: OffsetDateTime,
    life: Duration,
) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::CommonName, common_name);
    params.not_before = now - BACKDATED;
    params.not_after = now + life;
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![usage];
    params.use_authority_key_identifier_extension = true;
    params
}

fn sign(
    authority: &Authority,
    mut params: CertificateParams,
    names: Names,
    request: &Request,
    now: OffsetDateTime,
) -> Result<Issued, PkiError> {
    let failed = |error: rcgen::Error| PkiError::make("a certificate", error);
    let uris = names.uris().into_iter();
    let uris = uris.map(|uri| Ok(SanType::URI(uri.try_into()?)));
    params.subject_alt_names = uris.collect::<Result<_, _>>().map_err(failed)?;
    // A certificate that outlives its authority is refused from the authority's last day on, without warning.
    params.not_after = params.not_after.min(authority.expires);
    let serial = serial()?;
    params.serial_number = Some(serial.clone());
    let certificate = params.signed_by(&request.public_key, &authority.issuer);
    Ok(Issued {
        identity: names.identity,
        only: names.only,
        issued: now,
        certificate: certificate.map_err(failed)?.der().clone(),
        serial: hex(&serial.to_bytes()),
        expires: params.not_after,
        public_key: request.public_key.subject_public_key_info(),
        generation: authority.generation,
    })
}

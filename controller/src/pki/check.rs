//! Reads a certificate that somebody else signed and says whom it speaks for.

use proto::id::HostName;
use proto::identity::{Identity, Names};
use rustls::pki_types::{CertificateDer, UnixTime};
use time::OffsetDateTime;
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};
use x509_parser::parse_x509_certificate;

use super::{PkiError, hex};

/// The DER of id-kp-serverAuth; webpki's own constant accepts certificates that name no usage at all.
pub(crate) const SERVER_AUTH: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 1];
/// The DER of id-kp-clientAuth.
pub(crate) const CLIENT_AUTH: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 2];

/// What a certificate says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaf {
    /// Whom it speaks for.
    pub identity: Identity,
    /// The hosts that an operator is limited to; empty for every host.
    pub only: Vec<HostName>,
    /// Its serial number in hexadecimal.
    pub serial: String,
    /// When it begins.
    pub begins: OffsetDateTime,
    /// When it ends.
    pub expires: OffsetDateTime,
    /// Its public key, as certificates hold it.
    pub public_key: Vec<u8>,
}

/// Reads a certificate without trusting it.
///
/// # Errors
/// When it does not carry exactly one name of ours, with limits that fit.
pub fn read_leaf(der: &CertificateDer<'_>) -> Result<Leaf, PkiError> {
    let refuse = |error: &dyn ToString| PkiError::BadCertificate(error.to_string());
    let (_, parsed) = parse_x509_certificate(der).map_err(|error| refuse(&error))?;
    let certificate = EndEntityCert::try_from(der).map_err(|error| refuse(&error))?;
    let names = Names::read(certificate.valid_uri_names()).map_err(|error| refuse(&error))?;
    Ok(Leaf {
        identity: names.identity,
        only: names.only,
        serial: hex(parsed.raw_serial()),
        begins: parsed.validity().not_before.to_datetime(),
        expires: parsed.validity().not_after.to_datetime(),
        public_key: parsed.public_key().raw.to_vec(),
    })
}

/// The URI of a certificate that has exactly one.
pub(crate) fn only_uri(der: &CertificateDer<'_>) -> Option<String> {
    let certificate = EndEntityCert::try_from(der).ok()?;
    let mut names = certificate.valid_uri_names();
    let first = names.next()?.to_owned();
    names.next().is_none().then_some(first)
}

/// Proves that one of `authorities` signed a certificate, for `usage`, and that it is valid at `now`.
///
/// # Errors
/// What webpki has against it.
pub(crate) fn verify_chain(
    der: &CertificateDer<'_>,
    authorities: &[CertificateDer<'_>],
    usage: &'static [u8],
    now: UnixTime,
) -> Result<(), webpki::Error> {
    let anchors = authorities.iter().map(anchor_from_trusted_cert);
    let anchors: Vec<_> = anchors.collect::<Result<_, _>>()?;
    // Authorities sign leaves only, so whatever else a peer sends along is not looked at.
    EndEntityCert::try_from(der)?
        .verify_for_usage(
            webpki::ALL_VERIFICATION_ALGS,
            &anchors,
            &[],
            now,
            KeyUsage::required(usage),
            None,
            None,
        )
        .map(|_| ())
}

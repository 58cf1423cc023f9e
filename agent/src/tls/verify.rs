//! The check of an operator's certificate: this fleet's authority, for clients, named as an operator, for this host,
//! not revoked.

use std::sync::Arc;
use std::time::Duration;

use proto::id::{FleetName, HostName};
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, TrustAnchor, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError,
    PeerIncompatible, SignatureScheme,
};
use webpki::{
    CertRevocationList, EndEntityCert, ExpirationPolicy, KeyUsage, OwnedCertRevocationList,
    RevocationCheckDepth, RevocationOptionsBuilder, UnknownStatusPolicy, anchor_from_trusted_cert,
};

use crate::grant::Grant;
use crate::peer::{self, PeerError};

/// The DER of id-kp-clientAuth; webpki's own constant accepts certificates that name no usage at all.
const CLIENT_AUTH: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 2];
/// How long an overdue revocation list still counts; afterwards nobody is let in, rather than somebody revoked.
pub(super) const GRACE: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Checks that a client is an operator of this host's fleet.
#[derive(Debug)]
pub(super) struct OperatorVerifier {
    fleet: FleetName,
    host: HostName,
    believed: Vec<Believed>,
    algorithms: WebPkiSupportedAlgorithms,
}

/// One authority that signs operators, with its list.
#[derive(Debug)]
struct Believed {
    anchor: TrustAnchor<'static>,
    list: CertRevocationList<'static>,
    list_ends: u64,
}

impl OperatorVerifier {
    pub(super) fn new(
        grant: &Grant,
        algorithms: WebPkiSupportedAlgorithms,
    ) -> Result<Self, webpki::Error> {
        let believed = grant.operators.iter().map(|one| {
            Ok(Believed {
                anchor: anchor_from_trusted_cert(&one.authority)?.to_owned(),
                list: OwnedCertRevocationList::from_der(&one.list.der)?.into(),
                list_ends: one.list.next.saturating_add(GRACE.as_secs()),
            })
        });
        Ok(Self {
            fleet: grant.fleet.clone(),
            host: grant.host.clone(),
            believed: believed.collect::<Result<_, webpki::Error>>()?,
            algorithms,
        })
    }

    /// The authority of that name; no two have the same.
    fn believed(&self, issuer: &[u8]) -> Option<&Believed> {
        let named = |one: &&Believed| one.anchor.subject.as_ref() == issuer;
        self.believed.iter().find(named)
    }

    /// What the authority's revocation list has against a serial number, if it is believed at all.
    pub(super) fn check_lists(
        &self,
        issuer: &[u8],
        serial: &[u8],
        now: UnixTime,
    ) -> Result<(), &'static str> {
        let Some(believed) = self.believed(issuer) else {
            return Err("the authority that signed the operator's certificate is no longer in use");
        };
        if now.as_secs() >= believed.list_ends {
            return Err("the list of revoked operators is too old");
        }
        match believed.list.find_serial(serial) {
            Ok(None) => Ok(()),
            Ok(Some(_)) => Err("the operator's certificate is revoked"),
            Err(_) => Err("the list of revoked operators cannot be read"),
        }
    }
}

impl ClientCertVerifier for OperatorVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        // Operators have one certificate per fleet; a hint would tell strangers the fleet's name before they prove theirs.
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let certificate = EndEntityCert::try_from(end_entity).map_err(reason)?;
        // Signed by nobody who is believed, it fails below for the reason that says most.
        let believed = self
            .believed(certificate.issuer())
            .or(self.believed.first());
        let believed = believed.ok_or(CertificateError::UnknownIssuer)?;
        if now.as_secs() >= believed.list_ends {
            return Err(CertificateError::ExpiredRevocationList.into());
        }
        let lists = [&believed.list];
        let revocation = RevocationOptionsBuilder::new(&lists)
            .map_err(|_| CertificateError::UnknownRevocationStatus)?
            .with_depth(RevocationCheckDepth::EndEntity)
            .with_status_policy(UnknownStatusPolicy::Deny)
            // The date was checked above, with its grace.
            .with_expiration_policy(ExpirationPolicy::Ignore)
            .build();
        certificate
            .verify_for_usage(
                self.algorithms.all,
                std::slice::from_ref(&believed.anchor),
                &[], // authorities sign leaves only
                now,
                KeyUsage::required(CLIENT_AUTH),
                Some(revocation),
                None,
            )
            .map_err(reason)?;
        peer::operator(&certificate, &self.fleet, &self.host).map_err(|error| match error {
            // Its alert is one of its own, so that the operator's side can say it.
            PeerError::Elsewhere(_) => CertificateError::ApplicationVerificationFailure,
            error => other(error),
        })?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(PeerIncompatible::Tls12NotOfferedOrEnabled.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

fn other(error: impl std::error::Error + Send + Sync + 'static) -> CertificateError {
    CertificateError::Other(OtherError(Arc::new(error)))
}

/// rustls chooses the alert by its own error; the operator's side turns that back into a sentence.
fn reason(error: webpki::Error) -> CertificateError {
    match error {
        webpki::Error::CertExpired { .. } => CertificateError::Expired,
        webpki::Error::CertNotValidYet { .. } => CertificateError::NotValidYet,
        webpki::Error::CertRevoked => CertificateError::Revoked,
        // A fleet made anew has authorities of the same name with other keys.
        webpki::Error::UnknownIssuer | webpki::Error::InvalidSignatureForPublicKey => {
            CertificateError::UnknownIssuer
        }
        webpki::Error::UnknownRevocationStatus => CertificateError::UnknownRevocationStatus,
        webpki::Error::RequiredEkuNotFoundContext(_) => CertificateError::InvalidPurpose,
        error => other(error),
    }
}

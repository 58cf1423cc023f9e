//! The check of an agent's certificate: this fleet's authority, for servers, and exactly the host that was meant.

use std::fmt;

use proto::id::HostName;
use proto::identity::Identity;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, DigitallySignedStruct, Error, OtherError, PeerIncompatible, SignatureScheme,
};

use crate::pki::{FleetCa, SERVER_AUTH, only_uri, verify_chain};

/// The certificate is good, and speaks for somebody else.
#[derive(Debug)]
pub(super) struct WrongHost(pub(super) String);

impl fmt::Display for WrongHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the certificate is {}'s", self.0)
    }
}

impl std::error::Error for WrongHost {}

/// Checks that a server is one particular host.
#[derive(Debug)]
pub(super) struct HostVerifier {
    /// Two while one takes the other's place.
    authorities: Vec<CertificateDer<'static>>,
    expected: Identity,
    algorithms: WebPkiSupportedAlgorithms,
}

impl HostVerifier {
    pub(super) fn new(
        ca: &FleetCa,
        host: &HostName,
        algorithms: WebPkiSupportedAlgorithms,
    ) -> Self {
        Self {
            authorities: ca.hosts(),
            expected: Identity::Host {
                fleet: ca.fleet().clone(),
                host: host.clone(),
            },
            algorithms,
        }
    }
}

impl ServerCertVerifier for HostVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        // What was dialled says nothing about who answers: names and addresses move, the identity stays.
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        verify_chain(end_entity, &self.authorities, SERVER_AUTH, now).map_err(reason)?;
        let found = only_uri(end_entity).unwrap_or_else(|| "nobody".to_owned());
        if found != self.expected.to_string() {
            let wrong = OtherError(std::sync::Arc::new(WrongHost(found)));
            return Err(CertificateError::Other(wrong).into());
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(PeerIncompatible::ServerDoesNotSupportTls12Or13.into())
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

fn reason(error: webpki::Error) -> CertificateError {
    match error {
        webpki::Error::CertExpired { .. } => CertificateError::Expired,
        webpki::Error::CertNotValidYet { .. } => CertificateError::NotValidYet,
        // A fleet made anew has authorities of the same name with other keys.
        webpki::Error::UnknownIssuer | webpki::Error::InvalidSignatureForPublicKey => {
            CertificateError::UnknownIssuer
        }
        webpki::Error::RequiredEkuNotFoundContext(_) => CertificateError::InvalidPurpose,
        other => CertificateError::Other(OtherError(std::sync::Arc::new(other))),
    }
}

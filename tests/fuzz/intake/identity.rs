//! Keys, certificates, requests, grants and revocation lists, as people carry them from machine to machine.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use agent::enroll;
use agent::grant::Grant;
use agent::tls::Trust;
use controller::clock;
use controller::home::Home;
use controller::identity::load_operator;
use controller::passphrase::Passphrase;
use controller::pki::{Authorities, FleetCa, Request, read_leaf};
use proto::fault::Fault;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, UnixTime};

use super::{Scratch, check_error, check_fault, in_scratch, text};

/// Within the life of the certificates in the corpus.
pub(crate) fn now() -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(1_800_000_000))
}

/// What the authorities of the corpus are locked with; their keys are of no use to anybody.
const PASSPHRASE: &str = "correct horse";

/// `ca.pem` and the authorities' encrypted file.
pub(super) fn authorities(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    for certificate in CertificateDer::pem_slice_iter(bytes).flatten() {
        if let Err(error) = read_leaf(&certificate) {
            check_error(&error);
        }
    }
    match FleetCa::from_pem(text) {
        Ok(ca) => {
            assert_eq!(ca.fingerprint().as_str().len(), 32);
            assert_eq!(FleetCa::from_pem(&ca.to_pem()).unwrap(), ca);
        }
        Err(error) => check_error(&error),
    }
    let passphrase = Passphrase::new(PASSPHRASE).unwrap();
    match Authorities::from_pem(text, &passphrase, clock::now()) {
        Ok(unlocked) => assert_eq!(*unlocked.public(), FleetCa::from_pem(text).unwrap()),
        Err(error) => {
            check_error(&error);
            check_fault(&Fault::from(error));
        }
    }
}

/// A request, as an admin is given one, and as the host that made it finds it again.
pub(super) fn request(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    let signable = match Request::from_pem(text) {
        Ok(request) => {
            assert!(
                request
                    .claimed_name()
                    .is_none_or(|name| text.len() > name.len())
            );
            true
        }
        Err(error) => {
            check_error(&error);
            check_fault(&Fault::from(error));
            false
        }
    };
    in_scratch(|scratch| {
        let folder = folder(scratch, "enrol");
        write(&folder.join("pending.pem"), bytes);
        match enroll::enroll(&folder, &"emilia".parse().unwrap()) {
            // A damaged key is never replaced in silence: the file must hold a key and a request.
            Ok(printed) => assert!(Request::from_pem(&printed).is_ok() || !signable),
            Err(error) => {
                check_error(&error);
                check_fault(&Fault::from(error));
            }
        }
    });
}

/// What `host approve` prints and `agent accept` takes.
pub(super) fn grant(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    match Grant::from_pem(text, now()) {
        Ok(grant) => {
            let again = Grant::from_pem(&grant.to_pem(), now()).unwrap();
            assert_eq!(again.to_pem(), grant.to_pem());
            assert_eq!((&again.fleet, &again.host), (&grant.fleet, &grant.host));
            assert_eq!(again.operators, grant.operators);
        }
        Err(error) => check_error(&error),
    }
    in_scratch(|scratch| {
        let folder = folder(scratch, "accept");
        // There is no key here, so no grant can be for it.
        let error = enroll::accept(&folder, text, now()).unwrap_err();
        check_error(&error);
        check_fault(&Fault::from(error));
    });
}

/// A host's and an operator's identity file, as they are read at start.
pub(super) fn identity_file(bytes: &[u8]) {
    in_scratch(|scratch| {
        let host = folder(scratch, "host");
        write(&enroll::identity_file(&host), bytes);
        match Trust::load(&host) {
            Ok(trust) => assert!(!trust.current().host().as_str().is_empty()),
            Err(error) => {
                check_error(&error);
                check_fault(&Fault::from(error));
            }
        }
        static CA: OnceLock<FleetCa> = OnceLock::new();
        let ca = CA.get_or_init(|| {
            FleetCa::from_pem(include_str!("../corpus/authorities/ca.pem")).unwrap()
        });
        let home = Home::at(&scratch.path().join("home"));
        let operator = home.fleet(ca.id());
        operator.create().unwrap();
        write(&operator.operator(), bytes);
        match load_operator(&home, ca) {
            Ok(identity) => assert!(!format!("{identity:?}").contains("PRIVATE")),
            Err(error) => {
                check_error(&error);
                check_fault(&Fault::from(error));
            }
        }
    });
}

fn folder(scratch: &Scratch, name: &str) -> PathBuf {
    use std::os::unix::fs::DirBuilderExt as _;
    let path = scratch.path().join(name);
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true).mode(0o700).create(&path).unwrap();
    path
}

fn write(path: &Path, bytes: &[u8]) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::write(path, bytes).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

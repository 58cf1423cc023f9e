//! The whole of a fleet's beginning, in a folder of its own.

use std::os::unix::fs::PermissionsExt as _;

use super::*;
use crate::passphrase::Passphrase;

struct Desk {
    folder: tempfile::TempDir,
    home: Home,
    passphrase: Sources,
}

fn passphrase(text: &str) -> Sources {
    Sources {
        variable: Some(Passphrase::new(text).unwrap()),
        ..Sources::default()
    }
}

impl Desk {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::at(&folder.path().join("home"));
        let passphrase = passphrase("correct horse");
        Self {
            folder,
            home,
            passphrase,
        }
    }

    fn init(&self) -> Result<InitReport, IdentityError> {
        init(&InitParams {
            home: &self.home,
            folder: self.folder.path(),
            fleet: &"opq".parse().unwrap(),
            operator: &"ana".parse().unwrap(),
            passphrase: &self.passphrase,
        })
    }

    fn approve(
        &self,
        request: &str,
        passphrase: &Sources,
    ) -> Result<HostApproveReport, IdentityError> {
        host_approve(&HostApproveParams {
            home: &self.home,
            ca: &self.folder.path().join("ca.pem"),
            crl: &self.folder.path().join("revoked.crl"),
            host: &"emilia".parse().unwrap(),
            request,
            passphrase,
        })
    }
}

fn request(name: &str) -> String {
    make_request(&KeyPair::generate().unwrap(), name).unwrap()
}

#[test]
fn init_makes_a_fleet_once_and_keeps_its_secrets_private() {
    let desk = Desk::new();
    let report = desk.init().unwrap();
    assert_eq!(
        report.operator.to_string(),
        "longshore://opq/operator/admin/ana"
    );
    let ca = read_ca(&report.ca).unwrap();
    assert_eq!(ca.fingerprint(), report.fingerprint);
    let folder = desk.home.fleet(&report.fingerprint);
    for secret in [folder.operator(), folder.authorities()] {
        let mode = std::fs::metadata(&secret).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{}", secret.display());
    }
    folder.check().unwrap();
    let operator = load_operator(&desk.home, &ca).unwrap();
    assert_eq!(*operator.identity(), report.operator);
    assert!(matches!(desk.init(), Err(IdentityError::FleetExists(_))));
}

#[test]
fn a_world_readable_operator_key_is_refused() {
    let desk = Desk::new();
    let report = desk.init().unwrap();
    let path = desk.home.fleet(&report.fingerprint).operator();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    let ca = read_ca(&report.ca).unwrap();
    let error = load_operator(&desk.home, &ca).unwrap_err();
    assert!(
        matches!(error, IdentityError::File(FileError::Exposed { .. })),
        "{error}"
    );
    assert!(desk.home.fleet(&report.fingerprint).check().is_err());
}

#[test]
fn a_host_is_granted_what_it_needs_and_nothing_secret() {
    let desk = Desk::new();
    let report = desk.init().unwrap();
    let granted = desk.approve(&request("emilia"), &desk.passphrase).unwrap();
    assert_eq!(granted.identity.to_string(), "longshore://opq/host/emilia");
    assert_eq!(granted.claimed, None);
    assert_eq!(granted.grant.matches("BEGIN CERTIFICATE-").count(), 3);
    assert_eq!(granted.grant.matches("BEGIN X509 CRL-").count(), 1);
    assert!(!granted.grant.contains("PRIVATE"));
    let other = desk.approve(&request("mallory"), &desk.passphrase).unwrap();
    assert_eq!(other.claimed.as_deref(), Some("mallory"));
    assert_eq!(other.identity.to_string(), "longshore://opq/host/emilia");
    let log = private::read(&desk.home.fleet(&report.fingerprint).issued()).unwrap();
    assert!(
        log.contains(&granted.serial) && log.contains(&other.serial),
        "{log}"
    );
    assert_ne!(granted.serial, other.serial);
}

#[test]
fn a_wrong_passphrase_is_said_to_be_wrong() {
    let desk = Desk::new();
    desk.init().unwrap();
    let error = desk
        .approve(&request("emilia"), &passphrase("wrong horse"))
        .unwrap_err();
    assert!(
        matches!(error, IdentityError::Pki(PkiError::WrongPassphrase)),
        "{error}"
    );
    assert_eq!(Fault::from(error).kind, FaultKind::Denied);
}

#[test]
fn a_second_workstation_asks_is_approved_and_accepts() {
    let (desk, second) = (Desk::new(), Desk::new());
    let ca = desk.init().unwrap().ca;
    let name = "ben".parse().unwrap();
    let ask = || {
        let home = &second.home;
        operator_request(&OperatorRequestParams {
            home,
            ca: &ca,
            name: &name,
        })
    };
    let asked = ask().unwrap();
    assert!(matches!(
        load_operator(&second.home, &read_ca(&ca).unwrap()),
        Err(IdentityError::NoOperator(_))
    ));
    let approved = operator_approve(&OperatorApproveParams {
        home: &desk.home,
        ca: &ca,
        name: &name,
        crl: &desk.folder.path().join("revoked.crl"),
        role: Role::Viewer,
        only: &[],
        request: &ask().unwrap().request,
        passphrase: &desk.passphrase,
    })
    .unwrap();
    let accept = |home| {
        let certificate = &approved.certificate;
        operator_accept(&OperatorAcceptParams {
            home,
            ca: &ca,
            certificate,
        })
    };
    assert_eq!(asked.fleet.as_str(), "opq");
    accept(&second.home).unwrap();
    let accepted = accept(&second.home).unwrap();
    assert_eq!(
        accepted.identity.to_string(),
        "longshore://opq/operator/viewer/ben"
    );
    let loaded = load_operator(&second.home, &read_ca(&ca).unwrap()).unwrap();
    assert_eq!(*loaded.identity(), accepted.identity);
    assert!(matches!(accept(&desk.home), Err(IdentityError::NotOurs)));
    let third = Desk::new();
    assert!(matches!(accept(&third.home), Err(IdentityError::NotOurs)));
}

#[test]
fn without_the_bundle_nothing_is_signed() {
    let (desk, second) = (Desk::new(), Desk::new());
    desk.init().unwrap();
    let report = host_approve(&HostApproveParams {
        home: &second.home,
        ca: &desk.folder.path().join("ca.pem"),
        crl: &desk.folder.path().join("revoked.crl"),
        host: &"emilia".parse().unwrap(),
        request: &request("emilia"),
        passphrase: &desk.passphrase,
    });
    assert!(matches!(report, Err(IdentityError::NoAuthorities)));
}

#[test]
fn an_interrupted_init_can_be_run_again() {
    let desk = Desk::new();
    let first = desk.init().unwrap();
    std::fs::remove_file(&first.ca).unwrap();
    let second = desk.init().unwrap();
    assert_ne!(first.fingerprint, second.fingerprint);
    assert!(!second.fleet_file_made);
}

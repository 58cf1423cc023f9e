//! The rules of issuing, held against webpki, OpenSSL and hostile requests.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, KeyPair, SanType};
use rustls::pki_types::UnixTime;
use time::OffsetDateTime;
use x509_parser::parse_x509_certificate;

use super::*;
use crate::clock;
use crate::passphrase::Passphrase;

fn authorities() -> Authorities {
    Authorities::generate(&"opq".parse().unwrap(), clock::now()).unwrap()
}

fn request() -> Request {
    let key = KeyPair::generate().unwrap();
    Request::from_pem(&make_request(&key, "emilia").unwrap()).unwrap()
}

fn unix(at: OffsetDateTime) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(at.unix_timestamp().try_into().unwrap()))
}

fn host(authorities: &Authorities, request: &Request) -> Issued {
    let name = "emilia".parse().unwrap();
    authorities
        .host_certificate(request, &name, clock::now())
        .unwrap()
}

fn operator(authorities: &Authorities) -> Issued {
    let name = "ana".parse().unwrap();
    let role = proto::role::Role::Deployer;
    authorities
        .operator_certificate(&request(), &name, role, &[], clock::now())
        .unwrap()
}

#[test]
fn a_request_gives_its_public_key_and_nothing_else() {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["evil.example.org".into()]).unwrap();
    let uri = "longshore://opq/operator/admin/mallory".try_into().unwrap();
    params.subject_alt_names.push(SanType::URI(uri));
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.extended_key_usages = vec![
        ExtendedKeyUsagePurpose::ClientAuth,
        ExtendedKeyUsagePurpose::CodeSigning,
    ];
    let hostile = params.serialize_request(&key).unwrap().pem().unwrap();
    let issued = host(&authorities(), &Request::from_pem(&hostile).unwrap());

    let (_, certificate) = parse_x509_certificate(&issued.certificate).unwrap();
    assert!(!certificate.is_ca());
    let names = certificate.subject_alternative_name().unwrap().unwrap();
    assert_eq!(names.value.general_names.len(), 1);
    assert_eq!(
        only_uri(&issued.certificate).unwrap(),
        "longshore://opq/host/emilia"
    );
    let usage = certificate.extended_key_usage().unwrap().unwrap().value;
    assert!(usage.server_auth && !usage.client_auth && !usage.code_signing);
    let subject = certificate.subject().iter_common_name().next().unwrap();
    assert_eq!(subject.as_str().unwrap(), "emilia");
}

#[test]
fn a_request_with_a_broken_signature_or_another_key_type_is_refused() {
    let mut der = blocks(
        "it",
        &make_request(&KeyPair::generate().unwrap(), "a").unwrap(),
        "CERTIFICATE REQUEST",
    )
    .unwrap()
    .remove(0);
    let last = der.len() - 1;
    der[last] ^= 1;
    let error = Request::from_pem(&encode("CERTIFICATE REQUEST", &der)).unwrap_err();
    assert!(error.to_string().contains("signature"), "{error}");

    let key = KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    let error = Request::from_pem(&make_request(&key, "a").unwrap()).unwrap_err();
    assert!(error.to_string().contains("P-256"), "{error}");

    for text in [
        "",
        "-----BEGIN CERTIFICATE REQUEST-----\n!\n",
        &encode("CERTIFICATE", &der),
    ] {
        assert!(Request::from_pem(text).is_err(), "{text}");
    }
}

#[test]
fn every_serial_is_new_even_for_the_same_key() {
    let (authorities, request) = (authorities(), request());
    let serials: BTreeSet<String> = (0..200)
        .map(|_| host(&authorities, &request).serial)
        .collect();
    assert_eq!(serials.len(), 200);
    assert!(serials.iter().all(|serial| serial.len() == 32));
}

#[test]
fn lifetimes_are_explicit() {
    let (authorities, now) = (authorities(), clock::now());
    let days = |issued: &Issued| (issued.expires - now).whole_days();
    assert_eq!(days(&host(&authorities, &request())), 397);
    assert_eq!(days(&operator(&authorities)), 180);
    let issued = host(&authorities, &request()).certificate;
    let begins = parse_x509_certificate(&issued)
        .unwrap()
        .1
        .validity()
        .not_before
        .to_datetime();
    assert!((now - begins) >= time::Duration::minutes(59));
    let late = now + time::Duration::days(3600);
    let issued = authorities
        .host_certificate(&request(), &"emilia".parse().unwrap(), late)
        .unwrap();
    assert!(issued.expires <= authorities.signing.hosts.expires);
}

#[test]
fn webpki_accepts_each_chain_for_its_own_purpose_only() {
    let authorities = authorities();
    let public = authorities.public().signing();
    let (host, operator) = (host(&authorities, &request()), operator(&authorities));
    let check = |issued: &Issued, authority, usage, days| {
        let at = unix(clock::now() + time::Duration::days(days));
        verify_chain(
            &issued.certificate,
            std::slice::from_ref(authority),
            usage,
            at,
        )
    };
    check(&host, &public.hosts, SERVER_AUTH, 0).unwrap();
    check(&operator, &public.operators, CLIENT_AUTH, 0).unwrap();
    for (issued, authority, usage, days) in [
        (&host, &public.operators, SERVER_AUTH, 0),
        (&host, &public.hosts, CLIENT_AUTH, 0),
        (&operator, &public.hosts, CLIENT_AUTH, 0),
        (&operator, &public.operators, SERVER_AUTH, 0),
        (&operator, &public.operators, CLIENT_AUTH, 181),
        (&operator, &public.operators, CLIENT_AUTH, -1),
    ] {
        assert!(
            check(issued, authority, usage, days).is_err(),
            "{} {days}",
            issued.identity
        );
    }
}

#[test]
fn the_bundle_opens_with_its_passphrase_and_no_other() {
    let (authorities, now) = (authorities(), clock::now());
    let right = Passphrase::new("correct horse").unwrap();
    let text = authorities.to_pem(&right).unwrap();
    assert!(!text.contains("BEGIN PRIVATE KEY"));
    let opened = Authorities::from_pem(&text, &right, now).unwrap();
    assert_eq!(opened.public(), authorities.public());
    let wrong = Authorities::from_pem(&text, &Passphrase::new("wrong horse").unwrap(), now);
    assert!(matches!(wrong, Err(PkiError::WrongPassphrase)));
    let expired = Authorities::from_pem(&text, &right, now + time::Duration::days(3651));
    assert!(matches!(expired, Err(PkiError::AuthorityExpired(_))));
}

#[test]
fn a_bundle_with_swapped_keys_is_refused() {
    let passphrase = Passphrase::new("correct horse").unwrap();
    let text = authorities().to_pem(&passphrase).unwrap();
    let keys: Vec<&str> = text
        .split_inclusive("-----END ENCRYPTED PRIVATE KEY-----\n")
        .collect();
    let certificates = keys[0].split("-----BEGIN ENCRYPTED").next().unwrap();
    let first = keys[0].strip_prefix(certificates).unwrap();
    let swapped = [certificates, keys[1], first].concat();
    let error = Authorities::from_pem(&swapped, &passphrase, clock::now()).unwrap_err();
    assert!(matches!(error, PkiError::KeyMismatch(_)), "{error}");
}

#[test]
fn ca_pem_is_read_in_any_order_and_only_whole() {
    let public = authorities().public().clone();
    let [hosts, operators] = [&public.signing().hosts, &public.signing().operators]
        .map(|der| encode("CERTIFICATE", der));
    assert_eq!(FleetCa::from_pem(&public.to_pem()).unwrap(), public);
    assert_eq!(
        FleetCa::from_pem(&format!("{operators}{hosts}")).unwrap(),
        public
    );
    let other = encode("CERTIFICATE", &authorities().public().signing().hosts);
    for text in [
        hosts.clone(),
        format!("{hosts}{hosts}"),
        format!("{hosts}{operators}{other}"),
        String::new(),
    ] {
        assert!(FleetCa::from_pem(&text).is_err());
    }
}

fn openssl(folder: &Path, arguments: &[&str]) -> String {
    let output = Command::new("openssl")
        .args(arguments)
        .current_dir(folder)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "openssl {arguments:?}: {text}{errors}"
    );
    text
}

#[test]
fn openssl_accepts_the_chains_the_list_and_the_encrypted_keys() {
    if Command::new("openssl").arg("version").output().is_err() {
        eprintln!("skipped: openssl is not installed");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (authorities, at) = (authorities(), folder.path());
    let save = |name: &str, text: &str| std::fs::write(at.join(name), text).unwrap();
    let (host, operator) = (host(&authorities, &request()), operator(&authorities));
    save(
        "hosts.pem",
        &encode("CERTIFICATE", &authorities.public().signing().hosts),
    );
    save(
        "operators.pem",
        &encode("CERTIFICATE", &authorities.public().signing().operators),
    );
    save("host.pem", &host.to_pem());
    save("operator.pem", &operator.to_pem());
    let list = |revoked: &[Revoked]| {
        authorities
            .revocation_list(7, revoked, clock::now())
            .unwrap()
    };
    save("revoked.crl", &list(&[]));
    let bundle = authorities
        .to_pem(&Passphrase::new("correct horse").unwrap())
        .unwrap();
    save("bundle.pem", &bundle);

    openssl(
        at,
        &[
            "verify",
            "-x509_strict",
            "-purpose",
            "sslserver",
            "-CAfile",
            "hosts.pem",
            "host.pem",
        ],
    );
    let check = [
        "verify",
        "-x509_strict",
        "-purpose",
        "sslclient",
        "-crl_check",
        "-CAfile",
        "operators.pem",
        "-CRLfile",
        "revoked.crl",
        "operator.pem",
    ];
    openssl(at, &check);
    let (name, role) = ("ana".parse().unwrap(), proto::role::Role::Viewer);
    let only = ["emilia", "loa"].map(|host| host.parse().unwrap());
    let limited = authorities.operator_certificate(&request(), &name, role, &only, clock::now());
    save("operator.pem", &limited.unwrap().to_pem());
    openssl(at, &check);
    let names = ["x509", "-noout", "-ext", "subjectAltName", "-in"];
    let names = openssl(at, &[names.as_slice(), &["operator.pem"]].concat());
    for host in ["emilia", "loa"] {
        let limit = format!("URI:longshore://opq/only/{host}");
        assert!(names.contains(&limit), "{names}");
    }
    save("operator.pem", &operator.to_pem());
    let key = openssl(
        at,
        &[
            "pkey",
            "-in",
            "bundle.pem",
            "-passin",
            "pass:correct horse",
            "-pubout",
        ],
    );
    let certified = openssl(at, &["x509", "-in", "hosts.pem", "-noout", "-pubkey"]);
    assert_eq!(key, certified);
    let (serial, since) = (unhex(&operator.serial), clock::now());
    save("revoked.crl", &list(&[Revoked { serial, since }]));
    let output = Command::new("openssl")
        .args(check)
        .current_dir(at)
        .output()
        .unwrap();
    assert!(!output.status.success(), "a revoked operator was accepted");
}

#[test]
fn one_pair_takes_the_others_place_under_the_same_fleets_name() {
    let (old, now) = (authorities(), clock::now());
    let passphrase = Passphrase::new("correct horse").unwrap();
    let again = |authorities: &Authorities| {
        let text = authorities.to_pem(&passphrase).unwrap();
        Authorities::from_pem(&text, &passphrase, now).unwrap()
    };
    let begun = again(&old.begun(now).unwrap());
    let switched = again(&begun.switched().unwrap());
    let alone = again(&switched.alone().unwrap());
    let next = again(&alone.begun(now).unwrap());
    let all = [&old, &begun, &switched, &alone, &next];
    for one in all {
        assert_eq!(one.public().id(), old.public().id());
        let read = FleetCa::from_pem(&one.public().to_pem()).unwrap();
        assert_eq!(&read, one.public());
    }
    let generations = all.map(|one| {
        let pairs = one.public().pairs();
        pairs.map(|pair| pair.generation).collect::<Vec<_>>()
    });
    assert_eq!(
        generations,
        [vec![1], vec![1, 2], vec![2, 1], vec![2], vec![2, 3]]
    );
    let steps = all.map(|one| one.public().succession());
    let wanted = [
        Succession::Settled,
        Succession::Begun,
        Succession::Switched,
        Succession::Settled,
        Succession::Begun,
    ];
    assert_eq!(steps, wanted);
    assert_eq!(
        begun.public().fingerprint(),
        switched.public().fingerprint()
    );
    assert_ne!(old.public().fingerprint(), alone.public().fingerprint());

    let (before, after) = (host(&begun, &request()), host(&switched, &request()));
    let check = |issued: &Issued, ca: &FleetCa| {
        verify_chain(&issued.certificate, &ca.hosts(), SERVER_AUTH, unix(now)).is_ok()
    };
    for issued in [&before, &after] {
        assert!(check(issued, begun.public()) && check(issued, switched.public()));
    }
    assert!(check(&before, old.public()) && !check(&after, old.public()));
    assert!(check(&after, alone.public()) && !check(&before, alone.public()));

    let list = begun.revocation_list(3, &[], now).unwrap();
    let list = RevocationList::from_pem(&list, begun.public()).unwrap();
    assert!(list.is_whole(switched.public()) && !list.is_whole(next.public()));
    let part = RevocationList::from_pem(&list.to_pem(), old.public()).unwrap();
    assert_eq!((part.number, part.all().count()), (3, 1));
    let other = Authorities::generate(&"opq".parse().unwrap(), now).unwrap();
    let mixed = old.public().to_pem() + &next.public().to_pem();
    assert!(FleetCa::from_pem(&mixed).is_err(), "three pairs");
    let mixed = other.public().to_pem() + &alone.public().to_pem();
    assert!(
        FleetCa::from_pem(&mixed).is_err(),
        "another fleet of the same name"
    );
}

#[test]
fn openssl_accepts_the_old_authoritys_word_for_the_new() {
    if Command::new("openssl").arg("version").output().is_err() {
        eprintln!("skipped: openssl is not installed");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (at, now) = (folder.path(), clock::now());
    let begun = authorities().begun(now).unwrap();
    let list = begun.revocation_list(2, &[], now).unwrap();
    let list = RevocationList::from_pem(&list, begun.public()).unwrap();
    let told = begun.to_believe(&[1, 2], &list, now).unwrap();
    let save = |name: &str, der: &[u8]| {
        std::fs::write(at.join(name), encode("CERTIFICATE", der)).unwrap();
    };
    for (kind, pair) in [("hosts", &told.hosts), ("operators", &told.operators)] {
        let [old, new] = pair.as_slice() else {
            panic!("{pair:?}");
        };
        assert!(old.voucher.is_empty());
        save("old.pem", &old.certificate);
        save("new.pem", &new.certificate);
        save("word.pem", &new.voucher);
        openssl(
            at,
            &["verify", "-x509_strict", "-CAfile", "old.pem", "word.pem"],
        );
        let said = |file| {
            let wanted = ["x509", "-noout", "-subject", "-pubkey", "-in", file];
            openssl(at, &wanted)
        };
        assert_eq!(said("word.pem"), said("new.pem"));
        assert!(said("new.pem").contains(&format!("longshore {kind} 2")));
    }
}

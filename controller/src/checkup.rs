//! What is wrong on this workstation: files that others may read, identities and lists that end soon.

use proto::check::Finding;
use proto::fault::Fault;
use rustls::pki_types::CertificateDer;
use time::{Duration, OffsetDateTime};
use x509_parser::parse_x509_certificate;

use crate::clock;
use crate::fleet::Fleet;
use crate::home::Home;
use crate::identity::{OperatorIdentity, current_operator, read_ca, read_list};
use crate::pki::{AuthorityKind, FleetCa, Succession};

/// Warned of from so long before.
const SOON: Duration = Duration::days(30);

/// Looks at what this workstation holds for a fleet. Changes nothing, asks nobody.
pub(crate) fn check(home: &Home, fleet: &Fleet) -> Vec<Finding> {
    check_at(home, fleet, clock::now())
}

fn check_at(home: &Home, fleet: &Fleet, now: OffsetDateTime) -> Vec<Finding> {
    let ca = match read_ca(&fleet.ca) {
        Ok(ca) => ca,
        Err(error) => return vec![from_fault(error.into())],
    };
    let mut findings = Vec::new();
    if let Err(error) = home.fleet(ca.id()).check() {
        findings.push(from_fault(error.into()));
    } else {
        match current_operator(home, &ca, &fleet.ca) {
            Ok(operator) => findings.extend(own_ending(&operator, now)),
            Err(error) => findings.push(from_fault(error.into())),
        }
    }
    findings.extend(authorities(&ca, now));
    findings.extend(unfinished(&ca));
    findings.extend(list(fleet, &ca, now));
    findings
}

/// What of that ends soon: what every command warns of.
pub(crate) fn endings(
    home: &Home,
    fleet: &Fleet,
    ca: &FleetCa,
    now: OffsetDateTime,
) -> Vec<Finding> {
    let own = current_operator(home, ca, &fleet.ca).ok();
    let own = own.and_then(|operator| own_ending(&operator, now));
    let mut findings: Vec<Finding> = own.into_iter().chain(authorities(ca, now)).collect();
    findings.extend(list(fleet, ca, now));
    findings
}

fn own_ending(operator: &OperatorIdentity, now: OffsetDateTime) -> Option<Finding> {
    ending(
        &format!("your certificate, {}", operator.identity()),
        operator.expires(),
        now,
        "controller operator request NAME, and an admin approves it",
    )
}

fn list(fleet: &Fleet, ca: &FleetCa, now: OffsetDateTime) -> Option<Finding> {
    let list = read_list(&fleet.revocations(), ca);
    match list {
        Ok(list) => ending(
            "the list of revoked operators",
            list?.due,
            now,
            "controller host renew --all, where the authorities are kept",
        ),
        Err(error) => Some(from_fault(error.into())),
    }
}

fn authorities(ca: &FleetCa, now: OffsetDateTime) -> Vec<Finding> {
    // One whose place was taken ends without harm.
    let signing = ca.signing();
    let kinds = [AuthorityKind::Hosts, AuthorityKind::Operators].into_iter();
    kinds
        .filter_map(|kind| {
            let name = format!("the authority \"{}\"", kind.name(signing.generation));
            ending(&name, end(signing.of(kind))?, now, "controller ca rotate")
        })
        .collect()
}

fn unfinished(ca: &FleetCa) -> Option<Finding> {
    let (what, mend) = match ca.succession() {
        Succession::Settled => return None,
        Succession::Begun => (
            "new authorities are made known and do not sign yet",
            "controller ca rotate --switch, once everybody has the new ca.pem; or --abort",
        ),
        Succession::Switched => (
            "the old authorities are still believed",
            "controller ca rotate --finish, once everybody has what is in operators/",
        ),
    };
    Some(Finding {
        stack: None,
        what: what.to_owned(),
        why: "`controller ca rotate` was begun and not finished".to_owned(),
        mend: mend.to_owned(),
    })
}

fn end(der: &CertificateDer<'_>) -> Option<OffsetDateTime> {
    let (_, certificate) = parse_x509_certificate(der).ok()?;
    Some(certificate.validity().not_after.to_datetime())
}

fn ending(whose: &str, end: OffsetDateTime, now: OffsetDateTime, mend: &str) -> Option<Finding> {
    let left = end - now;
    if left > SOON {
        return None;
    }
    let (what, why) = if left.is_positive() {
        let why = format!("on {}, in {} days", end.date(), left.whole_days());
        (format!("{whose} ends soon"), why)
    } else {
        (format!("{whose} has ended"), format!("on {}", end.date()))
    };
    Some(Finding {
        stack: None,
        what,
        why,
        mend: mend.to_owned(),
    })
}

fn from_fault(fault: Fault) -> Finding {
    Finding {
        stack: None,
        what: fault.what,
        why: match fault.causes.is_empty() {
            true => "it is needed to speak to any host".to_owned(),
            false => fault.causes.join(": "),
        },
        mend: match fault.hints.is_empty() {
            true => "see the line above".to_owned(),
            false => fault.hints.join("; "),
        },
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::identity::{InitParams, init};
    use crate::passphrase::{Passphrase, Sources};

    fn workstation(folder: &std::path::Path) -> (Home, Fleet) {
        let home = Home::at(&folder.join("home"));
        let params = InitParams {
            home: &home,
            folder,
            fleet: &"opq".parse().unwrap(),
            operator: &"ana".parse().unwrap(),
            passphrase: &Sources {
                variable: Some(Passphrase::new("for tests only").unwrap()),
                ..Sources::default()
            },
        };
        init(&params).unwrap();
        (home, Fleet::load(&folder.join("fleet.toml")).unwrap())
    }

    fn told(home: &Home, fleet: &Fleet, days: i64) -> Vec<String> {
        let now = clock::now() + Duration::days(days);
        let findings = check_at(home, fleet, now).into_iter();
        findings
            .map(|finding| format!("{} ({})", finding.what, finding.mend))
            .collect()
    }

    #[test]
    fn a_workstation_is_told_of_what_ends_and_of_what_others_may_read() {
        let folder = tempfile::tempdir().unwrap();
        let (home, fleet) = workstation(folder.path());
        assert_eq!(told(&home, &fleet, 0), Vec::<String>::new());
        let soon = told(&home, &fleet, 160);
        assert!(
            soon.len() == 2 && soon[0].contains("ana ends soon"),
            "{soon:?}"
        );
        let late = told(&home, &fleet, 3651);
        assert_eq!(late.len(), 4, "{late:?}");
        assert!(
            late[1].contains("hosts\" has ended (controller ca rotate)"),
            "{late:?}"
        );

        let ca = read_ca(&fleet.ca).unwrap();
        let key = home.fleet(ca.id()).operator();
        fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
        let open = told(&home, &fleet, 0);
        assert!(open.len() == 1 && open[0].contains("chmod go="), "{open:?}");
        fs::remove_file(&key).unwrap();
        let none = told(&home, &fleet, 0);
        assert!(
            none.len() == 1 && none[0].contains("no operator identity"),
            "{none:?}"
        );
    }
}

//! Warns of certificates before they end.

use proto::check::Finding;
use proto::id::{HostName, OperatorName};

/// Warned of from so long before.
const SOON: u64 = 30 * DAY;
const DAY: u64 = 24 * 60 * 60;

/// Whose certificate.
pub(super) enum Certificate<'a> {
    Operator(&'a OperatorName),
    Host(&'a HostName),
    /// The list of revoked operators.
    List,
}

/// What is to be said of a certificate that ends at `expires`; times are unix seconds.
pub(super) fn ending(whose: &Certificate<'_>, expires: u64, now: u64) -> Option<Finding> {
    let left = expires.saturating_sub(now);
    if left > SOON {
        return None;
    }
    let (what, mend) = match whose {
        Certificate::Operator(name) => (
            format!("the certificate of operator {name} ends soon"),
            "controller operator request, and an admin approves it".to_owned(),
        ),
        Certificate::Host(name) => (
            format!("the certificate of host {name} ends soon"),
            format!("controller host renew {name}"),
        ),
        Certificate::List => (
            "the list of revoked operators needs to be signed anew".to_owned(),
            "controller host renew --all, where the fleet's authorities are kept".to_owned(),
        ),
    };
    Some(Finding {
        stack: None,
        what,
        why: format!("{} days are left", left / DAY),
        mend,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_warned_of_in_its_last_thirty_days() {
        let host: HostName = "emilia".parse().unwrap();
        let told = |days: u64| ending(&Certificate::Host(&host), 1_000 + days * DAY, 1_000);
        assert_eq!(told(31), None);
        let finding = told(7).unwrap();
        assert_eq!(finding.what, "the certificate of host emilia ends soon");
        assert_eq!(finding.why, "7 days are left");
        assert!(ending(&Certificate::Host(&host), 0, 1_000).is_some());
    }
}

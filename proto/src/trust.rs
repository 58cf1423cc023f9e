//! Which authorities a host believes: their names, and what a host is told when they change.

use sha2::{Digest as _, Sha256};

/// The most authorities of one kind that a host believes at a time: those in use, and those that take their place.
pub const MOST: usize = 2;

/// One authority that a host shall believe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authority {
    /// Its certificate, which it has signed itself. DER.
    pub certificate: Vec<u8>,
    /// The same name and key in a certificate that an authority of its kind has signed which the host believes
    /// already (`newWithOld` in RFC 4210, section 4.4). DER; empty for an authority that the host knows.
    pub voucher: Vec<u8>,
    /// The newest list of revoked operators that it has signed. DER; empty for a hosts' authority.
    pub list: Vec<u8>,
}

/// All authorities that a host believes from now on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authorities {
    /// Those that sign hosts: one or two.
    pub hosts: Vec<Authority>,
    /// Those that sign operators: one or two.
    pub operators: Vec<Authority>,
}

/// Names one authority by its certificate: 32 hexadecimal digits.
#[must_use]
pub fn name(certificate: &[u8]) -> String {
    hex(&Sha256::digest(certificate))
}

/// Names a set of authorities by their certificates, whatever their order: 32 hexadecimal digits.
#[must_use]
pub fn fingerprint<'a>(
    hosts: impl IntoIterator<Item = &'a [u8]>,
    operators: impl IntoIterator<Item = &'a [u8]>,
) -> String {
    let mut whole = Sha256::new();
    for digest in sorted(hosts).into_iter().chain(sorted(operators)) {
        whole.update(digest);
    }
    hex(&whole.finalize())
}

fn sorted<'a>(certificates: impl IntoIterator<Item = &'a [u8]>) -> Vec<[u8; 32]> {
    let mut digests: Vec<[u8; 32]> = certificates
        .into_iter()
        .map(|certificate| Sha256::digest(certificate).into())
        .collect();
    digests.sort_unstable();
    digests
}

fn hex(digest: &[u8]) -> String {
    digest
        .iter()
        .take(16)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_has_one_name_in_any_order_and_kinds_are_told_apart() {
        let set = |hosts: &[&'static [u8]], operators: &[&'static [u8]]| {
            fingerprint(hosts.iter().copied(), operators.iter().copied())
        };
        let both = set(&[b"a", b"b"], &[b"c", b"d"]);
        assert_eq!(both, set(&[b"b", b"a"], &[b"d", b"c"]));
        assert_ne!(both, set(&[b"c", b"d"], &[b"a", b"b"]));
        assert_ne!(both, set(&[b"a"], &[b"c"]));
        assert_eq!(both.len(), 32);
        assert_eq!(name(b"a"), "ca978112ca1bbdcafac231b39a23dc4d");
    }
}

//! The authorities that a host shall believe.

use super::{InvalidMessage, wire};
use crate::trust::{Authorities, Authority, MOST};

impl From<Authorities> for wire::TrustRequest {
    fn from(authorities: Authorities) -> Self {
        let Authorities { hosts, operators } = authorities;
        let all = |authorities: Vec<Authority>| authorities.into_iter().map(Into::into).collect();
        Self {
            hosts: all(hosts),
            operators: all(operators),
        }
    }
}

impl TryFrom<wire::TrustRequest> for Authorities {
    type Error = InvalidMessage;
    fn try_from(request: wire::TrustRequest) -> Result<Self, InvalidMessage> {
        let wire::TrustRequest { hosts, operators } = request;
        Ok(Self {
            hosts: each(hosts)?,
            operators: each(operators)?,
        })
    }
}

fn each(authorities: Vec<wire::Authority>) -> Result<Vec<Authority>, InvalidMessage> {
    if authorities.is_empty() || authorities.len() > MOST {
        return Err(InvalidMessage::missing("one or two authorities of a kind"));
    }
    Ok(authorities.into_iter().map(Into::into).collect())
}

impl From<Authority> for wire::Authority {
    fn from(authority: Authority) -> Self {
        let Authority {
            certificate,
            voucher,
            list,
        } = authority;
        Self {
            certificate,
            voucher,
            list,
        }
    }
}

impl From<wire::Authority> for Authority {
    fn from(authority: wire::Authority) -> Self {
        let wire::Authority {
            certificate,
            voucher,
            list,
        } = authority;
        Self {
            certificate,
            voucher,
            list,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn authorities_cross_the_wire_and_must_be_one_or_two_of_a_kind() {
        let one = |byte: u8| Authority {
            certificate: vec![byte],
            voucher: vec![byte, 1],
            list: vec![byte, 2],
        };
        let both = Authorities {
            hosts: vec![one(1), one(2)],
            operators: vec![one(3)],
        };
        let crossed = wire::TrustRequest::from(both.clone());
        assert_eq!(Authorities::try_from(crossed.clone()).unwrap(), both);
        for count in [0, 3] {
            let mut odd = crossed.clone();
            odd.hosts = vec![one(1).into(); count];
            assert!(Authorities::try_from(odd).is_err(), "{count}");
        }
    }
}

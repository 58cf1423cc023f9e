//! What is wrong on a host.

use super::{InvalidMessage, into_all, optional, text, wire};
use crate::check::{Checkup, Finding};

impl From<Checkup> for wire::CheckResponse {
    fn from(checkup: Checkup) -> Self {
        let Checkup {
            findings,
            now_millis,
        } = checkup;
        Self {
            findings: findings.into_iter().map(Into::into).collect(),
            now_millis,
        }
    }
}

impl TryFrom<wire::CheckResponse> for Checkup {
    type Error = InvalidMessage;
    fn try_from(message: wire::CheckResponse) -> Result<Self, InvalidMessage> {
        let wire::CheckResponse {
            findings,
            now_millis,
        } = message;
        Ok(Self {
            findings: into_all(findings)?,
            now_millis,
        })
    }
}

impl From<Finding> for wire::Finding {
    fn from(finding: Finding) -> Self {
        let Finding {
            stack,
            what,
            why,
            mend,
        } = finding;
        Self {
            stack: text(stack),
            what,
            why,
            mend,
        }
    }
}

impl TryFrom<wire::Finding> for Finding {
    type Error = InvalidMessage;
    fn try_from(message: wire::Finding) -> Result<Self, InvalidMessage> {
        let wire::Finding {
            stack,
            what,
            why,
            mend,
        } = message;
        Ok(Self {
            stack: optional(&stack)?,
            what,
            why,
            mend,
        })
    }
}

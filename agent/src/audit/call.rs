//! One changing call on its way: it is recorded once, before anything is changed where its handler knows that moment,
//! and before it is answered in any case.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use proto::audit::{Called, Decision, Fact, When};
use proto::fault::{Fault, FaultKind};
use proto::id::{DeployId, OperatorName, StackName};

use super::Audit;
use crate::peer::Peer;

/// Who asks for a change, and the entry that it will leave.
#[derive(Clone)]
pub struct Caller {
    operator: OperatorName,
    call: Option<Arc<Call>>,
}

/// A call that leaves an entry.
pub struct Call {
    audit: Arc<Audit>,
    peer: Peer,
    verb: String,
    when: When,
    subject: Mutex<Subject>,
}

#[derive(Default)]
struct Subject {
    stack: Option<StackName>,
    deploy: Option<DeployId>,
    asked: String,
    let_in: bool,
}

impl Caller {
    /// The operator of a connection, calling `verb`.
    #[must_use]
    pub fn new(audit: Arc<Audit>, peer: Peer, verb: &str, when: When) -> Self {
        let operator = peer.operator.clone();
        let call = Call {
            audit,
            peer,
            verb: verb.chars().take(60).collect(),
            when,
            subject: Mutex::default(),
        };
        Self {
            operator,
            call: Some(Arc::new(call)),
        }
    }

    /// Who it is.
    #[must_use]
    pub fn operator(&self) -> &OperatorName {
        &self.operator
    }

    /// Says what exactly is asked for: names and ids in one line, never a value.
    pub fn asks(&self, deploy: Option<DeployId>, what: &str) {
        if let Some(call) = &self.call {
            let mut subject = call.subject();
            subject.deploy = deploy;
            what.clone_into(&mut subject.asked);
        }
    }

    /// Says which stack it is about, once that is known.
    pub fn about(&self, stack: &StackName) {
        if let Some(call) = &self.call {
            call.subject().stack = Some(stack.clone());
        }
    }

    /// Records that the call is let in. To be called before anything is changed; a second time it does nothing.
    ///
    /// # Errors
    /// When the record cannot be written: then the call is refused.
    pub fn let_in(&self) -> Result<(), Fault> {
        let Some(call) = &self.call else {
            return Ok(());
        };
        let mut subject = call.subject();
        if !subject.let_in {
            call.record(&subject, Decision::LetIn)?;
            subject.let_in = true;
        }
        Ok(())
    }

    /// Records what has not been recorded yet, now that the answer is known.
    ///
    /// # Errors
    /// When the record cannot be written: then the call is answered with that instead.
    pub fn answered(&self, refused: Option<FaultKind>) -> Result<(), Fault> {
        let Some(call) = &self.call else {
            return Ok(());
        };
        match refused {
            None if call.when != When::Called => Ok(()),
            Some(kind) if call.when == When::Never && kind != FaultKind::Denied => Ok(()),
            None => self.let_in(),
            // Let in before, it says that it could not be begun after all.
            Some(kind) => call.record(&call.subject(), Decision::Refused(kind)),
        }
    }
}

impl Call {
    fn subject(&self) -> MutexGuard<'_, Subject> {
        self.subject.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn record(&self, subject: &Subject, decision: Decision) -> Result<(), Fault> {
        self.audit.append(Fact::Called(Called {
            operator: self.peer.operator.clone(),
            role: self.peer.role,
            serial: self.peer.serial(),
            verb: self.verb.clone(),
            stack: subject.stack.clone(),
            deploy: subject.deploy,
            asked: subject.asked.clone(),
            decision,
        }))
    }
}

/// Somebody whose calls leave no entry.
#[cfg(any(test, feature = "test-util"))]
impl std::str::FromStr for Caller {
    type Err = proto::id::InvalidId;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let operator = text.parse()?;
        Ok(Self {
            operator,
            call: None,
        })
    }
}

impl std::fmt::Debug for Caller {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Caller").field(&self.operator).finish()
    }
}

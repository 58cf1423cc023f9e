//! Hooks of a stack, as they are brought, planned and told of.

use super::{FromNumber, InvalidMessage, blob_from_wire, enum_map, invalid, parse, wire};
use crate::event::{EventKind, Outcome};
use crate::hook::{
    COMMAND_BYTES, Gate, Hook, Names, Save, SavePlace, Saved, TIMEOUT_MOST_SECONDS, When,
};
use crate::plan::HookPlan;
use wire::event::Kind;

enum_map!("side of a deploy", When, wire::HookWhen, {
    Before = Before,
    After = After,
});

impl From<Hook> for wire::Hook {
    fn from(hook: Hook) -> Self {
        let Hook {
            when,
            service,
            run,
            one_off,
            timeout_seconds,
            gate,
            save,
        } = hook;
        Self {
            when: wire::HookWhen::from(when).into(),
            service: service.into(),
            run,
            one_off,
            timeout: timeout_seconds,
            gate: gate.map(|Gate { at_least, at_most }| wire::HookGate { at_least, at_most }),
            save: save.map(|Save { place, file }| wire::HookSave {
                on_host: place == SavePlace::Host,
                file: file.into(),
            }),
        }
    }
}

impl TryFrom<wire::Hook> for Hook {
    type Error = InvalidMessage;
    fn try_from(message: wire::Hook) -> Result<Self, InvalidMessage> {
        let wire::Hook {
            when,
            service,
            run,
            one_off,
            timeout,
            gate,
            save,
        } = message;
        let bytes = run.iter().map(String::len).sum::<usize>();
        if run.first().is_none_or(String::is_empty) || bytes > COMMAND_BYTES {
            return Err(InvalidMessage("a hook has no usable command".to_owned()));
        }
        if run.iter().any(|word| word.contains('\0')) {
            return Err(InvalidMessage(
                "a hook's command has a NUL in it".to_owned(),
            ));
        }
        if timeout == 0 || timeout > TIMEOUT_MOST_SECONDS {
            let what = format!("a hook that takes {timeout} s");
            return Err(InvalidMessage(what));
        }
        Ok(Self {
            when: When::from_number(when)?,
            service: parse(&service)?,
            run,
            one_off,
            timeout_seconds: timeout,
            gate: gate.map(|wire::HookGate { at_least, at_most }| Gate { at_least, at_most }),
            save: save.map(TryInto::try_into).transpose()?,
        })
    }
}

impl TryFrom<wire::HookSave> for Save {
    type Error = InvalidMessage;
    fn try_from(message: wire::HookSave) -> Result<Self, InvalidMessage> {
        let wire::HookSave { on_host, file } = message;
        let save = Self {
            place: if on_host {
                SavePlace::Host
            } else {
                SavePlace::Workstation
            },
            file: file.parse().map_err(invalid)?,
        };
        if on_host && !save.file.is_absolute() {
            let what = "a file of a hook on the host is not absolute";
            return Err(InvalidMessage(what.to_owned()));
        }
        Ok(save)
    }
}

impl From<HookPlan> for wire::HookPlan {
    fn from(plan: HookPlan) -> Self {
        let HookPlan {
            when,
            service,
            command,
            gate,
            one_off,
            save,
            on_host,
        } = plan;
        Self {
            when: wire::HookWhen::from(when).into(),
            service: service.into(),
            command,
            gate,
            one_off,
            save: save.unwrap_or_default(),
            on_host,
        }
    }
}

impl TryFrom<wire::HookPlan> for HookPlan {
    type Error = InvalidMessage;
    fn try_from(message: wire::HookPlan) -> Result<Self, InvalidMessage> {
        let wire::HookPlan {
            when,
            service,
            command,
            gate,
            one_off,
            save,
            on_host,
        } = message;
        Ok(Self {
            when: When::from_number(when)?,
            service: parse(&service)?,
            command,
            gate,
            one_off,
            save: (!save.is_empty()).then_some(save),
            on_host,
        })
    }
}

/// A hook's beginning, as an event.
pub(super) fn started_from_wire(message: wire::HookStarted) -> Result<EventKind, InvalidMessage> {
    let wire::HookStarted {
        hook,
        when,
        service,
        command,
    } = message;
    Ok(EventKind::HookStarted {
        hook,
        when: When::from_number(when)?,
        service: parse(&service)?,
        command,
    })
}

/// A hook's end, as an event.
pub(super) fn finished_from_wire(message: wire::HookFinished) -> Result<EventKind, InvalidMessage> {
    let wire::HookFinished {
        hook,
        outcome,
        exit_code,
        number,
        saved,
        note,
    } = message;
    Ok(EventKind::HookFinished {
        hook,
        outcome: Outcome::from_number(outcome)?,
        exit_code,
        number: (!number.is_empty()).then_some(number),
        saved: saved.map(Saved::try_from).transpose()?.map(Box::new),
        note: (!note.is_empty()).then_some(note),
    })
}

/// A hook's end, on the wire.
pub(super) fn finished_to_wire(
    hook: u32,
    outcome: Outcome,
    exit_code: Option<i64>,
    number: Option<String>,
    saved: Option<Saved>,
    note: Option<String>,
) -> Kind {
    Kind::HookFinished(wire::HookFinished {
        hook,
        outcome: wire::Outcome::from(outcome).into(),
        exit_code,
        number: number.unwrap_or_default(),
        saved: saved.map(Into::into),
        note: note.unwrap_or_default(),
    })
}

impl From<Saved> for wire::HookSaved {
    fn from(saved: Saved) -> Self {
        let Saved {
            size,
            blob,
            names,
            file,
        } = saved;
        let Names {
            project,
            time,
            image,
            revision,
        } = names;
        Self {
            size,
            blob: blob.as_bytes().to_vec(),
            project,
            time,
            image,
            revision,
            file: file.unwrap_or_default(),
        }
    }
}

impl TryFrom<wire::HookSaved> for Saved {
    type Error = InvalidMessage;
    fn try_from(message: wire::HookSaved) -> Result<Self, InvalidMessage> {
        let wire::HookSaved {
            size,
            blob,
            project,
            time,
            image,
            revision,
            file,
        } = message;
        Ok(Self {
            size,
            blob: blob_from_wire(&blob)?,
            names: Names {
                project,
                time,
                image,
                revision,
            },
            file: (!file.is_empty()).then_some(file),
        })
    }
}

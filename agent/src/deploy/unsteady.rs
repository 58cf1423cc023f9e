//! Containers that ran before the deploy and that the engine has kept restarting since. One that was killed may lose step
//! with what runs its containers, and then ends whatever it starts in them: only a new container stays.

use proto::event::ContainerState;

use super::verify::CRASH_LOOP;
use crate::engine::Container;

/// Those of `now` that were up at the moment of `before` and cannot be trusted to stay.
pub(super) fn unsteady<'a>(before: &[Container], now: &'a [Container]) -> Vec<&'a Container> {
    let is = |one: &&Container| {
        let old = before.iter().find(|old| old.id == one.id && !old.one_off);
        // One that was not up then has a history of its own, which is not the engine's.
        let old = old.filter(|old| old.state == ContainerState::Running);
        old.is_some_and(|old| {
            one.state == ContainerState::Restarting
                || one.restarts.saturating_sub(old.restarts) >= CRASH_LOOP
        })
    };
    now.iter().filter(is).collect()
}

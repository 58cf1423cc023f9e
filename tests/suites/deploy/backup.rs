//! The agent's state comes from an old backup, or is gone, while the containers run on: told of, never guessed at, and
//! mended by the command that is named.

use crate::alone::Alone;
use crate::whole::claim_whole;
use crate::world::world;

/// The agent, with something done to its state while it is off.
fn meanwhile(alone: &mut Alone<'_>, line: &str) {
    alone.kill_agent();
    assert!(alone.agent_ends_soon());
    alone.host.sh(line).unwrap();
    alone.start_agent();
}

#[test]
fn a_state_from_an_old_backup_or_none_at_all_is_told_of_and_mended_by_the_named_command() {
    let Some(world) = world() else { return };
    let mut alone = Alone::new(world, "restored");
    let keep = "cp -a /var/lib/longshore /root/backup";
    meanwhile(&mut alone, keep);
    alone.case.write(".env", "TAG=2\n");
    alone.deploy().done();
    let runs = claim_whole(&alone, "the second version");

    let back = "rm -r /var/lib/longshore && cp -a /root/backup /var/lib/longshore";
    meanwhile(&mut alone, back);
    let status = alone.case.controller(&["status", "restored"]).done();
    assert!(status.contains("needs reconcile"), "{status}");
    let older = "older than what runs";
    let named = "controller deploy restored/restored";
    let doctor = ["doctor", "restored/restored"];
    alone.case.controller(&doctor).with(1, &[older, named]);
    let plan = ["plan", "restored"];
    alone.case.controller(&plan).with(2, &[older]);
    let id = "docker ps -aq --no-trunc";
    let untouched = alone.host.sh(id).unwrap();
    assert!(runs.containers.values().eq([untouched.trim()]), "{runs:?}");
    let command = ["deploy", "restored/restored", "--yes"];
    alone.case.controller(&command).done();
    let said = alone.case.controller(&doctor).done();
    assert!(said.contains("nothing is wrong"), "{said}");
    let runs = claim_whole(&alone, "after the named command");

    // Nothing is left but the project's own folder.
    let lose = "cd /var/lib/longshore && find . -mindepth 1 -maxdepth 1 ! -name stacks -exec rm -r {} + && \
                find stacks -mindepth 2 -maxdepth 2 ! -name project -exec rm -r {} +";
    meanwhile(&mut alone, lose);
    alone.deploy().with(1, &["controller deploy --adopt"]);
    let adopt = ["deploy", "restored", "--yes", "--adopt"];
    alone.case.controller(&adopt).done();
    let adopted = claim_whole(&alone, "adopted");
    assert_eq!(adopted.containers, runs.containers);
    let again = alone.deploy().done();
    assert!(again.contains("nothing to change"), "{again}");
}

//! What somebody has done to a host behind longshore's back is named, and the command that is named mends it.

use crate::world::{Case, world};

/// The first command that doctor names, without the program's own name.
fn first_command(said: &str) -> Vec<String> {
    let line = said
        .lines()
        .find_map(|line| line.trim().strip_prefix("do   controller "))
        .unwrap_or_else(|| panic!("no command is named:\n{said}"));
    line.split(' ').map(str::to_owned).collect()
}

fn mended(case: &Case<'_>, place: &str, words: &[&str]) {
    let said = case.controller(&["doctor", place]).with(1, words);
    let mut command = first_command(&said);
    command.push("--yes".to_owned());
    let command: Vec<&str> = command.iter().map(String::as_str).collect();
    case.controller(&command).done();
    let said = case.controller(&["doctor", place]).done();
    assert!(said.contains("nothing is wrong"), "{said}");
}

#[test]
fn what_was_done_by_hand_is_named_and_mended_by_the_named_command() {
    let Some(world) = world() else { return };
    let case = world.case("ailing");
    case.deploy().done();
    let place = "emilia/ailing";
    case.controller(&["doctor", place]).done();

    case.docker("rm -f ailing-web-1");
    mended(
        &case,
        place,
        &["service web lacks containers", "0 of 1 exist"],
    );
    case.docker("stop ailing-web-1");
    mended(&case, place, &["container ailing-web-1 does not run"]);
    assert!(
        case.containers().contains("running"),
        "{}",
        case.containers()
    );
}

//! A server that shuts down ends everything on it at once: a deploy that is under way goes on when it is back.

use crate::alone::Alone;
use crate::beside::Beside;
use crate::whole::{claim_every_event_once, claim_whole};
use crate::world::{WEB, world};

#[test]
fn a_deploy_whose_agent_and_compose_are_ended_together_goes_on_with_the_next_agent() {
    let Some(world) = world() else { return };
    let mut alone = Alone::new(world, "stopping");
    let name = alone.name().to_owned();
    // Compose waits for the old container, and so is there to be ended.
    let slow = WEB.replace("FIXTURE_SHOW: NOTHING", "FIXTURE_STOP_AFTER_MS: \"3000\"");
    alone.case.write("compose.yaml", &slow);
    alone.deploy().done();
    for tag in ["2", "1"] {
        let before = claim_whole(&alone, "before");
        alone.case.write(".env", &format!("TAG={tag}\n"));
        let words = ["deploy", &name, "--yes", "-o", "jsonl"];
        let mut deploy = Beside::start(&alone.case, &words);
        deploy.until("\"event\":\"compose_line\"");
        let ended = "kill -TERM $(pgrep -x docker-compose) $(pgrep -x agent)";
        alone.host.sh(ended).unwrap();
        while !alone.agent_has_ended() {
            alone.agent_ends_soon();
        }
        alone.start_agent();
        let (code, said) = deploy.end();
        assert_eq!(code, 0, "{said}");
        claim_every_event_once(&said, tag);
        let after = claim_whole(&alone, tag);
        assert_ne!(before.revision, after.revision);
        assert!(!said.contains("going back"), "{said}");
    }
}

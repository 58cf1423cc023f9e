//! Paths that would leave the stack's folder on the host, past the controller's own checks: nothing is written there.

use proto::convert::fault_from_status;
use tokio::runtime::Runtime;

use crate::alone::Alone;
use crate::raw::{Raw, begin, file};
use crate::world::{WEB, world};

#[test]
fn a_path_out_of_the_stack_is_refused_whoever_sends_it() {
    let Some(world) = world() else { return };
    let alone = Alone::new(world, "escapes");
    let before = alone.everything();
    Runtime::new().unwrap().block_on(async {
        let mut agent = Raw::connect(world, &alone).await;
        for path in ["../outside", "data/../../outside", "/etc/cron.d/outside"] {
            let files = vec![file("compose.yaml", 1), file(path, 1)];
            let status = agent.stage(std::iter::once(begin(files))).await;
            let fault = fault_from_status(&status);
            let fault = fault.unwrap_or_else(|| panic!("not the agent's own words: {status}"));
            assert!(fault.what.contains(path), "{path:?} is not in: {fault:?}");
            agent.still_answers().await;
        }
    });
    alone.is_unharmed(&before);
}

#[test]
fn a_link_on_the_host_is_not_followed_out_of_the_project() {
    let Some(world) = world() else { return };
    let alone = Alone::new(world, "linked");
    let link =
        "mkdir /root/outside && ln -s /root/outside /var/lib/longshore/stacks/linked/project/data";
    alone.host.sh(link).unwrap();
    let id = || alone.host.sh("docker ps -q --no-trunc").unwrap();
    let before = id();
    let mounting = "    volumes: [\"./data/conf:/conf\"]\n    restart:";
    alone
        .case
        .write("compose.yaml", &WEB.replace("    restart:", mounting));
    alone.case.write("data/conf", "harbour");
    alone
        .deploy()
        .with(1, &["a part of data/conf is a symbolic link", "on linked"]);
    assert_eq!(alone.host.sh("ls -A /root/outside").unwrap(), "");
    assert_eq!(id(), before);
    alone
        .host
        .sh("rm /var/lib/longshore/stacks/linked/project/data")
        .unwrap();
    alone.deploy().done();
}

//! Messages and stacks beyond the limits, sent by a client of our own as a good operator: refused, and nothing stays.

use std::fs::File;

use proto::convert::fault_from_status;
use proto::limits::{BUNDLE_BYTES, BUNDLE_FILES, CHUNK_BYTES, MESSAGE_BYTES};
use proto::wire::v1 as wire;
use tokio::runtime::Runtime;
use tonic::Code;
use wire::stage_request::Body;

use crate::alone::Alone;
use crate::raw::{Raw, begin, file};
use crate::world::{WEB, world};

#[test]
fn a_message_over_the_limit_is_refused_and_the_next_call_works() {
    let Some(world) = world() else { return };
    let alone = Alone::new(world, "message");
    let before = alone.everything();
    Runtime::new().unwrap().block_on(async {
        let mut agent = Raw::connect(world, &alone).await;
        let stage = "0".repeat(MESSAGE_BYTES + 1);
        let request = wire::PlanRequest {
            stage,
            ..wire::PlanRequest::default()
        };
        let status = agent.client.plan(request).await.unwrap_err();
        assert_eq!(status.code(), Code::OutOfRange, "{status}");
        assert!(
            status.message().contains(&MESSAGE_BYTES.to_string()),
            "{status}"
        );
        agent.still_answers().await;

        let data = vec![0; MESSAGE_BYTES + 1];
        let chunk = wire::Chunk {
            data,
            ..wire::Chunk::default()
        };
        let status = agent.stage(std::iter::once(Body::Chunk(chunk))).await;
        assert!(
            status.message().contains(&MESSAGE_BYTES.to_string()),
            "{status}"
        );
        agent.still_answers().await;
    });
    alone.is_unharmed(&before);
}

#[test]
fn a_stack_over_the_limit_is_refused_however_it_comes() {
    let Some(world) = world() else { return };
    let alone = Alone::new(world, "bundle");
    let before = alone.everything();
    let compose = |size| file("compose.yaml", size);
    let many = (0..BUNDLE_FILES).map(|number| file(&format!("f{number}"), 1));
    // Announced as small, and then more comes than any stack may have.
    let small = compose(100);
    let blob = small.blob.clone();
    let endless = (0..=BUNDLE_BYTES).step_by(CHUNK_BYTES).map(move |offset| {
        Body::Chunk(wire::Chunk {
            blob: blob.clone(),
            offset,
            data: vec![0; CHUNK_BYTES],
        })
    });
    let cases: [(Box<dyn Iterator<Item = Body> + Send>, String); 3] = [
        (
            Box::new(std::iter::once(begin(vec![compose(BUNDLE_BYTES + 1)]))),
            BUNDLE_BYTES.to_string(),
        ),
        (
            Box::new(std::iter::once(begin(many.chain([compose(1)]).collect()))),
            BUNDLE_FILES.to_string(),
        ),
        (
            Box::new(std::iter::once(begin(vec![small])).chain(endless)),
            "100 bytes announced".into(),
        ),
    ];
    Runtime::new().unwrap().block_on(async {
        let mut agent = Raw::connect(world, &alone).await;
        for (bodies, word) in cases {
            let status = agent.stage(bodies).await;
            let fault = fault_from_status(&status);
            let fault = fault.unwrap_or_else(|| panic!("not the agent's own words: {status}"));
            assert!(fault.what.contains(&word), "{word:?} is not in: {fault:?}");
            agent.still_answers().await;
        }
    });
    alone.is_unharmed(&before);
}

#[test]
fn a_stack_over_the_limit_does_not_leave_the_workstation() {
    let Some(world) = world() else { return };
    let case = world.case("toolarge");
    let mounting = "    volumes: [\"./data:/data\"]\n    restart:";
    case.write("compose.yaml", &WEB.replace("    restart:", mounting));
    case.write("data/dump", "");
    let dump = File::options()
        .write(true)
        .open(case.path("data/dump"))
        .unwrap();
    dump.set_len(BUNDLE_BYTES + 1).unwrap();
    case.deploy().with(65, &["data", "64"]);
    assert_eq!(case.containers(), "");
    dump.set_len(1).unwrap();
    case.deploy().done();
}

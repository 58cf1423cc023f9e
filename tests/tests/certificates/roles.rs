//! Who may call what, on a real agent, for every method that the schema has.

use std::future::poll_fn;

use controller::tls::connect;
use proto::role::{METHODS, Role, required};
use tokio::io::copy_bidirectional;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tonic::body::Body;
use tonic::codegen::{Service as _, http};
use tonic::transport::{Channel, Endpoint};

use crate::fleet::{Agent, Fleet};

const DENIED: &str = "7";

/// HTTP/2 to an agent as the operator of that workstation, without a controller's manners.
async fn channel(fleet: &Fleet, who: &str, agent: &Agent, tunnels: &mut JoinSet<()>) -> Channel {
    let client = fleet.client(who, &agent.name);
    let mut agent = connect(&agent.address.to_string(), &client).await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let here = format!("http://{}", listener.local_addr().unwrap());
    tunnels.spawn(async move {
        let (mut plain, _) = listener.accept().await.unwrap();
        copy_bidirectional(&mut plain, &mut agent).await.ok();
    });
    Endpoint::from_shared(here)
        .unwrap()
        .connect()
        .await
        .unwrap()
}

/// The status that a call with an empty message is answered with, as far as its headers say.
async fn status(channel: &mut Channel, path: &str) -> Option<String> {
    let empty = http::Request::post(path)
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        // What a proxy might say, and no proxy of ours does.
        .header("role", "admin")
        .header("longshore-role", "admin")
        .header(
            "x-forwarded-client-cert",
            "URI=longshore://opq/operator/admin/ana",
        )
        .header("authorization", "Bearer admin")
        .body(Body::new(http_body()))
        .unwrap();
    poll_fn(|context| channel.poll_ready(context))
        .await
        .unwrap();
    let answer = channel.call(empty).await.unwrap();
    let status = answer.headers().get("grpc-status")?;
    Some(status.to_str().unwrap().to_owned())
}

/// One message without a field.
fn http_body() -> String {
    "\0\0\0\0\0".to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_role_may_call_what_the_table_says_whatever_it_claims() {
    let fleet = Fleet::new();
    let emilia = fleet.host("emilia");
    let mut tunnels = JoinSet::new();
    for (who, role) in [("bo", Role::Viewer), ("cleo", Role::Deployer)] {
        fleet.operator(who, &role.to_string());
        let mut channel = channel(&fleet, who, &emilia, &mut tunnels).await;
        let mut denied = Vec::new();
        for (path, method) in METHODS {
            let least = required(method).unwrap();
            let answered = status(&mut channel, path).await;
            let refused = answered.as_deref() == Some(DENIED);
            assert_eq!(refused, role < least, "{who}: {method}: {answered:?}");
            if refused {
                denied.push(*method);
            }
        }
        assert!(
            !denied.is_empty() && denied.len() < METHODS.len(),
            "{denied:?}"
        );
        let record = fleet
            .ana(&["audit", "emilia", "-n", "all", "-o", "jsonl"])
            .with(0, &[]);
        for method in denied {
            let entry = |line: &&str| {
                line.contains(&format!("\"{who}\""))
                    && line.contains(&format!("\"{method}\""))
                    && line.contains("denied")
            };
            assert!(
                record.lines().any(|line| entry(&line)),
                "{who}: {method}\n{record}"
            );
        }
    }
}

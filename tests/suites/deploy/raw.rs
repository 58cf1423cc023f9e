//! A client of our own that keeps to none of the controller's rules, with a good operator's identity.

use controller::home::Home;
use controller::identity::{load_operator, read_ca};
use controller::tls::{HostClient, connect};
use proto::hello::PROTOCOL;
use proto::wire::v1 as wire;
use sha2::{Digest as _, Sha256};
use tokio::io::copy_bidirectional;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tonic::Status;
use tonic::codegen::tokio_stream;
use tonic::transport::{Channel, Endpoint};
use wire::agent_client::AgentClient;
use wire::stage_request::Body;

use crate::alone::Alone;
use crate::world::World;

/// A client over a tunnel that has the admin's identity.
pub(crate) struct Raw {
    pub(crate) client: AgentClient<Channel>,
    _tunnel: JoinSet<()>,
}

impl Raw {
    pub(crate) async fn connect(world: &World, alone: &Alone<'_>) -> Self {
        let ca = read_ca(&world.public_file("ca.pem")).unwrap();
        let operator = load_operator(&Home::at(&world.home()), &ca).unwrap();
        let host = HostClient::new(&ca, &operator, &alone.name().parse().unwrap()).unwrap();
        let mut agent = connect(&alone.address(), &host).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let here = format!("http://{}", listener.local_addr().unwrap());
        let mut tunnel = JoinSet::new();
        tunnel.spawn(async move {
            let (mut plain, _) = listener.accept().await.unwrap();
            copy_bidirectional(&mut plain, &mut agent).await.ok();
        });
        let channel = Endpoint::from_shared(here).unwrap().connect().await;
        Self {
            client: AgentClient::new(channel.unwrap()),
            _tunnel: tunnel,
        }
    }

    /// On the connection that there is.
    pub(crate) async fn still_answers(&mut self) {
        let hello = wire::HelloRequest {
            controller_version: "0".into(),
            protocol_min: PROTOCOL.min,
            protocol_max: PROTOCOL.max,
        };
        self.client.hello(hello).await.unwrap();
    }

    /// Sends all of it whatever is asked for; how the agent ends the call.
    pub(crate) async fn stage(
        &mut self,
        bodies: impl Iterator<Item = Body> + Send + 'static,
    ) -> Status {
        let requests = bodies.map(|body| wire::StageRequest { body: Some(body) });
        let called = self.client.stage(tokio_stream::iter(requests)).await;
        let mut answers = match called {
            Ok(answers) => answers.into_inner(),
            Err(status) => return status,
        };
        loop {
            match answers.message().await {
                Ok(Some(_)) => {}
                Ok(None) => panic!("it was taken"),
                Err(status) => return status,
            }
        }
    }
}

/// A file as a stack announces it; its name stands for its content.
pub(crate) fn file(path: &str, size: u64) -> wire::File {
    let blob = Sha256::digest(path).to_vec();
    wire::File {
        path: path.to_owned(),
        mode: 0o644,
        size,
        blob,
    }
}

/// The beginning of a stack with these files.
pub(crate) fn begin(files: Vec<wire::File>) -> Body {
    Body::Begin(wire::StageBegin {
        stack: "raw".into(),
        project: "raw".into(),
        compose_files: vec!["compose.yaml".into()],
        files,
        ..wire::StageBegin::default()
    })
}

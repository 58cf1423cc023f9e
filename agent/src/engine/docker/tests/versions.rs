//! Engines from Docker 20.10 on: each is asked in a version that it speaks, for nothing that was made later, and its
//! own shape of an answer is read. Older ones are refused.

use std::collections::BTreeSet;

use proto::fault::Fault;

use super::*;

/// Every parameter that we send, with the version of the engine's API that brought it, where that is told.
const PARAMETERS: &[(&str, &str)] = &[
    ("all", "1.0"),
    ("filters", "1.8"),
    ("follow", "1.0"),
    ("force", "1.0"),
    ("fromImage", "1.0"),
    ("name", "1.17"),
    ("platform", "1.32"),
    ("repo", "1.0"),
    ("since", "1.19"),
    ("stderr", "1.0"),
    ("stdout", "1.0"),
    ("t", "1.0"),
    ("tag", "1.0"),
    ("tail", "1.14"),
    ("timestamps", "1.14"),
    ("until", "1.35"),
];

/// `1.41` as something to compare.
fn number(version: &str) -> (u32, u32) {
    let (major, minor) = version.split_once('.').unwrap();
    (major.parse().unwrap(), minor.parse().unwrap())
}

fn path(request: &str) -> &str {
    request.split(' ').nth(1).unwrap_or_default()
}

/// The API version that a request names, and the rest of its path.
fn asked(request: &str) -> Option<(&str, &str)> {
    let (version, rest) = path(request).strip_prefix("/v")?.split_once('/')?;
    version.contains('.').then_some((version, rest))
}

/// An engine that refuses every version outside of its own, as engines do.
fn engine(request: &str, [release, oldest, newest]: [&str; 3]) -> Answer {
    if path(request) == "/version" {
        let all = [
            ("Version", release),
            ("ApiVersion", newest),
            ("MinAPIVersion", oldest),
            ("Os", "linux"),
            ("Arch", "amd64"),
        ];
        let members = all.map(|(key, value)| format!("\"{key}\":\"{value}\""));
        return ok(&format!("{{{}}}", members.join(",")));
    }
    let refused = |why: String| Answer(400, vec![json!({ "message": why }).to_string().into()]);
    let Some((version, rest)) = asked(request) else {
        return refused("no version was named".to_owned());
    };
    if number(version) > number(newest) {
        let why = format!(
            "client version {version} is too new. Maximum supported API version is {newest}"
        );
        return refused(why);
    }
    if number(version) < number(oldest) {
        let why = format!(
            "client version {version} is too old. Minimum supported API version is {oldest}"
        );
        return refused(why);
    }
    said(rest.split('?').next().unwrap_or_default(), number(newest))
}

/// What it answers, in the shape of its time.
fn said(path: &str, newest: (u32, u32)) -> Answer {
    let modern = newest >= (1, 52);
    let mut container = json!({
        "Id": "c", "Name": "/shop-web-1", "Image": "sha256:aa",
        "State": { "Status": "running", "ExitCode": 0, "StartedAt": "2026-01-01T00:00:00Z" },
        "Config": { "Image": "r/web:1", "Labels": {
            "com.docker.compose.project": "shop", "com.docker.compose.service": "web",
            "com.docker.compose.container-number": "1" } },
        "NetworkSettings": { "Networks": { "shop_default": { "IPAddress": "172.18.0.2" } } },
    });
    let mut image = json!({
        "Id": "sha256:aa", "Os": "linux", "Architecture": "amd64", "RepoTags": ["r/web:1"],
        "RepoDigests": ["r/web@sha256:bb"],
    });
    if modern {
        // Gone from these answers, or new in them.
        image["Descriptor"] = json!({ "digest": "sha256:bb", "size": 1 });
        container["ImageManifestDescriptor"] = json!({ "digest": "sha256:bb" });
    } else {
        image["VirtualSize"] = json!(1);
        container["NetworkSettings"]["IPAddress"] = json!("");
        container["NetworkSettings"]["Ports"] = json!({});
    }
    match path {
        "containers/json" => ok(r#"[{"Id":"c"}]"#),
        "containers/c/json" => ok(&container.to_string()),
        // An untagged image has no names at all in newer answers.
        "images/json" if modern => ok(r#"[{"Id":"sha256:aa"},{"RepoTags":["k:1"]}]"#),
        "images/json" => ok(r#"[{"RepoTags":null},{"RepoTags":["k:1"]}]"#),
        "images/create" => ok("{\"status\":\"Status: Image is up to date\"}\r\n"),
        "info" => ok(r#"{"DockerRootDir":"/","RegistryConfig":{}}"#),
        "volumes/data" => ok(r#"{"Driver":"local","Options":null}"#),
        "networks/edge" => ok(r#"{"Name":"edge"}"#),
        "containers/c/exec" => ok(r#"{"Id":"e"}"#),
        "exec/e/json" => ok(r#"{"Running":false,"ExitCode":0,"Pid":0,"ContainerID":"c"}"#),
        _ if path.starts_with("images/") => ok(&image.to_string()),
        _ => Answer(200, Vec::new()),
    }
}

/// Asks it for everything that a deploy and its readers need.
async fn use_it(docker: &Docker) {
    let project: ProjectName = "shop".parse().unwrap();
    let containers = docker.containers(&project).await.unwrap();
    assert_eq!(containers[0].name, "shop-web-1");
    assert_eq!(containers[0].addresses.len(), 1);
    let image = docker.image("r/web:1").await.unwrap().unwrap();
    assert_eq!(image.digests, ["r/web@sha256:bb"]);
    let pull = Pull {
        reference: "r/web:1".to_owned(),
        digest: Some("sha256:bb".to_owned()),
        platform: "linux/amd64".to_owned(),
        auth: None,
    };
    let (progress, _layers) = mpsc::channel(8);
    let pulled = docker.pull(&pull, progress, CancellationToken::new()).await;
    assert_eq!(pulled.unwrap().id, "sha256:aa");
    assert_eq!(docker.names("k").await.unwrap(), ["k:1"]);
    docker.tag("sha256:aa", "k:2").await.unwrap();
    docker.untag("k:2").await.unwrap();
    assert!(docker.disk().await.unwrap().free > 0);
    assert!(docker.volume("data").await.unwrap().is_some());
    assert!(docker.has_network("edge").await.unwrap());
    docker.host_containers().await.unwrap();
    docker.rename_container("c", "other").await.unwrap();
    docker.remove_container("c").await.unwrap();
    let argv = ["true".to_owned()];
    let soon = Duration::from_secs(5);
    let ended = docker.probe_exec("c", &argv, soon).await.unwrap();
    assert_eq!(ended.exit_code, 0);
    let range = LogRange {
        since_nanos: Some(1),
        until_nanos: Some(2),
        ..LogRange::default()
    };
    let lines = docker.logs("c", &range).await.unwrap();
    assert_eq!(lines.count().await, 0);
    docker.nudges(&project).await.unwrap().count().await;
}

#[tokio::test]
async fn every_engine_is_asked_for_what_it_knows_in_a_version_that_it_speaks() {
    let engines: [(Script, &str, &str); 5] = [
        (
            |it| engine(it, ["20.10.24", "1.12", "1.41"]),
            "20.10.24",
            "1.41",
        ),
        (
            |it| engine(it, ["24.0.9", "1.12", "1.43"]),
            "24.0.9",
            "1.43",
        ),
        (
            |it| engine(it, ["28.5.1", "1.24", "1.51"]),
            "28.5.1",
            "1.44",
        ),
        (
            |it| engine(it, ["29.0.0", "1.44", "1.52"]),
            "29.0.0",
            "1.44",
        ),
        // One that has forgotten what we were written against.
        (
            |it| engine(it, ["33.0.0", "1.50", "1.60"]),
            "33.0.0",
            "1.50",
        ),
    ];
    for (script, release, chosen) in engines {
        let fake = Fake::new(script);
        assert_eq!(fake.docker.facts().await.unwrap().version, release);
        use_it(&fake.docker).await;
        let requests = fake.seen(" /v");
        let versions = requests.iter().filter_map(|it| asked(it));
        let versions: BTreeSet<&str> = versions.map(|(version, _)| version).collect();
        assert_eq!(versions, BTreeSet::from([chosen]), "{release}");
        assert_eq!(fake.seen(" /version ").len(), 1, "{release}: asked once");
        for request in &requests {
            let query = path(request).split_once('?').map_or("", |(_, query)| query);
            for pair in query.split('&').filter(|pair| !pair.is_empty()) {
                let key = pair.split('=').next().unwrap_or_default();
                let known = PARAMETERS.iter().find(|(name, _)| *name == key);
                let (_, since) = known.unwrap_or_else(|| panic!("since when is {key} known?"));
                assert!(number(since) <= number(chosen), "{release}: {key}");
            }
        }
    }
}

#[tokio::test]
async fn an_engine_before_the_oldest_is_refused_with_what_is_needed() {
    let fake = Fake::new(|it| engine(it, ["19.03.15", "1.12", "1.40"]));
    let fault = Fault::from(fake.docker.facts().await.unwrap_err());
    assert_eq!(fault.what, "Docker 19.03.15 is too old");
    assert_eq!(
        fault.hints,
        ["longshore needs Docker 20.10 or newer on the host"]
    );
}

#[tokio::test]
async fn a_project_is_asked_for_by_its_label() {
    let fake = Fake::new(|_| ok("[]"));
    let project = "shop".parse().unwrap();
    fake.docker.containers(&project).await.unwrap();
    let lists = fake.seen("GET /v1.44/containers/json?all=1&filters=");
    assert_eq!(lists.len(), 1);
    assert!(
        lists[0].contains("label%22%3A%5B%22com.docker.compose.project%3Dshop%22"),
        "{lists:?}"
    );
}

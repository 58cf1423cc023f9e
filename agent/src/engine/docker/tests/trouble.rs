//! An engine that fails in every way an HTTP server can, and what each call makes of it.

use super::*;

/// A call, a word by which people know it, and how it ended.
type Called = (&'static str, &'static str, Result<(), EngineError>);

/// Every call that is one question or one deed.
async fn every_call(fake: &Fake) -> Vec<Called> {
    let docker = &fake.docker;
    let argv = ["true".to_owned()];
    let (output, _printed) = mpsc::channel(1);
    let attach = Attach {
        output,
        deadline: Duration::from_secs(5),
        stop: CancellationToken::new(),
    };
    let project = "shop".parse().unwrap();
    vec![
        (
            "containers",
            "shop",
            docker.containers(&project).await.map(drop),
        ),
        ("image", "a:1", docker.image("a:1").await.map(drop)),
        (
            "remote_image",
            "a:1",
            docker.remote_image("a:1", None, None).await.map(drop),
        ),
        (
            "pull",
            "r.example:5000/a",
            fake.pull(Some("sha256:bb"), None).await.map(drop),
        ),
        ("volume", "data", docker.volume("data").await.map(drop)),
        (
            "has_network",
            "outer",
            docker.has_network("outer").await.map(drop),
        ),
        (
            "host_containers",
            "host",
            docker.host_containers().await.map(drop),
        ),
        ("names", "org/a", docker.names("org/a").await.map(drop)),
        (
            "prepare_exec",
            "c1",
            docker.prepare_exec("c1", &argv).await.map(drop),
        ),
        (
            "run_exec",
            "command",
            docker.run_exec("e1", attach).await.map(drop),
        ),
        ("end_exec", "command", docker.end_exec("e2").await),
        (
            "remove_container",
            "c2",
            docker.remove_container("c2").await,
        ),
        (
            "rename_container",
            "c3",
            docker.rename_container("c3", "x").await,
        ),
        ("tag", "b:2", docker.tag("sha256:aa", "b:2").await),
        ("untag", "b:3", docker.untag("b:3").await),
        (
            "logs",
            "c4",
            docker.logs("c4", &LogRange::default()).await.map(drop),
        ),
    ]
}

/// Runs them all: only those of `fine` end well, every other says what it was about and has one of `words`; and what
/// changes something was asked for once.
async fn claim(script: Script, fine: &[&str], words: &[&str]) {
    let fake = Fake::new(script);
    for (call, about, ended) in every_call(&fake).await {
        match ended {
            Ok(()) => assert!(fine.contains(&call), "{call} ended well"),
            Err(error) => {
                assert!(!fine.contains(&call), "{call}: {error}");
                let text = error.to_string();
                assert!(
                    words.iter().any(|word| text.contains(word)),
                    "{call}: {text}"
                );
                let down = matches!(error, EngineError::Down(_));
                assert!(down || text.contains(about), "{call}: {text}");
            }
        }
    }
    let mut changes = fake.seen(" /v1.44/");
    changes.retain(|request| !request.starts_with("GET "));
    changes.sort();
    let asked = changes.len();
    changes.dedup();
    assert_eq!(changes.len(), asked, "something was done twice");
    assert!(asked >= 6, "{changes:?}");
}

const WORDS: &str = "{\"message\":\"out of luck\"}";

fn refusal(code: u16) -> Answer {
    Answer(code, vec![WORDS.as_bytes().to_vec()])
}

#[tokio::test]
async fn a_refusal_is_told_in_the_engines_words_and_nothing_is_done_twice() {
    claim(|_| refusal(500), &[], &["out of luck"]).await;
    // A name that a container still needs stays, and that is what is wanted.
    claim(|_| refusal(409), &["untag"], &["out of luck"]).await;
}

#[tokio::test]
async fn what_has_gone_in_the_middle_is_an_answer_where_it_is_one() {
    let fine = [
        "image",
        "volume",
        "has_network",
        "end_exec",
        "remove_container",
        "untag",
    ];
    claim(|_| refusal(404), &fine, &["out of luck"]).await;
}

#[tokio::test]
async fn an_answer_that_makes_no_sense_is_called_that() {
    // Where nothing is read, nothing can be misread.
    let fine = ["remove_container", "rename_container", "tag", "untag"];
    let words = ["the engine's answer cannot be read"];
    claim(|_| ok("{ not json"), &fine, &words).await;
    claim(|_| Answer(200, Vec::new()), &fine, &words).await;
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_no_answer() {
    let half: Script = |_| Answer(200, vec![b"{\"Id\":\"a".to_vec(), Vec::new()]);
    claim(half, &[], &["the Docker engine does not answer"]).await;
}

#[tokio::test]
async fn an_error_behind_progress_fails_a_pull_whatever_is_on_the_host() {
    for words in ["read: connection reset by peer", "toomanyrequests: slow"] {
        let script: Script = match words {
            "toomanyrequests: slow" => |request| told(request, "toomanyrequests: slow"),
            _ => |request| told(request, "read: connection reset by peer"),
        };
        let fake = Fake::new(script);
        let error = fake.pull(Some("sha256:bb"), None).await.unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("image r.example:5000/a:1: r.example:5000 "),
            "{text}"
        );
        assert!(text.ends_with(words), "{text}");
        assert_eq!(error.is_limited(), words.starts_with("toomany"));
        assert!(fake.seen("/tag?").is_empty(), "and it got no name");
        assert_eq!(fake.seen("/images/create").len(), 1);
    }
}

/// A pull that comes far, and an image of that digest on the host.
fn told(request: &str, words: &str) -> Answer {
    if !request.contains("/images/create") {
        return ok(IMAGE);
    }
    let error = json!({ "errorDetail": { "message": words }, "error": words });
    let done = "{\"status\":\"Pull complete\",\"id\":\"l\"}\r\n";
    Answer(
        200,
        vec![
            done.as_bytes().to_vec(),
            format!("{error}\r\n").into_bytes(),
        ],
    )
}

#[tokio::test]
async fn a_full_disk_is_told_with_the_folder_of_the_engine() {
    let fake = Fake::new(|request| {
        if request.contains("/info ") {
            return ok(r#"{"DockerRootDir":"/srv/docker"}"#);
        }
        told(request, "write /app/big: no space left on device")
    });
    let error = fake.pull(Some("sha256:bb"), None).await.unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("disk is full, where Docker keeps images (/srv/docker): write /app/big"),
        "{text}"
    );
}

#[tokio::test]
async fn an_image_that_is_not_the_one_asked_for_is_found_out() {
    let fake = Fake::new(|request| match request.contains("/images/create") {
        true => ok("{\"status\":\"Status: Image is up to date\"}\r\n"),
        false => ok(IMAGE),
    });
    let error = fake.pull(Some("sha256:cc"), None).await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains("is not sha256:cc but sha256:aa"), "{text}");
    assert!(fake.seen("/tag?").is_empty(), "and it got no name");
}

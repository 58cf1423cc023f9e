//! Docker's configuration as it is found in the wild, with helpers that are scripts.

use std::fs;

use super::*;

struct Config(tempfile::TempDir);

impl Config {
    fn new(json: &str) -> Self {
        let config = Self(tempfile::tempdir().unwrap());
        fs::write(config.0.path().join("config.json"), json).unwrap();
        config
    }

    /// A helper that is this shell script. Another process writes it: while this one held it open, a
    /// program started by another test could inherit it, and it could not be run.
    fn helper(self, name: &str, script: &str) -> Self {
        let path = self.0.path().join(format!("docker-credential-{name}"));
        let write = r#"printf '#!/bin/sh\n%s\n' "$1" >"$2" && chmod 700 "$2""#;
        let written = std::process::Command::new("sh")
            .args(["-c", write, "sh", script])
            .arg(path)
            .status();
        assert!(written.unwrap().success());
        self
    }

    async fn ask(&self, registries: &[&str]) -> Result<Vec<RegistryAuth>, DockerAuthError> {
        let logins = self.look_up(registries).await?;
        assert_eq!(logins.failed, [""; 0]);
        Ok(logins.found)
    }

    async fn look_up(&self, registries: &[&str]) -> Result<Logins, DockerAuthError> {
        let mut path = self.0.path().as_os_str().to_owned();
        path.push(":/usr/bin:/bin");
        let lookup = Lookup {
            config_dir: self.0.path(),
            search_path: Some(&path),
            deadline: Duration::from_secs(2),
        };
        let registries: Vec<String> = registries.iter().map(|&one| one.to_owned()).collect();
        lookup.credentials(&registries).await
    }

    /// What the operator would read.
    async fn fault(&self, registry: &str) -> String {
        let fault = match self.look_up(&[registry]).await {
            // A helper that fails is told and stops nothing.
            Ok(Logins { found, failed }) => {
                assert!(found.is_empty());
                let shown = failed.join("\n");
                let root = self.0.path().display().to_string();
                return format!("warning: {}", shown.replace(&root, "/docker"));
            }
            Err(error) => Fault::from(error),
        };
        let causes = fault
            .causes
            .iter()
            .map(|cause| format!("caused by: {cause}"));
        let hints = fault.hints.iter().map(|hint| format!("hint: {hint}"));
        let lines = [fault.what]
            .into_iter()
            .chain(causes)
            .chain(fault.output)
            .chain(hints);
        let root = self.0.path().display().to_string();
        lines
            .collect::<Vec<_>>()
            .join("\n")
            .replace(&root, "/docker")
    }
}

fn login(registry: &str, username: &str, password: &str, token: &str) -> RegistryAuth {
    RegistryAuth {
        registry: registry.to_owned(),
        username: username.to_owned(),
        password: password.to_owned(),
        identity_token: token.to_owned(),
    }
}

// "user:pa:ss" in base64.
const AUTH: &str = "dXNlcjpwYTpzcw==";

#[tokio::test]
async fn logins_in_the_file_are_found_under_every_spelling() {
    let config = Config::new(&format!(
        r#"{{"auths": {{
            "https://index.docker.io/v1/": {{"auth": "{AUTH}"}},
            "https://ghcr.io/v2/": {{"auth": "{AUTH}"}},
            "10.77.0.1:5000": {{"username": "u", "password": "p"}},
            "acr.example.org": {{"auth": "MDAwOg==", "identitytoken": "tok"}},
            "empty.example.org": {{}}
        }}, "psFormat": "x"}}"#
    ));
    let found = config
        .ask(&[
            "docker.io",
            "ghcr.io",
            "10.77.0.1:5000",
            "acr.example.org",
            "empty.example.org",
            "other",
            "ghcr.io",
        ])
        .await
        .unwrap();
    let expected = [
        login("docker.io", "user", "pa:ss", ""),
        login("ghcr.io", "user", "pa:ss", ""),
        login("10.77.0.1:5000", "u", "p", ""),
        login("acr.example.org", "", "", "tok"),
    ];
    assert!(found == expected, "{found:?}");
}

#[tokio::test]
async fn without_a_configuration_there_are_no_logins() {
    for json in ["", "{}", r#"{"auths": null, "credsStore": ""}"#] {
        assert!(
            Config::new(json)
                .ask(&["docker.io"])
                .await
                .unwrap()
                .is_empty()
        );
    }
    let nowhere = Path::new("/nonexistent/docker");
    assert!(
        credentials(nowhere, &["docker.io".to_owned()])
            .await
            .unwrap()
            .found
            .is_empty()
    );
}

#[tokio::test]
async fn helpers_are_asked_by_docker_s_protocol() {
    let json = r#"{"credsStore": "all", "credHelpers": {"ecr.example.org": "ecr"}, "auths": {"ghcr.io": {}}}"#;
    let config = Config::new(json)
        .helper(
            "all",
            r#"[ "$1" = get ] || exit 9
read -r server
case "$server" in
  https://index.docker.io/v1/) echo '{"ServerURL":"x","Username":"hub","Secret":"s1"}' ;;
  ghcr.io) echo '{"ServerURL":"x","Username":"<token>","Secret":"tok"}' ;;
  *) echo "credentials not found in native keychain"; exit 1 ;;
esac"#,
        )
        .helper(
            "ecr",
            r#"cat >/dev/null; echo '{"Username":"AWS","Secret":"s2"}'"#,
        );
    let found = config
        .ask(&[
            "docker.io",
            "ghcr.io",
            "none.example.org",
            "ecr.example.org",
        ])
        .await
        .unwrap();
    let expected = [
        login("docker.io", "hub", "s1", ""),
        login("ghcr.io", "", "", "tok"),
        login("ecr.example.org", "AWS", "s2", ""),
    ];
    assert!(found == expected, "{found:?}");
}

#[tokio::test]
async fn only_registries_that_are_asked_for_are_looked_up() {
    let config = Config::new(r#"{"credHelpers": {"a": "broken", "b": "../x"}}"#);
    assert!(config.ask(&["ghcr.io"]).await.unwrap().is_empty());
}

#[tokio::test]
async fn errors_say_what_to_do_and_never_show_a_login() {
    let undecodable = r#"{"auths": {"ghcr.io": {"auth": "aHVudGVyMjI="}}}"#;
    let quoted = "{\n  \"auths\": {\"ghcr.io\": \"hunter22\"}\n}";
    let store = r#"{"credsStore": "x"}"#;
    let cases = [
        ("broken file", Config::new("{\n  \"auths\": {,}\n}")),
        ("wrong type", Config::new(quoted)),
        ("undecodable", Config::new(undecodable)),
        (
            "helper that is a path",
            Config::new(r#"{"credsStore": "../../x"}"#),
        ),
        ("helper not installed", Config::new(store)),
        (
            "helper fails",
            Config::new(store).helper("x", "echo 'keychain is locked'; echo more >&2; exit 1"),
        ),
        (
            "helper talks nonsense",
            Config::new(store).helper("x", "echo hunter22"),
        ),
        ("helper hangs", Config::new(store).helper("x", "sleep 60")),
        (
            "helper floods",
            Config::new(store).helper("x", "yes hunter22"),
        ),
    ];
    let mut shown = Vec::new();
    for (title, config) in cases {
        shown.push(format!("== {title}\n{}\n", config.fault("ghcr.io").await));
    }
    let shown = shown.join("\n");
    assert!(!shown.contains("hunter22"));
    insta::assert_snapshot!(shown);
}

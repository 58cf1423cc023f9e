//! What is read from Compose's configuration, and that no configuration panics.

use super::*;

/// Reads a stack that has no values and no files of the host.
fn read_plain(config: &Value, key: &HostKey, redactor: &Redactor) -> Result<ResolvedStack, Fault> {
    let spec = crate::testing::spec();
    let values = Values {
        spec: &spec,
        host: &BTreeMap::new(),
    };
    read(config, Path::new("/p"), key, redactor, &values)
}

use proptest::prelude::*;
use serde_json::json;

fn key() -> HostKey {
    let folder = tempfile::tempdir().unwrap();
    HostKey::load_or_create(&folder.path().join("key")).unwrap()
}

fn read_one(service: Value) -> Result<ResolvedService, Fault> {
    let config = json!({"services": {"web": service}, "configs": {"c": {"file": "/p/conf/c.txt"}}});
    read_plain(&config, &key(), &Redactor::default()).map(|stack| stack.services[0].clone())
}

#[test]
fn a_service_that_is_only_built_is_refused_by_name() {
    let fault = read_one(json!({"build": {"context": "/p"}})).unwrap_err();
    assert_eq!(fault.what, "service web has no image");
    assert!(fault.hints[0].contains("built from source"));
}

#[test]
fn mounts_are_those_inside_the_project() {
    let service = read_one(json!({
        "image": "a",
        "volumes": [
            {"type": "bind", "source": "/p/data/nginx", "target": "/x"},
            {"type": "bind", "source": "/var/opq", "target": "/y"},
            {"type": "volume", "source": "db", "target": "/z"},
        ],
        "configs": [{"source": "c"}],
    }))
    .unwrap();
    let mounts: Vec<&str> = service.mounts.iter().map(RelPath::as_str).collect();
    assert_eq!(mounts, ["conf/c.txt", "data/nginx"]);
}

#[test]
fn what_compose_does_not_hash_leaves_no_mark() {
    let marks = read_one(json!({
        "image": "a", "scale": 2, "depends_on": {"db": {}}, "environment": {"A": "1"},
        "deploy": {"replicas": 3},
    }))
    .unwrap();
    assert_eq!(marks.replicas, 3);
    let names: Vec<&String> = marks.marks.keys().collect();
    assert_eq!(names, ["deploy", "environment A", "image"]);
}

#[test]
fn dependencies_are_read_in_both_spellings() {
    let long = json!({"image": "a", "depends_on": {"db": {"condition": "service_healthy"}}});
    let short = json!({"image": "a", "depends_on": ["db", "cache"]});
    let names = |service| -> Vec<String> {
        let service = read_one(service).unwrap();
        service.depends_on.iter().map(ToString::to_string).collect()
    };
    assert_eq!(names(long), ["db"]);
    assert_eq!(names(short), ["cache", "db"]);
}

#[test]
fn what_services_share_is_marked_by_kind_and_name() {
    let key = key();
    let read = |size: &str| {
        let config = json!({
            "services": {"web": {"image": "a"}},
            "networks": {"default": {"name": "p_default"}},
            "volumes": {"data": {"driver_opts": {"size": size}}},
            "secrets": {"token": {"file": "/p/token"}},
        });
        read_plain(&config, &key, &Redactor::default())
            .unwrap()
            .definitions
    };
    let (small, large) = (read("1"), read("2"));
    let names: Vec<&String> = small.keys().collect();
    assert_eq!(names, ["network default", "secret token", "volume data"]);
    let changed: Vec<&String> = names
        .into_iter()
        .filter(|name| small[*name] != large[*name])
        .collect();
    assert_eq!(changed, ["volume data"]);
}

#[test]
fn staging_paths_become_project_paths() {
    let mut config = json!({"a": ["/s/1/data", "/s/1", "/s/10/x", "text /s/1"]});
    rewrite_prefix(&mut config, Path::new("/s/1"), Path::new("/p"));
    assert_eq!(
        config,
        json!({"a": ["/p/data", "/p", "/s/10/x", "text /p"]})
    );
}

#[test]
fn what_may_be_shown_is_text_and_the_rest_a_digest() {
    let secret =
        proto::stack::Value::new("P".parse().unwrap(), "s3cr3t$1".to_owned(), true).unwrap();
    let config = json!({"services": {"web": {
        "image": "a",
        "command": ["run", "--password", "s3cr3t$$1"],
        "labels": {"token": "s3cr3t$$1"},
        "environment": {"P": "s3cr3t$$1"},
        "restart": "always",
        "user": "s3cr3t$$1",
        "ports": [
            {"target": 80, "published": "8080", "host_ip": "127.0.0.1", "protocol": "tcp"},
            {"target": 53, "protocol": "udp"},
        ],
        "volumes": [
            {"type": "volume", "source": "db", "target": "/z"},
            {"type": "bind", "source": "/p/a", "target": "/a", "read_only": true},
            {"type": "tmpfs", "target": "/run"},
        ],
        "networks": {"default": null, "fixed": {"ipv4_address": "10.0.0.2"}},
        "healthcheck": {"test": ["CMD", "login", "s3cr3t$$1"], "interval": "3s"},
        "deploy": {"resources": {"limits": {"memory": "64"}}},
    }}});
    let redactor = Redactor::new(&[secret]);
    let stack = read_plain(&config, &key(), &redactor).unwrap();
    let mut shown = stack.services[0].shown.clone();
    let test = shown.remove("healthcheck test").unwrap();
    assert!(test.first().unwrap().starts_with("k:"), "{test:?}");
    let texts = |name: &str| -> Vec<&str> { shown[name].iter().map(String::as_str).collect() };
    assert_eq!(texts("ports"), ["127.0.0.1:8080:80/tcp", "53/udp"]);
    assert_eq!(texts("volumes"), ["/p/a:/a:ro", "db:/z", "tmpfs:/run"]);
    assert_eq!(texts("networks"), ["default", "fixed 10.0.0.2"]);
    assert_eq!(texts("user"), ["********"]);
    let names: Vec<&str> = shown.keys().map(String::as_str).collect();
    let wanted = [
        "deploy limits memory",
        "healthcheck interval",
        "networks",
        "ports",
        "restart",
        "user",
        "volumes",
    ];
    assert_eq!(names, wanted);
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        "[a-z/.:]{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 48, 6, |inner| {
        let keys =
            "(services|image|volumes|ports|networks|source|target|type|healthcheck|retries|environment|[a-z]{1,4})";
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(keys, inner, 0..5)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn no_configuration_panics(config in any_json()) {
        let key = key();
        drop(read_plain(&config, &key, &Redactor::default()));
        let wrapped = json!({"services": {"web": config}});
        drop(read_plain(&wrapped, &key, &Redactor::default()));
    }
}

#[test]
fn every_service_without_an_image_is_told_at_once() {
    let told = |services: Value| {
        let config = json!({ "services": services });
        read_plain(&config, &key(), &Redactor::default()).unwrap_err()
    };
    let built = json!({ "build": { "context": "." } });
    let fault = told(json!({ "api": built, "web": built, "db": { "image": "db:1" } }));
    assert_eq!(fault.what, "services api, web have no image");
    assert!(fault.hints[0].contains("built from source"), "{fault:?}");
    let fault = told(json!({ "api": {}, "web": built, "db": { "image": "db:1" } }));
    assert_eq!(fault.hints, ["name one with `image:`"]);
    let fault = told(json!({ "api": {} }));
    assert_eq!(fault.what, "service api has no image");
}

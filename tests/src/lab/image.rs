//! Images made from files and pushed over a registry's HTTP API; no engine and no build.

mod push;
mod stock;

use std::time::Duration;

use flate2::Compression;
use serde_json::{Value, json};

use super::error::Result;
use super::layer::{Content, File, Layer};
use super::programs::{POSTGRES_ENTRYPOINT, Program};

/// An image to be. What is not set is as in an image `FROM scratch`.
#[derive(Debug, Clone)]
pub struct Image {
    seed: String,
    layers: Vec<Layer>,
    config: Value,
    platform: Value,
}

/// An image in a registry.
#[derive(Debug, Clone)]
pub struct Pushed {
    /// Its whole name, `host:port/org/name:tag`.
    pub reference: String,
    /// The digest of its manifest, or of its index.
    pub digest: String,
    /// The digests of its layers as they are stored, in order; of an index, all of them.
    pub layers: Vec<String>,
}

impl Image {
    /// The fixture under a name and a version of its own, for this machine's platform.
    ///
    /// # Errors
    /// When the fixture cannot be built.
    pub fn fixture(name: &str, version: &str) -> Result<Self> {
        let image = Self {
            config: json!({ "Entrypoint": ["/fixture"], "Env": ["PATH=/bin"], "Labels": {} }),
            ..Self::of(&format!("{name}:{version}"), stock::fixture()?)
        };
        Ok(image
            .env("FIXTURE_NAME", name)
            .env("FIXTURE_VERSION", version))
    }

    /// A real program, for this machine's platform, set up as its public image is.
    ///
    /// # Errors
    /// When it cannot be taken out of its packages.
    pub fn program(program: Program) -> Result<Self> {
        let image = Self::of(program.name(), program.layer()?);
        match program {
            Program::Postgres => Ok(image
                .file(
                    "/usr/local/bin/docker-entrypoint.sh",
                    0o755,
                    POSTGRES_ENTRYPOINT,
                )?
                .entrypoint(&["docker-entrypoint.sh"])
                .cmd(&["postgres", "-D", "/var/lib/postgresql/data"])
                .set("Volumes", json!({ "/var/lib/postgresql/data": {} }))
                .set("StopSignal", json!("SIGINT"))),
            Program::Redis => Ok(image
                .set("User", json!("redis"))
                .set("WorkingDir", json!("/data"))
                .cmd(&["redis-server", "--protected-mode", "no"])),
            Program::Haproxy => Ok(image
                .set("User", json!("haproxy"))
                .set("StopSignal", json!("SIGUSR1"))
                .cmd(&["haproxy", "-f", "/usr/local/etc/haproxy/haproxy.cfg"])),
            Program::Openssl => Ok(image.entrypoint(&["openssl"])),
        }
    }

    fn of(seed: &str, layer: Layer) -> Self {
        let arch = if cfg!(target_arch = "aarch64") {
            "arm64"
        } else {
            "amd64"
        };
        Self {
            seed: seed.to_owned(),
            layers: vec![layer],
            config: json!({
                "Env": ["PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
                "Labels": {},
            }),
            platform: json!({ "os": "linux", "architecture": arch }),
        }
    }

    /// Sets a variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        let prefix = format!("{name}=");
        if let Some(list) = self.config.get_mut("Env").and_then(Value::as_array_mut) {
            list.retain(|entry| !entry.as_str().is_some_and(|text| text.starts_with(&prefix)));
            list.push(Value::from(prefix + value));
        }
        self
    }

    /// Sets a label.
    #[must_use]
    pub fn label(mut self, name: &str, value: &str) -> Self {
        if let Some(labels) = self.config.get_mut("Labels").and_then(Value::as_object_mut) {
            labels.insert(name.to_owned(), Value::from(value));
        }
        self
    }

    /// Sets the entrypoint.
    #[must_use]
    pub fn entrypoint(self, words: &[&str]) -> Self {
        self.set("Entrypoint", json!(words))
    }

    /// Sets the command.
    #[must_use]
    pub fn cmd(self, words: &[&str]) -> Self {
        self.set("Cmd", json!(words))
    }

    /// Gives it the fixture's healthcheck, run this often.
    #[must_use]
    pub fn healthcheck(self, interval: Duration) -> Self {
        let nanos = u64::try_from(interval.as_nanos()).unwrap_or(u64::MAX);
        self.set("Healthcheck", json!({ "Test": ["CMD", "/fixture", "health"], "Interval": nanos, "Timeout": 5_000_000_000_u64, "Retries": 3 }))
    }

    /// Sets anything else of the image's configuration, such as `User` or `Volumes`.
    #[must_use]
    pub fn set(mut self, key: &str, value: Value) -> Self {
        if let Some(config) = self.config.as_object_mut() {
            config.insert(key.to_owned(), value);
        }
        self
    }

    /// Says that it is for another platform; what is in it stays the same.
    #[must_use]
    pub fn platform(mut self, os: &str, architecture: &str, variant: Option<&str>) -> Self {
        self.platform = json!({ "os": os, "architecture": architecture });
        if let (Some(variant), Some(platform)) = (variant, self.platform.as_object_mut()) {
            platform.insert("variant".to_owned(), Value::from(variant));
        }
        self
    }

    /// Adds a layer with one file; the path is absolute.
    ///
    /// # Errors
    /// When it cannot be packed.
    pub fn file(mut self, path: &str, mode: u32, bytes: impl AsRef<[u8]>) -> Result<Self> {
        let file = File {
            path: path.trim_start_matches('/').to_owned(),
            mode,
            content: Content::Bytes(bytes.as_ref().into()),
        };
        self.layers
            .push(Layer::files(&[file], Compression::fast())?);
        Ok(self)
    }

    /// Adds a shell: busybox as `/bin/sh`, and what small stacks are made of beside it: `sleep`, `cat`, `httpd`, `nc`.
    ///
    /// # Errors
    /// When the lab's base is missing.
    pub fn shell(mut self) -> Result<Self> {
        self.layers.push(stock::shell()?);
        Ok(self)
    }

    /// Adds a layer of so many bytes that do not shrink, new for every name and version.
    ///
    /// # Errors
    /// When it cannot be packed.
    pub fn padding(mut self, size: usize) -> Result<Self> {
        let seed = format!("{}-{}", self.seed, self.layers.len());
        self.layers.push(Layer::padding(size, &seed)?);
        Ok(self)
    }

    /// The image's configuration, as a registry keeps it.
    fn config_file(&self) -> Value {
        let diff_ids: Vec<&str> = self
            .layers
            .iter()
            .map(|layer| layer.diff_id.as_str())
            .collect();
        let mut file = json!({
            "created": "2024-01-01T00:00:00Z",
            "config": self.config,
            "rootfs": { "type": "layers", "diff_ids": diff_ids },
            "history": diff_ids.iter().map(|_| json!({ "created_by": "lab" })).collect::<Vec<_>>(),
        });
        if let (Some(file), Some(platform)) = (file.as_object_mut(), self.platform.as_object()) {
            file.extend(platform.clone());
        }
        file
    }
}

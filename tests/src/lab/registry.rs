//! A real registry on the bridge address: Debian's package of the reference implementation.

use std::fs::{self, File};
use std::net::{SocketAddrV4, TcpListener};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::command::kill_group;
use super::error::{During, LabError, Result};
use super::faulty::FaultyRegistry;
use super::http::{Answer, Request};
use super::run::Run;
use super::wait;

/// It starts in milliseconds; a busy machine may take longer.
const DEADLINE: Duration = Duration::from_secs(20);

/// A user that a registry accepts.
#[derive(Debug, Clone, Copy)]
pub struct Login {
    /// The user's name.
    pub user: &'static str,
    /// The password.
    pub password: &'static str,
    /// The same as a line of an htpasswd file, and as a Basic credential: made once, so that no bcrypt is needed.
    htpasswd: &'static str,
    basic: &'static str,
}

impl Login {
    /// The one user of a registry with a login.
    pub const TEST: Self = Self {
        user: "ana",
        password: "harbour",
        htpasswd: "ana:$2y$05$longshorelabtestuser1uohQ8iqWRvKhYhKVmFQl.TA0A8OXvOg.",
        basic: "Basic YW5hOmhhcmJvdXI=",
    };
}

/// Where a registry is and who may push there; all that [`super::Image`] needs.
#[derive(Debug, Clone, Copy)]
pub struct Remote {
    address: SocketAddrV4,
    login: Option<Login>,
}

impl Remote {
    /// A registry without a login, such as another process's.
    #[must_use]
    pub fn at(address: SocketAddrV4) -> Self {
        Self {
            address,
            login: None,
        }
    }

    /// The whole name of one of its images, from `org/name:tag`.
    #[must_use]
    pub fn image(&self, name: &str) -> String {
        format!("{}/{name}", self.address)
    }

    pub(crate) fn send(&self, request: Request) -> Result<Answer> {
        let request = match self.login {
            Some(login) => request.header("Authorization", login.basic),
            None => request,
        };
        request
            .send_to(self.address)
            .during(|| format!("asking the registry at {}", self.address))
    }
}

impl AsRef<Remote> for Remote {
    fn as_ref(&self) -> &Remote {
        self
    }
}

impl AsRef<Remote> for Registry {
    fn as_ref(&self) -> &Remote {
        &self.remote
    }
}

/// A registry of this lab. Dropping it stops it.
pub struct Registry {
    run: Arc<Run>,
    remote: Remote,
    server: Mutex<Option<Child>>,
}

impl Registry {
    pub(crate) fn start(run: Arc<Run>, login: Option<Login>) -> Result<Self> {
        let address = free_address(&run)?;
        let registry = Self {
            run,
            remote: Remote { address, login },
            server: Mutex::new(None),
        };
        registry.configure()?;
        registry.resume()?;
        Ok(registry)
    }

    /// Its address, the first part of its images' names.
    #[must_use]
    pub fn address(&self) -> SocketAddrV4 {
        self.remote.address
    }

    /// The whole name of one of its images, from `org/name:tag`.
    #[must_use]
    pub fn image(&self, name: &str) -> String {
        self.remote.image(name)
    }

    /// The user it wants, if it wants one.
    #[must_use]
    pub fn login(&self) -> Option<Login> {
        self.remote.login
    }

    /// Stops it, as if the registry were down; its images stay.
    pub fn stop(&self) {
        let server = self
            .server
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(mut server) = server {
            kill_group(&mut server);
        }
    }

    /// Starts it again on the same address and waits until it answers.
    ///
    /// # Errors
    /// When it does not; the message ends with its log.
    pub fn resume(&self) -> Result<()> {
        let server = self.serve()?;
        self.run.note_process(&self.label(), server.id())?;
        *self.server.lock().unwrap_or_else(PoisonError::into_inner) = Some(server);
        let up = wait::until("the registry to answer", DEADLINE, || {
            let answer = Request::get("/v2/").send_to(self.remote.address).ok()?;
            matches!(answer.status, 200 | 401).then_some(())
        });
        up.map_err(|error| {
            let log = fs::read_to_string(self.folder().join("log")).unwrap_or_default();
            LabError::Other(format!("{error}\n{log}"))
        })
    }

    /// A proxy in front of it that fails by plan; hosts pull through its address instead.
    ///
    /// # Errors
    /// When it cannot listen.
    pub fn faulty(&self) -> Result<FaultyRegistry> {
        FaultyRegistry::start(*self.remote.address.ip(), self.remote.address)
    }

    fn configure(&self) -> Result<()> {
        let folder = self.folder();
        let what = || format!("configuring {}", self.label());
        fs::create_dir_all(folder.join("data")).during(what)?;
        let (data, address) = (folder.join("data"), self.remote.address);
        let mut config = format!(
            "version: 0.1\nlog: {{level: warn}}\nhttp: {{addr: \"{address}\"}}\n\
             storage: {{filesystem: {{rootdirectory: {}}}, delete: {{enabled: true}}}}\n",
            data.display()
        );
        if let Some(login) = self.remote.login {
            let users = folder.join("htpasswd");
            fs::write(&users, login.htpasswd).during(what)?;
            config += &format!(
                "auth: {{htpasswd: {{realm: lab, path: {}}}}}\n",
                users.display()
            );
        }
        fs::write(folder.join("config.yml"), config).during(what)
    }

    fn serve(&self) -> Result<Child> {
        let folder = self.folder();
        let log =
            File::create(folder.join("log")).during(|| "making the registry's log".to_owned())?;
        Command::new("docker-registry")
            .arg("serve")
            .arg(folder.join("config.yml"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .process_group(0)
            .spawn()
            .during(|| "starting docker-registry".to_owned())
    }

    fn label(&self) -> String {
        format!("registry-{}", self.remote.address.port())
    }

    fn folder(&self) -> PathBuf {
        self.run.path(self.label())
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The bridge's address belongs to this lab alone, so a port that is free now stays free.
fn free_address(run: &Run) -> Result<SocketAddrV4> {
    let gateway = run.net().gateway();
    let listener = TcpListener::bind((gateway, 0)).during(|| format!("listening on {gateway}"))?;
    let port = listener
        .local_addr()
        .during(|| "asking for a port".to_owned())?
        .port();
    Ok(SocketAddrV4::new(gateway, port))
}

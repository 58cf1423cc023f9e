//! A registry that fails by plan: a proxy in front of a real one.

use std::io::{self, BufReader, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddrV4, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::error::{During, LabError, Result};
use super::http::read_head;

/// What happens to a request instead of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// This status, with the headers a registry gives with it.
    Status(u16),
    /// Nothing, until the plan is cleared; then the end of the connection.
    Hang,
    /// Nothing, until the plan is cleared; then it goes through.
    Hold,
    /// The answer's head and so many bytes of its body, then the end of the connection.
    Cut(u64),
    /// The same, and the connection is reset.
    Reset(u64),
    /// The whole answer, with its last byte changed.
    Spoil,
    /// The whole answer, at most so many bytes a second.
    Trickle(u64),
}

/// The proxy. Dropping it ends every connection it holds.
pub struct FaultyRegistry {
    address: SocketAddrV4,
    shared: Arc<Shared>,
}

struct Shared {
    upstream: SocketAddrV4,
    state: Mutex<State>,
    /// Told when the plan is cleared.
    cleared: Condvar,
}

#[derive(Default)]
struct State {
    plan: Vec<Rule>,
    seen: Vec<String>,
    held: Vec<TcpStream>,
    /// How often the plan was cleared.
    clears: u64,
    stopped: bool,
}

struct Rule {
    part: String,
    fault: Fault,
    /// So many go through before.
    skip: u32,
    /// None: every time.
    left: Option<u32>,
}

impl FaultyRegistry {
    pub(crate) fn start(gateway: Ipv4Addr, upstream: SocketAddrV4) -> Result<Self> {
        let what = || format!("listening on {gateway}");
        let listener = TcpListener::bind((gateway, 0)).during(what)?;
        let port = listener.local_addr().during(what)?.port();
        let shared = Arc::new(Shared {
            upstream,
            state: Mutex::default(),
            cleared: Condvar::new(),
        });
        let proxy = Self {
            address: SocketAddrV4::new(gateway, port),
            shared: Arc::clone(&shared),
        };
        std::thread::spawn(move || accept(&listener, &shared));
        Ok(proxy)
    }

    /// Its address, the first part of its images' names.
    #[must_use]
    pub fn address(&self) -> SocketAddrV4 {
        self.address
    }

    /// The whole name of an image pulled through it, from `org/name:tag`.
    #[must_use]
    pub fn image(&self, name: &str) -> String {
        format!("{}/{name}", self.address)
    }

    /// Lets every request whose line (`GET /v2/…`) contains `part` end in `fault`.
    pub fn fail(&self, part: &str, fault: Fault) {
        self.add(part, fault, 0, None);
    }

    /// The same from the `nth` such request on, counted from 1 and from now.
    pub fn fail_from(&self, part: &str, nth: u32, fault: Fault) {
        self.add(part, fault, nth.saturating_sub(1), None);
    }

    /// The same for the next `times` such requests; then they go through.
    pub fn fail_times(&self, part: &str, fault: Fault, times: u32) {
        self.add(part, fault, 0, Some(times));
    }

    /// Forgets the plan, ends the requests that hang and lets go those that are held.
    pub fn clear(&self) {
        let mut state = self.shared.state();
        state.plan.clear();
        state.clears += 1;
        release(&mut state);
        self.shared.cleared.notify_all();
    }

    /// The requests seen so far, `GET /v2/…`, in order.
    #[must_use]
    pub fn requests(&self) -> Vec<String> {
        self.shared.state().seen.clone()
    }

    /// Waits until a request containing `part` has come.
    ///
    /// # Errors
    /// When none has in time.
    pub fn wait_for_request(&self, part: &str, deadline: Duration) -> Result<(), LabError> {
        super::wait::until(&format!("a request for {part}"), deadline, || {
            self.shared
                .state()
                .seen
                .iter()
                .any(|line| line.contains(part))
                .then_some(())
        })
    }

    fn add(&self, part: &str, fault: Fault, skip: u32, left: Option<u32>) {
        self.shared.state().plan.push(Rule {
            part: part.to_owned(),
            fault,
            skip,
            left,
        });
    }
}

impl Drop for FaultyRegistry {
    fn drop(&mut self) {
        self.clear();
        self.shared.state().stopped = true;
        // The listener waits for a connection; this one tells it to look.
        let _last = TcpStream::connect(self.address);
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a request and takes the fault that is due for it.
    fn note(&self, line: &str, client: &TcpStream) -> io::Result<Option<Fault>> {
        let mut state = self.state();
        state.seen.push(line.to_owned());
        let mut due = None;
        for rule in state.plan.iter_mut().filter(|it| line.contains(&it.part)) {
            match rule.skip.checked_sub(1) {
                Some(skip) => rule.skip = skip,
                None if rule.left != Some(0) && due.is_none() => due = Some(rule),
                None => {}
            }
        }
        let rule = due;
        let fault = rule.map(|rule| {
            rule.left = rule.left.map(|left| left - 1);
            rule.fault
        });
        if fault == Some(Fault::Hang) {
            state.held.push(client.try_clone()?);
        }
        Ok(fault)
    }

    /// Waits until the plan is cleared once more.
    fn wait_for_clear(&self) {
        let state = self.state();
        let before = state.clears;
        let held = |state: &mut State| state.clears == before;
        drop(self.cleared.wait_while(state, held));
    }

    fn serve(&self, client: &TcpStream) -> io::Result<()> {
        let mut reader = BufReader::new(client);
        let head = read_head(&mut reader).inspect_err(|error| {
            if error.kind() == io::ErrorKind::InvalidData {
                let _told = (&*client).write_all(b"HTTP/1.0 400 Bad Request\r\n\r\n");
            }
        })?;
        let line = head.rsplit_once(" HTTP/").map_or(head.as_str(), |_| {
            head.split(" HTTP/").next().unwrap_or(&head)
        });
        match self.note(line, client)? {
            Some(Fault::Status(code)) => (&*client).write_all(failure(code).as_bytes()),
            Some(Fault::Hang) => io::copy(&mut reader, &mut io::sink()).map(drop),
            Some(Fault::Hold) => {
                self.wait_for_clear();
                self.relay(&head, reader, client, Shutdown::Both, |body, out| {
                    copy(body, out, None)
                })
            }
            Some(Fault::Cut(bytes)) => {
                self.relay(&head, reader, client, Shutdown::Both, |body, out| {
                    copy(&mut body.take(bytes), out, None)
                })
            }
            Some(Fault::Reset(bytes)) => {
                // What lingers for no time at all is reset when it is closed, unless it was ended in good order before.
                let now = Some(Duration::ZERO);
                rustix::net::sockopt::set_socket_linger(client, now)?;
                self.relay(&head, reader, client, Shutdown::Read, |body, out| {
                    copy(&mut body.take(bytes), out, None)
                })
            }
            Some(Fault::Spoil) => self.relay(&head, reader, client, Shutdown::Both, spoil),
            Some(Fault::Trickle(rate)) => {
                self.relay(&head, reader, client, Shutdown::Both, |body, out| {
                    copy(body, out, Some(rate))
                })
            }
            None => self.relay(&head, reader, client, Shutdown::Both, |body, out| {
                copy(body, out, None)
            }),
        }
    }

    /// Sends the request on, its body too, and the answer back through `pass`.
    fn relay(
        &self,
        head: &str,
        mut rest: BufReader<&TcpStream>,
        client: &TcpStream,
        end: Shutdown,
        pass: impl FnOnce(&mut dyn Read, &mut dyn Write) -> io::Result<()>,
    ) -> io::Result<()> {
        let upstream = TcpStream::connect(self.upstream)?;
        (&upstream).write_all(one_request(head).as_bytes())?;
        std::thread::scope(|scope| {
            scope.spawn(|| io::copy(&mut rest, &mut &upstream));
            let mut answer = BufReader::new(&upstream);
            let passed = read_head(&mut answer)
                .and_then(|head| (&*client).write_all(head.as_bytes()))
                .and_then(|()| pass(&mut answer, &mut &*client));
            // Whatever happened, both ends close: the thread that carries the request's body ends with them.
            let _closed = (client.shutdown(end), upstream.shutdown(Shutdown::Both));
            passed
        })
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for client in listener.incoming().flatten() {
        if shared.state().stopped {
            return;
        }
        let shared = Arc::clone(shared);
        std::thread::spawn(move || shared.serve(&client));
    }
}

fn release(state: &mut State) {
    for held in state.held.drain(..) {
        let _gone = held.shutdown(Shutdown::Both);
    }
}

/// The head with the connection closed after the answer, so that its end needs no parsing.
fn one_request(head: &str) -> String {
    let lines = head.trim_end().lines();
    let kept = lines.filter(|line| !line.to_ascii_lowercase().starts_with("connection:"));
    let kept: String = kept.map(|line| format!("{line}\r\n")).collect();
    format!("{kept}Connection: close\r\n\r\n")
}

fn failure(code: u16) -> String {
    let (name, extra) = match code {
        401 => ("UNAUTHORIZED", "WWW-Authenticate: Basic realm=\"lab\"\r\n"),
        403 => ("DENIED", ""),
        404 => ("MANIFEST_UNKNOWN", ""),
        429 => ("TOOMANYREQUESTS", "Retry-After: 1\r\n"),
        503 => ("UNAVAILABLE", "Retry-After: 1\r\n"),
        _ => ("UNKNOWN", ""),
    };
    let body =
        format!("{{\"errors\":[{{\"code\":\"{name}\",\"message\":\"planned by the test\"}}]}}");
    let length = body.len();
    format!(
        "HTTP/1.1 {code} {name}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n{extra}Connection: close\r\n\r\n{body}"
    )
}

/// Copies, in steps of a tenth of a second if there is a rate to keep.
fn copy(from: &mut dyn Read, to: &mut dyn Write, rate: Option<u64>) -> io::Result<()> {
    let Some(rate) = rate else {
        return io::copy(from, to).map(drop);
    };
    while io::copy(&mut (&mut *from).take((rate / 10).max(1)), to)? > 0 {
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

/// Copies, but for the last byte.
fn spoil(from: &mut dyn Read, to: &mut dyn Write) -> io::Result<()> {
    let mut body = Vec::new();
    from.read_to_end(&mut body)?;
    if let Some(last) = body.last_mut() {
        *last ^= 1;
    }
    to.write_all(&body)
}

#[cfg(test)]
mod tests {
    use super::one_request;

    #[test]
    fn one_request_closes_whatever_was_asked() {
        let head = "GET /v2/ HTTP/1.1\r\nHost: a\r\nconnection: keep-alive\r\n\r\n";
        assert_eq!(
            one_request(head),
            "GET /v2/ HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
        );
    }
}

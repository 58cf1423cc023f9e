//! As much HTTP as the lab needs: one request a connection, bodies of known length.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddrV4, TcpStream};
use std::time::Duration;

/// A server of the lab that says nothing for this long is stuck.
const PATIENCE: Duration = Duration::from_secs(30);

/// A head longer than this is not HTTP.
const HEAD: u64 = 64 * 1024;

/// A request to send.
pub(crate) struct Request {
    method: &'static str,
    target: String,
    headers: String,
    body: Vec<u8>,
}

/// What came back.
pub(crate) struct Answer {
    /// The status code.
    pub(crate) status: u16,
    /// The header lines, names and values as they came.
    pub(crate) headers: Vec<(String, String)>,
    /// The body.
    pub(crate) body: Vec<u8>,
}

impl Request {
    /// A GET.
    pub(crate) fn get(target: impl Into<String>) -> Self {
        Self::new("GET", target)
    }

    /// Any request; the target is a path, or a whole address on the server it is sent to.
    pub(crate) fn new(method: &'static str, target: impl Into<String>) -> Self {
        Self {
            method,
            target: target.into(),
            headers: String::new(),
            body: Vec::new(),
        }
    }

    /// Adds a header line.
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers += &format!("{name}: {value}\r\n");
        self
    }

    /// Sets the body.
    pub(crate) fn body(mut self, body: Vec<u8>) -> Self {
        self.body = body;
        self
    }

    /// Connects and sends it.
    pub(crate) fn send_to(&self, address: SocketAddrV4) -> io::Result<Answer> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        self.send(stream, &address.to_string())
    }

    /// Sends it over `stream` and reads the answer. Version 1.0, so that the answer is never chunked.
    pub(crate) fn send(&self, mut stream: impl Read + Write, host: &str) -> io::Result<Answer> {
        let (method, target, length) = (self.method, &self.target, self.body.len());
        let head = format!(
            "{method} {target} HTTP/1.0\r\nHost: {host}\r\nContent-Length: {length}\r\n{}\r\n",
            self.headers
        );
        stream.write_all(head.as_bytes())?;
        stream.write_all(&self.body)?;
        read_answer(BufReader::new(stream), method == "HEAD")
    }
}

impl Answer {
    /// A header's value, whatever the case of its name.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.headers.iter();
        lines
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }
}

fn read_answer(mut stream: impl BufRead, head_only: bool) -> io::Result<Answer> {
    let head = read_head(&mut stream)?;
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
    let status = status.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, head.clone()))?;
    let headers = head.lines().skip(1).filter_map(|line| line.split_once(':'));
    let headers = headers
        .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
        .collect();
    let mut answer = Answer {
        status,
        headers,
        body: Vec::new(),
    };
    let length = answer
        .header("content-length")
        .and_then(|text| text.parse::<u64>().ok());
    match (head_only, length) {
        (true, _) => {}
        (false, Some(length)) => drop(stream.take(length).read_to_end(&mut answer.body)?),
        (false, None) => drop(stream.read_to_end(&mut answer.body)?),
    }
    Ok(answer)
}

/// Reads up to and with the empty line that ends a head.
pub(crate) fn read_head(stream: &mut impl BufRead) -> io::Result<String> {
    // Engines try TLS first, and HTTP only where that is answered with it.
    if !stream
        .fill_buf()?
        .first()
        .is_some_and(u8::is_ascii_uppercase)
    {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "not HTTP"));
    }
    let mut head = Vec::new();
    let mut stream = stream.take(HEAD);
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read_until(b'\n', &mut head)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    String::from_utf8(head).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

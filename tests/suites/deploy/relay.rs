//! Ways to a host that are worse than its own: ones that can be cut, and a long, narrow one.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// A way to a host that can be cut as often as one likes.
pub(crate) struct Wire {
    open: Arc<Mutex<Vec<TcpStream>>>,
}

/// How long bytes are under way, and how many pass in a second, each way.
#[derive(Clone, Copy)]
pub(crate) struct Length {
    pub(crate) latency: Duration,
    pub(crate) rate: u32,
}

/// An address of this machine alone that stands for a host; other hosts, and other runs, have others.
pub(crate) fn stand_in(host: Ipv4Addr) -> Ipv4Addr {
    let [.., run, number] = host.octets();
    Ipv4Addr::new(127, 74, run, number)
}

impl Wire {
    /// On port 7433 of an address of this machine alone.
    pub(crate) fn to(host: SocketAddr, here: Ipv4Addr) -> Self {
        Self::passing(host, here, pass)
    }

    /// The same, as long and as narrow as that.
    pub(crate) fn long(host: SocketAddr, here: Ipv4Addr, length: Length) -> Self {
        Self::passing(host, here, move |from, to| crawl(from, to, length))
    }

    fn passing(
        host: SocketAddr,
        here: Ipv4Addr,
        pass: impl Fn(TcpStream, TcpStream) + Copy + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind((here, 7433)).unwrap();
        let open = Arc::new(Mutex::new(Vec::new()));
        let all = Arc::clone(&open);
        thread::spawn(move || {
            for near in listener.incoming().map_while(Result::ok) {
                let far = TcpStream::connect(host).unwrap();
                let mut open = all.lock().unwrap();
                for (from, to) in [(&near, &far), (&far, &near)] {
                    open.push(from.try_clone().unwrap());
                    let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                    thread::spawn(move || pass(from, to));
                }
            }
        });
        Self { open }
    }

    pub(crate) fn cut(&self) {
        for stream in self.open.lock().unwrap().drain(..) {
            stream.shutdown(Shutdown::Both).ok();
        }
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream) {
    let mut bytes = [0; 16 * 1024];
    while let Ok(count @ 1..) = from.read(&mut bytes) {
        if to
            .write_all(bytes.get(..count).unwrap_or_default())
            .is_err()
        {
            break;
        }
    }
    to.shutdown(Shutdown::Both).ok();
}

/// Bytes wait for their time in a queue that holds no more than a wire of that length would.
fn crawl(mut from: TcpStream, to: TcpStream, length: Length) {
    let (send, receive) = sync_channel(64);
    let arriving = thread::spawn(move || arrive(to, &receive, length));
    let mut bytes = [0; 1400];
    while let Ok(count @ 1..) = from.read(&mut bytes) {
        let piece = bytes.get(..count).unwrap_or_default().to_vec();
        if send.send((Instant::now() + length.latency, piece)).is_err() {
            break;
        }
    }
    drop(send);
    arriving.join().ok();
}

fn arrive(mut to: TcpStream, pieces: &Receiver<(Instant, Vec<u8>)>, length: Length) {
    while let Ok((due, piece)) = pieces.recv() {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        thread::sleep(Duration::from_secs(1) * u32::try_from(piece.len()).unwrap() / length.rate);
        if to.write_all(&piece).is_err() {
            break;
        }
    }
    to.shutdown(Shutdown::Both).ok();
}

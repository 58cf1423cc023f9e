//! Addresses of this machine's own network, each for one test at a time.
//!
//! A port that was free a moment ago may be another's by now: the kernel gives free ports to whoever connects. An
//! address of 127.0.0.0/8 that nobody else uses has all of its ports, and the low ones are given to nobody.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU32, Ordering};

/// Listens wherever an address is taken, and answers nobody.
const HOLD: u16 = 7432;
/// Addresses that are tried: 127.64.0.0/10.
const MANY: u32 = 1 << 22;
const FIRST: u32 = u32::from_be_bytes([127, 64, 0, 0]);

/// An address that is its own until it is dropped.
pub struct Loopback {
    held: TcpListener,
}

impl Loopback {
    /// Takes the next free one.
    ///
    /// # Errors
    /// When the kernel refuses for another reason than that one is taken.
    pub fn take() -> io::Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        // Far from those of other processes, so that one try is enough.
        let own = std::process::id().wrapping_mul(1 << 10);
        loop {
            let next = NEXT.fetch_add(1, Ordering::Relaxed);
            let ip = Ipv4Addr::from(FIRST + own.wrapping_add(next) % MANY);
            match TcpListener::bind((ip, HOLD)) {
                Ok(held) => return Ok(Self { held }),
                Err(error) if error.kind() == io::ErrorKind::AddrInUse && next < MANY => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// The address.
    ///
    /// # Panics
    /// Never: what listens has an address.
    #[must_use]
    pub fn ip(&self) -> IpAddr {
        let address = self.held.local_addr();
        address.expect("a listener has an address").ip()
    }

    /// One of its ports.
    #[must_use]
    pub fn port(&self, port: u16) -> SocketAddr {
        SocketAddr::new(self.ip(), port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_are_never_the_same_and_each_has_its_ports() {
        let (one, two) = (Loopback::take().unwrap(), Loopback::take().unwrap());
        assert_ne!(one.ip(), two.ip());
        let same = [&one, &two].map(|it| TcpListener::bind(it.port(7433)).unwrap());
        drop(same);
    }
}

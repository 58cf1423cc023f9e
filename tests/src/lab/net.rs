//! The run's own /24 and bridge, chosen so that runs can overlap.

use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU8, Ordering};

use super::command::tool;
use super::error::{LabError, Result};

/// Hosts are numbered from here; below are the gateway and room for a test's own servers.
const FIRST_HOST: u8 = 11;

/// One /24 of 10.77.0.0/16; its third byte also names the bridge and the links.
pub(crate) struct Net {
    third: u8,
    next: AtomicU8,
}

impl Net {
    /// A subnet that nothing on this machine uses. The caller holds the lock that makes this safe.
    pub(crate) fn free() -> Result<Self> {
        let used = tool(["ip", "-o", "-4", "addr"])? + &tool(["ip", "route"])?;
        let links = tool(["ip", "-o", "link"])?;
        let start = std::process::id() % 250;
        let candidates = (0..250).map(|step| u8::try_from((start + step) % 250 + 1).unwrap_or(1));
        candidates
            .map(|third| Self {
                third,
                next: AtomicU8::new(FIRST_HOST),
            })
            .find(|net| {
                !used.contains(&format!("10.77.{}.", net.third))
                    && !links.contains(&format!(" {}:", net.bridge()))
            })
            .ok_or_else(|| LabError::Other("no free subnet in 10.77.0.0/16".to_owned()))
    }

    /// Makes the bridge.
    pub(crate) fn up(&self) -> Result<()> {
        let (bridge, address) = (self.bridge(), format!("{}/24", self.gateway()));
        // Without one of its own it takes the lowest of its links': with each host that comes or goes the others would send
        // to nobody, until they ask again, ten seconds and more.
        let own = hardware(self.gateway());
        tool([
            "ip", "link", "add", &bridge, "address", &own, "type", "bridge",
        ])?;
        tool(["ip", "addr", "add", &address, "dev", &bridge])?;
        tool(["ip", "link", "set", &bridge, "up"])?;
        Ok(())
    }

    /// The bridge's name.
    pub(crate) fn bridge(&self) -> String {
        format!("lsh{}", self.third)
    }

    /// The bridge's address, which is this machine's on the lab's network.
    pub(crate) fn gateway(&self) -> Ipv4Addr {
        Ipv4Addr::new(10, 77, self.third, 1)
    }

    /// The whole network, as engines write it.
    pub(crate) fn cidr(&self) -> String {
        format!("10.77.{}.0/24", self.third)
    }

    /// The next host's address.
    pub(crate) fn next_address(&self) -> Ipv4Addr {
        Ipv4Addr::new(
            10,
            77,
            self.third,
            self.next.fetch_add(1, Ordering::Relaxed),
        )
    }

    /// The name of a host's link on the bridge.
    pub(crate) fn link(&self, address: Ipv4Addr) -> String {
        let [.., last] = address.octets();
        format!("lsh{}-{last}", self.third)
    }

    /// Puts a host's link into the network of the process `pid`, as its `eth0`.
    pub(crate) fn plug(&self, address: Ipv4Addr, pid: u32) -> Result<()> {
        let (bridge, link, pid) = (self.bridge(), self.link(address), pid.to_string());
        // What a host that was powered off leaves goes a moment after its processes.
        let _left_over = tool(["ip", "link", "delete", &link]);
        // After a power cut a host is the same card to its neighbours, as a server is.
        let own = hardware(address);
        let ends = [
            "type", "veth", "peer", "name", "eth0", "address", &own, "netns", &pid,
        ];
        tool(["ip", "link", "add", &link].into_iter().chain(ends))?;
        tool(["ip", "link", "set", &link, "master", &bridge, "up"])?;
        Ok(())
    }
}

/// The locally administered hardware address of whoever has this one.
fn hardware(address: Ipv4Addr) -> String {
    let [a, b, c, d] = address.octets();
    format!("02:4c:{a:02x}:{b:02x}:{c:02x}:{d:02x}")
}

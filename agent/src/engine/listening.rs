//! Which programs of the host listen on a port: the kernel's socket tables, and the processes behind them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use super::Listener;
use crate::resolved::Published;

/// Looking is reading files of the kernel; a host with very many processes is not waited for.
const DEADLINE: Duration = Duration::from_secs(3);
/// Tables with the state in which a socket waits for others: listening, or unconnected.
const TABLES: &[(&str, &str, &str)] = &[
    ("tcp", "tcp", "0A"),
    ("tcp6", "tcp", "0A"),
    ("udp", "udp", "07"),
    ("udp6", "udp", "07"),
];

struct Socket {
    port: Published,
    inode: u64,
    user: u32,
}

/// Programs that listen on one of these ports.
pub(super) async fn on(ports: BTreeSet<u16>) -> Vec<Listener> {
    let look = tokio::task::spawn_blocking(move || look(&ports));
    match tokio::time::timeout(DEADLINE, look).await {
        Ok(Ok(found)) => found,
        _ => Vec::new(),
    }
}

fn look(ports: &BTreeSet<u16>) -> Vec<Listener> {
    let mut sockets = Vec::new();
    for (table, protocol, state) in TABLES {
        let text = fs::read_to_string(format!("/proc/self/net/{table}")).unwrap_or_default();
        let rows = text.lines().skip(1);
        let rows = rows.filter_map(|row| socket(row, protocol, state));
        sockets.extend(rows.filter(|socket| ports.contains(&socket.port.port)));
    }
    if sockets.is_empty() {
        return Vec::new();
    }
    let programs = programs(&sockets.iter().map(|socket| socket.inode).collect());
    let listener = |socket: Socket| {
        let program = programs.get(&socket.inode);
        Listener {
            name: match program {
                Some(program) => format!("program {}", program.name),
                // The sandbox hides whose files are open.
                None => format!("a program of user {}", socket.user),
            },
            port: socket.port,
            hidden: program.is_none(),
            container: program.and_then(|program| program.container.clone()),
        }
    };
    sockets.into_iter().map(listener).collect()
}

/// `0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000  0  12345 …`
fn socket(row: &str, protocol: &str, state: &str) -> Option<Socket> {
    let fields: Vec<&str> = row.split_whitespace().collect();
    let local = fields.get(1)?;
    if *fields.get(3)? != state {
        return None;
    }
    let (ip, port) = local.split_once(':')?;
    let ip = address(ip)?;
    Some(Socket {
        port: Published {
            ip: (!ip.is_unspecified()).then_some(ip),
            port: u16::from_str_radix(port, 16).ok()?,
            protocol: protocol.to_owned(),
        },
        user: fields.get(7)?.parse().ok()?,
        inode: fields.get(9)?.parse().ok()?,
    })
}

/// Words of four bytes, each in the machine's own order.
fn address(hex: &str) -> Option<IpAddr> {
    let mut bytes = Vec::new();
    let mut rest = hex;
    while !rest.is_empty() {
        let (word, after) = rest.split_at_checked(8)?;
        bytes.extend(u32::from_str_radix(word, 16).ok()?.to_ne_bytes());
        rest = after;
    }
    match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes)
            .ok()
            .map(|it| Ipv4Addr::from(it).into()),
        16 => {
            let ip = Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?);
            Some(ip.to_ipv4_mapped().map_or(IpAddr::V6(ip), IpAddr::V4))
        }
        _ => None,
    }
}

struct Running {
    name: String,
    container: Option<String>,
}

/// The processes that have these sockets open.
fn programs(wanted: &BTreeSet<u64>) -> BTreeMap<u64, Running> {
    let mut found = BTreeMap::new();
    for process in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let name = process.file_name();
        let is_process = name.to_str().is_some_and(|it| it.parse::<u32>().is_ok());
        let open = is_process.then(|| fs::read_dir(process.path().join("fd")));
        for file in open.into_iter().flatten().flatten().flatten() {
            let inode = fs::read_link(file.path()).ok();
            let inode = inode.and_then(|target| inode_of(target.to_str()?));
            if let Some(inode) = inode.filter(|inode| wanted.contains(inode)) {
                let read = |file: &str| fs::read_to_string(process.path().join(file));
                let running = Running {
                    name: read("comm").unwrap_or_default().trim().to_owned(),
                    container: container_of(&read("cgroup").unwrap_or_default()),
                };
                found.insert(inode, running);
            }
        }
        if found.len() == wanted.len() {
            break;
        }
    }
    found
}

/// The container's id in a process's control groups: `0::/system.slice/docker-0123….scope`, `5:cpu:/docker/0123…`.
fn container_of(groups: &str) -> Option<String> {
    let mut words = groups.split(|c: char| !c.is_ascii_alphanumeric());
    let is_id = |word: &&str| word.len() == 64 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    words.find(is_id).map(str::to_owned)
}

/// `socket:[12345]`.
fn inode_of(target: &str) -> Option<u64> {
    let inode = target.strip_prefix("socket:[")?.strip_suffix(']')?;
    inode.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[tokio::test]
    async fn a_listener_is_found_with_its_program() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let found = on([port].into()).await;
        let wanted = format!("127.0.0.1:{port}/tcp");
        let ours = found.iter().find(|one| one.port.to_string() == wanted);
        let name = &ours.unwrap().name;
        assert!(name.starts_with("program "), "{name}");
        drop(listener);
    }

    #[test]
    fn addresses_are_read_as_the_kernel_writes_them() {
        let word = |bytes: [u8; 4]| format!("{:08X}", u32::from_ne_bytes(bytes));
        assert_eq!(
            address(&word([127, 0, 0, 1])),
            Some(Ipv4Addr::LOCALHOST.into())
        );
        let mapped = [[0; 4], [0; 4], [0, 0, 255, 255], [10, 0, 0, 1]]
            .map(word)
            .concat();
        assert_eq!(address(&mapped), Some(Ipv4Addr::new(10, 0, 0, 1).into()));
    }

    #[test]
    fn a_process_of_a_container_is_known_by_its_control_group() {
        let id = "0123456789abcdef".repeat(4);
        for groups in [
            format!("0::/system.slice/docker-{id}.scope\n"),
            format!("12:cpu:/docker/{id}\n0::/other"),
            format!("4:devices:/lab-emilia/{id}"),
        ] {
            assert_eq!(container_of(&groups).as_ref(), Some(&id), "{groups}");
        }
        assert_eq!(container_of("0::/user.slice/session-1.scope"), None);
    }

    proptest! {
        #[test]
        fn no_table_panics(row in ".{0,120}", word in "[0-9A-Fa-fé]{0,40}") {
            drop(socket(&row, "tcp", "0A"));
            prop_assert!(address(&word).is_none() || [8, 32].contains(&word.len()));
            prop_assert!(inode_of(&row).is_none() || row.starts_with("socket:["));
        }
    }
}

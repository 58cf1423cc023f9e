//! Which handshakes may go on: newcomers win over the oldest, so that hanging ones never keep an operator out.

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, Ipv6Addr};

use tokio::task::AbortHandle;

/// Where a connection comes from, as coarse as one owner of addresses.
fn origin(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            let network = address.to_bits() & !u128::from(u64::MAX);
            IpAddr::V6(Ipv6Addr::from_bits(network))
        }
    }
}

/// The unfinished handshakes, oldest first.
pub(super) struct Door {
    total: usize,
    per_origin: usize,
    waiting: VecDeque<(IpAddr, AbortHandle)>,
}

impl Door {
    pub(super) fn new(total: usize, per_origin: usize) -> Self {
        Self {
            total: total.max(1),
            per_origin: per_origin.max(1),
            waiting: VecDeque::new(),
        }
    }

    /// Makes room for one handshake from `address`, ending an old one where there is none.
    pub(super) fn make_room(&mut self, address: IpAddr) {
        self.waiting.retain(|(_, task)| !task.is_finished());
        let origin = origin(address);
        let same = self.waiting.iter().filter(|(other, _)| *other == origin);
        if same.count() >= self.per_origin {
            self.end_oldest_of(origin);
        } else if self.waiting.len() >= self.total
            && let Some(busiest) = self.busiest()
        {
            self.end_oldest_of(busiest);
        }
    }

    /// Remembers a handshake that has begun.
    pub(super) fn began(&mut self, address: IpAddr, task: AbortHandle) {
        self.waiting.push_back((origin(address), task));
    }

    /// Makes room when the system has none left; says how many were ended.
    pub(super) fn end_oldest_half(&mut self) -> usize {
        self.waiting.retain(|(_, task)| !task.is_finished());
        let half = self.waiting.len().div_ceil(2);
        self.waiting
            .drain(..half)
            .for_each(|(_, task)| task.abort());
        half
    }

    fn end_oldest_of(&mut self, origin: IpAddr) {
        let found = self.waiting.iter().position(|(other, _)| *other == origin);
        if let Some((_, task)) = found.and_then(|at| self.waiting.remove(at)) {
            task.abort();
        }
    }

    fn busiest(&self) -> Option<IpAddr> {
        let mut counts = HashMap::new();
        for (origin, _) in &self.waiting {
            *counts.entry(*origin).or_insert(0_usize) += 1;
        }
        let busiest = counts.into_iter().max_by_key(|(_, count)| *count);
        busiest.map(|(origin, _)| origin)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::task::JoinSet;

    struct Hanging {
        door: Door,
        tasks: JoinSet<()>,
    }

    impl Hanging {
        async fn arrive(&mut self, address: &str) {
            let address = address.parse().unwrap();
            self.door.make_room(address);
            self.door
                .began(address, self.tasks.spawn(std::future::pending()));
            tokio::task::yield_now().await;
        }

        fn from(&self, address: &str) -> usize {
            let address = origin(address.parse().unwrap());
            let same = self
                .door
                .waiting
                .iter()
                .filter(|(other, _)| *other == address);
            same.count()
        }
    }

    #[tokio::test]
    async fn a_crowd_ends_its_own_oldest_and_nobody_elses() {
        let door = Door::new(6, 4);
        let tasks = JoinSet::new();
        let mut hanging = Hanging { door, tasks };
        hanging.arrive("10.0.0.1").await;
        for _ in 0..50 {
            hanging.arrive("10.0.0.2").await;
        }
        assert_eq!((hanging.from("10.0.0.1"), hanging.from("10.0.0.2")), (1, 4));
        hanging.arrive("10.0.0.3").await;
        hanging.arrive("10.0.0.4").await;
        assert_eq!((hanging.from("10.0.0.1"), hanging.from("10.0.0.2")), (1, 3));
        assert_eq!(hanging.door.waiting.len(), 6);
    }

    #[tokio::test]
    async fn one_owner_of_ipv6_addresses_counts_once() {
        let door = Door::new(6, 2);
        let tasks = JoinSet::new();
        let mut hanging = Hanging { door, tasks };
        for host in 1..20 {
            hanging.arrive(&format!("2001:db8::{host:x}")).await;
        }
        assert_eq!(hanging.from("2001:db8::1"), 2);
        hanging.arrive("::ffff:10.0.0.1").await;
        assert_eq!(hanging.from("10.0.0.1"), 1);
    }
}

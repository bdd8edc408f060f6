//! Addresses for pods and services: the next free one after the last given.
//!
//! A cursor that goes round the range gives an address again only after all others had their
//! turn, so that a new pod does not meet what is remembered of the one that just went.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

use crate::node::Node;

/// Hosts of a range in which IPv4 and IPv6 addresses are given in pairs with one host number.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Pool {
    v4: Ipv4Addr,
    v6: Ipv6Addr,
    first: u16,
    last: u16,
    next: u16,
    taken: BTreeSet<u16>,
}

// === impl Pool ===

impl Pool {
    /// 10.244.N.0/24 and fd00:10:244:N::/64, without the network, the bridge and the broadcast.
    pub fn pods(node: Node) -> Self {
        let third = node.index() as u8;
        let v6 = [0xfd00, 0x10, 0x244, third.into()];
        Self::new([10, 244, third, 0].into(), v6, 2, 254)
    }

    /// 10.96.0.0/16 and fd00:10:96::/112, above the addresses that people like to name.
    pub fn services() -> Self {
        Self::new(
            [10, 96, 0, 0].into(),
            [0xfd00, 0x10, 0x96, 0],
            0x100,
            0xfffe,
        )
    }

    fn new(v4: Ipv4Addr, [a, b, c, d]: [u16; 4], first: u16, last: u16) -> Self {
        Self {
            v4,
            v6: Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0),
            first,
            last,
            next: first,
            taken: BTreeSet::new(),
        }
    }

    /// A free host number, or `None` when all are taken.
    pub fn take(&mut self) -> Option<u16> {
        let range = u32::from(self.last - self.first) + 1;
        let start = u32::from(self.next - self.first);
        for step in 0..range {
            let host = self.first + ((start + step) % range) as u16;
            if self.taken.insert(host) {
                self.next = if host == self.last {
                    self.first
                } else {
                    host + 1
                };
                return Some(host);
            }
        }
        None
    }

    /// Keeps a host number that somebody asked for by its address.
    pub fn reserve(&mut self, address: IpAddr) {
        if let Some(host) = self.host(address) {
            self.taken.insert(host);
        }
    }

    pub fn release(&mut self, address: IpAddr) {
        if let Some(host) = self.host(address) {
            self.taken.remove(&host);
        }
    }

    pub fn v4(&self, host: u16) -> IpAddr {
        Ipv4Addr::from_bits(self.v4.to_bits() + u32::from(host)).into()
    }

    pub fn v6(&self, host: u16) -> IpAddr {
        Ipv6Addr::from_bits(self.v6.to_bits() + u128::from(host)).into()
    }

    fn host(&self, address: IpAddr) -> Option<u16> {
        let offset = match address {
            IpAddr::V4(v4) => u128::from(v4.to_bits().checked_sub(self.v4.to_bits())?),
            IpAddr::V6(v6) => v6.to_bits().checked_sub(self.v6.to_bits())?,
        };
        u16::try_from(offset).ok().filter(|host| *host <= self.last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn freed_addresses_come_last() {
        let mut pool = Pool::pods(Node::FIRST);
        let first = pool.take().unwrap();
        assert_eq!(pool.v4(first).to_string(), "10.244.0.2");
        assert_eq!(pool.v6(first).to_string(), "fd00:10:244::2");
        pool.release(pool.v4(first));
        let mut last = first;
        for _ in 0..252 {
            last = pool.take().unwrap();
            assert_ne!(last, first);
        }
        assert_eq!(last, 254);
        assert_eq!(pool.take(), Some(first));
        assert_eq!(pool.take(), None);
    }

    #[test]
    fn foreign_addresses_change_nothing() {
        let mut pool = Pool::pods(Node::FIRST);
        pool.reserve("192.0.2.1".parse().unwrap());
        pool.reserve("10.244.0.2".parse().unwrap());
        assert_eq!(pool.take(), Some(3));
    }
}

//! The kernel side as a change needs it.

use std::{collections::BTreeMap, io, os::fd::OwnedFd};

use tokio::task::block_in_place;
use weir_link::proxy::ListenerInfo;
use weir_policy::{compile::Snapshot, model::Service};
use weir_redirector::{Places, PodInterface, Redirector, RedirectorError, Unmanaged};

/// The kernel side of a node.
pub trait Kernel {
    /// Lets go of interfaces that are gone; tells how many.
    fn release_gone(&mut self) -> Result<usize, RedirectorError>;

    /// Whether an interface (index) is there; an error says nothing of it.
    fn is_there(&self, interface: u32) -> io::Result<bool>;

    /// Whether an interface of this name is there; an error says nothing of it.
    fn is_there_by_name(&self, interface: &str) -> io::Result<bool>;

    /// Where pods are, and which have no place.
    fn place(&mut self, pods: &[PodInterface])
    -> Result<(Places, Vec<Unmanaged>), RedirectorError>;

    /// Puts a snapshot in force; tells pods whose interface takes no program.
    fn apply(
        &mut self,
        snapshot: &Snapshot,
        services: &[Service],
        places: &Places,
    ) -> Result<Vec<Unmanaged>, RedirectorError>;

    /// Devices by name that host policies are not enforced on, and why.
    fn unjudged_devices(&self) -> BTreeMap<String, String>;

    /// Puts a proxy's listener in charge of new connections.
    fn listen(&mut self, info: &ListenerInfo, listener: &OwnedFd) -> Result<(), RedirectorError>;

    /// Tells the programs whether a proxy listens.
    fn set_proxy_ready(&mut self, ready: bool) -> Result<(), RedirectorError>;
}

// === impl Kernel ===

impl Kernel for Redirector {
    fn release_gone(&mut self) -> Result<usize, RedirectorError> {
        block_in_place(|| Redirector::release_gone(self))
    }

    fn is_there(&self, interface: u32) -> io::Result<bool> {
        Redirector::is_there(self, interface)
    }

    fn is_there_by_name(&self, interface: &str) -> io::Result<bool> {
        Redirector::is_there_by_name(self, interface)
    }

    fn place(
        &mut self,
        pods: &[PodInterface],
    ) -> Result<(Places, Vec<Unmanaged>), RedirectorError> {
        block_in_place(|| Redirector::place(self, pods))
    }

    fn apply(
        &mut self,
        snapshot: &Snapshot,
        services: &[Service],
        places: &Places,
    ) -> Result<Vec<Unmanaged>, RedirectorError> {
        block_in_place(|| Redirector::apply(self, snapshot, services, places))
    }

    fn unjudged_devices(&self) -> BTreeMap<String, String> {
        Redirector::unjudged_devices(self).clone()
    }

    fn listen(&mut self, info: &ListenerInfo, listener: &OwnedFd) -> Result<(), RedirectorError> {
        Redirector::listen(self, info.direction, info.v6, info.udp, listener)
    }

    fn set_proxy_ready(&mut self, ready: bool) -> Result<(), RedirectorError> {
        Redirector::set_proxy_ready(self, ready)
    }
}

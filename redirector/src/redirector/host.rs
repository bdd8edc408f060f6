//! The programs at the node's devices, while host policies select the node.

use std::collections::{BTreeMap, BTreeSet};

use weir_abi::{
    host::{HOST, REACHED, SENT_ON},
    policy::Endpoint,
};

use super::Redirector;
use crate::{
    network::devices::{self, Device},
    pins::{device_of_pin, device_pins},
    place::Places,
    programs::{Hook, Place, ProgramsError},
};

/// Which devices the node has, and which of them are judged.
#[derive(Debug, Default)]
pub(super) struct Devices {
    /// `None`: never read.
    known: Option<BTreeSet<Device>>,
    attached: BTreeSet<u32>,
    /// Why others are not, by name.
    unjudged: BTreeMap<String, String>,
}

/// Whether an endpoint is the node's and at no interface.
pub(super) fn is_host(interface: u32) -> bool {
    [HOST, REACHED, SENT_ON].contains(&interface)
}

/// An endpoint that is nothing but a share of the connection table.
pub(super) fn share_alone(index: u16) -> Endpoint {
    Endpoint {
        index,
        ..Endpoint::default()
    }
}

// === impl Devices ===

impl Devices {
    /// Whether they have ever been read.
    pub(super) fn are_read(&self) -> bool {
        self.known.is_some()
    }
}

// === impl Redirector ===

impl Redirector {
    /// Looks which devices the node has now. They take programs where host policies select the node.
    pub fn follow_devices(&mut self) {
        if self.is_host_judged() {
            self.read_devices();
            self.judge_devices();
        }
    }

    /// Devices by name that host policies are not enforced on though they select the node, and why.
    pub fn unjudged_devices(&self) -> &BTreeMap<String, String> {
        &self.devices.unjudged
    }

    /// Tries again what could not be attached.
    pub fn retry_devices(&mut self) {
        if !self.devices.unjudged.is_empty() {
            self.follow_devices();
        }
    }

    /// Always read anew: of an older list one that has just come would be taken for gone.
    pub(super) fn read_devices(&mut self) {
        match devices::now() {
            Ok(known) => self.devices.known = Some(known),
            Err(error) => tracing::error!(%error, "the node's devices cannot be read"),
        }
    }

    /// Whether a pod's interface has no programs yet: it may be a device of the node, too.
    pub(super) fn is_new(&self, places: &Places) -> bool {
        let mut places = places.iter();
        places.any(|(_, place, _)| !self.attached.contains_key(&place.interface))
    }

    fn is_host_judged(&self) -> bool {
        self.installed.endpoints().contains_key(&HOST)
    }

    /// Attaches the programs wherever they are missing, and lets go of devices that are gone.
    pub(super) fn judge_devices(&mut self) {
        let Some(known) = self.devices.known.clone() else {
            let unread = "they cannot be read".to_owned();
            self.devices
                .unjudged
                .insert("all of them".to_owned(), unread);
            return;
        };
        self.leave_devices(|index| known.iter().any(|device| device.index == index));
        self.devices.unjudged.clear();
        for device in &known {
            if self.devices.attached.contains(&device.index) {
                continue;
            }
            let attached = match device.ethernet {
                true => self
                    .attach_device(device)
                    .map_err(|error| error.to_string()),
                false => Err("its frames have no Ethernet header".to_owned()),
            };
            if let Err(reason) = attached {
                tracing::error!(
                    device = device.name,
                    reason,
                    "host policies are not enforced on it"
                );
                self.devices.unjudged.insert(device.name.clone(), reason);
            } else {
                self.devices.attached.insert(device.index);
            }
        }
    }

    fn attach_device(&mut self, device: &Device) -> Result<(), ProgramsError> {
        let [to, from] = device_pins(device.index);
        let name = &device.name;
        // What a pod sends is judged by its own policies before, and what goes to it behind.
        self.programs
            .attach_at("to_host", name, Hook::Ingress, Place::Last, &to)?;
        self.programs
            .attach_at("from_host", name, Hook::Egress, Place::First, &from)
    }

    /// Detaches from all devices but those that are kept.
    pub(super) fn leave_devices(&mut self, kept: impl Fn(u32) -> bool) {
        let pins = match self.programs.pinned() {
            Ok(pins) => pins,
            Err(error) => {
                tracing::warn!(%error, "pinned links cannot be listed");
                return;
            }
        };
        for pin in pins {
            let Some(index) = device_of_pin(&pin).filter(|index| !kept(*index)) else {
                continue;
            };
            self.devices.attached.remove(&index);
            if let Err(error) = self.programs.detach(&pin) {
                tracing::warn!(pin, %error, "a link is still pinned");
            }
        }
    }

    /// Lets go of the node itself, which no host policy selects any more.
    pub(super) fn leave_host(&mut self) {
        self.leave_devices(|_| false);
        self.devices = Devices::default();
    }
}

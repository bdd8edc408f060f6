//! Pods played by network namespaces: a Kubernetes node on one Linux machine, from plain manifests.
//!
//! ```text
//!  manifests ──read──▶ State.objects ──plan──▶ pods, services ──converge──▶ netns, links, nft, DNS
//!                                                   └──▶ /run/weir/labs/N/manifests ──▶ weir agent
//! ```
//!
//! `weir lab`, the end-to-end tests and the benchmarks stand on [`Lab`]. It owns the netns whose
//! names begin with `weir-lab-N-`, the folder `/run/weir/labs/N`, and the processes in them; it
//! changes nothing else on the machine. It never judges a packet: that is the agent's part.

mod address;
mod agent;
mod converge;
pub mod demo;
mod down;
mod host;
pub mod kubectl;
mod lab;
mod layout;
mod names;
mod node;
mod object;
mod play;
pub mod scenario;
mod spawn;
mod state;
mod store;
mod target;
pub mod workload;

pub use agent::Part;
pub use host::process::outlive_interrupts;
pub use lab::{Applied, Change, Inside, Lab, RunPod, UpOptions};
pub use object::kind::from_word as kind_from_word;
pub use object::read::{value_from_yaml, value_to_yaml};
pub use state::{Pod, Topology};

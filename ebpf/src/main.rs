//! Weir's kernel programs.
//!
//! ```text
//! client pod ─veth─▶ [from_pod]  node's stack  [to_pod] ─veth─▶ server pod
//!                       │ redirect                │ redirect
//!                       ▼                         ▼
//!                     weir0 ══ weir1 [to_proxy] ─▶ sk_lookup [steer_*] ─▶ proxy
//!        [from_proxy] ◀─┘        └─ [leave_proxy] ◀── proxy's packets
//! ```
//!
//! `from_pod` and `to_pod` sit on the node's side of every managed pod's veth; the link programs
//! and the steering on the private link of each direction. `to_host` and `from_host` sit on every
//! device of the node while a host policy selects it. What cannot be judged is dropped.
#![no_std]
#![no_main]
#![feature(core_intrinsics, asm_experimental_arch)]
#![allow(
    internal_features,
    reason = "BPF's atomic addition is an intrinsic only"
)]

mod ended;
mod host;
mod http;
mod learnt;
mod link;
mod maps;
mod neighbour;
mod packet;
mod pod;
mod service;
mod share;
mod steer;
mod tell;
mod tracking;
mod verdict;
mod words;

use aya_ebpf::{
    macros::{classifier, sk_lookup},
    programs::{SkLookupContext, TcContext},
};

/// tcx ingress of a pod's host-side veth: what the pod sends.
#[classifier]
pub fn from_pod(ctx: TcContext) -> i32 {
    pod::handle::<true>(&ctx)
}

/// tcx egress of a pod's host-side veth: what goes to the pod.
#[classifier]
pub fn to_pod(ctx: TcContext) -> i32 {
    pod::handle::<false>(&ctx)
}

/// tcx ingress of the node's devices, behind `from_pod`: what reaches the node.
#[classifier]
pub fn to_host(ctx: TcContext) -> i32 {
    host::handle::<false>(&ctx)
}

/// tcx egress of the node's devices, before `to_pod`: what the node sends.
#[classifier]
pub fn from_host(ctx: TcContext) -> i32 {
    host::handle::<true>(&ctx)
}

/// Called by `to_pod`: what the client of a judged connection sends.
#[classifier]
pub fn judge_client(ctx: TcContext) -> i32 {
    http::handle::<false>(&ctx)
}

/// Called by `from_pod`: what its server sends.
#[classifier]
pub fn judge_server(ctx: TcContext) -> i32 {
    http::handle::<true>(&ctx)
}

/// Run by who takes a judged connection over; attached nowhere.
#[classifier]
pub fn set_state(ctx: TcContext) -> i32 {
    http::set_state(&ctx)
}

/// Run by the agent; attached nowhere.
#[classifier]
pub fn sweep(ctx: TcContext) -> i32 {
    ended::sweep(&ctx)
}

/// tcx ingress of the private link inside the proxy's network namespace.
#[classifier]
pub fn to_proxy(ctx: TcContext) -> i32 {
    link::arrive(&ctx)
}

/// tcx egress of the private link inside the proxy's network namespace.
#[classifier]
pub fn leave_proxy(ctx: TcContext) -> i32 {
    link::leave_proxy(&ctx)
}

/// tcx ingress of the private link on the node's side: what the proxy sent.
#[classifier]
pub fn from_proxy(ctx: TcContext) -> i32 {
    link::from_proxy(&ctx)
}

/// New connections in the network namespace of ingress flows go to the proxy's listener.
#[sk_lookup]
pub fn steer_ingress(ctx: SkLookupContext) -> u32 {
    steer::steer(&ctx, weir_abi::policy::direction::INGRESS)
}

/// New connections in the network namespace of egress flows go to the proxy's listener.
#[sk_lookup]
pub fn steer_egress(ctx: SkLookupContext) -> u32 {
    steer::steer(&ctx, weir_abi::policy::direction::EGRESS)
}

/// Never reached: nothing here panics, and the verifier would refuse an endless loop it can reach.
#[cfg(not(test))]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 4] = *b"GPL\0";

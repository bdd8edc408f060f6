//! Which sockets the node has. In the middle of a connection only they tell who opened it: nothing
//! in a packet does.

use aya_ebpf::{
    bindings::bpf_sock_tuple,
    helpers::generated::{bpf_sk_lookup_udp, bpf_sk_release, bpf_skc_lookup_tcp},
    programs::TcContext,
};
use weir_abi::{conntrack::ConnectionKey, protocol};

/// `BPF_F_CURRENT_NETNS`: where the device is.
const HERE: u64 = -1i64 as u64;
/// `TCP_LISTEN` of linux/tcp_states.h.
const LISTEN: u32 = 10;

/// What the node has for a connection.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Has {
    Nothing,
    /// Whoever opens one gets one.
    Listener,
    Connection,
}

/// What the node has for a TCP connection, seen from the node.
#[inline(always)]
pub fn of(ctx: &TcContext, key: &ConnectionKey) -> Has {
    has(ctx, key, key.remote_port)
}

/// Whether a socket of the node waits for others at the flow's port of the node.
#[inline(always)]
pub fn listens(ctx: &TcContext, key: &ConnectionKey) -> bool {
    // No connection has port 0, and a listener takes any.
    has(ctx, key, 0) == Has::Listener
}

#[inline(always)]
fn has(ctx: &TcContext, key: &ConnectionKey, remote_port: u16) -> Has {
    let v6 = key.local[..12] != weir_abi::mapped([0; 4])[..12];
    // Filled as the kernel lays it out: the addresses, then the ports, big endian.
    let mut tuple = [0u32; 9];
    let length = if v6 {
        for word in 0..4 {
            tuple[word] = word_of(&key.remote, word);
            tuple[4 + word] = word_of(&key.local, word);
        }
        tuple[8] = ports(remote_port, key.local_port);
        36
    } else {
        tuple[0] = word_of(&key.remote, 3);
        tuple[1] = word_of(&key.local, 3);
        tuple[2] = ports(remote_port, key.local_port);
        12
    };
    let (skb, tuple) = (
        ctx.skb.skb.cast(),
        (&raw mut tuple).cast::<bpf_sock_tuple>(),
    );
    // SAFETY: the tuple has so many bytes; what is found is released.
    unsafe {
        let socket = if key.protocol == protocol::UDP {
            bpf_sk_lookup_udp(skb, tuple, length, HERE, 0)
        } else {
            bpf_skc_lookup_tcp(skb, tuple, length, HERE, 0)
        };
        if socket.is_null() {
            return Has::Nothing;
        }
        let state = (*socket).state;
        bpf_sk_release(socket.cast());
        if state == LISTEN || key.protocol == protocol::UDP {
            Has::Listener
        } else {
            Has::Connection
        }
    }
}

#[inline(always)]
fn word_of(address: &weir_abi::Address, word: usize) -> u32 {
    let at = word * 4;
    u32::from_ne_bytes([
        address[at],
        address[at + 1],
        address[at + 2],
        address[at + 3],
    ])
}

/// Both ports as they stand one behind the other.
#[inline(always)]
fn ports(source: u16, destination: u16) -> u32 {
    source.to_be() as u32 | (destination.to_be() as u32) << 16
}

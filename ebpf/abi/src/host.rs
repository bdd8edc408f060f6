//! The node as an endpoint: what host policies are enforced by.

/// Key of the node in the `ENDPOINTS` map, which no interface has. Its endpoint owns no address:
/// what is the node's says [`crate::policy::NODE_LOCAL`]. Where it is missing nothing is judged.
pub const HOST: u32 = 0;

/// Key of the flows that others have opened to the node, beside [`HOST`]: they have a share of the
/// connection table of their own, so that nobody uses up what the node opens its flows in.
pub const REACHED: u32 = u32::MAX - 1;

/// Key of what the node sends on with its own address, beside [`HOST`]: its flows have a share of the
/// connection table of their own, so that pods do not use up the node's.
pub const SENT_ON: u32 = u32::MAX;

/// Values of the `HOST_PORTS` map, of which keys are [`crate::service::ServiceKey`]s; those with
/// [`crate::service::ANY_NODE_V4`] or `_V6` count for every address of the node.
pub mod port {
    /// A node port, or the host port of a pod on this node: the node sends what comes there on to a
    /// pod, whose policies judge it, unless a socket of its own listens there.
    pub const POD: u8 = 1;
    /// The Kubernetes API, here or on another node.
    pub const API: u8 = 2;
    /// A service's address behind which is the node itself: what comes there is the node's.
    pub const NODE: u8 = 3;
}

/// Where the kubelet serves (`KubeletConfiguration.port`).
pub const KUBELET: u16 = 10250;

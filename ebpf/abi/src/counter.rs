//! Counters: every way a packet can go, each in its own slot of the per-CPU `COUNTERS` array.

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident = $index:literal, $label:literal;)*) => {
        $($(#[$doc])* pub const $name: u8 = $index;)*
        /// Names of the counters in order of their slots, as metrics and status print them.
        pub const NAMES: [&str; COUNT as usize] = [$($label),*];
        const _: () = { let mut i = 0; $(assert!($index == i); i += 1; let _ = i;)* };
    };
}

/// Whether a packet was dropped for another reason than policy.
pub const fn is_failure(counter: u8) -> bool {
    counter >= DROP_NO_ENDPOINT && counter <= DROP_FOREIGN
        || counter == DROP_UNTRACKED
        || counter == DROP_NEIGHBOUR
}

/// Number of slots.
pub const COUNT: u32 = 45;

counters! {
    /// A packet of a tracked flow passed.
    PASS_TRACKED = 0, "pass_tracked";
    /// A new flow passed.
    PASS_NEW = 1, "pass_new";
    /// ARP, neighbour discovery and multicast listener reports.
    PASS_NEIGHBOUR = 2, "pass_neighbour";
    /// An ICMP error about a tracked flow.
    PASS_RELATED = 3, "pass_related";
    /// A flow of the node itself.
    PASS_NODE = 4, "pass_node";
    /// A packet that the link program injected for the proxy.
    PASS_INJECTED = 5, "pass_injected";
    /// Sent to the proxy.
    REDIRECT = 6, "redirect_to_proxy";
    /// From the proxy to a pod.
    FROM_PROXY_TO_POD = 7, "from_proxy_to_pod";
    /// From the proxy, injected as a pod's own.
    FROM_PROXY_INJECT = 8, "from_proxy_inject";
    /// Arrived in the proxy's network namespace.
    TO_PROXY = 9, "to_proxy";
    /// Denied by default or by a deny rule.
    DROP_POLICY = 10, "drop_policy";
    /// The interface has no endpoint: it is attached but not yet (or no longer) known.
    DROP_NO_ENDPOINT = 11, "drop_no_endpoint";
    /// Headers that cannot be read.
    DROP_MALFORMED = 12, "drop_malformed";
    /// A frame that is neither untagged IP nor ARP.
    DROP_NOT_IP = 13, "drop_not_ip";
    /// A pod sent from an address that is not its own.
    DROP_SPOOFED = 14, "drop_spoofed";
    /// A fragment whose first part was not seen.
    DROP_FRAGMENT = 15, "drop_fragment";
    /// L7 rules apply but there is no private link.
    DROP_NO_LINK = 16, "drop_no_link";
    /// L7 rules apply but no proxy listens.
    DROP_NO_PROXY = 17, "drop_no_proxy";
    /// The proxy sent a packet without a mark of ours.
    DROP_UNMARKED = 18, "drop_unmarked";
    /// The proxy sent a packet for an endpoint that is gone.
    DROP_GONE = 19, "drop_gone";
    /// The link-layer address of a proxied flow is not known.
    DROP_NO_NEIGHBOUR = 20, "drop_no_neighbour";
    /// The endpoint's share of the connection table is used up, or the table is full.
    DROP_TABLE_FULL = 21, "drop_table_full";
    /// A service's address could not be translated.
    DROP_TRANSLATION = 22, "drop_translation";
    /// A frame on the private link that is not ours.
    DROP_FOREIGN = 23, "drop_foreign";
    /// An event did not fit into the ring buffer.
    LOST_EVENT = 24, "lost_event";
    /// A tracked flow was judged anew under a new revision.
    REJUDGED = 25, "rejudged";
    /// An answer to a request that was not seen, or TCP in the middle of a connection that is not
    /// known.
    DROP_UNTRACKED = 26, "drop_untracked";
    /// A new flow passed that policies in audit mode would deny.
    PASS_AUDITED = 27, "pass_audited";
    /// A packet of a pod to itself, by way of a service.
    PASS_ITSELF = 28, "pass_itself";
    /// ARP, neighbour discovery or multicast reports that their sender may not send: another's
    /// address, or a router's messages from a pod.
    DROP_NEIGHBOUR = 29, "drop_neighbour";
    /// A packet to an address that is not the endpoint's own: a bridge floods what it has not
    /// learnt.
    DROP_NOT_OWN = 30, "drop_not_own";
    /// A TCP connection that is older than the programs passed.
    PASS_MET = 31, "pass_met";
    /// An entry of the connection table went to make room for another one of the same endpoint.
    EVICTED = 32, "evicted";
    /// The head of a request passed, judged in the kernel.
    PASS_JUDGED = 33, "pass_judged";
    /// A part of the body of such a request.
    PASS_BODY = 34, "pass_body";
    /// A connection that was judged in the kernel is handed to the proxy.
    TAKEN = 35, "taken_over";
    /// What a client sent is held until the proxy has its connection.
    HELD = 36, "held";
    /// The same, and there was no room for it: the client sends it again.
    DROP_HELD = 37, "drop_held";
    /// Bytes of a client before or beyond what may pass.
    DROP_AHEAD = 38, "drop_ahead";
    /// A request before the reply to the last one was complete: the client sends it again.
    DROP_EARLY = 39, "drop_early";
    /// The endpoint handed more connections to the proxy than it may: the client sends it again.
    DROP_TAKEN_TOO_MANY = 40, "drop_taken_too_many";
    /// The programs that judge requests are not there.
    DROP_NO_JUDGE = 41, "drop_no_judge";
    /// The record of a request that was judged in the kernel found no room.
    LOST_REQUEST = 42, "lost_request";
    /// A pod was told by an ICMP error that its packet was denied.
    REFUSED = 43, "refused";
    /// A flow passed that host policies would deny and that is never denied.
    PASS_GUARDED = 44, "pass_guarded";
}

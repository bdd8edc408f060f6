//! Kubernetes' own connectivity tests of NetworkPolicy (`test/e2e/network/netpol`), by their names.
//!
//! Nine pods, `x/a` to `z/c`, serve TCP, UDP and SCTP on ports 80 and 81. A test applies policies
//! and says which pod may reach which; then every pod tries every other one, by the pod's address
//! and by its service's, in IPv4 and in IPv6, and what came is held against the table.
//!
//! The tests take their labs from a pool and reset them, so that a suite of 96 makes a few only.
//! They need root, and fail without it.

mod cluster;
mod egress;
mod ingress;
mod policy;
mod probe;
mod protocols;
mod table;
mod updates;

use weir_lab::Topology;

use cluster::Cluster;

/// Makes a test of each line for each topology.
macro_rules! suite {
    ($($module:ident :: $name:ident = $title:literal;)*) => {
        mod routed {
            $(#[test] fn $name() {
                super::play(weir_lab::Topology::Routed, $title, super::$module::$name);
            })*
        }
        mod bridge {
            $(#[test] fn $name() {
                super::play(weir_lab::Topology::Bridge, $title, super::$module::$name);
            })*
        }
        const TITLES: &[&str] = &[$($title),*];
    };
}

suite! {
    ingress::default_deny_ingress = "should support a 'default-deny-ingress' policy";
    ingress::default_deny_all = "should support a 'default-deny-all' policy";
    ingress::pod_selector = "should enforce policy to allow traffic from pods within server namespace based on PodSelector";
    ingress::for_a_target = "should enforce policy to allow ingress traffic for a target";
    ingress::all_namespaces = "should enforce policy to allow ingress traffic from pods in all namespaces";
    ingress::different_namespace = "should enforce policy to allow traffic only from a different namespace, based on NamespaceSelector";
    ingress::pod_match_expressions = "should enforce policy based on PodSelector with MatchExpressions";
    ingress::namespace_match_expressions = "should enforce policy based on NamespaceSelector with MatchExpressions";
    ingress::pod_or_namespace = "should enforce policy based on PodSelector or NamespaceSelector";
    ingress::pod_and_namespace = "should enforce policy based on PodSelector and NamespaceSelector";
    ingress::multiple_selectors = "should enforce policy based on Multiple PodSelectors and NamespaceSelectors";
    ingress::any_pod_selectors = "should enforce policy based on any PodSelectors";
    ingress::pod_of_different_namespace = "should enforce policy to allow traffic only from a pod in a different namespace based on PodSelector and NamespaceSelector";
    ingress::ports = "should enforce policy based on Ports";
    ingress::stacked_policies = "should enforce multiple, stacked policies with overlapping podSelectors";
    ingress::allow_all = "should support allow-all policy";
    ingress::named_port = "should allow ingress access on one named port";
    ingress::named_port_from_namespace = "should allow ingress access from namespace on one named port";
    egress::egress_named_port = "should allow egress access on one named port";
    updates::policy = "should enforce updated policy";
    updates::namespace = "should allow ingress access from updated namespace";
    updates::updated_pod = "should allow ingress access from updated pod";
    ingress::deny_other_namespaces = "should deny ingress from pods on other namespaces";
    updates::target = "should deny ingress access to updated pod";
    egress::deny_of_pod = "should deny egress from pods based on PodSelector";
    egress::deny_of_namespace = "should deny egress from all pods in a namespace";
    egress::together_with_ingress = "should work with Ingress, Egress specified together";
    egress::client_side = "should support denying of egress traffic on the client side (even if the server explicitly allows this traffic)";
    egress::to_pod_of_namespace = "should enforce egress policy allowing traffic to a server in a different namespace based on PodSelector and NamespaceSelector";
    protocols::any_port_of_protocol = "should enforce ingress policy allowing any port traffic to a server on a specific protocol";
    ingress::allow_all_takes_precedence = "should enforce multiple ingress policies with ingress allow-all policy taking precedence";
    egress::egress_allow_all_takes_precedence = "should enforce multiple egress policies with egress allow-all policy taking precedence";
    updates::deleted = "should stop enforcing policies after they are deleted";
    egress::cidr = "should allow egress access to server in CIDR block";
    egress::cidr_except = "should enforce except clause while egress access to server in CIDR block";
    egress::cidr_overlap = "should ensure an IP overlapping both IPBlock.CIDR and IPBlock.Except is allowed";
    egress::independent_of_ingress = "should enforce policies to check ingress and egress policies can be controlled independently based on PodSelector";
    protocols::sctp_is_not_tcp = "should not mistakenly treat 'protocol: SCTP' as 'protocol: TCP', even if the plugin doesn't support SCTP";
    protocols::sctp_isolates = "should properly isolate pods that are selected by a policy allowing SCTP, even if the plugin doesn't support SCTP";
    protocols::udp_is_not_tcp = "should not allow access by TCP when a policy specifies only UDP";
    ingress::default_label = "should enforce policy to allow traffic based on NamespaceSelector with MatchLabels using default ns label";
    egress::egress_default_label = "should enforce policy based on NamespaceSelector with MatchExpressions using default ns label";
    protocols::udp_default_deny = "UDP: should support a 'default-deny-ingress' policy";
    protocols::udp_ports = "UDP: should enforce policy based on Ports";
    protocols::udp_pod_of_namespace = "UDP: should enforce policy to allow traffic only from a pod in a different namespace based on PodSelector and NamespaceSelector";
    protocols::sctp_default_deny = "SCTP: should support a 'default-deny-ingress' policy";
    protocols::sctp_ports = "SCTP: should enforce policy based on Ports";
    protocols::sctp_pod_of_namespace = "SCTP: should enforce policy to allow traffic only from a pod in a different namespace based on PodSelector and NamespaceSelector";
}

#[test]
fn all_48_are_here() {
    assert_eq!(TITLES.len(), 48);
}

fn play(topology: Topology, title: &str, test: fn(&Cluster)) {
    println!("{title}");
    let cluster = Cluster::take(topology);
    test(&cluster);
}

//! CIDR groups: prefixes that rules name by an object of their own.

use std::collections::BTreeMap;

use ipnet::IpNet;

use super::{
    peer::{Entity, Peer, Peers},
    policy::{Action, Policy, Problem, Rule},
    selector::{Labels, Selector},
};

/// The prefixes of a CiliumCIDRGroup.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CidrGroup {
    /// Its labels.
    pub labels: Labels,
    /// Its prefixes.
    pub cidrs: Vec<IpNet>,
    /// Some of what it names was not understood: it may mean more than its prefixes.
    pub partial: bool,
}

/// Groups by name.
pub type CidrGroups = BTreeMap<String, CidrGroup>;

/// Which groups a rule means.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum WhichGroups {
    /// The one of this name (`cidrGroupRef`).
    Named(String),
    /// Those whose labels match (`cidrGroupSelector`).
    Matching(Selector),
}

// === impl WhichGroups ===

impl WhichGroups {
    /// The groups that are there.
    pub fn of<'a>(&'a self, groups: &'a CidrGroups) -> impl Iterator<Item = &'a CidrGroup> {
        let meant = move |(name, group): &(&String, &CidrGroup)| match self {
            Self::Named(wanted) => *name == wanted,
            Self::Matching(selector) => selector.matches_labels(&group.labels),
        };
        groups.iter().filter(meant).map(|(_, group)| group)
    }

    /// Whether more may be meant than the groups that are there say: one that is named is missing, or
    /// a part of one was not understood.
    fn unsure(&self, groups: &CidrGroups) -> bool {
        let missing = matches!(self, Self::Named(name) if !groups.contains_key(name));
        missing || self.of(groups).any(|group| group.partial)
    }
}

// === impl Policy ===

impl Policy {
    /// The policy with the prefixes of these groups beside each peer that names some. An allow rule
    /// means the prefixes that are known; a deny rule all that may be meant, which where that is not
    /// known is everybody outside the cluster.
    #[must_use]
    pub fn with_groups(&self, groups: &CidrGroups) -> Self {
        let mut policy = self.clone();
        for spec in &mut policy.specs {
            let rules = spec.ingress.rules.iter_mut().chain(&mut spec.egress.rules);
            rules.for_each(|rule| rule.add_groups(groups));
        }
        policy
    }

    /// What is said of groups that its rules name and that are not there.
    pub fn missing_groups(&self, groups: &CidrGroups) -> Vec<Problem> {
        let mut found = Vec::new();
        let sections = self
            .specs
            .iter()
            .flat_map(|spec| [&spec.ingress, &spec.egress]);
        for rule in sections.flat_map(|section| &section.rules) {
            let Peers::OneOf(peers) = &rule.peers else {
                continue;
            };
            for peer in peers {
                if let Peer::CidrGroup(WhichGroups::Named(name)) = peer
                    && !groups.contains_key(name)
                {
                    let meant = match rule.action {
                        Action::Deny => "everybody outside the cluster is denied",
                        Action::Allow | Action::Pass => "nobody is allowed by it",
                    };
                    found.push(Problem {
                        object: self.object.to_string(),
                        field: rule.place.clone(),
                        reason: format!(
                            "names CiliumCIDRGroup `{name}`, which is not there: {meant}"
                        ),
                    });
                }
            }
        }
        found
    }
}

// === impl Rule ===

impl Rule {
    fn add_groups(&mut self, groups: &CidrGroups) {
        let Peers::OneOf(peers) = &mut self.peers else {
            return;
        };
        let mut found = Vec::new();
        for peer in peers.iter() {
            let Peer::CidrGroup(which) = peer else {
                continue;
            };
            let cidrs = which.of(groups).flat_map(|group| &group.cidrs);
            found.extend(cidrs.map(|cidr| Peer::Cidr {
                cidr: *cidr,
                except: Vec::new(),
                cluster_too: false,
            }));
            if self.action == Action::Deny && which.unsure(groups) {
                found.push(Peer::Entity(Entity::World));
            }
        }
        peers.append(&mut found);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::sample::{Sample, cilium_policy};
    use crate::verdict::{Flow, Outcome, Simulator};

    fn groups() -> CidrGroups {
        let group = |cidr: &str, labels: &str| CidrGroup {
            labels: [("role".to_owned(), labels.to_owned())].into(),
            cidrs: vec![cidr.parse().unwrap()],
            partial: false,
        };
        [
            ("vpn".to_owned(), group("192.0.2.0/24", "vpn")),
            ("office".to_owned(), group("198.51.100.0/24", "office")),
        ]
        .into()
    }

    /// What a client outside gets from a server whose policy has this section.
    fn outcome(section: serde_json::Value, groups: &CidrGroups, from: &str) -> Outcome {
        let mut spec = json!({"endpointSelector": {"matchLabels": {"app": "httpbin"}}});
        for (name, value) in section.as_object().unwrap() {
            spec[name] = value.clone();
        }
        let mut sample = Sample::workshop().policy(&cilium_policy("groups", spec));
        for policy in &mut sample.world.policies {
            *policy = policy.with_groups(groups);
        }
        let flow = json!({"from": from, "to": "default/httpbin-0", "protocol": "TCP", "port": 80});
        let flow: Flow = serde_json::from_value(flow).unwrap();
        Simulator::new(&sample.world).judge(&flow).unwrap().verdict
    }

    #[test]
    fn a_rule_means_the_prefixes_of_its_groups() {
        let by_name = || json!({"ingress": [{"fromCIDRSet": [{"cidrGroupRef": "vpn"}]}]});
        let by_label = || {
            json!({"ingress": [{"fromCIDRSet": [
                {"cidrGroupSelector": {"matchLabels": {"role": "office"}}}]}]})
        };
        for (section, vpn, office) in [
            (by_name(), Outcome::Allow, Outcome::Deny),
            (by_label(), Outcome::Deny, Outcome::Allow),
        ] {
            assert_eq!(outcome(section.clone(), &groups(), "192.0.2.7"), vpn);
            assert_eq!(outcome(section.clone(), &groups(), "198.51.100.7"), office);
            // A group is never a pod.
            assert_eq!(
                outcome(section, &groups(), "default/sleep-0"),
                Outcome::Deny
            );
        }
    }

    #[test]
    fn what_is_not_known_of_a_group_is_not_allowed_and_is_denied() {
        let none = CidrGroups::new();
        let allow = json!({"ingress": [{"fromCIDRSet": [{"cidrGroupRef": "vpn"}]}]});
        assert_eq!(outcome(allow, &none, "192.0.2.7"), Outcome::Deny);
        let deny = json!({"ingress": [{"fromEntities": ["all"]}],
            "ingressDeny": [{"fromCIDRSet": [{"cidrGroupRef": "vpn"}]}]});
        assert_eq!(outcome(deny.clone(), &none, "203.0.113.9"), Outcome::Deny);
        assert_eq!(
            outcome(deny.clone(), &none, "default/sleep-0"),
            Outcome::Allow
        );
        assert_eq!(
            outcome(deny.clone(), &groups(), "203.0.113.9"),
            Outcome::Allow
        );
        let mut partial = groups();
        partial.get_mut("vpn").unwrap().partial = true;
        assert_eq!(outcome(deny, &partial, "203.0.113.9"), Outcome::Deny);
        // A selector that finds no group means nobody.
        let by_label = json!({"ingress": [{"fromEntities": ["all"]}], "ingressDeny": [
            {"fromCIDRSet": [{"cidrGroupSelector": {"matchLabels": {"role": "x"}}}]}]});
        assert_eq!(outcome(by_label, &groups(), "203.0.113.9"), Outcome::Allow);
    }
}

//! The rules that decide on the flows of one port: requests, server names, DNS queries.

use std::sync::Arc;

use crate::{
    http::{
        Asked, Doubt, NameUse, Request, RequestVerdict, Speaks,
        matcher::{Matcher, PatternError},
    },
    names::{Name, NamePattern},
    objects::GET_BODY,
};

use super::{Allowed, OwnedRule};

/// Compiled rules of one port.
#[derive(Debug)]
pub(crate) struct RuleList {
    speaks: Speaks,
    http: Matcher,
    /// Policy of each HTTP rule.
    owners: Vec<String>,
    tls: Vec<Named>,
    dns: Vec<Named>,
}

/// A name with the rule that allows it.
#[derive(Debug)]
struct Named {
    name: NamePattern,
    policy: String,
    place: String,
}

impl RuleList {
    /// Compiles rules.
    pub fn new(rules: &[OwnedRule]) -> Result<Self, PatternError> {
        let mut speaks = Speaks::default();
        let (mut http, mut owners) = (Vec::new(), Vec::new());
        let (mut tls, mut dns) = (Vec::new(), Vec::new());
        for OwnedRule { policy, place, l7 } in rules {
            let named = |names: &[NamePattern]| -> Vec<Named> {
                let named = names.iter().map(|name| Named {
                    name: name.clone(),
                    policy: policy.clone(),
                    place: place.clone(),
                });
                named.collect()
            };
            match l7 {
                Allowed::Http(rules) => {
                    speaks.http = true;
                    owners.extend(rules.iter().map(|_| policy.clone()));
                    http.extend(rules.iter().cloned());
                }
                Allowed::Tls(names) => {
                    speaks.tls = true;
                    tls.extend(named(names));
                }
                Allowed::Dns(names) => {
                    speaks.dns = true;
                    dns.extend(named(names));
                }
            }
        }
        Ok(Self {
            speaks,
            http: Matcher::new(http)?,
            owners,
            tls,
            dns,
        })
    }

    /// What the rules look at of a request.
    pub fn asked(&self) -> &Arc<Asked> {
        self.http.asked()
    }

    /// What the rules are about.
    pub fn speaks(&self) -> Speaks {
        self.speaks
    }

    /// The verdict on a request.
    pub fn judge(&self, request: &Request<'_>) -> RequestVerdict {
        if let Some(index) = self.http.first_match(request) {
            let (policy, place) = self.rule(index);
            if let Some((doubt, reason)) = self.http.asked().doubt(request) {
                return refused(doubt, policy, &reason);
            }
            let mut verdict = RequestVerdict::new(
                true,
                vec![policy.to_owned()],
                format!("allowed by {policy} ({place})"),
            );
            if self.http.has_header_actions() {
                (verdict.edits, verdict.noted) = self.http.header_actions(request);
            }
            return verdict;
        }
        let without = Request {
            body: false,
            ..*request
        };
        if request.body
            && let Some(index) = self.http.first_match(&without)
        {
            let reason = format!(
                "a server may take the body of {} for the next request; `{GET_BODY}: allow` on the policy lets it pass",
                request.method
            );
            return refused(Doubt::Body, self.rule(index).0, &reason);
        }
        let reason = match self.http.nearest_miss(request) {
            Some(miss) => {
                let (policy, place) = self.rule(miss.rule);
                format!(
                    "no HTTP rule matches; the nearest, {place} of {policy}, would but for {}",
                    miss.failed.join(" and ")
                )
            }
            None if self.speaks.http => {
                "no HTTP rule is in force for this port: all of them were refused".into()
            }
            None => "no rule of this port is about HTTP".into(),
        };
        RequestVerdict::new(false, Vec::new(), reason)
    }

    /// The verdict on a name.
    pub fn judge_name(&self, usage: NameUse, name: Option<&str>) -> RequestVerdict {
        let (list, what) = match usage {
            NameUse::Tls => (&self.tls, "server name"),
            NameUse::Dns => (&self.dns, "DNS name"),
        };
        let Some(name) = name else {
            let reason = format!("the client gives no {what}");
            return RequestVerdict::new(false, Vec::new(), reason);
        };
        let read = match usage {
            NameUse::Tls => Name::of_host(name),
            NameUse::Dns => Name::parse(name),
        };
        let Some(read) = read else {
            let reason = format!("{what} `{}` is no name", name.escape_debug());
            return RequestVerdict::new(false, Vec::new(), reason);
        };
        match list.iter().find(|named| named.name.matches(&read)) {
            Some(Named { policy, place, .. }) => RequestVerdict::new(
                true,
                vec![policy.clone()],
                format!("{what} `{name}` allowed by {policy} ({place})"),
            ),
            None => {
                let known: Vec<&str> = list.iter().take(3).map(|n| n.name.as_str()).collect();
                let more = if list.len() > known.len() {
                    ", …"
                } else {
                    ""
                };
                RequestVerdict::new(
                    false,
                    Vec::new(),
                    format!("{what} `{name}` is none of {}{more}", known.join(", ")),
                )
            }
        }
    }

    /// The policy of an HTTP rule, and where it stands there.
    fn rule(&self, index: usize) -> (&str, &str) {
        (
            self.owners.get(index).map_or("", String::as_str),
            self.http.rule(index).map_or("", |rule| rule.place.as_str()),
        )
    }
}

/// The verdict on a request that a policy's rule allows and that is refused all the same.
fn refused(doubt: Doubt, policy: &str, reason: &str) -> RequestVerdict {
    RequestVerdict {
        doubt: Some(doubt),
        ..RequestVerdict::new(
            false,
            vec![policy.to_owned()],
            format!("refused with 400: {reason}"),
        )
    }
}

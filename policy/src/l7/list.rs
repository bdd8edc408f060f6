//! The rules that decide on the flows of one port: requests, server names, DNS queries.

use std::sync::Arc;

use crate::{
    compile::Verdict,
    http::{
        Asked, Doubt, Request,
        matcher::{Matcher, PatternError},
    },
    model::HttpRule,
    names::{Name, NamePattern},
    nearest::{Miss, MissKind, NO_ENTRY, NOT_HTTP, NearestMiss},
    objects::GET_BODY,
    reason::{Reason, RuleRef},
};

use super::{Allowed, NameUse, OwnedRule, RequestVerdict, Speaks};

/// Compiled rules of one port.
#[derive(Debug)]
pub(crate) struct RuleList {
    speaks: Speaks,
    http: Matcher,
    /// Policy of each HTTP rule.
    owners: Vec<String>,
    /// Rules that match no request at all, and what each request lacks for them.
    closed: Vec<(RuleRef, &'static str)>,
    tls: Vec<Named>,
    dns: Vec<Named>,
}

/// A name with the rule that allows it.
#[derive(Debug)]
struct Named {
    name: NamePattern,
    rule: RuleRef,
}

impl RuleList {
    /// Compiles rules.
    pub fn new(rules: &[OwnedRule]) -> Result<Self, PatternError> {
        let mut speaks = Speaks::default();
        let (mut http, mut owners) = (Vec::new(), Vec::new());
        let (mut tls, mut dns, mut closed) = (Vec::new(), Vec::new(), Vec::new());
        for OwnedRule { policy, place, l7 } in rules {
            let rule = RuleRef::new(policy, place);
            let named = |names: &[NamePattern]| -> Vec<Named> {
                let named = names.iter().map(|name| Named {
                    name: name.clone(),
                    rule: rule.clone(),
                });
                named.collect()
            };
            match l7 {
                Allowed::Http(rules) if rules.is_empty() => closed.push((rule.clone(), NO_ENTRY)),
                Allowed::Http(_) => {}
                Allowed::Tls(_) | Allowed::Dns(_) => closed.push((rule.clone(), NOT_HTTP)),
            }
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
            closed,
            tls,
            dns,
        })
    }

    /// HTTP rules of no policy.
    pub fn of_entries(entries: &[HttpRule]) -> Result<Self, PatternError> {
        Self::new(&[OwnedRule {
            policy: String::new(),
            place: String::new(),
            l7: Allowed::Http(entries.to_vec()),
        }])
    }

    /// Makes what the first request would make.
    pub fn prepare(&self) {
        self.http.prepare();
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
            let rule = self.rule(index);
            if let Some((doubt, reason)) = self.http.asked().doubt(request) {
                let misses = vec![Miss::new(MissKind::Header, reason.clone())];
                return refused(doubt, rule, reason, misses);
            }
            let reason = Reason::Rules(Verdict::Allow, vec![rule]);
            let mut verdict = RequestVerdict::because(true, reason);
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
            let misses = self.http.misses(index, request);
            return refused(Doubt::Body, self.rule(index), reason, misses);
        }
        let (reason, nearest) = match self.http.nearest_miss(request) {
            Some((index, misses)) => (
                Reason::NoHttpRule,
                Some(NearestMiss::new(self.rule(index), misses)),
            ),
            None => {
                let reason = match self.speaks.http {
                    true => Reason::NoHttpRuleInForce,
                    false => Reason::NotAboutHttp,
                };
                let nearest = self.closed.first().map(|(rule, text)| {
                    NearestMiss::new(rule.clone(), vec![Miss::new(MissKind::Other, *text)])
                });
                (reason, nearest)
            }
        };
        RequestVerdict {
            nearest,
            ..RequestVerdict::because(false, reason)
        }
    }

    /// The verdict on a name.
    pub fn judge_name(&self, usage: NameUse, name: Option<&str>) -> RequestVerdict {
        let list = match usage {
            NameUse::Tls => &self.tls,
            NameUse::Dns => &self.dns,
        };
        let Some(name) = name else {
            return RequestVerdict::because(false, Reason::NoName(usage));
        };
        let read = match usage {
            NameUse::Tls => Name::of_host(name),
            NameUse::Dns => Name::parse(name),
        };
        let Some(read) = read else {
            return RequestVerdict::because(false, Reason::NotAName(usage, name.to_owned()));
        };
        let reason = match list.iter().find(|named| named.name.matches(&read)) {
            Some(named) => Reason::NameAllowed(usage, name.to_owned(), named.rule.clone()),
            None => {
                let known = list.iter().map(|named| named.name.to_string());
                Reason::NameUnlisted(usage, name.to_owned(), known.collect())
            }
        };
        let allowed = matches!(reason, Reason::NameAllowed(..));
        RequestVerdict::because(allowed, reason)
    }

    /// An HTTP rule by its place.
    fn rule(&self, index: usize) -> RuleRef {
        RuleRef::new(
            self.owners.get(index).map_or("", String::as_str),
            self.http.rule(index).map_or("", |rule| rule.place.as_str()),
        )
    }
}

/// The verdict on a request that a policy's rule allows and that is refused all the same.
fn refused(doubt: Doubt, rule: RuleRef, reason: String, misses: Vec<Miss>) -> RequestVerdict {
    RequestVerdict {
        doubt: Some(doubt),
        policies: vec![rule.policy.clone()],
        nearest: Some(NearestMiss::new(rule, misses)),
        ..RequestVerdict::because(false, Reason::Doubt(reason))
    }
}

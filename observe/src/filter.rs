//! Which flows a client wants: the API's filters, compiled once for a request.

mod bounds;
mod cel;
mod ends;
mod labels;
mod requests;

use regex::Regex;

use crate::{
    api::{
        flow::{EventTypeFilter, Flow, FlowFilter, TcpFlags, layer4::Protocol, layer7::Record},
        observer::GetFlowsRequest,
    },
    record,
    service::nanoseconds,
};

use bounds::Budget;
pub use bounds::patterns;
pub use labels::Selector;

/// A filter that means nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("filter `{field}`: {reason}")]
pub struct FilterError {
    /// The field, as the API names it.
    field: &'static str,
    /// What is wrong with its value.
    reason: String,
}

type Test = Box<dyn Fn(&Flow) -> bool + Send + Sync>;

/// Which flows pass: none that a filter of the deny list matches, and where the allow list has
/// filters, those only that one of them matches.
pub struct Filters {
    allow: Vec<Vec<Test>>,
    deny: Vec<Vec<Test>>,
    /// Ends of flows are asked for.
    ends: bool,
}

impl std::fmt::Debug for Filters {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Filters")
            .field("allow", &self.allow.len())
            .field("deny", &self.deny.len())
            .finish()
    }
}

// === impl Filters ===

impl Filters {
    /// Compiles the lists of a request.
    ///
    /// # Errors
    /// [`FilterError`] for the first value that means nothing, such as an address that is none, and for
    /// lists that are beyond the bounds of what a request may cost.
    pub fn new(allow: &[FlowFilter], deny: &[FlowFilter]) -> Result<Self, FilterError> {
        let mut budget = Budget::of(allow, deny)?;
        let mut compiled = |list: &[FlowFilter]| -> Result<Vec<_>, FilterError> {
            let each = list.iter();
            each.map(|filter| compile(filter, &mut budget)).collect()
        };
        Ok(Self {
            allow: compiled(allow)?,
            deny: compiled(deny)?,
            ends: allow.iter().flat_map(|filter| &filter.event_type).any(ends),
        })
    }

    /// Whether ends of flows are asked for: only then one passes.
    pub fn ends(&self) -> bool {
        self.ends
    }

    /// Whether a flow passes.
    pub fn pass(&self, flow: &Flow) -> bool {
        let holds = |filter: &Vec<Test>| filter.iter().all(|test| test(flow));
        let given = self.ends || !record::is_end(flow);
        given
            && (self.allow.is_empty() || self.allow.iter().any(holds))
            && !self.deny.iter().any(holds)
    }
}

/// Which flows a request asks for: by its lists and by their times.
#[derive(Debug)]
pub struct Wanted {
    since: Option<i128>,
    until: Option<i128>,
    filters: Filters,
}

impl Wanted {
    /// Compiles a request.
    ///
    /// # Errors
    /// [`FilterError`] for the first value that means nothing.
    pub fn of(request: &GetFlowsRequest) -> Result<Self, FilterError> {
        Ok(Self {
            since: request.since.as_ref().map(nanoseconds),
            until: request.until.as_ref().map(nanoseconds),
            filters: Filters::new(&request.whitelist, &request.blacklist)?,
        })
    }

    /// Whether it asks for ends of flows, too.
    pub fn ends(&self) -> bool {
        self.filters.ends()
    }

    /// Whether it asks for this one.
    pub fn flow(&self, flow: &Flow) -> bool {
        let time = flow.time.as_ref().map_or(0, nanoseconds);
        self.since.is_none_or(|since| time >= since)
            && self.until.is_none_or(|until| time <= until)
            && self.filters.pass(flow)
    }
}

fn ends(wanted: &EventTypeFilter) -> bool {
    wanted.r#type == record::event_type::ENDED
}

/// Fields that are set are ANDed.
fn compile(filter: &FlowFilter, budget: &mut Budget) -> Result<Vec<Test>, FilterError> {
    let mut tests = Tests {
        all: Vec::new(),
        budget,
    };
    ends::compile(filter, &mut tests)?;
    requests::compile(filter, &mut tests)?;
    tests.one_of(&filter.verdict, |flow| Some(flow.verdict));
    tests.one_of(&filter.drop_reason_desc, |flow| Some(flow.drop_reason_desc));
    tests.one_of(&filter.traffic_direction, |flow| {
        Some(flow.traffic_direction)
    });
    tests.one_of(&filter.reply, |flow| flow.is_reply);
    tests.one_of(&filter.ip_version, |flow| {
        Some(flow.ip.as_ref()?.ip_version)
    });
    tests.one_of(&filter.encrypted, |flow| Some(flow.ip.as_ref()?.encrypted));
    tests.one_of(&filter.uuid, |flow| Some(flow.uuid.clone()));
    tests.one_of(&filter.ip_trace_id, |flow| {
        Some(flow.ip_trace_id.as_ref()?.trace_id)
    });
    tests.one_of(&filter.trace_id, |flow| {
        Some(
            flow.trace_context
                .as_ref()?
                .parent
                .as_ref()?
                .trace_id
                .clone(),
        )
    });
    tests.any(&filter.event_type, |wanted, flow| {
        flow.event_type.as_ref().is_some_and(|event| {
            event.r#type == wanted.r#type
                && (!wanted.match_sub_type || event.sub_type == wanted.sub_type)
        })
    });
    tests.any(&filter.interface, |wanted, flow| {
        flow.interface.as_ref().is_some_and(|interface| {
            (wanted.index == 0 || interface.index == wanted.index)
                && (wanted.name.is_empty() || interface.name == wanted.name)
        })
    });
    tests.any(&filter.tcp_flags, |wanted, flow| {
        matches!(protocol(flow), Some(Protocol::Tcp(tcp))
            if tcp.flags.as_ref().is_some_and(|flags| covers(flags, wanted)))
    });
    for wanted in &filter.protocol {
        known_protocol(wanted)?;
    }
    tests.any(&filter.protocol, |wanted, flow| speaks(flow, wanted));
    let nodes = tests.patterns("node_name", &filter.node_name, node_pattern)?;
    tests.any(&nodes, |pattern, flow| {
        pattern.is_match(&full_node_name(&flow.node_name))
    });
    let labels = each("node_labels", &filter.node_labels, Selector::parse)?;
    tests.any(&labels, |selector, flow| {
        selector.matches(&flow.node_labels)
    });
    cel::compile(filter, &mut tests)?;
    let overdrawn = tests.budget.overdrawn();
    overdrawn.map_err(|reason| wrong("whitelist or blacklist", reason))?;
    Ok(tests.all)
}

/// Tests of one filter.
struct Tests<'a> {
    all: Vec<Test>,
    /// What the filters of the request may still cost.
    budget: &'a mut Budget,
}

impl Tests<'_> {
    /// Each value as a pattern, which `written` writes as a regular expression.
    fn patterns(
        &mut self,
        field: &'static str,
        values: &[String],
        written: impl Fn(&str) -> Result<String, String>,
    ) -> Result<Vec<Regex>, FilterError> {
        let mut compiled = |value: &str| self.budget.pattern(&written(value)?);
        each(field, values, |value| compiled(value))
    }

    /// One of these values must hold; none is no test.
    fn any<T: Clone + Send + Sync + 'static>(
        &mut self,
        wanted: &[T],
        holds: impl Fn(&T, &Flow) -> bool + Send + Sync + 'static,
    ) {
        if !wanted.is_empty() {
            let wanted = wanted.to_vec();
            self.budget.values(wanted.len());
            self.all.push(Box::new(move |flow| {
                wanted.iter().any(|one| holds(one, flow))
            }));
        }
    }

    /// The flow's value must be one of these.
    fn one_of<T: PartialEq + Clone + Send + Sync + 'static>(
        &mut self,
        wanted: &[T],
        value: impl Fn(&Flow) -> Option<T> + Send + Sync + 'static,
    ) {
        self.any(wanted, move |wanted, flow| {
            value(flow).as_ref() == Some(wanted)
        });
    }
}

fn wrong(field: &'static str, reason: impl ToString) -> FilterError {
    FilterError {
        field,
        reason: reason.to_string(),
    }
}

/// Each value parsed.
fn each<T, E: ToString>(
    field: &'static str,
    values: &[String],
    mut parse: impl FnMut(&str) -> Result<T, E>,
) -> Result<Vec<T>, FilterError> {
    let parsed = values.iter().map(|value| parse(value));
    parsed
        .collect::<Result<_, E>>()
        .map_err(|error| wrong(field, error))
}

fn protocol(flow: &Flow) -> Option<&Protocol> {
    flow.l4.as_ref()?.protocol.as_ref()
}

/// Whether every flag that is wanted is set.
fn covers(flags: &TcpFlags, wanted: &TcpFlags) -> bool {
    let bits = |f: &TcpFlags| [f.fin, f.syn, f.rst, f.psh, f.ack, f.urg, f.ece, f.cwr, f.ns];
    let pairs = bits(flags).into_iter().zip(bits(wanted));
    pairs.into_iter().all(|(set, wanted)| set || !wanted)
}

fn known_protocol(name: &str) -> Result<(), FilterError> {
    let known = [
        "tcp", "udp", "sctp", "icmp", "icmpv4", "icmpv6", "http", "dns", "kafka",
    ];
    match known.contains(&name.to_ascii_lowercase().as_str()) {
        true => Ok(()),
        false => Err(wrong("protocol", format!("there is no protocol {name:?}"))),
    }
}

fn speaks(flow: &Flow, wanted: &str) -> bool {
    let layer7 = flow.l7.as_ref().and_then(|l7| l7.record.as_ref());
    let wanted = wanted.to_ascii_lowercase();
    match (wanted.as_str(), protocol(flow)) {
        ("http", _) => matches!(layer7, Some(Record::Http(_))),
        ("dns", _) => matches!(layer7, Some(Record::Dns(_))),
        ("tcp", Some(Protocol::Tcp(_)))
        | ("udp", Some(Protocol::Udp(_)))
        | ("sctp", Some(Protocol::Sctp(_)))
        | ("icmp" | "icmpv4", Some(Protocol::IcmPv4(_)))
        | ("icmp" | "icmpv6", Some(Protocol::IcmPv6(_))) => true,
        _ => false,
    }
}

fn full_node_name(name: &str) -> String {
    match name.contains('/') {
        true => name.to_owned(),
        false => format!("{}/{name}", crate::names::CLUSTER),
    }
}

/// `NODE`, `CLUSTER/NODE` or `CLUSTER/`, with `*` for a part of a name.
fn node_pattern(pattern: &str) -> Result<String, String> {
    let (cluster, node) = pattern.split_once('/').unwrap_or(("*", pattern));
    let part = |text: &str| match text.is_empty() {
        true => "[^/]*".to_owned(),
        false => regex::escape(text).replace("\\*", "[^/]*"),
    };
    if pattern.is_empty() {
        return Err("is empty".to_owned());
    }
    Ok(format!("^{}/{}$", part(cluster), part(node)))
}

#[cfg(test)]
mod tests;

//! What a flag's value sets in a filter; an error is what is wrong with it.

use crate::{
    api::flow::{
        DropReason, EventTypeFilter, FlowFilter, HttpHeader, IpVersion, NetworkInterface, TcpFlags,
        TrafficDirection, Verdict, Workload, flow_filter::Experimental,
    },
    names::identity::reserved,
    record::event_type as kinds,
};

/// The values of `verdict`.
pub const VERDICTS: &str = "FORWARDED, DROPPED, AUDIT, REDIRECTED, ERROR, TRACED, TRANSLATED";
/// Those of `type`.
pub const TYPES: &str = "policy-verdict, drop, l7, ended, trace[:to-endpoint], capture, trace-sock";

pub fn text(list: &mut Vec<String>, value: &str) -> Result<(), String> {
    list.push(value.to_owned());
    Ok(())
}

pub fn namespace(list: &mut Vec<String>, value: &str) -> Result<(), String> {
    if value.is_empty() || value.contains('/') {
        return Err("is no namespace".to_owned());
    }
    text(list, &format!("{value}/"))
}

pub fn workload(list: &mut Vec<Workload>, value: &str) -> Result<(), String> {
    let (kind, name) = value.split_once('/').unwrap_or(("", value));
    list.push(Workload {
        name: name.to_owned(),
        kind: kind_of(kind).to_owned(),
    });
    Ok(())
}

/// A kind by kubectl's short word for it.
fn kind_of(word: &str) -> &str {
    match word {
        "deploy" | "deployment" | "deployments" => "Deployment",
        "sts" | "statefulset" | "statefulsets" => "StatefulSet",
        "ds" | "daemonset" | "daemonsets" => "DaemonSet",
        "rs" | "replicaset" | "replicasets" => "ReplicaSet",
        "job" | "jobs" => "Job",
        "cj" | "cronjob" | "cronjobs" => "CronJob",
        other => other,
    }
}

pub fn identity(list: &mut Vec<u32>, value: &str) -> Result<(), String> {
    let named = (1..=10).find(|number| reserved(*number) == Some(value));
    let number = named.or_else(|| value.parse().ok());
    list.push(number.ok_or("is neither a number nor host, world, remote-node, ...")?);
    Ok(())
}

pub fn tcp_flags(filter: &mut FlowFilter, value: &str) -> Result<(), String> {
    let mut flags = TcpFlags::default();
    for name in value.split(',') {
        let flag = match name.trim().to_ascii_uppercase().as_str() {
            "FIN" => &mut flags.fin,
            "SYN" => &mut flags.syn,
            "RST" => &mut flags.rst,
            "PSH" => &mut flags.psh,
            "ACK" => &mut flags.ack,
            "URG" => &mut flags.urg,
            "ECE" => &mut flags.ece,
            "CWR" => &mut flags.cwr,
            "NS" => &mut flags.ns,
            other => return Err(format!("there is no TCP flag {other:?}")),
        };
        *flag = true;
    }
    filter.tcp_flags.push(flags);
    Ok(())
}

pub fn event_type(filter: &mut FlowFilter, value: &str) -> Result<(), String> {
    let (kind, point) = match value.split_once(':') {
        Some((kind, point)) => (kind, Some(point)),
        None => (value, None),
    };
    let number = match kind {
        "drop" => kinds::DROP,
        "capture" => 3,
        "trace" => kinds::TRACE,
        "policy-verdict" => kinds::POLICY_VERDICT,
        "trace-sock" => 7,
        "l7" => kinds::L7,
        "ended" => kinds::ENDED,
        other => return Err(format!("there is no type {other:?}; there are {TYPES}")),
    };
    let sub_type = match point {
        None => None,
        Some(point) => {
            let known = point
                .parse()
                .ok()
                .or_else(|| crate::print::trace_point(point));
            Some(known.ok_or("there is no such subtype")?)
        }
    };
    filter.event_type.push(EventTypeFilter {
        r#type: number,
        match_sub_type: sub_type.is_some(),
        sub_type: sub_type.unwrap_or_default(),
    });
    Ok(())
}

pub fn verdict(filter: &mut FlowFilter, value: &str) -> Result<(), String> {
    let verdict = Verdict::from_str_name(&value.to_ascii_uppercase());
    let verdict = verdict.ok_or_else(|| format!("is no verdict; there are {VERDICTS}"))?;
    filter.verdict.push(verdict.into());
    Ok(())
}

pub fn drop_reason(filter: &mut FlowFilter, value: &str) -> Result<(), String> {
    let reason = DropReason::from_str_name(&value.to_ascii_uppercase());
    let reason = reason.ok_or("is no reason that Weir drops for")?;
    filter.drop_reason_desc.push(reason.into());
    Ok(())
}

pub fn header(filter: &mut FlowFilter, value: &str) -> Result<(), String> {
    let (key, value) = value.split_once(':').ok_or("write KEY:VALUE")?;
    filter.http_header.push(HttpHeader {
        key: key.to_owned(),
        value: value.to_owned(),
    });
    Ok(())
}

pub fn direction(filter: &mut FlowFilter, value: &str) -> Result<(), String> {
    let direction = match value.to_ascii_lowercase().as_str() {
        "ingress" => TrafficDirection::Ingress,
        "egress" => TrafficDirection::Egress,
        _ => return Err("is neither ingress nor egress".to_owned()),
    };
    filter.traffic_direction.push(direction.into());
    Ok(())
}

pub fn interface(filter: &mut FlowFilter, value: &str) -> Result<(), String> {
    filter.interface.push(NetworkInterface {
        index: 0,
        name: value.to_owned(),
    });
    Ok(())
}

pub fn cel(filter: &mut FlowFilter, value: &str) -> Result<(), String> {
    let more = filter
        .experimental
        .get_or_insert_with(Experimental::default);
    more.cel_expression.push(value.to_owned());
    Ok(())
}

pub fn version(filter: &mut FlowFilter, version: IpVersion) -> Result<(), String> {
    filter.ip_version.push(version.into());
    Ok(())
}

pub fn ip_version(filter: &mut FlowFilter, value: &str) -> Result<(), String> {
    match value.to_ascii_lowercase().trim_start_matches("ip") {
        "4" | "v4" => version(filter, IpVersion::IPv4),
        "6" | "v6" => version(filter, IpVersion::IPv6),
        _ => Err("is neither v4 nor v6".to_owned()),
    }
}

pub fn encrypted(filter: &mut FlowFilter, wanted: bool) -> Result<(), String> {
    filter.encrypted.push(wanted);
    Ok(())
}

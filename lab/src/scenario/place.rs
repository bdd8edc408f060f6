//! Commands of scenarios as they are run: with addresses for `{pod NAME}` and the family's option.
//!
//! `{pod X}`, `{service NS/X}`, `{world NAME}`, `{node}` and `{node2}` stand for an address of the family that
//! is checked, in brackets where a URL needs them; `{socket pod X}` is how a server that listens
//! on `[::]` shows it; `{family}` is `-4` or `-6`.

use std::net::IpAddr;

use anyhow::{Context as _, Result, bail};

use super::came::STATUS;
use super::format::Family;
use crate::lab::Lab;
use crate::layout::{WORLD, bracketed};
use crate::node::Node;

/// Tools that take `-4` and `-6`.
const WITH_FAMILY: [&str; 4] = ["curl", "nc", "ping", "wget"];

/// A command for people, and the same with what the runner needs to read its result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    pub shown: String,
    pub run: String,
}

/// Whether a command differs between the families.
pub fn has_family(command: &str) -> bool {
    WITH_FAMILY.contains(&tool(command)) || command.contains('{')
}

/// The command of one family.
pub fn line(lab: &Lab, command: &str, family: Family) -> Result<Line> {
    let command = fill(command, family, |what| address(lab, what, family))?;
    let tool = tool(&command).to_owned();
    let rest = command[tool.len()..].to_owned();
    let option = family.option();
    let shown = match WITH_FAMILY.contains(&tool.as_str()) && !rest.contains(&format!(" {option} "))
    {
        true => format!("{tool} {option}{rest}"),
        false => command,
    };
    let more = match tool.as_str() {
        "curl" => format!(" -q -sS --noproxy '*' -w '{STATUS}'"),
        // As busybox does it, which the texts use: no second try.
        "wget" => " --no-proxy -t 1".to_owned(),
        _ => String::new(),
    };
    Ok(Line {
        run: format!("{tool}{more}{}", &shown[tool.len()..]),
        shown,
    })
}

/// Text with every `{...}` replaced.
pub fn fill(
    text: &str,
    family: Family,
    address: impl Fn(&str) -> Result<IpAddr>,
) -> Result<String> {
    let mut filled = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        filled.push_str(before);
        let Some((what, after)) = after.split_once('}').filter(|(what, _)| is_ours(what)) else {
            // Somebody else's brace, such as curl's %{http_code}.
            filled.push('{');
            rest = after;
            continue;
        };
        if what == "family" {
            filled.push_str(family.option());
        } else if let Some(what) = what.strip_prefix("socket ") {
            filled += &match address(what)? {
                IpAddr::V4(v4) => format!("[::ffff:{v4}]"),
                v6 @ IpAddr::V6(_) => bracketed(v6),
            };
        } else {
            let address = address(what)?;
            let in_url = before.ends_with("//") || after.starts_with([':', '/']);
            filled += &match in_url {
                true => bracketed(address),
                false => address.to_string(),
            };
        }
        rest = after;
    }
    filled.push_str(rest);
    Ok(filled)
}

fn is_ours(what: &str) -> bool {
    let first = what.split(' ').next().unwrap_or_default();
    let words = [
        "family", "socket", "pod", "service", "world", "node", "node2",
    ];
    words.contains(&first) && !what.contains(['{', '"', '\n'])
}

/// The address that the inside of braces means.
pub fn address(lab: &Lab, what: &str, family: Family) -> Result<IpAddr> {
    let v6 = family.is_v6();
    let found =
        match what.split_once(' ') {
            None => match what {
                "node" => Some(Node::FIRST),
                "node2" => Node::all(2).last(),
                _ => None,
            }
            .map(|node| node.addresses()[usize::from(v6)]),
            Some(("pod", target)) => lab.pod(target)?.address(v6),
            Some(("service", id)) => {
                let id = match id.contains('/') {
                    true => id.to_owned(),
                    false => format!("default/{id}"),
                };
                lab.service(&id)?.into_iter().find(|a| a.is_ipv6() == v6)
            }
            Some(("world", name)) => WORLD.iter().find(|(host, _, _)| *host == name).map(
                |(_, v4, v6_address)| match v6 {
                    false => IpAddr::V4(*v4),
                    true => IpAddr::V6(*v6_address),
                },
            ),
            _ => bail!("{{{what}}}: use pod NAME, service NS/NAME, world NAME or node"),
        };
    found.with_context(|| format!("{what} has no {} address", family.name()))
}

fn tool(command: &str) -> &str {
    command.split_whitespace().next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn braces_of_ours_and_of_others() {
        let filled = |text: &str, address: &str| {
            let address = address.parse().unwrap();
            let family = Family::IPv4;
            fill(text, family, |_| Ok(address)).unwrap()
        };
        assert_eq!(filled("nc {pod a} 80", "10.0.0.1"), "nc 10.0.0.1 80");
        assert_eq!(filled("nc {pod a} 80", "fd00::1"), "nc fd00::1 80");
        assert_eq!(
            filled("curl {pod a}:80/x -w '%{http_code}'", "fd00::1"),
            "curl [fd00::1]:80/x -w '%{http_code}'"
        );
        assert_eq!(filled("telnet://{pod a}", "fd00::1"), "telnet://[fd00::1]");
        assert_eq!(
            filled("{socket pod a}:1", "10.0.0.1"),
            "[::ffff:10.0.0.1]:1"
        );
        assert_eq!(filled("a {family}", "10.0.0.1"), "a -4");
    }
}

//! What came to the gates of this process, for Prometheus: of commands that have nothing else to
//! count. The agent tells the same among its own metrics.

use std::{fmt::Write as _, io, net::SocketAddr, time::Duration};

use axum::{Router, http::header::CONTENT_TYPE, routing::get};
use tokio::net::TcpListener;

use super::{Count, Gate, counts, descriptors::Share, http};

/// A connection lives for so long; a Prometheus then connects again.
const LIFE: Duration = Duration::from_secs(300);
const FORMAT: &str = "text/plain; version=0.0.4";
const OPEN: &str = "weir_server_connections";
const REFUSED: &str = "weir_server_connections_refused_total";

/// Serves `/metrics` until the process ends, behind a gate of its own. Gives the address that it
/// listens on.
///
/// # Errors
/// The address cannot be listened on.
pub async fn serve(address: SocketAddr) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind(address).await?;
    let address = listener.local_addr()?;
    let answer = async || ([(CONTENT_TYPE, FORMAT)], text(&counts()));
    let router = Router::new().route("/metrics", get(answer));
    tokio::spawn(http::serve(
        listener,
        Gate::of(Share::Metrics),
        router,
        LIFE,
    ));
    Ok(address)
}

/// Servers of one name count as one.
fn text(counts: &[Count]) -> String {
    let mut servers: Vec<&'static str> = counts.iter().map(|count| count.server).collect();
    servers.sort_unstable();
    servers.dedup();
    let mut text = format!("# HELP {OPEN} Connections of the servers.\n# TYPE {OPEN} gauge\n");
    let all = |server: &str, number: fn(&Count) -> u64| -> u64 {
        let of = counts.iter().filter(|count| count.server == server);
        of.map(number).sum()
    };
    for server in &servers {
        let open = all(server, |count| count.open as u64);
        line(&mut text, OPEN, &[("server", server)], open);
    }
    text.push_str(&format!(
        "# HELP {REFUSED} Connections that the servers did not take: too many in all (full) or \
         from one address or user (peer).\n# TYPE {REFUSED} counter\n"
    ));
    for server in &servers {
        for (reason, number) in [
            ("full", all(server, |count| count.full)),
            ("peer", all(server, |count| count.peer)),
        ] {
            let labels = [("server", *server), ("reason", reason)];
            line(&mut text, REFUSED, &labels, number);
        }
    }
    text
}

fn line(text: &mut String, name: &str, labels: &[(&str, &str)], number: u64) {
    let labels: Vec<String> = labels
        .iter()
        .map(|(label, value)| format!("{label}=\"{value}\""))
        .collect();
    // Writing to a string does not fail.
    writeln!(text, "{name}{{{}}} {number}", labels.join(",")).ok();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_of_one_name_are_one_series() {
        let count = |server, open, full, peer| Count {
            server,
            open,
            full,
            peer,
        };
        let text = text(&[
            count("ui", 1, 2, 3),
            count("metrics", 0, 0, 0),
            count("ui", 4, 5, 6),
        ]);
        let values: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
        assert_eq!(
            values,
            [
                r#"weir_server_connections{server="metrics"} 0"#,
                r#"weir_server_connections{server="ui"} 5"#,
                r#"weir_server_connections_refused_total{server="metrics",reason="full"} 0"#,
                r#"weir_server_connections_refused_total{server="metrics",reason="peer"} 0"#,
                r#"weir_server_connections_refused_total{server="ui",reason="full"} 7"#,
                r#"weir_server_connections_refused_total{server="ui",reason="peer"} 9"#,
            ]
        );
    }
}

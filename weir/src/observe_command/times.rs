//! Times as the command line has them.

use anyhow::{Result, bail};
use jiff::{SignedDuration, Timestamp};
use prost_types::Timestamp as Stamp;

/// A form of times for strftime, from the names that Hubble's client uses.
pub fn form(name: &str) -> Result<String> {
    Ok(match name {
        "StampMilli" => weir_observe::print::STAMP,
        "RFC3339" => "%Y-%m-%dT%H:%M:%SZ",
        "RFC3339Milli" => "%Y-%m-%dT%H:%M:%S%.3fZ",
        "RFC3339Micro" => "%Y-%m-%dT%H:%M:%S%.6fZ",
        "RFC3339Nano" => "%Y-%m-%dT%H:%M:%S%.9fZ",
        "RFC1123Z" => "%a, %d %b %Y %H:%M:%S +0000",
        other => bail!("there is no form {other:?}"),
    }
    .to_owned())
}

/// A time (`2026-06-09T20:38:30Z`), or how long ago it was (`5m`, `1h30m`).
pub fn time(text: &str) -> Result<Stamp> {
    let time = match (text.parse::<Timestamp>(), text.parse::<SignedDuration>()) {
        (Ok(time), _) => time,
        (Err(_), Ok(ago)) => Timestamp::now().checked_sub(ago)?,
        (Err(_), Err(_)) => {
            bail!("{text:?} is neither a time (2026-06-09T20:38:30Z) nor a duration (5m)")
        }
    };
    Ok(Stamp {
        seconds: time.as_second(),
        nanos: time.subsec_nanosecond(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_points_or_durations() {
        let stamp = time("2026-06-09T20:38:30.5Z").unwrap();
        assert_eq!((stamp.seconds, stamp.nanos), (1_781_037_510, 500_000_000));
        let ago = Timestamp::now().as_second() - time("5m").unwrap().seconds;
        assert!((299..=302).contains(&ago), "{ago}");
        assert!(time("yesterday").is_err());
        assert!(form("Kitchen").is_err());
    }
}

//! Times as people write and read them.

use jiff::{SignedDuration, Timestamp};
use prost_types::Timestamp as Stamp;

/// A text that is no time or no form of times.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TimeError {
    /// It is not a time.
    #[error("is neither a time (2026-06-09T20:38:30Z) nor a duration (5m)")]
    Time,
    /// It is so long ago that no time stands for it.
    #[error("is too long ago")]
    Ago,
    /// There is no form of this name.
    #[error("there is no form {0:?}")]
    Form(String),
}

/// A form of times for strftime, from the names that Hubble's client uses.
///
/// # Errors
/// [`TimeError::Form`] for other names.
pub fn form(name: &str) -> Result<String, TimeError> {
    Ok(match name {
        "StampMilli" => crate::print::STAMP,
        "RFC3339" => "%Y-%m-%dT%H:%M:%SZ",
        "RFC3339Milli" => "%Y-%m-%dT%H:%M:%S%.3fZ",
        "RFC3339Micro" => "%Y-%m-%dT%H:%M:%S%.6fZ",
        "RFC3339Nano" => "%Y-%m-%dT%H:%M:%S%.9fZ",
        "RFC1123Z" => "%a, %d %b %Y %H:%M:%S +0000",
        other => return Err(TimeError::Form(other.to_owned())),
    }
    .to_owned())
}

/// A time (`2026-06-09T20:38:30Z`), or how long ago it was (`5m`, `1h30m`).
///
/// # Errors
/// [`TimeError`] where it is neither.
pub fn time(text: &str) -> Result<Stamp, TimeError> {
    let time = match (text.parse::<Timestamp>(), text.parse::<SignedDuration>()) {
        (Ok(time), _) => time,
        (Err(_), Ok(ago)) => {
            let time = Timestamp::now().checked_sub(ago);
            time.map_err(|_| TimeError::Ago)?
        }
        (Err(_), Err(_)) => return Err(TimeError::Time),
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

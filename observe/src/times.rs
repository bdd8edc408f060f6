//! Times as people write and read them.

use jiff::{SignedDuration, Timestamp, civil::Date, fmt::rfc2822, tz::TimeZone};
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

/// A time (`2026-06-09T20:38:30Z`, `2026-06-09`), or how long ago it was (`5m`, `1h30m`).
///
/// # Errors
/// [`TimeError`] where it is neither.
pub fn time(text: &str) -> Result<Stamp, TimeError> {
    let time = match (point(text), text.parse::<SignedDuration>()) {
        (Some(time), _) => time,
        (None, Ok(ago)) => {
            let time = Timestamp::now().checked_sub(ago);
            time.map_err(|_| TimeError::Ago)?
        }
        (None, Err(_)) => return Err(TimeError::Time),
    };
    Ok(Stamp {
        seconds: time.as_second(),
        nanos: time.subsec_nanosecond(),
    })
}

/// A time in one of the forms that Hubble's client reads; a day is its beginning in UTC.
fn point(text: &str) -> Option<Timestamp> {
    let time = text.parse().ok();
    let day = || {
        let day = Date::strptime("%Y-%m-%d", text).ok()?;
        Some(day.to_zoned(TimeZone::UTC).ok()?.timestamp())
    };
    let rfc1123 = || Some(rfc2822::parse(text).ok()?.timestamp());
    time.or_else(day).or_else(rfc1123)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_hubble_reads_them() {
        let seconds = |text: &str| time(text).map(|stamp| stamp.seconds);
        assert_eq!(seconds("2026-11-29"), Ok(1_795_910_400));
        assert_eq!(seconds("2026-11-29T01Z"), Ok(1_795_914_000));
        assert_eq!(seconds("2026-11-29T01:30Z"), Ok(1_795_915_800));
        assert_eq!(seconds("2026-11-29T01:30+01:00"), Ok(1_795_912_200));
        assert_eq!(
            seconds("Sun, 29 Nov 2026 01:30:00 +0000"),
            Ok(1_795_915_800)
        );
        for wrong in ["2026-11-31", "2026-11", "29.11.2026", ""] {
            assert_eq!(seconds(wrong), Err(TimeError::Time), "{wrong}");
        }
    }

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

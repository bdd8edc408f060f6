//! How long something is there, as kubectl's tables write it: the fewer digits, the longer it is.

use jiff::Timestamp;
use serde_json::Value;

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// The age of an object now; `<unknown>` where it says no time.
pub fn age(object: &Value) -> String {
    let created = object["metadata"]["creationTimestamp"].as_str();
    let created = created.and_then(|text| text.parse::<Timestamp>().ok());
    created.map_or_else(
        || "<unknown>".to_owned(),
        |created| short(Timestamp::now().as_second() - created.as_second()),
    )
}

/// Seconds as `12s`, `3m4s`, `25m`, `5h6m`, `7d`.
fn short(seconds: i64) -> String {
    let two = |whole: i64, big: char, part: i64, small: char| match part {
        0 => format!("{whole}{big}"),
        _ => format!("{whole}{big}{part}{small}"),
    };
    match seconds.max(0) {
        s if s < 2 * MINUTE => format!("{s}s"),
        s if s < 10 * MINUTE => two(s / MINUTE, 'm', s % MINUTE, 's'),
        s if s < 3 * HOUR => format!("{}m", s / MINUTE),
        s if s < 8 * HOUR => two(s / HOUR, 'h', s % HOUR / MINUTE, 'm'),
        s if s < 2 * DAY => format!("{}h", s / HOUR),
        s if s < 8 * DAY => two(s / DAY, 'd', s % DAY / HOUR, 'h'),
        s => format!("{}d", s / DAY),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fewer_digits_with_time() {
        let ages = [
            0,
            119,
            120,
            245,
            601,
            3 * HOUR,
            9 * HOUR,
            50 * HOUR,
            9 * DAY,
        ];
        assert_eq!(
            ages.map(short),
            ["0s", "119s", "2m", "4m5s", "10m", "3h", "9h", "2d2h", "9d"]
        );
    }
}

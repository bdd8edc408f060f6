//! Scalars of YAML 1.2's core schema (10.3.2), with `0b` beside `0x` and `0o`.

use serde_json::{Number, Value};

/// What a plain scalar is beside text; `None`: text.
pub fn plain(text: &str) -> Option<Value> {
    null(text).or_else(|| bool(text)).or_else(|| number(text))
}

/// What a scalar with a tag of the core schema is: `Some(None)` is text, `None` a wrong one.
pub fn tagged(text: &str, tag: &str) -> Option<Option<Value>> {
    match tag {
        "null" => null(text).map(Some),
        "bool" => bool(text).map(Some),
        "int" => integer(text).map(Some),
        "float" => float(text).map(Some),
        _ => Some(None),
    }
}

fn null(text: &str) -> Option<Value> {
    matches!(text, "" | "~" | "null" | "Null" | "NULL").then_some(Value::Null)
}

fn bool(text: &str) -> Option<Value> {
    match text {
        "true" | "True" | "TRUE" => Some(Value::Bool(true)),
        "false" | "False" | "FALSE" => Some(Value::Bool(false)),
        _ => None,
    }
}

fn number(text: &str) -> Option<Value> {
    // `007` is text: readers differ on what number it would be.
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let padded = digits.len() > 1 && digits.starts_with('0');
    if padded && digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    integer(text).or_else(|| float(text))
}

/// One that 64 bits hold.
fn integer(text: &str) -> Option<Value> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (digits, radix) = [("0x", 16), ("0o", 8), ("0b", 2)]
        .into_iter()
        .find_map(|(prefix, radix)| Some((digits.strip_prefix(prefix)?, radix)))
        .unwrap_or((digits, 10));
    if digits.starts_with(['+', '-']) {
        return None;
    }
    if negative {
        let number = i64::from_str_radix(&format!("-{digits}"), radix);
        return number.ok().map(Value::from);
    }
    u64::from_str_radix(digits, radix).ok().map(Value::from)
}

/// A finite one, `null` for the others: JSON has none of them.
fn float(text: &str) -> Option<Value> {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    if matches!(unsigned, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN") {
        return Some(Value::Null);
    }
    // `inf` and `infinity` are numbers to Rust and text to YAML.
    let numeric = unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.');
    let float = text.parse::<f64>().ok().filter(|_| numeric)?;
    Number::from_f64(float).map(Value::Number)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn plain_scalars_are_those_of_the_core_schema() {
        for (text, value) in [
            ("", json!(null)),
            ("~", json!(null)),
            ("True", json!(true)),
            ("FALSE", json!(false)),
            ("80", json!(80)),
            ("+1", json!(1)),
            ("-5", json!(-5)),
            ("0x1F", json!(31)),
            ("-0x1F", json!(-31)),
            ("0o17", json!(15)),
            ("0b101", json!(5)),
            ("18446744073709551615", json!(u64::MAX)),
            ("1.50", json!(1.5)),
            ("1e3", json!(1000.0)),
            (".5", json!(0.5)),
            ("-.inf", json!(null)),
            (".nan", json!(null)),
        ] {
            assert_eq!(plain(text), Some(value), "{text}");
        }
        for text in [
            "yes",
            "on",
            "nUll",
            "tRue",
            "007",
            "-08",
            "1_000",
            "0x",
            "0x-1",
            "--1",
            "+-1",
            "inf",
            "nan",
            "infinity",
            "1.2.3",
            "10.0.0.0/8",
            "a",
            "1 2",
        ] {
            assert_eq!(plain(text), None, "{text}");
        }
    }

    #[test]
    fn tags_say_what_a_scalar_is() {
        assert_eq!(tagged("80", "str"), Some(None));
        assert_eq!(tagged("80", "int"), Some(Some(json!(80))));
        assert_eq!(tagged("x", "int"), None);
        assert_eq!(tagged("x", "null"), None);
    }
}

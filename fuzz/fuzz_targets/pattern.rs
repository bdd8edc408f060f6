//! Patterns of HTTP rules: a translated pattern stays between its anchors, and one without
//! anything to translate means what the engine takes it for.
#![no_main]

use libfuzzer_sys::fuzz_target;
use regex::RegexBuilder;
use weir_policy::objects::pattern::{MAX_PROGRAM_BYTES, PatternError, check, compile, translate};

// The pattern, a line feed, the text.
fuzz_target!(|input: &str| {
    let (pattern, text) = input.split_once('\n').unwrap_or((input, ""));
    let compiled = compile(pattern);
    let text_of = compiled.clone().map(|regex| regex.as_str().to_owned());
    assert_eq!(text_of, translate(pattern));
    if let Err(PatternError::TooBig { .. } | PatternError::TooLong { .. }) = compiled {
        return;
    }
    if let Ok(regex) = &compiled {
        assert_eq!(check(pattern), Ok(()));
        let inner = regex
            .as_str()
            .strip_prefix("^(?:")
            .and_then(|rest| rest.strip_suffix(")$"))
            .expect("anchors");
        // Alone it must be a pattern too: `a)|(.*` is not, and leaves a part outside the anchors.
        assert_eq!(whole(inner, text), Ok(regex.is_match(text)), "{inner:?}");
    }
    // Nothing here differs between RE2 and the engine.
    let plain = |c: char| c.is_ascii_alphanumeric() || "/.*+?|^$-_= ".contains(c);
    if pattern.chars().all(plain) {
        let naive = whole(pattern, text).ok();
        assert_eq!(compiled.ok().map(|regex| regex.is_match(text)), naive);
    }
});

/// Whether the engine matches the whole text; the pattern must be one without the anchors too.
fn whole(pattern: &str, text: &str) -> Result<bool, String> {
    let build = |pattern: &str| {
        RegexBuilder::new(pattern)
            .size_limit(2 * MAX_PROGRAM_BYTES)
            .build()
            .map_err(|error| error.to_string())
    };
    build(pattern)?;
    let regex = build(&format!(r"\A(?:{pattern})\z"))?;
    Ok(regex
        .find(text)
        .is_some_and(|found| found.range() == (0..text.len())))
}

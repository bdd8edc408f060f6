//! The trace that a request belongs to, as its client says it (W3C Trace Context, 3.2). It is kept and
//! never made up: a request without a trace has none here either.

use crate::api::flow::{Flow, HttpHeader, TraceContext, TraceParent, layer7::Record};

/// The header that carries it.
pub const TRACEPARENT: &str = "traceparent";

/// A client's span.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parent {
    /// The trace; not zero.
    pub trace: [u8; 16],
    /// The span of the trace that made the request; not zero.
    pub span: [u8; 8],
    /// Whether the client records the trace.
    pub sampled: bool,
}

// === impl Parent ===

impl Parent {
    /// Reads the header's value. `None`: it is none of the form, which a reader must not guess at.
    pub fn read(value: &str) -> Option<Self> {
        let mut parts = value.trim_ascii().split('-');
        let (version, trace, span, flags) =
            (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let [version] = hex::<1>(version)?;
        let [flags] = hex::<1>(flags)?;
        let (trace, span) = (hex::<16>(trace)?, hex::<8>(span)?);
        // Later versions may have more parts; 255 is none, and of version 0 there are four.
        let good = version != 0xff && (version > 0 || parts.next().is_none());
        (good && trace != [0; 16] && span != [0; 8]).then_some(Self {
            trace,
            span,
            sampled: flags & 1 == 1,
        })
    }

    /// The trace as text.
    pub fn trace_id(&self) -> String {
        self.trace
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }

    /// The one of a record's headers. Two lines of it are none.
    pub fn of(flow: &Flow) -> Option<Self> {
        match flow.l7.as_ref()?.record.as_ref()? {
            Record::Http(http) => Self::among(&http.headers),
            Record::Dns(_) => None,
        }
    }

    fn among(headers: &[HttpHeader]) -> Option<Self> {
        let mut found = headers
            .iter()
            .filter(|header| header.key.eq_ignore_ascii_case(TRACEPARENT));
        let first = found.next()?;
        found.next().is_none().then(|| Self::read(&first.value))?
    }
}

/// The trace of a record, as the API has it.
pub fn context(flow: &Flow) -> Option<TraceContext> {
    let trace_id = Parent::of(flow)?.trace_id();
    Some(TraceContext {
        parent: Some(TraceParent { trace_id }),
    })
}

/// Lower-case digits, two for each byte, and no others.
fn hex<const BYTES: usize>(text: &str) -> Option<[u8; BYTES]> {
    let lower = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    if text.len() != 2 * BYTES || !text.bytes().all(lower) {
        return None;
    }
    let mut bytes = [0; BYTES];
    for (index, byte) in bytes.iter_mut().enumerate() {
        let digits = text.get(2 * index..2 * index + 2)?;
        *byte = u8::from_str_radix(digits, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn what_is_no_trace_is_none() {
        let parent = Parent::read(GOOD).unwrap();
        assert_eq!(
            (parent.trace[0], parent.span[7], parent.sampled),
            (0x4b, 0xb7, true)
        );
        assert!(!Parent::read(&GOOD.replace("-01", "-00")).unwrap().sampled);
        let later = format!("{}-more", GOOD.replacen("00", "01", 1));
        assert!(Parent::read(&later).is_some());
        for wrong in [
            "",
            "00",
            &GOOD.to_uppercase(),
            &format!("{GOOD}-more"),
            &GOOD.replacen("00", "ff", 1),
            &GOOD.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32)),
            &GOOD.replace("00f067aa0ba902b7", &"0".repeat(16)),
            &GOOD.replace("4bf9", "4bé"),
        ] {
            assert_eq!(Parent::read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn two_lines_are_none() {
        let header = HttpHeader {
            key: "Traceparent".into(),
            value: GOOD.into(),
        };
        assert!(Parent::among(std::slice::from_ref(&header)).is_some());
        assert!(Parent::among(&[header.clone(), header]).is_none());
    }
}

//! What is to be seen of a pod's traffic without that anything of it is denied.

use serde::{Deserialize, Serialize};

/// The annotation of pods and namespaces that asks for it: words with commas between them.
pub const VISIBILITY: &str = "weir.dev/visibility";

/// What the proxy looks into on its way, denying nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Visibility {
    /// HTTP over TCP, to the pod and from it.
    pub http: bool,
    /// DNS queries over UDP, from the pod.
    pub dns: bool,
}

/// A word that asks for nothing that can be looked into.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is none of `http` and `dns`: it shows nothing")]
pub struct UnknownVisibility(String);

// === impl Visibility ===

impl Visibility {
    /// Reads the annotation: what is asked for, and what of it is not understood. No word at all
    /// asks for nothing.
    pub fn read(text: &str) -> (Self, Option<UnknownVisibility>) {
        let (mut asked, mut unknown) = (Self::default(), None);
        let words = text.split(',').map(str::trim);
        for word in words.filter(|word| !word.is_empty()) {
            match word {
                "http" => asked.http = true,
                "dns" => asked.dns = true,
                _ => unknown = Some(UnknownVisibility(word.escape_debug().to_string())),
            }
        }
        (asked, unknown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_are_understood_count_beside_one_that_is_not() {
        let read = |text| {
            let (asked, unknown) = Visibility::read(text);
            ((asked.http, asked.dns), unknown.map(|error| error.0))
        };
        assert_eq!(read("http,dns"), ((true, true), None));
        assert_eq!(read(" dns , "), ((false, true), None));
        assert_eq!(read(""), ((false, false), None));
        assert_eq!(read("HTTP,dns"), ((false, true), Some("HTTP".into())));
    }
}

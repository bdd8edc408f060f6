//! A secret that whoever asks must show.

use std::{
    fmt,
    fs::File,
    io::{self, Read as _},
    path::Path,
};

use axum::http::{HeaderMap, header::AUTHORIZATION};
use subtle::ConstantTimeEq as _;

/// Characters that a token must have at least.
const SHORTEST: usize = 16;
/// Bytes of a file that are read at most.
const LONGEST: u64 = 4096;

/// A secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

/// What keeps a token from being one.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The file cannot be read.
    #[error("the token in {path}: {reason}")]
    File {
        /// Where it should be.
        path: String,
        /// What is wrong.
        reason: String,
    },
    /// The system gives no random numbers.
    #[error("no token can be made: {0}")]
    Random(#[source] io::Error),
}

// === impl Token ===

impl fmt::Debug for Token {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Token(..)")
    }
}

impl Token {
    /// A new one, of 32 random bytes.
    ///
    /// # Errors
    /// [`TokenError::Random`] where the system gives none.
    pub fn generate() -> Result<Self, TokenError> {
        let mut bytes = [0_u8; 32];
        getrandom::fill(&mut bytes).map_err(|error| TokenError::Random(error.into()))?;
        Ok(Self(
            bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
        ))
    }

    /// The one in a file, without the white space around it.
    ///
    /// # Errors
    /// [`TokenError::File`] where it cannot be read, or holds what no URL and cookie can carry.
    pub fn read(path: &Path) -> Result<Self, TokenError> {
        let failed = |reason: String| TokenError::File {
            path: path.display().to_string(),
            reason,
        };
        let mut text = String::new();
        File::open(path)
            .and_then(|file| file.take(LONGEST).read_to_string(&mut text))
            .map_err(|error| failed(error.to_string()))?;
        let text = text.trim();
        let plain = |c: char| c.is_ascii_alphanumeric() || "-._~".contains(c);
        if text.len() < SHORTEST {
            return Err(failed(format!("has fewer than {SHORTEST} characters")));
        }
        if !text.chars().all(plain) {
            return Err(failed("may have letters, digits and -._~ only".into()));
        }
        Ok(Self(text.to_owned()))
    }

    /// As text, for the URL that is shown to the user.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is it; the time that the answer takes does not tell how much of it is right.
    pub fn is(&self, shown: &str) -> bool {
        self.0.as_bytes().ct_eq(shown.as_bytes()).into()
    }
}

/// What a request shows as its bearer token (RFC 6750).
pub fn bearer(headers: &HeaderMap) -> Option<&str> {
    let shown = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = shown.split_once(' ')?;
    scheme
        .eq_ignore_ascii_case("bearer")
        .then(|| token.trim_start())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bearer_is_read_as_clients_write_it() {
        let of = |text: &str| {
            let headers = HeaderMap::from_iter([(AUTHORIZATION, text.parse().unwrap())]);
            bearer(&headers).map(str::to_owned)
        };
        assert_eq!(of("Bearer abc"), Some("abc".to_owned()));
        assert_eq!(of("bearer  abc"), Some("abc".to_owned()));
        assert_eq!(of("Basic abc"), None);
        assert_eq!(of("Bearer"), None);
        assert_eq!(bearer(&HeaderMap::new()), None);
    }
}

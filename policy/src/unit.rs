//! Unit tests for policies: flows with the verdict that each must get.

#[cfg(test)]
mod tests;

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, de};
use serde_json::Value;

use crate::{
    explain::{Explainer, Explanation},
    model::{Protocol, World},
    verdict::{Flow, HttpRequest, Outcome},
};

/// A file of tests.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Suite {
    /// Files and folders of objects, relative to the suite's file.
    #[serde(default)]
    pub manifests: Vec<String>,
    /// The tests, in order.
    pub tests: Vec<Case>,
}

/// One test.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// What it is about; the flow where missing.
    #[serde(default)]
    pub name: String,
    /// Who opens the connection, as [`resolve`](crate::explain::target::resolve) takes it.
    pub from: String,
    /// To whom.
    pub to: String,
    /// Destination port; the service's where `to` is one.
    #[serde(default)]
    pub port: Option<u16>,
    /// Protocol; TCP where missing.
    #[serde(default = "tcp")]
    pub protocol: Protocol,
    /// A request: `METHOD PATH`, or its parts.
    #[serde(default, deserialize_with = "request")]
    pub http: Option<HttpRequest>,
    /// What must happen.
    pub expect: Expected,
}

/// What must happen to a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// It passes.
    Allow,
    /// Its packets are dropped.
    Deny,
    /// Its request is answered with 403.
    Forbidden,
}

/// What became of a test.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CaseResult {
    /// Its name.
    pub name: String,
    /// Whether it came as expected.
    pub passed: bool,
    /// What was expected.
    pub expected: Expected,
    /// What came; missing where the flow could not be judged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub got: Option<Expected>,
    /// Why the flow could not be judged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Why it came so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub explanation: Option<Box<Explanation>>,
}

/// A value that is no suite.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {reason}")]
pub struct SuiteError {
    /// The field, as a path.
    pub field: String,
    /// What is wrong with it.
    pub reason: String,
}

// === impl Suite ===

impl Suite {
    /// Reads a suite.
    ///
    /// # Errors
    /// [`SuiteError`] for the first field that is wrong.
    pub fn read(value: &Value) -> Result<Self, SuiteError> {
        serde_path_to_error::deserialize(value).map_err(|error| SuiteError {
            field: error.path().to_string(),
            reason: error.into_inner().to_string(),
        })
    }

    /// Judges every flow of it.
    pub fn run(&self, world: &World) -> Vec<CaseResult> {
        let mut explainer = Explainer::new(world);
        self.tests
            .iter()
            .map(|case| case.run(&mut explainer))
            .collect()
    }
}

// === impl Case ===

impl Case {
    fn run(&self, explainer: &mut Explainer<'_>) -> CaseResult {
        let flow = Flow {
            from: self.from.clone(),
            to: self.to.clone(),
            protocol: self.protocol,
            port: self.port,
            port_name: None,
            http: self.http.clone(),
        };
        let (got, error, explanation) = match explainer.explain(&flow) {
            Ok(told) => (Some(told.verdict.into()), None, Some(Box::new(told))),
            Err(error) => (None, Some(error.to_string()), None),
        };
        CaseResult {
            name: self.title(),
            passed: got == Some(self.expect),
            expected: self.expect,
            got,
            error,
            explanation,
        }
    }

    fn title(&self) -> String {
        if !self.name.is_empty() {
            return self.name.clone();
        }
        let port = self.port.map(|port| format!("/{port}"));
        let request = self
            .http
            .as_ref()
            .map(|http| format!(" {} {}", http.method, http.path));
        format!(
            "{} -> {} {}{}{}",
            self.from,
            self.to,
            self.protocol,
            port.unwrap_or_default(),
            request.unwrap_or_default()
        )
    }
}

fn tcp() -> Protocol {
    Protocol::Tcp
}

/// `METHOD PATH`, `/PATH`, or a map of the request's parts.
fn request<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<HttpRequest>, D::Error> {
    match Value::deserialize(deserializer)? {
        Value::Null => Ok(None),
        Value::String(text) => {
            let (method, path) = match text.trim().split_once(' ') {
                Some((method, path)) => (method, path.trim()),
                None => ("GET", text.trim()),
            };
            if !path.starts_with('/') && path != "*" {
                let reason = format!("{text:?} is not a request: write `METHOD /PATH`");
                return Err(de::Error::custom(reason));
            }
            Ok(Some(HttpRequest {
                method: method.to_owned(),
                path: path.to_owned(),
                ..HttpRequest::default()
            }))
        }
        parts => serde_json::from_value(parts)
            .map(Some)
            .map_err(de::Error::custom),
    }
}

// === impl Expected ===

impl From<Outcome> for Expected {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Allow => Self::Allow,
            Outcome::Deny => Self::Deny,
            Outcome::HttpDeny => Self::Forbidden,
        }
    }
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
            Self::Forbidden => "403",
        })
    }
}

impl Serialize for Expected {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Expected {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        match (value.as_str(), value.as_u64()) {
            (Some("allow"), _) => Ok(Self::Allow),
            (Some("deny"), _) => Ok(Self::Deny),
            (Some("403"), _) | (_, Some(403)) => Ok(Self::Forbidden),
            _ => Err(de::Error::custom(format!(
                "{value} must be `allow`, `deny` or `403`"
            ))),
        }
    }
}

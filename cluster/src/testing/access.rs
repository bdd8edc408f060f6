//! Who may ask what: tokens, and a role as Kubernetes' RBAC reads it (rbac.authorization.k8s.io/v1,
//! without names of single objects and URLs).

use std::collections::BTreeSet;

use axum::{
    http::{Method, StatusCode},
    response::Response,
};
use serde::Deserialize;

use super::{
    answers,
    routes::{Params, Target},
};

/// Tokens that the server takes.
#[derive(Debug)]
pub struct Access {
    /// Of somebody who may do everything.
    pub admin: String,
    /// Of somebody who may do what `rules` say.
    pub token: String,
    /// His role.
    pub rules: Vec<Rule>,
    /// What he has used of it, as `VERB RESOURCE`.
    pub used: BTreeSet<String>,
    /// What he asked for without the right to.
    pub refused: BTreeSet<String>,
}

/// A rule of a role.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rule {
    #[serde(default)]
    pub api_groups: Vec<String>,
    #[serde(default)]
    pub resources: Vec<String>,
    #[serde(default)]
    pub verbs: Vec<String>,
}

impl Access {
    /// Judges a request; the answer where it may not be.
    pub fn judge(
        &mut self,
        token: Option<&str>,
        method: &Method,
        target: Option<&Target>,
        params: &Params,
    ) -> Result<(), Box<Response>> {
        let refuse = |code: StatusCode, reason: &str, message: &str| {
            Err(Box::new(answers::failure(code.as_u16(), reason, message)))
        };
        if token == Some(&self.admin) {
            return Ok(());
        }
        if token != Some(&self.token) {
            return refuse(StatusCode::UNAUTHORIZED, "Unauthorized", "Unauthorized");
        }
        // What there is may be asked by everybody who is known.
        let Some(target) = target else {
            return Ok(());
        };
        let verb = verb(method, target, params);
        let resource = target.resource_name();
        let asked = format!("{verb} {resource}");
        let has = |list: &[String], word: &str| list.iter().any(|each| each == word);
        let granted = self.rules.iter().any(|rule| {
            has(&rule.api_groups, target.resource.group)
                && has(&rule.resources, &resource)
                && has(&rule.verbs, verb)
        });
        if granted {
            self.used.insert(asked);
            return Ok(());
        }
        let message = format!("the role does not allow: {asked}");
        self.refused.insert(asked);
        refuse(StatusCode::FORBIDDEN, "Forbidden", &message)
    }
}

/// The verb of a request (kubernetes.io, "Determine the request verb").
fn verb(method: &Method, target: &Target, params: &Params) -> &'static str {
    let watched = params.get("watch").is_some_and(|watch| watch != "false");
    match (method.as_str(), target.name.is_some()) {
        ("GET", true) => "get",
        ("GET", false) if watched => "watch",
        ("GET", false) => "list",
        ("POST", _) => "create",
        ("PUT", _) => "update",
        ("PATCH", _) => "patch",
        ("DELETE", true) => "delete",
        _ => "deletecollection",
    }
}

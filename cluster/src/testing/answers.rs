//! Answers as an API server words them.

use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse as _, Response},
};
use serde_json::{Value, json};

/// A `Status` object for a failure.
pub fn status(code: u16, reason: &str, message: &str) -> Value {
    json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": message, "reason": reason, "code": code,
    })
}

pub fn failure(code: u16, reason: &str, message: &str) -> Response {
    let text = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (text, Json(status(code, reason, message))).into_response()
}

pub fn not_found(what: &str) -> Response {
    failure(404, "NotFound", &format!("{what} not found"))
}

/// What a watch is told whose version is forgotten.
pub fn expired() -> Value {
    status(
        410,
        "Expired",
        "The resourceVersion for the provided watch is too old.",
    )
}

//! The proxy's own answers on a stream; the connection goes on.

use bytes::Bytes;
use h2::server::SendResponse;
use http::{HeaderValue, Response, StatusCode, header};

use super::grpc;
use crate::engine::Answer;

/// What the client was told: the status code, and gRPC's where the request was gRPC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Told {
    /// Status code.
    pub status: u16,
    /// `grpc-status`.
    pub grpc: Option<u16>,
}

/// What an answer tells.
pub fn told(answer: Answer, is_grpc: bool) -> Told {
    match is_grpc {
        // Clients of gRPC read the status of the call, and take any other than 200 for a proxy's
        // mistake.
        true => Told {
            status: 200,
            grpc: Some(grpc::code(answer)),
        },
        false => Told {
            status: answer.status(),
            grpc: None,
        },
    }
}

/// Answers a stream on which nothing was answered yet, and ends it.
///
/// # Errors
/// The stream or its connection is gone.
pub fn answer(
    respond: &mut SendResponse<Bytes>,
    answer: Answer,
    is_grpc: bool,
    head_only: bool,
) -> Result<Told, h2::Error> {
    let told = told(answer, is_grpc);
    let text = answer.text();
    let mut response = Response::new(());
    *response.status_mut() =
        StatusCode::from_u16(told.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    if let Some(code) = told.grpc {
        // All in one head ("Trailers-Only").
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/grpc"),
        );
        headers.insert("grpc-status", code.into());
        headers.insert("grpc-message", grpc::message(text.trim_end()));
        respond.send_response(response, true)?;
        return Ok(told);
    }
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    headers.insert(header::CONTENT_LENGTH, text.len().into());
    let mut body = respond.send_response(response, head_only)?;
    if !head_only {
        // A few bytes, which wait for a window if they must: streams are bounded.
        body.send_data(text.into(), true)?;
    }
    Ok(told)
}

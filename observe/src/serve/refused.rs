//! What Hubble's clients may ask and Weir does not tell: refused with a message, which gRPC's own answer
//! to an unknown method has not.

use axum::{Router, body::Body, response::Response, routing::post};
use tonic::Status;

/// The methods, and what they would tell of.
const METHODS: [(&str, &str); 2] = [
    ("/observer.Observer/GetAgentEvents", "events of an agent"),
    ("/observer.Observer/GetDebugEvents", "debug events"),
];

pub fn router() -> Router {
    METHODS.iter().fold(Router::new(), |router, (path, what)| {
        let refuse = async move || -> Response {
            let reason = format!("Weir's observers tell of flows, not of {what}");
            Status::unimplemented(reason).into_http::<Body>()
        };
        router.route(path, post(refuse))
    })
}

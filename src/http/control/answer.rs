//! What the command line reads: the views as JSON, errors as
//! `{"error":{kind,message,hint}}` with the status of their kind.

use berth_api::{Error, ErrorKind};
use hyper::StatusCode;
use serde::Serialize;

use crate::view::ErrorBody;

use super::{Fault, Reply, route::Refusal};

const JSON: &str = "application/json";

/// The Prometheus text format.
const EXPOSITION: &str = "text/plain; version=0.0.4; charset=utf-8";

/// A view, as it is.
pub(super) fn json<T: Serialize>(view: &T) -> Reply {
    match serde_json::to_vec(view) {
        Ok(body) => Reply::new(StatusCode::OK, JSON, body),
        Err(source) => failure(&Error::internal("encode the answer").with_source(source)),
    }
}

/// Success, and nothing to say.
pub(super) fn empty() -> Reply {
    Reply::new(StatusCode::OK, JSON, "{}")
}

/// The daemon's counters.
pub(super) fn metrics(text: String) -> Reply {
    Reply::new(StatusCode::OK, EXPOSITION, text)
}

/// The reply that says `error`.
pub(super) fn failure(error: &Error) -> Reply {
    with_status(status(error.kind()), error)
}

/// The reply to a caller who may not ask.
pub(super) fn forbidden(error: &Error) -> Reply {
    with_status(StatusCode::FORBIDDEN, error)
}

/// The reply to a request that names nothing.
pub(super) fn refusal(refusal: &Refusal) -> Reply {
    match refusal {
        Refusal::Unknown(error) | Refusal::Malformed(error) => failure(error),
        Refusal::Method { allow, error } => {
            let mut reply = with_status(StatusCode::METHOD_NOT_ALLOWED, error);
            reply.allow = Some(allow);
            reply
        }
    }
}

/// The reply where no handler made one.
pub(super) fn fault(fault: Fault) -> Reply {
    with_status(fault.status(), &Error::from(fault))
}

fn with_status(status: StatusCode, error: &Error) -> Reply {
    let body = serde_json::to_vec(&ErrorBody::from(error)).expect("texts serialise");
    Reply::new(status, JSON, body)
}

/// The HTTP status of an error's kind.
pub fn status(kind: ErrorKind) -> StatusCode {
    match kind {
        ErrorKind::Invalid => StatusCode::BAD_REQUEST,
        ErrorKind::NotFound => StatusCode::NOT_FOUND,
        ErrorKind::Conflict => StatusCode::CONFLICT,
        ErrorKind::Busy => StatusCode::LOCKED,
        ErrorKind::Unsupported => StatusCode::NOT_IMPLEMENTED,
        ErrorKind::Exhausted => StatusCode::INSUFFICIENT_STORAGE,
        ErrorKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        ErrorKind::Corrupt | ErrorKind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::{Value, json};

    use super::*;

    fn body(reply: &Reply) -> Value {
        serde_json::from_slice(&reply.body).expect("every error is JSON")
    }

    #[test]
    fn each_kind_has_its_status() {
        let status = |kind| status(kind).as_u16();
        assert_eq!(status(ErrorKind::Invalid), 400);
        assert_eq!(status(ErrorKind::NotFound), 404);
        assert_eq!(status(ErrorKind::Conflict), 409);
        assert_eq!(status(ErrorKind::Busy), 423);
        assert_eq!(status(ErrorKind::Unsupported), 501);
        assert_eq!(status(ErrorKind::Exhausted), 507);
        assert_eq!(status(ErrorKind::Unavailable), 503);
        assert_eq!(status(ErrorKind::Corrupt), 500);
        assert_eq!(status(ErrorKind::Internal), 500);
    }

    #[test]
    fn an_error_keeps_kind_chain_and_hint() {
        let error = Error::busy("volume `db` is mounted").context("remove `db`").with_hint("wait");
        let reply = failure(&error);
        assert_eq!(reply.status, StatusCode::LOCKED);
        assert_eq!(
            body(&reply),
            json!({"error": {
                "kind": "busy",
                "message": "remove `db`: volume `db` is mounted",
                "hint": "wait",
            }})
        );
    }

    #[test]
    fn faults_are_errors_too() {
        let faults = [
            (Fault::TooLarge(5), 413, true),
            (Fault::TooSlow(Duration::from_secs(1)), 408, true),
            (Fault::Truncated, 400, true),
            (Fault::Panicked, 500, false),
            (Fault::Stopping, 503, true),
        ];
        for (met, status, close) in faults {
            let reply = fault(met).after(met);
            assert_eq!((reply.status.as_u16(), reply.close), (status, close), "{met:?}");
            assert!(body(&reply)["error"]["message"].is_string(), "{met:?}");
        }
    }
}

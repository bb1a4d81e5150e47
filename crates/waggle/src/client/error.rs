//! What an answer other than 2xx becomes.

use crate::exit::{Exit, Failure};
use http::StatusCode;
use waggle_control::api::types::ErrorBody;

pub fn refusal(status: StatusCode, body: &[u8]) -> Failure {
    let exit = match status.as_u16() {
        401 | 403 => Exit::Denied,
        400..=499 => Exit::Refused,
        502..=504 => Exit::Unreachable,
        _ => Exit::Failed,
    };
    let failure = match serde_json::from_slice::<ErrorBody>(body) {
        Ok(ErrorBody { error }) => {
            // A single problem may be the message already.
            let problems = error.problems.into_iter().filter(|problem| !error.message.contains(problem.as_str()));
            let problems: Vec<String> = problems.collect();
            let failure = Failure::new(exit, error.message).with_problems(problems);
            Failure { help: error.help, ..failure }
        }
        Err(_) => Failure::new(exit, format!("control answered {status}")),
    };
    // What control says about headers is for those who write clients.
    if status == StatusCode::UNAUTHORIZED || failure.help.is_none() && exit == Exit::Denied {
        return failure.with_help(
            "log in again with a token that control knows, `waggle login URL`; the first is in its DATA_DIR/admin.token",
        );
    }
    failure
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_become_failures() {
        let body = br#"{"error":{"code":"invalid","message":"no","help":"do x","problems":["a","b"]}}"#;
        let failure = refusal(StatusCode::UNPROCESSABLE_ENTITY, body);
        assert_eq!(failure.exit, Exit::Refused);
        assert_eq!(failure.render(false), "error: no\n  a\n  b\nhelp: do x\n");
        let body = br#"{"error":{"code":"invalid","message":"no: a","problems":["a"]}}"#;
        assert_eq!(refusal(StatusCode::UNPROCESSABLE_ENTITY, body).render(false), "error: no: a\n");
        let body = br#"{"error":{"code":"denied","message":"no","help":"send a header"}}"#;
        let denied = refusal(StatusCode::UNAUTHORIZED, body);
        assert_eq!(denied.exit, Exit::Denied);
        assert!(denied.help.is_some_and(|help| help.contains("waggle login")));
        assert_eq!(
            refusal(StatusCode::SERVICE_UNAVAILABLE, b"<html>").message,
            "control answered 503 Service Unavailable"
        );
        assert_eq!(refusal(StatusCode::INTERNAL_SERVER_ERROR, b"{}").exit, Exit::Failed);
    }
}

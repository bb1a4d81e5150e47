//! One TLS connection that carries one request, and what is said when there is none.

use crate::client::url::Address;
use crate::exit::{Exit, Failure, chain};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use std::io;
use std::sync::Arc;
use tokio::task::JoinSet;
use waggle_wire::channel;
use waggle_wire::identity::Identity;

/// An answer whose body is yet to come, and the task that brings it; dropping ends both.
pub struct Exchange {
    pub response: Response<Incoming>,
    pub _driver: JoinSet<()>,
}

pub async fn exchange(
    to: &Address,
    tls: Arc<ClientConfig>,
    request: Request<Full<Bytes>>,
) -> Result<Exchange, Failure> {
    let stream =
        channel::dial(&to.authority(), &Identity::Control, tls).await.map_err(|error| unreachable(to, &error))?;
    let broke = |error: hyper::Error| {
        let message = format!("the connection to control at {to} broke: {}", chain(&error));
        Failure::new(Exit::Unreachable, message).with_help("look at its log, or try again")
    };
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broke)?;
    let mut driver = JoinSet::new();
    driver.spawn(async move {
        let _ = connection.await;
    });
    let response = sender.send_request(request).await.map_err(broke)?;
    Ok(Exchange { response, _driver: driver })
}

fn unreachable(to: &Address, error: &io::Error) -> Failure {
    let (message, help) = match error.kind() {
        io::ErrorKind::ConnectionRefused => (
            format!("nothing listens at {to}"),
            "start `waggle control` there, or correct the URL with `waggle login`".to_owned(),
        ),
        io::ErrorKind::TimedOut => (
            format!("no answer from {to} within {} s", channel::CONNECT_TIMEOUT.as_secs()),
            "check the address and the firewalls on the way".to_owned(),
        ),
        io::ErrorKind::InvalidData => (
            format!("{to} is not the control service this token was made for: {}", without_class(&chain(error))),
            "check the URL; if control was set up anew, log in with its new token".to_owned(),
        ),
        _ => (
            format!("cannot reach control at {to}: {}", chain(error)),
            "check the URL with `waggle context show`".to_owned(),
        ),
    };
    Failure::new(Exit::Unreachable, message).with_help(help)
}

/// A message of rustls without its class, which tells people nothing.
fn without_class(message: &str) -> &str {
    message.strip_prefix("unexpected error: ").unwrap_or(message)
}

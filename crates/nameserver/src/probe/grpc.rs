//! One call of `grpc.health.v1.Health/Check` over a fresh HTTP/2 connection.
//!
//! hyper hands the parts of an HTTP/2 connection to an executor. Ours only queues them, and the future of the probe drives
//! them beside the call, so that dropping the probe drops all of it; a tonic channel would leave tasks behind that nobody
//! owns, and reconnect where a probe must fail.

use super::http::authority;
use super::tls::Clients;
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use http::uri::{Scheme, Uri};
use hyper::body::Incoming;
use hyper::client::conn::http2;
use hyper_util::rt::TokioIo;
use std::pin::pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tonic::body::Body;
use tonic::client::GrpcService;
use tonic::{Code, Status};
use waggle_model::release::GrpcCheck;
use waggle_wire::proto::health::HealthCheckRequest;
use waggle_wire::proto::health::health_check_response::ServingStatus;
use waggle_wire::proto::health::health_client::HealthClient;

/// Octets of an answer; a right one has two.
const MESSAGE_MAX: usize = 4096;
/// Octets of headers and trailers.
const HEAD_MAX: u32 = 16 * 1024;
/// Letters of a server's own words that a reason tells.
const WORDS_MAX: usize = 200;

/// Asks. `Err` says what is wrong, for people.
pub async fn exchange(
    stream: TcpStream,
    check: &GrpcCheck,
    host: &str,
    port: u16,
    tls: &Clients,
) -> Result<(), String> {
    let scheme = if check.tls { Scheme::HTTPS } else { Scheme::HTTP };
    let authority = authority(host, check.host.is_some(), check.tls, port);
    let origin = Uri::builder().scheme(scheme).authority(authority).path_and_query("/").build();
    let origin = origin.map_err(|error| format!("the check cannot be sent: {error}"))?;
    if check.tls {
        let stream = tls.handshake(stream, host, check.tls_insecure, b"h2").await?;
        return ask(stream, origin, &check.service).await;
    }
    ask(stream, origin, &check.service).await
}

async fn ask<S>(stream: S, origin: Uri, service: &str) -> Result<(), String>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (parts, mut queued) = mpsc::unbounded_channel();
    let mut builder = http2::Builder::new(Own(parts));
    builder.max_header_list_size(HEAD_MAX);
    let handshake = builder.handshake(TokioIo::new(stream)).await;
    let (sender, connection) = handshake.map_err(|error| format!("no valid HTTP/2 answer: {error}"))?;
    let mut client = HealthClient::with_origin(Connection(sender), origin).max_decoding_message_size(MESSAGE_MAX);
    let request = HealthCheckRequest { service: service.to_owned() };
    let mut answer =
        pin!(async move { judge(service, client.check(request).await.map(|said| said.get_ref().status())) });
    let mut connection = pin!(connection);
    let mut running = FuturesUnordered::new();
    let mut open = true;
    loop {
        tokio::select! {
            // The answer first: a connection that ends may have delivered it whole.
            biased;
            judged = &mut answer => return judged,
            Some(part) = queued.recv() => running.push(part),
            Some(()) = running.next() => {}
            // Its errors reach the answer too.
            _ = &mut connection, if open => open = false,
        }
    }
}

fn judge(service: &str, said: Result<ServingStatus, Status>) -> Result<(), String> {
    let whose = if service.is_empty() { "the server".to_owned() } else { format!("service {service}") };
    match said {
        Ok(ServingStatus::Serving) => Ok(()),
        Ok(other) => Err(format!("{whose} is {}", other.as_str_name())),
        Err(status) => Err(match status.code() {
            Code::Unimplemented => format!("the server does not offer grpc.health.v1.Health: {}", words(&status)),
            Code::NotFound => format!("the server knows no service {service:?}: {}", words(&status)),
            _ => words(&status),
        }),
    }
}

/// Status in the words of gRPC, and what the server says about it.
fn words(status: &Status) -> String {
    let mut word = String::new();
    for (at, letter) in format!("{:?}", status.code()).chars().enumerate() {
        if letter.is_uppercase() && at > 0 {
            word.push('_');
        }
        word.push(letter.to_ascii_uppercase());
    }
    let message: String = status.message().chars().filter(|letter| !letter.is_control()).take(WORDS_MAX).collect();
    if message.is_empty() { format!("gRPC status {word}") } else { format!("gRPC status {word}: {message}") }
}

struct Connection(http2::SendRequest<Body>);

impl GrpcService<Body> for Connection {
    type ResponseBody = Incoming;
    type Error = hyper::Error;
    type Future = BoxFuture<'static, Result<http::Response<Incoming>, hyper::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), hyper::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        Box::pin(self.0.send_request(request))
    }
}

/// Queues what hyper would have spawned: the connection, and the body of one request.
#[derive(Clone)]
struct Own(mpsc::UnboundedSender<BoxFuture<'static, ()>>);

impl<F: Future<Output = ()> + Send + 'static> hyper::rt::Executor<F> for Own {
    fn execute(&self, part: F) {
        let _ = self.0.send(Box::pin(part));
    }
}

#[cfg(test)]
mod tests;

//! A control service for tests: real TLS on loopback, answers from a function.

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming as Body};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::io;
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use waggle_control::ca::Authority;
use waggle_daemon::CancellationToken;
use waggle_model::Timestamp;
use waggle_wire::channel::Incoming;
use waggle_wire::credentials::Current;
use waggle_wire::tls::{self, Clients};
use waggle_wire::token::{Kind, Token};

pub type Answer = Response<BoxBody<Bytes, io::Error>>;
/// `METHOD PATH`, the body, and how many times this was asked before.
pub type Script = dyn Fn(&str, &str, usize) -> Answer + Send + Sync;

pub struct Fake {
    pub url: String,
    pub token: Token,
    /// `METHOD PATH` of every request, in order.
    pub asked: Arc<Mutex<Vec<String>>>,
    _tasks: JoinSet<()>,
}

impl Fake {
    pub async fn start(script: impl Fn(&str, &str, usize) -> Answer + Send + Sync + 'static) -> Fake {
        let now = Timestamp(waggle_daemon::time::now());
        let authority = Authority::in_memory(now).unwrap();
        let token = Token::generate(Kind::Api, authority.digest()).unwrap();
        let current = Current::new(authority.own(now).unwrap());
        let config = tls::server(&current, Clients::NotAsked, tls::ALPN_API).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://{}", listener.local_addr().unwrap());
        let (incoming, accept) = Incoming::new(listener, config, CancellationToken::new()).unwrap();

        let asked = Arc::new(Mutex::new(Vec::new()));
        let mut tasks = JoinSet::new();
        tasks.spawn(accept);
        tasks.spawn(serve(incoming, Arc::new(script), asked.clone(), format!("Bearer {}", token.expose())));
        Fake { url, token, asked, _tasks: tasks }
    }

    pub fn client(&self) -> super::Client {
        super::Client::new(&self.url, &self.token).unwrap()
    }

    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

async fn serve(mut incoming: Incoming, script: Arc<Script>, asked: Arc<Mutex<Vec<String>>>, bearer: String) {
    use futures_util::StreamExt;
    let mut connections = JoinSet::new();
    while let Some(stream) = incoming.next().await {
        let (script, asked, bearer) = (script.clone(), asked.clone(), bearer.clone());
        let service = service_fn(move |request: Request<Body>| {
            let (script, asked, bearer) = (script.clone(), asked.clone(), bearer.clone());
            async move {
                let line = format!("{} {}", request.method(), request.uri());
                let known = request.headers().get("authorization").is_some_and(|value| value == bearer.as_str());
                let body = request.into_body().collect().await.unwrap().to_bytes();
                let before = {
                    let mut asked = asked.lock().unwrap();
                    asked.push(line.clone());
                    asked.iter().filter(|earlier| **earlier == line).count() - 1
                };
                let answer = match known {
                    true => script(&line, &String::from_utf8_lossy(&body), before),
                    false => json(StatusCode::UNAUTHORIZED, "{}"),
                };
                Ok::<_, Infallible>(answer)
            }
        });
        connections.spawn(async move {
            let stream = TokioIo::new(stream.unwrap());
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(stream, service).await;
        });
    }
}

pub fn json(status: StatusCode, body: impl Into<String>) -> Answer {
    let body = Full::new(Bytes::from(body.into())).map_err(|never| match never {});
    Response::builder().status(status).body(body.boxed()).unwrap()
}

/// Events, after which the stream ends, breaks, or stays silent.
#[derive(Clone, Copy)]
pub enum Then {
    End,
    Break,
    Silence,
}

pub fn events(data: &[String], then: Then) -> Answer {
    use futures_util::StreamExt;
    let frames: Vec<_> = data.iter().map(|one| Ok(Frame::data(Bytes::from(format!("data: {one}\n\n"))))).collect();
    let frames = futures_util::stream::iter(frames);
    let body = match then {
        Then::End => BodyExt::boxed(StreamBody::new(frames)),
        Then::Break => {
            let broken = futures_util::stream::once(async {
                // Head and events are sent first.
                tokio::task::yield_now().await;
                Err(io::Error::other("cut"))
            });
            BodyExt::boxed(StreamBody::new(frames.chain(broken)))
        }
        Then::Silence => BodyExt::boxed(StreamBody::new(frames.chain(futures_util::stream::pending()))),
    };
    Response::builder().header("content-type", "text/event-stream").body(body).unwrap()
}

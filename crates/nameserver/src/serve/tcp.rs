//! TCP through hickory-server: it accepts, frames (RFC 1035 §4.2.2), pipelines and times out; we answer.
//!
//! Its `Catalog` is not used: the same engine answers as over UDP, from the query's raw bytes. hickory 0.26 takes replies
//! only as its own message type, so the reply is read with its codec and written again by it; compression may differ from
//! the UDP reply, the content does not. This file is the only one that knows hickory's handler signature.
//!
//! Known limits of hickory 0.26: no bound on connections (only idle ones are closed), queries of one connection are
//! answered in order, and a query it cannot parse gets its own FORMERR without a question.

use super::{Answer, Asked, contained};
use crate::metrics::{Tally, Traffic};
use crate::state::State;
use async_trait::async_trait;
use hickory_server::Server;
use hickory_server::net::runtime::Time;
use hickory_server::proto::op::{Header, HeaderCounts, Message, MessageType, Metadata, ResponseCode};
use hickory_server::server::{Request, RequestHandler, ResponseHandler, ResponseInfo};
use hickory_server::zone_handler::MessageResponseBuilder;
use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use waggle_dns::Transport;
use waggle_model::Timestamp;

/// A connection without a query for this long is closed (RFC 7766 §6.2.3 asks for seconds).
const IDLE: Duration = Duration::from_secs(8);
/// Replies of one connection that may wait for its client to read them.
const REPLIES_MAX: usize = 32;
/// Octets of the largest reply.
const REPLY_MAX: usize = u16::MAX as usize;
/// Pause before listeners that failed are started again.
const RESTART_PAUSE: Duration = Duration::from_millis(100);

/// Serves the listeners until `stop`. When hickory gives one up, all are started again on copies of the same sockets.
pub async fn run(
    listeners: Vec<TcpListener>,
    state: Arc<State>,
    traffic: Arc<Traffic>,
    answer: Answer,
    stop: CancellationToken,
) -> io::Result<()> {
    loop {
        let handler = Handler { state: state.clone(), traffic: traffic.clone(), answer };
        let mut server = Server::new(handler);
        for listener in &listeners {
            let listener = tokio::net::TcpListener::from_std(listener.try_clone()?)?;
            server.register_listener(listener, IDLE, REPLIES_MAX);
        }
        tokio::select! {
            () = stop.cancelled() => {
                let _ = server.shutdown_gracefully().await;
                return Ok(());
            }
            ended = server.block_until_done() => {
                tracing::error!(error = ?ended.err(), "the TCP server ended, it starts again");
            }
        }
        tokio::time::sleep(RESTART_PAUSE).await;
    }
}

struct Handler {
    state: Arc<State>,
    traffic: Arc<Traffic>,
    answer: Answer,
}

#[async_trait]
impl RequestHandler for Handler {
    async fn handle_request<R: ResponseHandler, T: Time>(&self, request: &Request, replies: R) -> ResponseInfo {
        let reply = self.reply(request);
        match reply {
            Some(reply) => send(request, reply, replies).await,
            None => nothing(request),
        }
    }
}

impl Handler {
    fn reply(&self, request: &Request) -> Option<Message> {
        let serving = self.state.get();
        let now = Timestamp(waggle_daemon::time::now());
        let mut out = vec![0; REPLY_MAX];
        let asked = Asked { query: request.as_slice(), source: request.src(), transport: Transport::Tcp, now };
        let mut tally = Tally::default();
        let length = contained(self.answer, serving.as_deref(), &asked, &mut out, &mut tally);
        self.traffic.tcp.add(&tally);
        let length = length?;
        Message::from_vec(out.get(..length)?).ok()
    }
}

async fn send<R: ResponseHandler>(request: &Request, reply: Message, mut replies: R) -> ResponseInfo {
    let mut builder = MessageResponseBuilder::from_message_request(request);
    if let Some(edns) = &reply.edns {
        builder.edns(edns);
    }
    let (answers, authorities, additionals) = (&reply.answers, &reply.authorities, &reply.additionals);
    let response = builder.build(reply.metadata, answers, authorities, None, additionals);
    match replies.send_response(response).await {
        Ok(info) => info,
        Err(error) => {
            tracing::debug!(%error, client = %request.src(), "a TCP reply could not be sent");
            nothing(request)
        }
    }
}

/// What hickory wants to hear when nothing was sent; it only logs it.
fn nothing(request: &Request) -> ResponseInfo {
    let mut metadata = Metadata::new(request.metadata.id, MessageType::Response, request.metadata.op_code);
    metadata.response_code = ResponseCode::ServFail;
    ResponseInfo::from(Header { metadata, counts: HeaderCounts::default() })
}

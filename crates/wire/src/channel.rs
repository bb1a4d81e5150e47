//! Channels: how a TLS connection is dialled and accepted.
//!
//! tonic's own TLS fixes certificates when a server starts, so rotation would need a restart. Here the handshake is
//! ours (credentials are looked up per handshake) and tonic gets finished streams. Handshakes run beside the accept
//! loop, bounded in number and time, so that one slow peer does not keep others waiting.

use crate::identity::Identity;
use futures_util::Stream;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ServerConfig};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::timeout;
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};
use tokio_util::sync::CancellationToken;
use tonic::transport::server::Connected;
use tonic::transport::{Channel, Endpoint};

/// Connect and handshake together.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A peer must finish its handshake within this.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// Handshakes under way at once per listener.
pub const HANDSHAKES_MAX: usize = 256;
/// Connections open at once per listener; more are dropped before their handshake.
pub const CONNECTIONS_MAX: usize = 8192;
/// HTTP/2 pings on idle connections, and how long an answer may take.
pub const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(2);
pub const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(3);
/// Pause after accept failed, e.g. for want of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

pub type TlsClientStream = client::TlsStream<TcpStream>;
pub type TlsServerStream = server::TlsStream<TcpStream>;

/// One TCP connection with a TLS handshake, verified to be `peer`. `address` is `HOST:PORT`.
pub async fn dial(address: &str, peer: &Identity, config: Arc<ClientConfig>) -> io::Result<TlsClientStream> {
    let name = ServerName::try_from(peer.dns_name()).map_err(io::Error::other)?;
    let connect = async {
        let tcp = TcpStream::connect(address).await?;
        tcp.set_nodelay(true)?;
        TlsConnector::from(config).connect(name, tcp).await
    };
    timeout(CONNECT_TIMEOUT, connect)
        .await
        .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, format!("no connection to {address} within 5 s")))?
}

/// A gRPC channel that connects now.
pub async fn connect(
    address: &str,
    peer: Identity,
    config: Arc<ClientConfig>,
) -> Result<Channel, tonic::transport::Error> {
    let target = address.to_owned();
    let connector = tower::service_fn(move |_uri: http::Uri| {
        let (target, peer, config) = (target.clone(), peer.clone(), config.clone());
        async move { dial(&target, &peer, config).await.map(TokioIo::new) }
    });
    Endpoint::from_shared(format!("http://{address}"))?
        .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT)
        .keep_alive_while_idle(true)
        .connect_timeout(CONNECT_TIMEOUT)
        .connect_with_connector(connector)
        .await
}

/// A gRPC server builder with our keepalive and limits.
pub fn grpc_server() -> tonic::transport::Server {
    tonic::transport::Server::builder()
        .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
        .concurrency_limit_per_connection(32)
        .max_concurrent_streams(Some(64))
}

/// Accepted and verified connections of one listener: a stream for tonic, a listener for axum.
pub struct Incoming {
    ready: mpsc::Receiver<(Connection, SocketAddr)>,
    local: SocketAddr,
}

impl Incoming {
    /// The accept loop and the stream it feeds. The caller owns the future and must drive it; it ends with `stop`.
    pub fn new(
        listener: TcpListener,
        config: Arc<ServerConfig>,
        stop: CancellationToken,
    ) -> io::Result<(Incoming, impl Future<Output = ()> + Send + 'static)> {
        let local = listener.local_addr()?;
        let (send, ready) = mpsc::channel(HANDSHAKES_MAX);
        Ok((Incoming { ready, local }, accept_loop(listener, config, send, stop)))
    }

    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }
}

async fn accept_loop(
    listener: TcpListener,
    config: Arc<ServerConfig>,
    ready: mpsc::Sender<(Connection, SocketAddr)>,
    stop: CancellationToken,
) {
    let acceptor = TlsAcceptor::from(config);
    let permits = Arc::new(Semaphore::new(HANDSHAKES_MAX));
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut handshakes = tokio::task::JoinSet::new();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            Some(_) = handshakes.join_next(), if !handshakes.is_empty() => continue,
            accepted = listener.accept() => accepted,
        };
        let (tcp, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Ok(permit) = permits.clone().try_acquire_owned() else {
            tracing::debug!(%peer, limit = HANDSHAKES_MAX, "too many handshakes at once, connection dropped");
            continue;
        };
        let Ok(place) = places.clone().try_acquire_owned() else {
            tracing::debug!(%peer, limit = CONNECTIONS_MAX, "too many connections, connection dropped");
            continue;
        };
        let (acceptor, ready) = (acceptor.clone(), ready.clone());
        handshakes.spawn(async move {
            let _permit = permit;
            let _ = tcp.set_nodelay(true);
            match timeout(HANDSHAKE_TIMEOUT, acceptor.accept(tcp)).await {
                Ok(Ok(stream)) => {
                    let _ = ready.send((Connection { stream, _place: place }, peer)).await;
                }
                Ok(Err(error)) => tracing::debug!(%peer, %error, "handshake failed"),
                Err(_) => tracing::debug!(%peer, "handshake took too long"),
            }
        });
    }
}

/// A verified connection; it gives its place back when it is dropped.
pub struct Connection {
    stream: TlsServerStream,
    _place: OwnedSemaphorePermit,
}

impl Connection {
    /// Whether the handshake agreed on HTTP/2.
    pub fn speaks_http2(&self) -> bool {
        self.stream.get_ref().1.alpn_protocol() == Some(b"h2")
    }
}

impl Connected for Connection {
    type ConnectInfo = <TlsServerStream as Connected>::ConnectInfo;

    fn connect_info(&self) -> Self::ConnectInfo {
        self.stream.connect_info()
    }
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl Stream for Incoming {
    type Item = io::Result<Connection>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.ready.poll_recv(cx).map(|item| item.map(|(stream, _)| Ok(stream)))
    }
}

impl axum::serve::Listener for Incoming {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        match self.ready.recv().await {
            Some(accepted) => accepted,
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        Ok(self.local)
    }
}

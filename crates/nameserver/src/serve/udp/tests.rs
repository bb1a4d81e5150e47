use super::*;
use std::net::TcpListener;
use std::os::fd::OwnedFd;

#[test]
fn a_thread_that_ends_is_started_again_and_counted() {
    // Nothing can be received from a listening TCP socket.
    let socket = UdpSocket::from(OwnedFd::from(TcpListener::bind("127.0.0.1:0").unwrap()));
    let stop = Arc::new(AtomicBool::new(false));
    let traffic = Traffic::new(1);
    let counters = traffic.udp[0].clone();
    let worker = Worker {
        socket,
        state: Arc::default(),
        counters,
        answer: Serving::answer,
        stop: stop.clone(),
        processor: None,
    };
    thread::scope(|scope| {
        scope.spawn(|| supervise(&worker, &traffic));
        while traffic.threads_restarted.load(Ordering::Relaxed) < 2 {
            thread::yield_now();
        }
        stop.store(true, Ordering::Relaxed);
    });
}

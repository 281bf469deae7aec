//! The room from end to end: a log in a folder, served, mirrored and witnessed over real sockets.

mod log;
mod mirroring;
mod witnessing;

use axum::Router;
use std::net::SocketAddr;

/// Serves addresses on a spare port, until the test ends.
fn serve(router: Router) -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a spare port");
    listener.set_nonblocking(true).expect("tokio needs it so");
    let address = listener.local_addr().expect("it is bound");
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
            axum::serve(listener, router).await.expect("serving does not end");
        });
    });
    address
}

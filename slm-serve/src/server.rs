//! Connections, signals and a shutdown that lets answers finish.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use crate::api::{App, router};
use crate::config::ServeConfig;
use crate::registry::Registry;
use crate::{Error, Result};

/// A server that is bound to its address.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    app: Arc<App>,
    max_connections: usize,
    drain: Duration,
}

impl Server {
    /// Binds the address of `config`, for what `app` serves.
    ///
    /// # Errors
    /// When the address is taken or not this machine's.
    pub async fn bind(config: &ServeConfig, app: App) -> Result<Self> {
        let address = config.listen;
        let listener =
            TcpListener::bind(address).await.map_err(|source| Error::Listen { address, source })?;
        Ok(Self {
            listener,
            app: Arc::new(app),
            max_connections: config.limits.max_connections,
            drain: Duration::from_secs(config.limits.drain_seconds),
        })
    }

    /// The address, with the port that was given where 0 was asked for.
    ///
    /// # Errors
    /// When the system does not tell.
    pub fn address(&self) -> Result<SocketAddr> {
        self.listener.local_addr().map_err(|source| Error::Io { path: "socket".into(), source })
    }

    /// What requests share: to reload it, say.
    pub fn app(&self) -> Arc<App> {
        Arc::clone(&self.app)
    }

    /// Serves until `stop`; then takes no more requests, and waits for those under way as long as the configuration
    /// allows.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        let service = TowerToHyperService::new(router(Arc::clone(&self.app)));
        let mut http = hyper::server::conn::http1::Builder::new();
        http.timer(TokioTimer::new()).header_read_timeout(self.app.limits().read_time());
        let graceful = GracefulShutdown::new();
        let room = Arc::new(Semaphore::new(self.max_connections));
        tokio::pin!(stop);
        loop {
            let permit = tokio::select! {
                permit = Arc::clone(&room).acquire_owned() => permit,
                () = &mut stop => break,
            };
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                () = &mut stop => break,
            };
            let Some(stream) = connected(accepted).await else { continue };
            let connection = graceful.watch(http.serve_connection(TokioIo::new(stream), service.clone()));
            tokio::spawn(async move {
                let _permit = permit;
                // A client that breaks its connection off is no error of the server.
                if let Err(error) = connection.await {
                    tracing::debug!(%error, "a connection ended early");
                }
            });
        }
        self.app.drain();
        drop(self.listener);
        tracing::info!(in_flight = self.app.in_flight(), "shutting down");
        if tokio::time::timeout(self.drain, graceful.shutdown()).await.is_err() {
            tracing::warn!(in_flight = self.app.in_flight(), "requests were cut off");
        }
    }
}

async fn connected(accepted: std::io::Result<(TcpStream, SocketAddr)>) -> Option<TcpStream> {
    match accepted {
        Ok((stream, _)) => {
            // Tokens are small, and each should leave at once.
            let _ = stream.set_nodelay(true);
            Some(stream)
        }
        Err(error) => {
            // Out of file descriptors, most likely: some will be free soon.
            tracing::warn!(%error, "no connection");
            tokio::time::sleep(Duration::from_millis(50)).await;
            None
        }
    }
}

/// Loads what `config` names and serves it until a signal to end (SIGTERM or Ctrl-C); SIGHUP reloads.
///
/// # Errors
/// When something cannot be loaded or the address not be bound.
pub fn serve(config: &ServeConfig, source: Option<&std::path::Path>) -> Result<()> {
    let io = |source| Error::Io { path: "runtime".into(), source };
    // Each request under way waits on a thread of its own.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .max_blocking_threads(config.limits.max_requests + 16)
        .thread_stack_size(1 << 20)
        .enable_all()
        .build()
        .map_err(io)?;
    let mut app = App::new(config, Registry::load(config)?);
    if let Some(path) = source {
        app = app.with_source(path);
    }
    if let Some(otel) = &config.otel {
        app = app.with_spans(otel)?;
    }
    runtime.block_on(async {
        let server = Server::bind(config, app).await?;
        tracing::info!(address = %server.address()?, "listening");
        tokio::spawn(reload_on_signal(server.app()));
        server.run(ended()).await;
        Ok(())
    })
}

#[cfg(unix)]
async fn ended() {
    use tokio::signal::unix::{SignalKind, signal};
    match signal(SignalKind::terminate()) {
        Ok(mut terminate) => tokio::select! {
            _ = terminate.recv() => {}
            _ = tokio::signal::ctrl_c() => {}
        },
        Err(_) => {
            let _ = tokio::signal::ctrl_c().await;
        }
    }
}

#[cfg(not(unix))]
async fn ended() {
    let _ = tokio::signal::ctrl_c().await;
}

#[cfg(unix)]
async fn reload_on_signal(app: Arc<App>) {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut hangup) = signal(SignalKind::hangup()) else { return };
    while hangup.recv().await.is_some() {
        let loading = Arc::clone(&app);
        match tokio::task::spawn_blocking(move || loading.reload().map(|_| ())).await {
            Ok(Ok(())) => tracing::info!("reloaded"),
            Ok(Err(error)) => tracing::error!(%error, "not reloaded; the old models stay"),
            Err(error) => tracing::error!(%error, "not reloaded"),
        }
    }
}

#[cfg(not(unix))]
async fn reload_on_signal(_app: Arc<App>) {}

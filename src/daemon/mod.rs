//! The daemon as a process: sockets, recovery, serving, stopping.
//!
//! ```text
//! bind, listen ─▶ open the engine ─┬─ ok ─────▶ serve both sockets ─▶ READY=1
//!   (callers wait                  ├─ Corrupt ▶ serve the control socket only,
//!    in the backlog)               │            until a rebuild makes it ready
//!                                  └─ else ───▶ the error, and the exit code
//! SIGTERM, SIGINT ─▶ unlink, drain, stop the engine ─▶ exit 0; a second: at once
//! ```
//!
//! It listens before it recovers: Docker's connects then wait, where an error
//! would be taken for an answer. SIGPIPE is ignored, as Rust's runtime does for
//! every program. The process ends by `exit`: a thread that is stuck in the
//! kernel holds nobody up.

mod log;
mod signals;
mod untrusted;

use std::{sync::Arc, time::Duration};

use berth_api::{Context as _, Error, ErrorKind, Result};
use nix::sys::resource::{Resource, getrlimit, rlim_t, setrlimit};
use sd_notify::NotifyState;
use tokio::{runtime, sync::mpsc, task::JoinHandle};

use crate::{
    engine::{Engine, Setup},
    http::{
        Guard, Limits, Passed, Purpose, Server, Socket,
        control::{Control, Stage},
        docker::Docker,
        socket::outside_plugin_folder,
    },
};
use signals::Signals;
use untrusted::{Rebuilt, Untrusted};

/// As many open files as all connections and volumes at work may take.
const DESCRIPTORS: rlim_t = 16 << 10;

/// How long the stop waits for Docker's calls, then for the engine.
const DRAIN: Duration = Duration::from_secs(3);
const STOP: Duration = Duration::from_secs(5);
/// The command line can ask again.
const DRAIN_CONTROL: Duration = Duration::from_secs(1);

/// Runs the daemon until a signal ends it, and then exits with 0.
///
/// # Errors
/// What keeps it from serving even the control socket: sockets or a root that
/// another daemon has, a disk that cannot be read. Nothing is left behind.
pub fn run(setup: Setup) -> Result<()> {
    log::start()?;
    raise_descriptor_limit();
    berth_host::memory::keep_large_apart();
    let (plugin, control) = (&setup.paths.plugin_socket, &setup.paths.control_socket);
    outside_plugin_folder(control)?;
    let mut passed = Passed::take(plugin, control)?;
    let plugin = passed.or_bind(Purpose::Plugin, plugin)?;
    let control = passed.or_bind(Purpose::Control, control)?;
    let runtime = runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(8)
        .thread_name("berth")
        .enable_all()
        .build()
        .context(|| "start the runtime")?;
    let ended = runtime.block_on(live(setup, plugin, control));
    if ended.is_ok() {
        std::process::exit(0);
    }
    runtime.shutdown_background();
    ended
}

/// Calls that wait for a stuck pool each hold a connection; the others must still
/// get one. The soft limit of 1024 is for programs that use select(2).
fn raise_descriptor_limit() {
    let wanted = |(soft, hard): (rlim_t, rlim_t)| {
        let limit = hard.min(DESCRIPTORS);
        if soft < limit { setrlimit(Resource::RLIMIT_NOFILE, limit, hard) } else { Ok(()) }
    };
    if let Err(error) = getrlimit(Resource::RLIMIT_NOFILE).and_then(wanted) {
        tracing::warn!(%error, "the limit of open files stays as it is");
    }
}

/// From the bound sockets to the last answer.
async fn live(setup: Setup, plugin: Socket, control: Socket) -> Result<()> {
    let mut signals = Signals::new()?;
    let opened = tokio::select! {
        opened = open(setup.clone()) => opened,
        () = signals.next() => {
            tracing::info!("stopped while starting");
            return Ok(());
        }
    };
    // Rebuilt engines come in here.
    let (rebuilt, mut recovered) = mpsc::channel::<Rebuilt>(1);
    let mut daemon = Daemon::start(&setup, plugin, control, opened, rebuilt)?;
    loop {
        tokio::select! {
            () = signals.next() => break,
            Some(rebuilt) = recovered.recv() => {
                let _ = rebuilt.served.send(daemon.recover(rebuilt.engine));
            }
        }
    }
    tokio::spawn(signals.exit_at_next());
    daemon.stop().await;
    Ok(())
}

/// Opens the engine on a task of its own, so that signals are heard meanwhile.
async fn open(setup: Setup) -> Result<Arc<Engine>> {
    untrusted::check_finished(&setup.paths.root)?;
    let opening = tokio::spawn(async { Engine::open(setup).await });
    opening.await.unwrap_or_else(|source| {
        Err(Error::internal("recovery met a fault of its own").with_source(source))
    })
}

/// What is being served.
#[derive(Debug)]
struct Daemon {
    setup: Setup,
    /// The plugin socket: `None` while it is not served and was our own.
    plugin: Option<Socket>,
    /// Ends callers of a passed plugin socket that must not be served.
    turning_away: Option<JoinHandle<()>>,
    docker: Option<Server>,
    control: Socket,
    commands: Server,
    service: Arc<Control>,
    engine: Option<Arc<Engine>>,
}

impl Daemon {
    /// Serves what `opened` allows; hands back errors that allow nothing.
    fn start(
        setup: &Setup,
        plugin: Socket,
        control: Socket,
        opened: Result<Arc<Engine>>,
        rebuilt: mpsc::Sender<Rebuilt>,
    ) -> Result<Self> {
        let stage = match opened {
            Ok(engine) => Stage::Ready(engine),
            Err(error) if error.kind() == ErrorKind::Corrupt => {
                tracing::error!(
                    error = error.chain(),
                    hint = error.hint(),
                    "the plugin socket is not served"
                );
                Stage::Untrusted(Arc::new(Untrusted::new(setup.clone(), error, rebuilt)))
            }
            Err(error) => return Err(error),
        };
        // Before anybody can learn from the control socket that nothing is served.
        let (plugin, turning_away) = match stage {
            Stage::Ready(_) => (Some(plugin), None),
            Stage::Untrusted(_) => closed(plugin)?,
        };
        let service = Arc::new(Control::new(stage.clone(), Guard::new()));
        let commands =
            serve(&control, Arc::clone(&service), Limits { connections: 64, ..Limits::default() })?;
        let mut daemon = Self {
            setup: setup.clone(),
            plugin,
            turning_away,
            docker: None,
            control,
            commands,
            service,
            engine: None,
        };
        if let Stage::Ready(engine) = stage {
            daemon.serve_plugin(engine)?;
        }
        daemon.announce();
        Ok(daemon)
    }

    /// Tells the service manager and the log.
    fn announce(&self) {
        let status = if self.docker.is_some() { "serving" } else { "catalog untrusted" };
        if let Err(error) =
            sd_notify::notify(false, &[NotifyState::Ready, NotifyState::Status(status)])
        {
            tracing::warn!(%error, "the service manager was not told");
        }
        tracing::info!(
            plugin = self.plugin.as_ref().map(|socket| socket.path().display().to_string()),
            control = %self.control.path().display(),
            root = %self.setup.paths.root.display(),
            "{status}"
        );
    }

    fn serve_plugin(&mut self, engine: Arc<Engine>) -> Result<()> {
        if let Some(task) = self.turning_away.take() {
            task.abort();
        }
        let socket = match self.plugin.take() {
            Some(socket) => socket,
            None => Socket::bind(&self.setup.paths.plugin_socket)?,
        };
        let docker = Arc::new(Docker::new(Arc::clone(&engine), self.setup.installation));
        self.docker = Some(serve(&socket, docker, Limits::default())?);
        self.plugin = Some(socket);
        self.engine = Some(engine);
        Ok(())
    }

    /// Serves everything from a rebuilt engine.
    fn recover(&mut self, engine: Arc<Engine>) -> Result<()> {
        if self.docker.is_none() {
            self.serve_plugin(Arc::clone(&engine))?;
            self.service.change(Stage::Ready(engine));
            self.announce();
        }
        Ok(())
    }

    async fn stop(mut self) {
        tracing::info!("stopping");
        let _ = sd_notify::notify(false, &[NotifyState::Stopping]);
        if let Some(plugin) = &mut self.plugin {
            plugin.unlink();
        }
        self.control.unlink();
        let docker = async {
            if let Some(server) = self.docker {
                server.stop(DRAIN).await;
            }
        };
        tokio::join!(docker, self.commands.stop(DRAIN_CONTROL));
        if let Some(engine) = self.engine {
            engine.stop(STOP).await;
        }
        tracing::info!("stopped");
    }
}

fn serve<S: crate::http::Service>(
    socket: &Socket,
    service: Arc<S>,
    limits: Limits,
) -> Result<Server> {
    Server::start(socket.listener()?, socket.is_passed(), service, limits)
        .context(|| format!("serve `{}`", socket.path().display()))
}

/// Makes every call of a plugin socket a connection error: Docker then keeps its own
/// records. What stays of it, and who turns callers away.
fn closed(socket: Socket) -> Result<(Option<Socket>, Option<JoinHandle<()>>)> {
    if socket.is_passed() {
        let turning_away = turn_away(&socket)?;
        return Ok((Some(socket), Some(turning_away)));
    }
    // Dropped: unlinked, and whoever was in the backlog is reset.
    Ok((None, None))
}

/// Accepts and closes at once.
fn turn_away(socket: &Socket) -> Result<JoinHandle<()>> {
    let what = || format!("close `{}`", socket.path().display());
    let listener = socket.listener()?;
    listener.set_nonblocking(true).context(what)?;
    let listener = tokio::net::UnixListener::from_std(listener).context(what)?;
    Ok(tokio::spawn(async move {
        loop {
            if listener.accept().await.is_err() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }))
}

//! Test-only switches: failpoints and saboteurs.
//!
//! Before every durable step stands a failpoint. In a build without the feature
//! `testing` it is an empty inline function; with it, the environment decides:
//!
//! | variable | meaning |
//! |---|---|
//! | `BERTH_FAILPOINTS_TRACE=FILE` | append the name of every failpoint that is passed, a line each |
//! | `BERTH_FAILPOINTS=NAME=ACTION[@N];…` | act at the `N`th pass (default: every pass) of `NAME`; `*` is any name, counted together |
//! | `BERTH_SABOTEUR=NAME` | break one promise; see [`sabotaged`] |
//!
//! A test in the same process can [`watch`] what one thread passes, and decide.
//!
//! Actions: `kill` (SIGKILL to this process), `error:ERRNO` (a number), and
//! `pause:FILE` (make `FILE.reached`, then wait until `FILE` exists).

#[cfg(not(feature = "testing"))]
use std::io;

/// Passes the failpoint `name`.
///
/// # Errors
/// Whatever the environment asks for; never without the feature `testing`.
#[cfg(not(feature = "testing"))]
#[inline(always)]
#[expect(clippy::inline_always, reason = "must vanish from a build that users get")]
pub fn hit(_name: &'static str) -> io::Result<()> {
    Ok(())
}

/// Whether the saboteur `name` is at work: the caller then skips the one step
/// that the saboteur is named after. Never without the feature `testing`.
#[cfg(not(feature = "testing"))]
#[inline(always)]
#[expect(clippy::inline_always, reason = "must vanish from a build that users get")]
pub fn sabotaged(_name: &'static str) -> bool {
    false
}

#[cfg(feature = "testing")]
pub use active::{hit, sabotaged, watch};

#[cfg(feature = "testing")]
mod active {
    use std::{
        cell::RefCell,
        collections::HashMap,
        env,
        fs::{File, OpenOptions},
        io::{self, Write as _},
        path::{Path, PathBuf},
        sync::{Mutex, OnceLock, PoisonError},
        thread,
        time::Duration,
    };

    /// What a failpoint does.
    #[derive(Clone, Debug)]
    enum Action {
        Kill,
        Errno(i32),
        Pause(PathBuf),
    }

    #[derive(Debug)]
    struct Rule {
        name: String,
        action: Action,
        at: Option<u64>,
    }

    #[derive(Debug, Default)]
    struct Settings {
        rules: Vec<Rule>,
        trace: Option<Mutex<File>>,
        saboteur: Option<String>,
        passes: Mutex<HashMap<String, u64>>,
    }

    static SETTINGS: OnceLock<Settings> = OnceLock::new();

    /// Decides at each failpoint that a thread passes.
    type Hook = Box<dyn FnMut(&'static str) -> io::Result<()>>;

    thread_local! {
        static HOOK: RefCell<Option<Hook>> = const { RefCell::new(None) };
    }

    /// From now on `hook` decides at each failpoint that this thread passes.
    pub fn watch(hook: impl FnMut(&'static str) -> io::Result<()> + 'static) {
        HOOK.with_borrow_mut(|place| *place = Some(Box::new(hook)));
    }

    fn settings() -> &'static Settings {
        SETTINGS.get_or_init(|| Settings {
            rules: env::var("BERTH_FAILPOINTS").map(|text| rules(&text)).unwrap_or_default(),
            trace: env::var_os("BERTH_FAILPOINTS_TRACE").map(|path| {
                let file = OpenOptions::new().create(true).append(true).open(path);
                Mutex::new(file.expect("BERTH_FAILPOINTS_TRACE names a writable file"))
            }),
            saboteur: env::var("BERTH_SABOTEUR").ok().filter(|name| !name.is_empty()),
            passes: Mutex::default(),
        })
    }

    fn rules(text: &str) -> Vec<Rule> {
        text.split(';')
            .filter(|rule| !rule.is_empty())
            .map(|rule| {
                let (name, action) = rule.split_once('=').expect("NAME=ACTION");
                let (action, at) = match action.rsplit_once('@') {
                    Some((action, at)) => (action, Some(at.parse().expect("a number after @"))),
                    None => (action, None),
                };
                let action = match action.split_once(':') {
                    None if action == "kill" => Action::Kill,
                    Some(("error", errno)) => Action::Errno(errno.parse().expect("an errno")),
                    Some(("pause", file)) => Action::Pause(PathBuf::from(file)),
                    _ => panic!("unknown failpoint action `{action}`"),
                };
                Rule { name: name.to_owned(), action, at }
            })
            .collect()
    }

    /// Passes the failpoint `name`; see the module's documentation.
    ///
    /// # Errors
    /// The errno that a rule asks for.
    pub fn hit(name: &'static str) -> io::Result<()> {
        HOOK.with_borrow_mut(|hook| hook.as_mut().map_or(Ok(()), |hook| hook(name)))?;
        let settings = settings();
        if let Some(trace) = &settings.trace {
            let mut trace = trace.lock().unwrap_or_else(PoisonError::into_inner);
            // One write, so that lines of threads do not mix.
            trace.write_all(format!("{name}\n").as_bytes())?;
        }
        if settings.rules.is_empty() {
            return Ok(());
        }
        let due: Vec<Action> = {
            let mut passes = settings.passes.lock().unwrap_or_else(PoisonError::into_inner);
            let mut count = |name: &str| {
                let passes = passes.entry(name.to_owned()).or_default();
                *passes += 1;
                *passes
            };
            let (own, all) = (count(name), count("*"));
            settings
                .rules
                .iter()
                .filter(|rule| rule.name == name || rule.name == "*")
                .filter(|rule| {
                    rule.at.is_none_or(|at| at == if rule.name == "*" { all } else { own })
                })
                .map(|rule| rule.action.clone())
                .collect()
        };
        due.iter().try_for_each(act)
    }

    fn act(action: &Action) -> io::Result<()> {
        match action {
            Action::Kill => {
                let _ = nix::sys::signal::kill(nix::unistd::getpid(), nix::sys::signal::SIGKILL);
                loop {
                    thread::park();
                }
            }
            Action::Errno(errno) => Err(io::Error::from_raw_os_error(*errno)),
            Action::Pause(file) => pause(file),
        }
    }

    fn pause(file: &Path) -> io::Result<()> {
        let mut reached = file.as_os_str().to_owned();
        reached.push(".reached");
        File::create(reached)?;
        while !file.exists() {
            thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }

    /// Whether the saboteur `name` is at work; see the module's documentation.
    pub fn sabotaged(name: &'static str) -> bool {
        settings().saboteur.as_deref() == Some(name)
    }
}

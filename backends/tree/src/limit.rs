//! What a volume may take: the project of its content.
//!
//! ```text
//! volumes/<id>/         project P, handed down to nothing     whose project P is
//! volumes/<id>/data/    project P, handed down to all in it   what is counted
//! ```
//! The volume's project is that of its *folder*, which no container sees: the
//! owner of `data` can change what `data` says, and with it would reach for the
//! limit of another volume. It is kept in the file system only, and there is no
//! record of it: chosen at random, free of use when it was.
//!
//! Every volume gets a project where the file system counts them, with a limit
//! or without: then what it takes costs nothing to know, and a limit nothing to
//! set later. Only `data` hands its project down, never what stands above it, so
//! that folders still move by rename. Snapshots lie in the volume's folder, which
//! hands down nothing: they do not count.
//!
//! No sync is needed for any of this: file systems with quotas have one journal,
//! and the sync of the folder that follows a sidecar covers what was before it.

use std::{collections::BTreeSet, fs, io};

use berth_api::{Bytes, Context as _, Error, Op, Result, Sidecar, Usage, VolumeId};
use berth_host::{
    beneath::{Dir, Entry},
    quota::{self, Project, State, Why},
};

use crate::{
    pool::{Opened, Tree},
    volume::DATA,
};

/// Projects of ours: above what people number by hand, below what some tools
/// take for negative.
const OURS: std::ops::Range<u32> = 1 << 24..1 << 31;

/// How often a number is drawn before something must be wrong.
const DRAWS: u32 = 64;

impl Tree {
    /// Whether limits can be had here.
    ///
    /// # Errors
    /// `Unsupported` with the reason and what would help; `Unavailable`.
    pub fn can_limit(&self) -> Result<()> {
        match self.limits(&self.opened()?)? {
            State::Enforced => Ok(()),
            State::Counted(why) | State::Absent(why) => Err(self.named(unlimited(&why))),
        }
    }

    /// What the volume takes, where the file system counts it, and its limit if
    /// one is in force.
    ///
    /// # Errors
    /// `NotFound` if the volume is neither live nor in the trash; `Unavailable`.
    pub fn usage(&self, id: VolumeId) -> Result<Usage> {
        let opened = self.opened()?;
        let folder = self.wherever(id)?;
        let state = self.limits(&opened)?;
        usage_of(&folder, &state).context(|| self.what(id))
    }

    /// Gives the content of a volume that has none a project, by a walk. Nobody
    /// may use the volume meanwhile: `rename(2)` fails between files that have
    /// their project already and directories that do not.
    ///
    /// What cannot be opened (links, pipes, devices) and what the kernel protects
    /// (`chattr +i`) stays uncounted; it takes next to nothing.
    ///
    /// # Errors
    /// `Unsupported` if limits cannot be had; `Conflict` if cancelled; `NotFound`,
    /// `Unavailable`.
    pub fn enrol(&self, op: &Op, id: VolumeId) -> Result<Usage> {
        let opened = self.opened()?;
        let state = self.limits(&opened)?;
        if let State::Counted(why) | State::Absent(why) = &state {
            return Err(self.named(unlimited(why)));
        }
        let folder = self.live(id)?;
        if own(&folder)?.is_none() {
            let data = folder.open_dir(DATA).map_err(|error| self.damaged(id, error))?;
            let project = Project { id: draw(&data)?, inherit: true };
            self.spread(op, &data, project).context(|| self.what(id))?;
            // Last: until then the next one begins anew.
            quota::set_project(&folder, Project { inherit: false, ..project })
                .and_then(|()| folder.sync())
                .context(|| self.what(id))?;
        }
        usage_of(&folder, &state).context(|| self.what(id))
    }

    fn spread(&self, op: &Op, data: &Dir, project: Project) -> Result<()> {
        quota::set_project(data, project).context(|| "give it a project")?;
        let mut each = |entry: &Entry<'_>| {
            op.check()?;
            op.advance(0, 1);
            if !(entry.is_file() || entry.is_directory()) {
                return Ok(());
            }
            let given = entry.open().and_then(|file| {
                let project = Project { inherit: entry.is_directory(), ..project };
                quota::set_project(&file, project)
            });
            match given {
                Err(error) if is_passed_over(&error) => {
                    tracing::debug!(pool = self.name, %error, "left without a project");
                    Ok(())
                }
                other => other.context(|| "give its content a project"),
            }
        };
        data.tour(&mut each)
    }

    /// Gives the new, empty content in `folder` a project of the volume's own, and
    /// the limit. Can be repeated.
    ///
    /// # Errors
    /// `Unsupported` for a limit that cannot be had.
    pub(crate) fn limit_new(
        &self,
        opened: &Opened,
        folder: &Dir,
        limit: Option<Bytes>,
    ) -> Result<()> {
        match (self.limits(opened), limit) {
            (Ok(State::Enforced), _) | (Ok(State::Counted(_)), None) => {}
            (Ok(State::Counted(why) | State::Absent(why)), Some(_)) => return Err(unlimited(&why)),
            (Err(error), Some(_)) => return Err(error),
            (_, None) => return Ok(()),
        }
        let given = given(folder).and_then(|id| limit_to(folder, id, limit));
        match given {
            // It can do without.
            Err(error) if limit.is_none() => {
                tracing::debug!(pool = self.name, error = %error.chain(), "no project");
                Ok(())
            }
            other => other,
        }
    }

    /// Puts the limit that `new` describes in force; one that is as in `old` and
    /// cannot be had (any more) is passed over. Answers whether it had to change.
    ///
    /// # Errors
    /// `Unsupported` for a new limit that cannot be had; `Conflict` if the volume
    /// has no project yet.
    pub(crate) fn limit_in_force(
        &self,
        folder: &Dir,
        id: VolumeId,
        old: Option<&Sidecar>,
        new: &Sidecar,
    ) -> Result<bool> {
        let limit = new.spec.options.size;
        let wanted = limit.is_some() && old.is_none_or(|old| old.spec.options.size != limit);
        let what = || self.what(id);
        match self.limits(&self.opened()?) {
            Ok(State::Enforced) => {}
            Ok(State::Counted(why) | State::Absent(why)) if wanted => {
                return Err(unlimited(&why)).context(what);
            }
            Err(error) if wanted => return Err(error),
            _ => return Ok(false),
        }
        let Some(project) = own(folder).context(what)? else {
            if wanted {
                let error = Error::conflict("the file system does not count its content yet");
                return Err(error).context(what);
            }
            return Ok(false);
        };
        let before = quota::account(folder, project).context(what)?.limit;
        if before == limit.map(rounded) {
            return Ok(false);
        }
        limit_to(folder, project, limit).context(what)?;
        Ok(true)
    }

    /// Refuses new content that takes more than its limit: ext4 lets root write past
    /// any. It was synced, so that all of it is counted.
    ///
    /// # Errors
    /// `Exhausted` if it takes more.
    pub(crate) fn refuse_overfull(&self, opened: &Opened, folder: &Dir) -> Result<()> {
        let Ok(state) = self.limits(opened) else { return Ok(()) };
        match usage_of(folder, &state)? {
            Usage { used: Some(used), limit: Some(limit) } if used > limit => {
                let text = format!("its content takes {used}, and its `size` is {limit}");
                Err(Error::exhausted(text).with_hint("give it a larger `size`"))
            }
            _ => Ok(()),
        }
    }

    /// Gives content that shall take the place of a volume's a project of its
    /// own, and no limit yet. `data` is empty: what is made in it counts.
    ///
    /// # Errors
    /// The kernel's. Where nothing is counted this is nothing.
    pub(crate) fn prepare_content(&self, data: &Dir) -> Result<()> {
        if matches!(self.limits(&self.opened()?)?, State::Absent(_)) {
            return Ok(());
        }
        let project = Project { id: draw(data)?, inherit: true };
        quota::set_project(data, project).context(|| "give it a project")
    }

    /// Content that was [prepared](Self::prepare_content) is now in its place in
    /// `folder`, and nobody has used it: the limit moves over, and is taken from
    /// what was there before. Can be repeated.
    ///
    /// # Errors
    /// The kernel's. Where nothing is counted this is nothing.
    pub(crate) fn adopt_content(&self, folder: &Dir, limit: Option<Bytes>) -> Result<()> {
        if matches!(self.limits(&self.opened()?)?, State::Absent(_)) {
            return Ok(());
        }
        let data = folder.open_dir(DATA).context(|| "open the new content")?;
        let new = quota::project(&data).context(|| "read its project")?.id;
        if !OURS.contains(&new) {
            return Ok(());
        }
        limit_to(folder, new, limit)?;
        if own(folder)? != Some(new) {
            release(folder).context(|| "take the limit from what was there before")?;
            quota::set_project(folder, Project { id: new, inherit: false })
                .context(|| "give it the project of its content")?;
        }
        Ok(())
    }

    /// Takes the limit of what is about to be deleted out of the file system's
    /// list. What fails is left: no deletion fails because of it.
    pub(crate) fn forget_limit(&self, folder: &Dir) {
        if let Err(error) = release(folder) {
            tracing::warn!(pool = self.name, error = %error.chain(), "a limit stays behind");
        }
    }

    /// What the file system does with projects of ours.
    fn limits(&self, opened: &Opened) -> Result<State> {
        let read = || format!("pool `{}`: read its quotas", self.name);
        let above = quota::project(&opened.root).context(read)?;
        if above.id != 0 {
            let id = above.id;
            let reason = format!("`{}` belongs to the project {id} itself", self.path.display());
            let hint = "a directory is in one project only; use a directory without".to_owned();
            return Ok(State::Absent(Why { reason, hint }));
        }
        quota::state(&opened.root).context(read)
    }

    fn what(&self, id: VolumeId) -> String {
        format!("pool `{}`: limit volume {id}", self.name)
    }
}

/// What the project of a volume's folder takes and may take.
fn usage_of(folder: &Dir, state: &State) -> Result<Usage> {
    let none = Usage { used: None, limit: None };
    let (Some(id), false) = (own(folder)?, matches!(state, State::Absent(_))) else {
        return Ok(none);
    };
    let account = quota::account(folder, id).context(|| "read its quota")?;
    let limit = account.limit.filter(|_| *state == State::Enforced);
    Ok(Usage { used: Some(account.used), limit })
}

/// The project of a volume's folder, if it is one of ours.
fn own(folder: &Dir) -> Result<Option<u32>> {
    let id = quota::project(folder).context(|| "read its project")?.id;
    Ok(OURS.contains(&id).then_some(id))
}

/// The project of a new volume, given to its folder and its content.
fn given(folder: &Dir) -> Result<u32> {
    let what = || "give it a project";
    let id = match own(folder)? {
        Some(id) => id,
        None => draw(folder)?,
    };
    // The folder first: what it says is cleared when the volume goes.
    quota::set_project(folder, Project { id, inherit: false }).context(what)?;
    let data = folder.open_dir(DATA).context(what)?;
    quota::set_project(&data, Project { id, inherit: true }).context(what)?;
    Ok(id)
}

fn limit_to(place: &Dir, id: u32, limit: Option<Bytes>) -> Result<()> {
    // Unlimited is how a project begins.
    if limit.is_none() && quota::account(place, id).context(|| "read its quota")?.limit.is_none() {
        return Ok(());
    }
    quota::set_limit(place, id, limit.map(rounded)).context(|| "set its limit")
}

/// Takes the limit of the folder's project away.
fn release(folder: &Dir) -> Result<()> {
    match own(folder)? {
        Some(id) if !matches!(quota::state(folder), Ok(State::Absent(_))) => {
            limit_to(folder, id, None)
        }
        _ => Ok(()),
    }
}

/// A project that nobody uses.
fn draw(place: &Dir) -> Result<u32> {
    let listed = listed();
    for _ in 0..DRAWS {
        let number = getrandom::u32().expect("getrandom(2) does not fail once booted");
        let id = OURS.start + number % (OURS.end - OURS.start);
        let account = quota::account(place, id).context(|| "look whether a project is free")?;
        if account == quota::Account::default() && !listed.contains(&id) {
            return Ok(id);
        }
    }
    Err(Error::internal(format!("none of {DRAWS} projects is free")))
}

/// The projects that the administrator gave a name or a directory
/// (`projid(5)`, `projects(5)`).
fn listed() -> BTreeSet<u32> {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let (names, directories) = (read("/etc/projid"), read("/etc/projects"));
    let names = names.lines().filter_map(|line| line.split(':').nth(1));
    let directories = directories.lines().filter_map(|line| line.split(':').next());
    names.chain(directories).filter_map(|id| id.trim().parse().ok()).collect()
}

/// Up to whole blocks of any file system, so that all of them keep it as it is.
fn rounded(limit: Bytes) -> Bytes {
    Bytes(limit.0.next_multiple_of(64 << 10))
}

fn unlimited(why: &Why) -> Error {
    Error::unsupported(format!("`size` is not available: {why}")).with_hint(why.hint.as_str())
}

/// Gone meanwhile, a mount, or protected from any change.
fn is_passed_over(error: &io::Error) -> bool {
    use io::ErrorKind::{CrossesDevices, NotADirectory, NotFound, PermissionDenied};
    matches!(error.kind(), NotFound | NotADirectory | CrossesDevices | PermissionDenied)
}

//! Who makes backups: Berth's vault, restic, borg.

use std::{env, fs, path::Path};

use crate::{
    material::BLOCK,
    own,
    run::{Taken, run},
};

/// The password of all repositories.
pub(crate) const PASSWORD: &str = "bench";

/// What is backed up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// One large file.
    Image,
    /// A directory.
    Tree,
}

/// One who makes backups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Rival {
    /// The vault, as the daemon uses it.
    Berth,
    /// A restic: its program.
    Restic(String),
    /// The borg of this system.
    Borg,
}

impl Rival {
    /// All that are there: Berth first.
    pub(crate) fn all() -> Vec<Self> {
        let current = env::var("BERTH_RESTIC_CURRENT").expect("set by scripts/bench");
        vec![Self::Berth, Self::Restic(current), Self::Restic("restic".to_owned()), Self::Borg]
    }

    /// Its name and version.
    pub(crate) fn name(&self) -> String {
        let first = |command: &[&str]| {
            let command: Vec<String> = command.iter().map(ToString::to_string).collect();
            let output = run(&command, &[]).output;
            output.split_whitespace().take(2).collect::<Vec<_>>().join(" ")
        };
        match self {
            Self::Berth => "berth".to_owned(),
            Self::Restic(program) => first(&[program, "version"]),
            Self::Borg => first(&["borg", "--version"]),
        }
    }

    /// Makes an empty repository.
    pub(crate) fn init(&self, repository: &Path) {
        match self {
            Self::Berth => drop(own::call(&["init", &text(repository)])),
            Self::Restic(program) => {
                let command = [program, "-q", "-r", &text(repository), "init"];
                self.run(&command);
            }
            Self::Borg => {
                let repository = text(repository);
                self.run(&["borg", "init", "--encryption=repokey-blake2", &repository]);
            }
        }
    }

    /// Backs up; with a list of what changed where Berth can use it.
    pub(crate) fn back_up(
        &self,
        repository: &Path,
        what: What,
        source: &Path,
        number: usize,
        changed: Option<&[(u64, u64)]>,
    ) -> Taken {
        let (repository, path) = (text(repository), text(source));
        match self {
            Self::Berth if what == What::Tree => own::call(&["tree", &repository, &path]),
            Self::Berth => {
                let list = source.with_extension("changed");
                let lines: Vec<String> = changed
                    .unwrap_or_default()
                    .iter()
                    .map(|(offset, length)| format!("{offset} {length}"))
                    .collect();
                fs::write(&list, lines.join("\n")).expect("there is space");
                let (block, number) = (BLOCK.to_string(), number.to_string());
                let list = if changed.is_some() { text(&list) } else { "-".to_owned() };
                own::call(&["image", &repository, &path, &block, &number, &list])
            }
            // As a user would, who waits for it to be safe.
            Self::Restic(program) => self.run(&[program, "-q", "-r", &repository, "backup", &path]),
            Self::Borg => {
                let archive = format!("{repository}::a{number}");
                self.run(&["borg", "create", "--compression=zstd,3", &archive, &path])
            }
        }
    }

    /// Restores the newest backup below `target`, an empty directory.
    pub(crate) fn restore(
        &self,
        repository: &Path,
        what: What,
        target: &Path,
        number: usize,
    ) -> Taken {
        fs::create_dir_all(target).expect("a fresh directory");
        let (repository, path) = (text(repository), text(target));
        match self {
            Self::Berth if what == What::Tree => own::call(&["restore-tree", &repository, &path]),
            Self::Berth => own::call(&["restore-image", &repository, &path]),
            Self::Restic(program) => {
                let mut command =
                    vec![program, "-q", "-r", &repository, "restore", "latest", "--target", &path];
                // Debian 12's knows no holes.
                if what == What::Image && program != "restic" {
                    command.push("--sparse");
                }
                self.run(&command)
            }
            Self::Borg => {
                let archive = format!("{repository}::a{number}");
                let sparse = if what == What::Image { "--sparse" } else { "--list" };
                // It extracts into the working directory.
                let script =
                    format!("cd '{path}' && borg extract {sparse} '{archive}' 2>/dev/null");
                self.run(&["sh", "-c", &script])
            }
        }
    }

    fn run<T: AsRef<str>>(&self, command: &[T]) -> Taken {
        let command: Vec<String> = command.iter().map(|word| word.as_ref().to_owned()).collect();
        let set = |name, value: &str| (name, value.to_owned());
        let environment = match self {
            // Caches beside the repository would be found by the next round.
            Self::Restic(_) => vec![
                set("RESTIC_PASSWORD", PASSWORD),
                set("RESTIC_CACHE_DIR", "/var/tmp/berth-bench-cache"),
            ],
            _ => vec![
                set("BORG_PASSPHRASE", PASSWORD),
                set("BORG_BASE_DIR", "/var/tmp/berth-bench-cache"),
                set("BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK", "yes"),
            ],
        };
        run(&command, &environment)
    }
}

fn text(path: &Path) -> String {
    path.to_str().expect("paths of a stage are UTF-8").to_owned()
}

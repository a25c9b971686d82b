//! Who works with a repository.

use nix::unistd::{Uid, User, geteuid};

/// Who works with a repository; locks and snapshots say it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Who {
    /// The host's name.
    pub hostname: String,
    /// The user's name.
    pub username: String,
}

impl Who {
    /// This process, on the host of that name: its effective user, by number if that
    /// has no name.
    pub fn here(hostname: &str) -> Self {
        Self { hostname: hostname.to_owned(), username: name_of(geteuid()) }
    }
}

/// A user's name. A host's list of users that cannot be read stops no backup.
fn name_of(user: Uid) -> String {
    let found = User::from_uid(user).unwrap_or_else(|error| {
        tracing::debug!(%user, %error, "look up a user's name");
        None
    });
    found.map_or_else(|| user.to_string(), |user| user.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_go_by_their_names_and_those_without_by_their_numbers() {
        assert_eq!(name_of(Uid::from_raw(0)), "root");
        let nobody = User::from_name("nobody").expect("readable").expect("on every host");
        assert_eq!(name_of(nobody.uid), "nobody");
        assert_eq!(name_of(Uid::from_raw(3_999_999_999)), "3999999999");
    }
}

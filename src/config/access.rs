//! Who may connect and do what: what the configuration says of it, and what the files that it names hold.

use super::suggest::nearest;
use super::{Config, Issue};
use crate::broker::{AccessFile, Engine};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

/// How many lines of one file are told of.
const TOLD: usize = 10;

impl Config {
    /// The files of users and rules, by the paths of their keys.
    pub(super) fn access_files(&self) -> impl Iterator<Item = (String, &'static str, &Path)> {
        let files = AccessFile::of(&self.broker);
        files.map(|(file, path)| (format!("broker.{}", file.key()), file.what(), path))
    }

    /// Rules that are for nobody.
    pub(super) fn check_rules(&self) -> Vec<Issue> {
        let listed = || self.broker.user.iter().map(|user| user.name.as_str());
        let elsewhere = self.broker.password_file.is_some() || self.broker.user.is_empty();
        let certificates = |listener: &crate::broker::Listener| {
            listener
                .tls
                .as_ref()
                .is_some_and(|tls| tls.use_identity_as_username)
        };
        if elsewhere || self.broker.listener.iter().any(certificates) {
            return Vec::new();
        }
        let rules = self.broker.acl.iter().enumerate();
        let strangers = rules.filter_map(|(i, rule)| {
            let name = rule
                .user
                .as_deref()
                .filter(|name| listed().all(|known| known != *name))?;
            let title = format!("this rule is for nobody: there is no user \"{name}\"");
            let issue = Issue::at(format!("broker.acl[{i}].user"), title, "not listed").warning();
            Some(match nearest(name, listed()) {
                Some(near) => issue.help(format!("did you mean \"{near}\"?")),
                None => issue,
            })
        });
        strangers.collect()
    }

    /// What the files hold that can't be, or that is not what it seems.
    pub(super) fn look_into_access_files(&self) -> Vec<Issue> {
        if self.broker.engine != Engine::Native {
            return Vec::new();
        }
        let mut issues = Vec::new();
        for (file, path) in AccessFile::of(&self.broker) {
            let key = format!("broker.{}", file.key());
            // A file that is not there is told by who looks for all files.
            let Ok(found) = file.inspect(path) else { continue };
            let more = found.len().saturating_sub(TOLD);
            for (n, line) in found.into_iter().take(TOLD).enumerate() {
                let title = format!("{}:{}: {}", path.display(), line.number, line.what);
                let issue = Issue::at(&key, title, "in this file");
                let issue = if n + 1 == TOLD && more > 0 {
                    issue.help(format!("{more} more lines of this file are like that"))
                } else {
                    issue
                };
                issues.push(if line.harmless { issue.warning() } else { issue });
            }
            let open = std::fs::metadata(path).is_ok_and(|meta| meta.permissions().mode() & 0o004 != 0);
            if file == AccessFile::Passwords && open {
                let title = "everybody on this machine may read the password file";
                let command = format!(
                    "`chmod 640 {0}; chgrp mqttyd {0}` leaves it to mqttyd",
                    path.display()
                );
                issues.push(Issue::at(&key, title, "this file").help(command).warning());
            }
        }
        issues
    }
}

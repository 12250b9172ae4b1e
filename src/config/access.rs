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
        files.map(|(key, file, path)| (format!("broker.{key}"), file.what(), path))
    }

    /// Rules that are for nobody.
    pub(super) fn check_rules(&self) -> Vec<Issue> {
        let listed = || self.broker.user.iter().map(|user| user.name.as_str());
        let own = |listener: &crate::broker::Listener| listener.password_file.is_some();
        let files = self.broker.password_file.is_some() || self.broker.listener.iter().any(own);
        let elsewhere = files || self.broker.user.is_empty();
        let certificates = |listener: &crate::broker::Listener| {
            listener.tls.as_ref().is_some_and(crate::broker::Tls::names_user)
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
        for (key, file, path) in AccessFile::of(&self.broker) {
            let key = format!("broker.{key}");
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

#[cfg(test)]
mod tests {
    use crate::config::Config;
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    const HASH: &str = "$6$njERlZMi/7DzNB9E$iiavfuXvUm8iyDZArTy7smTxh07GXXOrOsqxfW6gkOYVXHGk+W+i/8d3xDxrMwEPygEBhoA8A/gjQC0N2M4Lkw==";

    /// What `check` says of these files.
    fn said(passwords: &str, rules: &str) -> (bool, String) {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("passwd"), passwords).unwrap();
        fs::set_permissions(path("passwd"), fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(path("acl"), rules).unwrap();
        let (passwd, acl) = (path("passwd"), path("acl"));
        let text = format!("[broker]\npassword-file = {passwd:?}\nacl-file = {acl:?}\n");
        fs::write(path("mqttyd.toml"), text).unwrap();
        let said = Config::read_and_look(&path("mqttyd.toml"));
        let (good, said) = said.map_or_else(
            |faults| (false, faults.to_string()),
            |read| (true, read.warnings.to_string()),
        );
        (good, said.replace(&folder.path().display().to_string(), ""))
    }

    #[test]
    fn good_files_are_good() {
        assert_eq!(
            said(&format!("a:{HASH}\n"), "user a\ntopic a/#\n"),
            (true, String::new())
        );
    }

    #[test]
    fn a_line_that_is_passed_over_is_a_warning_with_its_number() {
        let (good, said) = said(&format!("# comment\na:b\nb:{HASH}\n"), "topic read\n");
        assert!(good);
        assert!(
            said.contains("warning: /passwd:2: \"a\" can't log in: the password is not hashed"),
            "{said}"
        );
        assert!(said.contains("warning: /acl:1: the topic is missing"), "{said}");
        assert!(!said.contains(":3:\u{20}\""), "{said}");
    }

    #[test]
    fn a_rule_that_cannot_be_is_a_fault_with_its_number_and_there_may_be_many() {
        let (good, told) = said("", "user a\ntopic reed a\n");
        assert!(!good && told.contains("error: /acl:2: the access is"), "{told}");
        let (good, told) = said("", &"topics a\n".repeat(50));
        assert!(
            !good && told.contains("/acl:10: ") && !told.contains("/acl:11: "),
            "{told}"
        );
        assert!(
            told.contains("40 more lines of this file are like that"),
            "{told}"
        );
    }

    #[test]
    fn a_password_file_for_everybody_and_one_that_is_absent_are_warned_of() {
        let folder = tempfile::tempdir().unwrap();
        let (passwd, config) = (folder.path().join("passwd"), folder.path().join("mqttyd.toml"));
        fs::write(&config, format!("[broker]\npassword-file = {passwd:?}\n")).unwrap();
        let warnings = || Config::read_and_look(&config).unwrap().warnings.to_string();
        assert!(
            warnings().contains("the password file cannot be read here"),
            "{}",
            warnings()
        );
        fs::write(&passwd, "").unwrap();
        fs::set_permissions(&passwd, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(
            warnings().contains("everybody on this machine may read the password file"),
            "{}",
            warnings()
        );
    }
}

//! `mqttyd passwd`: makes the hash of a password, for the configuration or for a password file.

mod terminal;

use crate::broker::{secret, with_password};
use anyhow::{Context as _, bail, ensure};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};

/// MQTT gives names and passwords 16 bits for their length.
const LONGEST: usize = 65_535;

const PASSWD: &str = "\
Examples:
  mqttyd passwd                            the hash for `password = \"...\"` below [[broker.user]]
  mqttyd passwd --file /etc/mqttyd/passwd air        add the user `air`, or give a new password
  mqttyd passwd --file /etc/mqttyd/passwd --delete air
  pass show air | mqttyd passwd --stdin    from a program

The password is asked for, twice and without echo. Never give it as an argument: everybody on the machine can see \
those. mosquitto can read the file, too. mqttyd reads it when it starts.";

/// Hash a password, for the configuration or into a password file
#[derive(clap::Args, Debug)]
#[command(after_help = PASSWD)]
pub(super) struct Args {
    /// The user's name, as the client gives it
    #[arg(value_parser = name)]
    user: Option<String>,

    /// Write it into this password file, which is made if it isn't there, and print nothing
    #[arg(short, long, value_name = "FILE", requires = "user")]
    file: Option<PathBuf>,

    /// Take the user out of the file
    #[arg(short = 'D', long, requires = "file", conflicts_with = "stdin")]
    delete: bool,

    /// Read the password from stdin: its first line
    #[arg(long)]
    stdin: bool,
}

impl Args {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let Some((file, user)) = self.file.as_deref().zip(self.user.as_deref()) else {
            let password = self.password()?;
            let hash = secret::argon2id_hash(&password, &secret::random()?);
            return super::print(format!("{}\n", hash.context("failed to hash the password")?));
        };
        if self.delete {
            return replace(file, user, None);
        }
        // Before somebody has typed a password twice for nothing.
        ensure!(!file.is_dir(), "{} is a directory", file.display());
        let password = self.password()?;
        let hash = secret::pbkdf2_hash(&password, &secret::random()?, secret::ITERATIONS);
        replace(file, user, Some(&hash))
    }

    fn password(&self) -> anyhow::Result<Vec<u8>> {
        let password = if self.stdin {
            first_line(io::stdin().lock()).context("failed to read the password from stdin")?
        } else {
            let mut terminal = terminal::Terminal::open()?;
            let whose = self
                .user
                .as_ref()
                .map(|user| format!(" of \"{}\"", user.escape_debug()));
            let whose = whose.unwrap_or_default();
            let password = terminal.ask(&format!("Password{whose}: "))?;
            ensure!(
                password == terminal.ask("The same again: ")?,
                "these are two passwords: nothing is changed"
            );
            password
        };
        ensure!(!password.is_empty(), "the password is empty: nothing is changed");
        ensure!(
            password.len() <= LONGEST,
            "the password is longer than {LONGEST} bytes, which MQTT can't carry"
        );
        Ok(password)
    }
}

/// A name that a line of the file can hold, and no other line.
fn name(text: &str) -> Result<String, &'static str> {
    match text {
        "" => Err("a user needs a name"),
        _ if text.len() > LONGEST => Err("it is longer than MQTT can carry"),
        _ if text.contains(':') => Err("a name with ':' has no place in a password file"),
        _ if text.contains(char::is_control) => Err("a name has no control characters"),
        _ if text.trim() != text => Err("a name does not begin or end with a space"),
        _ if text.starts_with('#') => Err("a line that begins with '#' is a comment"),
        _ => Ok(text.to_owned()),
    }
}

fn first_line(from: impl io::Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(LONGEST as u64 + 3).read_to_end(&mut bytes)?;
    let end = bytes
        .iter()
        .position(|byte| *byte == b'\n')
        .unwrap_or(bytes.len());
    bytes.truncate(end);
    if bytes.last() == Some(&b'\r') {
        bytes.pop();
    }
    Ok(bytes)
}

/// Puts a user's hash into the file, or takes the user out. At no time is half a file there.
fn replace(path: &Path, user: &str, hash: Option<&str>) -> anyhow::Result<()> {
    // Behind a link it is the file that changes, not the link.
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let shown = path.display();
    let (old, meta) = match File::open(&path) {
        Ok(mut file) => {
            let (mut bytes, meta) = (Vec::new(), file.metadata());
            file.read_to_end(&mut bytes)
                .with_context(|| format!("failed to read {shown}"))?;
            (
                bytes,
                Some(meta.with_context(|| format!("failed to read {shown}"))?),
            )
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound && hash.is_some() => (Vec::new(), None),
        Err(error) => return Err(error).with_context(|| format!("failed to open {shown}")),
    };
    let Some(new) = with_password(&old, user, hash) else {
        bail!("there is no user \"{}\" in {shown}", user.escape_debug());
    };
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{:016x}", u64::from_le_bytes(secret::random()?)));
    let beside = path.with_file_name(name);
    let written = write(&beside, &new, meta.as_ref()).and_then(|()| fs::rename(&beside, &path));
    if let Err(error) = written {
        let _ = fs::remove_file(&beside);
        return Err(error).with_context(|| format!("failed to write {shown}"));
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    // The rename itself is only in memory until the folder is written.
    let synced = File::open(folder.unwrap_or(Path::new("."))).and_then(|folder| folder.sync_all());
    synced.with_context(|| format!("failed to write {shown} to the disk"))
}

/// Writes a new file, for its owner alone, or for whom the old one was, but never for everybody.
fn write(path: &Path, bytes: &[u8], old: Option<&fs::Metadata>) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    if let Some(old) = old {
        fchown(&file, Some(old.uid()), Some(old.gid()))?;
        file.set_permissions(fs::Permissions::from_mode(old.mode() & 0o640 | 0o600))?;
    }
    file.write_all(bytes)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_made_changed_and_never_for_everybody() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("passwd");
        let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o777;
        assert!(
            replace(&path, "air", None)
                .unwrap_err()
                .to_string()
                .starts_with("failed to open")
        );
        replace(&path, "air", Some("1")).unwrap();
        assert_eq!(
            (fs::read_to_string(&path).unwrap().as_str(), mode(&path)),
            ("air:1\n", 0o600)
        );
        fs::set_permissions(&path, fs::Permissions::from_mode(0o664)).unwrap();
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        replace(&link, "sun", Some("2")).unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(
            (fs::read_to_string(&path).unwrap().as_str(), mode(&path)),
            ("air:1\nsun:2\n", 0o640)
        );
        replace(&path, "air", None).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "sun:2\n");
        let fault = replace(&path, "air", None).unwrap_err().to_string();
        assert!(fault.starts_with("there is no user \"air\" in"), "{fault}");
        assert_eq!(
            fs::read_dir(folder.path()).unwrap().count(),
            2,
            "nothing is left beside the file"
        );
    }

    #[test]
    fn a_name_is_one_that_the_file_can_hold() {
        for bad in ["", "a:b", "a\nb", " a", "a\t", "#a", "\u{7}"] {
            assert!(name(bad).is_err(), "{bad:?}");
        }
        for good in ["air", "two words", "gr\u{fc}n", "a#", "$a"] {
            assert_eq!(name(good).unwrap(), good);
        }
    }

    #[test]
    fn a_password_is_a_line() {
        for (text, password) in [
            ("a b\nc", "a b"),
            ("a\r\n", "a"),
            ("a", "a"),
            ("\n", ""),
            ("", ""),
        ] {
            assert_eq!(first_line(text.as_bytes()).unwrap(), password.as_bytes());
        }
        assert_eq!(first_line(&[b'a'; 1 << 17][..]).unwrap().len(), LONGEST + 3);
    }
}

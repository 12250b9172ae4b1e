//! `mqttyd man`: the manual pages, made from the same words as `--help`.

use super::{Cli, print};
use anyhow::Context as _;
use clap::CommandFactory;
use clap_mangen::Man;
use std::path::PathBuf;

const EXAMPLE: &str = "\
Examples:
  mqttyd man | man -l -
  mqttyd man /usr/local/share/man/man1";

/// Print the manual page, or write all of them to a folder
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLE)]
pub(super) struct Args {
    /// The folder for mqttyd.1, mqttyd-run.1 and so on; it is made if it isn't there
    dir: Option<PathBuf>,
}

impl Args {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let Some(dir) = self.dir else {
            let mut page = Vec::new();
            Man::new(Cli::command())
                .render(&mut page)
                .context("failed to make the manual page")?;
            return print(unfilled(&String::from_utf8_lossy(&page)));
        };
        let failed = || format!("failed to write the manual pages to {}", dir.display());
        std::fs::create_dir_all(&dir).with_context(failed)?;
        clap_mangen::generate_to(Cli::command(), &dir).with_context(failed)?;
        let command = Cli::command();
        let commands = command
            .get_subcommands()
            .map(|command| format!("mqttyd-{}.1", command.get_name()));
        for name in commands.chain(["mqttyd.1".to_owned()]) {
            let path = dir.join(name);
            let page = std::fs::read_to_string(&path).with_context(failed)?;
            std::fs::write(&path, unfilled(&page)).with_context(failed)?;
        }
        Ok(())
    }
}

/// The page with its examples as they are written: `man` would fill their lines up to a paragraph.
fn unfilled(page: &str) -> String {
    let Some((before, after)) = page.split_once(".SH EXTRA\n") else {
        return page.to_owned();
    };
    let end = after.find("\n.SH ").map_or(after.len(), |end| end + 1);
    let (examples, rest) = after.split_at(end);
    format!("{before}.SH EXTRA\n.nf\n{examples}.fi\n{rest}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_a_page() {
        let dir = tempfile::tempdir().unwrap();
        Args {
            dir: Some(dir.path().join("man1")),
        }
        .run()
        .unwrap();
        assert!(dir.path().join("man1/mqttyd.1").exists());
        for command in Cli::command().get_subcommands() {
            let page = dir.path().join(format!("man1/mqttyd-{}.1", command.get_name()));
            let page = std::fs::read_to_string(page).unwrap();
            let examples = page
                .split(".nf\n")
                .nth(1)
                .unwrap()
                .split("\n.fi\n")
                .next()
                .unwrap();
            assert!(
                examples.contains("Examples:") && !examples.contains(".SH"),
                "{page}"
            );
        }
    }
}

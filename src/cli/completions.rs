//! `mqttyd completions`: what makes the shell complete mqttyd's commands.

use super::{Cli, print};
use clap::CommandFactory;
use clap_complete::{Shell, generate};

const EXAMPLE: &str = "\
Examples:
  mqttyd completions bash > /etc/bash_completion.d/mqttyd
  mqttyd completions zsh > /usr/local/share/zsh/site-functions/_mqttyd
  mqttyd completions fish > ~/.config/fish/completions/mqttyd.fish";

/// Print the completions for a shell
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLE)]
pub(super) struct Args {
    /// Which shell they are for
    shell: Shell,
}

impl Args {
    pub(super) fn run(self) -> anyhow::Result<()> {
        // By way of a buffer: the generator panics where its writer fails.
        let mut text = Vec::new();
        generate(self.shell, &mut Cli::command(), "mqttyd", &mut text);
        print(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::ValueEnum;

    #[test]
    fn every_shell_gets_some() {
        for shell in Shell::value_variants() {
            let mut text = Vec::new();
            generate(*shell, &mut Cli::command(), "mqttyd", &mut text);
            assert!(String::from_utf8(text).unwrap().contains("mqttyd"), "{shell}");
        }
    }
}

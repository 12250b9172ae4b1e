//! Asks for a password on the terminal, without showing it.

use anyhow::Context as _;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};

/// The terminal of this process, whatever stdin and stdout are. It is as before when this is dropped.
pub(super) struct Terminal {
    file: File,
    before: Termios,
}

impl Terminal {
    pub(super) fn open() -> anyhow::Result<Terminal> {
        let open = || -> io::Result<Terminal> {
            let file = OpenOptions::new().read(true).write(true).open("/dev/tty")?;
            let before = tcgetattr(&file)?;
            let mut quiet = before.clone();
            // Key by key: a Ctrl-C must not end the process while the terminal is mute.
            quiet.local_modes -=
                LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG | LocalModes::IEXTEN;
            tcsetattr(&file, OptionalActions::Flush, &quiet)?;
            Ok(Terminal { file, before })
        };
        open().context("there is no terminal to ask for the password; `--stdin` reads it from a program")
    }

    pub(super) fn ask(&mut self, prompt: &str) -> anyhow::Result<Vec<u8>> {
        self.file.write_all(prompt.as_bytes()).context("failed to ask")?;
        #[expect(
            clippy::unbuffered_bytes,
            reason = "what is typed ahead is for the next question"
        )]
        let line = keys((&self.file).bytes());
        self.file.write_all(b"\n").context("failed to ask")?;
        line.context("failed to read the password")?
            .context("nothing is changed")
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = tcsetattr(&self.file, OptionalActions::Flush, &self.before);
    }
}

/// What was typed until Enter. None: it was broken off.
fn keys(bytes: impl Iterator<Item = io::Result<u8>>) -> io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    for byte in bytes {
        match byte? {
            b'\r' | b'\n' => return Ok(Some(line)),
            // Ctrl-C, Ctrl-D, Ctrl-\, Ctrl-Z.
            3 | 4 | 0x1c | 0x1a => return Ok(None),
            // Backspace takes a whole character.
            8 | 0x7f => while line.pop().is_some_and(|byte| byte & 0xc0 == 0x80) {},
            // Ctrl-U takes all.
            0x15 => line.clear(),
            byte => line.push(byte),
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_those_of_a_terminal() {
        let typed = |text: &str| {
            keys(text.bytes().map(Ok))
                .unwrap()
                .map(|line| String::from_utf8(line).unwrap())
        };
        assert_eq!(typed("secret\rmore").unwrap(), "secret");
        assert_eq!(typed("se\u{fc}\u{7f}cret\u{8}\u{8}\n").unwrap(), "secr");
        assert_eq!(typed("\u{7f}\u{7f}a\n").unwrap(), "a");
        assert_eq!(typed("wrong\u{15}right\n").unwrap(), "right");
        for broken in ["se\u{3}", "\u{4}", "no enter"] {
            assert_eq!(typed(broken), None);
        }
    }
}

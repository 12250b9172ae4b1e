//! Modbus devices and masters that we did not write: pymodbus from PyPI, and libmodbus behind a small program in C
//! that is compiled here. They are the programs of `tests/peers`.

use super::program::find;
use super::{Lines, Program, install, missing};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// Whose Modbus it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Peer {
    /// pymodbus, RTU.
    Pymodbus,
    /// pymodbus, ASCII.
    PymodbusAscii,
    /// libmodbus, RTU.
    Libmodbus,
}

impl Peer {
    /// Starts the program of this name on a serial port, and waits until it is ready. None: it can't be had here.
    pub(crate) fn start(self, program: &'static str, port: &Path) -> Option<Program> {
        self.started(program, port, Stdio::null())
    }

    /// The same of one that is told by its stdin what to ask.
    pub(crate) fn start_asking(self, program: &'static str, port: &Path) -> Option<Program> {
        self.started(program, port, Stdio::piped())
    }

    fn started(self, program: &'static str, port: &Path, input: Stdio) -> Option<Program> {
        let mut command = match self.command(program) {
            Ok(command) => command,
            Err(why) => {
                missing(&why);
                return None;
            }
        };
        command.arg(port);
        if self == Peer::PymodbusAscii {
            command.arg("ascii");
        }
        let peer = Program::start(command.stdin(input));
        ready(&peer.out);
        Some(peer)
    }

    fn command(self, program: &'static str) -> Result<Command, String> {
        let source = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/peers")
            .join(program);
        match self {
            Peer::Pymodbus | Peer::PymodbusAscii => {
                let mut command = Command::new(install::python()?);
                command.arg(source.with_extension("py"));
                Ok(command)
            }
            Peer::Libmodbus => Ok(Command::new(compiled(&source.with_extension("c"))?)),
        }
    }
}

fn ready(out: &Lines) {
    out.wait(&["ready"]);
}

/// The program that a C file is.
fn compiled(source: &Path) -> Result<PathBuf, String> {
    static DONE: OnceLock<std::sync::Mutex<()>> = OnceLock::new();
    let _one = DONE
        .get_or_init(Default::default)
        .lock()
        .expect("nobody failed in here");
    let cc = find("cc").ok_or("there is no C compiler: apt install gcc libc6-dev")?;
    let name = source.file_stem().expect("a file");
    let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join("peers").join(name);
    std::fs::create_dir_all(program.parent().expect("a folder")).map_err(|error| error.to_string())?;
    // Each process with tests makes its own, and puts it in its place as a whole.
    let own = program.with_extension(std::process::id().to_string());
    let output = Command::new(cc)
        .args(["-O1", "-Wall", "-Wextra", "-Werror", "-o"])
        .args([own.as_path(), source])
        .arg("-lmodbus")
        .output()
        .map_err(|error| error.to_string())?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(match said.contains("modbus/modbus.h") {
            true => "libmodbus is not installed: apt install libmodbus-dev".to_owned(),
            false => panic!("{said}"),
        });
    }
    std::fs::rename(&own, &program).map_err(|error| error.to_string())?;
    Ok(program)
}

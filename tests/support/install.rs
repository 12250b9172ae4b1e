//! What the clients of `outside` and the peers of `modbus` need, from PyPI and npm: installed once for the target folder; other tests, and
//! other processes with tests, wait meanwhile.

use super::program::find;
use rustix::fs::{FlockOperation, flock};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// What is installed from PyPI.
const PYTHON: [&str; 4] = [
    "paho-mqtt==2.1.0",
    "aiomqtt==2.5.1",
    "pymodbus==3.16.1",
    "pyserial==3.5",
];
/// What is installed from npm.
const NODE: [&str; 1] = ["mqtt@5.16.0"];

/// The Python that has them.
pub(super) fn python() -> Result<PathBuf, String> {
    static READY: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let make = || {
        let system = find("python3").ok_or("python3 is not installed: apt install python3 python3-venv")?;
        let folder = folder("python");
        let python = folder.join("bin/python");
        once(&folder, &PYTHON, || {
            run(Command::new(&system).args(["-m", "venv"]).arg(&folder)).map_err(|why| {
                format!("python3 can't make a virtual environment: apt install python3-venv\n{why}")
            })?;
            let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
            run(Command::new(&python).args(pip).args(PYTHON))
                .map_err(|why| format!("{PYTHON:?} can't be installed from PyPI; is there a network?\n{why}"))
        })?;
        Ok(python)
    };
    READY.get_or_init(make).clone()
}

/// Node, and the folder with mqtt.js.
pub(super) fn node() -> Result<(PathBuf, PathBuf), String> {
    static READY: OnceLock<Result<(PathBuf, PathBuf), String>> = OnceLock::new();
    let make = || {
        let (Some(node), Some(npm)) = (find("node"), find("npm")) else {
            return Err("node and npm are not installed: apt install nodejs npm".into());
        };
        let folder = folder("node");
        once(&folder, &NODE, || {
            let install = [
                "install",
                "--silent",
                "--no-audit",
                "--no-fund",
                "--ignore-scripts",
                "--prefix",
            ];
            run(Command::new(&npm).args(install).arg(&folder).args(NODE))
                .map_err(|why| format!("{NODE:?} can't be installed from npm; is there a network?\n{why}"))
        })?;
        Ok((node, folder.join("node_modules")))
    };
    READY.get_or_init(make).clone()
}

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(name)
}

/// Makes the folder, unless it is there with just this in it.
fn once(folder: &Path, what: &[&str], make: impl FnOnce() -> Result<(), String>) -> Result<(), String> {
    let lock = File::create(folder.with_extension("lock")).map_err(|error| format!("no lock: {error}"))?;
    flock(&lock, FlockOperation::LockExclusive).map_err(|error| format!("no lock: {error}"))?;
    let (what, done) = (what.join(" "), folder.join("installed"));
    if fs::read_to_string(&done).is_ok_and(|was| was == what) {
        return Ok(());
    }
    let _ = fs::remove_dir_all(folder);
    make()?;
    fs::write(done, what).map_err(|error| error.to_string())
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(());
    }
    let said = [output.stdout, output.stderr].concat();
    Err(String::from_utf8_lossy(&said).trim_end().to_owned())
}

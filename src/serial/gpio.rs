//! A GPIO line that turns an RS-485 driver, by the kernel's character device. The only file that names `gpiocdev`.

use super::rs485::{Gpio, GpioLine};
use gpiocdev::line::Value;
use gpiocdev::{Request, chip, find_named_line};
use std::io;
use std::path::{Path, PathBuf};

/// Where nothing else is said: the header's pins on most boards.
const CHIP: &str = "/dev/gpiochip0";

/// The line as an output of ours. Dropping it gives it back, as an input on most chips.
#[derive(Debug)]
pub(super) struct Output(Request);

impl Output {
    /// Takes the line, and has it say "receive". What is wrong is told in words that name the chip and the line.
    pub(super) fn take(gpio: &Gpio) -> io::Result<Output> {
        let (chip, offset) = place(gpio)?;
        let mut builder = Request::builder();
        builder.on_chip(&chip).with_consumer("mqttyd").with_line(offset);
        if gpio.active_low {
            builder.as_active_low();
        }
        let request = builder.as_output(Value::Inactive).request();
        request
            .map(Output)
            .map_err(|error| told(&chip, &gpio.line, &error))
    }

    /// Turns the driver on or off.
    pub(super) fn set(&self, on: bool) -> io::Result<()> {
        let value = if on { Value::Active } else { Value::Inactive };
        self.0.set_lone_value(value).map_err(io::Error::other)
    }
}

/// The chip and the line's number on it.
fn place(gpio: &Gpio) -> io::Result<(PathBuf, u32)> {
    let unknown = |chips: &str, name: &str| {
        io::Error::new(
            io::ErrorKind::NotFound,
            format!("there is no GPIO line \"{name}\" on {chips}; `gpioinfo` shows those that have names"),
        )
    };
    match (&gpio.line, &gpio.chip) {
        (GpioLine::Number(number), chip) => {
            let chip = chip.clone().unwrap_or_else(|| CHIP.into());
            Ok((chip, *number))
        }
        (GpioLine::Name(name), Some(path)) => {
            let chip = chip::Chip::from_path(path).map_err(|error| told(path, &gpio.line, &error))?;
            let info = chip.find_line_info(name);
            let info = info.ok_or_else(|| unknown(&path.display().to_string(), name))?;
            Ok((path.clone(), info.offset))
        }
        (GpioLine::Name(name), None) => {
            let found = find_named_line(name).ok_or_else(|| unknown("any chip that can be opened", name))?;
            Ok((found.chip, found.info.offset))
        }
    }
}

fn told(chip: &Path, line: &GpioLine, error: &gpiocdev::Error) -> io::Error {
    let why = error.to_string();
    io::Error::other(format!(
        "GPIO line {line} of {}: {}",
        chip.display(),
        why.trim_end_matches('.')
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_is_not_there_is_named() {
        let take = |chip: Option<&str>, line: GpioLine| {
            let chip = chip.map(PathBuf::from);
            let gpio = Gpio {
                chip,
                line,
                active_low: false,
            };
            Output::take(&gpio).unwrap_err().to_string()
        };
        let folder = tempfile::tempdir().unwrap();
        let none = folder.path().join("gpiochip9");
        let none = none.to_str().unwrap();
        let number = take(Some(none), GpioLine::Number(17));
        assert!(
            number.starts_with(&format!("GPIO line 17 of {none}: ")),
            "{number}"
        );
        let name = take(Some("/dev/null"), GpioLine::Name("DE".into()));
        assert!(name.starts_with("GPIO line \"DE\" of /dev/null: "), "{name}");
        let name = take(None, GpioLine::Name("no such line".into()));
        assert!(
            name.starts_with("there is no GPIO line \"no such line\""),
            "{name}"
        );
    }
}

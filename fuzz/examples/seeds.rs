//! Writes the first inputs of the target `fields` into `corpus/fields`: each profile of `config/devices` with each of
//! its examples.

use mqttyd::config::device;
use std::path::Path;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let to = here.join("corpus/fields");
    std::fs::create_dir_all(&to)?;
    for entry in std::fs::read_dir(here.join("../config/devices"))? {
        let path = entry?.path();
        let Ok(read) = device::read(&path) else { continue };
        let table: toml::Table = std::fs::read_to_string(&path)?.parse()?;
        let name = path
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        for (n, example) in read.config.example.iter().enumerate() {
            let bytes = match &example.text {
                Some(text) => text.clone().into_bytes(),
                None => {
                    let digits: Vec<u8> = example
                        .wire
                        .bytes()
                        .filter(|byte| !byte.is_ascii_whitespace())
                        .collect();
                    data_encoding::HEXLOWER_PERMISSIVE.decode(&digits)?
                }
            };
            // The examples themselves are not what is tried.
            let mut bare = table.clone();
            bare.remove("example");
            let seed = [toml::to_string(&bare)?.as_bytes(), &[0], &bytes].concat();
            std::fs::write(to.join(format!("{name}-{n}")), seed)?;
        }
    }
    Ok(())
}

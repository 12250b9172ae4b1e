//! Units that differ by a power of ten: what a meter sends in Wh may be wanted in kWh.

/// Units that have prefixes, as meters write them.
const BASES: [&str; 12] = [
    "Wh", "W", "varh", "var", "VAh", "VA", "V", "A", "J", "Hz", "Pa", "bar",
];
const PREFIXES: [(&str, i32); 6] = [("", 0), ("m", -3), ("k", 3), ("K", 3), ("M", 6), ("G", 9)];

/// The power of ten by which a number of one unit becomes one of the other; 0: they are the same, or have nothing in
/// common that is known here.
pub(super) fn between(sent: &str, meant: &str) -> i32 {
    match (power(sent), power(meant)) {
        (Some((one, from)), Some((other, to))) if one == other => from - to,
        _ => 0,
    }
}

fn power(unit: &str) -> Option<(&'static str, i32)> {
    let unit = unit.trim();
    PREFIXES.iter().find_map(|(prefix, tens)| {
        let rest = unit.strip_prefix(prefix)?;
        let base = BASES.iter().find(|base| **base == rest)?;
        Some((*base, *tens))
    })
}

#[cfg(test)]
mod tests {
    use super::between;

    #[test]
    fn prefixes_are_powers() {
        for (sent, meant, tens) in [
            ("Wh", "kWh", -3),
            ("kW", "W", 3),
            ("MJ", "GJ", -3),
            ("kvarh", "varh", 3),
            ("mA", "A", -3),
            ("m3", "m³", 0),
            ("Wh", "varh", 0),
            ("V", "V", 0),
            ("", "kWh", 0),
        ] {
            assert_eq!(between(sent, meant), tens, "{sent} {meant}");
        }
    }
}

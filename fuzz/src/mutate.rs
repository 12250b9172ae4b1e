//! Changes to a profile that leave it TOML: letters turned at random are hardly ever a profile, and then only the
//! reader of TOML would be tried.

use toml::{Table, Value};

/// Numbers from a seed: the same seed, the same change.
pub struct Random(u64);

impl Random {
    /// From the fuzzer's seed.
    pub fn new(seed: u32) -> Random {
        Random(u64::from(seed) << 1 | 0x9e37_79b9_0000_0001)
    }

    /// Below `n`, which is not nought.
    pub fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % n
    }

    fn pick<'a, T: ?Sized>(&mut self, of: &[&'a T]) -> &'a T {
        of[self.below(of.len())]
    }
}

/// Keys that a field, a kind or a profile may have, with values that make trouble.
const KEYS: &[&str] = &[
    "at = -1",
    "at = 'next + n'",
    "at = 'last'",
    "length = 'n * n'",
    "length = -2",
    "length = 70000",
    "until = [0]",
    "find = '(a*)*b'",
    "find = '(?<n>\\d+)'",
    "if = 'n > 2'",
    "repeat = 'rest'",
    "repeat = 'n'",
    "repeat = 'n ^ 9'",
    "repeat = 4000000000",
    "type = 'u1'",
    "type = 'u11'",
    "type = 'u64'",
    "type = 'i38'",
    "type = 'uint'",
    "type = 'f16'",
    "type = 'bcd'",
    "type = 'decimal'",
    "type = 'hex'",
    "type = 'bytes'",
    "type = 'text'",
    "type = 'time'\ntime = 'YYMMDDhhmmssZ'",
    "type = 'u32'\ntime = { epoch = 'gps', step = 'h' }",
    "encoding = 'utf-16le'",
    "order = 'word-swapped'",
    "order = 'ACB'",
    "bit = 63",
    "bits = [3, 40]",
    "mask = 0xf0f0",
    "shift = 60",
    "sign = 'magnitude'",
    "sign = { bit = 15 }",
    "bias = 9223372036854775807",
    "scale = 1e300",
    "scale = '10 ^ n'",
    "divide = 0.0000001",
    "offset = -1e308",
    "decimals = 12",
    "values = { 0 = 'a', '1..3' = 'b' }",
    "flags = ['a', 'b']",
    "absent = [0, 255]",
    "range = [0, 10]",
    "value = 'x / 0'",
    "value = 'sum(n) ^ 1000 << 70'",
    "value = 'item(n, -1)'",
    "value = 'ddmm(x) + time(x, x, x, x, x, x)'",
    "is = 0",
    "hidden = true",
    "required = true",
    "inline = true",
    "collect = true",
    "unpack = 'hex'",
    "unpack = [{ septets = { from = 1, size = 4, tail = 1 } }, 'invert', { drop = -1 }]",
    "unpack = { escape = { byte = 0x10, map = [[0x11, 0x10]] } }",
    "decode = 'obis'",
    "decode = 'json'",
    "decode = 'sml'",
    "decode = 'mbus'",
    "decode = { columns = { separator = ';', squeeze = true } }",
    "decode = { pairs = { separator = ';' } }",
    "decode = { regex = '(?<n>(?:x+x+)+y)' }",
    "decode = { script = 'let a = []; loop { a.push(data) }' }",
    "fields = [{ name = 'n', type = 'u8' }, { name = 'in', repeat = 'n', fields = [{ name = 'm', type = 'u8', repeat = 'n' }] }]",
    "tags = { type = 'u8' }\ncases = { 1 = [], other = [] }",
    "tags = { type = 'u16', length = 'u8', adjust = -9, unknown = 'skip' }\ncases = { 0 = [{ name = 'n', type = 'u8' }] }",
    "switch = 'n'\ncases = { 0 = [{ name = 'c', repeat = 'rest', type = 'bytes' }], other = [{ name = 'd', type = 'u4' }] }",
    "frame = 'raw'",
    "frame = { fixed = { length = 4 } }",
    "frame = { length = { width = 4, max = 70000 } }",
    "frame = { start = { marker = [0], until = 'marker' } }",
    "check = 'sum8'",
    "check = { algorithm = 'CRC-16/MODBUS', each = { size = 4 }, keep = true }",
    "data-check = 'xor8'",
    "require = ['n > 1']",
    "when = { matches = '(?-u)^(.*)*$' }",
    "gather = { kinds = ['a'], until = 'a', name = 'g' }",
];

/// Words and expressions.
const TEXTS: &[&str] = &[
    "rest",
    "n",
    "x",
    "next",
    "last",
    "index",
    "length",
    "big",
    "little",
    "u8",
    "i16",
    "u3",
    "f64",
    "text",
    "decimal",
    "bytes",
    "skip",
    "bool",
    "bcd-swapped",
    "n - 1",
    "length - next",
    "n == 0 and not x",
    "if(n, 1, 2)",
    "max(n)",
    "-1",
    "2 ^ 62 * 4",
    "n % 0",
    "div(n, 0)",
    "'a' + n",
    "part('abc', n, 9)",
    "round(x, 400)",
    "\\",
    "(",
    "",
    "[",
];

const NUMBERS: &[i64] = &[
    -1,
    0,
    1,
    2,
    3,
    4,
    7,
    8,
    9,
    16,
    31,
    32,
    33,
    63,
    64,
    65,
    127,
    128,
    255,
    256,
    1023,
    65_535,
    65_536,
    1 << 20,
    (1 << 31) - 1,
    1 << 31,
    1 << 32,
    i64::MAX,
    i64::MIN,
];

/// Changes one thing in a profile.
pub fn profile(table: &mut Table, random: &mut Random) {
    let donor = {
        let nth = random.below(count(table));
        nth_value(table, &mut nth.clone()).map(|value| value.clone())
    };
    let mut nth = random.below(count(table));
    if random.below(8) == 0 {
        insert(table, random);
    } else if let Some(value) = nth_value(table, &mut nth) {
        match donor {
            Some(donor) if random.below(6) == 0 => *value = donor,
            _ => change(value, random),
        }
    }
}

fn change(value: &mut Value, random: &mut Random) {
    match value {
        Value::Integer(n) => {
            *n = match random.below(3) {
                0 => n.wrapping_add(1),
                1 => random.below(12) as i64,
                _ => NUMBERS[random.below(NUMBERS.len())],
            }
        }
        Value::Float(x) => {
            *x = *[0.0, -1.0, 1e-300, 1e308, 0.1]
                .get(random.below(5))
                .unwrap_or(&0.0)
        }
        Value::Boolean(yes) => *yes = !*yes,
        Value::String(text) => match random.below(4) {
            0 => *value = Value::Integer(NUMBERS[random.below(NUMBERS.len())]),
            1 => {
                let cut = text
                    .char_indices()
                    .nth(random.below(text.len() + 1))
                    .map_or(0, |(at, _)| at);
                text.insert_str(cut, random.pick(TEXTS));
            }
            _ => *text = random.pick(TEXTS).to_owned(),
        },
        Value::Array(all) if !all.is_empty() => {
            let at = random.below(all.len());
            match random.below(3) {
                0 => drop(all.remove(at)),
                1 if all.len() < 30 => all.push(all[at].clone()),
                _ => {
                    let other = random.below(all.len());
                    all.swap(at, other);
                }
            }
        }
        Value::Table(table) => match random.below(3) {
            0 if !table.is_empty() => {
                let key = table.keys().nth(random.below(table.len())).cloned();
                key.and_then(|key| table.remove(&key));
            }
            _ => insert(table, random),
        },
        _ => {}
    }
}

fn insert(table: &mut Table, random: &mut Random) {
    if let Ok(more) = random.pick(KEYS).parse::<Table>() {
        table.extend(more);
    }
}

fn count(table: &Table) -> usize {
    fn one(value: &Value) -> usize {
        1 + match value {
            Value::Array(all) => all.iter().map(one).sum(),
            Value::Table(table) => table.values().map(one).sum(),
            _ => 0,
        }
    }
    1 + table.values().map(one).sum::<usize>()
}

fn nth_value<'a>(table: &'a mut Table, nth: &mut usize) -> Option<&'a mut Value> {
    fn one<'a>(value: &'a mut Value, nth: &mut usize) -> Option<&'a mut Value> {
        if *nth == 0 {
            return Some(value);
        }
        *nth -= 1;
        match value {
            Value::Array(all) => all.iter_mut().find_map(|value| one(value, nth)),
            Value::Table(table) => table.iter_mut().find_map(|(_, value)| one(value, nth)),
            _ => None,
        }
    }
    table.iter_mut().find_map(|(_, value)| one(value, nth))
}

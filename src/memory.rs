//! Memory that is no longer needed, given back to the system.

use rustix::mm::{Advice, madvise};
use std::fs;
use std::ops::Range;

/// A mapping with less of it in memory than this many KiB isn't worth a call: the kernel brings in 64 at a time.
const LITTLE: usize = 64;

/// Gives back what the allocator holds and nobody uses. It keeps all that lies behind a single allocation which is still in
/// use, until it is told so.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub(crate) fn trim() {
    // SAFETY: it has no conditions; it is made for any thread at any time.
    unsafe { libc::malloc_trim(0) };
}

/// Other allocators do it by themselves.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(crate) fn trim() {}

/// Takes the program's own code out of this process's memory; what is needed again comes back page by page, from the
/// system's cache of the file. Reading a configuration and building what it describes runs through megabytes of code that
/// then rests until the next reload.
pub(crate) fn forget_code() {
    let Ok(smaps) = fs::read_to_string("/proc/self/smaps") else {
        return;
    };
    for range in clean(&smaps) {
        let start = std::ptr::without_provenance_mut(range.start);
        // SAFETY: the range is a private mapping of a file that nobody can write to through it, and no page of it was ever
        // changed: the kernel counts none as anonymous. So each page is the file's, and is the same when it is read again.
        let _ = unsafe { madvise(start, range.len(), Advice::LinuxDontNeed) };
    }
}

/// The mappings of files, by `proc_pid_smaps(5)`, that can't be written to and have not been changed: not those that were
/// relocated at the start and are read-only since.
fn clean(smaps: &str) -> Vec<Range<usize>> {
    let mut ranges = Vec::new();
    let mut mapping = None;
    for line in smaps.lines() {
        let mut words = line.split_ascii_whitespace();
        let (Some(first), Some(second)) = (words.next(), words.next()) else {
            continue;
        };
        match first {
            "Rss:" if number(second) < LITTLE => mapping = None,
            "Anonymous:" if number(second) == 0 => ranges.extend(mapping.take()),
            // Without the last two something else is mapped than a file: the inode is 0.
            _ if matches!(second, "r-xp" | "r--p") && words.nth(2).is_some_and(|inode| inode != "0") => {
                mapping = range(first);
            }
            _ if first.ends_with(':') => {}
            _ => mapping = None,
        }
    }
    ranges
}

/// What can't be read is much.
fn number(word: &str) -> usize {
    word.parse().unwrap_or(usize::MAX)
}

fn range(word: &str) -> Option<Range<usize>> {
    let (start, end) = word.split_once('-')?;
    let address = |text| usize::from_str_radix(text, 16).ok();
    Some(address(start)?..address(end)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SMAPS: &str = "\
1000-2000 r--p 00000000 fe:00 10010639                   /usr/bin/mqttyd
Size:               3576 kB
Rss:                1592 kB
Private_Dirty:         0 kB
Anonymous:             0 kB
VmFlags: rd mr mw me sd
2000-30000 r-xp 0037d000 fe:00 10010639                  /usr/bin/mqttyd
Rss:                6284 kB
Anonymous:             0 kB
31000-40000 r--p 0107c000 fe:00 10010639                 /usr/bin/mqttyd
Rss:                 460 kB
Anonymous:           460 kB
40000-41000 rw-p 010ef000 fe:00 10010639                 /usr/bin/mqttyd
Rss:                 100 kB
Anonymous:             0 kB
50000-60000 rw-p 00000000 00:00 0                        [heap]
Rss:                 296 kB
Anonymous:           296 kB
60000-61000 r-xp 00000000 fe:00 326279                   /usr/lib/little.so
Rss:                  60 kB
Anonymous:             0 kB
7f000000-7f010000 r--p 00000000 00:00 0
Rss:                  64 kB
Anonymous:             0 kB
7f023a6cf000-7f023a6d1000 r-xp 00026000 fe:00 326279     /usr/lib/a library (deleted)
Rss:                1100 kB
Anonymous:             0 kB
";

    #[test]
    fn only_what_the_file_holds_is_forgotten() {
        let ranges: Vec<(usize, usize)> = clean(SMAPS)
            .iter()
            .map(|range| (range.start, range.end))
            .collect();
        assert_eq!(ranges[..2], [(0x1000, 0x2000), (0x2000, 0x30000)]);
        #[cfg(target_pointer_width = "64")]
        assert_eq!(ranges[2..], [(0x7f02_3a6c_f000, 0x7f02_3a6d_1000)]);
    }

    /// As emulators show it: what they don't know is 0.
    #[test]
    fn what_is_not_counted_is_left() {
        let smaps = SMAPS
            .replace("1592", "   0")
            .replace("6284", "   0")
            .replace("1100", "   0");
        assert!(clean(&smaps).is_empty());
    }

    /// A table of addresses, which were written into it when the program was loaded.
    static RELOCATED: [&str; 2] = ["a", "b"];

    #[test]
    fn nothing_that_was_written_is_forgotten() {
        let (stack, heap) = (0u8, Box::new(0u8));
        forget_code();
        trim();
        assert_eq!(std::hint::black_box(RELOCATED), ["a", "b"]);
        let ranges = clean(&fs::read_to_string("/proc/self/smaps").unwrap());
        let written = [
            (&raw const RELOCATED).addr(),
            (&raw const stack).addr(),
            (&raw const *heap).addr(),
        ];
        for range in ranges {
            assert!(written.iter().all(|place| !range.contains(place)), "{range:x?}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in "([0-9a-f]{1,17}-[0-9a-f]{1,17} r-xp 0 0 1 x\n|Rss: [0-9]{1,30} kB\n|Anonymous: 0 kB\n|.{0,20}\n){0,20}") {
            let lines = text.lines().count();
            prop_assert!(clean(&text).len() <= lines / 2);
        }
    }
}

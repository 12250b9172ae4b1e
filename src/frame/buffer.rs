//! The one contiguous buffer that reads go into and frames are slices of.

/// The least room that is offered to a read. A tty's line discipline holds 4095 bytes.
pub(super) const READ: usize = 4096;

/// Bytes from `start` to `end` are held; what lies before is spent, what lies behind is free.
#[derive(Debug, Default)]
pub(super) struct Buffer {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
}

impl Buffer {
    /// Room for the next read, at least [`READ`] bytes. What is held moves to the front only when the room
    /// behind it has run out, so that each byte moves seldom.
    pub(super) fn space(&mut self) -> &mut [u8] {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
        if self.bytes.len() - self.end < READ {
            if self.start >= self.end - self.start {
                self.bytes.copy_within(self.start..self.end, 0);
                (self.start, self.end) = (0, self.end - self.start);
            }
            if self.bytes.len() - self.end < READ {
                let size = (self.end + READ).next_power_of_two().max(2 * READ);
                self.bytes.resize(size, 0);
            }
        }
        &mut self.bytes[self.end..]
    }

    /// So many bytes were written into [`space`](Buffer::space).
    pub(super) fn fill(&mut self, n: usize) {
        self.end = (self.end + n).min(self.bytes.len());
    }

    /// What is held.
    pub(super) fn held(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    /// The first `n` bytes held are spent; they stay readable until the next [`space`](Buffer::space).
    pub(super) fn spend(&mut self, n: usize) -> Spent {
        let start = self.start;
        self.start = (start + n).min(self.end);
        Spent(start)
    }

    /// Bytes that were spent: `range` counts from where they began.
    pub(super) fn spent(&self, spent: Spent, range: std::ops::Range<usize>) -> &[u8] {
        &self.bytes[spent.0 + range.start..spent.0 + range.end]
    }

    /// The memory taken.
    pub(super) fn size(&self) -> usize {
        self.bytes.len()
    }
}

/// Where spent bytes began.
#[derive(Debug, Clone, Copy)]
pub(super) struct Spent(usize);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_keep_their_order_and_the_buffer_stays_small() {
        let mut buffer = Buffer::default();
        let (mut sent, mut seen) = (0u8, 0u8);
        for round in 0..10_000usize {
            let n = round % 700;
            for byte in &mut buffer.space()[..n] {
                *byte = sent;
                sent = sent.wrapping_add(1);
            }
            buffer.fill(n);
            let keep = round % 300;
            while buffer.held().len() > keep {
                assert_eq!(buffer.held()[0], seen);
                seen = seen.wrapping_add(1);
                buffer.spend(1);
            }
            assert!(buffer.space().len() >= READ);
        }
        assert!(buffer.size() <= 4 * READ, "{}", buffer.size());
    }
}

//! Choices read from the bytes of an input, in order; at the end all choices are 0.

/// Numbers at which arithmetic ends.
const NUMBERS: [i64; 16] = [
    0,
    1,
    -1,
    2,
    100,
    4096,
    524_288,
    1 << 31,
    1 << 53,
    i64::MAX,
    i64::MAX - 1,
    i64::MIN,
    i64::MIN + 1,
    1_795_266_322_123_000_000,
    1_795_266_382_123_000_000,
    -1_000_000_000,
];

/// The bytes that are left.
pub struct Bytes<'a>(pub &'a [u8]);

impl<'a> Bytes<'a> {
    pub fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    /// A number below `limit`, which is at most 256.
    pub fn below(&mut self, limit: usize) -> usize {
        usize::from(self.byte()) % limit.max(1)
    }

    pub fn flag(&mut self) -> bool {
        self.byte() & 1 == 1
    }

    pub fn of<T: Clone>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())].clone()
    }

    /// A small number, one of the ends, or any.
    pub fn number(&mut self) -> i64 {
        match self.below(4) {
            0 | 1 => i64::from(self.byte()),
            2 => self.of(&NUMBERS),
            _ => i64::from_le_bytes(std::array::from_fn(|_| self.byte())),
        }
    }

    /// Up to `most` bytes as text.
    pub fn text(&mut self, most: usize) -> String {
        let length = self.below(most.min(255) + 1).min(self.0.len());
        let (text, rest) = self.0.split_at(length);
        self.0 = rest;
        String::from_utf8_lossy(text).into_owned()
    }
}

//! What stands in a slot.
//!
//! | word | holds |
//! |---|---|
//! | 0 | ticks ([`crate::sys::ticks`]) |
//! | 1 | span id; of a thread its kernel number and its own; of a counter the value |
//! | 2 | callsite, of a thread its slots so far (32 bits), kind (8), slots of text behind it (8), bytes of text (16) |
//! | 3 | task that is polled, 0 for none; of a thread the records dropped before (32), what the kind says (32) |

use super::chunk::SLOT_WORDS;

/// What happened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(super) enum Kind {
    /// From here on the records are of this thread; the text is its name, the last number counts its pieces.
    Thread = 1,
    /// The thread has ended.
    ThreadEnd = 2,
    /// A span was made; the text holds its fields.
    New = 3,
    /// Fields of a span that were recorded later.
    Record = 4,
    Enter = 5,
    Exit = 6,
    /// The last handle of a span is gone.
    Close = 7,
    /// Something was told within a span, or outside of all; the text holds its fields.
    Event = 8,
    /// At the beginning of a piece: this span is entered, from the outermost on.
    Open = 9,
    /// At the beginning of a piece, and when a poll begins; the last number is the site's plus one.
    PollBegin = 10,
    PollEnd = 11,
    /// A number that is looked at from time to time; the last number says which.
    Counter = 12,
}

impl Kind {
    fn of(number: u8) -> Option<Self> {
        use Kind::*;
        let all =
            [Thread, ThreadEnd, New, Record, Enter, Exit, Close, Event, Open, PollBegin, PollEnd, Counter];
        all.get(usize::from(number).checked_sub(1)?).copied()
    }
}

/// A record, apart from its text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Head {
    pub(super) ticks: u64,
    pub(super) id: u64,
    pub(super) callsite: u32,
    pub(super) kind: Kind,
    pub(super) text_bytes: u16,
    pub(super) task: u32,
    pub(super) aux: u32,
}

impl Head {
    #[inline]
    pub(super) fn words(&self) -> [u64; SLOT_WORDS] {
        let slots = u64::from(self.text_bytes).div_ceil(8 * SLOT_WORDS as u64);
        let what = u64::from(self.callsite)
            | (self.kind as u64) << 32
            | slots << 40
            | u64::from(self.text_bytes) << 48;
        [self.ticks, self.id, what, u64::from(self.task) | u64::from(self.aux) << 32]
    }
}

/// The records of a copy, each with its text. Ends at the first slot that makes no sense.
pub(super) fn parse(words: &[u64]) -> impl Iterator<Item = (Head, &[u64])> {
    let mut rest = words;
    std::iter::from_fn(move || {
        let (slot, behind) = rest.split_first_chunk::<SLOT_WORDS>()?;
        let [ticks, id, what, last] = *slot;
        let slots = (what >> 40) as u8;
        let (text, behind) = behind.split_at_checked(usize::from(slots) * SLOT_WORDS)?;
        rest = behind;
        let head = Head {
            ticks,
            id,
            callsite: what as u32,
            kind: Kind::of((what >> 32) as u8)?,
            text_bytes: (what >> 48) as u16,
            task: last as u32,
            aux: (last >> 32) as u32,
        };
        Some((head, text))
    })
}

/// The bytes of a text.
pub(super) fn bytes(text: &[u64], len: u16) -> Vec<u8> {
    let mut bytes: Vec<u8> = text.iter().flat_map(|word| word.to_le_bytes()).collect();
    bytes.truncate(usize::from(len));
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_in_comes_out() {
        let mut words = Vec::new();
        let mut heads = Vec::new();
        for number in 0..=13 {
            let Some(kind) = Kind::of(number) else { continue };
            assert_eq!(kind as u8, number);
            let text_bytes = u16::from(number) * 11 % 70;
            let head = Head {
                ticks: u64::MAX - 1,
                id: 1 << 63 | u64::from(number),
                callsite: u32::MAX - 2,
                kind,
                text_bytes,
                task: 7,
                aux: u32::MAX,
            };
            words.extend(head.words());
            words.extend(vec![0x4141_4141_4141_4141; usize::from(text_bytes).div_ceil(32) * 4]);
            heads.push(head);
        }
        let read: Vec<_> = parse(&words).collect();
        assert_eq!(read.iter().map(|(head, _)| *head).collect::<Vec<_>>(), heads);
        assert_eq!(heads.len(), 12);
        for (head, text) in read {
            assert_eq!(bytes(text, head.text_bytes), vec![b'A'; usize::from(head.text_bytes)]);
        }
        // Zeros, and a text that is not there, end it.
        assert_eq!(parse(&[0; 8]).count(), 0);
        assert_eq!(parse(&[1, 1, 3 << 32 | 2 << 40, 0]).count(), 0);
    }
}

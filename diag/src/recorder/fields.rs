//! Fields of spans and events as bounded bytes: numbers as they are, everything else as text.
//!
//! A field is its position among the callsite's fields, a tag, and 8 bytes of a number, one of a truth value, or a length and so many
//! bytes of text. Texts are cut at [`VALUE_BYTES`], a message at [`MESSAGE_BYTES`], all together at [`TEXT_BYTES`]; what is cut
//! ends in `…`, and what finds no place is left out. Both are counted.

use std::fmt::{self, Write as _};
use std::sync::atomic::{AtomicU64, Ordering};

use arrayvec::ArrayVec;
use tracing_core::field::{Field, Visit};

/// Longest value of a field.
pub(super) const VALUE_BYTES: usize = 128;
/// Longest message.
pub(super) const MESSAGE_BYTES: usize = 240;
/// All fields of one span or event: 16 slots.
pub(super) const TEXT_BYTES: usize = 512;
/// The field that holds the message of an event.
pub(super) const MESSAGE: &str = "message";

const U64: u8 = 0;
const I64: u8 = 1;
const F64: u8 = 2;
const BOOL: u8 = 3;
const TEXT: u8 = 4;

/// Values that were cut, and values that were left out.
pub(super) static CUT: AtomicU64 = AtomicU64::new(0);
pub(super) static LEFT_OUT: AtomicU64 = AtomicU64::new(0);

/// A value as it was recorded.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Value {
    U64(u64),
    I64(i64),
    F64(f64),
    Bool(bool),
    Text(String),
}

/// Room for the fields of one span or event, on the stack.
pub(super) struct Buffer {
    bytes: ArrayVec<u8, TEXT_BYTES>,
}

impl Buffer {
    pub(super) fn new() -> Self {
        Self { bytes: ArrayVec::new_const() }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// A text that stands for itself: the name of a thread.
    pub(super) fn put_text(&mut self, text: &str) {
        let text = text.get(..text.floor_char_boundary(VALUE_BYTES)).unwrap_or_default();
        self.push(text.as_bytes());
    }

    fn push(&mut self, more: &[u8]) -> bool {
        self.bytes.try_extend_from_slice(more).is_ok()
    }

    fn head(&mut self, field: &Field, tag: u8, needs: usize) -> bool {
        let fits = self.bytes.len() + 2 + needs <= TEXT_BYTES && field.index() <= usize::from(u8::MAX);
        if fits {
            self.push(&[field.index() as u8, tag]);
        } else {
            LEFT_OUT.fetch_add(1, Ordering::Relaxed);
        }
        fits
    }

    fn number(&mut self, field: &Field, tag: u8, bytes: &[u8]) {
        if self.head(field, tag, bytes.len()) {
            self.push(bytes);
        }
    }

    fn text(&mut self, field: &Field, write: impl FnOnce(&mut Bounded<'_>) -> fmt::Result) {
        const ELLIPSIS: usize = '…'.len_utf8();
        // A length, and a mark where there is room for nothing else.
        if !self.head(field, TEXT, 1 + ELLIPSIS) {
            return;
        }
        let at = self.bytes.len();
        self.push(&[0]);
        let most = if field.name() == MESSAGE { MESSAGE_BYTES } else { VALUE_BYTES };
        let end = (self.bytes.len() + most).min(TEXT_BYTES);
        let mut bounded = Bounded { buffer: self, end, cut: false };
        // An error is the bound's, or the value's own: what is written stays.
        let _ = write(&mut bounded);
        if bounded.cut {
            CUT.fetch_add(1, Ordering::Relaxed);
            self.mark_cut(at + 1, end);
        }
        let len = self.bytes.len() - at - 1;
        if let Some(place) = self.bytes.get_mut(at) {
            *place = len as u8;
        }
    }

    /// Puts `…` at the end of the text that begins here, over whole characters.
    fn mark_cut(&mut self, from: usize, end: usize) {
        let room = (end - '…'.len_utf8()).min(self.bytes.len()).max(from);
        let text = self.bytes.get(from..).unwrap_or_default();
        // What was written is UTF-8, character by character.
        let text = std::str::from_utf8(text).unwrap_or_default();
        let kept = from + text.floor_char_boundary(room - from);
        self.bytes.truncate(kept);
        self.push("…".as_bytes());
    }
}

struct Bounded<'a> {
    buffer: &'a mut Buffer,
    end: usize,
    cut: bool,
}

impl fmt::Write for Bounded<'_> {
    fn write_str(&mut self, more: &str) -> fmt::Result {
        let room = self.end - self.buffer.bytes.len();
        if more.len() <= room {
            self.buffer.push(more.as_bytes());
            return Ok(());
        }
        let fits = more.get(..more.floor_char_boundary(room)).unwrap_or_default();
        self.buffer.push(fits.as_bytes());
        self.cut = true;
        Err(fmt::Error)
    }
}

impl Visit for Buffer {
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.number(field, U64, &value.to_le_bytes());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.number(field, I64, &value.to_le_bytes());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.number(field, F64, &value.to_le_bytes());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.number(field, BOOL, &[u8::from(value)]);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.text(field, |text| text.write_str(value));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.text(field, |text| write!(text, "{value:?}"));
    }
}

/// The fields in these bytes, by position. Ends where they make no sense.
pub(super) fn decode(bytes: &[u8]) -> Vec<(u8, Value)> {
    let mut rest = bytes;
    let mut fields = Vec::new();
    while let Some((field, behind)) = field(rest) {
        fields.push(field);
        rest = behind;
    }
    fields
}

fn field(bytes: &[u8]) -> Option<((u8, Value), &[u8])> {
    let (&[index, tag], rest) = bytes.split_first_chunk::<2>()?;
    let eight = || rest.split_first_chunk::<8>();
    let (value, rest) = match tag {
        U64 => eight().map(|(b, rest)| (Value::U64(u64::from_le_bytes(*b)), rest))?,
        I64 => eight().map(|(b, rest)| (Value::I64(i64::from_le_bytes(*b)), rest))?,
        F64 => eight().map(|(b, rest)| (Value::F64(f64::from_le_bytes(*b)), rest))?,
        BOOL => rest.split_first().map(|(b, rest)| (Value::Bool(*b != 0), rest))?,
        TEXT => {
            let (len, rest) = rest.split_first()?;
            let (text, rest) = rest.split_at_checked(usize::from(*len))?;
            (Value::Text(String::from_utf8_lossy(text).into_owned()), rest)
        }
        _ => return None,
    };
    Some(((index, value), rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing_core::{Callsite, Kind, Level, Metadata, callsite, field::FieldSet, subscriber::Interest};

    struct Site;

    static SITE: Site = Site;
    static METADATA: Metadata<'static> = Metadata::new(
        "site",
        "target",
        Level::INFO,
        None,
        None,
        None,
        FieldSet::new(&["message", "a", "b"], callsite::Identifier(&SITE)),
        Kind::EVENT,
    );

    impl Callsite for Site {
        fn set_interest(&self, _: Interest) {}
        fn metadata(&self) -> &Metadata<'_> {
            &METADATA
        }
    }

    fn decoded(buffer: &Buffer) -> Vec<(u8, Value)> {
        decode(buffer.bytes())
    }

    #[test]
    fn values_come_back_as_they_went_in() {
        let [message, a, b] = ["message", "a", "b"].map(|name| METADATA.fields().field(name).unwrap());
        let mut buffer = Buffer::new();
        buffer.record_str(&message, "größer \"als\"\u{0}");
        buffer.record_u64(&a, u64::MAX);
        buffer.record_i64(&b, -1);
        buffer.record_f64(&a, 0.5);
        buffer.record_bool(&b, true);
        buffer.record_debug(&a, &Some("x"));
        let expected = vec![
            (0, Value::Text("größer \"als\"\u{0}".into())),
            (1, Value::U64(u64::MAX)),
            (2, Value::I64(-1)),
            (1, Value::F64(0.5)),
            (2, Value::Bool(true)),
            (1, Value::Text("Some(\"x\")".into())),
        ];
        assert_eq!(decoded(&buffer), expected);
    }

    #[test]
    fn long_values_are_cut_at_characters_and_many_are_left_out() {
        let [message, a] = ["message", "a"].map(|name| METADATA.fields().field(name).unwrap());
        for unit in ["x", "ß", "…", "🦀"] {
            let mut buffer = Buffer::new();
            for (field, most) in [(&message, MESSAGE_BYTES), (&a, VALUE_BYTES), (&a, VALUE_BYTES)] {
                for repeats in [most / unit.len(), most / unit.len() + 1, 1_000] {
                    buffer.bytes.clear();
                    let text = unit.repeat(repeats);
                    buffer.record_debug(field, &format_args!("{text}"));
                    let [(_, Value::Text(kept))] = &decoded(&buffer)[..] else { panic!("{unit}") };
                    assert!(kept.len() <= most);
                    if text.len() <= most {
                        assert_eq!(*kept, text);
                    } else {
                        assert!(kept.ends_with('…') && kept.len() > most - 8, "{kept}");
                    }
                }
            }
        }
        let before = LEFT_OUT.load(Ordering::Relaxed);
        let mut buffer = Buffer::new();
        for _ in 0..40 {
            buffer.record_str(&a, "twenty bytes of text");
        }
        let fields = decoded(&buffer);
        assert!(fields.len() > 15 && fields.len() < 40, "{}", fields.len());
        assert!(LEFT_OUT.load(Ordering::Relaxed) > before);
        assert!(buffer.bytes.len() <= TEXT_BYTES);
    }

    #[test]
    fn nonsense_is_no_field() {
        for bytes in [&[1u8][..], &[1, 9, 0], &[1, TEXT], &[1, TEXT, 5, b'x'], &[1, U64, 0, 0], &[0, BOOL]] {
            assert_eq!(decode(bytes), []);
        }
        assert_eq!(decode(&[1, TEXT, 1, 0xff]), [(1, Value::Text("\u{fffd}".into()))]);
    }
}

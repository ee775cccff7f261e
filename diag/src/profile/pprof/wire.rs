//! The wire format of protocol buffers: varints, fields, packed lists. Knows nothing of profiles.
//!
//! Reading borrows from one buffer and never copies. Positions in errors are byte offsets in that whole buffer. Groups
//! (wire types 3 and 4) have been out of use since before profile.proto existed, and are refused.
//!
//! Source: protobuf.dev, "Encoding".

use crate::profile::error::{PprofFault, ProfileError};

/// A cursor over (a part of) an encoded message.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a> {
    rest: &'a [u8],
    /// Length of the whole buffer up to the end of this part: offset = end - rest.len().
    end: usize,
}

/// The content of a field.
#[derive(Clone, Copy)]
pub(super) enum Value<'a> {
    Varint(u64),
    /// 32 and 64 bit numbers; profile.proto has none.
    Fixed,
    /// A string, message, or packed list.
    Bytes(Reader<'a>),
}

/// A field with the offset of its tag.
#[derive(Clone, Copy)]
pub(super) struct Field<'a> {
    pub(super) number: u32,
    pub(super) offset: usize,
    pub(super) value: Value<'a>,
}

pub(super) fn fault(offset: usize, fault: PprofFault) -> ProfileError {
    ProfileError::Pprof { offset: offset as u64, fault }
}

impl<'a> Reader<'a> {
    pub(super) fn new(buffer: &'a [u8]) -> Self {
        Self { rest: buffer, end: buffer.len() }
    }

    /// Where the next byte is, in the whole buffer.
    #[inline]
    pub(super) fn offset(&self) -> usize {
        self.end - self.rest.len()
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The bytes that are left.
    #[inline]
    pub(super) fn bytes(&self) -> &'a [u8] {
        self.rest
    }

    /// The next varint. On failure the cursor stays where it was.
    #[inline]
    pub(super) fn varint(&mut self) -> Result<u64, ProfileError> {
        match varint(&mut self.rest) {
            Some(v) => Ok(v),
            None => Err(self.bad_varint()),
        }
    }

    #[cold]
    fn bad_varint(&self) -> ProfileError {
        let what = if self.rest.len() < 10 { PprofFault::Truncated } else { PprofFault::LongVarint };
        fault(self.offset(), what)
    }

    /// The next field, or `None` at the end.
    #[inline]
    pub(super) fn field(&mut self) -> Result<Option<Field<'a>>, ProfileError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let offset = self.offset();
        let tag = self.varint()?;
        let number = (tag >> 3) as u32;
        if number == 0 || tag > u64::from(u32::MAX) {
            return Err(fault(offset, PprofFault::BadTag { tag }));
        }
        let value = match tag & 7 {
            0 => Value::Varint(self.varint()?),
            1 => self.fixed(8)?,
            2 => {
                let length = self.varint()?;
                Value::Bytes(self.take(length)?)
            }
            5 => self.fixed(4)?,
            _ => return Err(fault(offset, PprofFault::BadTag { tag })),
        };
        Ok(Some(Field { number, offset, value }))
    }

    fn fixed(&mut self, length: u64) -> Result<Value<'a>, ProfileError> {
        self.take(length)?;
        Ok(Value::Fixed)
    }

    #[inline]
    fn take(&mut self, length: u64) -> Result<Reader<'a>, ProfileError> {
        let parts = usize::try_from(length).ok().and_then(|n| self.rest.split_at_checked(n));
        let Some((part, rest)) = parts else {
            return Err(fault(self.offset(), PprofFault::Truncated));
        };
        let end = self.end - rest.len();
        self.rest = rest;
        Ok(Reader { rest: part, end })
    }
}

impl<'a> Field<'a> {
    /// The value of a scalar field.
    #[inline]
    pub(super) fn scalar(&self) -> Result<u64, ProfileError> {
        match self.value {
            Value::Varint(v) => Ok(v),
            _ => Err(self.wrong_type()),
        }
    }

    /// The value of a string or message field.
    #[inline]
    pub(super) fn message(&self) -> Result<Reader<'a>, ProfileError> {
        match self.value {
            Value::Bytes(r) => Ok(r),
            _ => Err(self.wrong_type()),
        }
    }

    /// The numbers of a repeated scalar field, packed or not, one at a time.
    #[inline]
    pub(super) fn each(
        &self,
        mut take: impl FnMut(u64) -> Result<(), ProfileError>,
    ) -> Result<(), ProfileError> {
        match self.value {
            Value::Varint(v) => take(v),
            Value::Bytes(mut packed) => {
                while !packed.is_empty() {
                    take(packed.varint()?)?;
                }
                Ok(())
            }
            Value::Fixed => Err(self.wrong_type()),
        }
    }

    #[cold]
    pub(super) fn wrong_type(&self) -> ProfileError {
        fault(self.offset, PprofFault::WrongWireType { field: self.number })
    }
}

/// Reads a varint off the front; `None` when it does not end within ten bytes or within the buffer. Bits beyond the
/// 64th are dropped, as every protobuf reader does.
#[inline]
fn varint(rest: &mut &[u8]) -> Option<u64> {
    // One to three bytes are nearly all there is: ids and lengths.
    match **rest {
        [a, ref tail @ ..] if a < 0x80 => {
            *rest = tail;
            Some(u64::from(a))
        }
        [a, b, ref tail @ ..] if b < 0x80 => {
            *rest = tail;
            Some(u64::from(a & 0x7f) | u64::from(b) << 7)
        }
        [a, b, c, ref tail @ ..] if c < 0x80 => {
            *rest = tail;
            Some(u64::from(a & 0x7f) | u64::from(b & 0x7f) << 7 | u64::from(c) << 14)
        }
        _ => long_varint(rest),
    }
}

fn long_varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for (i, &byte) in rest.iter().take(10).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * i);
        if byte < 0x80 {
            *rest = rest.get(i + 1..)?;
            return Some(value);
        }
    }
    None
}

/// Appends fields to a message.
#[derive(Default)]
pub(super) struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    pub(super) fn with_capacity(bytes: usize) -> Self {
        Self { bytes: Vec::with_capacity(bytes) }
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Encoded fields, to be put into another message.
    pub(super) fn part(&self, start: usize, end: usize) -> &[u8] {
        self.bytes.get(start..end).unwrap_or_default()
    }

    /// Appends encoded fields.
    pub(super) fn append(&mut self, fields: &[u8]) {
        self.bytes.extend_from_slice(fields);
    }

    pub(super) fn clear(&mut self) {
        self.bytes.clear();
    }

    /// Short ones apart: a third faster than a loop that pushes bytes, and nearly all there is.
    #[inline]
    fn varint(&mut self, v: u64) {
        match v {
            0..0x80 => self.bytes.push(v as u8),
            0x80..0x4000 => self.bytes.extend_from_slice(&[v as u8 | 0x80, (v >> 7) as u8]),
            0x4000..0x20_0000 => {
                self.bytes.extend_from_slice(&[v as u8 | 0x80, (v >> 7) as u8 | 0x80, (v >> 14) as u8]);
            }
            _ => self.long_varint(v),
        }
    }

    fn long_varint(&mut self, mut v: u64) {
        while v >= 0x80 {
            self.bytes.push(v as u8 | 0x80);
            v >>= 7;
        }
        self.bytes.push(v as u8);
    }

    fn tag(&mut self, number: u32, wire_type: u32) {
        self.varint(u64::from(number << 3 | wire_type));
    }

    /// A scalar field; zero is the default and is left out.
    #[inline]
    pub(super) fn uint(&mut self, number: u32, v: u64) {
        if v != 0 {
            self.tag(number, 0);
            self.varint(v);
        }
    }

    /// A signed scalar field, two's complement as `int64` wants it.
    #[inline]
    pub(super) fn int(&mut self, number: u32, v: i64) {
        self.uint(number, v as u64);
    }

    pub(super) fn bool(&mut self, number: u32, v: bool) {
        self.uint(number, u64::from(v));
    }

    /// A string or an encoded message.
    pub(super) fn bytes(&mut self, number: u32, content: &[u8]) {
        self.tag(number, 2);
        self.varint(content.len() as u64);
        self.bytes.extend_from_slice(content);
    }

    pub(super) fn message(&mut self, number: u32, content: &Writer) {
        self.bytes(number, &content.bytes);
    }

    /// A packed list; an empty one is left out.
    pub(super) fn packed(&mut self, number: u32, values: impl Iterator<Item = u64>) {
        let start = self.bytes.len();
        self.tag(number, 2);
        // The length is known afterwards. One byte is enough for most; else the content is moved up.
        let at = self.bytes.len();
        self.bytes.push(0);
        self.bytes.reserve(values.size_hint().0);
        values.for_each(|v| if v < 0x80 { self.bytes.push(v as u8) } else { self.varint(v) });
        let length = self.bytes.len() - at - 1;
        match self.bytes.get_mut(at) {
            _ if length == 0 => self.bytes.truncate(start),
            Some(byte) if length < 0x80 => *byte = length as u8,
            _ => {
                let mut prefix = Self::default();
                prefix.varint(length as u64);
                self.bytes.splice(at..=at, prefix.bytes);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_of_every_length_round_trip() {
        let mut values = vec![0, 1, u64::MAX];
        for bits in 1..64 {
            values.extend([(1u64 << bits) - 1, 1 << bits, (1 << bits) + 1]);
        }
        for v in values {
            let mut w = Writer::default();
            w.varint(v);
            assert_eq!(w.bytes.len(), (64 - v.leading_zeros() as usize).div_ceil(7).max(1), "{v}");
            let mut r = Reader::new(&w.bytes);
            assert_eq!(r.varint().unwrap(), v);
            assert!(r.is_empty());
            for cut in 0..w.bytes.len() {
                assert!(Reader::new(&w.bytes[..cut]).varint().is_err(), "{v} cut at {cut}");
            }
        }
    }

    #[test]
    fn packed_lists_of_any_length_are_the_same_as_by_the_book() {
        for (count, value) in
            [(0, 0), (1, 0), (127, 127), (128, 1), (64, 300), (63, 300), (20_000, 5), (9_000, 1 << 40)]
        {
            let mut content = Writer::default();
            (0..count).for_each(|_| content.varint(value));
            let mut expected = Writer::default();
            expected.uint(9, 9);
            if count > 0 {
                expected.bytes(3, &content.bytes);
            }
            let mut packed = Writer::default();
            packed.uint(9, 9);
            packed.packed(3, std::iter::repeat_n(value, count));
            assert_eq!(packed.bytes, expected.bytes, "{count} times {value}");
        }
    }

    #[test]
    fn offsets_count_from_the_start_of_the_buffer() {
        let mut inner = Writer::default();
        inner.uint(1, 300);
        let mut outer = Writer::default();
        outer.uint(7, 1);
        outer.message(2, &inner);
        let bytes = outer.into_bytes();
        let mut r = Reader::new(&bytes);
        assert_eq!(r.field().unwrap().unwrap().offset, 0);
        let field = r.field().unwrap().unwrap();
        assert_eq!((field.number, field.offset), (2, 2));
        let mut message = field.message().unwrap();
        assert_eq!(message.offset(), 4);
        assert_eq!(message.field().unwrap().unwrap().offset, 4);
        assert_eq!(message.offset(), bytes.len());
        assert!(message.field().unwrap().is_none());
    }

    #[test]
    fn an_endless_varint_is_told_from_a_truncated_one() {
        let long = Reader::new(&[0xff; 11]).varint().unwrap_err();
        let cut = Reader::new(&[0xff; 3]).varint().unwrap_err();
        assert!(matches!(long, ProfileError::Pprof { fault: PprofFault::LongVarint, .. }), "{long}");
        assert!(matches!(cut, ProfileError::Pprof { fault: PprofFault::Truncated, .. }), "{cut}");
    }
}

//! The lines of an export: reads rows as the database sends them, writes bytes and sums. No I/O, no allocation per row.

use std::{fmt, io::Write as _};

use jiff::Timestamp;
use rust_decimal::Decimal;

use copy::{Cost, REMAINDER_SCALE, Row, TEN_THOUSAND};
use domain::{
    Measures, OrgId, Totals,
    changes::Figures,
    measures::{COST_SCALE, NAMES, TotalOverflow},
};

use crate::days::{self, ChunkDays};

/// The first line.
pub const HEADER: &[u8] = b"bucket_start,organization_id,model_id,request_count,tokens_total,error_count,cost_total\n";

/// The size at which a [`Chunk`] is full. A chunk of this size stays in a core's cache until it is hashed and uploaded.
pub const CHUNK_SIZE: usize = 256 << 10;

/// The maximum length of a line: an instant of 33 bytes, two UUIDs of 36, four numbers of at most 41, a decimal point,
/// and seven separators.
const MAX_LINE_LENGTH: usize = 320;
/// The maximum length of an instant, a UUID and their two commas.
const MAX_PREFIX_LENGTH: usize = 80;

/// Headroom: a chunk may receive one more driver buffer (8 KiB in, about 12 KiB out) after it is full.
const HEADROOM: usize = 16 << 10;

/// The first instant of PostgreSQL's clock, in microseconds since 1970.
const POSTGRES_EPOCH: i64 = 946_684_800_000_000;

/// The reason that a row cannot be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CsvError {
    /// A column's sum cannot be kept exactly.
    #[error(transparent)]
    Overflow(#[from] TotalOverflow),
    /// An instant outside of the years that can be written.
    #[error("bucket_start is {0} µs from 2000, outside of the years that can be written")]
    Instant(i64),
}

/// Exact sums of the rows that were written. Counts have 127 bits: 64-bit counts may add up to more than 64.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sums {
    /// Lines, without the header.
    pub rows: u64,
    /// The sums of the measures.
    pub measures: Measures<i128, Cost>,
}

impl Sums {
    /// Adds other sums to these.
    ///
    /// # Errors
    /// When a sum leaves its 127 bits.
    #[inline]
    pub fn add(&mut self, other: &Self) -> Result<(), TotalOverflow> {
        self.measures = self.measures.try_add_with(other.measures, Cost::checked_add)?;
        self.rows += other.rows;
        Ok(())
    }

    /// Returns the sums of the lines as they are printed.
    fn figures(&self) -> Figures {
        self.measures.map(|count| count, |cost| cost.rounded)
    }

    /// Returns the sums as the totals of a file.
    ///
    /// # Errors
    /// When the cost has more than 28 digits.
    pub fn totals(&self) -> Result<Totals, TotalOverflow> {
        self.measures.try_map(Ok, |cost| decimal(cost.rounded, COST_SCALE))
    }

    /// Returns the exact sum of the costs minus that of the lines.
    ///
    /// # Errors
    /// When it has more than 28 digits.
    pub fn rounding_difference(&self) -> Result<Decimal, TotalOverflow> {
        let mut remainder = self.measures.cost_total.remainder;
        let mut scale = REMAINDER_SCALE;
        while scale > 0 && remainder % 10 == 0 {
            remainder /= 10;
            scale -= 1;
        }
        decimal(remainder, scale)
    }
}

fn decimal(mantissa: i128, scale: u32) -> Result<Decimal, TotalOverflow> {
    Decimal::try_from_i128_with_scale(mantissa, scale).map_err(|_| TotalOverflow { column: NAMES.cost_total })
}

/// Consecutive lines, and the sums of their values.
#[derive(Clone)]
pub struct Chunk {
    /// Written bytes, then free room.
    buffer: Vec<u8>,
    length: usize,
    sums: Sums,
    last_bucket: Timestamp,
    days: ChunkDays,
    /// The sums of the lines before the day that is being written.
    before_day: Sums,
}

impl Chunk {
    /// Creates an empty chunk.
    #[expect(clippy::new_without_default, reason = "a chunk takes much memory: it is made by name")]
    pub fn new() -> Self {
        Self { buffer: vec![0; CHUNK_SIZE + HEADROOM], ..Self::without_memory() }
    }

    /// Creates a chunk without memory, to replace one that is moved.
    pub(crate) fn without_memory() -> Self {
        Self {
            buffer: Vec::new(),
            length: 0,
            sums: Sums::default(),
            last_bucket: Timestamp::MIN,
            days: ChunkDays::new(),
            before_day: Sums::default(),
        }
    }

    /// Removes the lines and keeps the memory.
    pub fn clear(&mut self) {
        self.length = 0;
        self.sums = Sums::default();
        self.last_bucket = Timestamp::MIN;
        self.days.clear();
        self.before_day = Sums::default();
    }

    /// Sums no models of its days.
    pub(crate) const fn skip_models(&mut self) {
        self.days.skip_models();
    }

    /// Ends the lines: the sums of their last day are complete.
    ///
    /// # Errors
    /// When a sum leaves its 127 bits.
    pub(crate) fn end(&mut self) -> Result<(), TotalOverflow> {
        if self.sums.rows > self.before_day.rows {
            let of_day = self.sums.figures().minus(self.before_day.figures())?;
            self.days.end_day(days::day(self.last_bucket), of_day);
            self.before_day = self.sums;
        }
        Ok(())
    }

    /// Returns the sums of the lines' days.
    pub(crate) const fn days(&self) -> &ChunkDays {
        &self.days
    }

    /// Adds the first line of a file.
    pub fn write_header(&mut self) {
        let mut line = self.line();
        line.bytes(HEADER);
        self.length += line.length;
    }

    /// Reports whether the chunk is large enough to be sent on.
    pub const fn is_full(&self) -> bool {
        self.length >= CHUNK_SIZE
    }

    /// Returns the lines.
    pub fn bytes(&self) -> &[u8] {
        &self.buffer[..self.length]
    }

    /// Returns the sums of the lines.
    pub const fn sums(&self) -> &Sums {
        &self.sums
    }

    /// Returns the bucket of the last line.
    pub const fn last_bucket(&self) -> Timestamp {
        self.last_bucket
    }

    #[inline]
    fn line(&mut self) -> Line<'_> {
        // Only a piece of very many rows exceeds the headroom.
        if self.buffer.len() - self.length < MAX_LINE_LENGTH {
            self.buffer.resize(self.length + MAX_LINE_LENGTH, 0);
        }
        Line { buffer: &mut self.buffer[self.length..], length: 0 }
    }
}

impl fmt::Debug for Chunk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chunk").field("length", &self.length).field("sums", &self.sums).finish_non_exhaustive()
    }
}

/// Writes one organization's rows as lines.
#[derive(Debug)]
pub struct CsvWriter {
    organization: String,
    /// The bucket of the last row. Its lines begin with the prefix `2024-01-01T00:00:00Z,<organization>,`.
    bucket: Option<(i64, Timestamp)>,
    prefix: [u8; MAX_PREFIX_LENGTH],
    prefix_length: usize,
}

impl CsvWriter {
    /// Creates a writer of the rows of `organization`.
    pub fn new(organization: OrgId) -> Self {
        let organization = organization.to_string();
        Self { organization, bucket: None, prefix: [0; MAX_PREFIX_LENGTH], prefix_length: 0 }
    }

    /// Adds a row to `chunk`.
    ///
    /// # Errors
    /// When the chunk's sums overflow, or the bucket cannot be written. The chunk must not be used after that.
    #[inline]
    pub fn write(&mut self, row: &Row<'_>, chunk: &mut Chunk) -> Result<(), CsvError> {
        let bucket = match self.bucket {
            Some((known, bucket)) if known == row.bucket_start => bucket,
            _ => self.begin(row.bucket_start, chunk)?,
        };
        chunk.sums.add(&Sums { rows: 1, measures: row.measures })?;
        chunk.days.add(row.model_id, row.measures.map(|count| count, |cost| cost.rounded))?;
        chunk.last_bucket = bucket;
        let (counts, cost) = row.measures.into_parts();
        let mut line = chunk.line();
        line.padded(&self.prefix, self.prefix_length);
        if let Some(model) = row.model_id {
            line.uuid(model);
        }
        for count in counts {
            line.byte(b',');
            line.integer(count);
        }
        line.byte(b',');
        line.decimal(cost.rounded);
        line.byte(b'\n');
        chunk.length += line.length;
        Ok(())
    }

    /// Writes the prefix of a bucket's lines, and ends the day before, if it is another.
    #[cold]
    fn begin(&mut self, bucket_start: i64, chunk: &mut Chunk) -> Result<Timestamp, CsvError> {
        let since_1970 = bucket_start.checked_add(POSTGRES_EPOCH);
        let bucket = since_1970.and_then(|instant| Timestamp::from_microsecond(instant).ok());
        let bucket = bucket.ok_or(CsvError::Instant(bucket_start))?;
        let mut rest = &mut self.prefix[..];
        // A prefix that does not fit has a bucket that cannot be written.
        write!(rest, "{bucket},{},", self.organization).map_err(|_| CsvError::Instant(bucket_start))?;
        self.prefix_length = MAX_PREFIX_LENGTH - rest.len();
        self.bucket = Some((bucket_start, bucket));
        if days::day(bucket) == days::day(chunk.last_bucket) {
            chunk.days.begin_bucket();
        } else {
            chunk.end()?;
        }
        Ok(bucket)
    }
}

/// A line that is being written, in a buffer that has room for the longest.
struct Line<'a> {
    buffer: &'a mut [u8],
    length: usize,
}

/// `00` to `99`.
const DECIMAL: [[u8; 2]; 100] = {
    let mut table = [[0; 2]; 100];
    let mut n = 0;
    while n < 100 {
        table[n as usize] = [b'0' + n / 10, b'0' + n % 10];
        n += 1;
    }
    table
};

/// `00` to `ff`.
const HEXADECIMAL: [[u8; 2]; 256] = {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut table = [[0; 2]; 256];
    let mut n = 0;
    while n < 256 {
        table[n] = [DIGITS[n >> 4], DIGITS[n & 15]];
        n += 1;
    }
    table
};

impl Line<'_> {
    #[inline]
    fn byte(&mut self, byte: u8) {
        self.buffer[self.length] = byte;
        self.length += 1;
    }

    #[inline]
    fn bytes(&mut self, bytes: &[u8]) {
        self.buffer[self.length..][..bytes.len()].copy_from_slice(bytes);
        self.length += bytes.len();
    }

    /// Writes the first `length` of some bytes. All are copied, since a copy of fixed size is a few instructions.
    #[inline]
    fn padded<const N: usize>(&mut self, bytes: &[u8; N], length: usize) {
        self.buffer[self.length..][..N].copy_from_slice(bytes);
        self.length += length;
    }

    #[inline]
    fn uuid(&mut self, id: &[u8; 16]) {
        let mut text = [b'-'; 36];
        let mut at = 0;
        for (index, byte) in id.iter().enumerate() {
            if matches!(index, 4 | 6 | 8 | 10) {
                at += 1;
            }
            text[at..at + 2].copy_from_slice(&HEXADECIMAL[usize::from(*byte)]);
            at += 2;
        }
        self.padded(&text, 36);
    }

    #[inline]
    fn integer(&mut self, value: i128) {
        let mut buffer = itoa::Buffer::new();
        match i64::try_from(value) {
            Ok(value) => self.bytes(buffer.format(value).as_bytes()),
            Err(_) => self.bytes(buffer.format(value).as_bytes()),
        }
    }

    /// Writes ten-thousandths with exactly four decimals. There is no negative zero.
    #[inline]
    fn decimal(&mut self, value: i128) {
        if value < 0 {
            self.byte(b'-');
        }
        let value = value.unsigned_abs();
        let mut buffer = itoa::Buffer::new();
        let decimals = match u64::try_from(value) {
            Ok(value) => {
                self.bytes(buffer.format(value / 10_000).as_bytes());
                value % 10_000
            }
            Err(_) => {
                self.bytes(buffer.format(value / TEN_THOUSAND.unsigned_abs()).as_bytes());
                (value % TEN_THOUSAND.unsigned_abs()) as u64
            }
        } as usize;
        self.byte(b'.');
        self.padded(&DECIMAL[decimals / 100], 2);
        self.padded(&DECIMAL[decimals % 100], 2);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORG: &str = "123e4567-e89b-12d3-a456-426614174000";
    const MODEL: [u8; 16] = 0x550e_8400_e29b_41d4_a716_4466_5544_0000_u128.to_be_bytes();
    /// 2024-01-01T00:00:00Z.
    const BUCKET: i64 = 1_704_067_200_000_000 - POSTGRES_EPOCH;
    const DAY: i64 = 86_400_000_000;

    fn row(bucket_start: i64, model_id: Option<&[u8; 16]>, counts: [i128; 3], cost: i128) -> Row<'_> {
        let cost = Cost { rounded: cost, remainder: 0 };
        Row { bucket_start, model_id, measures: Measures::new(counts, cost) }
    }

    fn write(rows: &[Row<'_>]) -> Result<Chunk, CsvError> {
        let mut writer = CsvWriter::new(ORG.parse().unwrap());
        let mut chunk = Chunk::new();
        rows.iter().try_for_each(|row| writer.write(row, &mut chunk)).map(|()| chunk)
    }

    #[test]
    fn the_documented_example_comes_out_to_the_byte() {
        let rows = [
            row(BUCKET, Some(&MODEL), [1000, 100_000, 5], 105_000),
            row(BUCKET + DAY, Some(&MODEL), [1100, 110_000, 6], 115_500),
            row(BUCKET + DAY, None, [0, -1, 1 << 64], -32_500),
        ];
        let chunk = write(&rows).unwrap();
        assert_eq!(
            std::str::from_utf8(chunk.bytes()).unwrap(),
            "2024-01-01T00:00:00Z,123e4567-e89b-12d3-a456-426614174000,550e8400-e29b-41d4-a716-446655440000,1000,100000,5,10.5000\n\
             2024-01-02T00:00:00Z,123e4567-e89b-12d3-a456-426614174000,550e8400-e29b-41d4-a716-446655440000,1100,110000,6,11.5500\n\
             2024-01-02T00:00:00Z,123e4567-e89b-12d3-a456-426614174000,,0,-1,18446744073709551616,-3.2500\n"
        );
        assert_eq!((chunk.sums().rows, chunk.sums().measures.cost_total.rounded), (3, 188_000));
        assert_eq!(chunk.last_bucket(), "2024-01-02T00:00:00Z".parse().unwrap());
    }

    #[test]
    fn costs_have_four_decimals() {
        for (cost, text) in [
            (0, "0.0000"),
            (1, "0.0001"),
            (-1, "-0.0001"),
            (9999, "0.9999"),
            (-10_000, "-1.0000"),
            (99_999_999_999_999, "9999999999.9999"),
            (i128::from(u64::MAX) + 1, "1844674407370955.1616"),
            (i128::MIN, "-17014118346046923173168730371588410.5728"),
        ] {
            let chunk = write(&[row(BUCKET, None, [0; 3], cost)]).unwrap();
            let line = std::str::from_utf8(chunk.bytes()).unwrap();
            assert_eq!(line.trim_end().rsplit(',').next(), Some(text));
        }
    }

    #[test]
    fn the_longest_line_there_is_fits() {
        let microsecond = |second: i64| second * 1_000_000 + 999_999;
        let last = microsecond(Timestamp::MAX.as_second() - 1);
        let first = microsecond(Timestamp::MIN.as_second());
        for bucket in [last, first] {
            let longest = row(bucket - POSTGRES_EPOCH, Some(&MODEL), [i128::MIN; 3], i128::MIN);
            let chunk = write(&[longest]).unwrap();
            let line = std::str::from_utf8(chunk.bytes()).unwrap();
            assert!(line.contains(ORG) && line.ends_with(".5728\n"));
        }
        for bucket in [i64::MAX, i64::MIN] {
            assert_eq!(write(&[row(bucket, None, [0; 3], 0)]).unwrap_err(), CsvError::Instant(bucket));
        }
    }

    #[test]
    fn a_chunk_takes_more_than_its_size() {
        let rows = vec![row(BUCKET, Some(&MODEL), [i128::MIN / 100_000; 3], 0); 3000];
        let chunk = write(&rows).unwrap();
        assert!(chunk.is_full() && chunk.bytes().len() > CHUNK_SIZE + HEADROOM);
        assert_eq!(chunk.bytes().split(|byte| *byte == b'\n').count(), 3001);
    }

    #[test]
    fn the_rounding_difference_has_no_more_decimals_than_it_needs() {
        for (remainder, text) in [
            (0, "0"),
            (-5 * 10_i128.pow(23), "-0.00005"),
            (10_i128.pow(28), "1"),
            (3, "0.0000000000000000000000000003"),
        ] {
            let sums = Sums { rows: 1, measures: Measures::new([0; 3], Cost { rounded: 7, remainder }) };
            assert_eq!(sums.rounding_difference().unwrap().to_string(), text);
        }
        let sums = Sums { rows: 1, measures: Measures::new([0; 3], Cost { rounded: 0, remainder: i128::MAX }) };
        assert_eq!(sums.rounding_difference(), Err(TotalOverflow { column: "cost_total" }));
    }

    #[test]
    fn a_sum_that_cannot_be_exact_is_an_error() {
        let rows = [row(BUCKET, None, [0, i128::MAX, 0], 0), row(BUCKET, None, [0, 1, 0], 0)];
        assert_eq!(write(&rows).unwrap_err(), CsvError::Overflow(TotalOverflow { column: "tokens_total" }));
    }
}

//! The lines of an export: rows as the database sends them in, bytes and sums out. No I/O, and no allocation per row.

use std::{
    fmt,
    io::{self, Write as _},
};

use jiff::Timestamp;
use rust_decimal::Decimal;

use copy::{Row, TEN_THOUSAND};
use domain::{
    OrgId, Totals,
    usage::{COST_SCALE, TotalOverflow},
};

/// The first line.
pub const HEADER: &[u8] = b"bucket_start,organization_id,model_id,request_count,tokens_total,error_count,cost_total\n";

/// The size at which a [`Chunk`] is full. It stays in a core's cache on its way from here to the checksum and the upload.
pub const CHUNK: usize = 256 << 10;

/// More than the longest line has: an instant of 33 bytes, two UUIDs of 36, four numbers of at most 41, a decimal point,
/// and seven separators.
const LONGEST_LINE: usize = 320;
/// More than an instant, a UUID and their two commas.
const LONGEST_PREFIX: usize = 80;

/// Room for what a full chunk may still get: the lines of one piece of the stream. The driver reads 8 KiB at once, of
/// which the lines are half as much again.
const OVERHANG: usize = 16 << 10;

/// The first instant of PostgreSQL's clock, in microseconds since 1970.
const POSTGRES_EPOCH: i64 = 946_684_800_000_000;

/// Why a row could not be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CsvError {
    /// A column's sum cannot be kept exactly.
    #[error(transparent)]
    Overflow(#[from] TotalOverflow),
    /// An instant that no calendar has.
    #[error("bucket_start lies {0} µs from 2000, beyond the years that can be written")]
    Instant(i64),
}

/// Exact sums of what was written. Counts have 127 bits: 64-bit counts may themselves add up to more than 64.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sums {
    /// Lines, without the header.
    pub rows: u64,
    /// Requests, tokens and errors.
    pub counts: [i128; 3],
    /// Cost in ten-thousandths of a dollar.
    pub cost_total: i128,
}

impl Sums {
    /// Adds others to these.
    ///
    /// # Errors
    /// When a sum leaves its 127 bits.
    #[inline]
    pub fn add(&mut self, rows: u64, counts: [i128; 3], cost_total: i128) -> Result<(), TotalOverflow> {
        const COLUMNS: [&str; 3] = ["request_count", "tokens_total", "error_count"];
        for ((sum, count), column) in self.counts.iter_mut().zip(counts).zip(COLUMNS) {
            *sum = sum.checked_add(count).ok_or(TotalOverflow { column })?;
        }
        self.cost_total = self.cost_total.checked_add(cost_total).ok_or(TotalOverflow { column: "cost_total" })?;
        self.rows += rows;
        Ok(())
    }

    /// The sums as the totals of a file.
    ///
    /// # Errors
    /// When the cost has more than 28 digits.
    pub fn totals(&self) -> Result<Totals, TotalOverflow> {
        let [request_count, tokens_total, error_count] = self.counts;
        let cost_total = Decimal::try_from_i128_with_scale(self.cost_total, COST_SCALE)
            .map_err(|_| TotalOverflow { column: "cost_total" })?;
        Ok(Totals { request_count, tokens_total, error_count, cost_total })
    }
}

/// Consecutive lines, and the sums of the values in them.
#[derive(Clone)]
pub struct Chunk {
    /// Bytes that are written, then room.
    buffer: Vec<u8>,
    length: usize,
    sums: Sums,
    last_bucket: Timestamp,
}

impl Chunk {
    /// An empty chunk, in memory that is had once and reused.
    pub fn new() -> Self {
        let buffer = vec![0; CHUNK + OVERHANG];
        Self { buffer, length: 0, sums: Sums::default(), last_bucket: Timestamp::MIN }
    }

    /// Forgets the lines, and keeps the memory.
    pub fn clear(&mut self) {
        (self.length, self.sums, self.last_bucket) = (0, Sums::default(), Timestamp::MIN);
    }

    /// Whether it is time to send it on.
    pub const fn is_full(&self) -> bool {
        self.length >= CHUNK
    }

    /// The lines.
    pub fn bytes(&self) -> &[u8] {
        &self.buffer[..self.length]
    }

    /// The sums of the lines.
    pub const fn sums(&self) -> &Sums {
        &self.sums
    }

    /// The bucket of the last line.
    pub const fn last_bucket(&self) -> Timestamp {
        self.last_bucket
    }

    #[inline]
    fn line(&mut self) -> Line<'_> {
        // Only a piece of very many rows comes past the room of a chunk.
        if self.buffer.len() - self.length < LONGEST_LINE {
            self.buffer.resize(self.length + LONGEST_LINE, 0);
        }
        Line { room: &mut self.buffer[self.length..], length: 0 }
    }
}

impl Default for Chunk {
    fn default() -> Self {
        Self::new()
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
    /// The bucket of the last row, and what its lines begin with: `2024-01-01T00:00:00Z,<organization>,`.
    bucket: Option<(i64, Timestamp)>,
    prefix: [u8; LONGEST_PREFIX],
    prefix_length: usize,
}

impl CsvWriter {
    /// A writer of the rows of `organization`.
    pub fn new(organization: OrgId) -> Self {
        let organization = organization.to_string();
        Self { organization, bucket: None, prefix: [0; LONGEST_PREFIX], prefix_length: 0 }
    }

    /// Adds a row to `chunk`.
    ///
    /// # Errors
    /// When the chunk's sums overflow, or the bucket cannot be written. The chunk is of no use after that.
    #[inline]
    pub fn write(&mut self, row: &Row<'_>, chunk: &mut Chunk) -> Result<(), CsvError> {
        let bucket = match self.bucket {
            Some((known, bucket)) if known == row.bucket_start => bucket,
            _ => self.begin(row.bucket_start)?,
        };
        chunk.sums.add(1, row.counts, row.cost_total)?;
        chunk.last_bucket = bucket;
        let mut line = chunk.line();
        line.padded(&self.prefix, self.prefix_length);
        if let Some(model) = row.model_id {
            line.uuid(model);
        }
        for count in row.counts {
            line.byte(b',');
            line.integer(count);
        }
        line.byte(b',');
        line.decimal(row.cost_total);
        line.byte(b'\n');
        chunk.length += line.length;
        Ok(())
    }

    /// Makes the prefix of a bucket's lines.
    #[cold]
    fn begin(&mut self, bucket_start: i64) -> Result<Timestamp, CsvError> {
        let since_1970 = bucket_start.checked_add(POSTGRES_EPOCH);
        let bucket = since_1970.and_then(|instant| Timestamp::from_microsecond(instant).ok());
        let bucket = bucket.ok_or(CsvError::Instant(bucket_start))?;
        let mut room = io::Cursor::new(&mut self.prefix[..]);
        // The room is enough for every instant there is.
        let _ = write!(room, "{bucket},{},", self.organization);
        self.prefix_length = usize::try_from(room.position()).unwrap_or_default();
        self.bucket = Some((bucket_start, bucket));
        Ok(bucket)
    }
}

/// A line in the making, in room for the longest there is.
struct Line<'a> {
    room: &'a mut [u8],
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
        self.room[self.length] = byte;
        self.length += 1;
    }

    #[inline]
    fn bytes(&mut self, bytes: &[u8]) {
        self.room[self.length..][..bytes.len()].copy_from_slice(bytes);
        self.length += bytes.len();
    }

    /// The first `length` of some bytes. All of them are copied: a copy of fixed size is a few instructions.
    #[inline]
    fn padded<const N: usize>(&mut self, bytes: &[u8; N], length: usize) {
        self.room[self.length..][..N].copy_from_slice(bytes);
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

    /// Ten-thousandths, with exactly four decimals. There is no negative zero.
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

    fn row(bucket_start: i64, model_id: Option<&[u8; 16]>, counts: [i128; 3], cost_total: i128) -> Row<'_> {
        Row { bucket_start, model_id, counts, cost_total }
    }

    fn write(rows: &[Row<'_>]) -> Result<Chunk, CsvError> {
        let (mut writer, mut chunk) = (CsvWriter::new(ORG.parse().unwrap()), Chunk::new());
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
        assert_eq!((chunk.sums().rows, chunk.sums().cost_total), (3, 188_000));
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
        let (last, first) = (microsecond(Timestamp::MAX.as_second() - 1), microsecond(Timestamp::MIN.as_second()));
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
        assert!(chunk.is_full() && chunk.bytes().len() > CHUNK + OVERHANG);
        assert_eq!(chunk.bytes().split(|byte| *byte == b'\n').count(), 3001);
    }

    #[test]
    fn a_sum_that_cannot_be_exact_is_an_error() {
        let rows = [row(BUCKET, None, [0, i128::MAX, 0], 0), row(BUCKET, None, [0, 1, 0], 0)];
        assert_eq!(write(&rows).unwrap_err(), CsvError::Overflow(TotalOverflow { column: "tokens_total" }));
    }
}

//! The stream: a header, rows of six fields each, a trailer.

use super::numeric::{NumericError, TEN_THOUSAND, ten_thousandths};

const SIGNATURE: &[u8; 11] = b"PGCOPY\n\xff\r\n\0";
/// The flags that a reader has to know to read on.
const CRITICAL_FLAGS: u32 = 0xFFFF_0000;
/// What stands where a row would have its number of fields.
const TRAILER: i16 = -1;
const FIELDS: i16 = 6;
/// The longest numeric that could be a number that is kept: ten digits, and as many again for zeros that need not be there.
const LONGEST_NUMERIC: usize = 8 + 2 * 20;
/// The extension of the header has no use yet. One longer than this is none.
const LONGEST_EXTENSION: usize = 1 << 10;

/// How a count is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CountType {
    /// As `int8`.
    Int8,
    /// As `numeric`: for columns that hold more than 64 bits.
    Numeric,
}

/// One row, in the stream's own units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row<'a> {
    /// The start of the bucket, in microseconds since 2000-01-01T00:00:00Z.
    pub bucket_start: i64,
    /// The bytes of the model's UUID, or `None` where the row covers all models.
    pub model_id: Option<&'a [u8; 16]>,
    /// Requests, tokens and errors.
    pub counts: [i128; 3],
    /// Cost in ten-thousandths of a dollar.
    pub cost_total: i128,
}

/// Why a stream could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CopyError {
    /// It is not in the format.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// A row holds a value that cannot be stated exactly.
    #[error("column {column} {problem}")]
    Value {
        /// The column.
        column: &'static str,
        /// What is wrong with the value.
        problem: ValueError,
    },
}

/// How a stream breaks the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// It begins with something else.
    #[error("the stream is not PostgreSQL's binary COPY format")]
    Signature,
    /// A flag that changes the format, or an extension of absurd length.
    #[error("the stream's header asks for what this reader does not know")]
    Header,
    /// A row of another number of fields.
    #[error("a row has {0} fields instead of 6")]
    Fields(i16),
    /// A field whose length is not that of its type.
    #[error("column {column} has {length} bytes, which is not its type's length")]
    Length {
        /// The column.
        column: &'static str,
        /// Its length.
        length: i32,
    },
    /// Bytes after the trailer.
    #[error("the stream goes on after its end")]
    Trailing,
    /// No trailer.
    #[error("the stream ends before its end")]
    Truncated,
}

/// What is wrong with a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    /// Nothing where there has to be something.
    #[error("is null")]
    Null,
    /// A count with a fraction.
    #[error("is not a whole number")]
    NotWhole,
    /// A numeric.
    #[error(transparent)]
    Numeric(#[from] NumericError),
}

/// Why a row cannot be had now.
enum Stop {
    /// Its end is not there yet.
    Incomplete,
    Error(CopyError),
}

impl<E: Into<CopyError>> From<E> for Stop {
    fn from(error: E) -> Self {
        Self::Error(error.into())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Header,
    Rows,
    Ended,
}

/// Reads one stream, however it is cut into pieces.
#[derive(Debug)]
pub struct Decoder {
    counts: [CountType; 3],
    state: State,
    /// The beginning of what the pieces so far did not complete. A row is never longer than a few hundred bytes.
    rest: Vec<u8>,
}

impl Decoder {
    /// A reader of rows whose counts are sent as these types.
    pub const fn new(counts: [CountType; 3]) -> Self {
        Self { counts, state: State::Header, rest: Vec::new() }
    }

    /// Reads the next piece and gives each row that is complete to `row`.
    ///
    /// # Errors
    /// When the stream cannot be read, or `row` fails. The reader is of no use after that.
    #[inline]
    pub fn read<E: From<CopyError>>(
        &mut self,
        piece: &[u8],
        mut row: impl FnMut(&Row<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        if self.rest.is_empty() {
            // PostgreSQL sends whole rows: this is the way of all of them.
            let read = self.read_whole(piece, &mut row)?;
            self.rest.extend_from_slice(&piece[read..]);
        } else {
            self.rest.extend_from_slice(piece);
            let rest = std::mem::take(&mut self.rest);
            let read = self.read_whole(&rest, &mut row)?;
            self.rest.extend_from_slice(&rest[read..]);
        }
        Ok(())
    }

    /// Ends the stream.
    ///
    /// # Errors
    /// When its trailer is not there.
    pub fn finish(self) -> Result<(), CopyError> {
        if self.state == State::Ended { Ok(()) } else { Err(FormatError::Truncated.into()) }
    }

    /// Reads what is complete in `bytes`, and says how much that is.
    #[inline]
    fn read_whole<E: From<CopyError>>(
        &mut self,
        bytes: &[u8],
        row: &mut impl FnMut(&Row<'_>) -> Result<(), E>,
    ) -> Result<usize, E> {
        let mut input = Input(bytes);
        loop {
            let before = input.0;
            let stop = match self.state {
                State::Rows => match input.row(self.counts) {
                    Ok(Some(found)) => {
                        row(&found)?;
                        continue;
                    }
                    Ok(None) => {
                        self.state = State::Ended;
                        continue;
                    }
                    Err(stop) => stop,
                },
                State::Header => match input.header() {
                    Ok(()) => {
                        self.state = State::Rows;
                        continue;
                    }
                    Err(stop) => stop,
                },
                State::Ended if before.is_empty() => Stop::Incomplete,
                State::Ended => FormatError::Trailing.into(),
            };
            return match stop {
                Stop::Incomplete => Ok(bytes.len() - before.len()),
                Stop::Error(error) => Err(error.into()),
            };
        }
    }
}

/// What is left to read.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn header(&mut self) -> Result<(), Stop> {
        let start = self.0.len().min(SIGNATURE.len());
        if self.0[..start] != SIGNATURE[..start] {
            return Err(FormatError::Signature.into());
        }
        self.array::<11>()?;
        let flags = u32::from_be_bytes(*self.array()?);
        let extension = usize::try_from(i32::from_be_bytes(*self.array()?)).unwrap_or(usize::MAX);
        if flags & CRITICAL_FLAGS != 0 || extension > LONGEST_EXTENSION {
            return Err(FormatError::Header.into());
        }
        self.slice(extension)?;
        Ok(())
    }

    /// The next row, or `None` at the trailer.
    #[inline]
    fn row(&mut self, [requests, tokens, errors]: [CountType; 3]) -> Result<Option<Row<'a>>, Stop> {
        match i16::from_be_bytes(*self.array()?) {
            FIELDS => {}
            TRAILER => return Ok(None),
            other => return Err(FormatError::Fields(other).into()),
        }
        Ok(Some(Row {
            bucket_start: i64::from_be_bytes(*self.required("bucket_start")?),
            model_id: self.field("model_id")?,
            counts: [
                self.count("request_count", requests)?,
                self.count("tokens_total", tokens)?,
                self.count("error_count", errors)?,
            ],
            cost_total: self.numeric("cost_total")?,
        }))
    }

    #[inline]
    fn count(&mut self, column: &'static str, kind: CountType) -> Result<i128, Stop> {
        match kind {
            CountType::Int8 => Ok(i64::from_be_bytes(*self.required(column)?).into()),
            CountType::Numeric => {
                let value = self.numeric(column)?;
                match value % TEN_THOUSAND {
                    0 => Ok(value / TEN_THOUSAND),
                    _ => Err(CopyError::Value { column, problem: ValueError::NotWhole }.into()),
                }
            }
        }
    }

    #[inline]
    fn numeric(&mut self, column: &'static str) -> Result<i128, Stop> {
        let length = i32::from_be_bytes(*self.array()?);
        let bytes = match usize::try_from(length) {
            Ok(known) if known <= LONGEST_NUMERIC => self.slice(known)?,
            Ok(_) => return Err(value(column, NumericError::TooLarge)),
            Err(_) if length == -1 => return Err(CopyError::Value { column, problem: ValueError::Null }.into()),
            Err(_) => return Err(FormatError::Length { column, length }.into()),
        };
        ten_thousandths(bytes).map_err(|error| match error {
            NumericError::Malformed => FormatError::Length { column, length }.into(),
            error => value(column, error),
        })
    }

    /// A field of `N` bytes that is not null.
    #[inline]
    fn required<const N: usize>(&mut self, column: &'static str) -> Result<&'a [u8; N], Stop> {
        match self.field(column)? {
            Some(bytes) => Ok(bytes),
            None => Err(CopyError::Value { column, problem: ValueError::Null }.into()),
        }
    }

    /// A field of `N` bytes, or `None` if it is null.
    #[inline]
    fn field<const N: usize>(&mut self, column: &'static str) -> Result<Option<&'a [u8; N]>, Stop> {
        match i32::from_be_bytes(*self.array()?) {
            length if usize::try_from(length) == Ok(N) => Ok(Some(self.array()?)),
            -1 => Ok(None),
            length => Err(FormatError::Length { column, length }.into()),
        }
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Result<&'a [u8; N], Stop> {
        let (array, rest) = self.0.split_first_chunk().ok_or(Stop::Incomplete)?;
        self.0 = rest;
        Ok(array)
    }

    #[inline]
    fn slice(&mut self, length: usize) -> Result<&'a [u8], Stop> {
        let (slice, rest) = self.0.split_at_checked(length).ok_or(Stop::Incomplete)?;
        self.0 = rest;
        Ok(slice)
    }
}

fn value(column: &'static str, error: NumericError) -> Stop {
    CopyError::Value { column, problem: error.into() }.into()
}

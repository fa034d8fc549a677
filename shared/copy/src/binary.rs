//! The stream: a header, rows of fields, a trailer.

use domain::measures::{COUNTS, Measures, NAMES};

use super::numeric::{self, Cost, NumericError, TEN_THOUSAND};

const SIGNATURE: &[u8; 11] = b"PGCOPY\n\xff\r\n\0";
/// The flags that change the format of what follows.
const CRITICAL_FLAGS: u32 = 0xFFFF_0000;
/// The end of the stream, in place of a row's number of fields.
const TRAILER: i16 = -1;
/// The bucket, the model and the measures.
const FIELDS: i16 = 2 + COUNTS as i16 + 1;
/// The maximum size of a numeric in bytes: sixteen digits can be kept, and a few more may be zeros.
const MAX_NUMERIC_LENGTH: usize = 8 + 2 * 20;
/// The maximum size in bytes of the header's extension, which no version of the format uses yet.
const MAX_EXTENSION_LENGTH: usize = 1 << 10;

/// The type in which a count is sent.
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
    /// The measures.
    pub measures: Measures<i128, Cost>,
}

/// The reason that a stream cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CopyError {
    /// The stream is not in the format.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// A row holds a value that cannot be stated exactly.
    #[error("column {column} {problem}")]
    Value {
        /// The column.
        column: &'static str,
        /// The problem with the value.
        problem: ValueError,
    },
}

/// A violation of the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// Another signature.
    #[error("the stream is not PostgreSQL's binary COPY format")]
    Signature,
    /// A flag that changes the format, or an extension of absurd length.
    #[error("the stream's header requires a feature that this reader does not have")]
    Header,
    /// A row of another number of fields.
    #[error("a row has {0} fields instead of {FIELDS}")]
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
    #[error("the stream continues after its trailer")]
    Trailing,
    /// No trailer.
    #[error("the stream ends without its trailer")]
    Truncated,
}

/// The problem with a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    /// Null in a column that needs a value.
    #[error("is null")]
    Null,
    /// A count with a fraction.
    #[error("is not a whole number")]
    NotWhole,
    /// A numeric.
    #[error(transparent)]
    Numeric(#[from] NumericError),
}

/// The reason that there is no row now.
enum Stop {
    /// The row's end has not arrived yet.
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

/// Reads one stream, which may be cut into pieces anywhere.
#[derive(Debug)]
pub struct Decoder {
    counts: [CountType; COUNTS],
    state: State,
    /// The beginning of a row that the pieces so far did not complete: at most a few hundred bytes.
    rest: Vec<u8>,
}

impl Decoder {
    /// Creates a reader of rows whose counts are sent as these types.
    pub const fn new(counts: [CountType; COUNTS]) -> Self {
        Self { counts, state: State::Header, rest: Vec::new() }
    }

    /// Reads the next piece and passes each complete row to `row`.
    ///
    /// # Errors
    /// When the stream cannot be read, or `row` fails. The reader must not be used after that.
    #[inline]
    pub fn read<E: From<CopyError>>(
        &mut self,
        piece: &[u8],
        mut row: impl FnMut(&Row<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        if self.rest.is_empty() {
            // PostgreSQL sends whole rows, so this is the usual case.
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
    /// When the trailer is missing.
    pub fn finish(self) -> Result<(), CopyError> {
        if self.state == State::Ended { Ok(()) } else { Err(FormatError::Truncated.into()) }
    }

    /// Reads all complete rows in `bytes` and returns their size.
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

/// The bytes that are left to read.
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
        if flags & CRITICAL_FLAGS != 0 || extension > MAX_EXTENSION_LENGTH {
            return Err(FormatError::Header.into());
        }
        self.slice(extension)?;
        Ok(())
    }

    /// Reads the next row, or `None` at the trailer.
    #[inline]
    fn row(&mut self, [requests, tokens, errors]: [CountType; COUNTS]) -> Result<Option<Row<'a>>, Stop> {
        match i16::from_be_bytes(*self.array()?) {
            FIELDS => {}
            TRAILER => return Ok(None),
            other => return Err(FormatError::Fields(other).into()),
        }
        Ok(Some(Row {
            bucket_start: i64::from_be_bytes(*self.required("bucket_start")?),
            model_id: self.field("model_id")?,
            measures: Measures {
                request_count: self.count(NAMES.request_count, requests)?,
                tokens_total: self.count(NAMES.tokens_total, tokens)?,
                error_count: self.count(NAMES.error_count, errors)?,
                cost_total: self.numeric(NAMES.cost_total)?,
            },
        }))
    }

    #[inline]
    fn count(&mut self, column: &'static str, kind: CountType) -> Result<i128, Stop> {
        match kind {
            CountType::Int8 => Ok(i64::from_be_bytes(*self.required(column)?).into()),
            CountType::Numeric => {
                let Cost { rounded, remainder } = self.numeric(column)?;
                if remainder != 0 || rounded % TEN_THOUSAND != 0 {
                    return Err(CopyError::Value { column, problem: ValueError::NotWhole }.into());
                }
                Ok(rounded / TEN_THOUSAND)
            }
        }
    }

    #[inline]
    fn numeric(&mut self, column: &'static str) -> Result<Cost, Stop> {
        let length = i32::from_be_bytes(*self.array()?);
        let bytes = match usize::try_from(length) {
            Ok(known) if known <= MAX_NUMERIC_LENGTH => self.slice(known)?,
            Ok(_) => return Err(value(column, NumericError::TooLarge)),
            Err(_) if length == -1 => return Err(CopyError::Value { column, problem: ValueError::Null }.into()),
            Err(_) => return Err(FormatError::Length { column, length }.into()),
        };
        numeric::cost(bytes).map_err(|error| match error {
            NumericError::Malformed => FormatError::Length { column, length }.into(),
            error => value(column, error),
        })
    }

    /// Reads a field of `N` bytes that is not null.
    #[inline]
    fn required<const N: usize>(&mut self, column: &'static str) -> Result<&'a [u8; N], Stop> {
        match self.field(column)? {
            Some(bytes) => Ok(bytes),
            None => Err(CopyError::Value { column, problem: ValueError::Null }.into()),
        }
    }

    /// Reads a field of `N` bytes, or `None` if it is null.
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

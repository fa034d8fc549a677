//! Usage rows as `COPY … TO STDOUT (FORMAT binary)` sends them. Pure: it does no I/O.
//!
//! Every length, type and value is checked before it counts. What is not exactly as the format's documentation says, or
//! cannot be stated exactly in a file, is an error that names the place; never a panic, never a wrong digit.

mod binary;
mod numeric;

pub use binary::{CopyError, CountType, Decoder, FormatError, Row, ValueError};
pub use numeric::{NumericError, TEN_THOUSAND, ten_thousandths};

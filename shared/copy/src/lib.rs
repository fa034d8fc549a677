//! Usage rows as `COPY … TO STDOUT (FORMAT binary)` sends them. Pure: it does no I/O.
//!
//! Every length, type and value is checked before it is used. Whatever differs from the format's documentation, or has
//! no exact value, is an error that names the place; never a panic, never a wrong digit.

mod binary;
#[cfg(feature = "naive")]
pub mod naive;
mod numeric;

pub use binary::{CopyError, CountType, Decoder, FormatError, Row, ValueError};
pub use numeric::{Cost, NumericError, REMAINDER_SCALE, TEN_THOUSAND, cost};

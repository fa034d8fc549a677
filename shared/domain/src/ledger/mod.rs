//! What an organization's books say of a file: the amounts that were compared with it, and the months for which it was
//! booked. Nothing here is ever changed or deleted.

mod booked;
pub mod typed;

use std::{fmt, str::FromStr};

use jiff::Timestamp;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

pub use self::booked::{BookedMonth, Restated, Restatement};
use super::{
    JobId, Subject,
    measures::COST_SCALE,
    reconciliation::{Difference, Percent, Tolerance},
    request::{Errors, FieldError},
};

/// Maximum number of digits of an amount before the point.
const MAX_WHOLE_DIGITS: usize = 15;
/// Maximum length of a reference, in characters.
const MAX_REFERENCE_CHARS: usize = 100;
/// The currency of all costs. There are no rates of exchange here.
pub const CURRENCY: &str = "USD";

/// An amount of the books in dollars, with at most four decimals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Amount(Decimal);

/// Text that is not an amount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "must be an amount with a decimal point and without other separators, of at most {MAX_WHOLE_DIGITS} digits before \
     and {COST_SCALE} after the point, such as 523.37"
)]
pub struct InvalidAmount;

impl FromStr for Amount {
    type Err = InvalidAmount;

    fn from_str(text: &str) -> Result<Self, InvalidAmount> {
        let unsigned = text.strip_prefix('-').unwrap_or(text);
        let (whole, decimals) = unsigned.split_once('.').map_or((unsigned, None), |(whole, rest)| (whole, Some(rest)));
        let digits =
            |part: &str, max: usize| (1..=max).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit());
        if !digits(whole, MAX_WHOLE_DIGITS) || !decimals.is_none_or(|part| digits(part, COST_SCALE as usize)) {
            return Err(InvalidAmount);
        }
        let amount = Decimal::from_str_exact(text).map_err(|_| InvalidAmount)?;
        // There is no negative zero in money.
        Ok(Self(if amount.is_zero() { amount.abs() } else { amount }))
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl TryFrom<String> for Amount {
    type Error = InvalidAmount;

    fn try_from(text: String) -> Result<Self, InvalidAmount> {
        text.parse()
    }
}

impl From<Amount> for String {
    fn from(amount: Amount) -> Self {
        amount.to_string()
    }
}

/// A name of an entry in the books, such as `JE-1017`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Reference(String);

/// Text that is not a reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be 1 to {MAX_REFERENCE_CHARS} characters without line breaks, such as JE-1017")]
pub struct InvalidReference;

impl FromStr for Reference {
    type Err = InvalidReference;

    fn from_str(text: &str) -> Result<Self, InvalidReference> {
        let length = text.chars().count();
        let is_blank = text.trim().is_empty();
        if is_blank || length > MAX_REFERENCE_CHARS || text.chars().any(char::is_control) {
            return Err(InvalidReference);
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for Reference {
    type Error = InvalidReference;

    fn try_from(text: String) -> Result<Self, InvalidReference> {
        text.parse()
    }
}

impl From<Reference> for String {
    fn from(reference: Reference) -> Self {
        reference.0
    }
}

/// An amount of the books that is to be compared with a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerEntry {
    /// The amount.
    pub amount: Amount,
    /// Its entry in the books.
    pub reference: Reference,
    /// The largest accepted difference, of the amount.
    pub tolerance: Tolerance,
}

impl LedgerEntry {
    /// Reads an entry from a JSON body. An entry that names no tolerance has `default`.
    ///
    /// # Errors
    /// All mistakes at once.
    pub fn from_json(body: &Value, default: Tolerance) -> Result<Self, Vec<FieldError>> {
        let mut errors = Errors::default();
        let known = ["amount", "currency", "reference", "tolerancePercent"];
        let Some(fields) = errors.object(body, "", &known) else { return Err(errors.0) };
        let amount = read_text(fields, "amount", "a string with the amount, such as \"523.37\"", &mut errors);
        read_currency(fields, &mut errors);
        let reference = read_reference(fields, &mut errors);
        let tolerance = read_tolerance(fields, &mut errors).unwrap_or(default);
        match (amount, reference) {
            (Some(amount), Some(reference)) if errors.0.is_empty() => Ok(Self { amount, reference, tolerance }),
            _ => Err(errors.0),
        }
    }

    /// Returns a digest of the entry's meaning: `523.37` and `523.3700` are the same amount.
    pub fn digest(&self) -> String {
        let Self { amount, reference, tolerance } = self;
        let text = format!("comparison.v1 {} {CURRENCY} {tolerance} {reference}", amount.0.normalize());
        hex::encode(Sha256::digest(text))
    }
}

/// A file that is to be booked for a month.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BookingRequest {
    /// The job of the file.
    pub job: JobId,
    /// The entry in the books.
    pub reference: Reference,
}

impl BookingRequest {
    /// Reads a request from a JSON body.
    ///
    /// # Errors
    /// All mistakes at once.
    pub fn from_json(body: &Value) -> Result<Self, Vec<FieldError>> {
        let mut errors = Errors::default();
        let Some(fields) = errors.object(body, "", &["jobId", "reference"]) else { return Err(errors.0) };
        let job = read_text(fields, "jobId", "a string with the job's UUID", &mut errors);
        let reference = read_reference(fields, &mut errors);
        match (job, reference) {
            (Some(job), Some(reference)) if errors.0.is_empty() => Ok(Self { job, reference }),
            _ => Err(errors.0),
        }
    }
}

fn read_text<T: FromStr<Err: fmt::Display>>(
    fields: &Map<String, Value>,
    field: &str,
    expected: &str,
    errors: &mut Errors,
) -> Option<T> {
    let pointer = format!("/{field}");
    match fields.get(field) {
        None => errors.add(&pointer, format!("is required: {expected}")),
        Some(Value::String(text)) => text.parse().map_or_else(|error| errors.add(&pointer, error), Some),
        Some(_) => errors.add(&pointer, format!("must be {expected}")),
    }
}

fn read_reference(fields: &Map<String, Value>, errors: &mut Errors) -> Option<Reference> {
    read_text(fields, "reference", "a string that names the entry in the books, such as \"JE-1017\"", errors)
}

fn read_currency(fields: &Map<String, Value>, errors: &mut Errors) {
    match fields.get("currency") {
        None => errors.add::<()>("/currency", "is required: \"USD\""),
        Some(Value::String(currency)) if currency == CURRENCY => None,
        Some(_) => errors.add("/currency", "must be \"USD\": costs are in US dollars, and nothing is converted"),
    };
}

/// Reads the field `tolerancePercent`; `None` if it is absent or wrong.
pub(super) fn read_tolerance(fields: &Map<String, Value>, errors: &mut Errors) -> Option<Tolerance> {
    match fields.get("tolerancePercent") {
        None => None,
        // The text of a number is the shortest that reads back as it, so 0.1 is 0.1 and no float is calculated with. It
        // may have an exponent.
        Some(Value::Number(percent)) => {
            let percent = percent.to_string();
            let plain = Decimal::from_scientific(&percent).map_or(percent, |percent| percent.to_string());
            plain.parse().map_or_else(|error| errors.add("/tolerancePercent", error), Some)
        }
        Some(_) => errors.add("/tolerancePercent", "must be a number of percent from 0 to 100, such as 0.5"),
    }
}

/// A comparison of a file's cost with an amount of the books.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comparison {
    /// The job of the file.
    pub job: JobId,
    /// The amount that it was compared with.
    pub entry: LedgerEntry,
    /// The sum of the file's costs, with at most four decimals.
    pub cost_total: Decimal,
    /// The time of the comparison.
    pub at: Timestamp,
    /// The person or program that compared.
    pub subject: Subject,
}

impl Comparison {
    /// Returns the file's excess over the amount, in ten-thousandths of a dollar.
    pub fn difference(&self) -> i128 {
        ten_thousandths(self.cost_total) - ten_thousandths(self.entry.amount.0)
    }

    /// Returns the difference in percent of the amount's size, rounded to six decimals, half away from zero; a
    /// difference is never shown as zero. `None` for an amount of zero, which has no percentage.
    pub fn percent(&self) -> Option<Percent> {
        if self.entry.amount.0.is_zero() { None } else { self.exact().percent() }
    }

    /// Reports whether the difference is at most the tolerance, exactly. Of an amount of zero nothing is tolerated.
    pub fn is_within_tolerance(&self) -> bool {
        self.exact().is_within(self.entry.tolerance)
    }

    fn exact(&self) -> Difference {
        Difference::new(ten_thousandths(self.cost_total), ten_thousandths(self.entry.amount.0))
    }
}

/// A version of the file that an organization booked for a month.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Booking {
    /// The number of the version, from 1 on.
    pub version: u32,
    /// The job of the file.
    pub job: JobId,
    /// The entry in the books.
    pub reference: Reference,
    /// The checksum of the file.
    pub checksum: String,
    /// The sum of the file's costs.
    pub cost_total: Decimal,
    /// The time of the booking.
    pub at: Timestamp,
    /// The person or program that booked.
    pub subject: Subject,
}

impl Booking {
    /// Reports whether another version says the same: the same file under the same reference.
    pub fn says_the_same(&self, other: &Self) -> bool {
        (self.job, &self.reference) == (other.job, &other.reference)
    }
}

fn ten_thousandths(mut amount: Decimal) -> i128 {
    amount.rescale(COST_SCALE);
    amount.mantissa()
}

#[cfg(test)]
mod tests;

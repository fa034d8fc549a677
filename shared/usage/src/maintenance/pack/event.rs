//! One raw event of a day, as the server sends it in a binary COPY.

use std::{error::Error, fmt};

use tokio_postgres::{
    binary_copy::BinaryCopyOutRow,
    types::{FromSql, IsNull, ToSql, Type, accepts, private::BytesMut, to_sql_checked},
};
use uuid::Uuid;

/// The decimals of a cost that are kept; the table accepts no more.
pub(super) const COST_SCALE: u32 = 18;
/// Units of 10⁻¹⁸ dollars in a ten-thousandth, and units of 10⁻²⁸ in one of 10⁻¹⁸.
const OF_A_TEN_THOUSANDTH: i128 = 10_i128.pow(COST_SCALE - 4);
const OF_A_UNIT: i128 = 10_i128.pow(copy::REMAINDER_SCALE - COST_SCALE);

/// The columns of an event, in the order of [`TYPES`].
pub(super) const COLUMNS: &str = "ctid, event_id, organization_id, model_id, occurred_at, received_at, input_tokens,
                                  output_tokens, status, cost_usd";
/// The types of the columns.
pub(super) const TYPES: [Type; 10] = [
    Type::TID,
    Type::UUID,
    Type::UUID,
    Type::UUID,
    Type::TIMESTAMPTZ,
    Type::TIMESTAMPTZ,
    Type::INT8,
    Type::INT8,
    Type::TEXT,
    Type::NUMERIC,
];

/// A raw event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Event {
    pub(super) place: Tid,
    pub(super) event_id: Uuid,
    pub(super) organization_id: Uuid,
    pub(super) model_id: Option<Uuid>,
    /// Microseconds after the day's first instant.
    pub(super) occurred: i64,
    /// Microseconds after it occurred; negative if a clock was wrong.
    pub(super) received: i64,
    pub(super) input_tokens: i64,
    pub(super) output_tokens: i64,
    /// The first letter of the status; `h` for `throttled`.
    pub(super) status: u8,
    /// In units of 10⁻¹⁸ dollars.
    pub(super) cost: i128,
}

impl Event {
    /// Reads an event of the day that begins `day` microseconds after 2000.
    pub(super) fn read(row: &BinaryCopyOutRow, day: i64) -> Result<Self, tokio_postgres::Error> {
        let Since2000(occurred_at) = row.try_get(4)?;
        let Since2000(received_at) = row.try_get(5)?;
        let Status(status) = row.try_get(8)?;
        let Cost(cost) = row.try_get(9)?;
        Ok(Self {
            place: row.try_get(0)?,
            event_id: row.try_get(1)?,
            organization_id: row.try_get(2)?,
            model_id: row.try_get(3)?,
            occurred: occurred_at - day,
            // No difference to a time after 2000 exceeds 64 bits.
            received: received_at.saturating_sub(occurred_at),
            input_tokens: row.try_get(6)?,
            output_tokens: row.try_get(7)?,
            status,
            cost,
        })
    }
}

/// The place of a row in its table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tid([u8; 6]);

/// As PostgreSQL writes it: the number of the block and that of the row in it.
impl fmt::Display for Tid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self([a, b, c, d, row @ ..]) = *self;
        write!(f, "({},{})", u32::from_be_bytes([a, b, c, d]), u16::from_be_bytes(row))
    }
}

impl<'a> FromSql<'a> for Tid {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self(raw.try_into()?))
    }

    accepts!(TID);
}

impl ToSql for Tid {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        out.extend_from_slice(&self.0);
        Ok(IsNull::No)
    }

    accepts!(TID);
    to_sql_checked!();
}

/// A time, in microseconds after 2000.
struct Since2000(i64);

impl<'a> FromSql<'a> for Since2000 {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self(i64::from_be_bytes(raw.try_into()?)))
    }

    accepts!(TIMESTAMPTZ);
}

/// The letter of a status.
struct Status(u8);

impl<'a> FromSql<'a> for Status {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        match raw {
            b"success" => Ok(Self(b's')),
            b"error" => Ok(Self(b'e')),
            b"timeout" => Ok(Self(b't')),
            b"throttled" => Ok(Self(b'h')),
            _ => Err("an unknown status".into()),
        }
    }

    accepts!(TEXT);
}

/// A cost in units of 10⁻¹⁸ dollars.
struct Cost(i128);

impl<'a> FromSql<'a> for Cost {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        let copy::Cost { rounded, remainder } = copy::cost(raw)?;
        if remainder % OF_A_UNIT != 0 {
            return Err("a cost with more than 18 decimals".into());
        }
        let whole = rounded.checked_mul(OF_A_TEN_THOUSANDTH).ok_or("a cost out of range")?;
        Ok(Self(whole.checked_add(remainder / OF_A_UNIT).ok_or("a cost out of range")?))
    }

    accepts!(NUMERIC);
}

#[cfg(test)]
impl Event {
    /// Creates an event so many microseconds after its day began.
    pub(super) fn at(occurred: i64) -> Self {
        Self {
            place: Tid([0; 6]),
            event_id: Uuid::nil(),
            organization_id: Uuid::nil(),
            model_id: None,
            occurred,
            received: 0,
            input_tokens: 1,
            output_tokens: 1,
            status: b's',
            cost: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::maintenance::pack::numeric::Numeric;

    #[test]
    fn a_place_is_written_as_the_server_writes_it() {
        assert_eq!(Tid([0, 1, 0, 2, 1, 4]).to_string(), "(65538,260)");
    }

    #[test]
    fn a_cost_is_read_to_the_last_decimal() {
        for units in [0, 1, -1, 10_i128.pow(14), 9_999_999_999_999_999_999_999_999_999, -123_456_789_012_345_678_901] {
            let mut raw = BytesMut::new();
            Numeric { value: units, scale: COST_SCALE }.to_sql(&Type::NUMERIC, &mut raw).unwrap();
            assert_eq!(Cost::from_sql(&Type::NUMERIC, &raw).unwrap().0, units);
        }
        let mut raw = BytesMut::new();
        Numeric { value: 1, scale: COST_SCALE + 1 }.to_sql(&Type::NUMERIC, &mut raw).unwrap();
        assert!(Cost::from_sql(&Type::NUMERIC, &raw).is_err());
    }
}

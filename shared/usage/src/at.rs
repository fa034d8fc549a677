//! Instants as the driver reads and writes them.

use std::error::Error;

use jiff::Timestamp;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, accepts, private::BytesMut, to_sql_checked};

/// The microseconds from 1970 to 2000, where PostgreSQL begins to count.
pub(crate) const EPOCH_MICROSECONDS: i64 = 946_684_800_000_000;

/// A `timestamptz`, to the microsecond. Infinity is an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct At(pub(crate) Timestamp);

impl<'a> FromSql<'a> for At {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        let since_2000 = i64::from_be_bytes(raw.try_into()?);
        let microseconds = since_2000.checked_add(EPOCH_MICROSECONDS).ok_or("an infinite timestamp")?;
        Ok(Self(Timestamp::from_microsecond(microseconds)?))
    }

    accepts!(TIMESTAMPTZ);
}

impl ToSql for At {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        let since_2000 = self.0.as_microsecond() - EPOCH_MICROSECONDS;
        out.extend_from_slice(&since_2000.to_be_bytes());
        Ok(IsNull::No)
    }

    accepts!(TIMESTAMPTZ);
    to_sql_checked!();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_reads_back_as_it_was_written() {
        for text in ["2026-03-01T12:00:00.123456Z", "1969-12-31T23:59:59.999999Z", "2000-01-01T00:00:00Z"] {
            let at = At(text.parse().unwrap());
            let mut bytes = BytesMut::new();
            at.to_sql(&Type::TIMESTAMPTZ, &mut bytes).unwrap();
            assert_eq!(At::from_sql(&Type::TIMESTAMPTZ, &bytes).unwrap(), at, "{text}");
        }
        assert!(At::from_sql(&Type::TIMESTAMPTZ, &i64::MAX.to_be_bytes()).is_err());
        assert!(At::from_sql(&Type::TIMESTAMPTZ, &i64::MIN.to_be_bytes()).is_err());
    }
}

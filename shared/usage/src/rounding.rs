//! The rounding of a cost to the decimals of a line of a file, in SQL.

/// Returns the SQL expression of `cost`, an SQL expression of type numeric, rounded to 4 decimals, half to even: as the
/// files state it. PostgreSQL's own `round` rounds half away from zero.
///
/// Halving before the rounding makes the even neighbour the nearer one. Products are exact, quotients would not be.
pub(crate) fn half_even(cost: &str) -> String {
    format!("case when abs({cost} * 10000) % 1 = 0.5 then round({cost} * 5000) * 0.0002 else round({cost}, 4) end")
}

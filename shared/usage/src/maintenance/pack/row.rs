//! A packed row: the events of an organization as arrays, one per column.

use std::{iter, pin::Pin};

use jiff::SignedDuration;
use tokio_postgres::{
    binary_copy::BinaryCopyInWriter,
    types::{ToSql, Type},
};
use uuid::Uuid;

use super::{
    event::{COST_SCALE, Event},
    numeric::Numeric,
    planes::Planes,
    sums::Sums,
};
use crate::at::At;

/// The maximum number of events in a row: an array that compresses well, and one late event opens no more than that.
pub(super) const EVENTS: usize = 5000;

/// The columns of a row, in the order of [`TYPES`].
pub(super) const COLUMNS: &str = "day, organization_id, first_at, last_at, events, event_ids, model_ids, statuses,
                                  occurred_low, occurred_middle, occurred_high,
                                  received_low, received_middle, received_high,
                                  input_low, input_middle, input_high,
                                  output_low, output_middle, output_high,
                                  cost_low, cost_middle, cost_high, cost_unit, costs, is_summed";
/// The types of the columns.
pub(super) const TYPES: [Type; 26] = [
    Type::TIMESTAMPTZ,
    Type::UUID,
    Type::TIMESTAMPTZ,
    Type::TIMESTAMPTZ,
    Type::INT4,
    Type::UUID_ARRAY,
    Type::UUID_ARRAY,
    Type::CHAR_ARRAY,
    Type::INT2_ARRAY,
    Type::INT2_ARRAY,
    Type::INT4_ARRAY,
    Type::INT2_ARRAY,
    Type::INT2_ARRAY,
    Type::INT4_ARRAY,
    Type::INT2_ARRAY,
    Type::INT2_ARRAY,
    Type::INT4_ARRAY,
    Type::INT2_ARRAY,
    Type::INT2_ARRAY,
    Type::INT4_ARRAY,
    Type::INT2_ARRAY,
    Type::INT2_ARRAY,
    Type::INT4_ARRAY,
    Type::NUMERIC,
    Type::NUMERIC_ARRAY,
    Type::BOOL,
];

/// Writes the row of these events of a day and an organization, which are in the order of time, and adds them to the control
/// sums. Changes their order.
pub(super) async fn write(
    writer: Pin<&mut BinaryCopyInWriter>,
    day: At,
    events: &mut [Event],
    sums: &mut Sums,
) -> Result<(), tokio_postgres::Error> {
    let ([first, ..], [.., last]) = (&*events, &*events) else { return Ok(()) };
    let at = |event: &Event| At(day.0 + SignedDuration::from_micros(event.occurred));
    let (organization_id, first_at, last_at) = (first.organization_id, at(first), at(last));
    // What is alike comes together. Events without a model come last.
    let model = |event: &Event| event.model_id.map(|id| id.as_u128());
    events.sort_unstable_by_key(|event| (event.model_id.is_none(), model(event), event.occurred));

    let is_summed = sums.add(events);
    let number = i32::try_from(events.len()).unwrap_or(i32::MAX);
    let event_ids: Vec<Uuid> = events.iter().map(|event| event.event_id).collect();
    let model_ids: Vec<Option<Uuid>> = events.iter().map(|event| event.model_id).collect();
    let model_ids = model_ids.iter().any(Option::is_some).then_some(model_ids);
    let statuses: Vec<i8> = events.iter().map(|event| event.status.cast_signed()).collect();
    let occurred = Planes::of(events.iter().map(|event| event.occurred));
    let received = Planes::of(events.iter().map(|event| event.received));
    let input = Planes::of(events.iter().map(|event| event.input_tokens));
    let output = Planes::of(events.iter().map(|event| event.output_tokens));
    let Costs { planes: cost, unit, exact } = Costs::of(events);
    let columns: [&(dyn ToSql + Sync); 26] = [
        &day,
        &organization_id,
        &first_at,
        &last_at,
        &number,
        &event_ids,
        &model_ids,
        &statuses,
        &occurred.low,
        &occurred.middle,
        &occurred.high,
        &received.low,
        &received.middle,
        &received.high,
        &input.low,
        &input.middle,
        &input.high,
        &output.low,
        &output.middle,
        &output.high,
        &cost.low,
        &cost.middle,
        &cost.high,
        &unit,
        &exact,
        &is_summed,
    ];
    writer.write(&columns).await
}

/// The costs of a row.
struct Costs {
    planes: Planes,
    /// The dollars that the planes count.
    unit: Numeric,
    /// The costs themselves, where one of them has more digits than the planes.
    exact: Option<Vec<Numeric>>,
}

impl Costs {
    fn of(events: &[Event]) -> Self {
        let scale = scale(events.iter().map(|event| event.cost));
        let divisor = 10_i128.pow(COST_SCALE - scale);
        let in_units: Result<Vec<i64>, _> = events.iter().map(|event| i64::try_from(event.cost / divisor)).collect();
        let unit = Numeric { value: 1, scale };
        match in_units {
            Ok(units) => Self { planes: Planes::of(units.iter().copied()), unit, exact: None },
            Err(_) => {
                let exact = |event: &Event| {
                    let scale = self::scale(iter::once(event.cost));
                    Numeric { value: event.cost / 10_i128.pow(COST_SCALE - scale), scale }
                };
                Self { planes: Planes::default(), unit, exact: Some(events.iter().map(exact).collect()) }
            }
        }
    }
}

/// Returns the number of decimals that all of these costs need.
fn scale(costs: impl Iterator<Item = i128>) -> u32 {
    let mut scale = 0;
    let mut unit = 10_i128.pow(COST_SCALE);
    for cost in costs {
        // At the last decimal the unit is 1.
        while cost % unit != 0 {
            unit /= 10;
            scale += 1;
        }
    }
    scale
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn costs_need_the_decimals_of_the_one_with_most() {
        for (cost, expected) in [(0, 0), (1, 18), (-10, 17), (10_i128.pow(18), 0), (12 * 10_i128.pow(13), 5)] {
            assert_eq!(scale(iter::once(cost)), expected, "{cost}");
        }
        assert_eq!(scale([10_i128.pow(17), -(10_i128.pow(12)), 0, 10_i128.pow(15)].into_iter()), 6);
        assert_eq!(scale(iter::empty()), 0);
    }
}

//! Control sums of packed events: those of each hour and model, by which packed events are summed without unpacking
//! them.

use std::{collections::BTreeMap, pin::pin};

use jiff::SignedDuration;
use tokio_postgres::{
    Transaction,
    binary_copy::BinaryCopyInWriter,
    types::{ToSql, Type},
};
use uuid::Uuid;

use super::{
    event::{COST_SCALE, Event},
    numeric::Numeric,
};
use crate::at::At;

const HOUR_MICROSECONDS: i64 = 3_600_000_000;
/// The minimum number of events per sum. A sum has about 150 bytes with its index, and fewer
/// events are unpacked as fast.
const EVENTS_PER_SUM: usize = 16;

/// The sums of one organization, hour and model.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Sum {
    events: i64,
    errors: i64,
    tokens: i128,
    /// In units of 10⁻¹⁸ dollars.
    cost: i128,
}

/// The control sums of a step, by organization, hour after the day's first, and model.
#[derive(Debug, Default)]
pub(super) struct Sums(BTreeMap<(Uuid, i64, Option<Uuid>), Sum>);

impl Sums {
    /// Adds the events of a packed row, which are of one organization and in the order of model and time, and returns
    /// `true`; `false` if they are too few for their hours and models.
    pub(super) fn add(&mut self, events: &[Event]) -> bool {
        let hour = |event: &Event| event.occurred / HOUR_MICROSECONDS;
        let of_sums = || events.chunk_by(move |one, next| (one.model_id, hour(one)) == (next.model_id, hour(next)));
        if of_sums().count() * EVENTS_PER_SUM > events.len() {
            return false;
        }
        for events in of_sums() {
            let [first, ..] = events else { continue };
            let sum = self.0.entry((first.organization_id, hour(first), first.model_id)).or_default();
            events.iter().for_each(|event| sum.add(event));
        }
        true
    }

    /// Writes the sums of a day.
    pub(super) async fn write(&self, transaction: &Transaction<'_>, day: At) -> Result<(), tokio_postgres::Error> {
        const TYPES: [Type; 7] =
            [Type::TIMESTAMPTZ, Type::UUID, Type::UUID, Type::INT8, Type::INT8, Type::NUMERIC, Type::NUMERIC];
        let copy = "copy usage_events_packed_sums (hour, organization_id, model_id, events, errors, tokens, cost)
                    from stdin (format binary)";
        let mut writer = pin!(BinaryCopyInWriter::new(transaction.copy_in(copy).await?, &TYPES));
        for ((organization_id, hour, model_id), Sum { events, errors, tokens, cost }) in &self.0 {
            let hour = At(day.0 + SignedDuration::from_hours(*hour));
            let tokens = Numeric { value: *tokens, scale: 0 };
            let cost = Numeric { value: *cost, scale: COST_SCALE };
            let columns: [&(dyn ToSql + Sync); 7] = [&hour, organization_id, model_id, events, errors, &tokens, &cost];
            writer.as_mut().write(&columns).await?;
        }
        writer.finish().await.map(drop)
    }
}

impl Sum {
    /// A step's events are too few for these sums to overflow.
    fn add(&mut self, event: &Event) {
        self.events += 1;
        self.errors += i64::from(event.status != b's');
        self.tokens += i128::from(event.input_tokens) + i128::from(event.output_tokens);
        self.cost += event.cost;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_events_have_no_sums() {
        let mut sums = Sums::default();
        let row = |hours: i64, each: usize| -> Vec<Event> {
            (0..hours).flat_map(|hour| std::iter::repeat_n(Event::at(hour * HOUR_MICROSECONDS), each)).collect()
        };
        assert!(!sums.add(&row(2, EVENTS_PER_SUM - 1)));
        assert_eq!(sums.0.len(), 0);
        assert!(sums.add(&row(2, EVENTS_PER_SUM)));
        assert!(sums.add(&row(1, EVENTS_PER_SUM)));
        assert_eq!(sums.0.values().map(|sum| sum.events).collect::<Vec<_>>(), [32, 16]);
    }
}

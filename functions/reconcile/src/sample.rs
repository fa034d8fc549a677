//! The organizations whose turn it is. The number of the day chooses them, so that nothing has to be remembered.

use domain::{Month, OrgId};
use jiff::Timestamp;
use postgres::Database;
use usage::{UsageError, organizations};

/// The number of organizations of one night.
const SIZE: usize = 20;

/// The number of organizations that one statement lists.
const PAGE: u32 = 1000;

/// Returns up to 20 of the organizations with usage in the last month. As long as these stay the same, each has its
/// turn before one has another.
pub(crate) async fn sample(database: &Database, now: Timestamp) -> Result<Vec<OrgId>, UsageError> {
    let Some(range) = Month::last_complete(now).range() else { return Ok(Vec::new()) };
    let client = database.client().await?;
    let mut all: Vec<OrgId> = Vec::new();
    loop {
        let page = organizations(&client, range, all.last().copied(), PAGE).await?;
        let is_last = page.len() < PAGE as usize;
        all.extend(page);
        if is_last {
            return Ok(turn(&all, now.as_second().div_euclid(86_400).unsigned_abs()));
        }
    }
}

/// Returns the part of the list whose turn it is on a day, by the number of the day.
fn turn<T: Copy>(all: &[T], day: u64) -> Vec<T> {
    let parts: Vec<&[T]> = all.chunks(SIZE).collect();
    let count = parts.len().max(1) as u64;
    let place = usize::try_from(day % count).unwrap_or(0);
    parts.get(place).map(|part| part.to_vec()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_its_turn_before_one_has_another() {
        for count in [0, 1, 19, 20, 21, 40, 1003] {
            let all: Vec<usize> = (0..count).collect();
            let nights = count.div_ceil(SIZE) as u64;
            let seen: Vec<usize> = (0..nights).flat_map(|night| turn(&all, night)).collect();
            assert_eq!(seen, all, "{count}");
            assert_eq!(turn(&all, nights.max(1)), turn(&all, 0), "{count}");
        }
    }
}

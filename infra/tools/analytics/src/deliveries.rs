//! `deliveries`: what was to reach the organization outside of the service, and whether it did.

use anyhow::Result;
use jiff::Timestamp;
use serde::Deserialize;

use crate::{
    api::read,
    cli::Deliveries,
    list::pages,
    session::Session,
    text::{Align, table},
};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Delivery {
    event_id: String,
    kind: String,
    target: String,
    state: String,
    attempts: u32,
    #[serde(default)]
    last_error: String,
    occurred_at: Timestamp,
}

pub(crate) fn run(session: &Session, arguments: &Deliveries) -> Result<()> {
    let all = pages(session, "/deliveries", &[], arguments.limit)?;
    let deliveries = all.items.iter().map(|item| read(item.get())).collect::<Result<Vec<Delivery>, _>>()?;
    session.answer(&serde_json::to_string(&all)?, || as_table(&deliveries));
    if all.next_cursor.is_some() {
        terminal::note("there are more; raise --limit to see them");
    }
    Ok(())
}

fn as_table(deliveries: &[Delivery]) -> String {
    let columns = [
        ("event", Align::Left),
        ("occurred", Align::Left),
        ("kind", Align::Left),
        ("target", Align::Left),
        ("state", Align::Left),
        ("attempts", Align::Right),
        ("last error", Align::Left),
    ];
    let rows: Vec<[String; 7]> = deliveries
        .iter()
        .map(|one| {
            let Delivery { event_id, kind, target, state, attempts, last_error, occurred_at } = one;
            [
                event_id.clone(),
                occurred_at.to_string(),
                kind.clone(),
                target.clone(),
                state.clone(),
                attempts.to_string(),
                last_error.clone(),
            ]
        })
        .collect();
    table(columns, &rows)
}

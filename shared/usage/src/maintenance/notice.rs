//! Troubles of a whole table or task: each is reported when it appears, and listed until it is resolved.

use jiff::Timestamp;
use tokio_postgres::Client;
use tracing::{error, warn};

use crate::at::At;
use postgres::DatabaseError;

/// Records a trouble of a subject, such as a task on a table. Logs an error if it is new, else a warning.
pub(super) async fn raise(client: &Client, subject: &str, sentence: &str, now: Timestamp) -> Result<(), DatabaseError> {
    let raise = "insert into usage_notices as there (subject, sentence, first_at, last_at) values ($1, $2, $3, $3)
                 on conflict (subject) do update set sentence = excluded.sentence, last_at = excluded.last_at
                 returning first_at = last_at";
    let is_new: bool = client.query_one(raise, &[&subject, &sentence, &At(now)]).await?.try_get(0)?;
    if is_new {
        error!(subject, sentence, "usage maintenance is limited");
    } else {
        warn!(subject, sentence, "usage maintenance is still limited");
    }
    Ok(())
}

/// Removes a trouble that is resolved.
pub(super) async fn clear(client: &Client, subject: &str) -> Result<(), DatabaseError> {
    client.execute("delete from usage_notices where subject = $1", &[&subject]).await?;
    Ok(())
}

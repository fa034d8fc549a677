//! Troubles of a whole table or task: each is reported when it appears, and listed until it is gone.

use jiff::Timestamp;
use tokio_postgres::Client;
use tracing::{error, warn};

use crate::at::At;
use postgres::DatabaseError;

/// Records that a subject, such as a table and a task, has a trouble. An error in the log when it is new.
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

/// Removes a trouble that is gone.
pub(super) async fn clear(client: &Client, subject: &str) -> Result<(), DatabaseError> {
    client.execute("delete from usage_notices where subject = $1", &[&subject]).await?;
    Ok(())
}

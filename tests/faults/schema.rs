//! A database that lacks the last migration.

use std::time::Duration;

use tests::{Answer, Stack, poll::until};

use crate::{
    case::{Case, case},
    scene::{Found, Scene},
};

pub(crate) const CASES: &[Case] =
    &[case!(schema_outdated, "the database forgets its last migration, and gets it again", alone = true)];

async fn schema_outdated(scene: &Scene) -> Found {
    let client = &scene.stack.database.client;
    client
        .batch_execute(
            "create temporary table forgotten as select * from refinery_schema_history order by version desc limit 1;
             delete from refinery_schema_history where version = (select version from forgotten)",
        )
        .await
        .unwrap();
    // An answer of before is good for five seconds.
    let answer = ready(&scene.stack, 503).await;
    client.batch_execute("insert into refinery_schema_history table forgotten").await.unwrap();
    assert!(answer.text().contains("database, which lacks migrations of this version"), "{}", answer.text());
    ready(&scene.stack, 200).await;
    Found::default().note("readyz said so, until it was there again")
}

async fn ready(stack: &Stack, status: u16) -> Answer {
    until("readyz notices", Duration::from_secs(15), async || {
        let answer = stack.api.get("/status/readyz", "").await;
        if answer.status == status { Ok(answer) } else { Err(answer.text()) }
    })
    .await
}

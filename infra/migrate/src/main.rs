//! Applies the migrations in `infra/migrations` to the database of `DATABASE_URL`.

use anyhow::{Context as _, Result};
use shared::database::Database;

refinery::embed_migrations!("../migrations");

/// The advisory lock that lets one migration run at a time. Any number does, as long as nothing else takes it.
const LOCK: i64 = 0x006d_6967_7261_7465;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let mut client = Database::from_env("analytics-exports-migrate")?.connect().await?;
    client.execute("select pg_advisory_lock($1)", &[&LOCK]).await.context("could not take the migration lock")?;
    let report = migrations::runner().run_async(&mut *client).await.context("a migration failed and was undone")?;
    for migration in report.applied_migrations() {
        eprintln!("applied {migration}");
    }
    Ok(())
}

//! Loads usage events from files into the database of `DATABASE_URL`.
//!
//! Nothing that this does is particular to it: any writer may insert into `usage_events`. This one is for many events at
//! once, such as the history of a platform that begins to use the exports.

mod cli;
mod event;
mod lines;
mod progress;
mod rejects;
mod source;
mod staging;
mod work;

use std::process::ExitCode;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match work::run(cli::parse()).await {
        Ok(status) => status,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

//! Loads usage events from files into the database of `DATABASE_URL`.
//!
//! Any writer may insert into `usage_events`. This one is for many events at once, such as the history of a platform that
//! begins to use the exports: it gives them to `usage_load` by the batch, which any other writer may do as well.

mod cli;
mod cut_over;
mod event;
mod lanes;
mod lines;
mod progress;
mod rejects;
mod source;
mod store;
mod work;

use std::process::ExitCode;

use cli::Command;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let cli = cli::parse();
    let done = match (cli.command, cli.arguments) {
        (Some(Command::Cutover(cut_over)), _) => cut_over::run(cut_over).await,
        (None, Some(arguments)) => work::run(arguments).await,
        (None, None) => Err(anyhow::anyhow!("no file is named; --help says how")),
    };
    match done {
        Ok(status) => status,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

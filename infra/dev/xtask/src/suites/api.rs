//! The OpenAPI document beside that of the last release.

use anyhow::Result;

use super::session::Session;
use crate::api;

pub(super) fn run(session: &mut Session<'_>) -> Result<()> {
    terminal::heading("api");
    let root = session.checkout().root().to_owned();
    session.time("api", || {
        let wrong = api::check(&root)?;
        wrong.iter().for_each(|wrong| terminal::line(wrong));
        Ok(((), wrong.is_empty()))
    })
}

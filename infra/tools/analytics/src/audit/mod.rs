//! `audit`: the whole audit trail of an organization with its chain, as a file, and its signed heads.

mod keep;
mod line;
mod trail;
mod verify;

use anyhow::Result;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

pub(crate) use self::verify::run as verify;
use crate::{
    api::read,
    cli::Audit,
    problem::RequestError,
    session::Session,
    text::{Align, table},
};

/// Maximum length of a page, by the API.
const MAX_PAGE: usize = 100;

/// The signed heads. They stay as they came, so that `--json` shows all of their fields.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Heads {
    seq: u64,
    hash: String,
    is_signed: bool,
    items: Vec<Box<RawValue>>,
    #[serde(default, skip_serializing)]
    next_cursor: Option<String>,
}

/// The part of a signed head that is used.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct SignedHead {
    seq: u64,
    hash: String,
    signed_at: String,
    jws: String,
}

pub(crate) fn run(session: &Session, command: &Audit) -> Result<()> {
    match command {
        Audit::Export(arguments) => keep::run(session, arguments),
        Audit::Heads => heads(session),
    }
}

fn heads(session: &Session) -> Result<()> {
    let heads = all_heads(session)?;
    let rows = heads.items.iter().map(|head| {
        let SignedHead { seq, hash, signed_at, .. } = read(head.get())?;
        Ok([signed_at, seq.to_string(), hash])
    });
    let rows = rows.collect::<Result<Vec<_>, RequestError>>()?;
    let columns = [("signed", Align::Left), ("records", Align::Right), ("hash", Align::Left)];
    session.answer(&serde_json::to_string(&heads)?, || {
        format!("{} records are linked, the last one has the hash {}\n{}", heads.seq, heads.hash, table(columns, &rows))
    });
    if !heads.is_signed {
        terminal::note("the service has no key to sign with: nothing proves that the chain was not made anew");
    }
    Ok(())
}

/// Reads all signed heads, newest first.
fn all_heads(session: &Session) -> Result<Heads, RequestError> {
    let page = |cursor: Option<String>| {
        let mut query = vec![("limit", MAX_PAGE.to_string())];
        query.extend(cursor.map(|cursor| ("cursor", cursor)));
        read::<Heads>(&session.api.get("/audit/heads", &query)?)
    };
    let mut heads = page(None)?;
    while let Some(cursor) = heads.next_cursor.take() {
        let mut next = page(Some(cursor))?;
        heads.items.append(&mut next.items);
        heads.next_cursor = next.next_cursor;
    }
    Ok(heads)
}

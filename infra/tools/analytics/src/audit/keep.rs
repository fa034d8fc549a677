//! `audit export`: saves the trail, a line for each record, link and signed head.

use anyhow::Result;
use jiff::Timestamp;
use serde::Deserialize;

use super::{
    MAX_PAGE, SignedHead, all_heads,
    line::{Line, Trail, VERSION},
};
use crate::{api::read, cli::AuditExport, file::Sink, session::Session};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page {
    items: Vec<Line>,
    next_cursor: Option<String>,
}

pub(super) fn run(session: &Session, arguments: &AuditExport) -> Result<()> {
    arguments.out.check(arguments.force, session.json)?;
    let mut sink = Sink::open(arguments.out.clone(), arguments.force)?;
    let [mut records, mut links, mut heads] = [0; 3];
    let trail = Trail { version: VERSION, org_id: session.organization, exported_at: Timestamp::now().to_string() };
    write(&mut sink, &Line::Trail(trail))?;
    let mut cursor = None;
    loop {
        let mut query = vec![("limit", MAX_PAGE.to_string())];
        query.extend(cursor.map(|cursor| ("cursor", cursor)));
        let page: Page = read(&session.api.get("/audit/chain", &query)?)?;
        for line in &page.items {
            match line {
                Line::Record(_) => records += 1,
                _ => links += 1,
            }
            write(&mut sink, line)?;
        }
        cursor = page.next_cursor;
        if cursor.is_none() {
            break;
        }
    }
    let signed = all_heads(session)?;
    for head in &signed.items {
        let SignedHead { jws, .. } = read(head.get())?;
        write(&mut sink, &Line::Head { jws })?;
        heads += 1;
    }
    let end = Line::End { records, links, heads };
    write(&mut sink, &end)?;
    sink.finish()?;
    if !arguments.out.is_stdout() {
        session.answer(&serde_json::to_string(&end)?, || {
            format!("{records} records, {links} links, {heads} signed heads")
        });
    }
    Ok(())
}

fn write(sink: &mut Sink, line: &Line) -> Result<()> {
    let mut bytes = serde_json::to_vec(line)?;
    bytes.push(b'\n');
    sink.write(&bytes)
}

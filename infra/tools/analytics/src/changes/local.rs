//! The changes between two downloaded files, of any size: a line of each is in memory. Needs neither service nor token.

use std::{
    fs::File,
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    path::Path,
};

use anyhow::{Context as _, Result};
use domain::{
    OrgId, Totals,
    changes::{Adjustment, Change, ChangeKind, Level as Grain, Merge, Step, Which},
};

use super::{Counts, cells, text};
use crate::cli::{Changes, Level};

/// Bytes that are read at once.
const BUFFER_BYTES: usize = 64 << 10;
/// The bytes of the adjustment that are written at once.
const WRITTEN_BYTES: usize = 64 << 10;
/// Maximum number of changes in a table.
const MAX_SHOWN: usize = 1000;

pub(crate) fn run(old: &Path, new: &Path, arguments: &Changes) -> Result<()> {
    let mut files = Files { old: open(old)?, new: open(new)? };
    let org = match organization(&mut files.old)? {
        Some(org) => Some(org),
        None => organization(&mut files.new)?,
    };
    // Of files without lines, any is good.
    let org = org.unwrap_or_else(|| uuid::Uuid::nil().into());
    let (grain, level) = match arguments.level {
        Some(Level::Day) => (Grain::DayAndModel, "day-model"),
        Some(Level::Row) | None => (Grain::Row, "row"),
    };
    let name = || format!("can't compare {} with {}", old.display(), new.display());
    if arguments.csv {
        let mut adjustment = Adjustment::new(org);
        let mut stdout = io::stdout().lock();
        merge(org, grain, &mut files, |change| {
            adjustment.add(change);
            if adjustment.length() < WRITTEN_BYTES { Ok(()) } else { stdout.write_all(adjustment.take().as_bytes()) }
        })
        .with_context(name)?;
        stdout
            .write_all(adjustment.take().as_bytes())
            .and_then(|()| stdout.flush())
            .context("can't write to stdout")?;
        return Ok(());
    }
    let mut rows = Vec::new();
    let mut left = 0_u64;
    let merge = merge(org, grain, &mut files, |change| {
        if rows.len() < MAX_SHOWN {
            rows.push(*change);
        } else {
            left += 1;
        }
        Ok(())
    })
    .with_context(name)?;
    let rows: Vec<[String; 7]> = rows.iter().map(row).collect::<Result<_>>()?;
    let [of_old, of_new] = [Which::Old, Which::New].map(|which| merge.facts(which).totals);
    let sums: [(&str, Totals); 3] =
        [("old", of_old.totals()?), ("new", of_new.totals()?), ("difference", of_new.minus(of_old)?.totals()?)];
    let domain::changes::Counts { added, vanished, changed, unchanged } = merge.counts();
    terminal::answer(&text(&rows, &sums, &Counts { added, vanished, changed, unchanged }.sentence(level)));
    if left > 0 {
        terminal::note(&format!("{left} more changes are not shown; --csv has all"));
    }
    Ok(())
}

struct Files {
    old: BufReader<File>,
    new: BufReader<File>,
}

fn open(path: &Path) -> Result<BufReader<File>> {
    let file = File::open(path).with_context(|| format!("can't read {}", path.display()))?;
    Ok(BufReader::with_capacity(BUFFER_BYTES, file))
}

/// Returns the organization of the first line; `None` if there is none. Nothing is consumed.
fn organization(file: &mut BufReader<File>) -> Result<Option<OrgId>> {
    let begin = file.fill_buf().context("can't read a file")?;
    let second = begin.split(|byte| *byte == b'\n').nth(1).unwrap_or_default();
    let field = second.split(|byte| *byte == b',').nth(1).unwrap_or_default();
    Ok(std::str::from_utf8(field).ok().and_then(|text| text.parse().ok()))
}

fn merge(org: OrgId, grain: Grain, files: &mut Files, mut add: impl FnMut(&Change) -> io::Result<()>) -> Result<Merge> {
    let mut merge = Merge::new(org, grain);
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        match merge.step()? {
            Step::Change(change) => add(&change)?,
            Step::Need(which) => {
                let file = match which {
                    Which::Old => &mut files.old,
                    Which::New => &mut files.new,
                };
                match file.read(&mut buffer)? {
                    0 => merge.end(which)?,
                    length => merge.push(which, buffer.get(..length).unwrap_or_default()),
                }
            }
            Step::Done => return Ok(merge),
        }
    }
}

fn row(change: &Change) -> Result<[String; 7]> {
    let kind = match change.kind {
        ChangeKind::Added => "added",
        ChangeKind::Vanished => "vanished",
        ChangeKind::Changed => "changed",
    };
    let model = change.key.model.map(|model| model.to_string()).unwrap_or_default();
    let [requests, tokens, errors, cost] = cells(&change.difference.totals()?, true);
    Ok([change.key.bucket.to_string(), model, kind.to_owned(), requests, tokens, errors, cost])
}

//! `export pack`: an export with its signed manifest, audit records and checksums, in a folder.

use std::{fs, io::Cursor, path::Path};

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;
use zip::ZipArchive;

use crate::{cli::Pack, download, file, job::Job, session::Session};

pub(crate) fn run(session: &Session, arguments: &Pack) -> Result<()> {
    let folder = &arguments.out;
    if folder.exists() {
        bail!("{} exists; name another folder", folder.display());
    }
    let (job, body) = Job::get(session, arguments.job)?;
    job.note_warnings();
    job.require_no_failure()?;
    let bytes = session.api.get_bytes(&format!("/exports/{}/pack", job.job_id), &[])?;
    // The folder appears when it is whole.
    let mut part = folder.clone().into_os_string();
    part.push(".part");
    let part = Path::new(&part);
    fs::create_dir(part).with_context(|| format!("can't make {}", part.display()))?;
    let filled = fill(session, &job, &bytes, part);
    let kept =
        filled.and_then(|()| fs::rename(part, folder).with_context(|| format!("can't make {}", folder.display())));
    if kept.is_err() {
        let _ = fs::remove_dir_all(part);
    }
    kept?;
    session.answer(&body, || job.text());
    Ok(())
}

/// Writes the files of a pack, and downloads the CSV if it was too large to be in it.
fn fill(session: &Session, job: &Job, pack: &[u8], folder: &Path) -> Result<()> {
    let mut zip = ZipArchive::new(Cursor::new(pack)).context("the service sent no zip")?;
    let mut has_csv = false;
    for index in 0..zip.len() {
        let mut entry = zip.by_index(index).context("the service sent a zip that can't be read")?;
        let name = entry.name().context("a file of the pack has no name")?.into_owned();
        if !file::is_plain(&name) {
            bail!("the pack has a file that may not be written: {name:?}");
        }
        has_csv |= Path::new(&name).extension().is_some_and(|kind| kind == "csv");
        let path = folder.join(&name);
        let mut out = fs::File::create(&path).with_context(|| format!("can't write {}", path.display()))?;
        std::io::copy(&mut entry, &mut out).with_context(|| format!("can't write {}", path.display()))?;
    }
    if has_csv {
        return Ok(());
    }
    // By the name in the pack: the store may have named an older file otherwise.
    let path = folder.join("manifest.json");
    let manifest = fs::read(&path).with_context(|| format!("can't read {}", path.display()))?;
    let Manifest { file: Named { name } } = serde_json::from_slice(&manifest).context("the manifest can't be read")?;
    if !file::is_plain(&name) {
        bail!("the manifest has a name that may not be written: {name:?}");
    }
    download::save_as(session, job, folder.join(name))
}

/// What the folder needs of the manifest.
#[derive(Deserialize)]
struct Manifest {
    file: Named,
}

#[derive(Deserialize)]
struct Named {
    name: String,
}

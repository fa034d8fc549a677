//! Reports of tests as JUnit's XML, which nearly every test runner writes: which of them a command wrote, and what they say.

mod time;
mod xml;

use std::{
    collections::BTreeMap,
    fs::Metadata,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use ci::test_results::{Files, MAX_TESTS, Results};
use glob::{Pattern, glob};

use self::xml::Unread;

/// The maximum size of a file in bytes. It is in memory as a whole.
const MAX_FILE_BYTES: u64 = 128 << 20;

/// The maximum number of files that a note names.
const MAX_NAMED: usize = 5;

/// The files that match the patterns, as they were before the command ran.
///
/// A file is the command's own if it is another one afterwards. So no clock is asked: that of the file system may be another
/// one's, or coarse, and may be set meanwhile.
#[derive(Debug)]
pub(crate) struct Before(BTreeMap<PathBuf, State>);

/// What changes whenever a file is written.
#[derive(Debug, PartialEq, Eq)]
struct State {
    device: u64,
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// What the reports say.
#[derive(Debug, Default)]
pub(crate) struct Reports {
    pub(crate) results: Results,
    pub(crate) files: Files,
    /// The results that have no room in a document.
    pub(crate) left_out: u32,
    /// What became of the files that were not read, as sentences.
    notes: Vec<String>,
}

/// Checks a pattern of the command line.
pub(crate) fn pattern(text: &str) -> Result<String, String> {
    match Pattern::new(text) {
        Ok(_) if !text.is_empty() => Ok(text.to_owned()),
        Ok(_) => Err("a pattern of file names is needed".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

impl Before {
    /// Looks at the files that match.
    pub(crate) fn look(patterns: &[String]) -> Self {
        // What cannot be looked into now is tried again afterwards, and told then.
        Self(find(patterns).0.into_iter().map(|(path, file)| (path, State::of(&file))).collect())
    }

    /// Reads the files that match now and are not what they were.
    pub(crate) fn read(&self, patterns: &[String]) -> Reports {
        let (files, errors) = find(patterns);
        let mut reports = Reports::default();
        let (mut older, mut others, mut unreadable) = (Vec::new(), Vec::new(), errors);
        for (path, file) in files {
            let name = path.display().to_string();
            if self.0.get(&path) == Some(&State::of(&file)) {
                older.push(name);
                continue;
            }
            match read(&path, &file) {
                Ok(results) => {
                    reports.files.read += 1;
                    results.into_iter().for_each(|(test, result)| reports.results.add(test, result));
                }
                Err(Unread::Other(root)) => others.push(format!("{name} ({root})")),
                Err(Unread::Invalid(why)) => unreadable.push(format!("{name} ({why})")),
            }
        }
        let read = reports.files.read;
        reports.files = Files { read, unreadable: count(&unreadable), older: count(&older), other: count(&others) };
        for (files, why) in [
            (unreadable, "can't be read as reports of tests"),
            (older, "match --junit, but the command did not write them"),
            (others, "match --junit, but are no reports of tests"),
        ] {
            reports.notes.extend(note(&files, why));
        }
        if reports.files == Files::default() {
            reports.notes.push("no file matches --junit".to_owned());
        }
        reports.keep(MAX_TESTS);
        reports
    }
}

impl Reports {
    /// Returns what is not in the results, as sentences.
    pub(crate) fn sentences(&self) -> impl Iterator<Item = String> {
        let left_out =
            format!("{} results of tests are left out, for want of room: fast ones that passed", self.left_out);
        self.notes.iter().cloned().chain((self.left_out > 0).then_some(left_out))
    }

    /// Keeps at most `max` results.
    pub(crate) fn keep(&mut self, max: usize) {
        self.left_out = self.left_out.saturating_add(u32::try_from(self.results.keep(max)).unwrap_or(u32::MAX));
    }
}

impl State {
    fn of(file: &Metadata) -> Self {
        Self {
            device: file.dev(),
            inode: file.ino(),
            bytes: file.size(),
            modified: (file.mtime(), file.mtime_nsec()),
            changed: (file.ctime(), file.ctime_nsec()),
        }
    }
}

/// Returns the files that match, each once, and what could not be looked at.
fn find(patterns: &[String]) -> (BTreeMap<PathBuf, Metadata>, Vec<String>) {
    let (mut files, mut errors) = (BTreeMap::new(), Vec::new());
    // A pattern was checked when the command line was read.
    for found in patterns.iter().filter_map(|pattern| glob(pattern).ok()).flatten() {
        let found = found.map_err(|error| (error.path().to_owned(), std::io::Error::from(error)));
        match found.and_then(|path| path.metadata().map(|file| (path.clone(), file)).map_err(|error| (path, error))) {
            Ok((path, file)) if file.is_file() => drop(files.insert(path, file)),
            Ok(_) => {}
            Err((path, error)) => errors.push(format!("{} ({error})", path.display())),
        }
    }
    errors.sort_unstable();
    errors.dedup();
    (files, errors)
}

fn read(path: &Path, file: &Metadata) -> Result<Vec<xml::Result>, Unread> {
    if file.len() > MAX_FILE_BYTES {
        return Err(Unread::Invalid(format!("larger than {} MiB", MAX_FILE_BYTES >> 20)));
    }
    let bytes = std::fs::read(path).map_err(|error| Unread::Invalid(error.to_string()))?;
    xml::read(&bytes)
}

/// Makes a sentence about files; none without files.
fn note(files: &[String], why: &str) -> Option<String> {
    let named = files.iter().take(MAX_NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
    match files.len() {
        0 => None,
        count @ 1..=MAX_NAMED => Some(format!("{count} files {why}: {named}")),
        count => Some(format!("{count} files {why}: {named} and {} more", count - MAX_NAMED)),
    }
}

fn count(files: &[String]) -> u32 {
    u32::try_from(files.len()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use uuid::Uuid;

    use super::*;

    #[test]
    fn only_what_was_written_meanwhile_is_read() {
        let folder = std::env::temp_dir().join(format!("ci-run-junit-{}", Uuid::new_v4().simple()));
        fs::create_dir_all(folder.join("deep/er")).unwrap();
        let report = |name: &str, test: &str| {
            fs::write(folder.join(name), format!("<testsuite name='s'><testcase name='{test}'/></testsuite>")).unwrap();
        };
        report("old.xml", "old");
        report("again.xml", "before");
        // Beyond the resolution of the file system's clock: no command starts as fast as this test.
        std::thread::sleep(std::time::Duration::from_millis(50));
        let patterns = [format!("{}/**/*.xml", folder.display()), format!("{}/*.xml", folder.display())];
        let before = Before::look(&patterns);
        report("again.xml", "after!");
        report("deep/er/new.xml", "new");
        fs::write(folder.join("cut.xml"), "<testsuites><testsuite name='s'><testcase name='lost'/>").unwrap();
        fs::write(folder.join("other.xml"), "<coverage/>").unwrap();
        fs::write(folder.join("no-report.txt"), "").unwrap();
        let Reports { results, files, left_out, notes } = before.read(&patterns);
        fs::remove_dir_all(&folder).unwrap();
        assert_eq!(files, Files { read: 2, unreadable: 1, older: 1, other: 1 });
        assert_eq!(results.iter().map(|(test, _)| test.name.as_str()).collect::<Vec<_>>(), ["after!", "new"]);
        assert_eq!((left_out, notes.len()), (0, 3));
        for (note, part) in notes.iter().zip(["cut.xml (it ends early)", "old.xml", "other.xml (its root is coverage)"])
        {
            assert!(note.contains(part) && note.starts_with("1 files "), "{notes:?}");
        }
    }

    #[test]
    fn nothing_is_left_out_in_silence() {
        let reports = Before::look(&[]).read(&["/no/such/folder/*.xml".to_owned()]);
        assert_eq!(reports.notes, ["no file matches --junit"]);
        let files: Vec<String> = (1..=7).map(|number| number.to_string()).collect();
        assert_eq!(note(&files, "are odd").unwrap(), "7 files are odd: 1, 2, 3, 4, 5 and 2 more");
        assert_eq!(note(&files[..2], "are odd").unwrap(), "2 files are odd: 1, 2");
        assert_eq!(note(&[], "are odd"), None);
    }

    #[test]
    fn a_pattern_is_checked_before_the_command_runs() {
        assert!(pattern("target/**/*.xml").is_ok());
        for wrong in ["", "a**", "[", "***"] {
            assert!(pattern(wrong).is_err(), "{wrong}");
        }
    }
}

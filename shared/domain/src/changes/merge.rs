//! The merge of two files.

use super::{
    Facts, Figures, Key, Level, NotAFile,
    side::{Next, Side, SideError},
};
use crate::{OrgId, measures::TotalOverflow};

/// One of the two files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// The one that was there before.
    Old,
    /// The one that it is compared with.
    New,
}

/// The kind of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangeKind {
    /// Only the new file has it.
    Added,
    /// Only the old file has it.
    Vanished,
    /// Both have it, with other figures.
    Changed,
}

/// A difference between the files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    /// What it is of. The model is `None` for usage without a model, and at [`Level::Day`].
    pub key: Key,
    /// The kind.
    pub kind: ChangeKind,
    /// The figures of the old file; zero if it has none.
    pub old: Figures,
    /// The figures of the new file; zero if it has none.
    pub new: Figures,
    /// The new figures minus the old ones.
    pub difference: Figures,
}

/// The reason why files cannot be compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// One is not a file of the organization.
    #[error("the {which:?} file cannot be read")]
    NotAFile {
        /// Which of them.
        which: Which,
        /// The line.
        source: NotAFile,
    },
    /// A sum or a difference cannot be kept exactly.
    #[error(transparent)]
    Overflow(#[from] TotalOverflow),
}

/// The numbers of rows, or of sums at a coarser level.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Those that only the new file has.
    pub added: u64,
    /// Those that only the old file has.
    pub vanished: u64,
    /// Those that both have with other figures.
    pub changed: u64,
    /// Those that both have with the same figures.
    pub unchanged: u64,
}

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "one at a time, and a box for each change would cost more")]
pub enum Step {
    /// Take the next change, in the order of the files.
    Change(Change),
    /// Give the next bytes of a file by [`Merge::push`], or [`Merge::end`] it.
    Need(Which),
    /// Both files were read to their ends.
    Done,
}

/// Two files that are read side by side. It holds the line of each that comes next; at [`Level::DayAndModel`] the sums of
/// one day of each.
#[derive(Debug)]
pub struct Merge {
    old: Side,
    new: Side,
    next_old: Next,
    next_new: Next,
    counts: Counts,
}

impl Merge {
    /// Begins to compare two files of an organization.
    pub fn new(org: OrgId, level: Level) -> Self {
        let side = || Side::new(org, level);
        Self { old: side(), new: side(), next_old: Next::Unknown, next_new: Next::Unknown, counts: Counts::default() }
    }

    /// Adds the next bytes of a file that [`step`](Self::step) asked for.
    pub fn push(&mut self, which: Which, bytes: &[u8]) {
        self.side(which).push(bytes);
    }

    /// Ends a file.
    ///
    /// # Errors
    /// When it has no header, or ends within a line.
    pub fn end(&mut self, which: Which) -> Result<(), ChangeError> {
        self.side(which).end().map_err(|source| ChangeError::NotAFile { which, source })
    }

    /// Returns what to do next.
    ///
    /// # Errors
    /// When bytes are not those of a file, or a sum cannot be kept exactly. The merge must not be used after that.
    pub fn step(&mut self) -> Result<Step, ChangeError> {
        loop {
            if self.next_old == Next::Unknown {
                self.next_old = take(&mut self.old, Which::Old)?;
            }
            if self.next_new == Next::Unknown {
                self.next_new = take(&mut self.new, Which::New)?;
            }
            let (kind, key, old, new) = match (self.next_old, self.next_new) {
                (Next::Unknown, _) => return Ok(Step::Need(Which::Old)),
                (_, Next::Unknown) => return Ok(Step::Need(Which::New)),
                (Next::End, Next::End) => return Ok(Step::Done),
                (Next::Sums(key, old), Next::Sums(other, new)) if key == other => (ChangeKind::Changed, key, old, new),
                (Next::Sums(key, old), Next::Sums(other, _)) if key < other => {
                    (ChangeKind::Vanished, key, old, Figures::default())
                }
                (Next::Sums(key, old), Next::End) => (ChangeKind::Vanished, key, old, Figures::default()),
                (Next::Sums(..) | Next::End, Next::Sums(key, new)) => (ChangeKind::Added, key, Figures::default(), new),
            };
            if kind != ChangeKind::Added {
                self.next_old = Next::Unknown;
            }
            if kind != ChangeKind::Vanished {
                self.next_new = Next::Unknown;
            }
            let difference = new.minus(old)?;
            if let Some(change) = self.count(Change { key, kind, old, new, difference }) {
                return Ok(Step::Change(change));
            }
        }
    }

    /// Returns what a file had, as far as it was read.
    pub const fn facts(&self, which: Which) -> Facts {
        match which {
            Which::Old => self.old.facts(),
            Which::New => self.new.facts(),
        }
    }

    /// Returns the numbers of rows, as far as the files were read.
    pub const fn counts(&self) -> Counts {
        self.counts
    }

    /// Counts, and returns what is a change.
    fn count(&mut self, change: Change) -> Option<Change> {
        let is_same = change.difference == Figures::default();
        let count = match change.kind {
            _ if is_same => &mut self.counts.unchanged,
            ChangeKind::Added => &mut self.counts.added,
            ChangeKind::Vanished => &mut self.counts.vanished,
            ChangeKind::Changed => &mut self.counts.changed,
        };
        *count += 1;
        if is_same { None } else { Some(change) }
    }

    const fn side(&mut self, which: Which) -> &mut Side {
        match which {
            Which::Old => &mut self.old,
            Which::New => &mut self.new,
        }
    }
}

fn take(side: &mut Side, which: Which) -> Result<Next, ChangeError> {
    side.take().map_err(|error| match error {
        SideError::NotAFile(source) => ChangeError::NotAFile { which, source },
        SideError::Overflow(error) => error.into(),
    })
}

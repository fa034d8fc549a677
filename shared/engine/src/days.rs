//! The sums of a file's lines by UTC day and model, which are kept when the file has expired: of each model as long as
//! they take at most [`MAX_BYTES`], else of the days alone. They are made as the lines are written.

use std::collections::BTreeMap;

use jiff::Timestamp;
use uuid::Uuid;

use domain::{
    DayDetail, OrgId,
    changes::{Figures, HEADER, Key, write_line},
    measures::TotalOverflow,
};

/// The maximum size of a file's sums.
pub const MAX_BYTES: usize = 256 << 10;

/// The maximum number of days and models. The shortest line has 72 bytes, so more than these would be too large.
const MAX_CELLS: usize = MAX_BYTES / 72;

const SECONDS_OF_A_DAY: i64 = 86_400;

/// A model's place in a file: no model comes last.
type Place = (bool, [u8; 16]);

/// Returns the number of the UTC day since 1970.
pub(crate) fn day(at: Timestamp) -> i64 {
    at.as_second().div_euclid(SECONDS_OF_A_DAY)
}

/// The days of a chunk's lines.
#[derive(Debug, Clone)]
pub(crate) struct ChunkDays {
    /// The number of each day, its sums, and the end of its cells.
    days: Vec<(i64, Figures, usize)>,
    /// The sums of each model, in the order of a file, one day after the other. Incomplete without `has_models`.
    cells: Vec<(Place, Figures)>,
    has_models: bool,
    /// The first cell of the day that is being written.
    first: usize,
    /// The cell after that of the last line. The lines of a bucket come in the order of their models, so that it usually is
    /// the next line's.
    next: usize,
}

impl ChunkDays {
    pub(crate) const fn new() -> Self {
        Self { days: Vec::new(), cells: Vec::new(), has_models: true, first: 0, next: 0 }
    }

    pub(crate) fn clear(&mut self) {
        self.days.clear();
        self.cells.clear();
        (self.has_models, self.first, self.next) = (true, 0, 0);
    }

    /// Keeps no models from here on.
    pub(crate) const fn skip_models(&mut self) {
        self.has_models = false;
    }

    /// Begins a bucket of the same day.
    pub(crate) const fn begin_bucket(&mut self) {
        self.next = self.first;
    }

    /// Adds a line.
    #[inline]
    pub(crate) fn add(&mut self, model: Option<&[u8; 16]>, figures: Figures) -> Result<(), TotalOverflow> {
        if !self.has_models {
            return Ok(());
        }
        let place = (model.is_none(), model.copied().unwrap_or_default());
        match self.cells.get_mut(self.next) {
            Some((known, sums)) if *known == place => *sums = sums.plus(figures)?,
            _ => return self.insert(place, figures),
        }
        self.next += 1;
        Ok(())
    }

    /// Adds a line whose cell is not the next one.
    fn insert(&mut self, place: Place, figures: Figures) -> Result<(), TotalOverflow> {
        let of_day = self.cells.get_mut(self.first..).unwrap_or_default();
        match of_day.binary_search_by_key(&place, |(place, _)| *place) {
            Ok(at) => {
                if let Some((_, sums)) = of_day.get_mut(at) {
                    *sums = sums.plus(figures)?;
                }
                self.next = self.first + at + 1;
            }
            Err(_) if self.cells.len() >= MAX_CELLS => self.skip_models(),
            Err(at) => {
                self.cells.insert(self.first + at, (place, figures));
                self.next = self.first + at + 1;
            }
        }
        Ok(())
    }

    /// Ends a day with the sums of its lines.
    pub(crate) fn end_day(&mut self, day: i64, sums: Figures) {
        self.days.push((day, sums, self.cells.len()));
        (self.first, self.next) = (self.cells.len(), self.cells.len());
    }
}

/// The sums of a file.
#[derive(Debug)]
pub struct DaySums {
    org: OrgId,
    days: BTreeMap<i64, Figures>,
    /// `None` once there are too many.
    models: Option<BTreeMap<(i64, Place), Figures>>,
}

/// What is kept of a file's days: a file of the same columns, in which the buckets are days. Without models, each line
/// is the sum of all models of its day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DayFile {
    /// What the lines are of.
    pub detail: DayDetail,
    /// The lines; at most [`MAX_BYTES`].
    pub text: String,
}

impl DaySums {
    pub(crate) const fn new(org: OrgId) -> Self {
        Self { org, days: BTreeMap::new(), models: Some(BTreeMap::new()) }
    }

    /// Adds the days of a chunk. Reports whether models are still wanted.
    pub(crate) fn add(&mut self, chunk: &ChunkDays) -> Result<bool, TotalOverflow> {
        for (day, figures, _) in &chunk.days {
            let sums = self.days.entry(*day).or_default();
            *sums = sums.plus(*figures)?;
        }
        match &mut self.models {
            Some(models) if chunk.has_models => {
                let mut cells = chunk.cells.iter();
                let mut begin = 0;
                for (day, _, end) in &chunk.days {
                    for (place, figures) in cells.by_ref().take(end - begin) {
                        let sums = models.entry((*day, *place)).or_default();
                        *sums = sums.plus(*figures)?;
                    }
                    begin = *end;
                }
                if models.len() > MAX_CELLS {
                    self.models = None;
                }
            }
            _ => self.models = None,
        }
        Ok(self.models.is_some())
    }

    /// Returns the sums as they are kept.
    pub fn file(&self) -> DayFile {
        let org = self.org.to_string();
        let write = |lines: &mut dyn Iterator<Item = (i64, Option<Uuid>, Figures)>| {
            let mut text = HEADER.to_owned();
            for (day, model, figures) in lines {
                // Before the first day of the calendar there is none.
                let bucket = Timestamp::from_second(day.saturating_mul(SECONDS_OF_A_DAY)).unwrap_or(Timestamp::MIN);
                write_line(&mut text, &org, Key { bucket, model: model.map(Into::into) }, figures);
            }
            text
        };
        if let Some(models) = &self.models {
            let text = write(&mut models.iter().map(|((day, (is_none, model)), figures)| {
                (*day, (!is_none).then(|| Uuid::from_bytes(*model)), *figures)
            }));
            if text.len() <= MAX_BYTES {
                return DayFile { detail: DayDetail::Models, text };
            }
        }
        let text = write(&mut self.days.iter().map(|(day, figures)| (*day, None, *figures)));
        DayFile { detail: DayDetail::Days, text }
    }
}

#[cfg(test)]
mod tests {
    use copy::{Cost, Row};
    use domain::{
        Measures,
        changes::{Level, Merge, Step, Which},
    };
    use proptest::prelude::*;

    use super::*;
    use crate::csv::{Chunk, CsvWriter};

    const HOUR: i64 = 3_600_000_000;

    fn org() -> OrgId {
        Uuid::from_u128(1).into()
    }

    /// Writes rows of an hour and a model each into chunks of some lines. Returns the file and its days.
    fn write(rows: &[(i64, Option<u128>, i128)], lines_of_chunk: usize) -> (String, DayFile) {
        let mut writer = CsvWriter::new(org());
        let mut days = DaySums::new(org());
        let mut text = HEADER.to_owned();
        for lines in rows.chunks(lines_of_chunk) {
            let mut chunk = Chunk::new();
            for (hour, model, value) in lines {
                let model = model.map(u128::to_be_bytes);
                let measures = Measures::new([*value, -*value, 1], Cost { rounded: value * 3, remainder: 5 });
                let row = Row { bucket_start: hour * HOUR, model_id: model.as_ref(), measures };
                writer.write(&row, &mut chunk).unwrap();
            }
            chunk.end().unwrap();
            days.add(chunk.days()).unwrap();
            text.push_str(std::str::from_utf8(chunk.bytes()).unwrap());
        }
        (text, days.file())
    }

    /// The sums of a file at a level, by the merge with an empty one.
    fn sums(text: &str, level: Level) -> Vec<(Key, Figures)> {
        let mut merge = Merge::new(org(), level);
        let mut pieces = [(Which::Old, HEADER), (Which::New, text)].to_vec();
        let mut found = Vec::new();
        loop {
            match merge.step().unwrap() {
                Step::Change(change) => found.push((change.key, change.new)),
                Step::Done => return found,
                Step::Need(which) => match pieces.iter().position(|(of, _)| *of == which) {
                    Some(at) => merge.push(which, pieces.swap_remove(at).1.as_bytes()),
                    None => merge.end(which).unwrap(),
                },
            }
        }
    }

    proptest! {
        #[test]
        fn days_are_the_sums_of_the_lines(
            rows in prop::collection::btree_set((0_i64..100, 0_u128..6), 0..200),
            lines_of_chunk in 1_usize..60,
        ) {
            // Model 5 stands for none, which comes last.
            let rows: Vec<_> = rows.into_iter().map(|(hour, model)| {
                (hour, (model < 5).then_some(model), i128::from(hour) * 7 + model as i128 + 1)
            }).collect();
            let (text, kept) = write(&rows, lines_of_chunk);
            prop_assert_eq!(kept.detail, DayDetail::Models);
            prop_assert_eq!(sums(&kept.text, Level::Row), sums(&text, Level::DayAndModel));
        }
    }

    #[test]
    fn the_days_of_many_models_are_kept_without_them() {
        let rows: Vec<_> = (0..48).flat_map(|hour| (0..900).map(move |model| (hour, Some(model), 1))).collect();
        let (text, kept) = write(&rows, 2000);
        assert_eq!((kept.detail, kept.text.len() < MAX_BYTES), (DayDetail::Models, true));
        assert_eq!(sums(&kept.text, Level::Row), sums(&text, Level::DayAndModel));

        // More than fit, and more than are counted: in one chunk, and in all together.
        for (models, lines_of_chunk) in [(1300, 2000), (4000, 2000), (4000, 100_000)] {
            let rows: Vec<_> = (0..48).flat_map(|hour| (0..models).map(move |model| (hour, Some(model), 1))).collect();
            let (text, kept) = write(&rows, lines_of_chunk);
            assert_eq!(kept.detail, DayDetail::Days, "{models}");
            assert_eq!(sums(&kept.text, Level::Row), sums(&text, Level::Day));
            assert_eq!(kept.text.lines().count(), 3);
        }
    }
}

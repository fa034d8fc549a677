//! What a chart shows of its runs: each as a dot where they are few, and steps of time with their spread where they are many.

#![allow(clippy::float_arithmetic, reason = "durations and places in a picture, no money")]

use changepoints::median;

/// The maximum number of runs that have a dot each. More would become one black band.
pub(super) const MAX_DOTS: usize = 200;
/// The maximum number of steps: narrower ones could not be told apart.
const MAX_STEPS: f64 = 60.0;
/// The minimum number of runs of a step whose spread says something. Fewer are dots.
const MIN_SPREAD: usize = 5;
const HOUR: f64 = 3600.0;
/// The lengths of a step, in hours.
const LENGTHS: [f64; 13] = [1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 24.0, 48.0, 72.0, 168.0, 336.0, 672.0];

/// A successful run as a chart sees it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Dot {
    /// The start, in seconds since 1970.
    pub(super) at: f64,
    /// The duration, in seconds.
    pub(super) seconds: f64,
}

/// The runs of a chart, as it shows them.
#[derive(Debug, PartialEq)]
pub(super) enum Density {
    /// All runs, in their order.
    Dots(Vec<Dot>),
    /// Steps of time.
    Steps {
        /// The length of each step, in hours.
        hours: f64,
        /// The steps with runs, in the order of time.
        steps: Vec<Step>,
    },
}

/// A step of time that has runs.
#[derive(Debug, PartialEq)]
pub(super) struct Step {
    /// The start, in seconds since 1970.
    pub(super) start: f64,
    /// The number of runs.
    pub(super) runs: usize,
    pub(super) content: Content,
}

/// The runs of a step.
#[derive(Debug, PartialEq)]
pub(super) enum Content {
    /// Each of them, since they are few.
    Few(Vec<Dot>),
    Many(Spread),
}

/// The spread of the durations of a step. Percentiles are by nearest rank, in seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Spread {
    pub(super) shortest: Dot,
    pub(super) p10: f64,
    pub(super) median: f64,
    pub(super) p90: f64,
    pub(super) longest: Dot,
}

impl Density {
    /// Chooses what is shown of runs in a range of time, in seconds since 1970. The steps depend on the range alone, so
    /// that another run moves none. A run outside the range is counted in the first or the last step.
    pub(super) fn of(runs: &[Dot], start: f64, end: f64) -> Self {
        if runs.len() <= MAX_DOTS {
            return Self::Dots(runs.to_vec());
        }
        let hours = length(end - start);
        let seconds = hours * HOUR;
        let last = ((end - start) / seconds).ceil().max(1.0) - 1.0;
        let place = |run: &Dot| ((run.at - start) / seconds).floor().clamp(0.0, last);
        let mut sorted = runs.to_vec();
        sorted.sort_by(|a, b| place(a).total_cmp(&place(b)));
        let steps = sorted.chunk_by(|a, b| place(a).total_cmp(&place(b)).is_eq());
        let steps = steps.map(|runs| Step {
            start: start + seconds * place(&runs[0]),
            runs: runs.len(),
            content: Content::of(runs),
        });
        Self::Steps { hours, steps: steps.collect() }
    }
}

impl Content {
    fn of(runs: &[Dot]) -> Self {
        let by_duration = |a: &&Dot, b: &&Dot| a.seconds.total_cmp(&b.seconds);
        match (runs.iter().min_by(by_duration), runs.iter().max_by(by_duration)) {
            (Some(shortest), Some(longest)) if runs.len() >= MIN_SPREAD => {
                let mut sorted: Vec<f64> = runs.iter().map(|run| run.seconds).collect();
                sorted.sort_unstable_by(f64::total_cmp);
                let rank = |tenths: usize| sorted[(tenths * sorted.len()).div_ceil(10) - 1];
                let (p10, p90) = (rank(1), rank(9));
                Self::Many(Spread { shortest: *shortest, p10, median: median(&sorted), p90, longest: *longest })
            }
            _ => Self::Few(runs.to_vec()),
        }
    }
}

/// Returns the length of the steps of a range of so many seconds, in hours: the shortest of which the range has at most
/// [`MAX_STEPS`].
fn length(range: f64) -> f64 {
    let fits = |hours: &f64| range / (hours * HOUR) <= MAX_STEPS;
    LENGTHS.into_iter().find(fits).unwrap_or_else(|| (range / (MAX_STEPS * 24.0 * HOUR)).ceil() * 24.0)
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    const DAY: f64 = 24.0 * HOUR;

    fn runs(count: usize) -> impl Strategy<Value = Vec<Dot>> {
        let run = (-5.0 * DAY..105.0 * DAY, prop_oneof![Just(60.0), 0.0..100.0, 1e3..1e6]);
        vec(run.prop_map(|(at, seconds)| Dot { at, seconds }), 0..count)
    }

    fn extremes<'a>(runs: impl Iterator<Item = &'a Dot> + Clone) -> (f64, f64) {
        let durations = runs.map(|run| run.seconds);
        (durations.clone().fold(f64::INFINITY, f64::min), durations.fold(0.0, f64::max))
    }

    #[test]
    fn few_runs_are_dots_and_one_more_makes_steps() {
        let run = |n: usize| Dot { at: HOUR * f64::from(u16::try_from(n).unwrap()), seconds: 60.0 };
        let few: Vec<Dot> = (0..MAX_DOTS).map(run).collect();
        assert_eq!(Density::of(&few, 0.0, 90.0 * DAY), Density::Dots(few.clone()));
        let many: Vec<Dot> = (0..=MAX_DOTS).map(run).collect();
        let Density::Steps { hours, steps } = Density::of(&many, 0.0, 90.0 * DAY) else { panic!("too many dots") };
        // 201 hours are 4.2 steps of two days.
        assert_eq!((hours, steps.len(), steps[0].runs, steps[4].runs), (48.0, 5, 48, 9));
    }

    #[test]
    fn a_step_is_as_short_as_can_be_told_apart() {
        for (days, hours) in
            [(1.0, 1.0), (2.5, 1.0), (3.0, 2.0), (7.0, 3.0), (30.0, 12.0), (60.0, 24.0), (90.0, 48.0), (366.0, 168.0)]
        {
            assert_eq!(length(days * DAY), hours, "{days} days");
        }
        assert_eq!(length(4000.0 * DAY), 67.0 * 24.0);
    }

    #[test]
    fn percentiles_are_those_of_the_runs() {
        let runs: Vec<Dot> = (1..=20_u8).map(|n| Dot { at: 0.0, seconds: f64::from(n) }).collect();
        let Content::Many(Spread { shortest, p10, median, p90, longest }) = Content::of(&runs) else { panic!("few") };
        assert_eq!([shortest.seconds, p10, median, p90, longest.seconds], [1.0, 2.0, 10.0, 18.0, 20.0]);
        assert!(matches!(Content::of(&runs[..4]), Content::Few(few) if few.len() == 4));
    }

    proptest! {
        #[test]
        fn no_run_is_lost_and_the_extremes_are_kept(runs in runs(1200), days in 1_u16..400) {
            let end = f64::from(days) * DAY;
            match Density::of(&runs, 0.0, end) {
                Density::Dots(dots) => prop_assert_eq!(dots, runs),
                Density::Steps { hours, steps } => {
                    prop_assert_eq!(steps.iter().map(|step| step.runs).sum::<usize>(), runs.len());
                    prop_assert!(steps.len() <= 60 && steps.is_sorted_by(|a, b| a.start < b.start));
                    prop_assert!(steps.iter().all(|step| step.start >= 0.0 && step.start < end && step.start % (hours * HOUR) == 0.0));
                    let shown: Vec<Dot> = steps.iter().flat_map(|step| match &step.content {
                        Content::Few(dots) => { assert_eq!(dots.len(), step.runs); dots.clone() }
                        Content::Many(spread) => vec![spread.shortest, spread.longest],
                    }).collect();
                    prop_assert_eq!(extremes(shown.iter()), extremes(runs.iter()));
                    prop_assert!(shown.iter().all(|dot| runs.contains(dot)));
                    for step in &steps {
                        if let Content::Many(spread) = step.content {
                            let values = [spread.shortest.seconds, spread.p10, spread.median, spread.p90, spread.longest.seconds];
                            prop_assert!(values.is_sorted(), "{values:?}");
                        }
                    }
                }
            }
        }

        #[test]
        fn the_order_of_the_runs_does_not_matter(mut runs in runs(600)) {
            runs.sort_by(|a, b| a.at.total_cmp(&b.at).then(a.seconds.total_cmp(&b.seconds)));
            runs.dedup_by(|a, b| a.at == b.at);
            let mut turned = runs.clone();
            turned.reverse();
            let numbers = |density| match density {
                Density::Dots(dots) => vec![dots.len()],
                Density::Steps { steps, .. } => steps.iter().map(|step| step.runs).collect(),
            };
            prop_assert_eq!(numbers(Density::of(&runs, 0.0, 100.0 * DAY)), numbers(Density::of(&turned, 0.0, 100.0 * DAY)));
        }
    }
}

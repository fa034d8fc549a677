//! Simulated series of CI durations, with a known change or none, and the detector's results on them.

use changepoints::{Change, Settings, changes, mark_days};
use rand::{SeedableRng as _, rngs::StdRng};
use rand_distr::{Distribution as _, Gamma, LogNormal, StandardUniform, StudentT};

/// The maximum distance, in runs, of a reported change from the true one.
pub const MAX_ERROR: usize = 5;
/// The median duration before the change, in seconds.
const BASE: f64 = 120.0;
/// The seed of the first series of the tables. The constants of the detector were chosen on others, below 30,000,000.
pub const FIRST_SEED: u64 = 9_100_000_000;

/// The noise of durations when nothing changes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Noise {
    /// Log-normal, as on a dedicated machine: σ 0.05.
    Quiet,
    /// Log-normal, as on shared machines: σ 0.1.
    Usual,
    /// Log-normal, σ 0.25.
    Loud,
    /// The logarithm has Student's t distribution with 2 degrees of freedom, which has no variance; scale 0.08.
    HeavyTailed,
    /// As `Usual`, but one run in twenty takes two to five times as long.
    Outliers,
    /// As `Usual`, with a slow growth of 4 % over the whole series: less than the threshold.
    Drift,
    /// As `Usual`, but half of each deviation is that of the previous run, which violates the assumption of the test.
    Correlated,
    /// Gamma with a shape of 60: σ 0.13, skewed.
    Gamma,
    /// The sum of two uniform numbers, σ 0.1: no tails.
    Triangular,
    /// As `Usual`, but this share of each deviation is that of the previous run.
    Persistent(f64),
    /// As `Usual`, but a warm cache saves a share for a while: it turns warm or cold after some runs on average.
    Bursts { runs: f64, saved: f64 },
    /// As `Usual`, some runs a day, of which those at weekends are faster by a share.
    Weekends { runs: usize, faster: f64 },
    /// As `Usual`, some runs a day, all of which share another factor with this σ.
    Days { runs: usize, sigma: f64 },
}

impl Noise {
    /// The kinds of noise that the power is studied with, and their names.
    pub const ALL: [(Self, &'static str); 9] = [
        (Self::Quiet, "log-normal, σ 0.05"),
        (Self::Usual, "log-normal, σ 0.10"),
        (Self::Loud, "log-normal, σ 0.25"),
        (Self::HeavyTailed, "heavy-tailed, t₂ × 0.08"),
        (Self::Outliers, "σ 0.10, 5 % outliers"),
        (Self::Gamma, "gamma, shape 60"),
        (Self::Triangular, "triangular, σ 0.10"),
        (Self::Drift, "σ 0.10, drift of 4 %"),
        (Self::Correlated, "σ 0.10, correlated 0.5"),
    ];
    /// The kinds of noise that look like changes. The constants were chosen with all of
    /// them in view, on other seeds.
    pub const WANDERING: [(Self, &'static str); 12] = [
        (Self::Persistent(0.6), "AR(1) 0.6"),
        (Self::Bursts { runs: 12.0, saved: 0.3 }, "cache warm for 12 runs, -30 %"),
        (Self::Weekends { runs: 1, faster: 0.15 }, "weekends -15 %, 1 run a day"),
        (Self::Weekends { runs: 5, faster: 0.15 }, "weekends -15 %, 5 runs a day"),
        (Self::Days { runs: 10, sigma: 0.1 }, "a factor per day, 10 runs a day"),
        (Self::Days { runs: 20, sigma: 0.1 }, "a factor per day, 20 runs a day"),
        (Self::Persistent(0.75), "AR(1) 0.75"),
        (Self::Bursts { runs: 25.0, saved: 0.2 }, "cache warm for 25 runs, -20 %"),
        (Self::Weekends { runs: 3, faster: 0.25 }, "weekends -25 %, 3 runs a day"),
        (Self::Weekends { runs: 12, faster: 0.2 }, "weekends -20 %, 12 runs a day"),
        (Self::Days { runs: 6, sigma: 0.15 }, "a factor per day, 6 runs a day, σ 0.15"),
        (Self::Days { runs: 30, sigma: 0.07 }, "a factor per day, 30 runs a day, σ 0.07"),
    ];

    /// Simulates a series that becomes slower by the share `step` at index `at`.
    pub fn series(self, length: usize, at: usize, step: f64, seed: u64) -> Vec<f64> {
        let mut random = StdRng::seed_from_u64(seed);
        let sigma = match self {
            Self::Quiet => 0.05,
            Self::Loud => 0.25,
            _ => 0.1,
        };
        let normal = LogNormal::new(0.0, sigma).unwrap();
        let heavy = StudentT::new(2.0).unwrap();
        let gamma = Gamma::new(60.0, 1.0 / 60.0).unwrap();
        let (mut before, mut warm, mut today) = (0.0, false, 1.0);
        let mut run = |index: usize| {
            let mut factor = match self {
                Self::HeavyTailed => f64::exp(heavy.sample(&mut random) * 0.08),
                Self::Gamma => gamma.sample(&mut random),
                _ => normal.sample(&mut random),
            };
            let [chance, size]: [f64; 2] = std::array::from_fn(|_| StandardUniform.sample(&mut random));
            match self {
                Self::Outliers if chance < 0.05 => factor *= 2.0 + 3.0 * size,
                Self::Drift => factor *= 1.0 + 0.04 * index as f64 / length as f64,
                Self::Triangular => factor = 1.0 + 0.245 * (chance + size - 1.0),
                Self::Correlated | Self::Persistent(_) => {
                    let share = if let Self::Persistent(share) = self { share } else { 0.5 };
                    before = share * before + factor.ln() * f64::sqrt(1.0 - share * share);
                    factor = before.exp();
                }
                Self::Bursts { runs, saved } => {
                    warm ^= chance < 1.0 / runs;
                    factor *= if warm { 1.0 - saved } else { 1.0 };
                }
                Self::Weekends { runs, faster } if index % (7 * runs) >= 5 * runs => factor *= 1.0 - faster,
                Self::Days { runs, sigma } => {
                    if index.is_multiple_of(runs) {
                        today = f64::powf(normal.sample(&mut random), sigma / 0.1);
                    }
                    factor *= today;
                }
                _ => {}
            }
            BASE * factor * if index < at { 1.0 } else { 1.0 + step }
        };
        (0..length).map(&mut run).collect()
    }
}

/// Searches a series of this kind of noise as the report does. Kinds that know no days have ten runs a day.
pub fn detect(noise: Noise, series: &[f64]) -> Vec<Change> {
    let runs = if let Noise::Days { runs, .. } | Noise::Weekends { runs, .. } = noise { runs } else { 10 };
    let days: Vec<i64> = (0..series.len()).map(|index| i64::try_from(index / runs).unwrap()).collect();
    let mut found = changes(series, &Settings::default());
    mark_days(&mut found, series, &days);
    found
}

/// The results on many series.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Outcome {
    /// The number of series with a reported change near the true place and in its direction.
    pub found: usize,
    /// The number of other series with a reported change. For series without a change, these are false alarms.
    pub elsewhere: usize,
    /// Of all these series, those without a change that is not marked as one of correlated noise.
    pub marked: usize,
}

/// Looks for changes in `count` series.
pub fn study(noise: Noise, length: usize, at: usize, step: f64, count: usize) -> Outcome {
    study_by(noise, length, at, step, count, |series| detect(noise, series))
}

/// Looks for changes in `count` series with a detector.
pub fn study_by(
    noise: Noise,
    length: usize,
    at: usize,
    step: f64,
    count: usize,
    detect: impl Fn(&[f64]) -> Vec<Change>,
) -> Outcome {
    let mut outcome = Outcome::default();
    for seed in (FIRST_SEED..).take(count) {
        let changes = detect(&noise.series(length, at, step, seed));
        let near = |index: usize| index.abs_diff(at) <= MAX_ERROR;
        let found = step > 0.0 && changes.iter().any(|change| near(change.index) && change.after > change.before);
        outcome.found += usize::from(found);
        outcome.elsewhere += usize::from(!found && !changes.is_empty());
        outcome.marked += usize::from(!changes.is_empty() && changes.iter().all(|change| change.correlated));
    }
    outcome
}

/// Simulates a series with 30 % more for 20 runs in the middle.
pub fn bump(noise: Noise, length: usize, seed: u64) -> Vec<f64> {
    let mut series = noise.series(length, length, 0.0, seed);
    series[length / 2..length / 2 + 20].iter_mut().for_each(|duration| *duration *= 1.3);
    series
}

/// Returns the number of series in which both ends of a bump are found: 30 % more for 20 runs in the middle.
pub fn bumps(noise: Noise, length: usize, count: usize, detect: impl Fn(&[f64]) -> Vec<Change>) -> usize {
    let (start, end) = (length / 2, length / 2 + 20);
    let found = |seed| {
        let changes = detect(&bump(noise, length, seed));
        let near = |at: usize, slower: bool| {
            changes
                .iter()
                .any(|change| change.index.abs_diff(at) <= MAX_ERROR && (change.after > change.before) == slower)
        };
        near(start, true) && near(end, false)
    };
    (FIRST_SEED..).take(count).filter(|seed| found(*seed)).count()
}

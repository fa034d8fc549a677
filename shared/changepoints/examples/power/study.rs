//! Simulated series of CI durations, with a known change or none, and the detector's results on them.

use changepoints::{Settings, changes};
use rand::{SeedableRng as _, rngs::StdRng};
use rand_distr::{Distribution as _, LogNormal, StandardUniform, StudentT};

/// The maximum distance, in runs, of a reported change from the true one.
pub const MAX_ERROR: usize = 5;
/// The median duration before the change, in seconds.
const BASE: f64 = 120.0;

/// The noise of durations when nothing changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
}

impl Noise {
    /// Every kind of noise, with its name.
    pub const ALL: [(Self, &'static str); 7] = [
        (Self::Quiet, "log-normal, σ 0.05"),
        (Self::Usual, "log-normal, σ 0.10"),
        (Self::Loud, "log-normal, σ 0.25"),
        (Self::HeavyTailed, "heavy-tailed, t₂ × 0.08"),
        (Self::Outliers, "σ 0.10, 5 % outliers"),
        (Self::Drift, "σ 0.10, drift of 4 %"),
        (Self::Correlated, "σ 0.10, correlated 0.5"),
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
        let mut before = 0.0;
        let mut run = |index: usize| {
            let mut factor = match self {
                Self::HeavyTailed => f64::exp(heavy.sample(&mut random) * 0.08),
                _ => normal.sample(&mut random),
            };
            let [chance, size]: [f64; 2] = std::array::from_fn(|_| StandardUniform.sample(&mut random));
            match self {
                Self::Outliers if chance < 0.05 => factor *= 2.0 + 3.0 * size,
                Self::Drift => factor *= 1.0 + 0.04 * index as f64 / length as f64,
                Self::Correlated => {
                    before = 0.5 * before + factor.ln() * f64::sqrt(0.75);
                    factor = before.exp();
                }
                _ => {}
            }
            BASE * factor * if index < at { 1.0 } else { 1.0 + step }
        };
        (0..length).map(&mut run).collect()
    }
}

/// The results on many series.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Outcome {
    /// The number of series with a reported change near the true place and in its direction.
    pub found: usize,
    /// The number of other series with a reported change. For series without a change, these are false alarms.
    pub elsewhere: usize,
}

/// Looks for changes in `count` series.
pub fn study(noise: Noise, length: usize, at: usize, step: f64, count: usize) -> Outcome {
    let mut outcome = Outcome::default();
    for seed in 0..count as u64 {
        let changes = changes(&noise.series(length, at, step, seed), &Settings::default());
        let near = |index: usize| index.abs_diff(at) <= MAX_ERROR;
        let found = step > 0.0 && changes.iter().any(|change| near(change.index) && change.after > change.before);
        outcome.found += usize::from(found);
        outcome.elsewhere += usize::from(!found && !changes.is_empty());
    }
    outcome
}

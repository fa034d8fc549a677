//! Medians and spread.

use std::time::Duration;

/// The same thing, measured several times.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sample(Vec<Duration>);

impl Sample {
    pub(crate) fn add(&mut self, value: Duration) {
        self.0.push(value);
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn sum(&self) -> Duration {
        self.0.iter().sum()
    }

    pub(crate) fn median(&self) -> Duration {
        self.percentile(50)
    }

    /// The value that so many percent of all do not exceed.
    pub(crate) fn percentile(&self, percent: usize) -> Duration {
        let mut values = self.0.clone();
        values.sort_unstable();
        let rank = (values.len() * percent).div_ceil(100).max(1);
        values.get(rank - 1).copied().unwrap_or_default()
    }

    pub(crate) fn least(&self) -> Duration {
        self.percentile(0)
    }

    pub(crate) fn most(&self) -> Duration {
        self.percentile(100)
    }

    /// The median, over the rounds, of how many times longer `other` took than this.
    pub(crate) fn speed_up_from(&self, other: &Self) -> f64 {
        let mut ratios: Vec<f64> =
            self.0.iter().zip(&other.0).map(|(own, other)| other.as_secs_f64() / own.as_secs_f64()).collect();
        ratios.sort_by(f64::total_cmp);
        ratios.get(ratios.len().div_ceil(2).saturating_sub(1)).copied().unwrap_or(f64::NAN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(values: &[u64]) -> Sample {
        Sample(values.iter().copied().map(Duration::from_millis).collect())
    }

    #[test]
    fn percentiles_are_values_that_were_measured() {
        let sample = sample(&[50, 10, 40, 20, 30]);
        assert_eq!(sample.median(), Duration::from_millis(30));
        assert_eq!(sample.least(), Duration::from_millis(10));
        assert_eq!(sample.percentile(99), Duration::from_millis(50));
        assert_eq!(sample.sum(), Duration::from_millis(150));
    }

    #[test]
    fn a_speed_up_is_the_median_of_the_rounds() {
        assert!((sample(&[10, 10, 20]).speed_up_from(&sample(&[20, 90, 60])) - 3.0).abs() < 1e-9);
    }
}

//! Rates with their confidence.

/// Writes a rate in percent with Wilson's interval, which holds the true rate in 95 % of all studies.
pub fn rate(part: usize, count: usize) -> String {
    let (n, p) = (count as f64, part as f64 / count as f64);
    let z: f64 = 1.96;
    let middle = (p + z * z / (2.0 * n)) / (1.0 + z * z / n);
    let half = z * (p * (1.0 - p) / n + z * z / (4.0 * n * n)).sqrt() / (1.0 + z * z / n);
    format!("{:.1} % ({:.0}–{:.0})", 100.0 * p, 100.0 * (middle - half).max(0.0), 100.0 * (middle + half).min(1.0))
}

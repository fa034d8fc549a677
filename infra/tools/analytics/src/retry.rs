//! Repeats of requests that failed for a moment.

//! What is asked of the usage in PostgreSQL beside the rows of an export: who has any, and its sums.

mod organizations;

pub use organizations::organizations;

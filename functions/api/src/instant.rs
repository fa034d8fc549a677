//! Instants as answers state them.

pub(crate) use domain::instant::whole_second;

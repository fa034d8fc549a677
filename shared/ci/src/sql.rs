//! Parameters of SQL statements. A placeholder is numbered when its value is added, so that no statement counts them.

use std::fmt;

use tokio_postgres::types::{ToSql, Type};

/// The value of a parameter.
pub(crate) type Value<'a> = Box<dyn ToSql + Sync + Send + 'a>;

/// The parameters of one statement, each with its type: a statement with known types is sent without being prepared
/// first.
#[derive(Default)]
pub(crate) struct Parameters<'a>(Vec<(Value<'a>, Type)>);

impl<'a> Parameters<'a> {
    /// Adds a value. Returns its placeholder, such as `$3`.
    pub(crate) fn push(&mut self, kind: Type, value: impl ToSql + Sync + Send + 'a) -> String {
        self.push_boxed(kind, Box::new(value))
    }

    /// Adds a value that is boxed already. Returns its placeholder.
    pub(crate) fn push_boxed(&mut self, kind: Type, value: Value<'a>) -> String {
        self.0.push((value, kind));
        format!("${}", self.0.len())
    }

    /// Adds a text. Returns its placeholder.
    pub(crate) fn text(&mut self, value: impl ToSql + Sync + Send + 'a) -> String {
        self.push(Type::TEXT, value)
    }

    /// Returns the parameters as the driver's `query_typed` takes them.
    pub(crate) fn typed(&self) -> Vec<(&(dyn ToSql + Sync), Type)> {
        self.0.iter().map(|(value, kind)| (&**value as &(dyn ToSql + Sync), kind.clone())).collect()
    }
}

#[cfg(feature = "reports")]
impl<'a> Parameters<'a> {
    /// Returns the parameters as the driver's `query_typed_raw` takes them.
    pub(crate) fn into_typed(self) -> Vec<(Value<'a>, Type)> {
        self.0
    }
}

impl fmt::Debug for Parameters<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Values may name people.
        f.debug_list().entries(self.0.iter().map(|(_, kind)| kind.name())).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_count_the_values() {
        let name = "secret".to_owned();
        let mut parameters = Parameters::default();
        assert_eq!((parameters.text(&name), parameters.push(Type::INT8, 7_i64)), ("$1".to_owned(), "$2".to_owned()));
        let types: Vec<Type> = parameters.typed().into_iter().map(|(_, kind)| kind).collect();
        assert_eq!(types, [Type::TEXT, Type::INT8]);
        assert_eq!(format!("{parameters:?}"), r#"["text", "int8"]"#);
    }
}

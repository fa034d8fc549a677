//! The template, as data.

use saphyr::{LoadableYamlNode as _, Scalar, Yaml};
use serde_json::{Map, Value, json};

/// A template, with intrinsic functions in their long form, such as `{"Ref": "WorkerTimeout"}`.
#[derive(Debug)]
pub struct Template(Value);

impl Template {
    /// Reads `template.yaml`.
    ///
    /// # Panics
    /// When it is not valid YAML.
    pub fn read() -> Self {
        Self::at("template.yaml")
    }

    /// Reads `infra/operations.yaml`, the application that is nested in it.
    ///
    /// # Panics
    /// When it is not valid YAML.
    pub fn operations() -> Self {
        Self::at("infra/operations.yaml")
    }

    fn at(path: &str) -> Self {
        let text = std::fs::read_to_string(format!("{}/../{path}", env!("CARGO_MANIFEST_DIR"))).unwrap();
        Self(to_json(&Yaml::load_from_str(&text).unwrap()[0]))
    }

    /// Returns the value at a path such as `Parameters/WorkerTimeout/Default`.
    ///
    /// # Panics
    /// When there is none.
    pub fn value(&self, path: &str) -> &Value {
        self.0.pointer(&format!("/{path}")).unwrap_or_else(|| panic!("the template has no {path}"))
    }

    /// Reads `infra/endpoints.yaml`, the application of a VPC's endpoints.
    ///
    /// # Panics
    /// When it is not valid YAML.
    pub fn endpoints() -> Self {
        Self::at("infra/endpoints.yaml")
    }

    /// Reads `infra/downloads.yaml`, the application of links by CloudFront.
    ///
    /// # Panics
    /// When it is not valid YAML.
    pub fn downloads() -> Self {
        Self::at("infra/downloads.yaml")
    }

    /// Returns the number at a path; for a reference to a parameter, the parameter's default; for a condition, the number
    /// where it holds.
    ///
    /// # Panics
    /// When there is none.
    pub fn number(&self, path: &str) -> i64 {
        let value = self.value(path);
        if value.get("Fn::If").is_some() {
            return self.number(&format!("{path}/Fn::If/1"));
        }
        match value["Ref"].as_str() {
            Some(parameter) => self.number(&format!("Parameters/{parameter}/Default")),
            None => value.as_i64().unwrap_or_else(|| panic!("{path} is {value}, not a number")),
        }
    }

    /// Returns the names of the resources of a type, such as `AWS::Serverless::Function`.
    ///
    /// # Panics
    /// When the template has no resources.
    pub fn resources(&self, kind: &str) -> Vec<&str> {
        let resources = self.value("Resources").as_object().expect("resources");
        resources.iter().filter(|(_, resource)| resource["Type"] == kind).map(|(name, _)| name.as_str()).collect()
    }
}

fn to_json(node: &Yaml<'_>) -> Value {
    match node {
        Yaml::Value(Scalar::Boolean(value)) => json!(value),
        Yaml::Value(Scalar::Integer(value)) => json!(value),
        Yaml::Value(Scalar::String(value)) => json!(value),
        Yaml::Sequence(nodes) => nodes.iter().map(to_json).collect(),
        Yaml::Mapping(nodes) => {
            let entry =
                |(key, value): (&Yaml<'_>, &Yaml<'_>)| (key.as_str().expect("a key").to_owned(), to_json(value));
            Value::Object(nodes.iter().map(entry).collect::<Map<_, _>>())
        }
        Yaml::Tagged(tag, node) => {
            let name = match tag.suffix.as_str() {
                name @ ("Ref" | "Condition") => name.to_owned(),
                name => format!("Fn::{name}"),
            };
            json!({name: to_json(node)})
        }
        other => panic!("the template has {other:?}"),
    }
}

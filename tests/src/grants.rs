//! The grants of the functions' roles, as the stack has them, and the emulator's decisions about their calls.

use std::fs;

use percent_encoding::percent_decode_str;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    Template,
    aws::{encoded, iam},
    stack::variable,
};

/// An allowed action on the resources of a pattern.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Grant {
    /// The action, such as `s3:GetObject`.
    pub action: String,
    /// The pattern of the resources' ARNs.
    pub resource: String,
}

/// A decision of the emulator about a call.
#[derive(Debug, Deserialize)]
pub struct Decision {
    /// The name of the role or user that made the call.
    pub principal: String,
    /// The action.
    pub action: String,
    /// The ARN of the resource.
    pub resource: String,
    /// `true` if the call was allowed.
    pub allowed: bool,
}

/// A role or a user of the template, with the policies that it has alone.
#[derive(Debug)]
pub struct Holder {
    /// Its logical id, such as `ApiRole`.
    pub id: String,
    kind: Kind,
    /// Its name on the stack.
    name: String,
    policies: Vec<Policy>,
}

/// The kind of a holder, as IAM names it in its actions and parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Role,
    User,
}

#[derive(Debug)]
struct Policy {
    name: String,
    document: Value,
}

impl Grant {
    /// Reports whether it covers a call.
    pub fn covers(&self, call: &Decision) -> bool {
        self.action == call.action && matches(self.resource.as_bytes(), call.resource.as_bytes())
    }
}

impl Holder {
    /// Reads all roles of the functions.
    ///
    /// # Panics
    /// When one cannot be read.
    pub async fn roles() -> Vec<Self> {
        let mut roles = Vec::new();
        for id in Template::read().resources("AWS::IAM::Role") {
            roles.push(Self::read(Kind::Role, id).await);
        }
        roles
    }

    /// Reads a user.
    ///
    /// # Panics
    /// When it cannot be read.
    pub async fn user(id: &str) -> Self {
        Self::read(Kind::User, id).await
    }

    async fn read(kind: Kind, id: &str) -> Self {
        let names = iam(&format!("List{kind:?}s"), &[]).await;
        let names = elements(&names, &format!("{kind:?}Name"));
        let found = names.iter().find(|name| name.contains(id));
        let name = found.unwrap_or_else(|| panic!("no {id} among {names:?}")).clone();
        let mut holder = Self { id: id.to_owned(), kind, name, policies: Vec::new() };
        for policy in elements(&holder.call("List", "Policies", &[]).await, "member") {
            let answer = holder.call("Get", "Policy", &[("PolicyName", &policy)]).await;
            let documents = elements(&answer, "PolicyDocument");
            let [document] = documents.as_slice() else { panic!("no policy: {answer}") };
            let document = percent_decode_str(document).decode_utf8().expect("a policy is UTF-8");
            let document = serde_json::from_str(&document).expect("a policy is JSON");
            holder.policies.push(Policy { name: policy, document });
        }
        holder
    }

    /// Returns all its grants.
    pub fn grants(&self) -> Vec<Grant> {
        self.policies.iter().flat_map(|policy| allowed(&policy.document)).map(|(grant, _)| grant).collect()
    }

    /// Takes one grant away.
    pub async fn take_away(&self, grant: &Grant) {
        for Policy { name, document } in &self.policies {
            let denials = statements(document).filter(|statement| statement["Effect"] == "Deny").cloned();
            let others = allowed(document).into_iter().filter(|(other, _)| other != grant);
            let left: Vec<Value> = denials.chain(others.map(|(_, statement)| statement)).collect();
            if left.is_empty() {
                self.call("Delete", "Policy", &[("PolicyName", name)]).await;
            } else {
                self.put(name, &json!({"Version": "2012-10-17", "Statement": left})).await;
            }
        }
    }

    /// Gives all its grants back.
    pub async fn give_back(&self) {
        for Policy { name, document } in &self.policies {
            self.put(name, document).await;
        }
    }

    async fn put(&self, name: &str, document: &Value) {
        let document = encoded(&document.to_string());
        self.call("Put", "Policy", &[("PolicyName", name), ("PolicyDocument", &document)]).await;
    }

    /// Calls an action on its policies, such as `GetRolePolicy`.
    async fn call(&self, verb: &str, object: &str, parameters: &[(&str, &str)]) -> String {
        let Self { kind, name, .. } = self;
        let holder = format!("{kind:?}Name");
        let all: Vec<(&str, &str)> =
            [(holder.as_str(), name.as_str())].into_iter().chain(parameters.iter().copied()).collect();
        iam(&format!("{verb}{kind:?}{object}"), &all).await
    }

    /// Reports whether a call is its own.
    pub fn made(&self, call: &Decision) -> bool {
        self.name == call.principal
    }
}

/// Reads the decisions about all calls until now.
///
/// # Panics
/// When the emulator has recorded none.
pub fn decisions() -> Vec<Decision> {
    let path = variable("DECISIONS");
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    // The last line may not be whole yet.
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    whole.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
}

/// Checks that no function has made a call that none of its grants covers. A call that was denied because a test had taken
/// a grant away is covered.
///
/// # Panics
/// When there is such a call, or none at all.
pub async fn assert_no_call_is_beyond() {
    let calls = decisions();
    let mut count = 0;
    let mut beyond = Vec::new();
    for role in Holder::roles().await {
        let grants = role.grants();
        for call in calls.iter().filter(|call| role.made(call)) {
            count += 1;
            if !grants.iter().any(|grant| grant.covers(call)) {
                beyond.push(format!("{}: {} on {}", role.id, call.action, call.resource));
            }
        }
    }
    assert!(count > 0, "no call was recorded");
    assert!(beyond.is_empty(), "no grant covers {beyond:#?}");
}

/// The grants of a policy, each with a statement of its own.
fn allowed(document: &Value) -> Vec<(Grant, Value)> {
    let mut all = Vec::new();
    for statement in statements(document).filter(|statement| statement["Effect"] == "Allow") {
        for action in texts(&statement["Action"]) {
            for resource in texts(&statement["Resource"]) {
                let mut own = json!({"Effect": "Allow", "Action": action, "Resource": resource});
                if let Some(condition) = statement.get("Condition") {
                    own["Condition"] = condition.clone();
                }
                all.push((Grant { action: action.to_owned(), resource: resource.to_owned() }, own));
            }
        }
    }
    all
}

fn statements(document: &Value) -> impl Iterator<Item = &Value> {
    document["Statement"].as_array().expect("a policy has statements").iter()
}

/// The text, or the texts of a list.
fn texts(value: &Value) -> Vec<&str> {
    let all = value.as_array().map_or_else(|| std::slice::from_ref(value), Vec::as_slice);
    all.iter().map(|text| text.as_str().expect("a text")).collect()
}

/// The texts of the elements of this name.
fn elements(xml: &str, name: &str) -> Vec<String> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    xml.split(&open).skip(1).filter_map(|rest| rest.split(&close).next()).map(str::to_owned).collect()
}

/// Matches as IAM does: `*` stands for any text, and `?` for any one character.
fn matches(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern, text) {
        ([], []) => true,
        ([b'*', rest @ ..], _) => (0..=text.len()).any(|skipped| matches(rest, &text[skipped..])),
        ([b'?', pattern @ ..], [_, text @ ..]) => matches(pattern, text),
        ([wanted, pattern @ ..], [found, text @ ..]) => wanted == found && matches(pattern, text),
        _ => false,
    }
}

//! Sign-in and sign-out while the jobs table refuses, or its answers are lost.

use aws_sdk_dynamodb::types::AttributeValue;
use sha2::{Digest as _, Sha256};
use tests::{Browser, Person, stack::variable};

use crate::{
    case::{Case, case},
    rule::Action,
    scene::{Found, Scene},
};

pub(crate) const CASES: &[Case] = &[
    case!(
        sign_in_refused,
        "DynamoDB answers 500 to an attempt to sign in, then to the session, until the SDK gives up",
        // Nothing tells one person's attempt from another's.
        alone = true
    ),
    case!(sign_in_answer_lost, "a session is kept, and the answer lost"),
    case!(session_not_read, "DynamoDB answers 500 to the reading of a session, until the SDK gives up"),
    case!(sign_out_refused, "DynamoDB answers 500 to the end of a session, until the SDK gives up"),
    case!(sign_out_answer_lost, "a session ends, and the answer is lost"),
];

/// A person, and the partition of their sessions.
fn person(scene: &Scene) -> (Person, String) {
    let person = Person::of(scene.stack.organization().id, "controller");
    let digest = hex::encode(Sha256::digest(format!("{}\n{}", scene.stack.issuer.name, person.subject)));
    (person, format!("SESSIONS#{}", &digest[..16]))
}

/// Returns the number of a partition's sessions that have not ended.
async fn sessions(scene: &Scene, partition: &str) -> usize {
    let query = scene.stack.dynamodb.query().table_name(variable("JOBS_TABLE")).consistent_read(true);
    let query = query.key_condition_expression("pk = :pk");
    let query = query.expression_attribute_values(":pk", AttributeValue::S(partition.to_owned()));
    let items = query.send().await.expect("the table answers").items.unwrap_or_default();
    items.iter().filter(|item| item.contains_key("value")).count()
}

async fn sign_in_refused(scene: &Scene) -> Found {
    let (person, partition) = person(scene);
    let mut browser = Browser::new(&scene.stack);
    {
        let _refused = scene.proxies.add("api.dynamodb", &["LOGIN#", "TransactWriteItems"], 3, Action::Refuse(500));
        let answer = browser.try_to_sign_in(&person).await.expect_err("the attempt could not be kept");
        assert_eq!((answer.status, answer.header("content-type")), (503, Some("text/html; charset=utf-8")));
    }
    {
        let _refused = scene.proxies.add("api.dynamodb", &[&partition, "TransactWriteItems"], 3, Action::Refuse(500));
        let answer = browser.try_to_sign_in(&person).await.expect_err("the session could not be kept");
        assert_eq!(answer.status, 503);
        assert!(!browser.cookies.contains_key("__Host-session"));
    }
    browser.sign_in(&person).await;
    browser.get("/finance").await.expect(200);
    assert_eq!(sessions(scene, &partition).await, 1);
    Found::default().note("503 as a page; the next sign-in is good")
}

async fn sign_in_answer_lost(scene: &Scene) -> Found {
    let (person, partition) = person(scene);
    let lost = scene.proxies.add("api.dynamodb", &[&partition, "TransactWriteItems"], 1, Action::LoseAnswer);
    let mut browser = Browser::new(&scene.stack);
    browser.sign_in(&person).await;
    assert!(lost.count() > 1, "the write is repeated");
    browser.get("/finance").await.expect(200);
    assert_eq!(sessions(scene, &partition).await, 1);
    Found::default().note("signed in, with one session")
}

async fn session_not_read(scene: &Scene) -> Found {
    let (person, partition) = person(scene);
    let mut browser = Browser::new(&scene.stack);
    browser.sign_in(&person).await;
    let refused = scene.proxies.add("api.dynamodb", &[&partition, "GetItem"], 3, Action::Refuse(500));
    let answer = browser.get("/finance").await.expect(503);
    assert!(answer.header("location").is_none() && answer.header("retry-after").is_some());
    drop(refused);
    browser.get("/finance").await.expect(200);
    Found::default().note("503 as a page, not the sign-in; the session goes on")
}

async fn sign_out_refused(scene: &Scene) -> Found {
    let (person, partition) = person(scene);
    let mut browser = Browser::new(&scene.stack);
    browser.sign_in(&person).await;
    let token = browser.form_token().await;
    let refused = scene.proxies.add("api.dynamodb", &[&partition, "UpdateItem"], 3, Action::Refuse(500));
    browser.post("/finance/logout", &[("form_token", &token)]).await.expect(503);
    drop(refused);
    assert!(browser.cookies.contains_key("__Host-session"), "nobody is told to be signed out who is not");
    browser.post("/finance/logout", &[("form_token", &token)]).await.expect(200);
    assert_eq!(sessions(scene, &partition).await, 0);
    Found::default().note("503, and the session is said to go on; the second form ends it")
}

async fn sign_out_answer_lost(scene: &Scene) -> Found {
    let (person, partition) = person(scene);
    let mut browser = Browser::new(&scene.stack);
    browser.sign_in(&person).await;
    let token = browser.form_token().await;
    let lost = scene.proxies.add("api.dynamodb", &[&partition, "UpdateItem"], 1, Action::LoseAnswer);
    browser.post("/finance/logout", &[("form_token", &token)]).await.expect(200);
    assert!(lost.count() > 1, "the write is repeated");
    assert_eq!(sessions(scene, &partition).await, 0);
    Found::default().note("signed out")
}

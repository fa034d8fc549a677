//! The chain of an organization's audit records: what is changed in the table is named.

use std::{path::PathBuf, process::Command};

use aws_sdk_dynamodb::types::AttributeValue;
use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use tests::{
    Answer, Organization, Stack, chain::Attributes, lambda, organization::export_of, program::program, stack::variable,
};
use uuid::Uuid;

/// A folder of a test's own, with the public key.
struct Folder(PathBuf);

impl Folder {
    async fn new(stack: &Stack) -> Self {
        let path = std::env::temp_dir().join(Uuid::new_v4().to_string());
        std::fs::create_dir(&path).unwrap();
        let keys: Value = Answer::to(stack.api.request(Method::GET, "/keys")).await.expect(200).json();
        let id = keys["keys"][0]["kid"].as_str().unwrap();
        let pem = Answer::to(stack.api.request(Method::GET, &format!("/keys/{id}"))).await.expect(200).body;
        std::fs::write(path.join("key.pem"), pem).unwrap();
        Self(path)
    }

    fn run(&self, command: &mut Command, arguments: &str) -> (Option<i32>, String) {
        let output = command.current_dir(&self.0).args(arguments.split_whitespace()).output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8_lossy(&text).into_owned())
    }

    /// Saves the trail of an organization.
    fn export(&self, org: &Organization<'_>) {
        let mut command = program("analytics");
        command.env("ANALYTICS_URL", variable("API_URL"));
        command.env("ANALYTICS_ORGANIZATION", org.id.to_string()).env("ANALYTICS_TOKEN", &org.token);
        let (status, told) = self.run(&mut command, "audit export --out trail.jsonl --force");
        assert_eq!(status, Some(0), "{told}");
    }

    /// Verifies the saved trail, without service and token.
    fn verify(&self, more: &str) -> (Option<i32>, Value) {
        let mut command = program("analytics");
        let arguments = format!("--json verify-audit trail.jsonl --key key.pem {more}");
        let (status, told) = self.run(command.env_clear(), &arguments);
        (status, serde_json::from_str(told.lines().next().unwrap_or_default()).unwrap_or(Value::from(told)))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn text(item: &Attributes, name: &str) -> String {
    item[name].as_s().unwrap().clone()
}

/// Returns the item with another value in its record.
fn with(mut item: Attributes, name: &str, change: impl FnOnce(&str) -> String) -> Attributes {
    let mut record = item["record"].as_m().unwrap().clone();
    let mut subject = record["subject"].as_m().unwrap().clone();
    let changed = change(subject[name].as_s().unwrap());
    subject.insert(name.to_owned(), AttributeValue::S(changed));
    record.insert("subject".to_owned(), AttributeValue::M(subject));
    item.insert("record".to_owned(), AttributeValue::M(record));
    item
}

#[tokio::test]
async fn downloads_at_once_and_sweeps_at_once_make_one_chain() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    let job = org.export(&export_of("2024-01-01T00:00:00Z", "2024-02-01T00:00:00Z", "daily")).await.job.job_id;
    join_all((0..32).map(|_| org.link(job))).await;
    let sweep = async || lambda::insist(&variable("SWEEP_FUNCTION"), &json!({})).await;
    join_all((0..3).map(|_| sweep())).await;
    // The export's own download, and that it was created.
    assert_eq!(org.linked().await, 34);

    let trail = org.audit("?limit=100").await;
    let mut seqs: Vec<u64> =
        trail["items"].as_array().unwrap().iter().map(|item| item["link"]["seq"].as_u64().unwrap()).collect();
    seqs.sort_unstable();
    assert_eq!(seqs, (1..=34).collect::<Vec<u64>>());
    let folder = Folder::new(&stack).await;
    folder.export(&org);
    let (status, answer) = folder.verify("");
    assert_eq!(status, Some(0), "{answer}");
    assert_eq!(answer, json!({"status": "verified", "records": 34, "signed": 0, "waiting": 0, "findings": []}));

    // The pack's trail names the links, too.
    let pack: Value = org.get(&format!("/{job}/audit?limit=100")).await.expect(200).json();
    let heads = org.audit("/heads").await;
    let last = pack["items"].as_array().unwrap().iter().find(|item| item["link"]["seq"] == 34).unwrap();
    assert_eq!((&heads["seq"], &heads["hash"]), (&json!(34), &last["link"]["hash"]));
}

#[tokio::test]
async fn what_is_changed_in_the_table_is_named() {
    let stack = Stack::from_env().await;
    let folder = Folder::new(&stack).await;
    for what in ["flipped", "deleted", "put in", "exchanged", "link deleted", "links exchanged", "receipt forged"] {
        let org = stack.organization();
        org.record(6).await;
        assert_eq!(org.linked().await, 6, "{what}");
        let records = org.items("AUDIT").await;
        let links = org.items("CHAIN").await;
        let seq_of = |record: &Attributes| {
            let is_it = |link: &&Attributes| link["link"].as_m().unwrap()["key"].as_s().unwrap() == &text(record, "sk");
            json!(
                links.iter().find(is_it).unwrap()["link"].as_m().unwrap()["seq"]
                    .as_n()
                    .unwrap()
                    .parse::<u64>()
                    .unwrap()
            )
        };
        let third = links[2]["link"].as_m().unwrap()["key"].as_s().unwrap().clone();
        let (record, other) = {
            let find = |key: &str| records.iter().find(|record| text(record, "sk") == key).unwrap().clone();
            (find(&third), find(links[4]["link"].as_m().unwrap()["key"].as_s().unwrap()))
        };
        let put_in = format!("ORG#{}", Uuid::now_v7());
        let (seq, kind, key) = match what {
            "flipped" => {
                org.put_item(with(record.clone(), "name", |name| name.replacen('p', "q", 1))).await;
                (seq_of(&record), "altered", json!(third))
            }
            "deleted" => {
                org.delete_item(&record).await;
                (json!(3), "left out", json!(third))
            }
            "put in" | "receipt forged" => {
                let mut new = record.clone();
                new.insert("sk".to_owned(), AttributeValue::S(put_in.clone()));
                org.put_item(new).await;
                if what == "receipt forged" {
                    let mut receipt = org.items("RECEIPT").await.remove(0);
                    receipt.insert("sk".to_owned(), AttributeValue::S(put_in.clone()));
                    org.put_item(receipt).await;
                }
                (Value::Null, "put in", json!(put_in))
            }
            "exchanged" => {
                let (mut one, mut two) = (record.clone(), other.clone());
                one.insert("record".to_owned(), other["record"].clone());
                two.insert("record".to_owned(), record["record"].clone());
                org.put_item(one).await;
                org.put_item(two).await;
                (json!(3), "altered", json!(third))
            }
            "link deleted" => {
                org.delete_item(&links[2]).await;
                (json!(3), "left out", Value::Null)
            }
            _ => {
                let (mut one, mut two) = (links[2].clone(), links[4].clone());
                one.insert("link".to_owned(), links[4]["link"].clone());
                two.insert("link".to_owned(), links[2]["link"].clone());
                org.put_item(one).await;
                org.put_item(two).await;
                (json!(3), "left out", Value::Null)
            }
        };
        folder.export(&org);
        let (status, answer) = folder.verify("");
        let first = &answer["findings"][0];
        assert_eq!(status, Some(4), "{what}: {answer}");
        assert_eq!((&first["seq"], &first["kind"], &first["key"]), (&seq, &json!(kind), &key), "{what}: {answer}");
    }
}

#[tokio::test]
async fn a_head_is_signed_once_a_day_and_proves_what_was_before_it() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    org.record(4).await;
    org.linked().await;
    assert_eq!(org.audit("/heads").await["items"], json!([]), "the day is not over");
    org.next_day().await;
    org.record(2).await;
    assert_eq!(org.linked().await, 6);
    let heads = org.audit("/heads").await;
    // Newest first. Sweeps of other tests may come in between, and sign what was linked until then.
    let items = heads["items"].as_array().unwrap();
    assert!((1..=3).contains(&items.len()), "{heads}");
    let head = &items[0];
    assert_eq!((&heads["isSigned"], &heads["seq"]), (&json!(true), &json!(6)));
    let covered = head["seq"].as_u64().unwrap();
    assert!((4..=6).contains(&covered), "{heads}");

    // All that is listed is stored. A sweep that another one overtook may leave the object of a true head beside it.
    let objects = &stack.objects;
    let keys = objects.keys(&format!("analytics/audit-heads/{}/", org.id)).await;
    for item in items {
        assert!(keys.iter().any(|key| item["object"] == *key), "{item}: {keys:?}");
    }
    let key = head["object"].as_str().unwrap();
    let object = objects.client.get_object().bucket(&objects.bucket).key(key).send().await.unwrap();
    let jws = object.body.collect().await.unwrap().into_bytes();
    // Two sweeps at once may both have signed the head: the same statement, with two signatures.
    let statement = |jws: &str| jws.rsplit_once('.').unwrap().0.to_owned();
    assert_eq!(statement(head["jws"].as_str().unwrap()), statement(std::str::from_utf8(&jws).unwrap()));
    let folder = Folder::new(&stack).await;
    std::fs::write(folder.0.join("kept.jws"), &jws).unwrap();
    folder.export(&org);
    let (status, answer) = folder.verify("--head kept.jws");
    assert_eq!((status, &answer["signed"]), (Some(0), &json!(covered)), "{answer}");

    // The chain does not grow: no other head is signed. The first sweep is for those of other tests to end.
    let sweep = async || {
        lambda::insist(&variable("SWEEP_FUNCTION"), &json!({})).await;
        org.audit("/heads").await["items"].clone()
    };
    assert_eq!(sweep().await, sweep().await);

    // Whoever may write everything else makes the chain anew, without its last four records.
    let links = org.items("CHAIN").await;
    let keep = links[1]["link"].as_m().unwrap()["hash"].clone();
    for link in &links[2..] {
        let key = link["link"].as_m().unwrap()["key"].as_s().unwrap().clone();
        for partition in ["AUDIT", "RECEIPT"] {
            for item in org.items(partition).await.iter().filter(|item| text(item, "sk") == key) {
                org.delete_item(item).await;
            }
        }
        org.delete_item(link).await;
    }
    for signed in org.items("HEADS").await {
        org.delete_item(&signed).await;
    }
    let mut present = org.items("HEAD").await.remove(0);
    present.insert("seq".to_owned(), AttributeValue::N("2".to_owned()));
    present.insert("hash".to_owned(), keep);
    org.put_item(present).await;
    folder.export(&org);
    assert_eq!(folder.verify("").0, Some(0), "nothing else tells");
    let (status, answer) = folder.verify("--head kept.jws");
    let first = &answer["findings"][0];
    assert_eq!((status, &first["seq"], &first["kind"]), (Some(4), &json!(3), &json!("left out")), "{answer}");
    // A head of another key is none.
    let other = stack.organization();
    other.record(1).await;
    other.linked().await;
    let mut forged = String::from_utf8(jws.to_vec()).unwrap();
    forged.replace_range(forged.len() - 8.., "AAAAAAAA");
    std::fs::write(folder.0.join("forged.jws"), forged).unwrap();
    folder.export(&other);
    let (status, answer) = folder.verify("--head forged.jws");
    assert_eq!((status, &answer["findings"][0]["kind"]), (Some(4), &json!("not signed")), "{answer}");
}

#[tokio::test]
async fn records_of_a_version_without_a_chain_are_linked_before_the_others() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    // What an earlier version leaves: records without receipts.
    let model = stack.organization();
    model.record(3).await;
    for mut record in model.items("AUDIT").await {
        record.insert("pk".to_owned(), AttributeValue::S(format!("AUDIT#{}", org.id)));
        org.put_item(record).await;
    }
    org.record(1).await;
    assert_eq!(org.linked().await, 4);
    let keys: Vec<String> = org.items("AUDIT").await.iter().map(|item| text(item, "sk")).collect();
    let linked: Vec<String> = org
        .items("CHAIN")
        .await
        .iter()
        .map(|item| item["link"].as_m().unwrap()["key"].as_s().unwrap().clone())
        .collect();
    assert_eq!(linked, keys, "ids are in the order of time");
    let folder = Folder::new(&stack).await;
    folder.export(&org);
    assert_eq!(folder.verify("").0, Some(0));
    // Later, a record without a receipt is linked by nothing, and named.
    let mut stray = org.items("AUDIT").await.remove(0);
    let sk = format!("ORG#{}", Uuid::now_v7());
    stray.insert("sk".to_owned(), AttributeValue::S(sk.clone()));
    org.put_item(stray).await;
    lambda::insist(&variable("SWEEP_FUNCTION"), &json!({})).await;
    folder.export(&org);
    let (status, answer) = folder.verify("");
    assert_eq!((status, &answer["findings"][0]["key"]), (Some(4), &json!(sk)), "{answer}");
}

#[tokio::test]
async fn the_chain_needs_the_permission_to_read_the_trail() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    for path in ["chain", "heads"] {
        let path = format!("/orgs/{}/audit/{path}", org.id);
        let reader = stack.issuer.token("reader", &[org.id], "analytics:exports:read");
        stack.api.get(&path, &reader).await.problem(403, "forbidden");
        let auditor = stack.issuer.token("auditor", &[org.id], "analytics:audit:read");
        stack.api.get(&path, &auditor).await.expect(200);
        stack.api.get(&format!("{path}?limit=0"), &auditor).await.problem(400, "invalid-request");
        stack.api.get(&format!("{path}?cursor=bad"), &auditor).await.problem(400, "invalid-request");
    }
}

//! Objects of files, and links to them.

use std::collections::HashMap;

use aws_sdk_s3::{operation::head_object::HeadObjectOutput, types::ServerSideEncryption};
use reqwest::{Method, Url};
use serde_json::Value;
use tests::{Answer, Export, Rollup, Stack, Table, organization::export_of};

/// Asserts the metadata of an object, whatever way it was uploaded.
pub(crate) fn assert_is_described(object: &HeadObjectOutput, export: &Export, has_checksum: bool) {
    let job = &export.job;
    assert_eq!(object.content_type(), Some("text/csv; charset=utf-8"));
    assert_eq!(object.content_length(), i64::try_from(export.bytes.len()).ok());
    // Of the bucket's default, which the template sets on S3 alone.
    if std::env::var_os("AWS_ENDPOINT_URL_S3").is_none() {
        assert_eq!(object.server_side_encryption(), Some(&ServerSideEncryption::Aes256));
    }
    let metadata = [
        ("org-id", job.org_id.to_string()),
        ("job-id", job.job_id.to_string()),
        // The claim that wrote it: the first.
        ("fence", "1".to_owned()),
    ];
    let mut metadata: HashMap<String, String> = metadata.map(|(name, value)| (name.to_owned(), value)).into();
    if has_checksum {
        metadata.insert("checksum".to_owned(), job.checksum.clone().unwrap());
    }
    assert_eq!(object.metadata(), Some(&metadata));
    let instant = |text: &str| text.replace(['-', ':'], "");
    let start = instant(&job.time_range.start);
    let end = instant(&job.time_range.end);
    let tail = &job.job_id.to_string()[28..];
    let name = format!("usage-{}-{start}-{end}-{}-{tail}.csv", job.org_id, job.granularity);
    let disposition = format!("attachment; filename=\"{name}\"");
    assert_eq!(object.content_disposition(), Some(disposition.as_str()));
}

#[tokio::test]
async fn the_object_says_what_it_is_and_whose() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    org.insert(Table::Daily, &[Rollup::new("2024-01-01T00:00:00Z", None, [1, 2, 0], "3")]).await;
    let export = org.export(&export_of("2024-01-01T00:00:00Z", "2024-01-31T23:59:59Z", "daily")).await;
    let prefix = format!("analytics/exports/{}/", org.id);
    let key = format!("{prefix}{}.csv", export.job.job_id);
    assert_eq!(stack.objects.keys(&prefix).await, [key.as_str()]);
    assert_is_described(&stack.objects.head(&key).await, &export, true);

    let kept = export.job.expires_at.unwrap().duration_since(export.job.completed_at.unwrap());
    assert_eq!(kept.as_hours(), 90 * 24);
}

#[tokio::test]
async fn the_plain_address_grants_nothing_and_the_link_grants_one_file_for_a_day() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    let body = export_of("2024-01-01T00:00:00Z", "2024-01-02T00:00:00Z", "daily");
    let export = org.export(&body).await;
    let other = org.export(&body).await;
    let get = async |url: &str| Answer::to(stack.api.get_url(url)).await;

    let address = export.job.output_uri.unwrap();
    assert!(address.ends_with(&format!("/analytics/exports/{}/{}.csv", org.id, export.job.job_id)), "{address}");
    assert!(!address.contains('?'), "{address}");
    // LocalStack checks the signature of a link, but lets everybody read without one.
    if std::env::var("EXPORTS_STORE").is_ok_and(|store| store.starts_with("LocalStack")) {
        assert_eq!(get(&address).await.status, 200);
    } else {
        assert_eq!(get(&address).await.status, 403);
    }

    let link = org.link(export.job.job_id).await;
    let url = Url::parse(&link).unwrap();
    let parameters: HashMap<_, _> = url.query_pairs().collect();
    assert_eq!(parameters["X-Amz-Expires"], "86400");
    assert_eq!(link.split('?').next(), Some(address.as_str()));
    assert_eq!(get(&link).await.expect(200).body, export.bytes);
    assert_eq!(get(&link.replace("X-Amz-Expires=86400", "X-Amz-Expires=86401")).await.status, 403);
    let another = link.replace(&export.job.job_id.to_string(), &other.job.job_id.to_string());
    assert_eq!(get(&another).await.status, 403);
}

#[tokio::test]
async fn head_answers_as_get_does_but_gives_no_link_and_leaves_no_record() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    let job = org.export(&export_of("2024-01-01T00:00:00Z", "2024-01-02T00:00:00Z", "daily")).await.job.job_id;
    let actions = async || -> Vec<String> {
        let audit: Value = org.get(&format!("/{job}/audit")).await.expect(200).json();
        let items = audit["items"].as_array().unwrap().iter();
        items.map(|item| item["action"].as_str().unwrap().to_owned()).collect()
    };
    let head = async |path: String| {
        let answer = Answer::to(stack.api.request(Method::HEAD, &path).bearer_auth(&org.token)).await;
        assert!(answer.body.is_empty(), "{path}: {}", answer.text());
        answer
    };
    assert_eq!(actions().await, ["create", "download"]);
    let download = head(org.path(&format!("/{job}/download"))).await.expect(302);
    assert_eq!(download.header("location"), None);
    assert_eq!(actions().await, ["create", "download"]);

    for (path, status) in [
        (org.path(""), 200),
        (org.path(&format!("/{job}")), 200),
        (org.path("/550e8400-e29b-41d4-a716-446655440000/download"), 404),
        (org.path("?limit=0"), 400),
        ("/status/healthz".to_owned(), 200),
        ("/nothing".to_owned(), 404),
    ] {
        let get = stack.api.get(&path, &org.token).await;
        let head = head(path).await;
        assert_eq!((get.status, head.status), (status, status));
        assert_eq!(head.header("content-type"), get.header("content-type"));
    }
}

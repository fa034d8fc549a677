//! A writer of one service's CI documents wants to replace the runs of another.

use tests::Stack;

#[tokio::test]
async fn a_document_in_one_services_folder_tells_nothing_of_another() {
    let stack = Stack::from_env().await;
    let (own, other) = (stack.service(), stack.service());
    let document = other.document("run-1");
    other.put(&other.key("run-1"), document.to_string()).await;
    let before = other.wait("it is stored", |runs| runs.len() == 1).await;
    let mut forged = document;
    forged["status"] = "failure".into();
    for key in [own.key("run-1"), own.key("run-2")] {
        own.put(&key, forged.to_string()).await;
        let rejected = own.rejection(&key).await;
        assert!(rejected.contains(&format!("service must be {:?}", own.name)), "{rejected}");
    }
    let after = other.runs().await;
    assert_eq!(after[0].object_key, before[0].object_key);
    assert_eq!((after.len(), own.runs().await.len()), (1, 0));
}

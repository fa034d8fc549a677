//! The calls of the functions, and the grants of their roles. The fault `grants_taken_away` takes each grant away in turn.

/// Runs after all other tests, so that the calls of the whole run are looked at.
#[tokio::test]
#[ignore = "xtask runs it after the other tests"]
async fn no_call_is_beyond_the_grants() {
    tests::grants::assert_no_call_is_beyond().await;
}

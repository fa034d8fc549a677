//! Sign-in of people, sessions and their end, by the whole flow at the local issuer.

use std::time::Duration;

use jiff::Timestamp;
use reqwest::Method;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tests::{Answer, Browser, Person, Stack, browser::Attempt, browser::login, logs, poll::until, stack::variable};

#[tokio::test]
async fn a_person_signs_in_sees_their_organizations_and_signs_out() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    let mut browser = Browser::new(&stack);
    let page = format!("/finance/{}?a=b", org.id);
    // Without a session, the way leads to the sign-in and back.
    let answer = browser.get(&page).await.expect(303);
    assert_eq!(answer.header("location"), Some(&*login(&page)));
    let attempt = browser.begin(&page).await;
    assert_eq!(attempt.parameters["redirect_uri"], format!("{}/finance/callback", stack.api.origin()));
    assert!(!attempt.parameters.contains_key("prompt"));
    let back = browser.tell(&attempt, &Person::of(org.id, "controller")).await;
    let answer = browser.get(&back).await.expect(303);
    assert_eq!(answer.header("location"), Some(&*page));
    let text = browser.get("/finance").await.expect(200).text();
    assert!(text.contains(&org.id.to_string()), "{text}");
    browser.get(&page).await.expect(200);
    // Out again.
    let token = browser.form_token().await;
    let answer = browser.post("/finance/logout", &[("form_token", &token)]).await.expect(200);
    let refresh = answer.header("refresh").expect("the way to the provider's end of the session");
    let end = format!("0; url={}/end?client_id=finance-pages&post_logout_redirect_uri=", variable("ISSUER"));
    assert!(refresh.starts_with(&end), "{refresh}");
    assert!(!browser.cookies.contains_key("__Host-session"));
    browser.get(&page).await.expect(303);
    assert!(browser.get("/finance/logout").await.expect(200).text().contains("You are signed out"));
}

#[tokio::test]
async fn a_person_may_what_the_token_says() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    let other = stack.organization();
    for (role, own, elsewhere) in [
        ("controller", 200, 404),
        ("auditor", 200, 404),
        ("admin", 200, 404),
        ("nobody", 403, 404),
        ("platform-admin", 200, 200),
    ] {
        let mut browser = Browser::new(&stack);
        browser.sign_in(&Person::of(org.id, role)).await;
        assert_eq!(browser.get(&format!("/finance/{}", org.id)).await.status, own, "{role}");
        assert_eq!(browser.get(&format!("/finance/{}", other.id)).await.status, elsewhere, "{role}");
    }
}

#[tokio::test]
async fn a_session_ends_with_its_token_and_is_renewed_without_a_question() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    let person = Person { lifetime: 6, ..Person::of(org.id, "controller") };
    let mut browser = Browser::new(&stack);
    browser.sign_in(&person).await;
    let form_token = browser.form_token().await;
    let path = format!("/finance/{}", org.id);
    until("the session ends", Duration::from_secs(20), async || {
        let answer = Answer::to(browser.request(Method::GET, &path)).await;
        if answer.status == 303 { Ok(()) } else { Err(answer.status) }
    })
    .await;
    // A form is told, and not lost on the way to the sign-in.
    let answer = browser.post("/finance/logout", &[("form_token", &form_token)]).await.expect(403);
    assert!(answer.text().contains("Your session ended at "), "{}", answer.text());
    // The issuer knows the person.
    let before = browser.cookies["__Host-session"].clone();
    let attempt = browser.begin(&path).await;
    assert_eq!(attempt.parameters["prompt"], "none");
    let back = browser.ask_silently(&attempt).await;
    assert_eq!(browser.get(&back).await.expect(303).header("location"), Some(&*path));
    assert_ne!(browser.cookies["__Host-session"], before);
    browser.get(&path).await.expect(200);
    // The page of before has a form that is still good.
    assert_eq!(browser.form_token().await, form_token);
}

#[tokio::test]
async fn a_provider_that_has_to_ask_is_let_ask_once() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    let person = Person { lifetime: 6, ..Person::of(org.id, "controller") };
    let mut browser = Browser::new(&stack);
    browser.sign_in(&person).await;
    let path = format!("/finance/{}", org.id);
    until("the session ends", Duration::from_secs(20), async || {
        let answer = Answer::to(browser.request(Method::GET, &path)).await;
        if answer.status == 303 { Ok(()) } else { Err(answer.status) }
    })
    .await;
    // The provider has forgotten the person meanwhile.
    browser.issuer_cookies.clear();
    browser.issuer_cookies.insert("a".to_owned(), "b".to_owned());
    let silent = browser.begin(&path).await;
    let back = browser.ask_silently(&silent).await;
    assert!(back.contains("error=login_required"), "{back}");
    let attempt = Attempt::read(&browser.get(&back).await.expect(303));
    assert!(!attempt.parameters.contains_key("prompt"), "{attempt:?}");
    let back = browser.tell(&attempt, &person).await;
    assert_eq!(browser.get(&back).await.expect(303).header("location"), Some(&*path));
}

#[tokio::test]
async fn two_tabs_sign_in_at_the_same_time() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    let person = Person::of(org.id, "controller");
    let mut browser = Browser::new(&stack);
    let [first, second] = [browser.begin("/finance").await, browser.begin("/finance?tab=2").await];
    let backs = [browser.tell(&first, &person).await, browser.tell(&second, &person).await];
    let mut tokens = Vec::new();
    for (back, page) in backs.iter().zip(["/finance", "/finance?tab=2"]) {
        assert_eq!(browser.get(back).await.expect(303).header("location"), Some(page));
        tokens.push(browser.form_token().await);
    }
    assert_eq!(tokens[0], tokens[1], "the first tab's forms are good in the second session");
}

#[tokio::test]
async fn each_answer_of_a_page_is_protected() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    let mut browser = Browser::new(&stack);
    browser.sign_in(&Person::of(org.id, "controller")).await;
    for (path, status) in [
        ("/finance", 200),
        ("/finance/logout", 200),
        ("/finance/login", 303),
        ("/finance/callback", 400),
        ("/finance/nothing", 404),
        ("/finance/nothing/at/all", 404),
        ("/finance/login?to=//evil.example", 400),
    ] {
        let answer = browser.get(path).await.expect(status);
        let policy = answer.header("content-security-policy").unwrap_or_else(|| panic!("{path} has no policy"));
        for rule in ["default-src 'none'", "frame-ancestors 'none'", "form-action 'self'", "base-uri 'none'"] {
            assert!(policy.contains(rule), "{path}: {policy}");
        }
        assert!(!policy.contains("unsafe") && !policy.contains('*'), "{path}: {policy}");
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{path}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{path}");
        assert_eq!(answer.header("referrer-policy"), Some("same-origin"), "{path}");
        assert_eq!(answer.header("cross-origin-opener-policy"), Some("same-origin"), "{path}");
        assert_eq!(answer.header("access-control-allow-origin"), None, "{path}");
        if status >= 400 {
            assert_eq!(answer.header("content-type"), Some("text/html; charset=utf-8"), "{path}");
        }
    }
    // A route of the API answers as before.
    let answer = stack.api.get(&org.path(""), &org.token).await.expect(200);
    assert_eq!(answer.header("content-security-policy"), None);
}

#[tokio::test]
async fn other_methods_change_nothing() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    let mut browser = Browser::new(&stack);
    browser.sign_in(&Person::of(org.id, "controller")).await;
    let head = Answer::to(browser.request(Method::HEAD, "/finance")).await.expect(200);
    assert!(head.body.is_empty());
    let nobody = Answer::to(stack.api.page(Method::HEAD, "/finance")).await.expect(303);
    assert_eq!(nobody.header("location"), Some("/finance/login?to=%2Ffinance"));
    for (method, path) in [
        (Method::PUT, "/finance"),
        (Method::POST, "/finance"),
        (Method::DELETE, "/finance/logout"),
        (Method::POST, "/finance/login"),
        (Method::POST, "/finance/callback"),
    ] {
        Answer::to(browser.request(method.clone(), path)).await.expect(405);
    }
    // A link to it, or a picture, signs nobody out.
    browser.get("/finance/logout").await.expect(200);
    // The gateway answers it itself where it knows of origins; no other origin is let in.
    let answer =
        Answer::to(browser.request(Method::OPTIONS, "/finance").header("origin", "https://evil.example")).await;
    assert!(answer.status >= 400, "{}", answer.status);
    assert_eq!(answer.header("access-control-allow-origin"), None);
    browser.get("/finance").await.expect(200);
}

#[tokio::test]
async fn who_signed_in_and_out_is_in_the_log_by_a_pseudonym() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    let person = Person::of(org.id, "controller");
    let since = Timestamp::now();
    let mut browser = Browser::new(&stack);
    browser.sign_in(&person).await;
    let token = browser.form_token().await;
    browser.post("/finance/logout", &[("form_token", &token)]).await.expect(200);
    browser.get("/finance/callback?state=unknown&code=a").await.expect(400);
    let pseudonym = &hex::encode(Sha256::digest(format!("{}\n{}", stack.issuer.name, person.subject)))[..16];
    for (metric, subject) in [("SignIns", Some(pseudonym)), ("SignOuts", Some(pseudonym)), ("SignInsFailed", None)] {
        let line = until("the line is there", Duration::from_secs(30), async || {
            let lines = logs::metrics("api", metric, since).await;
            let is_it = |line: &&serde_json::Value| {
                line[metric] == 1 && subject.is_none_or(|subject| line["subject"] == json!(subject))
            };
            lines.iter().find(is_it).cloned().ok_or(lines.len())
        })
        .await;
        assert!(!line.to_string().contains(&person.subject), "{line}");
    }
    // No secret of a session or a sign-in is in the log.
    let session = browser.cookies.values().cloned().collect::<Vec<_>>();
    for (_, line) in logs::lines("/aws/lambda/analytics-exports-api").await {
        assert!(!session.iter().any(|secret| line.contains(secret)), "{line}");
        assert!(!line.contains(&person.subject), "{line}");
    }
}

/// What the runbook does when a person's sessions have to end.
#[tokio::test]
async fn an_operator_ends_all_sessions_of_a_subject() {
    use aws_sdk_dynamodb::types::AttributeValue;

    let stack = Stack::from_env().await;
    let org = stack.organization();
    let person = Person::of(org.id, "controller");
    let mut browsers = [Browser::new(&stack), Browser::new(&stack), Browser::new(&stack)];
    let bystander = Person::of(org.id, "controller");
    for (index, browser) in browsers.iter_mut().enumerate() {
        browser.sign_in(if index == 2 { &bystander } else { &person }).await;
        browser.get("/finance").await.expect(200);
    }
    let pseudonym = &hex::encode(Sha256::digest(format!("{}\n{}", stack.issuer.name, person.subject)))[..16];
    let pk = AttributeValue::S(format!("SESSIONS#{pseudonym}"));
    let query = stack.dynamodb.query().table_name(variable("JOBS_TABLE")).key_condition_expression("pk = :pk");
    let items = query.expression_attribute_values(":pk", pk.clone()).send().await.unwrap().items.unwrap();
    assert_eq!(items.len(), 2, "{items:?}");
    for item in items {
        // No secret of the browser is in the table.
        let text = format!("{item:?}");
        assert!(
            browsers.iter().all(|browser| !text.contains(browser.cookies["__Host-session"].split_once('.').unwrap().1))
        );
        assert!(item["ttl"].as_n().unwrap().parse::<i64>().unwrap() > Timestamp::now().as_second());
        let update = stack.dynamodb.update_item().table_name(variable("JOBS_TABLE")).key("pk", pk.clone());
        let update = update.key("sk", item["sk"].clone()).update_expression("remove #value");
        update.expression_attribute_names("#value", "value").send().await.unwrap();
    }
    let [first, second, other] = &mut browsers;
    first.get("/finance").await.expect(303);
    second.get("/finance").await.expect(303);
    other.get("/finance").await.expect(200);
    // Nor are they renewed without a question.
    assert!(!first.begin("/finance").await.parameters.contains_key("prompt"));
}

//! Attacks on sessions, on the forms of pages, and on the wall between pages and the API.

use jiff::Timestamp;
use reqwest::{Method, RequestBuilder};
use serde_json::Value;
use tests::{Answer, Browser, Person, Stack, browser::encode};
use uuid::Uuid;

async fn signed_in<'a>(stack: &'a Stack, org: Uuid) -> Browser<'a> {
    let mut browser = Browser::new(stack);
    browser.sign_in(&Person::of(org, "admin")).await;
    browser
}

fn session(browser: &Browser<'_>) -> String {
    browser.cookies["__Host-session"].clone()
}

async fn with_session(stack: &Stack, value: &str) -> Answer {
    let request = stack.api.page(Method::GET, "/finance");
    Answer::to(request.header("cookie", format!("__Host-session={value}"))).await
}

#[tokio::test]
async fn a_session_that_was_there_before_the_sign_in_is_not_kept() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    // Whoever could plant the cookie of a session of their own, or one that they made up.
    let attacker = signed_in(&stack, org.id).await;
    let made_up = format!("0123456789abcdef.{}", "A".repeat(43));
    for planted in [session(&attacker), made_up] {
        let mut victim = Browser::new(&stack);
        victim.cookies.insert("__Host-session".to_owned(), planted.clone());
        victim.sign_in(&Person::of(org.id, "controller")).await;
        assert_ne!(session(&victim), planted);
        with_session(&stack, &planted).await.expect(303);
        victim.get("/finance").await.expect(200);
    }
    // Each sign-in of one person has a session of its own, too.
    let mut browser = signed_in(&stack, org.id).await;
    let before = session(&browser);
    browser.sign_in(&Person::of(org.id, "admin")).await;
    assert_ne!(session(&browser), before);
    with_session(&stack, &before).await.expect(303);
}

#[tokio::test]
async fn a_stolen_cookie_is_worth_nothing_after_the_sign_out() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    let mut browser = signed_in(&stack, org.id).await;
    let stolen = session(&browser);
    with_session(&stack, &stolen).await.expect(200);
    let token = browser.form_token().await;
    browser.post("/finance/logout", &[("form_token", &token)]).await.expect(200);
    with_session(&stack, &stolen).await.expect(303);
    // Nor does it renew the session without a question.
    let mut thief = Browser::new(&stack);
    thief.cookies.insert("__Host-session".to_owned(), stolen);
    assert!(!thief.begin("/finance").await.parameters.contains_key("prompt"));
}

#[tokio::test]
async fn a_changed_cookie_is_no_session() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    let browser = signed_in(&stack, org.id).await;
    let right = session(&browser);
    let (pseudonym, secret) = right.split_once('.').unwrap();
    let other = signed_in(&stack, org.id).await;
    let others = session(&other).split_once('.').unwrap().0.to_owned();
    for wrong in [
        String::new(),
        ".".to_owned(),
        secret.to_owned(),
        format!("{pseudonym}."),
        format!("{others}.{secret}"),
        format!("{pseudonym}.{}", secret.to_uppercase()),
        format!("{pseudonym}.{secret}x"),
        format!("SESSIONS#{pseudonym}.{secret}"),
        format!("{right}; __Host-session={right}"),
    ] {
        with_session(&stack, &wrong).await.expect(303);
    }
    with_session(&stack, &right).await.expect(200);
}

fn form(request: RequestBuilder, fields: &[(&str, &str)]) -> RequestBuilder {
    request.header("content-type", "application/x-www-form-urlencoded").body(encode(fields))
}

#[tokio::test]
async fn a_form_of_another_page_is_refused() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    let mut browser = signed_in(&stack, org.id).await;
    let token = browser.form_token().await;
    let mut other = signed_in(&stack, org.id).await;
    let others = other.form_token().await;
    let own = stack.api.origin().to_owned();
    let post = |browser: &Browser<'_>| browser.request(Method::POST, "/finance/logout");
    let good = [("form_token", token.as_str())];
    for (why, request) in [
        ("no origin at all", form(post(&browser), &good)),
        ("another origin", form(post(&browser).header("origin", "https://evil.example"), &good)),
        ("no origin said", form(post(&browser).header("origin", "null"), &good)),
        ("another port", form(post(&browser).header("origin", format!("{own}0")), &good)),
        ("another site", form(post(&browser).header("sec-fetch-site", "cross-site").header("origin", &own), &good)),
        ("the same site", form(post(&browser).header("sec-fetch-site", "same-site"), &good)),
        ("no token", form(post(&browser).header("sec-fetch-site", "same-origin"), &[])),
        ("an empty token", form(post(&browser).header("sec-fetch-site", "same-origin"), &[("form_token", "")])),
        ("another session's", form(post(&browser).header("sec-fetch-site", "same-origin"), &[("form_token", &others)])),
        ("two tokens", form(post(&browser).header("sec-fetch-site", "same-origin"), &[good[0], good[0]])),
    ] {
        let answer = Answer::to(request).await;
        assert_eq!(answer.status, 403, "{why}: {}", answer.text());
        assert!(answer.text().contains("The form was not accepted"), "{why}");
    }
    // A form in the shape that needs no preflight, but is none of a page.
    let request = post(&browser).header("sec-fetch-site", "same-origin").header("content-type", "text/plain");
    Answer::to(request.body(format!("form_token={token}"))).await.expect(415);
    // The session is still there, and its own form is good.
    browser.get("/finance").await.expect(200);
    browser.post("/finance/logout", &good).await.expect(200);
    // Without a session there is no form.
    browser.post("/finance/logout", &good).await.expect(403);
}

#[tokio::test]
async fn an_organization_of_others_is_no_page_whether_or_not_it_exists() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    let other = stack.organization();
    other.add_unqueued().await;
    let mut browser = Browser::new(&stack);
    browser.sign_in(&Person::of(org.id, "controller")).await;
    let mut bodies = Vec::new();
    for page in [other.id.to_string(), Uuid::new_v4().to_string(), "no-organization".to_owned()] {
        let answer = browser.get(&format!("/finance/{page}")).await.expect(404);
        let text = answer.text();
        // Without the request's id, which differs in each answer.
        let body = text.split("<code>").next().unwrap().to_owned();
        assert!(!body.contains(&page), "{text}");
        bodies.push(body);
    }
    bodies.dedup();
    assert_eq!(bodies.len(), 1, "{bodies:#?}");
}

/// Every route of the API with the cookie of an administrator, and every page with the token of one.
#[tokio::test]
async fn no_route_reads_a_cookie_and_no_page_reads_a_token() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    let mut browser = Browser::new(&stack);
    browser.sign_in(&Person::of(org.id, "platform-admin")).await;
    let cookie = format!("__Host-session={}", session(&browser));
    let document: Value = Answer::to(stack.api.request(Method::GET, "/openapi.json")).await.expect(200).json();
    let mut routes = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            if operation["security"] == serde_json::json!([{}]) || operation["security"] == serde_json::json!([]) {
                continue;
            }
            routes += 1;
            let path = path.strip_prefix("/analytics/v1").unwrap().replace("{orgId}", &org.id.to_string());
            let path = path.replace("{jobId}", &Uuid::now_v7().to_string()).replace("{period}", "2024-01");
            let request = stack.api.request(method.to_uppercase().parse().unwrap(), &path).header("cookie", &cookie);
            let answer = Answer::to(request.header("sec-fetch-site", "same-origin")).await;
            assert_eq!(answer.status, 401, "{method} {path}: {}", answer.text());
            answer.problem(401, "missing-token");
        }
    }
    assert!(routes > 15, "{routes}");
    let token = stack.issuer.platform_admin("root", &[org.id]);
    for path in ["/finance".to_owned(), format!("/finance/{}", org.id), "/finance/login".to_owned()] {
        let plain = Answer::to(stack.api.page(Method::GET, &path)).await;
        let with_token = Answer::to(stack.api.page(Method::GET, &path).bearer_auth(&token)).await;
        assert_eq!((plain.status, with_token.status), (303, 303), "{path}");
    }
    let answer = Answer::to(stack.api.page(Method::POST, "/finance/logout").bearer_auth(&token)).await;
    answer.expect(403);
}

/// Nothing can be had by a session that ended: not the page, and not for a moment.
#[tokio::test]
async fn a_session_never_outlives_its_token() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    let person = Person { lifetime: 3, ..Person::of(org.id, "controller") };
    let mut browser = Browser::new(&stack);
    browser.sign_in(&person).await;
    let ends = Timestamp::now().as_second() + 3;
    loop {
        let asked = Timestamp::now().as_second();
        let answer = Answer::to(browser.request(Method::GET, "/finance?a=b")).await;
        if asked > ends {
            answer.expect(303);
            break;
        }
        if answer.status == 303 {
            assert_eq!(answer.header("location"), Some("/finance/login?to=%2Ffinance%3Fa%3Db"));
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    }
}

//! Attacks on the sign-in: none of them gives anybody a session.

use reqwest::Method;
use serde_json::Value;
use tests::{Answer, Browser, Person, Stack, browser::encode, stack::variable};

/// Checks that a way back signs nobody in.
#[track_caller]
fn refused(answer: &Answer) {
    assert_eq!(answer.status, 400, "{}", answer.text());
    assert!(!answer.headers.contains_key("set-cookie"), "{:?}", answer.headers);
    assert!(answer.text().contains("You could not be signed in"), "{}", answer.text());
}

async fn has_no_session(browser: &mut Browser<'_>) {
    assert!(!browser.cookies.contains_key("__Host-session"));
    browser.get("/finance").await.expect(303);
}

#[tokio::test]
async fn nobody_is_signed_in_by_the_link_of_another() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    let mut attacker = Browser::new(&stack);
    let attempt = attacker.begin("/finance").await;
    let back = attacker.tell(&attempt, &Person::of(org.id, "controller")).await;
    // A victim without and with an attempt of their own.
    let mut victim = Browser::new(&stack);
    refused(&victim.get(&back).await);
    has_no_session(&mut victim).await;
    let attempt = attacker.begin("/finance").await;
    let back = attacker.tell(&attempt, &Person::of(org.id, "controller")).await;
    victim.begin("/finance").await;
    refused(&victim.get(&back).await);
    has_no_session(&mut victim).await;
}

#[tokio::test]
async fn a_state_that_nobody_has_begun_is_refused() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    let mut browser = Browser::new(&stack);
    let attempt = browser.begin("/finance").await;
    let back = browser.tell(&attempt, &Person::of(org.id, "controller")).await;
    let state = &attempt.parameters["state"];
    for other in ["", "x", &state.to_uppercase(), &format!("{state}x")] {
        refused(&browser.get(&back.replace(state, other)).await);
    }
    refused(&browser.get(&back.replace("state=", "State=")).await);
    refused(&browser.get(&format!("{back}&state={state}")).await);
    has_no_session(&mut browser).await;
    // The attempt itself is untouched by that.
    browser.get(&back).await.expect(303);
}

#[tokio::test]
async fn a_code_is_good_once() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    let mut browser = Browser::new(&stack);
    let attempt = browser.begin("/finance").await;
    let back = browser.tell(&attempt, &Person::of(org.id, "controller")).await;
    browser.get(&back).await.expect(303);
    refused(&browser.get(&back).await);
    // Nor in an attempt of its own.
    let code = back.split(['?', '&']).find(|part| part.starts_with("code=")).unwrap().to_owned();
    let again = browser.begin("/finance").await;
    let state = &again.parameters["state"];
    let issuer = encode(&[("iss", &variable("ISSUER"))]);
    refused(&browser.get(&format!("/finance/callback?{code}&state={state}&{issuer}")).await);
}

/// Somebody who has a code of another person, and takes it to an attempt of their own.
#[tokio::test]
async fn a_code_of_another_attempt_is_refused() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    let (mut victim, mut attacker) = (Browser::new(&stack), Browser::new(&stack));
    let attempt = victim.begin("/finance").await;
    let back = victim.tell(&attempt, &Person::of(org.id, "controller")).await;
    let own = attacker.begin("/finance").await;
    refused(&attacker.get(&back.replace(&attempt.parameters["state"], &own.parameters["state"])).await);
    has_no_session(&mut attacker).await;
    // The code without its verifier, at the provider itself.
    let attempt = victim.begin("/finance").await;
    let back = victim.tell(&attempt, &Person::of(org.id, "controller")).await;
    let code = back.split(['?', '&']).find_map(|part| part.strip_prefix("code=")).unwrap();
    let redirect = format!("{}/finance/callback", stack.api.origin());
    for verifier in ["", "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"] {
        let form = encode(&[
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", &redirect),
            ("client_id", "finance-pages"),
            ("code_verifier", verifier),
        ]);
        let request = stack.api.post_url(&format!("{}/token", variable("ISSUER")));
        let request = request.header("content-type", "application/x-www-form-urlencoded").body(form);
        let answer: Value = Answer::to(request).await.expect(400).json();
        assert_eq!(answer["error"], "invalid_grant");
    }
}

#[tokio::test]
async fn what_binds_the_answer_to_the_attempt_cannot_be_replaced_on_the_way() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    for (name, value) in [
        ("nonce", "another"),
        ("nonce", ""),
        ("code_challenge", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"),
        ("state", "another"),
    ] {
        let mut browser = Browser::new(&stack);
        let attempt = browser.begin("/finance").await.with(name, value);
        let back = browser.tell(&attempt, &Person::of(org.id, "controller")).await;
        refused(&browser.get(&back).await);
        has_no_session(&mut browser).await;
    }
}

#[tokio::test]
async fn an_answer_that_names_another_issuer_or_none_is_refused() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    let own = encode(&[("iss", &variable("ISSUER"))]);
    let other = encode(&[("iss", &variable("PARTNER_ISSUER"))]);
    for iss in [other.as_str(), "iss=", "issuer=x", &format!("{own}&{other}")] {
        let mut browser = Browser::new(&stack);
        let attempt = browser.begin("/finance").await;
        let back = browser.tell(&attempt, &Person::of(org.id, "controller")).await;
        assert!(back.contains(&own), "{back}");
        refused(&browser.get(&back.replace(&own, iss)).await);
        has_no_session(&mut browser).await;
    }
}

#[tokio::test]
async fn a_cookie_of_the_sign_in_that_was_changed_counts_for_nothing() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    let mut browser = Browser::new(&stack);
    let attempt = browser.begin("/finance").await;
    let back = browser.tell(&attempt, &Person::of(org.id, "controller")).await;
    let right = browser.cookies["__Host-login"].clone();
    for wrong in ["", "x", &right.to_uppercase(), &format!("{right}x"), &right[1..]] {
        let cookie = format!("__Host-login={wrong}");
        refused(&Answer::to(stack.api.page(Method::GET, &back).header("cookie", cookie)).await);
    }
    let twice = format!("__Host-login={right}; __Host-login={right}");
    refused(&Answer::to(stack.api.page(Method::GET, &back).header("cookie", twice)).await);
    let mut other = Browser::new(&stack);
    other.begin("/finance").await;
    refused(&other.get(&back).await);
    // None of them used the attempt up.
    browser.get(&back).await.expect(303);
}

#[tokio::test]
async fn the_sign_in_leads_to_no_other_place() {
    let stack = Stack::from_env().await;
    let mut browser = Browser::new(&stack);
    for to in [
        "//evil.example",
        "//evil.example/finance/",
        "/\\evil.example",
        "\\\\evil.example",
        "https://evil.example/finance/",
        "javascript:alert(1)",
        "/finance/../x",
        "/finance/%2e%2e/x",
        "/finance//evil.example",
        "/finance/\\evil.example",
        "/finance\t/x",
        "/",
        "/analytics/v1/openapi.json",
        "/finance/logout",
        "",
    ] {
        let answer = browser.get(&format!("/finance/login?{}", encode(&[("to", to)]))).await.expect(400);
        assert_eq!(answer.header("location"), None, "{to}");
    }
    browser.get("/finance/login?to=/finance&to=//evil.example").await.expect(400);
    browser.get("/finance/login?next=/finance").await.expect(400);
}

#[tokio::test]
async fn the_words_of_an_error_are_the_services_own() {
    let stack = Stack::from_env().await;
    let mut browser = Browser::new(&stack);
    let issuer = encode(&[("iss", &variable("ISSUER"))]);
    for (error, sentence) in [
        ("access_denied", "cancelled"),
        ("server_error", "has a fault"),
        ("<script>alert(1)</script>", "did not sign you in"),
        // Only an attempt that was to ask nothing begins another.
        ("login_required", "did not sign you in"),
    ] {
        let attempt = browser.begin("/finance").await;
        let query = encode(&[
            ("error", error),
            ("error_description", "Call 555-0100 <b>now</b>"),
            ("state", &attempt.parameters["state"]),
        ]);
        let answer = browser.get(&format!("/finance/callback?{query}&{issuer}")).await;
        refused(&answer);
        let text = answer.text();
        assert!(text.contains(sentence), "{error}: {text}");
        assert!(!text.contains("555-0100") && !text.contains("alert(1)"), "{text}");
    }
}

/// The issuer's side, so that a test of the service cannot pass by an issuer that allows everything.
#[tokio::test]
async fn the_local_issuer_knows_one_client_and_one_way_back() {
    let stack = Stack::from_env().await;
    let mut browser = Browser::new(&stack);
    let attempt = browser.begin("/finance").await;
    let issuer = variable("ISSUER");
    for (name, value) in [("client_id", "other"), ("redirect_uri", "https://evil.example/finance/callback")] {
        let mut fields = attempt.with(name, value).parameters;
        fields.insert("subject".to_owned(), "ada".to_owned());
        let fields: Vec<_> = fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let query = encode(&fields);
        let get = Answer::to(stack.api.get_url(&format!("{issuer}/authorize?{query}"))).await.expect(400);
        let post = stack.api.post_url(&format!("{issuer}/authorize")).body(query);
        let post = Answer::to(post.header("content-type", "application/x-www-form-urlencoded")).await.expect(400);
        assert_eq!((get.header("location"), post.header("location")), (None, None), "{name}");
    }
    let plain = attempt.with("code_challenge_method", "plain");
    let fields: Vec<_> = plain.parameters.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let answer = Answer::to(stack.api.get_url(&format!("{issuer}/authorize?{}", encode(&fields)))).await.expect(302);
    assert!(answer.header("location").unwrap().contains("error=invalid_request"));
    let page = Answer::to(stack.api.get_url(&attempt.address)).await.expect(200).text();
    assert!(page.contains("Sign in locally as") && page.contains("<form method=\"post\""), "{page}");
}

//! A person's browser, as far as cookies and redirects go.

use std::collections::BTreeMap;

use reqwest::{Method, RequestBuilder};
use uuid::Uuid;

use crate::{Answer, Stack, stack::variable};

/// Whom the page of the local issuer is told to sign in.
#[derive(Debug, Clone)]
pub struct Person {
    /// The `sub` of the tokens.
    pub subject: String,
    /// The organizations of the access token.
    pub organizations: Vec<Uuid>,
    /// A role of the page: `controller`, `auditor`, `admin`, `platform-admin` or `nobody`.
    pub role: &'static str,
    /// The seconds until the tokens end.
    pub lifetime: u32,
}

impl Person {
    /// Returns a person with a role in an organization and in another, so that there is a choice; who may stay for an hour.
    pub fn of(organization: Uuid, role: &'static str) -> Self {
        Self {
            subject: format!("{}@example.com", Uuid::new_v4()),
            organizations: vec![organization, Uuid::new_v4()],
            role,
            lifetime: 3600,
        }
    }
}

/// A browser with its cookies. It follows no redirect by itself.
#[derive(Debug, Clone)]
pub struct Browser<'a> {
    stack: &'a Stack,
    /// The cookies of the pages, by name.
    pub cookies: BTreeMap<String, String>,
    /// The cookies of the issuer.
    pub issuer_cookies: BTreeMap<String, String>,
}

/// An attempt to sign in, as the browser sees it: the parameters with which it is sent to the issuer.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// The address at the issuer.
    pub address: String,
    /// The parameters.
    pub parameters: BTreeMap<String, String>,
}

impl<'a> Browser<'a> {
    /// Starts a browser without a cookie.
    pub fn new(stack: &'a Stack) -> Self {
        Self { stack, cookies: BTreeMap::new(), issuer_cookies: BTreeMap::new() }
    }

    /// Returns the answer to a `GET` of a page, and keeps its cookies.
    pub async fn get(&mut self, path: &str) -> Answer {
        let request = self.request(Method::GET, path);
        self.send(request).await
    }

    /// Returns the answer to a form that is sent from a page of the service, and keeps its cookies.
    pub async fn post(&mut self, path: &str, form: &[(&str, &str)]) -> Answer {
        let origin = self.stack.api.origin().to_owned();
        let request = self.request(Method::POST, path).header("origin", origin).header("sec-fetch-site", "same-origin");
        self.send(with_form(request, form)).await
    }

    /// Creates a request for a page with the browser's cookies.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.stack.api.page(method, path);
        if self.cookies.is_empty() { request } else { request.header("cookie", cookie_header(&self.cookies)) }
    }

    /// Sends a request, and keeps the cookies of the answer.
    pub async fn send(&mut self, request: RequestBuilder) -> Answer {
        let answer = Answer::to(request).await;
        keep(&mut self.cookies, &answer, true);
        answer
    }

    /// Begins to sign in, to come back to a page.
    pub async fn begin(&mut self, to: &str) -> Attempt {
        let answer = self.get(&login(to)).await.expect(303);
        Attempt::read(&answer)
    }

    /// Tells the issuer's page who signs in. Returns the path of the way back.
    pub async fn tell(&mut self, attempt: &Attempt, person: &Person) -> String {
        let organizations: Vec<String> = person.organizations.iter().map(Uuid::to_string).collect();
        let (organizations, lifetime) = (organizations.join(" "), person.lifetime.to_string());
        let mut form: Vec<(&str, &str)> =
            attempt.parameters.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        form.extend([
            ("subject", person.subject.as_str()),
            ("organizations", &organizations),
            ("role", person.role),
            ("lifetime", &lifetime),
        ]);
        let request = self.stack.api.post_url(&format!("{}/authorize", variable("ISSUER")));
        let answer = Answer::to(with_form(request, &form)).await.expect(302);
        keep(&mut self.issuer_cookies, &answer, false);
        self.way_back(&answer)
    }

    /// Asks the issuer with its own cookies, as `prompt=none` does. Returns the path of the way back.
    pub async fn ask_silently(&mut self, attempt: &Attempt) -> String {
        let request = self.stack.api.get_url(&attempt.address).header("cookie", cookie_header(&self.issuer_cookies));
        let answer = Answer::to(request).await.expect(302);
        self.way_back(&answer)
    }

    /// Returns the path to which an answer of the issuer sends the browser, which must be one of the pages.
    fn way_back(&self, answer: &Answer) -> String {
        let location = answer.header("location").expect("a redirect has a Location");
        location.strip_prefix(self.stack.api.origin()).unwrap_or_else(|| panic!("back to {location}")).to_owned()
    }

    /// Signs a person in, from the first page and back to it.
    pub async fn sign_in(&mut self, person: &Person) {
        if let Err(answer) = self.try_to_sign_in(person).await {
            panic!("not signed in: {} {}", answer.status, answer.text());
        }
    }

    /// Signs a person in, or returns the answer that does not lead on.
    ///
    /// # Errors
    /// That answer.
    pub async fn try_to_sign_in(&mut self, person: &Person) -> Result<(), Answer> {
        let begun = self.get(&login("/finance")).await;
        if begun.status != 303 {
            return Err(begun);
        }
        let back = self.tell(&Attempt::read(&begun), person).await;
        let answer = self.get(&back).await;
        if answer.status == 303 && answer.header("location") == Some("/finance") { Ok(()) } else { Err(answer) }
    }

    /// Returns the token that the forms of the session's pages carry.
    pub async fn form_token(&mut self) -> String {
        let page = self.get("/finance").await.expect(200).text();
        field(&page, "form_token").unwrap_or_else(|| panic!("no form in {page}"))
    }
}

impl Attempt {
    /// Reads the redirect to the issuer.
    pub fn read(answer: &Answer) -> Self {
        let address = answer.header("location").expect("a redirect has a Location").to_owned();
        let query = address.split_once('?').expect("a query").1;
        let url = reqwest::Url::parse(&format!("http://localhost/?{query}")).expect("a query");
        let parameters = url.query_pairs().into_owned().collect();
        Self { address, parameters }
    }

    /// Returns the attempt with another value of a parameter.
    pub fn with(&self, name: &str, value: &str) -> Self {
        let mut other = self.clone();
        other.parameters.insert(name.to_owned(), value.to_owned());
        other
    }
}

/// Returns the path by which one signs in and comes back to a page.
pub fn login(to: &str) -> String {
    format!("/finance/login?{}", encode(&[("to", to)]))
}

/// Returns fields as a form's body or a query.
pub fn encode(fields: &[(&str, &str)]) -> String {
    let mut url = reqwest::Url::parse("http://localhost/").expect("a URL");
    url.query_pairs_mut().extend_pairs(fields);
    url.query().unwrap_or_default().to_owned()
}

fn with_form(request: RequestBuilder, form: &[(&str, &str)]) -> RequestBuilder {
    request.header("content-type", "application/x-www-form-urlencoded").body(encode(form))
}

fn cookie_header(cookies: &BTreeMap<String, String>) -> String {
    let pairs: Vec<String> = cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
    pairs.join("; ")
}

/// Keeps the cookies of an answer as a browser does. Those of the pages must be for this host alone.
fn keep(cookies: &mut BTreeMap<String, String>, answer: &Answer, are_of_pages: bool) {
    for line in answer.headers.get_all("set-cookie") {
        let line = line.to_str().expect("a cookie is text");
        if are_of_pages {
            assert!(line.starts_with("__Host-"), "{line}");
            for attribute in ["; Path=/;", "; Secure", "; HttpOnly", "; SameSite=Lax"] {
                assert!(line.contains(attribute), "{line}");
            }
            assert!(!line.contains("Domain"), "{line}");
        }
        let (name, rest) = line.split_once('=').expect("a cookie has a value");
        let value = rest.split(';').next().unwrap_or_default();
        if line.contains("Max-Age=0") {
            cookies.remove(name);
        } else {
            cookies.insert(name.to_owned(), value.to_owned());
        }
    }
}

/// Returns the value of a hidden field of a page.
fn field(page: &str, name: &str) -> Option<String> {
    let at = page.find(&format!("name=\"{name}\""))?;
    let value = page[at..].split("value=\"").nth(1)?;
    value.split('"').next().map(str::to_owned)
}

//! `/finance` and `/finance/{orgId}`: where a visitor begins.

use axum::{extract::Path, response::Html};
use domain::OrgId;
use maud::{DOCTYPE, Markup, html};

use super::session::{FORM_TOKEN, Visitor, no_such_page};
use crate::problem::Problem;

/// Lists the visitor's organizations.
pub(super) async fn organizations(visitor: Visitor) -> Html<String> {
    let content = html! {
        h1 { "Organizations" }
        ul {
            @for org in visitor.caller().organizations() {
                li { a href={ "/finance/" (org) } { (org) } }
            }
        }
    };
    page(&visitor, "Organizations", &content)
}

/// Shows an organization of the visitor's.
pub(super) async fn organization(
    visitor: Visitor,
    org: Result<Path<OrgId>, axum::extract::rejection::PathRejection>,
) -> Result<Html<String>, Problem> {
    let Path(org) = org.map_err(|_| no_such_page())?;
    let org = visitor.scope(org, None)?.require(auth::Permission::ReadExports).await?;
    Ok(page(&visitor, "Organization", &html! { h1 { (org) } }))
}

fn page(visitor: &Visitor, title: &str, content: &Markup) -> Html<String> {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) }
            }
            body {
                header {
                    p { (visitor.caller().subject().name) " · signed in until " time { (visitor.ends_at()) } }
                    form method="post" action="/finance/logout" {
                        input type="hidden" name=(FORM_TOKEN) value=(visitor.form_token());
                        button { "Sign out" }
                    }
                }
                main { (content) }
            }
        }
    };
    Html(page.into_string())
}

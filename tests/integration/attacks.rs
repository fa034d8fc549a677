//! Attacks that must not succeed. [docs/security.md](../../docs/security.md) lists them beside the standards.

mod ci_documents;
mod database_roles;
mod database_tls;
mod denied;
mod issuers;
mod limits;
mod links;
mod sessions;
mod sign_in;
mod trail;
